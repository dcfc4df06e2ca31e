package census_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
	"golang.org/x/sync/errgroup"

	"github.com/signet-temporal/signet"
	"github.com/signet-temporal/signet/e2e/stack"
	"github.com/signet-temporal/signet/tools/parts"
)

var workflows = flag.Int("workflows", 500, "workflows in the larger of the two namespaces that are walked")

// Note returns what it is given.
func Note(_ workflow.Context, text string) (string, error) { return text, nil }

// TestTheMemoryOfACensusIsFlat walks a namespace and one that is ten times as large, with the command as it is shipped,
// and compares the largest memory that the two processes had. With -workflows=10000 it reports what docs/census.md says.
func TestTheMemoryOfACensusIsFlat(t *testing.T) {
	s := stack.Start(t, stack.Options{Namespaces: []string{"small", "large"}, WithoutOIDC: true})
	program := filepath.Join(s.Dir, "signet")
	root, err := parts.Root("")
	if err != nil {
		t.Fatal(err)
	}
	build := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-o", program, "./cmd/signet") // without the race detector's memory
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	peak := map[string]int64{}
	for name, n := range map[string]int{"small": *workflows / 10, "large": *workflows} {
		notes(t, s, name, n)
		var stdout, stderr bytes.Buffer
		cmd := exec.CommandContext(t.Context(), program, "census", "--output=json", "--rate=100000", "--address="+s.Temporal.Address, "--namespace="+name)
		cmd.Env, cmd.Stdout, cmd.Stderr = []string{"HOME=" + s.Dir}, &stdout, &stderr
		start := time.Now()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		for running := true; running; {
			select {
			case err := <-ended:
				if running = false; err != nil {
					t.Fatalf("%v: %s", err, stderr.String())
				}
			case <-time.After(5 * time.Millisecond):
				peak[name] = max(peak[name], memoryOf(cmd.Process.Pid))
			}
		}
		took := time.Since(start)
		var r report
		if err := json.Unmarshal(stdout.Bytes(), &r); err != nil {
			t.Fatal(err)
		}
		// Input and result, of each; the memo is not set.
		if len(r.Keys) != 1 || r.ClosedWorkflows != int64(n) || r.Keys[0].Payloads != int64(2*n) {
			t.Errorf("%s has %d workflows, and the census says %+v", name, n, r)
		}
		t.Logf("%d workflows in %s: %.0f a second, peak memory %d MiB", n, took.Round(time.Millisecond), float64(n)/took.Seconds(), peak[name]>>10)
	}
	if peak["small"] == 0 || peak["large"] > peak["small"]*5/4+8<<10 {
		t.Errorf("ten times the workflows take %d KiB, after %d KiB", peak["large"], peak["small"])
	}
}

// memoryOf returns the largest memory that a process has had, in KiB; 0 when it has ended. (The rusage of a process that
// was waited for counts what its parent had when it was started.)
func memoryOf(pid int) (kib int64) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	if _, rest, ok := strings.Cut(string(text), "VmHWM:"); ok {
		_, _ = fmt.Sscan(rest, &kib)
	}
	return kib
}

// notes runs n workflows to their end.
func notes(t *testing.T, s *stack.Stack, namespace string, n int) {
	t.Helper()
	c := s.Client(t, namespace, signet.Options{})
	w := worker.New(c, taskQueue, worker.Options{})
	w.RegisterWorkflow(Note)
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	group, ctx := errgroup.WithContext(t.Context())
	group.SetLimit(64)
	for i := range n {
		group.Go(func() error {
			run, err := c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: fmt.Sprint(i), TaskQueue: taskQueue}, Note, "a note")
			if err == nil {
				err = run.Get(ctx, nil)
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	closed := func(ctx context.Context) error {
		count, err := c.CountWorkflow(ctx, &workflowservice.CountWorkflowExecutionsRequest{Namespace: namespace, Query: "ExecutionStatus != 'Running'"})
		if err == nil && count.GetCount() != int64(n) {
			err = fmt.Errorf("%d workflows are closed, want %d", count.GetCount(), n)
		}
		return err
	}
	stack.Eventually(t, patience, func() error { return closed(t.Context()) })
}
