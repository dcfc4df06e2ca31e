package tenants_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/signet-temporal/signet"
	"github.com/signet-temporal/signet/e2e/stack"
	"github.com/signet-temporal/signet/keys"
)

func temporalError(text string) error {
	return temporal.NewNonRetryableApplicationError(text, "Broken", nil, "details of "+text)
}

// TestOneWorkerServesTwoTenants: every payload of a tenant's workflows is under that tenant's keyset and no other, through
// children, failures that are handed on, and continue-as-new; and every one opens where it is needed.
func TestOneWorkerServesTwoTenants(t *testing.T) {
	w := newWorld(t, signet.Options{Scope: "payments"}, keys.RingOptions{}, "acme", "bravo")
	for _, tenant := range []string{"acme", "bravo"} {
		id, keyset := tenant+"/order-1", under+tenant
		options := w.options(id)
		options.Memo = map[string]any{"first": "memo"}
		options.StaticSummary = "an order"
		run, err := w.client.ExecuteWorkflow(t.Context(), options, Order, "tea", 1)
		if err != nil {
			t.Fatal(err)
		}
		first := run.GetRunID()
		for n := range 2 {
			update, err := w.client.UpdateWorkflow(t.Context(), client.UpdateWorkflowOptions{WorkflowID: id, UpdateName: "note", Args: []any{"fragile"}, WaitForStage: client.WorkflowUpdateStageCompleted})
			if err != nil {
				t.Fatal(err)
			}
			var said string
			if err := update.Get(t.Context(), &said); err != nil || said != "noted fragile" {
				t.Errorf("%s: the update says %q, %v", id, said, err)
			}
			answer, err := w.client.QueryWorkflow(t.Context(), id, "", "note", "alice")
			if err == nil {
				err = answer.Get(&said)
			}
			if err != nil || said != "alice reads fragile" {
				t.Errorf("%s: the query says %q, %v", id, said, err)
			}
			if err := w.client.SignalWorkflow(t.Context(), id, "", "ship", "Ulm"); err != nil {
				t.Fatal(err)
			}
			stack.Eventually(t, 20*time.Second, func() error { // the next run, which has to be there for the next update
				d, err := w.raw.DescribeWorkflowExecution(t.Context(), id, "")
				if n == 0 && err == nil && d.GetWorkflowExecutionInfo().GetExecution().GetRunId() == first {
					return fmt.Errorf("%s has not continued", id)
				}
				return err
			})
		}
		err = run.Get(t.Context(), nil)
		var app *temporal.ApplicationError
		if !errors.As(err, &app) || !strings.Contains(app.Error(), "cannot pack broken tea to Ulm") {
			t.Errorf("%s: a failure handed on by a child reads %v", id, err)
		} else {
			var details string
			if err := app.Details(&details); err != nil || !strings.HasPrefix(details, "details of cannot pack") {
				t.Errorf("%s: its details read %q, %v", id, details, err)
			}
		}
		described, err := w.client.DescribeWorkflow(t.Context(), id, first)
		if err != nil {
			t.Fatal(err)
		}
		if summary, err := described.GetStaticSummary(); err != nil || summary != "an order" {
			t.Errorf("%s: the summary reads %q, %v", id, summary, err)
		}
		sealedUnder(t, id, w.history(t, id, first), keyset, 20)
		sealedUnder(t, id+", continued", w.history(t, id, ""), keyset, 20)
		for n := range 2 {
			sealedUnder(t, fmt.Sprintf("%s/part-%d", id, n), w.history(t, fmt.Sprintf("%s/part-%d", id, n), ""), keyset, 2)
		}
		w.described(t, id, first, keyset)
		w.replays(t, id, first, worker.ReplayWorkflowHistoryOptions{OriginalExecution: workflow.Execution{ID: id, RunID: first}})
		w.replays(t, id+"/part-1", "", worker.ReplayWorkflowHistoryOptions{}) // nobody says whose
	}
	if held := w.ring.Status(); len(held) != 3 || held[1].Name != "tenant/acme" || held[2].Name != "tenant/bravo" {
		t.Errorf("the ring holds %+v", held)
	}
}

