package propagate

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"reflect"
	"runtime"
	"slices"
	"strings"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/interceptor"

	"github.com/signet-temporal/signet/internal/wire"
)

// ClientInterceptor returns what tells the propagator of each call what the call is. Put it last: it has to see the ids and
// names that really go out.
func (p *Propagator) ClientInterceptor() interceptor.ClientInterceptor {
	return &clientInterceptor{p: p}
}

type clientInterceptor struct {
	interceptor.ClientInterceptorBase
	p *Propagator
}

func (c *clientInterceptor) InterceptClient(next interceptor.ClientOutboundInterceptor) interceptor.ClientOutboundInterceptor {
	return &clientOutbound{ClientOutboundInterceptorBase: interceptor.ClientOutboundInterceptorBase{Next: next}, p: c.p}
}

type clientOutbound struct {
	interceptor.ClientOutboundInterceptorBase
	p *Propagator
}

func with(ctx context.Context, h hop) context.Context { return context.WithValue(ctx, hopKey{}, h) }

func (c *clientOutbound) start(o *client.StartWorkflowOptions, workflowType, message string) hop {
	return hop{kind: KindStart, target: o.ID, name: workflowType, message: message, cron: o.CronSchedule != "",
		anonymous: slices.Contains(c.p.options.AllowAnonymousStarts, workflowType)}
}

func (c *clientOutbound) message(workflowID, name string) hop {
	return hop{kind: KindMessage, target: workflowID, name: name, anonymous: slices.Contains(c.p.options.AllowAnonymousMessages, name)}
}

func scheduleHop(workflowID string, workflow any) hop {
	return hop{kind: KindSchedule, target: wire.Unscheduled(workflowID), name: typeName(workflow)}
}

// typeName names a workflow as the SDK's client does: a function that was given in place of a name, by its last part.
func typeName(workflow any) string {
	v := reflect.ValueOf(workflow)
	switch v.Kind() {
	case reflect.String:
		return v.String()
	case reflect.Func:
		full := runtime.FuncForPC(v.Pointer()).Name()
		return strings.TrimSuffix(full[strings.LastIndexByte(full, '.')+1:], "-fm")
	}
	return "" // the SDK refuses it
}

func (c *clientOutbound) ExecuteWorkflow(ctx context.Context, in *interceptor.ClientExecuteWorkflowInput) (client.WorkflowRun, error) {
	return c.Next.ExecuteWorkflow(with(ctx, c.start(in.Options, in.WorkflowType, "")), in)
}

func (c *clientOutbound) SignalWithStartWorkflow(ctx context.Context, in *interceptor.ClientSignalWithStartWorkflowInput) (client.WorkflowRun, error) {
	return c.Next.SignalWithStartWorkflow(with(ctx, c.start(in.Options, in.WorkflowType, in.SignalName)), in)
}

func (c *clientOutbound) UpdateWithStartWorkflow(ctx context.Context, in *interceptor.ClientUpdateWithStartWorkflowInput) (client.WorkflowUpdateHandle, error) {
	if in.UpdateOptions.WorkflowID == "" { // the start's own id is hidden from interceptors
		return nil, errors.New("propagate: set UpdateOptions.WorkflowID to the id of the workflow that is started: the principal is sealed for it")
	}
	h := hop{kind: KindStart, target: in.UpdateOptions.WorkflowID, message: in.UpdateOptions.UpdateName}
	return c.Next.UpdateWithStartWorkflow(with(ctx, h), in)
}

func (c *clientOutbound) SignalWorkflow(ctx context.Context, in *interceptor.ClientSignalWorkflowInput) error {
	return c.Next.SignalWorkflow(with(ctx, c.message(in.WorkflowID, in.SignalName)), in)
}

func (c *clientOutbound) UpdateWorkflow(ctx context.Context, in *interceptor.ClientUpdateWorkflowInput) (client.WorkflowUpdateHandle, error) {
	return c.Next.UpdateWorkflow(with(ctx, c.message(in.WorkflowID, in.UpdateName)), in)
}

func (c *clientOutbound) QueryWorkflow(ctx context.Context, in *interceptor.ClientQueryWorkflowInput) (converter.EncodedValue, error) {
	h := c.message(in.WorkflowID, in.QueryType)
	h.anonymous = h.anonymous || builtIn(in.QueryType)
	return c.Next.QueryWorkflow(with(ctx, h), in)
}

// CreateSchedule gives the action an id, which the SDK would do later, in a copy of the caller's options.
func (c *clientOutbound) CreateSchedule(ctx context.Context, in *interceptor.ScheduleClientCreateInput) (client.ScheduleHandle, error) {
	action, ok := in.Options.Action.(*client.ScheduleWorkflowAction)
	if !ok {
		return c.Next.CreateSchedule(ctx, in)
	}
	if action.ID == "" {
		var id [16]byte
		_, _ = rand.Read(id[:]) // never fails
		own, options := *action, *in.Options
		own.ID, options.Action = hex.EncodeToString(id[:]), &own
		action, in = &own, &interceptor.ScheduleClientCreateInput{Options: &options}
	}
	return c.Next.CreateSchedule(with(ctx, scheduleHop(action.ID, action.Workflow)), in)
}

func (c *clientOutbound) ExecuteActivity(ctx context.Context, in *interceptor.ClientExecuteActivityInput) (client.ActivityHandle, error) {
	return c.Next.ExecuteActivity(with(ctx, hop{kind: KindStandalone, target: in.Options.ID, name: in.ActivityType}), in)
}
