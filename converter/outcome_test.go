package converter

import (
	"errors"
	"strings"
	"testing"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	updatepb "go.temporal.io/api/update/v1"
	sdk "go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// These tests hold what fault.go knows of the SDK: in a workflow task trouble with a key fails the task, which the
// replayer reports as its error. Whatever the workflow itself would have made of it shows in "reached".

const outcomeWorkflow = "intake-17"

// replay runs code against a history with a sealed input, a sealed signal and a version marker, by a codec that can open
// none of them while keys fails.
func replay(t *testing.T, dc *DataConverter, code any, events ...*historypb.HistoryEvent) error {
	t.Helper()
	fc, err := NewFailureConverter(nil, dc)
	if err != nil {
		t.Fatal(err)
	}
	replayer, err := worker.NewWorkflowReplayerWithOptions(worker.WorkflowReplayerOptions{DataConverter: dc, FailureConverter: fc})
	if err != nil {
		t.Fatal(err)
	}
	replayer.RegisterWorkflowWithOptions(code, workflow.RegisterOptions{Name: "outcome"})
	for i, e := range events {
		e.EventId = int64(i + 1)
		e.EventTime = timestamppb.New(time.Unix(1_800_000_000+int64(i), 0))
	}
	return replayer.ReplayWorkflowHistory(nil, &historypb.History{Events: events})
}

func started(input *commonpb.Payloads) *historypb.HistoryEvent {
	return &historypb.HistoryEvent{EventType: enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED, Attributes: &historypb.HistoryEvent_WorkflowExecutionStartedEventAttributes{
		WorkflowExecutionStartedEventAttributes: &historypb.WorkflowExecutionStartedEventAttributes{
			WorkflowType: &commonpb.WorkflowType{Name: "outcome"}, TaskQueue: &taskqueuepb.TaskQueue{Name: "q"}, Input: input,
			OriginalExecutionRunId: "run", FirstExecutionRunId: "run", WorkflowTaskTimeout: durationpb.New(10 * time.Second), Attempt: 1,
		}}}
}

func task() []*historypb.HistoryEvent {
	return []*historypb.HistoryEvent{
		{EventType: enumspb.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED, Attributes: &historypb.HistoryEvent_WorkflowTaskScheduledEventAttributes{WorkflowTaskScheduledEventAttributes: &historypb.WorkflowTaskScheduledEventAttributes{}}},
		{EventType: enumspb.EVENT_TYPE_WORKFLOW_TASK_STARTED, Attributes: &historypb.HistoryEvent_WorkflowTaskStartedEventAttributes{WorkflowTaskStartedEventAttributes: &historypb.WorkflowTaskStartedEventAttributes{}}},
		{EventType: enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED, Attributes: &historypb.HistoryEvent_WorkflowTaskCompletedEventAttributes{WorkflowTaskCompletedEventAttributes: &historypb.WorkflowTaskCompletedEventAttributes{}}},
	}
}

func signaled(input *commonpb.Payloads) *historypb.HistoryEvent {
	return &historypb.HistoryEvent{EventType: enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED, Attributes: &historypb.HistoryEvent_WorkflowExecutionSignaledEventAttributes{
		WorkflowExecutionSignaledEventAttributes: &historypb.WorkflowExecutionSignaledEventAttributes{SignalName: "note", Input: input}}}
}

func versionMarker(t *testing.T, dc sdk.DataConverter) *historypb.HistoryEvent {
	t.Helper()
	details := map[string]*commonpb.Payloads{}
	for name, value := range map[string]any{"change-id": "fork", "version": 1, "version-search-attribute-updated": false} {
		ps, err := dc.ToPayloads(value)
		if err != nil {
			t.Fatal(err)
		}
		details[name] = ps
	}
	return &historypb.HistoryEvent{EventType: enumspb.EVENT_TYPE_MARKER_RECORDED, Attributes: &historypb.HistoryEvent_MarkerRecordedEventAttributes{
		MarkerRecordedEventAttributes: &historypb.MarkerRecordedEventAttributes{MarkerName: "Version", Details: details, WorkflowTaskCompletedEventId: 4}}}
}

// accepted is an update that a task before it has accepted, and completed.
func accepted(args *commonpb.Payloads) []*historypb.HistoryEvent {
	request := &updatepb.Request{Meta: &updatepb.Meta{UpdateId: "u"}, Input: &updatepb.Input{Name: "set", Args: args}}
	return []*historypb.HistoryEvent{
		{EventType: enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED, Attributes: &historypb.HistoryEvent_WorkflowExecutionUpdateAcceptedEventAttributes{
			WorkflowExecutionUpdateAcceptedEventAttributes: &historypb.WorkflowExecutionUpdateAcceptedEventAttributes{
				ProtocolInstanceId: "u", AcceptedRequestMessageId: "u/request", AcceptedRequestSequencingEventId: 5, AcceptedRequest: request}}},
		{EventType: enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_COMPLETED, Attributes: &historypb.HistoryEvent_WorkflowExecutionUpdateCompletedEventAttributes{
			WorkflowExecutionUpdateCompletedEventAttributes: &historypb.WorkflowExecutionUpdateCompletedEventAttributes{Meta: request.GetMeta(), AcceptedEventId: 8}}},
	}
}

func events(parts ...any) (out []*historypb.HistoryEvent) {
	for _, p := range parts {
		switch p := p.(type) {
		case *historypb.HistoryEvent:
			out = append(out, p)
		case []*historypb.HistoryEvent:
			out = append(out, p...)
		}
	}
	return out
}

func TestInAWorkflowTaskAMissingKeyFailsTheTask(t *testing.T) {
	keys := paymentKeys(t)
	dc := newDC(t, keys)
	bound := in(dc, outcomeWorkflow)
	text, err := bound.ToPayloads("hello")
	if err != nil {
		t.Fatal(err)
	}
	var reached []string
	reach := func(what string) { reached = append(reached, what) }

	readsInput := func(_ workflow.Context, s string) error { reach("input " + s); return nil }
	readsSignal := func(ctx workflow.Context) error {
		var s string
		workflow.GetSignalChannel(ctx, "note").Receive(ctx, &s)
		reach("signal " + s)
		return nil
	}
	branches := func(ctx workflow.Context) error {
		if workflow.GetVersion(ctx, "fork", workflow.DefaultVersion, 1) == workflow.DefaultVersion {
			reach("old branch")
		} else {
			reach("new branch")
		}
		workflow.GetSignalChannel(ctx, "never").Receive(ctx, nil)
		return nil
	}
	for _, tc := range []struct {
		name string
		code any
		list func() []*historypb.HistoryEvent
		good string
	}{
		{"input", readsInput, func() []*historypb.HistoryEvent { return events(started(text), task()) }, "input hello"},
		{"signal", readsSignal, func() []*historypb.HistoryEvent { return events(started(nil), signaled(text), task()) }, "signal hello"},
		{"version marker", branches, func() []*historypb.HistoryEvent {
			return events(started(nil), task(), versionMarker(t, bound), signaled(nil), task())
		}, "new branch"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			keys.fail(nil)
			list := tc.list()
			reached = nil
			keys.fail(errors.New("KEY-AWAY"))
			err := replay(t, dc, tc.code, list...)
			if err == nil || !strings.Contains(err.Error(), "KEY-AWAY") || len(reached) > 0 {
				t.Errorf("without the key: error %v, workflow reached %q; want the error and nothing reached", err, reached)
			}
			keys.fail(nil)
			_ = replay(t, dc, tc.code, list...) // may complain of the end of the made-up history
			if len(reached) == 0 || reached[0] != tc.good {
				t.Errorf("with the key: workflow reached %q, want %q", reached, tc.good)
			}
		})
	}
}

