package companion_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"

	"github.com/signet-temporal/signet/e2e/stack"
)

// requests are how many requests of the codec protocol a subject has made, and payloads how many records they left.
func requests(t *testing.T, server *stack.Server, subject string) (requests, payloads int) {
	t.Helper()
	ids := map[string]bool{}
	for _, r := range server.Audit(t) {
		if r.Subject == subject {
			ids[r.RequestID] = true
			payloads++
		}
	}
	return len(ids), payloads
}

func TestAHistoryIsReadInAFewRequestsAndReplays(t *testing.T) {
	s := stack.Start(t, stack.Options{})
	server := s.Server(t, stack.ServerOptions{})
	runID := ran(t, s, false)
	alice, bob := s.Token(t, "alice"), s.Token(t, "bob")

	shown := signetAs(t, s, server, alice, "history", "show", workflowID)
	if shown.Code != 0 || shown.Stderr != "" {
		t.Fatalf("exit code %d: %s", shown.Code, shown.Stderr)
	}
	for _, want := range append([]string{"payments  order-4711  run " + runID, "WorkflowExecutionStarted  Order", "memo.ward  \"" + memoSecret, "summary  \"an order\"",
		"failure  " + failureSecret, "failure.type  Declined"}, secrets...) {
		if !strings.Contains(shown.Stdout, want) {
			t.Errorf("the history does not say %q:\n%s", want, shown.Stdout)
		}
	}
	n, payloads := requests(t, server, "u-alice")
	if payloads < 2*steps || n > 5 {
		t.Errorf("%d requests for %d payloads", n, payloads)
	}
	t.Logf("%d payloads in %d requests", payloads, n)

	t.Run("who may see nothing", func(t *testing.T) {
		denied := signetAs(t, s, server, bob, "history", "show", workflowID, "--run-id="+runID)
		if denied.Code != 5 || !strings.Contains(denied.Stderr, "payloads stayed closed: you may not see it") {
			t.Errorf("exit code %d: %s", denied.Code, denied.Stderr)
		}
		if !strings.Contains(denied.Stdout, "WorkflowExecutionStarted  Order") || strings.Contains(denied.Stdout, "planted") {
			t.Errorf("shown is:\n%s", denied.Stdout)
		}
		if n, payloads := requests(t, server, "u-bob"); n > 40 {
			t.Errorf("%d requests, %d records", n, payloads)
		}
		stranger := signetAs(t, s, server, "", "history", "show", workflowID)
		if stranger.Code != 1 || !strings.Contains(stranger.Stderr, "does not accept the login (request ") || strings.Contains(stranger.Stdout, "planted") {
			t.Errorf("exit code %d: %s", stranger.Code, stranger.Stderr)
		}
		if none := signetAs(t, s, server, alice, "history", "show", "order-0"); none.Code != 4 {
			t.Errorf("a workflow that is not there: exit code %d: %s", none.Code, none.Stderr)
		}
	})
	t.Run("export", func(t *testing.T) { exports(t, s, server, alice, bob, runID) })
}

// exports compares what is exported with what the workflow did: a worker without signet replays it.
func exports(t *testing.T, s *stack.Stack, server *stack.Server, alice, bob, runID string) {
	file := filepath.Join(t.TempDir(), "order.json")
	run := signetAs(t, s, server, alice, "history", "export", workflowID, "--file="+file, "--output=json")
	var said struct {
		File, RunID string
		Payloads    struct{ Events, Payloads, Decoded, Masked, Closed int }
	}
	if err := json.Unmarshal([]byte(run.Stdout), &said); err != nil || run.Code != 0 || said.RunID != runID || said.Payloads.Decoded < 2*steps || said.Payloads.Closed != 0 {
		t.Fatalf("exit code %d: %s%s", run.Code, run.Stdout, run.Stderr)
	}
	if info, err := os.Stat(file); err != nil || info.Mode() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if err := replay(t, file); err != nil {
		t.Errorf("replay: %v", err)
	}
	sealed := filepath.Join(t.TempDir(), "sealed.json")
	if run := signetAs(t, s, server, bob, "history", "export", workflowID, "--file="+sealed); run.Code != 5 {
		t.Errorf("exit code %d: %s", run.Code, run.Stderr)
	}
	if err := replay(t, sealed); err == nil {
		t.Error("a worker without signet replays a history that is sealed")
	}
}

func replay(t *testing.T, file string) error {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	history, err := client.HistoryFromJSON(f, client.HistoryJSONOptions{})
	if err != nil {
		t.Fatal(err)
	}
	replayer := worker.NewWorkflowReplayer()
	replayer.RegisterWorkflow(Order)
	return replayer.ReplayWorkflowHistory(stack.Quiet, history)
}

// One payload is somebody else's: it is the only one that stays closed.
func TestAPayloadThatMayNotBeSeenHidesNoOther(t *testing.T) {
	s := stack.Start(t, stack.Options{})
	server := s.Server(t, stack.ServerOptions{PayloadBurst: 150})
	ran(t, s, true)
	// The server gives 150 payloads at once, and then ten in a second: the command waits for them.
	shown := signetAs(t, s, server, s.Token(t, "alice"), "history", "show", workflowID, "--batch=50", "--parallel=2")
	if shown.Code != 5 || !strings.Contains(shown.Stderr, "signet: 1 of ") {
		t.Fatalf("exit code %d: %s", shown.Code, shown.Stderr)
	}
	for _, secret := range secrets {
		if !strings.Contains(shown.Stdout, secret) {
			t.Errorf("the history does not say %q", secret)
		}
	}
	if n := strings.Count(shown.Stdout, "(closed, "); n != 1 || strings.Count(shown.Stdout, noteSecret) != 1 {
		t.Errorf("%d payloads are closed:\n%s", n, shown.Stdout)
	}
	limited := 0
	for _, r := range server.Audit(t) {
		if r.Reason == "rate-limited" {
			limited++
		}
	}
	if limited == 0 {
		t.Error("the server did not limit anything: the test does not show that the command waits")
	}
}
