package history_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	batchpb "go.temporal.io/api/batch/v1"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	namespacepb "go.temporal.io/api/namespace/v1"
	nexuspb "go.temporal.io/api/nexus/v1"
	"go.temporal.io/api/operatorservice/v1"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	sdk "go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"

	"github.com/signet-temporal/signet/e2e/stack"
)

// schedule has a schedule start workflows: at once, after an update, when triggered, and for a time that is past.
func (g *stage) schedule(t *testing.T) {
	ctx := g.ctx(t)
	handle, err := g.client.ScheduleClient().Create(ctx, client.ScheduleOptions{
		ID: g.secret("schedule-id"), Memo: map[string]any{"schedule": g.secret("schedule-memo")}, TriggerImmediately: true,
		Spec: client.ScheduleSpec{Intervals: []client.ScheduleIntervalSpec{{Every: 24 * time.Hour}},
			Calendars: []client.ScheduleCalendarSpec{{Year: []client.ScheduleRange{{Start: 2100}}, Comment: g.secret("calendar-comment")}}},
		Note: g.secret("schedule-note"),
		Action: &client.ScheduleWorkflowAction{ID: g.secret("scheduled-workflow-id"), Workflow: g.Waits, TaskQueue: g.queue(),
			Args: []any{Record{Value: g.secret("schedule-argument")}},
			Memo: map[string]any{"action": g.secret("schedule-action-memo")}, StaticSummary: g.secret("schedule-action-summary")},
	})
	g.must(t, err)
	g.scheduled(t, handle, 1, "schedule-argument")
	d, err := g.raw.WorkflowService().DescribeSchedule(ctx, &workflowservice.DescribeScheduleRequest{Namespace: g.namespace, ScheduleId: g.secret("schedule-id")})
	g.must(t, err)
	g.evidence.add(t, "describe schedule", d)

	g.must(t, handle.Update(ctx, client.ScheduleUpdateOptions{DoUpdate: func(in client.ScheduleUpdateInput) (*client.ScheduleUpdate, error) {
		action := in.Description.Schedule.Action.(*client.ScheduleWorkflowAction)
		action.Args = []any{Record{Value: g.secret("schedule-updated-argument")}}
		return &client.ScheduleUpdate{Schedule: &in.Description.Schedule}, nil
	}}))
	g.must(t, handle.Pause(ctx, client.SchedulePauseOptions{Note: g.secret("pause-note")}))
	g.must(t, handle.Trigger(ctx, client.ScheduleTriggerOptions{Overlap: enumspb.SCHEDULE_OVERLAP_POLICY_ALLOW_ALL}))
	g.scheduled(t, handle, 2, "schedule-updated-argument")
	g.must(t, handle.Backfill(ctx, client.ScheduleBackfillOptions{Backfill: []client.ScheduleBackfill{
		{Start: time.Now().Add(-24 * time.Hour), End: time.Now(), Overlap: enumspb.SCHEDULE_OVERLAP_POLICY_ALLOW_ALL}}}))
	g.scheduled(t, handle, 3, "schedule-updated-argument")

	d, err = g.raw.WorkflowService().DescribeSchedule(ctx, &workflowservice.DescribeScheduleRequest{Namespace: g.namespace, ScheduleId: g.secret("schedule-id")})
	g.must(t, err)
	g.evidence.add(t, "describe the updated schedule", d)
	l, err := g.raw.WorkflowService().ListSchedules(ctx, &workflowservice.ListSchedulesRequest{Namespace: g.namespace, MaximumPageSize: 10})
	g.must(t, err)
	g.evidence.add(t, "list schedules", l)
}

