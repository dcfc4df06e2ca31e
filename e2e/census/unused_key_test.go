package census_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/api/workflowservice/v1"

	"github.com/signet-temporal/signet/e2e/stack"
	"github.com/signet-temporal/signet/keys/census"
)

// TestAKeyIsUnusedWhenTheLastThingThatCarriedItIsGone follows a key from the day on which another is promoted: a schedule
// and workflows hold it, the schedule moves, the workflows are removed, and then a census proves that nothing is left.
func TestAKeyIsUnusedWhenTheLastThingThatCarriedItIsGone(t *testing.T) {
	t.Parallel() // it waits most of its time
	w := newWorld(t)
	old := w.next(t)
	old.create(t, "nightly")
	old.orders(t, "closed", 2, false)
	open := old.orders(t, "open", 1, true)
	early := w.take(t)
	old.stop()
	fresh := w.next(t)
	q := census.Question{Key: old.key, SealedUntil: time.Now(), Namespaces: []string{namespace}}
	fresh.orders(t, "fresh", 1, false)
	w.visible(t, 1, 3)

	says := func(kind error, text string, r ...*census.Result) {
		t.Helper()
		if err := census.Unused(q, r...); !errors.Is(err, kind) || !strings.Contains(err.Error(), text) {
			t.Errorf("the answer is %v, want %v: %s", err, kind, text)
		}
	}
	says(census.ErrInUse, "keeps it for 1 open workflow, 1 schedule", w.take(t))
	w.reseal(t, 0)
	says(census.ErrInUse, "keeps it for 1 open workflow", w.take(t))
	if err := fresh.SignalWorkflow(t.Context(), open[0], "", "ship", "!"); err != nil {
		t.Fatal(err)
	}
	w.visible(t, 0, 4)
	says(census.ErrInUse, "removes the last of it at", w.take(t))

	for _, id := range []string{"closed-0", "closed-1", open[0]} { // retention takes a day at least
		if _, err := w.all.WorkflowService().DeleteWorkflowExecution(t.Context(), &workflowservice.DeleteWorkflowExecutionRequest{Namespace: namespace, WorkflowExecution: &commonpb.WorkflowExecution{WorkflowId: id}}); err != nil {
			t.Fatal(err)
		}
	}
	w.visible(t, 0, 1)
	var last *census.Result
	stack.Eventually(t, patience, func() error {
		last = w.take(t)
		return census.Unused(q, last)
	})
	says(census.ErrUnproven, "take another", &census.Result{Namespace: namespace, Retention: last.Retention, Began: early.Began, Finished: early.Finished})
	q.Key = fresh.key
	says(census.ErrInUse, "schedule", last)
}

// take takes a census in this process.
func (w *world) take(t *testing.T) *census.Result {
	t.Helper()
	r, err := census.Run(t.Context(), w.all.WorkflowService(), census.Options{Namespace: namespace, Rate: 1e6})
	if err != nil {
		t.Fatal(err)
	}
	return r
}
