package census_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protopath"
	"google.golang.org/protobuf/reflect/protorange"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/signet-temporal/signet/keys/census"
)

// Everything writes every kind of event that carries a payload, continues as new, and fails.
func Everything(ctx workflow.Context, text string, again bool) error {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: time.Minute, Summary: "pack it"})
	ctx = workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{StartToCloseTimeout: time.Minute, Summary: "here"})
	ctx = workflow.WithChildOptions(ctx, workflow.ChildWorkflowOptions{WorkflowID: fmt.Sprint("child-", again), Memo: map[string]any{"of": text}, StaticSummary: "a child", StaticDetails: "its details"})
	if err := workflow.SetUpdateHandler(ctx, "set", func(_ workflow.Context, to string) (string, error) { return "was " + to, nil }); err != nil {
		return err
	}
	workflow.GetVersion(ctx, "change", workflow.DefaultVersion, 1)
	var out string
	steps := []func() error{
		func() error {
			return workflow.SideEffect(ctx, func(workflow.Context) any { return text }).Get(&out)
		},
		func() error {
			return workflow.MutableSideEffect(ctx, "m", func(workflow.Context) any { return text }, func(a, b any) bool { return a == b }).Get(&out)
		},
		func() error { return workflow.ExecuteLocalActivity(ctx, Pack, text).Get(ctx, &out) },
		func() error { return workflow.ExecuteActivity(ctx, Pack, text).Get(ctx, &out) },
		func() error { _ = workflow.ExecuteActivity(ctx, Refuse, text).Get(ctx, &out); return nil },
		func() error { return workflow.ExecuteChildWorkflow(ctx, Order, text, false).Get(ctx, &out) },
		func() error { return workflow.UpsertMemo(ctx, map[string]any{"now": text}) },
		func() error {
			return workflow.NewTimerWithOptions(ctx, time.Millisecond, workflow.TimerOptions{Summary: "a moment"}).Get(ctx, nil)
		},
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	workflow.GetSignalChannel(ctx, "go on").Receive(ctx, &out)
	if again {
		return workflow.NewContinueAsNewError(ctx, Everything, text, false)
	}
	return temporal.NewApplicationError("refused: "+text, "Refused", text)
}

// Refuse fails for good, with details.
func Refuse(_ context.Context, text string) error {
	return temporal.NewNonRetryableApplicationError("refused: "+text, "Refused", nil, text)
}

// TestACensusMissesNoPayload compares the census with a walk over the same histories by reflection, which knows nothing
// of where Temporal keeps payloads.
func TestACensusMissesNoPayload(t *testing.T) {
	t.Parallel() // it waits most of its time
	w := newWorld(t)
	e := w.next(t)
	extra := worker.New(e.Client, "everything", worker.Options{})
	extra.RegisterWorkflow(Everything)
	extra.RegisterWorkflow(Order)
	extra.RegisterActivity(Pack)
	extra.RegisterActivity(Refuse)
	if err := extra.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(extra.Stop)
	o := client.StartWorkflowOptions{ID: "all", TaskQueue: "everything", Memo: map[string]any{"of": "all"}, StaticSummary: "everything", StaticDetails: "in detail"}
	run, err := e.ExecuteWorkflow(t.Context(), o, Everything, "a text", true)
	if err != nil {
		t.Fatal(err)
	}
	update, err := e.UpdateWorkflow(t.Context(), client.UpdateWorkflowOptions{WorkflowID: "all", UpdateName: "set", Args: []any{"b"}, WaitForStage: client.WorkflowUpdateStageCompleted})
	if err != nil || update.Get(t.Context(), nil) != nil {
		t.Fatal(err)
	}
	for _, id := range []string{run.GetRunID(), ""} { // the first run and the one that it continues as
		if err := e.SignalWorkflow(t.Context(), "all", id, "go on", "now"); err != nil {
			t.Fatal(err)
		}
		err := e.GetWorkflow(t.Context(), "all", id).GetWithOptions(t.Context(), nil, client.WorkflowRunGetOptions{DisableFollowingRuns: true})
		if want := id == ""; strings.Contains(fmt.Sprint(err), "refused: a text") != want {
			t.Fatalf("run %q ended with %v", id, err)
		}
	}
	alone, err := e.ExecuteActivity(t.Context(), client.StartActivityOptions{ID: "alone", TaskQueue: "everything", StartToCloseTimeout: time.Minute, Summary: "alone"}, Pack, "it")
	if err == nil {
		err = alone.Get(t.Context(), nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	w.visible(t, 0, 4) // two runs, and a child of each

	r, err := census.Run(t.Context(), w.all.WorkflowService(), census.Options{Namespace: namespace, Rate: 1e6})
	if err != nil {
		t.Fatal(err)
	}
	want, activities := w.reflected(t)
	k := r.Keys[e.key]
	if len(r.Keys) != 1 || k.Total()-k.Payloads[census.InActivity] != want[e.key] || r.Unsealed != want[""] || len(want) > 2 {
		t.Errorf("the census finds %v and %d that are not sealed, reflection %v", k.Payloads, r.Unsealed, want)
	}
	if r.Activities != 1 || k.Payloads[census.InActivity] != activities[e.key] || activities[e.key] != 3 {
		t.Errorf("of %d standalone activities the census finds %d payloads, reflection %v", r.Activities, k.Payloads[census.InActivity], activities)
	}
	if k.Payloads[census.InHistory] < 60 {
		t.Errorf("there are only %d payloads in the histories: that is not everything", k.Payloads[census.InHistory])
	}
	t.Logf("%v", k.Payloads)
}

// reflected counts what Temporal stores of the workflows, and of the activity.
func (w *world) reflected(t *testing.T) (workflows, activity map[string]int64) {
	t.Helper()
	workflows, activity = map[string]int64{}, map[string]int64{}
	service := w.all.WorkflowService()
	list, err := service.ListWorkflowExecutions(t.Context(), &workflowservice.ListWorkflowExecutionsRequest{Namespace: namespace})
	if err != nil {
		t.Fatal(err)
	}
	for _, info := range list.GetExecutions() {
		reflected(t, info.GetMemo(), workflows)
		events := w.all.GetWorkflowHistory(t.Context(), info.GetExecution().GetWorkflowId(), info.GetExecution().GetRunId(), false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
		for events.HasNext() {
			event, err := events.Next()
			if err != nil {
				t.Fatal(err)
			}
			reflected(t, event, workflows)
		}
	}
	d, err := service.DescribeActivityExecution(t.Context(), &workflowservice.DescribeActivityExecutionRequest{Namespace: namespace, ActivityId: "alone",
		IncludeInput: true, IncludeOutcome: true, IncludeHeartbeatDetails: true, IncludeLastFailure: true})
	if err != nil {
		t.Fatal(err)
	}
	reflected(t, d, activity)
	return workflows, activity
}

// reflected counts the payloads of a message by key, found by reflection; "" stands for those that are not sealed.
func reflected(t *testing.T, m proto.Message, to map[string]int64) {
	t.Helper()
	err := protorange.Range(m.ProtoReflect(), func(p protopath.Values) error {
		message, ok := p.Index(-1).Value.Interface().(protoreflect.Message)
		if !ok {
			return nil
		}
		if payload, ok := message.Interface().(*commonpb.Payload); ok {
			for i := range p.Len() {
				if parent, ok := p.Index(i).Value.Interface().(protoreflect.Message); ok {
					if _, search := parent.Interface().(*commonpb.SearchAttributes); search {
						return nil
					}
				}
			}
			to[string(payload.GetMetadata()["encryption-key-id"])]++
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