// scheduled waits for the nth workflow that the schedule starts, and reads what both were given.
func (g *stage) scheduled(t *testing.T, handle client.ScheduleHandle, n int, place string) {
	t.Helper()
	ctx := g.ctx(t)
	var id string
	stack.Eventually(t, 30*time.Second, func() error {
		d, err := handle.Describe(ctx)
		if err != nil {
			return err
		}
		if got := len(d.Info.RecentActions); got < n || d.Info.RecentActions[n-1].StartWorkflowResult == nil {
			return fmt.Errorf("the schedule has started %d workflows, not %d yet", got, n)
		}
		id = d.Info.RecentActions[n-1].StartWorkflowResult.WorkflowID
		var read Record
		if err := g.dc.FromPayload(d.Schedule.Action.(*client.ScheduleWorkflowAction).Args[0].(*commonpb.Payload), &read); err != nil {
			return err
		}
		g.read.got(place, read.Value)
		return nil
	})
	g.must(t, g.client.SignalWorkflow(ctx, id, "", "go", Record{Value: g.secret("scheduled-signal")}))
	g.waited(t, g.client.GetWorkflow(ctx, id, ""), place, "scheduled-signal")
}

func (g *stage) cron(t *testing.T) {
	o := g.start("nightly")
	o.CronSchedule = "@every 1s"
	_, err := g.client.ExecuteWorkflow(g.ctx(t), o, g.Nightly, Record{Value: g.secret("cron-input")})
	g.must(t, err)
	select {
	case seen := <-g.nights:
		g.read.gotAll(seen)
	case <-time.After(30 * time.Second):
		t.Fatal("there was no third night")
	}
	g.must(t, g.client.TerminateWorkflow(g.ctx(t), "nightly", "", "enough"))
}

func (g *stage) retry(t *testing.T) {
	o := g.start("faltering")
	o.RetryPolicy = &temporal.RetryPolicy{InitialInterval: 10 * time.Millisecond, MaximumAttempts: 2}
	run, err := g.client.ExecuteWorkflow(g.ctx(t), o, g.Falters, Record{Value: g.secret("retry-input")})
	g.must(t, err)
	var out Record
	g.must(t, run.Get(g.ctx(t), &out))
	g.read.gotAll(out.Seen)
}

// reset takes a workflow that has ended back to its first task: it reads the same input and the same signal again.
func (g *stage) reset(t *testing.T) {
	ctx := g.ctx(t)
	run, err := g.client.ExecuteWorkflow(ctx, g.start("reset"), g.Waits, Record{Value: g.secret("reset-input")})
	g.must(t, err)
	var first int64
	stack.Eventually(t, 30*time.Second, func() error {
		for _, event := range fetch(t, g.raw, "reset", "").GetEvents() {
			if event.GetWorkflowTaskCompletedEventAttributes() != nil {
				first = event.GetEventId()
				return nil
			}
		}
		return errors.New("the first task is not done")
	})
	g.must(t, g.client.SignalWorkflow(ctx, "reset", "", "go", Record{Value: g.secret("reset-signal")}))
	g.waited(t, run, "reset-input", "reset-signal")
	again, err := g.client.ResetWorkflowExecution(ctx, &workflowservice.ResetWorkflowExecutionRequest{Namespace: g.namespace,
		WorkflowExecution: &commonpb.WorkflowExecution{WorkflowId: "reset", RunId: run.GetRunID()}, WorkflowTaskFinishEventId: first, Reason: g.secret("reset-reason")})
	g.must(t, err)
	g.waited(t, g.client.GetWorkflow(ctx, "reset", again.GetRunId()), "reset-input", "reset-signal")
}

