package history_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/signet-temporal/signet"
	"github.com/signet-temporal/signet/e2e/stack"
)

// readsEverything compares what every reader got with what was written, and opens all that Temporal and the application have said. Between
// the two, no place is without a reader.
func (g *stage) readsEverything(t *testing.T) {
	for place, texts := range g.read.texts {
		for _, text := range texts {
			if text != g.secret(place) && !(place == "panic-stack" && strings.Contains(text, "canaryStackFrame")) {
				t.Errorf("what was read for %s is %q", place, text)
			}
		}
	}
	opened := &evidence{}
	for _, f := range slices.Concat(g.evidence.payloads, g.wire.evidence(t).payloads) {
		if f.inHeader {
			continue
		}
		plain, err := g.codec(t).Open(f.payload)
		if err != nil {
			t.Errorf("%s: %v", f.where, err)
			continue
		}
		opened.addBytes(t, f.where, plain)
	}
	said := opened.secrets(g.scenario)
	for _, place := range places {
		if g.read.texts[place] == nil && said[place] == nil {
			t.Errorf("nobody reads %s", place)
		}
	}
}

// replays replays what was fetched from the server, which neither names the namespace nor, as a file, the workflow.
// Without the plugin the same histories do not replay.
func (g *stage) replays(t *testing.T) {
	for _, id := range []string{"patient", "patient-sample", "patient-broken", "signalled", "updated", "nightly", "faltering", "reset", "defers", "refers",
		g.secret("workflow-id"), g.secret("nexus-workflow-id")} {
		for _, run := range g.runs(t, id) {
			if err := g.replay(t, id, run, g.replayer(t, g.stack.Plugin(t, nil, g.options()))); err != nil {
				t.Errorf("replay of %s: %v", id, err)
			}
		}
	}
	run := g.runs(t, "patient")[0]
	if err := g.replay(t, "patient", run, g.replayer(t)); err == nil {
		t.Error("a replayer without keys replays: it does not read the history")
	}
	if err := g.replay(t, "patient", run, g.replayer(t, g.stack.Plugin(t, nil, signet.Options{Scope: "orders", Keyset: g.keyset}))); err == nil {
		t.Error("a replayer of another scope replays")
	}
}

func (g *stage) replayer(t *testing.T, plugins ...worker.Plugin) worker.WorkflowReplayer {
	t.Helper()
	r, err := worker.NewWorkflowReplayerWithOptions(worker.WorkflowReplayerOptions{Plugins: plugins})
	g.must(t, err)
	g.register(r)
	return r
}

// replay replays one run twice: with and without knowing its id.
func (g *stage) replay(t *testing.T, id, run string, r worker.WorkflowReplayer) error {
	t.Helper()
	history := fetch(t, g.raw, id, run)
	if len(history.GetEvents()) < 3 { // a night that was over before it began: there is nothing to replay
		return nil
	}
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