// described reads what the server says of a workflow beside its history.
func (w *world) described(t *testing.T, id, run, keyset string) {
	t.Helper()
	d, err := w.raw.DescribeWorkflowExecution(t.Context(), id, run)
	if err != nil {
		t.Fatal(err)
	}
	sealedUnder(t, "describe "+id, d, keyset, 3)
	list, err := w.raw.ListWorkflow(t.Context(), &workflowservice.ListWorkflowExecutionsRequest{Namespace: "payments", Query: "WorkflowId = '" + id + "'"})
	if err != nil {
		t.Fatal(err)
	}
	if len(list.GetExecutions()) > 0 { // visibility may lag behind
		sealedUnder(t, "list "+id, list, keyset, 1)
	}
}

func (w *world) replays(t *testing.T, id, run string, o worker.ReplayWorkflowHistoryOptions) {
	t.Helper()
	plugin := w.Plugin(t, w.ring, signet.Options{Scope: "payments", Tenants: w.tenants()})
	r, err := worker.NewWorkflowReplayerWithOptions(worker.WorkflowReplayerOptions{Plugins: []worker.Plugin{plugin}})
	if err != nil {
		t.Fatal(err)
	}
	r.RegisterWorkflow(Order)
	r.RegisterWorkflow(Part)
	if err := r.ReplayWorkflowHistoryWithOptions(stack.Quiet, w.history(t, id, run), o); err != nil {
		t.Errorf("replaying %s: %v", id, err)
	}
}

// Nightly returns what it was given, and what its last run returned.
func Nightly(ctx workflow.Context, item string) (string, error) {
	last := ""
	if workflow.HasLastCompletionResult(ctx) {
		if err := workflow.GetLastCompletionResult(ctx, &last); err != nil {
			return "", err
		}
	}
	return item + "+" + last, nil
}

// TestASchedulesWorkflowsAreItsTenants: the server appends the time to the id of what a schedule starts.
func TestASchedulesWorkflowsAreItsTenants(t *testing.T) {
	w := newWorld(t, signet.Options{}, keys.RingOptions{}, "acme")
	handle, err := w.client.ScheduleClient().Create(t.Context(), client.ScheduleOptions{
		ID: "nightly", TriggerImmediately: true, Spec: client.ScheduleSpec{Intervals: []client.ScheduleIntervalSpec{{Every: 24 * time.Hour}}},
		Action: &client.ScheduleWorkflowAction{ID: "acme/nightly", Workflow: Nightly, TaskQueue: taskQueue, Args: []any{"tea"}, Memo: map[string]any{"m": "memo"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	ran := func(n int) (id string) {
		stack.Eventually(t, 30*time.Second, func() error {
			d, err := handle.Describe(t.Context())
			if err != nil || len(d.Info.RecentActions) < n || len(d.Info.RunningWorkflows) > 0 {
				return fmt.Errorf("the schedule has not ended %d workflows: %v", n, err)
			}
			id = d.Info.RecentActions[n-1].StartWorkflowResult.WorkflowID
			return nil
		})
		return id
	}
	first := ran(1)
	if first == "acme/nightly" || !strings.HasPrefix(first, "acme/nightly-") {
		t.Errorf("the schedule started %q: what this test is about does not happen", first)
	}
	time.Sleep(time.Second) // ids of one second are the same
	if err := handle.Trigger(t.Context(), client.ScheduleTriggerOptions{}); err != nil {
		t.Fatal(err)
	}
	second := ran(2)
	if got := get[string](t, w.client.GetWorkflow(t.Context(), second, "")); got != "tea+tea+" {
		t.Errorf("the second night returns %q", got)
	}
	for _, id := range []string{first, second} {
		sealedUnder(t, id, w.history(t, id, ""), "tenant/acme", 3)
	}
	d, err := w.raw.WorkflowService().DescribeSchedule(t.Context(), &workflowservice.DescribeScheduleRequest{Namespace: "payments", ScheduleId: "nightly"})
	if err != nil {
		t.Fatal(err)
	}
	sealedUnder(t, "the schedule", d, "tenant/acme", 2)
}
