package history_test

import (
	"context"
	"errors"
	"maps"
	"time"

	"github.com/nexus-rpc/sdk-go/nexus"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/temporalnexus"
	"go.temporal.io/sdk/workflow"
)

// What the scenario does where not one workflow and its activities are alone with each other: activities that end
// elsewhere or belong to nobody, runs that follow each other, and Nexus.

// deferred are the ids of the activities that [scenario.Defers] runs, and the places of what they end with.
var deferred = []string{"async-by-token", "async-by-id", "async-by-token-options", "async-by-id-options", "async-failure"}

// Defers runs activities that others complete, and says what they ended with.
func (s *scenario) Defers(ctx workflow.Context) (Record, error) {
	seen := map[string]string{}
	var futures []workflow.Future
	for _, id := range deferred {
		futures = append(futures, workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
			ActivityID: id, StartToCloseTimeout: time.Minute, RetryPolicy: &temporal.RetryPolicy{MaximumAttempts: 1},
		}), s.Defer))
	}
	for i, id := range deferred {
		var out Record
		if err := futures[i].Get(ctx, &out); err != nil {
			out.Value = message(err)
		}
		seen[id] = out.Value
	}
	return Record{Seen: seen}, nil
}

// Defer leaves its end to whoever reads s.deferred.
func (s *scenario) Defer(ctx context.Context) (Record, error) {
	s.deferred <- activity.GetInfo(ctx)
	return Record{}, activity.ErrResultPending
}

// Nightly is run by cron: the first run ends well, the second reads how the first ended and fails, the third reads both.
func (s *scenario) Nightly(ctx workflow.Context, in Record) (Record, error) {
	seen := map[string]string{"cron-input": in.Value}
	if workflow.HasLastCompletionResult(ctx) {
		var last Record
		if err := workflow.GetLastCompletionResult(ctx, &last); err != nil {
			return Record{}, err
		}
		seen["cron-result"] = last.Value
	}
	if err := workflow.GetLastError(ctx); err != nil {
		seen["cron-failure"] = message(err)
		select {
		case s.nights <- seen:
		default: // a fourth run
		}
	} else if seen["cron-result"] != "" {
		return Record{}, temporal.NewApplicationError(s.secret("cron-failure"), "Restless", s.secret("cron-failure-details"))
	}
	return Record{Value: s.secret("cron-result")}, nil
}

// Falters fails at first and, when it is retried, says what it failed with.
func (s *scenario) Falters(ctx workflow.Context, in Record) (Record, error) {
	err := workflow.GetLastError(ctx)
	var failed *temporal.ApplicationError
	if !errors.As(err, &failed) {
		return Record{}, temporal.NewApplicationError(s.secret("retry-failure"), "Faltered", s.secret("retry-failure-details"))
	}
	var details string
	if err := failed.Details(&details); err != nil {
		return Record{}, err
	}
	return Record{Seen: map[string]string{"retry-input": in.Value, "retry-failure": failed.Message(), "retry-failure-details": details}}, nil
}

// Visit is an activity without a workflow. It heartbeats, fails, and in its second attempt reads what it left.
func (s *scenario) Visit(ctx context.Context, in Record) (Record, error) {
	if in.Value == s.secret("standalone-hopeless-input") {
		return Record{}, temporal.NewNonRetryableApplicationError(s.secret("standalone-failure"), "Hopeless", nil, s.secret("standalone-failure-details"))
	}
	if activity.GetInfo(ctx).Attempt == 1 {
		activity.RecordHeartbeat(ctx, s.secret("standalone-heartbeat"))
		return Record{}, temporal.NewApplicationError(s.secret("standalone-last-failure"), "Again")
	}
	var left string
	err := activity.GetHeartbeatDetails(ctx, &left)
	return Record{Value: s.secret("standalone-result"), Seen: map[string]string{"standalone-input": in.Value, "standalone-heartbeat": left}}, err
}

// Refers calls operations of a Nexus service: one that answers at once, one that is a workflow, two that fail, and one
// that never ends.
func (s *scenario) Refers(ctx workflow.Context) (Record, error) {
	seen := map[string]string{}
	service := workflow.NewNexusClient(s.secret("nexus-endpoint"), s.secret("nexus-service"))
	call := func(operation, input string) workflow.NexusOperationFuture {
		return service.ExecuteOperation(ctx, operation, Record{Value: s.secret(input)}, workflow.NexusOperationOptions{
			ScheduleToCloseTimeout: time.Minute, Summary: s.secret("nexus-summary"),
		})
	}
	var out Record
	if err := call(s.secret("nexus-operation"), "nexus-sync-input").Get(ctx, &out); err != nil {
		return Record{}, err
	}
	maps.Copy(seen, out.Seen)
	seen["nexus-sync-result"] = out.Value
	if err := call("lasts", "nexus-workflow-input").Get(ctx, &out); err != nil {
		return Record{}, err
	}
	maps.Copy(seen, out.Seen)
	seen["nexus-workflow-result"] = out.Value
	s.readNexusErrors(call("fails", "nexus-failing-input").Get(ctx, nil), call("errs", "nexus-failing-input").Get(ctx, nil), seen)
	var begun workflow.NexusOperationExecution
	if err := call("never-ends", "nexus-endless-input").GetNexusOperationExecution().Get(ctx, &begun); err != nil {
		return Record{}, err
	}
	return Record{Seen: seen}, nil
}

