package history_test

import (
	"errors"
	"strings"
	"testing"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/signet-temporal/signet"
	"github.com/signet-temporal/signet/e2e/stack"
)

// TestWhoHoldsTheKeysReadsEverything plays the same scenario and compares what every reader got with what was written.
func TestWhoHoldsTheKeysReadsEverything(t *testing.T) {
	s := stack.Start(t, stack.Options{Namespaces: []string{"payments"}, WithoutOIDC: true})
	g := newStage(t, s, "payments", s.Plugin(t, nil, signet.Options{}))
	o := g.play(t)

	for _, place := range []string{
		"workflow-input", "activity-input", "activity-result", "local-activity-result", "local-activity-failure",
		"failure-message", "failure-details", "failure-cause", "panic-message", "heartbeat", "side-effect", "mutable-side-effect",
		"child-input", "child-result", "child-signal", "child-failure", "signal", "update-argument",
	} {
		if got, want := o.result.Seen[place], g.secret(place); got != want {
			t.Errorf("the workflow read %q for %s, want %q", got, place, want)
		}
	}
	if stack := o.result.Seen["panic-stack"]; !strings.Contains(stack, "canaryStackFrame") {
		t.Errorf("the stack trace came back as %q", stack)
	}
	for what, pair := range map[string][2]string{
		"result":            {o.result.Value, "workflow-result"},
		"carried over":      {o.result.Seen["continued"], "continue-as-new-input"},
		"query result":      {o.queried.Value, "query-result"},
		"query argument":    {o.queried.Seen["query-argument"], "query-argument"},
		"update result":     {o.amended.Value, "update-result"},
		"signal with start": {o.signalled.Seen["go"], "signal-with-start"},
		"its input":         {o.signalled.Seen["input"], "signal-with-start-input"},
		"schedule":          {o.scheduleArgument, "schedule-argument"},
		"scheduled input":   {o.scheduled.Seen["input"], "schedule-argument"},
		"scheduled signal":  {o.scheduled.Seen["go"], "scheduled-signal"},
		"memo at start":     {g.read(t, o.memo["started"]), "memo-started"},
		"memo upserted":     {g.read(t, o.memo["upserted"]), "memo-upserted"},
	} {
		if want := g.secret(pair[1]); pair[0] != want {
			t.Errorf("%s is %q, want %q", what, pair[0], want)
		}
	}
	if err := o.errors["query"]; err == nil || !strings.Contains(err.Error(), g.secret("query-error")) {
		t.Errorf("the query's error is %v", err)
	}
	g.readFailures(t, o)
}

func (g *stage) read(t *testing.T, p *commonpb.Payload) (text string) {
	t.Helper()
	if p == nil {
		t.Error("a memo is missing")
		return ""
	}
	g.must(t, g.dc.FromPayload(p, &text))
	return text
}

func (g *stage) readFailures(t *testing.T, o outcome) {
	t.Helper()
	var failed *temporal.ApplicationError
	if !errors.As(o.errors["update-failure"], &failed) || failed.Message() != g.secret("update-failure") {
		t.Errorf("the update failed with %v", o.errors["update-failure"])
	} else if g.detail(t, failed) != g.secret("update-failure-details") {
		t.Errorf("the details of the failed update are %q", g.detail(t, failed))
	}
	if !errors.As(o.errors["update-rejection"], &failed) || failed.Message() != g.secret("update-rejection") {
		t.Errorf("the update was rejected with %v", o.errors["update-rejection"])
	}
	var canceled *temporal.CanceledError
	if !errors.As(o.errors["canceled"], &canceled) {
		t.Fatalf("the canceled workflow ended with %v", o.errors["canceled"])
	}
	if got := g.detail(t, canceled); got != g.secret("cancel-details") {
		t.Errorf("the details of the cancelation are %q", got)
	}
	err := g.client.GetWorkflow(t.Context(), "patient-broken", "").Get(t.Context(), nil)
	if !errors.As(err, &failed) || failed.Message() != g.secret("child-failure") || g.detail(t, failed) != g.secret("child-failure-details") {
		t.Errorf("the child failed with %v", err)
	}
}

func (g *stage) detail(t *testing.T, from interface{ Details(...any) error }) (text string) {
	t.Helper()
	g.must(t, from.Details(&text))
	return text
}

// TestTheReplayerReplaysSealedHistories replays what was fetched from the server, which neither names the namespace nor,
// as a file, the workflow. Without the plugin the same histories do not replay.
func TestTheReplayerReplaysSealedHistories(t *testing.T) {
	s := stack.Start(t, stack.Options{Namespaces: []string{"payments"}, WithoutOIDC: true})
	g := newStage(t, s, "payments", s.Plugin(t, nil, signet.Options{}))
	g.play(t)
	for _, id := range []string{"patient", "patient-sample", "patient-broken", "signalled", "updated"} {
		for _, run := range g.runs(t, id) {
			if err := g.replay(t, id, run, g.replayer(t, s.Plugin(t, nil, signet.Options{Scope: "payments"}))); err != nil {
				t.Errorf("replay of %s: %v", id, err)
			}
		}
	}
	run := g.runs(t, "patient")[0]
	if err := g.replay(t, "patient", run, g.replayer(t)); err == nil {
		t.Error("a replayer without keys replays: it does not read the history")
	}
	if err := g.replay(t, "patient", run, g.replayer(t, s.Plugin(t, nil, signet.Options{Scope: "orders", Keyset: "ns/payments"}))); err == nil {
		t.Error("a replayer of another scope replays")
	}
}

func (g *stage) replayer(t *testing.T, plugins ...worker.Plugin) worker.WorkflowReplayer {
	t.Helper()
	r, err := worker.NewWorkflowReplayerWithOptions(worker.WorkflowReplayerOptions{Plugins: plugins})
	g.must(t, err)
	for _, wf := range []any{g.Patient, g.Sample, g.Broken, g.Waits} {
		r.RegisterWorkflow(wf)
	}
	return r
}

// replay replays one run twice: with and without knowing its id.
func (g *stage) replay(t *testing.T, id, run string, r worker.WorkflowReplayer) error {
	t.Helper()
	history := fetch(t, g.raw, id, run)
	original := worker.ReplayWorkflowHistoryOptions{OriginalExecution: workflow.Execution{ID: id, RunID: run}}
	return errors.Join(
		r.ReplayWorkflowHistoryWithOptions(stack.Quiet, history, original),
		r.ReplayWorkflowHistory(stack.Quiet, history),
	)
}

// runs returns the run ids of a workflow.
func (g *stage) runs(t *testing.T, id string) (runs []string) {
	t.Helper()
	list, err := g.raw.ListWorkflow(t.Context(), &workflowservice.ListWorkflowExecutionsRequest{Namespace: g.namespace, Query: "WorkflowId = '" + id + "'"})
	g.must(t, err)
	for _, info := range list.GetExecutions() {
		runs = append(runs, info.GetExecution().GetRunId())
	}
	if len(runs) == 0 {
		t.Fatalf("visibility does not show %s", id)
	}
	return runs
}

// fetch returns a history as the server has it.
func fetch(t *testing.T, raw client.Client, id, run string) *historypb.History {
	t.Helper()
	history := &historypb.History{}
	for events := raw.GetWorkflowHistory(t.Context(), id, run, false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT); events.HasNext(); {
		event, err := events.Next()
		if err != nil {
			t.Fatal(err)
		}
		history.Events = append(history.Events, event)
	}
	return history
}
