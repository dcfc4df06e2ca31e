package history_test

import (
	"strings"
	"testing"
	"time"

	"github.com/signet-temporal/signet"
	"github.com/signet-temporal/signet/e2e/stack"
)

// TestPlaintextIsRefused: a workflow that somebody starts in clear is not executed by a worker that seals, nor does a
// signal in clear reach a workflow. Nothing is lost: a worker that allows plaintext, for a migration, goes on with both.
func TestPlaintextIsRefused(t *testing.T) {
	s := stack.Start(t, stack.Options{Namespaces: []string{"payments"}, WithoutOIDC: true})
	raw, sealing := s.ClientWith(t, "payments"), s.Client(t, "payments", signet.Options{})
	strict := &calls{}
	stop := strict.start(t, s, "payments", s.Plugin(t, nil, signet.Options{}))

	if _, err := raw.ExecuteWorkflow(t.Context(), startOptions("in-clear"), strict.Echo, "hello"); err != nil {
		t.Fatal(err)
	}
	run, err := sealing.ExecuteWorkflow(t.Context(), startOptions("signalled-in-clear"), strict.Collect, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.SignalWorkflow(t.Context(), "signalled-in-clear", "", "one", "first"); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"in-clear", "signalled-in-clear"} {
		failed, why := taskFailed(t, raw, id, failureConverter(t, s.DefaultRing(t), "payments"))
		if why == nil || !strings.Contains(why.Error(), "payload is not sealed") {
			t.Errorf("the task of %s failed with %v (%s), want it to say that the payload is not sealed", id, why, failed.GetCause())
		}
	}
	time.Sleep(2 * time.Second) // a few more attempts of the task
	stillOpen(t, raw, "in-clear")
	stillOpen(t, raw, "signalled-in-clear")
	if w, a := strict.workflows.Load(), strict.activities.Load(); w != 0 || a != 0 {
		t.Errorf("%d workflows and %d activities ran on a plaintext input", w, a)
	}
	if err := sealing.SignalWorkflow(t.Context(), "signalled-in-clear", "", "one", "second"); err != nil {
		t.Fatal(err)
	}
	stop()

	lenient := &calls{}
	lenient.start(t, s, "payments", s.Plugin(t, nil, signet.Options{AllowPlaintext: true}))
	var out string
	if err := sealing.GetWorkflow(t.Context(), "in-clear", "").Get(t.Context(), &out); err != nil || out != "hello" {
		t.Errorf("with AllowPlaintext the workflow returned %q, %v", out, err)
	}
	var all []string
	if err := run.Get(t.Context(), &all); err != nil || strings.Join(all, " ") != "first second" {
		t.Errorf("with AllowPlaintext the signals are %q, %v", all, err)
	}
	for _, event := range fetch(t, raw, "in-clear", "").GetEvents() {
		for _, p := range event.GetWorkflowExecutionCompletedEventAttributes().GetResult().GetPayloads() {
			if why := notSealed(p, stack.Keyset("payments"), "payments"); why != "" {
				t.Errorf("the result is not sealed: %s", why)
			}
		}
	}
}
