// Package cli_test runs the real temporal command line against signet-server and a real Temporal server.
package cli_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"flag"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/signet-temporal/signet"
	"github.com/signet-temporal/signet/e2e/stack"
	"github.com/signet-temporal/signet/tools/parts"
)

// TestMain lets more tests run at once than there are cores: they wait for the command line to give up, or for a token to
// expire.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "24"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// What only the right people may read.
const (
	inputSecret  = "planted-input-b7d1"
	memoSecret   = "planted-memo-2c09"
	resultSecret = "planted-result-e45f"
	noteSecret   = "planted-note-8a13"
	askSecret    = "planted-question-61fe"
	replySecret  = "planted-reply-d02b"
	typedSecret  = "typed-at-the-prompt-5e77"
)

const (
	namespace  = "payments"
	taskQueue  = "intake"
	workflowID = "intake-4711"
)

// patience bounds one command: five tries of a refused call end after ten seconds, and two slow cores need some more. A
// command that still runs then hangs.
const patience = 40 * time.Second

// intake waits for a note and gives its result; meanwhile it answers queries and updates.
func intake(ctx workflow.Context, in string) (string, error) {
	if err := workflow.SetQueryHandler(ctx, "ask", func(q string) (string, error) { return replySecret + " to " + q, nil }); err != nil {
		return "", err
	}
	if err := workflow.SetUpdateHandler(ctx, "amend", func(_ workflow.Context, with string) (string, error) { return "amended with " + with, nil }); err != nil {
		return "", err
	}
	var note string
	workflow.GetSignalChannel(ctx, "note").Receive(ctx, &note)
	return resultSecret + " of " + in + " noted " + note, nil
}

// world is a stack with a signet-server, a worker, and a workflow that has ended.
type world struct {
	*stack.Stack
	server  *stack.Server
	client  client.Client
	program string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{Stack: stack.Start(t, stack.Options{}), program: stack.Ensure(t, parts.CLI).CLI}
	grants := append(w.Grants(), stack.Grant{
		Name: "oncall-starts", Issuer: w.OIDC.Issuer, Groups: []string{"payments-oncall"}, Namespaces: []string{namespace}, Actions: []string{"encode"},
	})
	w.server = w.Server(t, stack.ServerOptions{Grants: grants})
	w.client = w.Client(t, namespace, signet.Options{})
	wk := worker.New(w.client, taskQueue, worker.Options{})
	wk.RegisterWorkflowWithOptions(intake, workflow.RegisterOptions{Name: "intake"})
	if err := wk.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(wk.Stop)
	run, err := w.client.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{
		ID: workflowID, TaskQueue: taskQueue, Memo: map[string]any{"ward": memoSecret},
	}, "intake", inputSecret)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.client.SignalWorkflow(t.Context(), workflowID, "", "note", noteSecret); err != nil {
		t.Fatal(err)
	}
	if err := run.Get(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	return w
}

// outcome is how a command ended.
type outcome struct {
	stack.Run
	took time.Duration
}

// all is everything that the command printed, and what stands there in base64, as it does in JSON.
func (o outcome) all() string {
	text := o.Stdout + o.Stderr
	for _, quoted := range base64Text.FindAllStringSubmatch(text, -1) {
		if plain, err := base64.StdEncoding.DecodeString(quoted[1]); err == nil {
			text += "\n" + string(plain)
		}
	}
	return text
}

var base64Text = regexp.MustCompile(`"([A-Za-z0-9+/]{8,}={0,2})"`)

// temporal runs the command line as a person with the given Authorization header does; "" sends none.
func (w *world) temporal(t *testing.T, authorization string, args ...string) outcome {
	t.Helper()
	if authorization != "" {
		args = append(args, "--codec-auth", authorization)
	}
	return w.bare(t, append(args, "--codec-endpoint", w.server.URL)...)
}

// bare runs the command line as it is.
func (w *world) bare(t *testing.T, args ...string) outcome {
	t.Helper()
	return w.with(t, nil, args...)
}

// with runs the command line with more variables.
func (w *world) with(t *testing.T, env []string, args ...string) outcome {
	t.Helper()
	args = append(args, "--address", w.Temporal.Address, "--namespace", namespace)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, w.program, args...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "SSL_CERT_FILE=" + w.server.Cert.CAFile}
	cmd.Env = append(cmd.Env, env...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	began := time.Now()
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("temporal %s: %v", args[1], err)
	}
	if ctx.Err() != nil {
		t.Fatalf("temporal %s %s hangs: %s%s", args[0], args[1], stdout.String(), stderr.String())
	}
	return outcome{stack.Run{Stdout: stdout.String(), Stderr: stderr.String(), Code: cmd.ProcessState.ExitCode()}, time.Since(began)}
}

// prints fails the test unless the command succeeded and printed each text.
func (o outcome) prints(t *testing.T, want ...string) {
	t.Helper()
	if o.Code != 0 {
		t.Errorf("exit code %d: %s%s", o.Code, o.Stdout, o.Stderr)
	}
	for _, text := range want {
		if !strings.Contains(o.all(), text) {
			t.Errorf("it does not print %q but:\n%s", text, o.Stdout)
		}
	}
}

// holdsNothing fails the test if a secret was printed.
func (o outcome) holdsNothing(t *testing.T) {
	t.Helper()
	for _, secret := range []string{inputSecret, memoSecret, resultSecret, noteSecret, askSecret, replySecret, typedSecret} {
		if strings.Contains(o.all(), secret) {
			t.Errorf("it prints %q:\n%s%s", secret, o.Stdout, o.Stderr)
		}
	}
}
