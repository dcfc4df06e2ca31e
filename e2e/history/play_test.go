package history_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	querypb "go.temporal.io/api/query/v1"
	updatepb "go.temporal.io/api/update/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	sdk "go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/signet-temporal/signet/converter"
	"github.com/signet-temporal/signet/e2e/stack"
)

// stage is one namespace with a worker that plays the scenario.
type stage struct {
	*scenario
	stack     *stack.Stack
	namespace string
	client    client.Client     // as the application has it: sealing, or plain in the control
	dc        sdk.DataConverter // the same, for calls that go past the client
	raw       client.Client     // plain: what Temporal really says
	evidence  *evidence
}

func newStage(t *testing.T, s *stack.Stack, namespace string, plugins ...client.Plugin) *stage {
	t.Helper()
	g := &stage{scenario: newScenario(), stack: s, namespace: namespace, evidence: &evidence{}}
	g.raw = s.ClientWith(t, namespace)
	propagator, err := temporal.NewSimplePlugin(temporal.SimplePluginOptions{Name: "header", ContextPropagators: []workflow.ContextPropagator{g.scenario}})
	if err != nil {
		t.Fatal(err)
	}
	g.client, g.dc = s.ClientWith(t, namespace, append([]client.Plugin{propagator}, plugins...)...), sdk.GetDefaultDataConverter()
	if len(plugins) > 0 {
		g.dc = dataConverter(t, s, namespace)
	}
	w := worker.New(g.client, taskQueue, worker.Options{})
	g.register(w)
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Stop)
	return g
}

func (s *scenario) register(w interface {
	RegisterWorkflow(any)
	RegisterActivity(any)
}) {
	for _, wf := range []any{s.Patient, s.Sample, s.Broken, s.Waits} {
		w.RegisterWorkflow(wf)
	}
	for _, a := range []any{s.Examine, s.Measure, s.Mismeasure, s.Fail, s.Panic, s.FailChild, s.Watch} {
		w.RegisterActivity(a)
	}
}

func dataConverter(t *testing.T, s *stack.Stack, namespace string) sdk.DataConverter {
	t.Helper()
	codec, err := converter.NewCodec(s.DefaultRing(t), converter.CodecOptions{Keyset: stack.Keyset(namespace), Scope: namespace})
	if err != nil {
		t.Fatal(err)
	}
	dc, err := converter.NewDataConverter(nil, codec)
	if err != nil {
		t.Fatal(err)
	}
	return dc
}

// outcome is what the application reads while the scenario is played.
type outcome struct {
	result, queried, amended, signalled Record
	errors                              map[string]error
	memo                                map[string]*commonpb.Payload
	scheduled                           Record
	scheduleArgument                    string
}

// play runs every workflow to its end and collects everything that Temporal says on the way.
func (g *stage) play(t *testing.T) outcome {
	t.Helper()
	o := outcome{errors: map[string]error{}}
	run := g.startPatient(t)
	g.whileWatching(t)
	g.talk(t, &o)
	close(g.finished)
	g.must(t, g.client.SignalWorkflow(t.Context(), "patient", "", "discharge", Record{Value: g.secret("signal")}))
	g.must(t, run.Get(t.Context(), &o.result))
	g.others(t, &o)
	g.schedule(t, &o)
	g.collect(t, &o)
	return o
}

func (g *stage) must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (g *stage) startPatient(t *testing.T) client.WorkflowRun {
	t.Helper()
	run, err := g.client.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{
		ID: "patient", TaskQueue: taskQueue, Memo: map[string]any{"started": g.secret("memo-started")},
		StaticSummary: g.secret("static-summary"), StaticDetails: g.secret("static-details"),
	}, g.Patient, Record{Value: g.secret("workflow-input")})
	g.must(t, err)
	return run
}

// whileWatching looks at the activity that is under way: its heartbeat, and then its first failure.
func (g *stage) whileWatching(t *testing.T) {
	t.Helper()
	g.describeUntil(t, "watching", func(d *workflowservice.DescribeWorkflowExecutionResponse) bool {
		return len(d.GetPendingActivities()) == 1 && d.GetPendingActivities()[0].GetHeartbeatDetails() != nil
	})
	close(g.released)
	g.describeUntil(t, "failed once", func(d *workflowservice.DescribeWorkflowExecutionResponse) bool {
		return len(d.GetPendingActivities()) == 1 && d.GetPendingActivities()[0].GetLastFailure() != nil
	})
}

func (g *stage) describeUntil(t *testing.T, what string, enough func(*workflowservice.DescribeWorkflowExecutionResponse) bool) {
	t.Helper()
	stack.Eventually(t, 30*time.Second, func() error {
		d, err := g.raw.DescribeWorkflowExecution(t.Context(), "patient", "")
		if err != nil {
			return err
		}
		if !enough(d) {
			return fmt.Errorf("patient is not %s: %v", what, d.GetPendingActivities())
		}
		g.evidence.add(t, "describe patient, "+what, d)
		return nil
	})
}

