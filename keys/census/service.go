package census

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
)

// Service is what a census needs of Temporal; [workflowservice.WorkflowServiceClient] is one. It only reads.
type Service interface {
	DescribeNamespace(context.Context, *workflowservice.DescribeNamespaceRequest, ...grpc.CallOption) (*workflowservice.DescribeNamespaceResponse, error)
	ListSchedules(context.Context, *workflowservice.ListSchedulesRequest, ...grpc.CallOption) (*workflowservice.ListSchedulesResponse, error)
	DescribeSchedule(context.Context, *workflowservice.DescribeScheduleRequest, ...grpc.CallOption) (*workflowservice.DescribeScheduleResponse, error)
	ListWorkflowExecutions(context.Context, *workflowservice.ListWorkflowExecutionsRequest, ...grpc.CallOption) (*workflowservice.ListWorkflowExecutionsResponse, error)
	DescribeWorkflowExecution(context.Context, *workflowservice.DescribeWorkflowExecutionRequest, ...grpc.CallOption) (*workflowservice.DescribeWorkflowExecutionResponse, error)
	GetWorkflowExecutionHistory(context.Context, *workflowservice.GetWorkflowExecutionHistoryRequest, ...grpc.CallOption) (*workflowservice.GetWorkflowExecutionHistoryResponse, error)
	ListActivityExecutions(context.Context, *workflowservice.ListActivityExecutionsRequest, ...grpc.CallOption) (*workflowservice.ListActivityExecutionsResponse, error)
	DescribeActivityExecution(context.Context, *workflowservice.DescribeActivityExecutionRequest, ...grpc.CallOption) (*workflowservice.DescribeActivityExecutionResponse, error)
	ListNexusOperationExecutions(context.Context, *workflowservice.ListNexusOperationExecutionsRequest, ...grpc.CallOption) (*workflowservice.ListNexusOperationExecutionsResponse, error)
	DescribeNexusOperationExecution(context.Context, *workflowservice.DescribeNexusOperationExecutionRequest, ...grpc.CallOption) (*workflowservice.DescribeNexusOperationExecutionResponse, error)
}

// call calls one method of the service when it is its turn, and again for Options.Patience while Temporal is busy or away.
func call[Req, Res any](ctx context.Context, w *Walker, method func(context.Context, Req, ...grpc.CallOption) (Res, error), req Req) (Res, error) {
	start := time.Now()
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 10*time.Second) {
		if err := w.limit.Wait(ctx); err != nil {
			var none Res
			return none, fmt.Errorf("waiting for a turn: %w", err)
		}
		once, cancel := context.WithTimeout(ctx, callTimeout)
		res, err := method(once, req)
		cancel()
		if err == nil || !isTransient(err) || time.Since(start)+pause > w.o.Patience {
			return res, err
		}
		select {
		case <-ctx.Done():
			return res, ctx.Err()
		case <-time.After(pause/2 + rand.N(pause)): // #nosec G404 -- jitter
		}
	}
}

// callTimeout is much longer than any page takes.
const callTimeout = 30 * time.Second

func isTransient(err error) bool {
	switch serviceerror.ToStatus(err).Code() {
	case codes.Unavailable, codes.ResourceExhausted, codes.Aborted, codes.DeadlineExceeded:
		return true
	}
	return false
}

// isGone reports whether what was listed does not exist any more, and isUnknown whether the server does not have such a
// thing at all. The SDK's client and a bare connection give different errors for it.
func isGone(err error) bool { return err != nil && serviceerror.ToStatus(err).Code() == codes.NotFound }
func isUnknown(err error) bool {
	return err != nil && serviceerror.ToStatus(err).Code() == codes.Unimplemented
}