// async ends activities in every way that the client has for it.
func (g *stage) async(t *testing.T) {
	ctx := g.ctx(t)
	run, err := g.client.ExecuteWorkflow(ctx, g.start("defers"), g.Defers)
	g.must(t, err)
	for range deferred {
		var info activity.Info
		select {
		case info = <-g.deferred:
		case <-ctx.Done():
			t.Fatal("an activity did not begin")
		}
		end := Record{Value: g.secret(info.ActivityID)}
		switch info.ActivityID {
		case "async-by-token":
			g.must(t, g.client.RecordActivityHeartbeat(ctx, info.TaskToken, g.secret("async-heartbeat")))
			d, err := g.raw.DescribeWorkflowExecution(ctx, "defers", "")
			g.must(t, err)
			g.evidence.add(t, "describe defers, with a heartbeat", d)
			g.must(t, g.client.CompleteActivity(ctx, info.TaskToken, end, nil))
		case "async-by-id":
			g.must(t, g.client.RecordActivityHeartbeatByID(ctx, g.namespace, "defers", "", info.ActivityID, g.secret("async-heartbeat")))
			g.must(t, g.client.CompleteActivityByID(ctx, g.namespace, "defers", "", info.ActivityID, end, nil))
		case "async-by-token-options":
			g.must(t, g.client.CompleteActivityWithOptions(ctx, client.CompleteActivityOptions{TaskToken: info.TaskToken, Result: end, WorkflowID: "defers", ActivityType: "Defer"}))
		case "async-by-id-options":
			g.must(t, g.client.CompleteActivityByIDWithOptions(ctx, client.CompleteActivityByIDOptions{Namespace: g.namespace, WorkflowID: "defers", ActivityID: info.ActivityID, Result: end, ActivityType: "Defer"}))
		case "async-failure":
			g.must(t, g.client.CompleteActivity(ctx, info.TaskToken, nil, temporal.NewApplicationError(end.Value, "Late", g.secret("async-failure-details"))))
		}
	}
	var out Record
	g.must(t, run.Get(ctx, &out))
	g.read.gotAll(out.Seen)
}

// standalone runs activities without a workflow: one that succeeds in its second attempt, one that fails for good.
func (g *stage) standalone(t *testing.T) {
	ctx := g.ctx(t)
	visit := func(id, input string, attempts int32) client.ActivityHandle {
		handle, err := g.client.ExecuteActivity(ctx, client.StartActivityOptions{ID: id, TaskQueue: g.queue(), StartToCloseTimeout: time.Minute,
			RetryPolicy: &temporal.RetryPolicy{InitialInterval: 10 * time.Millisecond, MaximumAttempts: attempts},
			Summary:     g.secret("standalone-summary"), StaticDetails: g.secret("standalone-details")}, g.Visit, Record{Value: g.secret(input)})
		g.must(t, err)
		return handle
	}
	handle := visit(g.secret("standalone-activity-id"), "standalone-input", 2)
	var out Record
	g.must(t, handle.Get(ctx, &out))
	g.read.got("standalone-result", out.Value)
	g.read.gotAll(out.Seen)
	d, err := handle.Describe(ctx, client.DescribeActivityOptions{})
	g.must(t, err)
	summary, err := d.GetSummary()
	g.must(t, err)
	details, err := d.GetStaticDetails()
	g.must(t, err)
	g.read.got("standalone-summary", summary)
	g.read.got("standalone-details", details)
	g.failed(t, visit("hopeless", "standalone-hopeless-input", 1).Get(ctx, nil), "standalone-failure", "standalone-failure-details")
	for _, id := range []string{g.secret("standalone-activity-id"), "hopeless"} {
		d, err := g.raw.WorkflowService().DescribeActivityExecution(ctx, &workflowservice.DescribeActivityExecutionRequest{Namespace: g.namespace, ActivityId: id,
			IncludeInput: true, IncludeOutcome: true, IncludeHeartbeatDetails: true, IncludeLastFailure: true})
		g.must(t, err)
		g.evidence.add(t, "describe "+id, d)
	}
}

// nexus calls a service of the same worker, through an endpoint that an operator has made.
func (g *stage) nexus(t *testing.T) {
	ctx := g.ctx(t)
	about, err := sdk.GetDefaultDataConverter().ToPayload(g.secret("nexus-endpoint-description"))
	g.must(t, err)
	_, err = g.raw.OperatorService().CreateNexusEndpoint(ctx, &operatorservice.CreateNexusEndpointRequest{Spec: &nexuspb.EndpointSpec{
		Name: g.secret("nexus-endpoint"), Description: about,
		Target: &nexuspb.EndpointTarget{Variant: &nexuspb.EndpointTarget_Worker_{Worker: &nexuspb.EndpointTarget_Worker{Namespace: g.namespace, TaskQueue: g.queue()}}},
	}})
	g.must(t, err)
	run, err := g.client.ExecuteWorkflow(ctx, g.start("refers"), g.Refers)
	g.must(t, err)
	var out Record
	g.must(t, run.Get(ctx, &out))
	g.read.gotAll(out.Seen)
	g.nexusAlone(t)
}

