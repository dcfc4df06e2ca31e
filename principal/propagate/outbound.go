package propagate

import (
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/workflow"

	"github.com/signet-temporal/signet/principal"
)

// workflowOutbound tells the propagator of each command of a workflow what the command is. All but messages are sealed for
// the workflow that issues them: the server says so where they arrive, and ids of children are not known yet.
type workflowOutbound struct {
	interceptor.WorkflowOutboundInterceptorBase
}

// hopFrom puts a hop into ctx. No principal is needed: without one nothing is sealed, and where it arrives that is judged.
func hopFrom(ctx workflow.Context, kind Kind, target, name string) workflow.Context {
	return workflow.WithValue(ctx, hopKey{}, hop{kind: kind, target: target, name: name, anonymous: true})
}

func own(ctx workflow.Context) string { return workflow.GetInfo(ctx).WorkflowExecution.ID }

func (o *workflowOutbound) ExecuteActivity(ctx workflow.Context, activityType string, args ...any) workflow.Future {
	return o.Next.ExecuteActivity(hopFrom(ctx, KindActivity, own(ctx), activityType), activityType, args...)
}

func (o *workflowOutbound) ExecuteLocalActivity(ctx workflow.Context, activityType string, args ...any) workflow.Future {
	return o.Next.ExecuteLocalActivity(hopFrom(ctx, KindActivity, own(ctx), activityType), activityType, args...)
}

func (o *workflowOutbound) ExecuteChildWorkflow(ctx workflow.Context, workflowType string, args ...any) workflow.ChildWorkflowFuture {
	cron := workflow.GetChildWorkflowOptions(ctx).CronSchedule != ""
	h := hop{kind: KindChild, target: own(ctx), name: workflowType, cron: cron, anonymous: true, namespace: elsewhere(ctx)}
	return o.Next.ExecuteChildWorkflow(workflow.WithValue(ctx, hopKey{}, h), workflowType, args...)
}

// NewContinueAsNewError hands on the owner, whoever ctx acts for: a workflow does not change hands.
func (o *workflowOutbound) NewContinueAsNewError(ctx workflow.Context, fn any, args ...any) error {
	if start, ok := ctx.Value(startedKey{}).(*started); ok {
		ctx = workflow.WithValue(ctx, principal.Key{}, start.held())
	}
	h := hop{kind: KindContinued, target: own(ctx), anonymous: true} // what continues has no cron schedule: the SDK sends none
	return o.Next.NewContinueAsNewError(workflow.WithValue(ctx, hopKey{}, h), fn, args...)
}

func (o *workflowOutbound) SignalExternalWorkflow(ctx workflow.Context, workflowID, runID, signalName string, arg any) workflow.Future {
	h := hop{kind: KindMessage, target: workflowID, name: signalName, anonymous: true, namespace: elsewhere(ctx)}
	return o.Next.SignalExternalWorkflow(workflow.WithValue(ctx, hopKey{}, h), workflowID, runID, signalName, arg)
}

func (o *workflowOutbound) SignalChildWorkflow(ctx workflow.Context, workflowID, signalName string, arg any) workflow.Future {
	h := hop{kind: KindMessage, target: workflowID, name: signalName, anonymous: true, namespace: elsewhere(ctx)}
	return o.Next.SignalChildWorkflow(workflow.WithValue(ctx, hopKey{}, h), workflowID, signalName, arg)
}

// elsewhere returns the namespace that a command goes to, "" for the workflow's own. Servers allow others only where they
// are told to, since 1.30.1.
func elsewhere(ctx workflow.Context) string {
	//lint:ignore SA1019 where it is used it has to be heeded
	namespace := workflow.GetChildWorkflowOptions(ctx).Namespace
	if namespace == workflow.GetInfo(ctx).Namespace {
		return ""
	}
	return namespace
}

// headerOf returns the header of the message that ctx was made for, nil where it had none; false: the propagator is missing.
func headerOf(ctx workflow.Context) (*commonpb.Payload, bool) {
	payload, ok := ctx.Value(messageKey{}).(*commonpb.Payload)
	return payload, ok
}

// tail is the end of a ciphertext, or zeros: half of its authentication tag.
func tail(payload *commonpb.Payload) (end [8]byte) {
	if data := payload.GetData(); len(data) >= len(end) {
		copy(end[:], data[len(data)-len(end):])
	}
	return end
}