// TestAnUpdateThatWasAcceptedIsNotRejectedOnReplay: a key that was destroyed since, or plaintext that a migration let
// pass, must not undo what the update did: the SDK would not notice.
func TestAnUpdateThatWasAcceptedIsNotRejectedOnReplay(t *testing.T) {
	keys := paymentKeys(t)
	dc := newDC(t, keys)
	to, err := in(dc, outcomeWorkflow).ToPayloads("to")
	if err != nil {
		t.Fatal(err)
	}
	var reached []string
	code := func(ctx workflow.Context) error {
		if err := workflow.SetUpdateHandler(ctx, "set", func(_ workflow.Context, to string) error {
			reached = append(reached, "set "+to)
			return nil
		}); err != nil {
			return err
		}
		workflow.GetSignalChannel(ctx, "note").Receive(ctx, nil)
		reached = append(reached, "end")
		return nil
	}
	plain, err := sdk.GetDefaultDataConverter().ToPayloads("to")
	if err != nil {
		t.Fatal(err)
	}
	list := func(args *commonpb.Payloads) []*historypb.HistoryEvent {
		return events(started(nil), task(), task(), accepted(args), signaled(nil), task())
	}
	for name, tc := range map[string]struct {
		args *commonpb.Payloads
		why  error
		want string
	}{
		"destroyed": {to, goneError{}, "is destroyed"},
		"plaintext": {plain, nil, "is not sealed"},
	} {
		reached = nil
		keys.fail(tc.why)
		if err := replay(t, dc, code, list(tc.args)...); err == nil || !strings.Contains(err.Error(), tc.want) || len(reached) > 0 {
			t.Errorf("%s: error %v, workflow reached %q; want the error and nothing reached", name, err, reached)
		}
	}
	keys.fail(nil)
	_ = replay(t, dc, code, list(to)...) // may complain of the end of the made-up history
	if strings.Join(reached, ", ") != "set to, end" {
		t.Errorf("with the key: workflow reached %q", reached)
	}
}