// nexusAlone calls operations without a workflow.
func (g *stage) nexusAlone(t *testing.T) {
	t.Helper()
	ctx := g.ctx(t)
	service, err := g.client.NewNexusClient(client.NexusClientOptions{Endpoint: g.secret("nexus-endpoint"), Service: g.secret("nexus-service")})
	g.must(t, err)
	call := func(id, operation, input string) client.NexusOperationHandle {
		handle, err := service.ExecuteOperation(ctx, operation, Record{Value: g.secret(input)}, client.StartNexusOperationOptions{ID: id,
			ScheduleToCloseTimeout: time.Minute, Summary: g.secret("nexus-alone-summary")})
		g.must(t, err)
		return handle
	}
	var out Record
	g.must(t, call(g.secret("nexus-operation-id"), g.secret("nexus-operation"), "nexus-sync-input").Get(ctx, &out))
	g.read.gotAll(out.Seen)
	g.read.got("nexus-sync-result", out.Value)
	var failed *temporal.ApplicationError
	if err := call("failing", "fails", "nexus-failing-input").Get(ctx, nil); !errors.As(err, &failed) {
		t.Fatalf("the operation that fails: %v", err)
	}
	g.read.got("nexus-error", failed.Message())
	g.failed(t, failed.Unwrap(), "nexus-failure", "nexus-failure-details")
	endless := call("endless", "never-ends", "nexus-endless-input")
	g.must(t, endless.Cancel(ctx, client.CancelNexusOperationOptions{Reason: g.secret("nexus-cancel-reason")}))
	g.must(t, endless.Terminate(ctx, client.TerminateNexusOperationOptions{Reason: g.secret("nexus-terminate-reason")}))
	for _, id := range []string{g.secret("nexus-operation-id"), "failing", "endless"} {
		d, err := g.raw.WorkflowService().DescribeNexusOperationExecution(ctx, &workflowservice.DescribeNexusOperationExecutionRequest{
			Namespace: g.namespace, OperationId: id, IncludeInput: true, IncludeOutcome: true})
		g.must(t, err)
		g.evidence.add(t, "describe operation "+id, d)
	}
}

// administer does what tools do and applications may do: text that is on its way when the server refuses it.
func (g *stage) administer(t *testing.T) {
	ctx, service := g.ctx(t), g.client.WorkflowService()
	list, err := g.client.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{Namespace: g.namespace, Query: "WorkflowId = '" + g.secret("list-query") + "'"})
	if g.must(t, err); len(list.GetExecutions()) != 0 {
		t.Fatal("the list is not empty")
	}
	_, err = service.StartBatchOperation(ctx, &workflowservice.StartBatchOperationRequest{Namespace: g.namespace, JobId: g.secret("batch-id"), Reason: g.secret("batch-reason"),
		VisibilityQuery: "WorkflowId = 'nobody'", Operation: &workflowservice.StartBatchOperationRequest_DeletionOperation{DeletionOperation: &batchpb.BatchOperationDeletion{}}})
	g.must(t, err)
	_, err = service.UpdateNamespace(ctx, &workflowservice.UpdateNamespaceRequest{Namespace: g.namespace, UpdateInfo: &namespacepb.UpdateNamespaceInfo{
		Description: g.secret("namespace-description"), OwnerEmail: g.secret("namespace-owner"), Data: map[string]string{"note": g.secret("namespace-data")}}})
	g.must(t, err)
	_, err = g.client.WorkerDeploymentClient().GetHandle(g.secret("deployment-name")).UpdateVersionMetadata(ctx, client.WorkerDeploymentUpdateVersionMetadataOptions{
		Version:        worker.WorkerDeploymentVersion{DeploymentName: g.secret("deployment-name"), BuildID: g.secret("build-id")},
		MetadataUpdate: client.WorkerDeploymentMetadataUpdate{UpsertEntries: map[string]any{g.secret("deployment-metadata-key"): g.secret("deployment-metadata")}}})
	if err == nil {
		t.Error("the server knows the deployment by now: read its metadata back")
	}
	_, err = service.StartWorkflowExecution(ctx, &workflowservice.StartWorkflowExecutionRequest{Namespace: g.namespace, WorkflowId: "called-back", WorkflowType: &commonpb.WorkflowType{Name: "Waits"},
		TaskQueue: &taskqueuepb.TaskQueue{Name: g.queue()}, RequestId: "1",
		CompletionCallbacks: []*commonpb.Callback{{Variant: &commonpb.Callback_Nexus_{Nexus: &commonpb.Callback_Nexus{Url: "https://nobody.invalid/" + g.secret("callback-url"), Header: map[string]string{"k": g.secret("callback-header")}}}}}})
	if err == nil {
		t.Error("the server accepts any callback")
	}
}

