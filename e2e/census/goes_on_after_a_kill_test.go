package census_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/signet-temporal/signet/e2e/stack"
)

// TestACensusThatIsKilledGoesOn kills the command again and again, a moment after it has saved what it had, and compares
// what comes out in the end with a census that nobody disturbed.
func TestACensusThatIsKilledGoesOn(t *testing.T) {
	w := newWorld(t)
	e := w.next(t)
	e.orders(t, "a", 110, false)
	e.stop()
	e = w.next(t)
	e.orders(t, "b", 110, false)
	e.orders(t, "open", 10, true)
	w.visible(t, 10, 220)
	want := w.census(t)

	file := filepath.Join(w.Dir, "census.json")
	args := w.args("--checkpoint="+file, "--rate=120")
	counted := int64(-1)
	for kills := 0; ; kills++ {
		var stdout, stderr bytes.Buffer
		cmd := exec.CommandContext(t.Context(), stack.Program(t, "signet"), args...)
		cmd.Env, cmd.Stdout, cmd.Stderr = []string{"HOME=" + t.TempDir()}, &stdout, &stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		for killed := false; ; {
			select {
			case err := <-ended:
				if killed {
					break
				}
				if err != nil || stderr.Len() > 0 {
					t.Fatalf("%v: %s", err, stderr.String())
				}
				got := parse(t, stdout.String())
				if got.Began, got.Finished = want.Began, want.Finished; !reflect.DeepEqual(got, want) {
					t.Errorf("after %d kills\n got %+v\nwant %+v", kills, got, want)
				}
				if kills < 2 {
					t.Errorf("it was killed %d times only: that shows little", kills)
				}
				if _, err := os.Stat(file); err == nil {
					t.Error("the checkpoint of a complete census is still there")
				}
				return
			case <-time.After(10 * time.Millisecond):
				if n := saved(t, file); n > counted && !killed {
					counted, killed = n, true
					_ = cmd.Process.Kill()
				}
				continue
			}
			break
		}
		if kills > 20 {
			t.Fatal("it does not come to an end")
		}
	}
}

// saved returns how many workflows a checkpoint has counted, -1 without one. It is always whole, and nobody else's.
func saved(t *testing.T, file string) int64 {
	t.Helper()
	text, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return -1
	}
	var state struct{ OpenWorkflows, ClosedWorkflows int64 }
	if err == nil {
		err = json.Unmarshal(text, &state)
	}
	info, statErr := os.Stat(file)
	if errors.Is(statErr, os.ErrNotExist) {
		return -1 // complete meanwhile
	}
	if err != nil || statErr != nil || info.Mode() != 0o600 {
		t.Fatalf("the checkpoint: %v, %v, mode %v: %s", err, statErr, info.Mode(), text)
	}
	return state.OpenWorkflows + state.ClosedWorkflows
}

// TestACensusThatIsInterruptedSaysHowToGoOn sends the signal of Ctrl-C.
func TestACensusThatIsInterruptedSaysHowToGoOn(t *testing.T) {
	w := newWorld(t)
	e := w.next(t)
	e.orders(t, "a", 20, false)
	w.visible(t, 0, 20)
	file := filepath.Join(w.Dir, "census.json")
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), stack.Program(t, "signet"), w.args("--checkpoint="+file, "--rate=2")...)
	cmd.Env, cmd.Stdout, cmd.Stderr = []string{"HOME=" + t.TempDir()}, &stdout, &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stack.Eventually(t, patience, func() error {
		if _, err := os.Stat(file); err != nil {
			return err
		}
		return cmd.Process.Signal(os.Interrupt)
	})
	_ = cmd.Wait()
	if text := stderr.String(); cmd.ProcessState.ExitCode() != 1 || stdout.Len() > 0 || !strings.Contains(text, "interrupted: go on with the same command, its state is in "+file) {
		t.Errorf("exit code %d, stdout %q, stderr %q", cmd.ProcessState.ExitCode(), stdout.String(), text)
	}
	if run := stack.Exec(t, nil, stack.Program(t, "signet"), "census", "--address="+w.Temporal.Address, "--namespace=nowhere"); run.Code != 1 || !strings.Contains(run.Stderr, "asking for namespace nowhere: ") {
		t.Errorf("a namespace that does not exist: exit code %d, %s", run.Code, run.Stderr)
	}
	if r := w.census(t, "--checkpoint="+file); r.ClosedWorkflows != 20 || r.key(w.keys[0]).Payloads != 20*(orderEnds+1) {
		t.Errorf("gone on with: %+v", r)
	}
}