// talk queries and updates, through the client and past it.
func (g *stage) talk(t *testing.T, o *outcome) {
	t.Helper()
	ctx := t.Context()
	value, err := g.client.QueryWorkflow(ctx, "patient", "", "chart", Record{Value: g.secret("query-argument")})
	g.must(t, err)
	g.must(t, value.Get(&o.queried))
	_, o.errors["query"] = g.client.QueryWorkflow(ctx, "patient", "", "chart", Record{Value: "fail"})

	update := func(place string) (Record, error) {
		handle, err := g.client.UpdateWorkflow(ctx, client.UpdateWorkflowOptions{WorkflowID: "patient", UpdateID: place, UpdateName: "amend",
			Args: []any{Record{Value: g.secret(place)}}, WaitForStage: client.WorkflowUpdateStageCompleted})
		g.must(t, err)
		var out Record
		err = handle.Get(ctx, &out)
		return out, err
	}
	o.amended, err = update("update-argument")
	g.must(t, err)
	_, o.errors["update-failure"] = update("update-to-fail")
	_, o.errors["update-rejection"] = update("update-to-reject")

	g.rawQuery(t, "chart", Record{Value: g.secret("query-argument")})
	g.rawQuery(t, "chart", Record{Value: "fail"})
	g.rawQuery(t, "__stack_trace")
	g.rawQuery(t, "__temporal_workflow_metadata")
	g.rawUpdate(t, "update-argument")
	g.rawUpdate(t, "update-to-reject")
}

func (g *stage) args(t *testing.T, values []any) *commonpb.Payloads {
	t.Helper()
	args, err := sdk.WithDataConverterSerializationContext(g.dc, sdk.WorkflowSerializationContext{Namespace: g.namespace, WorkflowID: "patient"}).ToPayloads(values...)
	g.must(t, err)
	return args
}

func (g *stage) rawQuery(t *testing.T, name string, values ...any) {
	t.Helper()
	answer, err := g.raw.WorkflowService().QueryWorkflow(t.Context(), &workflowservice.QueryWorkflowRequest{
		Namespace: g.namespace, Execution: &commonpb.WorkflowExecution{WorkflowId: "patient"},
		Query: &querypb.WorkflowQuery{QueryType: name, QueryArgs: g.args(t, values)},
	})
	if err != nil {
		g.evidence.addText("error of query "+name, fmt.Sprintf("%v %+v", err, err))
		return
	}
	g.evidence.add(t, "query "+name, answer)
}

func (g *stage) rawUpdate(t *testing.T, place string) {
	t.Helper()
	answer, err := g.raw.WorkflowService().UpdateWorkflowExecution(t.Context(), &workflowservice.UpdateWorkflowExecutionRequest{
		Namespace: g.namespace, WorkflowExecution: &commonpb.WorkflowExecution{WorkflowId: "patient"},
		WaitPolicy: &updatepb.WaitPolicy{LifecycleStage: enumspb.UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_COMPLETED},
		Request: &updatepb.Request{Meta: &updatepb.Meta{UpdateId: "raw-" + place}, Input: &updatepb.Input{Name: "amend",
			Args: g.args(t, []any{Record{Value: g.secret(place)}})}},
	})
	g.must(t, err)
	g.evidence.add(t, "update "+place, answer)
}

// others terminates, cancels, and starts together with a signal and an update.
func (g *stage) others(t *testing.T, o *outcome) {
	t.Helper()
	ctx := t.Context()
	options := func(id string) client.StartWorkflowOptions {
		return client.StartWorkflowOptions{ID: id, TaskQueue: taskQueue}
	}
	_, err := g.client.ExecuteWorkflow(ctx, options("terminated"), g.Waits, Record{Value: g.secret("terminated-input")})
	g.must(t, err)
	g.must(t, g.client.TerminateWorkflow(ctx, "terminated", "", "no reason", g.secret("terminate-details")))

	run, err := g.client.ExecuteWorkflow(ctx, options("canceled"), g.Waits, Record{})
	g.must(t, err)
	g.must(t, g.client.CancelWorkflow(ctx, "canceled", ""))
	o.errors["canceled"] = run.Get(ctx, nil)

	run, err = g.client.SignalWithStartWorkflow(ctx, "signalled", "go", Record{Value: g.secret("signal-with-start")}, options("signalled"), g.Waits, Record{Value: g.secret("signal-with-start-input")})
	g.must(t, err)
	g.must(t, run.Get(ctx, &o.signalled))

	updated := options("updated")
	updated.WorkflowIDConflictPolicy = enumspb.WORKFLOW_ID_CONFLICT_POLICY_FAIL
	start := g.client.NewWithStartWorkflowOperation(updated, g.Waits, Record{Value: g.secret("update-with-start-input")})
	handle, err := g.client.UpdateWithStartWorkflow(ctx, client.UpdateWithStartWorkflowOptions{StartWorkflowOperation: start,
		UpdateOptions: client.UpdateWorkflowOptions{UpdateName: "amend", Args: []any{Record{Value: g.secret("update-with-start")}}, WaitForStage: client.WorkflowUpdateStageCompleted}})
	g.must(t, err)
	g.must(t, handle.Get(ctx, nil))
	g.must(t, g.client.SignalWorkflow(ctx, "updated", "", "go", Record{}))
}