// labels plays what has a name that cannot be sealed.
func (g *stage) labels(t *testing.T) {
	ctx := g.ctx(t)
	_, err := g.client.OperatorService().AddSearchAttributes(ctx, &operatorservice.AddSearchAttributesRequest{Namespace: g.namespace,
		SearchAttributes: map[string]enumspb.IndexedValueType{g.secret("search-attribute-name"): enumspb.INDEXED_VALUE_TYPE_KEYWORD}})
	g.must(t, err)
	o := g.start(g.secret("workflow-id"))
	o.TypedSearchAttributes = temporal.NewSearchAttributes(temporal.NewSearchAttributeKeyKeyword(g.secret("search-attribute-name")).ValueSet(g.secret("search-attribute-value")))
	o.Memo = map[string]any{g.secret("memo-key"): g.secret("memo-started")}
	o.Priority = temporal.Priority{FairnessKey: g.secret("fairness-key")}
	var run client.WorkflowRun
	stack.Eventually(t, 30*time.Second, func() (err error) { // until the server knows the search attribute
		run, err = g.client.ExecuteWorkflow(ctx, o, g.secret("workflow-type"))
		return err
	})
	handle, err := g.client.UpdateWorkflow(ctx, client.UpdateWorkflowOptions{WorkflowID: o.ID, UpdateID: g.secret("update-id"), UpdateName: g.secret("update-name"), WaitForStage: client.WorkflowUpdateStageCompleted})
	g.must(t, err)
	g.must(t, handle.Get(ctx, nil))
	_, err = g.client.QueryWorkflow(ctx, o.ID, "", g.secret("query-name"))
	g.must(t, err)
	g.must(t, g.client.SignalWorkflow(ctx, o.ID, "", g.secret("signal-name"), nil))
	g.must(t, run.Get(ctx, nil))
}

// collect fetches the histories and descriptions of every run there is.
func (g *stage) collect(t *testing.T) {
	t.Helper()
	ctx, service := t.Context(), g.raw.WorkflowService()
	const least = 23 // more with the nights after the third
	var list *workflowservice.ListWorkflowExecutionsResponse
	stack.Eventually(t, 30*time.Second, func() (err error) {
		list, err = service.ListWorkflowExecutions(ctx, &workflowservice.ListWorkflowExecutionsRequest{Namespace: g.namespace, PageSize: 100})
		if got := len(list.GetExecutions()); err == nil && got < least {
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
		history, err := service.GetWorkflowExecutionHistory(ctx, &workflowservice.GetWorkflowExecutionHistoryRequest{Namespace: g.namespace, Execution: execution, MaximumPageSize: 1000})
		g.must(t, err)
		g.evidence.add(t, "history of "+name, history)
	}
	endpoints, err := g.raw.OperatorService().ListNexusEndpoints(ctx, &operatorservice.ListNexusEndpointsRequest{})
	g.must(t, err)
	g.evidence.addBytes(t, "list of endpoints", endpoints)
	activities, err := service.ListActivityExecutions(ctx, &workflowservice.ListActivityExecutionsRequest{Namespace: g.namespace, PageSize: 10})
	g.must(t, err)
	g.evidence.add(t, "list of activities", activities)
}