// readNexusErrors reads both texts of each error: the operation's and its cause's, the handler's and its cause's.
func (s *scenario) readNexusErrors(failed, erred error, seen map[string]string) {
	var outer, inner *temporal.ApplicationError
	if errors.As(failed, &outer) && errors.As(outer.Unwrap(), &inner) {
		seen["nexus-error"], seen["nexus-failure"] = outer.Message(), inner.Message()
	}
	var handler *nexus.HandlerError
	if errors.As(erred, &handler) {
		seen["nexus-handler-error-message"], seen["nexus-handler-error"] = handler.Message, message(handler)
	}
}

// Consulted is the workflow behind the operation "lasts".
func (s *scenario) Consulted(_ workflow.Context, in Record) (Record, error) {
	return Record{Value: s.secret("nexus-workflow-result"), Seen: map[string]string{"nexus-workflow-input": in.Value}}, nil
}

func (s *scenario) nexusService() *nexus.Service {
	service := nexus.NewService(s.secret("nexus-service"))
	service.MustRegister(
		nexus.NewSyncOperation(s.secret("nexus-operation"), func(_ context.Context, in Record, _ nexus.StartOperationOptions) (Record, error) {
			return Record{Value: s.secret("nexus-sync-result"), Seen: map[string]string{"nexus-sync-input": in.Value}}, nil
		}),
		nexus.NewSyncOperation("fails", func(context.Context, Record, nexus.StartOperationOptions) (Record, error) {
			return Record{}, &nexus.OperationError{State: nexus.OperationStateFailed, Message: s.secret("nexus-error"),
				Cause: temporal.NewNonRetryableApplicationError(s.secret("nexus-failure"), "Refused", nil, s.secret("nexus-failure-details"))}
		}),
		nexus.NewSyncOperation("errs", func(context.Context, Record, nexus.StartOperationOptions) (Record, error) {
			return Record{}, &nexus.HandlerError{Type: nexus.HandlerErrorTypeBadRequest, Message: s.secret("nexus-handler-error-message"),
				Cause: temporal.NewNonRetryableApplicationError(s.secret("nexus-handler-error"), "Refused", nil, s.secret("nexus-handler-error-details"))}
		}),
		temporalnexus.NewWorkflowRunOperation("lasts", s.Consulted, func(context.Context, Record, nexus.StartOperationOptions) (client.StartWorkflowOptions, error) {
			return client.StartWorkflowOptions{ID: s.secret("nexus-workflow-id")}, nil
		}),
		temporalnexus.MustNewTemporalOperation(temporalnexus.TemporalOperationOptions[Record, Record]{Name: "never-ends",
			Start: func(context.Context, temporalnexus.NexusClient, Record, temporalnexus.StartTemporalOperationOptions) (temporalnexus.TemporalOperationResult[Record], error) {
				return temporalnexus.NewAsyncResult[Record](s.secret("operation-token")), nil
			}}),
	)
	return service
}

// headers sets the header of Nexus operations, which is another one than what propagators write.
type headers struct {
	interceptor.WorkerInterceptorBase
	s *scenario
}

type (
	headersIn struct {
		interceptor.WorkflowInboundInterceptorBase
		s *scenario
	}
	headersOut struct {
		interceptor.WorkflowOutboundInterceptorBase
		s *scenario
	}
)

func (h *headers) InterceptWorkflow(_ workflow.Context, next interceptor.WorkflowInboundInterceptor) interceptor.WorkflowInboundInterceptor {
	in := &headersIn{s: h.s}
	in.Next = next
	return in
}

func (h *headersIn) Init(next interceptor.WorkflowOutboundInterceptor) error {
	out := &headersOut{s: h.s}
	out.Next = next
	return h.Next.Init(out)
}

func (h *headersOut) ExecuteNexusOperation(ctx workflow.Context, in interceptor.ExecuteNexusOperationInput) workflow.NexusOperationFuture {
	in.NexusHeader[h.s.secret("nexus-header-key")] = h.s.secret("nexus-header-value")
	return h.Next.ExecuteNexusOperation(ctx, in)
}
