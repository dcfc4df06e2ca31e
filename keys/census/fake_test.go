package census_test

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	activitypb "go.temporal.io/api/activity/v1"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	namespacepb "go.temporal.io/api/namespace/v1"
	nexuspb "go.temporal.io/api/nexus/v1"
	schedulepb "go.temporal.io/api/schedule/v1"
	"go.temporal.io/api/serviceerror"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/signet-temporal/signet/internal/wire"
	"github.com/signet-temporal/signet/keys/census"
)

const (
	old    = "ns/payments/00000001"
	fresh  = "ns/payments/00000002"
	tenant = "tenant/acme/00000003"
)

var day = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

// sealed is the outside of a payload under a key: what a census sees of it.
func sealed(t *testing.T, key string) *commonpb.Payload {
	t.Helper()
	keyset, hex := key[:len(key)-9], key[len(key)-8:]
	id, err := strconv.ParseUint(hex, 16, 32)
	if err != nil {
		t.Fatal(err)
	}
	header, err := wire.Outer{Keyset: keyset, KeyID: uint32(id), Scope: "payments", Workflow: "w"}.Header()
	if err != nil {
		t.Fatal(err)
	}
	data := binary.BigEndian.AppendUint32([]byte{1}, uint32(id))
	return &commonpb.Payload{Metadata: header.Metadata([]byte(wire.Encoding)), Data: append(data, make([]byte, 60)...)}
}

func payloads(ps ...*commonpb.Payload) *commonpb.Payloads { return &commonpb.Payloads{Payloads: ps} }

// run is one run of a workflow in the fake.
type run struct {
	id, run string
	started time.Time
	closed  time.Time // zero: open
	memo    *commonpb.Memo
	events  []*historypb.HistoryEvent
	pending []*workflowpb.PendingActivityInfo
	removed bool // listed, and gone when it is looked at
}

// namespace is a Temporal service with one namespace in memory. It pages as the server does: open runs by start time and
// closed ones by close time, latest first, from behind the last one that it gave out.
type namespace struct {
	mu         sync.Mutex
	runs       []*run
	schedules  []*workflowservice.DescribeScheduleResponse
	activities []*workflowservice.DescribeActivityExecutionResponse
	operations []*workflowservice.DescribeNexusOperationExecutionResponse
	archives   bool
	retention  time.Duration

	calls  int
	before func(call int, req any) error // is asked before each call
}

func (n *namespace) enter(req any) error {
	n.mu.Lock()
	n.calls++
	call, before := n.calls, n.before
	n.mu.Unlock()
	if before != nil {
		return before(call, req)
	}
	return nil
}

// add adds a run with one payload in its start event.
func (n *namespace) add(id string, started, closed time.Time, ps ...*commonpb.Payload) *run {
	r := &run{id: id, run: fmt.Sprintf("%s-%d", id, len(n.runs)), started: started, closed: closed}
	r.events = []*historypb.HistoryEvent{{EventTime: timestamppb.New(started), Attributes: &historypb.HistoryEvent_WorkflowExecutionStartedEventAttributes{
		WorkflowExecutionStartedEventAttributes: &historypb.WorkflowExecutionStartedEventAttributes{Input: payloads(ps...)},
	}}}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.runs = append(n.runs, r)
	return r
}

func (n *namespace) DescribeNamespace(_ context.Context, req *workflowservice.DescribeNamespaceRequest, _ ...grpc.CallOption) (*workflowservice.DescribeNamespaceResponse, error) {
	if err := n.enter(req); err != nil {
		return nil, err
	}
	archival := enumspb.ARCHIVAL_STATE_DISABLED
	if n.archives {
		archival = enumspb.ARCHIVAL_STATE_ENABLED
	}
	return &workflowservice.DescribeNamespaceResponse{
		NamespaceInfo: &namespacepb.NamespaceInfo{Name: req.GetNamespace(), Id: "id of " + req.GetNamespace()},
		Config:        &namespacepb.NamespaceConfig{WorkflowExecutionRetentionTtl: durationpb.New(n.retention), HistoryArchivalState: archival},
	}, nil
}

func (n *namespace) ListWorkflowExecutions(_ context.Context, req *workflowservice.ListWorkflowExecutionsRequest, _ ...grpc.CallOption) (*workflowservice.ListWorkflowExecutionsResponse, error) {
	if err := n.enter(req); err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	open := req.GetQuery() == "ExecutionStatus = 'Running'"
	place := func(r *run) string { // orders latest first
		at := r.started
		if !open {
			at = r.closed
		}
		return fmt.Sprintf("%020d %s", int64(1)<<62-at.UnixNano(), r.run)
	}
	res := &workflowservice.ListWorkflowExecutionsResponse{}
	for last := string(req.GetNextPageToken()); ; {
		var next *run
		for _, r := range n.runs {
			if r.closed.IsZero() == open && place(r) > last && (next == nil || place(r) < place(next)) {
				next = r
			}
		}
		if next == nil {
			return res, nil
		}
		if len(res.Executions) == int(req.GetPageSize()) {
			res.NextPageToken = []byte(last)
			return res, nil
		}
		last = place(next)
		info := &workflowpb.WorkflowExecutionInfo{
			Execution: &commonpb.WorkflowExecution{WorkflowId: next.id, RunId: next.run}, StartTime: timestamppb.New(next.started), Memo: next.memo,
		}
		if !open {
			info.CloseTime = timestamppb.New(next.closed)
		}
		res.Executions = append(res.Executions, info)
	}
}