// schedule has a schedule start a workflow.
func (g *stage) schedule(t *testing.T, o *outcome) {
	t.Helper()
	ctx := t.Context()
	handle, err := g.client.ScheduleClient().Create(ctx, client.ScheduleOptions{
		ID: "rounds", Memo: map[string]any{"schedule": g.secret("schedule-memo")}, TriggerImmediately: true,
		Action: &client.ScheduleWorkflowAction{ID: "round", Workflow: g.Waits, TaskQueue: taskQueue, Args: []any{Record{Value: g.secret("schedule-argument")}},
			Memo: map[string]any{"action": g.secret("schedule-action-memo")}, StaticSummary: g.secret("schedule-action-summary")},
	})
	g.must(t, err)
	var id string
	stack.Eventually(t, 30*time.Second, func() error {
		d, err := handle.Describe(ctx)
		if err != nil {
			return err
		}
		if len(d.Info.RecentActions) == 0 || d.Info.RecentActions[0].StartWorkflowResult == nil {
			return fmt.Errorf("the schedule has started nothing: %+v", d.Info)
		}
		id = d.Info.RecentActions[0].StartWorkflowResult.WorkflowID
		argument := d.Schedule.Action.(*client.ScheduleWorkflowAction).Args[0].(*commonpb.Payload)
		var read Record
		if err := g.dc.FromPayload(argument, &read); err != nil {
			return err
		}
		o.scheduleArgument = read.Value
		return nil
	})
	g.must(t, g.client.SignalWorkflow(ctx, id, "", "go", Record{Value: g.secret("scheduled-signal")}))
	g.must(t, g.client.GetWorkflow(ctx, id, "").Get(ctx, &o.scheduled))
	d, err := g.raw.WorkflowService().DescribeSchedule(ctx, &workflowservice.DescribeScheduleRequest{Namespace: g.namespace, ScheduleId: "rounds"})
	g.must(t, err)
	g.evidence.add(t, "describe schedule", d)
	l, err := g.raw.WorkflowService().ListSchedules(ctx, &workflowservice.ListSchedulesRequest{Namespace: g.namespace, MaximumPageSize: 10})
	g.must(t, err)
	g.evidence.add(t, "list schedules", l)
}

// collect fetches the histories and descriptions of every run there is.
func (g *stage) collect(t *testing.T, o *outcome) {
	t.Helper()
	ctx, service := t.Context(), g.raw.WorkflowService()
	var list *workflowservice.ListWorkflowExecutionsResponse
	stack.Eventually(t, 30*time.Second, func() (err error) {
		list, err = service.ListWorkflowExecutions(ctx, &workflowservice.ListWorkflowExecutionsRequest{Namespace: g.namespace, PageSize: 100})
		if got := len(list.GetExecutions()); err == nil && got < 9 { // patient twice, two children, four others, one scheduled
			err = fmt.Errorf("visibility shows %d runs", got)
		}
		return err
	})
	g.evidence.add(t, "list", list)
	for _, info := range list.GetExecutions() {
		execution := info.GetExecution()
		name := fmt.Sprintf("%s (%s)", execution.GetWorkflowId(), info.GetStatus())
		d, err := service.DescribeWorkflowExecution(ctx, &workflowservice.DescribeWorkflowExecutionRequest{Namespace: g.namespace, Execution: execution})
		g.must(t, err)
		g.evidence.add(t, "describe "+name, d)
		if execution.GetWorkflowId() == "patient" && info.GetStatus() == enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED {
			o.memo = d.GetWorkflowExecutionInfo().GetMemo().GetFields()
		}
		history, err := service.GetWorkflowExecutionHistory(ctx, &workflowservice.GetWorkflowExecutionHistoryRequest{Namespace: g.namespace, Execution: execution, MaximumPageSize: 1000})
		g.must(t, err)
		g.evidence.add(t, "history of "+name, history)
	}
	slices.SortFunc(g.evidence.payloads, func(a, b found) int { return len(a.where) - len(b.where) })
}
