package cli_test

import (
	"bytes"
	"testing"

	"go.temporal.io/api/enums/v1"
)

func TestWithPermissionTheCommandLineReadsAndWrites(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	alice := "Bearer " + w.Token(t, "alice")
	for _, c := range []struct {
		name string
		args []string
		want []string
	}{
		{"show", []string{"workflow", "show", "-w", workflowID, "--detailed"}, []string{inputSecret, noteSecret, resultSecret}},
		{"show as JSON", []string{"workflow", "show", "-w", workflowID, "-o", "json"}, []string{inputSecret, memoSecret, noteSecret, resultSecret}},
		{"result", []string{"workflow", "result", "-w", workflowID}, []string{resultSecret + " of " + inputSecret}},
		{"describe", []string{"workflow", "describe", "-w", workflowID}, []string{memoSecret, resultSecret}},
		{"list", []string{"workflow", "list", "-o", "json"}, []string{workflowID, memoSecret}},
		{"query", []string{"workflow", "query", "-w", workflowID, "--type", "ask", "--input", `"` + askSecret + `"`}, []string{replySecret + " to " + askSecret}},
	} {
		t.Run(c.name, func(t *testing.T) { w.temporal(t, alice, c.args...).prints(t, c.want...) })
	}
	// A variable keeps the token out of the list of processes.
	w.with(t, []string{"TEMPORAL_CODEC_AUTH=" + alice}, "workflow", "result", "-w", workflowID, "--codec-endpoint", w.server.URL).prints(t, resultSecret+" of "+inputSecret)
	// Without the codec the same command prints none of it: it is the server that opens.
	out := w.bare(t, "workflow", "show", "-w", workflowID, "-o", "json")
	out.prints(t, workflowID)
	out.holdsNothing(t)

	const id = "typed-at-the-prompt"
	w.temporal(t, alice, "workflow", "start", "-w", id, "--type", "intake", "--task-queue", taskQueue,
		"--input", `"`+typedSecret+`"`, "--memo", `ward="`+memoSecret+`"`).prints(t, id)
	w.temporal(t, alice, "workflow", "update", "execute", "-w", id, "--name", "amend", "--input", `"`+noteSecret+`"`).prints(t, "amended with "+noteSecret)
	w.temporal(t, alice, "workflow", "signal", "-w", id, "--name", "note", "--input", `"`+noteSecret+`"`).prints(t)
	w.temporal(t, alice, "workflow", "result", "-w", id).prints(t, resultSecret+" of "+typedSecret+" noted "+noteSecret)
	w.sealedOnce(t, id)
	for _, r := range w.server.Audit(t) {
		if r.Decision != "allow" || r.Subject != "u-alice" || r.Agent != "go" {
			t.Errorf("audit has %+v", r)
		}
	}
}

// sealedOnce reads the history as Temporal has stored it: what was typed is sealed, and what is in it is not sealed again
// (the worker has read it).
func (w *world) sealedOnce(t *testing.T, id string) {
	t.Helper()
	events := w.ClientWith(t, namespace).GetWorkflowHistory(t.Context(), id, "", false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	kinds := 0
	for events.HasNext() {
		e, err := events.Next()
		if err != nil {
			t.Fatal(err)
		}
		inputs := append(e.GetWorkflowExecutionStartedEventAttributes().GetInput().GetPayloads(),
			e.GetWorkflowExecutionSignaledEventAttributes().GetInput().GetPayloads()...)
		inputs = append(inputs, e.GetWorkflowExecutionUpdateAcceptedEventAttributes().GetAcceptedRequest().GetInput().GetArgs().GetPayloads()...)
		for _, p := range e.GetWorkflowExecutionStartedEventAttributes().GetMemo().GetFields() {
			inputs = append(inputs, p)
		}
		for _, p := range inputs {
			kinds++
			if string(p.GetMetadata()["encoding"]) != "binary/encrypted" || len(p.GetMetadata()["encryption-context"]) == 0 {
				t.Errorf("%s has a payload with %q", e.GetEventType(), p.GetMetadata()["encoding"])
			}
			for _, secret := range []string{typedSecret, noteSecret, memoSecret} {
				if bytes.Contains(p.GetData(), []byte(secret)) {
					t.Errorf("%s holds %q", e.GetEventType(), secret)
				}
			}
		}
	}
	if kinds != 4 {
		t.Errorf("%d payloads were typed, want input, memo, signal and update", kinds)
	}
}
