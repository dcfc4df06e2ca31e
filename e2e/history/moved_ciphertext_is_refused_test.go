package history_test

import (
	"context"
	"strings"
	"testing"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/activity"
	sdk "go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/signet-temporal/signet"
	"github.com/signet-temporal/signet/e2e/stack"
)

// TestCiphertextMovedElsewhereIsRefused: whoever may write to Temporal but has no key takes the sealed input of one
// workflow and gives it to another one, to another namespace, to another workflow's activity and as a signal. It opens
// nowhere but where it was sealed for.
func TestCiphertextMovedElsewhereIsRefused(t *testing.T) {
	s := stack.Start(t, stack.Options{WithoutOIDC: true})
	executed := &calls{}
	executed.start(t, s, "payments", s.Plugin(t, nil, signet.Options{}))
	// The worker of orders holds the keys of payments as well: it is not for want of a key that it refuses.
	executed.start(t, s, "orders", s.Plugin(t, nil, signet.Options{AcceptKeysets: []string{"ns/payments"}}))
	payments, orders := s.ClientWith(t, "payments"), s.ClientWith(t, "orders")

	run, err := s.Client(t, "payments", signet.Options{}).ExecuteWorkflow(t.Context(), startOptions("victim"), executed.Echo, "pay mallory")
	if err != nil {
		t.Fatal(err)
	}
	if err := run.Get(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	stolen := sdk.NewRawValue(fetch(t, payments, "victim", "").GetEvents()[0].GetWorkflowExecutionStartedEventAttributes().GetInput().GetPayloads()[0])
	before, activities := executed.workflows.Load(), executed.activities.Load()

	if _, err := payments.ExecuteWorkflow(t.Context(), startOptions("other"), "Echo", stolen); err != nil {
		t.Fatal(err)
	}
	if _, err := orders.ExecuteWorkflow(t.Context(), startOptions("victim"), "Echo", stolen); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Client(t, "payments", signet.Options{}).ExecuteWorkflow(t.Context(), startOptions("signalled"), executed.Collect, ""); err != nil {
		t.Fatal(err)
	}
	if err := payments.SignalWorkflow(t.Context(), "signalled", "", "one", stolen); err != nil {
		t.Fatal(err)
	}
	fc := failureConverter(t, s.DefaultRing(t), "payments")
	_, why := taskFailed(t, payments, "other", fc)
	says(t, "another workflow", why, `sealed for workflow "victim", found in workflow "other"`)
	_, why = taskFailed(t, payments, "signalled", fc)
	says(t, "a signal", why, `sealed for workflow "victim", found in workflow "signalled"`)
	_, why = taskFailed(t, orders, "victim", failureConverter(t, s.DefaultRing(t), "orders"))
	says(t, "another namespace", why, `sealed for scope "payments"`)
	stillOpen(t, payments, "other")
	stillOpen(t, payments, "signalled")
	stillOpen(t, orders, "victim")

	options := startOptions("relayed")
	options.TaskQueue = "relay"
	relayed, err := startRelay(t, s, "payments").ExecuteWorkflow(t.Context(), options, Relay, stolen)
	if err != nil {
		t.Fatal(err)
	}
	if err := relayed.Get(t.Context(), nil); err == nil {
		t.Error("the activity of another workflow ran on it")
	}
	if w, a := executed.workflows.Load()-before, executed.activities.Load()-activities; w != 0 || a != 0 {
		t.Errorf("%d workflows and %d activities ran on stolen input", w, a)
	}

	// Its context rewritten to fit: now it is authentic for nobody.
	forged := &commonpb.Payload{Metadata: map[string][]byte{}, Data: stolen.Payload().GetData()}
	for key, value := range stolen.Payload().GetMetadata() {
		forged.Metadata[key] = value
	}
	forged.Metadata["encryption-context"] = []byte(`{"v":1,"ns":"payments","wf":"forged"}`)
	if _, err := payments.ExecuteWorkflow(t.Context(), startOptions("forged"), "Echo", sdk.NewRawValue(forged)); err != nil {
		t.Fatal(err)
	}
	_, why = taskFailed(t, payments, "forged", fc)
	says(t, "a forged context", why, "payload is not authentic")
	if got := why.Error(); strings.Contains(got, "sealed for") {
		t.Errorf("the answer to a forgery says more than that it is one: %s", got)
	}
	stillOpen(t, payments, "forged")
}

func says(t *testing.T, what string, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%s: the error is %v, want it to say %s", what, err, want)
	}
}

// asksElsewhere has an activity done by a worker that does not seal.
func asksElsewhere(ctx workflow.Context) (out string, err error) {
	o := workflow.ActivityOptions{TaskQueue: "elsewhere", StartToCloseTimeout: time.Minute, RetryPolicy: &temporal.RetryPolicy{MaximumAttempts: 1}}
	err = workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, o), "Answer").Get(ctx, &out)
	return out, err
}

// TestAnInputDoesNotPassForTheResultOfAnotherWorkflow: a worker without keys answers for an activity, with the sealed
// input of another workflow. The task that reads it fails; the workflow does not take it for a result.
func TestAnInputDoesNotPassForTheResultOfAnotherWorkflow(t *testing.T) {
	s := stack.Start(t, stack.Options{Namespaces: []string{"payments"}, WithoutOIDC: true})
	raw, sealing := s.ClientWith(t, "payments"), s.Client(t, "payments", signet.Options{})
	stolen := sealed(t, converterOf(t, s.DefaultRing(t), "payments", "victim"), "pay mallory")
	own := sealed(t, converterOf(t, s.DefaultRing(t), "payments", "own"), "pay alice")

	elsewhere := worker.New(raw, "elsewhere", worker.Options{})
	elsewhere.RegisterActivityWithOptions(func(ctx context.Context) (sdk.RawValue, error) {
		if activity.GetInfo(ctx).WorkflowExecution.ID == "own" {
			return sdk.NewRawValue(own), nil
		}
		return sdk.NewRawValue(stolen), nil
	}, activity.RegisterOptions{Name: "Answer"})
	w := worker.New(sealing, taskQueue, worker.Options{})
	w.RegisterWorkflow(asksElsewhere)
	for _, w := range []worker.Worker{elsewhere, w} {
		if err := w.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(w.Stop)
	}
	if _, err := sealing.ExecuteWorkflow(t.Context(), startOptions("other"), asksElsewhere); err != nil {
		t.Fatal(err)
	}
	_, why := taskFailed(t, raw, "other", failureConverter(t, s.DefaultRing(t), "payments"))
	says(t, "the result", why, `sealed for workflow "victim", found in workflow "other"`)
	stillOpen(t, raw, "other")

	run, err := sealing.ExecuteWorkflow(t.Context(), startOptions("own"), asksElsewhere)
	if err != nil {
		t.Fatal(err)
	}
	var out string
	if err := run.Get(t.Context(), &out); err != nil || out != "pay alice" {
		t.Errorf("what was sealed for the workflow itself: %q, %v", out, err)
	}
}