func (n *namespace) find(e *commonpb.WorkflowExecution) (*run, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, r := range slices.Backward(n.runs) { // without a run, the last one is meant
		if (r.run == e.GetRunId() || e.GetRunId() == "" && r.id == e.GetWorkflowId()) && !r.removed {
			return r, nil
		}
	}
	return nil, serviceerror.NewNotFound("no such workflow")
}

func (n *namespace) DescribeWorkflowExecution(_ context.Context, req *workflowservice.DescribeWorkflowExecutionRequest, _ ...grpc.CallOption) (*workflowservice.DescribeWorkflowExecutionResponse, error) {
	if err := n.enter(req); err != nil {
		return nil, err
	}
	r, err := n.find(req.GetExecution())
	if err != nil {
		return nil, err
	}
	return &workflowservice.DescribeWorkflowExecutionResponse{ // with the memo once more, as the server does
		WorkflowExecutionInfo: &workflowpb.WorkflowExecutionInfo{Memo: r.memo}, PendingActivities: r.pending,
	}, nil
}

// GetWorkflowExecutionHistory gives one event a page.
func (n *namespace) GetWorkflowExecutionHistory(_ context.Context, req *workflowservice.GetWorkflowExecutionHistoryRequest, _ ...grpc.CallOption) (*workflowservice.GetWorkflowExecutionHistoryResponse, error) {
	if err := n.enter(req); err != nil {
		return nil, err
	}
	r, err := n.find(req.GetExecution())
	if err != nil {
		return nil, err
	}
	i := len(req.GetNextPageToken())
	res := &workflowservice.GetWorkflowExecutionHistoryResponse{History: &historypb.History{Events: []*historypb.HistoryEvent{proto.CloneOf(r.events[i])}}}
	if i+1 < len(r.events) {
		res.NextPageToken = []byte(strings.Repeat("x", i+1))
	}
	return res, nil
}

func (n *namespace) ListSchedules(_ context.Context, req *workflowservice.ListSchedulesRequest, _ ...grpc.CallOption) (*workflowservice.ListSchedulesResponse, error) {
	res := &workflowservice.ListSchedulesResponse{}
	for i := range n.schedules {
		res.Schedules = append(res.Schedules, &schedulepb.ScheduleListEntry{ScheduleId: strconv.Itoa(i), Memo: n.schedules[i].GetMemo()})
	}
	return res, n.enter(req)
}

func (n *namespace) DescribeSchedule(_ context.Context, req *workflowservice.DescribeScheduleRequest, _ ...grpc.CallOption) (*workflowservice.DescribeScheduleResponse, error) {
	i, err := strconv.Atoi(req.GetScheduleId())
	if err != nil {
		return nil, err
	}
	return proto.CloneOf(n.schedules[i]), n.enter(req)
}

func (n *namespace) ListActivityExecutions(_ context.Context, req *workflowservice.ListActivityExecutionsRequest, _ ...grpc.CallOption) (*workflowservice.ListActivityExecutionsResponse, error) {
	if n.activities == nil {
		return nil, serviceerror.NewUnimplemented("standalone activities are disabled")
	}
	res := &workflowservice.ListActivityExecutionsResponse{}
	for i := range n.activities {
		res.Executions = append(res.Executions, &activitypb.ActivityExecutionListInfo{ActivityId: strconv.Itoa(i), ScheduleTime: timestamppb.New(day)})
	}
	return res, n.enter(req)
}

func (n *namespace) DescribeActivityExecution(_ context.Context, req *workflowservice.DescribeActivityExecutionRequest, _ ...grpc.CallOption) (*workflowservice.DescribeActivityExecutionResponse, error) {
	i, err := strconv.Atoi(req.GetActivityId())
	if err != nil {
		return nil, err
	}
	d := proto.CloneOf(n.activities[i])
	if !req.GetIncludeInput() {
		d.Input = nil
	}
	if !req.GetIncludeOutcome() {
		d.Outcome = nil
	}
	return d, n.enter(req)
}

func (n *namespace) ListNexusOperationExecutions(_ context.Context, req *workflowservice.ListNexusOperationExecutionsRequest, _ ...grpc.CallOption) (*workflowservice.ListNexusOperationExecutionsResponse, error) {
	if n.operations == nil {
		return nil, serviceerror.NewUnimplemented("standalone operations are disabled")
	}
	res := &workflowservice.ListNexusOperationExecutionsResponse{}
	for i := range n.operations {
		res.Operations = append(res.Operations, &nexuspb.NexusOperationExecutionListInfo{OperationId: strconv.Itoa(i), ScheduleTime: timestamppb.New(day)})
	}
	return res, n.enter(req)
}

func (n *namespace) DescribeNexusOperationExecution(_ context.Context, req *workflowservice.DescribeNexusOperationExecutionRequest, _ ...grpc.CallOption) (*workflowservice.DescribeNexusOperationExecutionResponse, error) {
	i, err := strconv.Atoi(req.GetOperationId())
	if err != nil {
		return nil, err
	}
	return proto.CloneOf(n.operations[i]), n.enter(req)
}

// take takes a whole census.
func take(t *testing.T, n *namespace, o census.Options) *census.Result {
	t.Helper()
	if o.Namespace == "" {
		o.Namespace = "payments"
	}
	if o.Rate == 0 {
		o.Rate = 1e6
	}
	r, err := census.Run(t.Context(), n, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// text is a census as JSON, without the times at which it was taken.
func text(t *testing.T, r *census.Result) string {
	t.Helper()
	c := *r
	c.Began, c.Finished = time.Time{}, time.Time{}
	out, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}