func TestAQueryThatCannotBeReadIsAnErrorForWhoAsked(t *testing.T) {
	keys := paymentKeys(t)
	dc := newDC(t, keys)
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestWorkflowEnvironment()
	env.SetDataConverter(dc)
	env.RegisterWorkflowWithOptions(func(ctx workflow.Context) error {
		if err := workflow.SetQueryHandler(ctx, "state", func(string) (string, error) { return "fine", nil }); err != nil {
			return err
		}
		return workflow.Sleep(ctx, time.Hour)
	}, workflow.RegisterOptions{Name: "asked"})
	var asked error
	env.RegisterDelayedCallback(func() {
		if _, err := env.QueryWorkflow("state", "x"); err != nil {
			t.Errorf("with the key: %v", err)
		}
		keys.fail(errors.New("KEY-AWAY"))
		_, asked = env.QueryWorkflow("state", "x")
		keys.fail(nil)
	}, time.Minute)
	env.ExecuteWorkflow("asked")
	if asked == nil || !strings.Contains(asked.Error(), "KEY-AWAY") {
		t.Errorf("query without the key: %v", asked)
	}
	if err := env.GetWorkflowError(); err != nil {
		t.Errorf("the workflow was hurt by the query: %v", err)
	}
}

func TestOutsideAWorkflowTaskNothingPanics(t *testing.T) {
	keys := paymentKeys(t)
	dc := newDC(t, keys)
	bound := in(dc, outcomeWorkflow)
	ps, err := bound.ToPayloads("x")
	if err != nil {
		t.Fatal(err)
	}
	keys.fail(errors.New("KEY-AWAY"))
	var s string
	for name, err := range map[string]error{
		"client, no context": bound.FromPayloads(ps, &s),
		"client, context":    dc.WithContext(t.Context()).FromPayloads(ps, &s),
	} {
		if !errors.Is(err, ErrKeyUnavailable) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
