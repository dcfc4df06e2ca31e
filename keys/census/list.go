package census

import (
	"context"
	"fmt"
	"time"

	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Stage is one list of what a namespace keeps.
type Stage string

// The stages. What hands payloads on comes before what it hands them to: see the package's comment.
const (
	schedules       Stage = "schedules"
	openWorkflows   Stage = "open workflows"
	closedWorkflows Stage = "closed workflows"
	activities      Stage = "activities"
	operations      Stage = "operations"
)

var stages = []Stage{schedules, openWorkflows, closedWorkflows, activities, operations}

// Position is a page of one list. Its token is the server's, and does not end.
type Position struct {
	Stage Stage  `json:"stage"`
	Token []byte `json:"token,omitempty"`
}

// Kind says what an item is.
type Kind string

// The kinds of items.
const (
	Schedule  Kind = "schedule"
	Workflow  Kind = "workflow"
	Activity  Kind = "activity"
	Operation Kind = "operation"
)

// Item is one thing that was listed: a schedule, one run of a workflow, a standalone activity or Nexus operation.
type Item struct {
	Kind    Kind      `json:"kind"`
	ID      string    `json:"id"`
	RunID   string    `json:"runId,omitempty"`
	Open    bool      `json:"open,omitempty"`
	Started time.Time `json:"started,omitzero"`
	Closed  time.Time `json:"closed,omitzero"`
	Memo    *Found    `json:"memo,omitempty"` // what the list itself showed
}

// Page is one page of a list, and the position of the next one; nil after the last page of all.
type Page struct {
	Items []Item    `json:"items"`
	Next  *Position `json:"next,omitempty"`
}

// List lists the page at a position.
func (w *Walker) List(ctx context.Context, at Position) (Page, error) {
	var page Page
	var token []byte
	var err error
	switch at.Stage {
	case schedules:
		page.Items, token, err = w.listSchedules(ctx, at.Token)
	case openWorkflows:
		page.Items, token, err = w.listWorkflows(ctx, at.Token, "ExecutionStatus = 'Running'")
	case closedWorkflows:
		page.Items, token, err = w.listWorkflows(ctx, at.Token, "ExecutionStatus != 'Running'")
	case activities:
		page.Items, token, err = w.listActivities(ctx, at.Token)
	case operations:
		page.Items, token, err = w.listOperations(ctx, at.Token)
	default:
		return Page{}, fmt.Errorf("census: there is no stage %q: it was saved by another version, begin anew", at.Stage)
	}
	if err != nil && !(isUnknown(err) && at.Stage != openWorkflows && at.Stage != closedWorkflows) { // what a server does not have it does not keep
		return Page{}, fmt.Errorf("listing %s of namespace %s: %w", at.Stage, w.o.Namespace, err)
	}
	page.Next = after(at.Stage, token)
	return page, nil
}

func after(stage Stage, token []byte) *Position {
	if len(token) > 0 {
		return &Position{Stage: stage, Token: token}
	}
	for i, s := range stages[:len(stages)-1] {
		if s == stage {
			return &Position{Stage: stages[i+1]}
		}
	}
	return nil
}

func (w *Walker) listSchedules(ctx context.Context, token []byte) (items []Item, next []byte, err error) {
	list, err := call(ctx, w, w.service.ListSchedules, &workflowservice.ListSchedulesRequest{
		Namespace: w.o.Namespace, MaximumPageSize: w.pageSize(), NextPageToken: token,
	})
	for _, entry := range list.GetSchedules() {
		items = append(items, Item{Kind: Schedule, ID: entry.GetScheduleId(), Open: true})
	}
	return items, list.GetNextPageToken(), err
}

func (w *Walker) listWorkflows(ctx context.Context, token []byte, query string) (items []Item, next []byte, err error) {
	list, err := call(ctx, w, w.service.ListWorkflowExecutions, &workflowservice.ListWorkflowExecutionsRequest{
		Namespace: w.o.Namespace, PageSize: w.pageSize(), NextPageToken: token, Query: query,
	})
	for _, info := range list.GetExecutions() {
		item := newItem(Workflow, info.GetExecution().GetWorkflowId(), info.GetExecution().GetRunId(), info.GetStartTime(), info.GetCloseTime())
		if len(info.GetMemo().GetFields()) > 0 {
			item.Memo = &Found{}
			if err := item.Memo.visit(ctx, info.GetMemo(), InMemo, item.Started); err != nil {
				return nil, nil, err
			}
		}
		items = append(items, item)
	}
	return items, list.GetNextPageToken(), err
}

func (w *Walker) listActivities(ctx context.Context, token []byte) (items []Item, next []byte, err error) {
	list, err := call(ctx, w, w.service.ListActivityExecutions, &workflowservice.ListActivityExecutionsRequest{
		Namespace: w.o.Namespace, PageSize: w.pageSize(), NextPageToken: token,
	})
	for _, info := range list.GetExecutions() {
		items = append(items, newItem(Activity, info.GetActivityId(), info.GetRunId(), info.GetScheduleTime(), info.GetCloseTime()))
	}
	return items, list.GetNextPageToken(), err
}

func (w *Walker) listOperations(ctx context.Context, token []byte) (items []Item, next []byte, err error) {
	list, err := call(ctx, w, w.service.ListNexusOperationExecutions, &workflowservice.ListNexusOperationExecutionsRequest{
		Namespace: w.o.Namespace, PageSize: w.pageSize(), NextPageToken: token,
	})
	for _, info := range list.GetOperations() {
		items = append(items, newItem(Operation, info.GetOperationId(), info.GetRunId(), info.GetScheduleTime(), info.GetCloseTime()))
	}
	return items, list.GetNextPageToken(), err
}

// newItem takes for open what has no close time: of a paused workflow the status does not say "running".
func newItem(kind Kind, id, run string, started, closed *timestamppb.Timestamp) Item {
	return Item{Kind: kind, ID: id, RunID: run, Open: closed == nil, Started: timeOf(started), Closed: timeOf(closed)}
}

func timeOf(t *timestamppb.Timestamp) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.AsTime()
}

func (w *Walker) pageSize() int32 { return int32(w.o.PageSize) } // #nosec G115 -- New bounds it
