package tenants_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/signet-temporal/signet"
	"github.com/signet-temporal/signet/converter"
	"github.com/signet-temporal/signet/keys"
)

// Cancels refuses a query, and ends cancelled with details.
func Cancels(ctx workflow.Context, item string) error {
	if err := workflow.SetQueryHandler(ctx, "refuse", func() (string, error) { return "", errors.New("no " + item) }); err != nil {
		return err
	}
	workflow.GetSignalChannel(ctx, "go").Receive(ctx, nil)
	return temporal.NewCanceledError("details of " + item)
}

// TestWhatNamesNoWorkflowIsSealedUnderTheKeysetOfWhatIsNobodys holds the table of docs/tenants.md: what is not erased with a
// tenant, and what is because the call says whose it is.
func TestWhatNamesNoWorkflowIsSealedUnderTheKeysetOfWhatIsNobodys(t *testing.T) {
	o := signet.Options{Keyset: "ns/payments", Tenants: converter.Tenants{FromContext: tenantIn}}
	w := newWorld(t, o, keys.RingOptions{}, "acme", "bravo")

	w.start(t, "acme/cancels", Cancels, "tea")
	_, err := w.client.QueryWorkflow(t.Context(), "acme/cancels", "", "refuse")
	if err == nil || !strings.Contains(err.Error(), "no tea") {
		t.Errorf("the query's error reads %v", err)
	}
	_, err = w.raw.QueryWorkflow(t.Context(), "acme/cancels", "", "refuse")
	if err == nil || strings.Contains(err.Error(), "tea") {
		t.Errorf("the query's error leaves as %v", err)
	}
	if err := w.client.SignalWorkflow(t.Context(), "acme/cancels", "", "go", nil); err != nil {
		t.Fatal(err)
	}
	err = w.client.GetWorkflow(t.Context(), "acme/cancels", "").Get(t.Context(), nil)
	var cancelled *temporal.CanceledError
	var details string
	if !errors.As(err, &cancelled) || cancelled.Details(&details) != nil || details != "details of tea" {
		t.Errorf("the workflow ends with %v, details %q", err, details)
	}
	w.start(t, "acme/sends", Sends, "bravo/order", "tea")
	w.taskFails(t, "acme/sends")
	for id, what := range map[string]string{"acme/cancels": "the details of a cancellation", "acme/sends": "the failure of a task"} {
		nobodys := 0
		for _, event := range w.history(t, id, "").GetEvents() {
			found := keysets(t, event)
			ends := event.GetWorkflowExecutionCanceledEventAttributes() != nil || event.GetWorkflowTaskFailedEventAttributes() != nil
			if ends && found["ns/payments"] > 0 {
				nobodys++
			} else if len(found) > 0 && (ends || len(found) != 1 || found["tenant/acme"] == 0) {
				t.Errorf("%s, event %s: payloads by keyset %v", id, event.GetEventType(), found)
			}
		}
		if nobodys == 0 {
			t.Errorf("%s is not under the keyset of what is nobody's", what)
		}
	}

	// The call says whose: a schedule's own memo, a heartbeat by task token, an activity without a workflow.
	ctx := workFor(t.Context(), "acme")
	if _, err := w.client.ScheduleClient().Create(ctx, client.ScheduleOptions{
		ID: "monthly", Memo: map[string]any{"m": "memo"}, Paused: true, Spec: client.ScheduleSpec{Intervals: []client.ScheduleIntervalSpec{{Every: 24 * time.Hour}}},
		Action: &client.ScheduleWorkflowAction{ID: "acme/monthly", Workflow: Nightly, TaskQueue: taskQueue, Args: []any{"tea"}},
	}); err != nil {
		t.Fatal(err)
	}
	d, err := w.raw.WorkflowService().DescribeSchedule(t.Context(), &workflowservice.DescribeScheduleRequest{Namespace: "payments", ScheduleId: "monthly"})
	if err != nil {
		t.Fatal(err)
	}
	sealedUnder(t, "a schedule with a memo", d, "tenant/acme", 2)

	run := w.start(t, "acme/waits", w.Waits)
	token := <-w.ids
	if err := w.client.RecordActivityHeartbeat(ctx, token, "half done"); err != nil {
		t.Fatal(err)
	}
	beating, err := w.raw.DescribeWorkflowExecution(t.Context(), "acme/waits", "")
	if err != nil {
		t.Fatal(err)
	}
	sealedUnder(t, "a heartbeat", beating, "tenant/acme", 1)
	if err := w.client.CompleteActivity(ctx, token, "done", nil); err != nil {
		t.Fatal(err)
	}
	if got := get[string](t, run); got != "done" {
		t.Errorf("the workflow returns %q", got)
	}

	for _, tenant := range []string{"acme", ""} {
		of, keyset := workFor(t.Context(), tenant), "tenant/"+tenant
		if tenant == "" {
			keyset = "ns/payments"
		}
		handle, err := w.client.ExecuteActivity(of, client.StartActivityOptions{ID: "alone-" + tenant, TaskQueue: taskQueue, StartToCloseTimeout: time.Minute}, Pack, "tea")
		if err != nil {
			t.Fatal(err)
		}
		var packed string
		if err := handle.Get(of, &packed); err != nil || packed != "packed tea" {
			t.Errorf("an activity alone returns %q, %v", packed, err)
		}
		d, err := w.raw.WorkflowService().DescribeActivityExecution(t.Context(), &workflowservice.DescribeActivityExecutionRequest{Namespace: "payments", ActivityId: "alone-" + tenant, IncludeInput: true})
		if err != nil {
			t.Fatal(err)
		}
		sealedUnder(t, "the input of an activity alone", d.GetInput(), keyset, 1)
	}
}
