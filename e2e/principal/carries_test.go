package principal_test

import (
	"testing"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/signet-temporal/signet/e2e/stack"
	"github.com/signet-temporal/signet/principal/propagate"
)

const ann = "ann of acme (txn-ann)"

// aPrincipalReachesEverything: whoever starts a workflow is its principal by every road that Temporal has.
func aPrincipalReachesEverything(t *testing.T, s *stack.Stack) {
	run := func(name string, o propagate.Options, test func(t *testing.T, w *world)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, s, o)
			test(t, w)
			w.noTaskFailed(w.id)
		})
	}
	run("activity, local activity and child", propagate.Options{}, func(_ *testing.T, w *world) {
		w.wantResult(w.start(user("ann", "acme"), "Works"), Seen{"workflow": ann, "caller of the workflow": "nobody", "activity": ann, "local activity": ann,
			"child's workflow": ann, "child's activity": ann})
	})
	run("continue-as-new", propagate.Options{}, func(_ *testing.T, w *world) {
		w.wantResult(w.start(user("ann", "acme"), "Again"), Seen{"workflow": ann, "activity": ann})
	})
	run("retry", propagate.Options{}, func(t *testing.T, w *world) {
		o := w.options()
		o.RetryPolicy = &temporal.RetryPolicy{InitialInterval: 100 * time.Millisecond, MaximumAttempts: 3}
		r, err := w.client.ExecuteWorkflow(as(t, user("ann", "acme")), o, "Falters")
		must(t, err)
		w.wantResult(r, Seen{"workflow": ann, "activity": ann})
	})
	run("signals of parents, strangers and activities", propagate.Options{}, func(_ *testing.T, w *world) {
		w.wantResult(w.start(user("ann", "acme"), "Signals"), Seen{"workflow": ann, "activity": ann, "notes": "3"})
	})
	run("signal with start", propagate.Options{}, func(t *testing.T, w *world) {
		r, err := w.client.SignalWithStartWorkflow(as(t, user("ann", "acme")), w.id, "note", "first", w.options(), "Waits")
		must(t, err)
		_, err = w.client.SignalWithStartWorkflow(as(t, user("ann", "acme")), w.id, "note", "second", w.options(), "Waits")
		must(t, err)
		must(t, w.client.SignalWorkflow(as(t, user("ann", "acme")), w.id, "", "end", nil))
		w.wantResult(r, Seen{"workflow": ann, "activity": ann, "notes": "2"})
	})
	run("update with start", propagate.Options{}, func(t *testing.T, w *world) {
		o := w.options()
		o.WorkflowIDConflictPolicy = 2 // use the existing one
		h, err := w.client.UpdateWithStartWorkflow(as(t, user("ann", "acme")), client.UpdateWithStartWorkflowOptions{
			StartWorkflowOperation: w.client.NewWithStartWorkflowOperation(o, "Waits"),
			UpdateOptions:          client.UpdateWorkflowOptions{WorkflowID: w.id, UpdateName: "approve", WaitForStage: client.WorkflowUpdateStageCompleted},
		})
		must(t, err)
		var seen Seen
		must(t, h.Get(bounded(t), &seen))
		if seen["owner"] != ann || seen["caller"] != ann || seen["activity"] != ann {
			t.Errorf("the update saw %v", seen)
		}
	})
	run("an update knows its owner and its caller apart", propagate.Options{}, func(t *testing.T, w *world) {
		w.start(user("ann", "acme"), "Waits")
		h, err := w.client.UpdateWorkflow(as(t, user("bob", "acme")), client.UpdateWorkflowOptions{WorkflowID: w.id, UpdateName: "approve", WaitForStage: client.WorkflowUpdateStageCompleted})
		must(t, err)
		var seen Seen
		must(t, h.Get(bounded(t), &seen))
		const bob = "bob of acme (txn-bob)"
		for place, want := range (Seen{"owner": ann, "caller": bob, "activity": ann, "caller's activity": bob}) {
			if seen[place] != want {
				t.Errorf("%s is %q, want %q", place, seen[place], want)
			}
		}
	})
	run("a workflow does not change hands", propagate.Options{}, func(t *testing.T, w *world) {
		w.start(user("ann", "acme"), "Yields")
		h, err := w.client.UpdateWorkflow(as(t, user("bob", "acme")), client.UpdateWorkflowOptions{WorkflowID: w.id, UpdateName: "yield", WaitForStage: client.WorkflowUpdateStageCompleted})
		must(t, err)
		must(t, h.Get(bounded(t), nil))
		w.wantResult(w.reading(w.id), Seen{"workflow": ann, "activity": ann})
	})
	run("query", propagate.Options{}, func(t *testing.T, w *world) {
		w.start(user("ann", "acme"), "Waits")
		v, err := w.client.QueryWorkflow(as(t, user("bob", "acme")), w.id, "", "look")
		must(t, err)
		var text string
		if must(t, v.Get(&text)); text != "looked" {
			t.Errorf("the query says %q", text)
		}
		if _, err := w.client.QueryWorkflow(bounded(t), w.id, "", "__stack_trace"); err != nil {
			t.Errorf("the SDK's own query, for nobody: %v", err)
		}
	})
	run("standalone activity", propagate.Options{}, func(t *testing.T, w *world) {
		h, err := w.client.ExecuteActivity(as(t, user("ann", "acme")), client.StartActivityOptions{ID: w.id + ":alone", TaskQueue: w.queue, ScheduleToCloseTimeout: within}, "Who")
		must(t, err)
		var text string
		must(t, h.Get(bounded(t), &text))
		if text != ann {
			t.Errorf("the activity runs for %q", text)
		}
		w.start(user("ann", "acme"), "Child") // for the end of the test, which looks at its history
	})
}
