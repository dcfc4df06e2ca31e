package census

import (
	"context"
	"fmt"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/api/workflowservice/v1"
)

// look counts what one item carries.
func (w *Walker) look(ctx context.Context, item Item) (*Found, error) {
	f := item.Memo.clone()
	var err error
	switch item.Kind {
	case Schedule:
		err = w.lookAtSchedule(ctx, item, f)
	case Workflow:
		err = w.lookAtWorkflow(ctx, item, f)
	case Activity:
		err = w.lookAtActivity(ctx, item, f)
	case Operation:
		err = w.lookAtOperation(ctx, item, f)
	default:
		return nil, fmt.Errorf("census: there is no kind of item %q: it was listed by another version", item.Kind)
	}
	if isGone(err) && item.Kind == Workflow && item.Open && item.RunID != "" {
		// It ended and was deleted since it was listed. If it continued as new, the run that it handed its payloads to has
		// begun too late to be listed.
		return w.look(ctx, Item{Kind: Workflow, ID: item.ID, Open: true, Started: item.Started, Memo: item.Memo})
	}
	if isGone(err) {
		return &Found{Gone: true}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("looking at %s %q: %w", item.Kind, item.ID, err)
	}
	return f, nil
}

func (w *Walker) lookAtSchedule(ctx context.Context, item Item, f *Found) error {
	d, err := call(ctx, w, w.service.DescribeSchedule, &workflowservice.DescribeScheduleRequest{Namespace: w.o.Namespace, ScheduleId: item.ID})
	if err != nil {
		return err
	}
	return f.visit(ctx, d, InSchedule, later(timeOf(d.GetInfo().GetCreateTime()), timeOf(d.GetInfo().GetUpdateTime())))
}

// lookAtWorkflow looks at what is pending before the history: a heartbeat moves from there into it, and not back.
func (w *Walker) lookAtWorkflow(ctx context.Context, item Item, f *Found) error {
	execution := &commonpb.WorkflowExecution{WorkflowId: item.ID, RunId: item.RunID}
	if item.Open {
		if err := w.lookAtPending(ctx, execution, item, f); err != nil {
			return err
		}
	}
	req := &workflowservice.GetWorkflowExecutionHistoryRequest{Namespace: w.o.Namespace, Execution: execution}
	for {
		page, err := call(ctx, w, w.service.GetWorkflowExecutionHistory, req)
		if err != nil {
			return err
		}
		for _, event := range page.GetHistory().GetEvents() {
			f.Events++
			if err := f.visit(ctx, event, InHistory, timeOf(event.GetEventTime())); err != nil {
				return err
			}
		}
		if req.NextPageToken = page.GetNextPageToken(); len(req.NextPageToken) == 0 {
			return nil
		}
	}
}

func (w *Walker) lookAtPending(ctx context.Context, execution *commonpb.WorkflowExecution, item Item, f *Found) error {
	d, err := call(ctx, w, w.service.DescribeWorkflowExecution, &workflowservice.DescribeWorkflowExecutionRequest{Namespace: w.o.Namespace, Execution: execution})
	if err != nil {
		return err
	}
	for _, activity := range d.GetPendingActivities() {
		at := later(later(timeOf(activity.GetLastHeartbeatTime()), timeOf(activity.GetLastAttemptCompleteTime())), item.Started)
		if err := f.visit(ctx, activity, InPending, at); err != nil {
			return err
		}
	}
	rest := &workflowservice.DescribeWorkflowExecutionResponse{PendingNexusOperations: d.GetPendingNexusOperations(), Callbacks: d.GetCallbacks()}
	return f.visit(ctx, rest, InPending, item.Started)
}

func (w *Walker) lookAtActivity(ctx context.Context, item Item, f *Found) error {
	d, err := call(ctx, w, w.service.DescribeActivityExecution, &workflowservice.DescribeActivityExecutionRequest{
		Namespace: w.o.Namespace, ActivityId: item.ID, RunId: item.RunID,
		IncludeInput: true, IncludeOutcome: true, IncludeHeartbeatDetails: true, IncludeLastFailure: true,
	})
	if err != nil {
		return err
	}
	return f.visit(ctx, d, InActivity, item.Started)
}

func (w *Walker) lookAtOperation(ctx context.Context, item Item, f *Found) error {
	d, err := call(ctx, w, w.service.DescribeNexusOperationExecution, &workflowservice.DescribeNexusOperationExecutionRequest{
		Namespace: w.o.Namespace, OperationId: item.ID, RunId: item.RunID, IncludeInput: true, IncludeOutcome: true,
	})
	if err != nil {
		return err
	}
	return f.visit(ctx, d, InOperation, item.Started)
}
