package principal_test

import (
	"errors"
	"strings"
	"testing"

	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/signet-temporal/signet"
	"github.com/signet-temporal/signet/e2e/stack"
	"github.com/signet-temporal/signet/keys"
	"github.com/signet-temporal/signet/principal/propagate"
)

// recordedHistoriesReplay: what was judged is judged alike, with the keys and, where somebody insists, without.
func recordedHistoriesReplay(t *testing.T, s *stack.Stack) {
	w := newWorld(t, s, propagate.Options{})
	w.start(user("ann", "acme"), "Works")
	_, err := w.result(w.reading(w.id))
	must(t, err)
	histories := map[string][]*historypb.HistoryEvent{"everything": w.history(w.id, "")}

	w.id += "-continued"
	_, err = w.result(w.start(user("ann", "acme"), "Again"))
	must(t, err)
	histories["a run that continued another"] = w.history(w.id, "")

	w.id += "-messages"
	w.start(user("ann", "acme"), "Waits")
	h, err := w.client.UpdateWorkflow(as(t, user("bob", "acme")), client.UpdateWorkflowOptions{WorkflowID: w.id, UpdateName: "approve", WaitForStage: client.WorkflowUpdateStageCompleted})
	must(t, err)
	must(t, h.Get(bounded(t), nil))
	must(t, w.client.SignalWorkflow(as(t, user("bob", "acme")), w.id, "", "note", "kept"))
	w.end("1")
	histories["messages"] = w.history(w.id, "")

	attacked := w.at(w.id + "-attacked")
	attacked.start(user("ann", "acme"), "Waits")
	attacked.signalRaw("end", nil) // would end it
	attacked.end("0")
	histories["a message that was refused"] = attacked.history(attacked.id, "")

	refused := w.at(w.id + "-refused")
	refused.wantStartRefused(refused.id, refused.startRaw("Waits", forged()))
	histories["a start that was refused"] = refused.history(refused.id, "")

	replay := func(t *testing.T, events []*historypb.HistoryEvent, o signet.Options, ring *keys.Ring, execution workflow.Execution) error {
		t.Helper()
		replayer, err := worker.NewWorkflowReplayerWithOptions(worker.WorkflowReplayerOptions{Plugins: []worker.Plugin{s.Plugin(t, ring, o)}})
		if err != nil {
			return err
		}
		for name, fn := range w.code.types() {
			replayer.RegisterWorkflowWithOptions(fn, workflow.RegisterOptions{Name: name})
		}
		return replayer.ReplayWorkflowHistoryWithOptions(stack.Quiet, &historypb.History{Events: events}, worker.ReplayWorkflowHistoryOptions{OriginalExecution: execution})
	}
	keyless := s.Ring(t, keys.RingOptions{Keysets: []string{stack.Keyset(namespace)}})
	for name, events := range histories {
		must(t, replay(t, events, signet.Options{Scope: namespace, Principal: &propagate.Options{}}, w.ring(), workflow.Execution{}))
		if !strings.HasSuffix(name, "refused") { // documented: these were judged when they ran
			must(t, replay(t, events, signet.Options{Scope: namespace, Principal: &propagate.Options{InsecureReplayWithoutKeys: true}}, keyless, workflow.Execution{}))
		}
		if err := replay(t, events, signet.Options{Scope: namespace, Principal: &propagate.Options{}}, keyless, workflow.Execution{}); err == nil || !strings.Contains(err.Error(), keyset(namespace)) {
			t.Errorf("%s: a replayer without the keys says %v", name, err)
		}
	}
	// Told which workflow it is, a replayer compares places as a worker does.
	events := histories["everything"]
	id := strings.TrimSuffix(strings.TrimSuffix(w.id, "-messages"), "-continued")
	must(t, replay(t, events, signet.Options{Scope: namespace, Principal: &propagate.Options{}}, w.ring(), workflow.Execution{ID: id, RunID: "run"}))
	if err := replay(t, events, signet.Options{Scope: namespace, Principal: &propagate.Options{}}, w.ring(), workflow.Execution{ID: "other", RunID: "run"}); err == nil {
		t.Error("the history of another workflow replays")
	}
	// A worker does not take the option for itself.
	if _, err := client.Dial(client.Options{HostPort: s.Temporal.Address, Namespace: namespace,
		Plugins: []client.Plugin{s.Plugin(t, keyless, signet.Options{Principal: &propagate.Options{InsecureReplayWithoutKeys: true}})}}); err == nil {
		t.Error("a client without the principal keyset starts")
	} else if refused := new(propagate.Error); !errors.As(err, &refused) {
		t.Errorf("a client without the principal keyset: %v", err)
	}
}
