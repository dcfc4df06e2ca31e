package history_test

import (
	"errors"
	"strings"
	"testing"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/signet-temporal/signet"
	"github.com/signet-temporal/signet/e2e/stack"
)

// TestAMemoThatCannotBeSealedNeverLeaves: where sealing a memo fails, the SDK sends it in clear and says nothing. The
// plugin does not let such a request out; without its guard the memo does leave, which shows that it is needed.
func TestAMemoThatCannotBeSealedNeverLeaves(t *testing.T) {
	s := stack.Start(t, stack.Options{Namespaces: []string{"payments"}, WithoutOIDC: true})
	raw := s.ClientWith(t, "payments")
	held := &faulty{Ring: s.DefaultRing(t)}
	guarded := s.ClientWith(t, "payments", s.Plugin(t, held, signet.Options{}))
	unguarded := s.ClientWith(t, "payments", s.Plugin(t, held, signet.Options{AllowUnsealedRequests: true}))
	held.refuses.Store(true)

	memo := map[string]any{"patient": "MEMO-IN-CLEAR"}
	start := startOptions("memo")
	start.Memo = memo
	_, err := guarded.ExecuteWorkflow(t.Context(), start, "Nothing")
	if err == nil || !strings.Contains(err.Error(), "not sealed") {
		t.Errorf("start with a memo that cannot be sealed: %v", err)
	}
	_, err = guarded.SignalWithStartWorkflow(t.Context(), "memo", "go", nil, start, "Nothing")
	if err == nil {
		t.Error("signal with start with a memo that cannot be sealed: no error")
	}
	_, err = guarded.ScheduleClient().Create(t.Context(), client.ScheduleOptions{ID: "memo", Memo: memo,
		Action: &client.ScheduleWorkflowAction{ID: "memo", Workflow: "Nothing", TaskQueue: taskQueue}})
	if err == nil || !strings.Contains(err.Error(), "not sealed") {
		t.Errorf("schedule with a memo that cannot be sealed: %v", err)
	}
	_, err = guarded.ScheduleClient().Create(t.Context(), client.ScheduleOptions{ID: "memo",
		Action: &client.ScheduleWorkflowAction{ID: "memo", Workflow: "Nothing", TaskQueue: taskQueue, Memo: memo}})
	if err == nil || !strings.Contains(err.Error(), "not sealed") {
		t.Errorf("schedule that starts with a memo that cannot be sealed: %v", err)
	}
	var notFound *serviceerror.NotFound
	if _, err := raw.DescribeWorkflowExecution(t.Context(), "memo", ""); !errors.As(err, &notFound) {
		t.Errorf("the server knows the workflow: %v", err)
	}
	if _, err := raw.ScheduleClient().GetHandle(t.Context(), "memo").Describe(t.Context()); !errors.As(err, &notFound) {
		t.Errorf("the server knows the schedule: %v", err)
	}

	if _, err := unguarded.ExecuteWorkflow(t.Context(), start, "Nothing"); err != nil {
		t.Fatalf("without the guard: %v", err)
	}
	d, err := raw.DescribeWorkflowExecution(t.Context(), "memo", "")
	if err != nil {
		t.Fatal(err)
	}
	if got := string(d.GetWorkflowExecutionInfo().GetMemo().GetFields()["patient"].GetData()); !strings.Contains(got, "MEMO-IN-CLEAR") {
		t.Errorf("without the guard the memo is %q: the SDK does not fall back to plaintext any more", got)
	}
}

// TestAMemoInsideAWorkflowWaitsForTheKey: where a workflow upserts a memo, or starts a child with one, and the key is
// missing, its task fails until the key is back.
func TestAMemoInsideAWorkflowWaitsForTheKey(t *testing.T) {
	s := stack.Start(t, stack.Options{Namespaces: []string{"payments"}, WithoutOIDC: true})
	raw := s.ClientWith(t, "payments")
	held := &faulty{Ring: s.DefaultRing(t)}
	c := s.ClientWith(t, "payments", s.Plugin(t, held, signet.Options{}))
	w := worker.New(c, taskQueue, worker.Options{})
	w.RegisterWorkflowWithOptions(func(ctx workflow.Context) error {
		return workflow.UpsertMemo(ctx, map[string]any{"patient": "MEMO-IN-CLEAR"})
	}, workflow.RegisterOptions{Name: "Upserts"})
	w.RegisterWorkflowWithOptions(func(ctx workflow.Context) error {
		ctx = workflow.WithChildOptions(ctx, workflow.ChildWorkflowOptions{WorkflowID: "child", Memo: map[string]any{"patient": "MEMO-IN-CLEAR"}})
		return workflow.ExecuteChildWorkflow(ctx, "Upserts").Get(ctx, nil)
	}, workflow.RegisterOptions{Name: "Parent"})
	held.refuses.Store(true)
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Stop)
	var runs []client.WorkflowRun
	for _, name := range []string{"Upserts", "Parent"} {
		run, err := c.ExecuteWorkflow(t.Context(), startOptions(name), name)
		if err != nil {
			t.Fatal(err)
		}
		runs = append(runs, run)
		_, why := taskFailed(t, raw, name, failureConverter(t, held, "payments"))
		if why == nil || !strings.Contains(why.Error(), "key-unavailable") {
			t.Errorf("the task of %s failed with: %v", name, why)
		}
		stillOpen(t, raw, name)
	}
	held.refuses.Store(false)
	for _, run := range runs {
		if err := run.Get(t.Context(), nil); err != nil {
			t.Errorf("%s: %v", run.GetID(), err)
		}
	}
	e := &evidence{}
	for _, id := range []string{"Upserts", "Parent", "child"} {
		d, err := raw.DescribeWorkflowExecution(t.Context(), id, "")
		if err != nil {
			t.Fatal(err)
		}
		e.add(t, "describe "+id, d)
		e.add(t, "history of "+id, fetch(t, raw, id, ""))
	}
	for _, f := range e.payloads {
		if why := notSealed(f.payload, stack.Keyset("payments"), "payments"); why != "" {
			t.Errorf("%s is not sealed: %s", f.where, why)
		}
	}
}
