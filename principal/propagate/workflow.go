package propagate

import (
	"errors"
	"slices"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/signet-temporal/signet/principal"
)

// MetricRefused counts principals that were refused where they arrived, by "hop" and "reason". docs/principal.md says when
// to wake somebody.
const MetricRefused = "signet_principals_refused"

// WorkerInterceptor returns what enforces the propagator's judgement in workflows and activities. Put it first: what comes
// after it sees nothing that was refused. It is a client interceptor as well, which does nothing, so that it can stand in
// client.Options.Interceptors and serve every worker of the client.
func (p *Propagator) WorkerInterceptor() interceptor.Interceptor {
	return &workerInterceptor{p: p}
}

type workerInterceptor struct {
	interceptor.InterceptorBase
	p *Propagator
}

func (w *workerInterceptor) InterceptWorkflow(_ workflow.Context, next interceptor.WorkflowInboundInterceptor) interceptor.WorkflowInboundInterceptor {
	return &workflowInbound{WorkflowInboundInterceptorBase: interceptor.WorkflowInboundInterceptorBase{Next: next}, p: w.p}
}

// workflowInbound serves one run of a workflow. What it remembers is made again at a replay.
type workflowInbound struct {
	interceptor.WorkflowInboundInterceptorBase
	p *Propagator
	// seen are the signals and updates that were handled, by the end of their ciphertext, which no two have in common. The
	// server bounds their number for a run.
	seen map[[8]byte]bool
}

func (w *workflowInbound) Init(next interceptor.WorkflowOutboundInterceptor) error {
	return w.Next.Init(&workflowOutbound{WorkflowOutboundInterceptorBase: interceptor.WorkflowOutboundInterceptorBase{Next: next}})
}

// ExecuteWorkflow refuses a run that is for nobody. In two cases the workflow task fails and is retried instead: while the
// key of its header is missing, for as long as a start may be under way, because the key may be a new one that has not
// arrived here; and where a worker replays a run, because it was accepted when it began, so a key was destroyed or a policy
// changed, and an operator decides what becomes of it.
func (w *workflowInbound) ExecuteWorkflow(ctx workflow.Context, in *interceptor.ExecuteWorkflowInput) (any, error) {
	info := workflow.GetInfo(ctx)
	start, ok := ctx.Value(startedKey{}).(*started)
	if !ok {
		return nil, temporal.NewNonRetryableApplicationError(errUnwired.Error(), TypeInvalid, nil)
	}
	if start.err == nil {
		start = &started{start.judge(w.follows(ctx, start.record))}
	}
	w.report(ctx, start.arrival, max(start.record.Kind, KindStart), info.WorkflowType.Name)
	var refused *Error
	if !errors.As(start.err, &refused) {
		return w.Next.ExecuteWorkflow(ctx, in)
	}
	replays, young := workflow.IsReplaying(ctx), workflow.Now(ctx).Sub(info.WorkflowStartTime) < w.p.options.StartSkew
	if replays && !w.p.replayer || !refused.Permanent() && (replays || young) {
		panic(refused)
	}
	return nil, failure(refused, true)
}

// follows judges a run by how the run before it ended, from which the server copied the header.
//
// Cron goes on after a run that was refused, with the same header and no longer as a first run. And a run may have timed
// out because no worker was ever given it: an eager start hands the only task to whoever starts the workflow. After that
// the header has to be fresh by itself.
func (w *workflowInbound) follows(ctx workflow.Context, r Record) error {
	info := workflow.GetInfo(ctx)
	switch last := workflow.GetLastError(ctx).(type) { //nolint:errorlint // the run's own, and not one of its activities'
	case *temporal.ApplicationError:
		var reason string
		if info.CronSchedule != "" && last.Type() == TypeInvalid && (last.Details(&reason) != nil || reason == ReasonStale) {
			return refuse(ReasonStale, "the run before this one was refused as stale")
		}
	case *temporal.TimeoutError:
		copied := info.Attempt > 1 || info.CronSchedule != ""
		if copied && !w.p.replayer && !within(w.p.options.StartSkew, info.WorkflowStartTime, r.SealedAt) &&
			!slices.Contains(w.p.options.AllowRetriesAfterTimeout, info.WorkflowType.Name) {
			return refuse(ReasonStale, "the run before this one timed out, so that maybe nobody judged it: name the type in Options.AllowRetriesAfterTimeout if it may be run again")
		}
	}
	return nil
}

var errUnwired = errors.New("propagate: the interceptor is there without its context propagator: use signet's plugin, or set both")

// failure is what a workflow or activity fails with.
func failure(refused *Error, final bool) error {
	kind := TypeInvalid
	if !final {
		kind = TypeUnavailable
	}
	return temporal.NewApplicationErrorWithOptions(refused.Error(), kind, temporal.ApplicationErrorOptions{NonRetryable: final, Details: []any{refused.reason}})
}

// HandleSignal drops a signal that is refused. An error would fail the workflow task, again and again, and let whoever can
// send a signal hold the workflow up.
func (w *workflowInbound) HandleSignal(ctx workflow.Context, in *interceptor.HandleSignalInput) error {
	ctx, a := w.judge(ctx, in.SignalName)
	if w.report(ctx, a, KindMessage, in.SignalName); refusedBy(a) != nil {
		return nil
	}
	w.remember(ctx)
	return w.Next.HandleSignal(ctx, in)
}

// HandleQuery answers a refused query with an error.
func (w *workflowInbound) HandleQuery(ctx workflow.Context, in *interceptor.HandleQueryInput) (any, error) {
	ctx, a := w.judge(ctx, in.QueryType)
	w.report(ctx, a, KindMessage, in.QueryType)
	if refused := refusedBy(a); refused != nil {
		return nil, refused
	}
	return w.Next.HandleQuery(ctx, in)
}

// ValidateUpdate rejects a refused update: it leaves no trace in the history.
func (w *workflowInbound) ValidateUpdate(ctx workflow.Context, in *interceptor.UpdateInput) error {
	ctx, a := w.judge(ctx, in.Name)
	w.report(ctx, a, KindMessage, in.Name)
	if refused := refusedBy(a); refused != nil {
		return failure(refused, refused.Permanent())
	}
	return w.Next.ValidateUpdate(ctx, in)
}

// ExecuteUpdate judges once more, for at a replay nothing is validated.
func (w *workflowInbound) ExecuteUpdate(ctx workflow.Context, in *interceptor.UpdateInput) (any, error) {
	ctx, a := w.judge(ctx, in.Name)
	if refused := refusedBy(a); refused != nil {
		return nil, failure(refused, refused.Permanent())
	}
	w.remember(ctx)
	return w.Next.ExecuteUpdate(ctx, in)
}

// judge opens the message in ctx and returns the context for its handler.
func (w *workflowInbound) judge(ctx workflow.Context, name string) (workflow.Context, arrival) {
	payload, ok := headerOf(ctx)
	if !ok {
		return ctx, arrival{err: &Error{reason: ReasonMissing, cause: errUnwired}}
	}
	owner, err := principal.FromContext(ctx)
	a := w.p.sender(payload, name, workflow.GetInfo(ctx), owner, err == nil)
	if a.err == nil && w.seen[tail(payload)] {
		a.err = refuse(ReasonReplayed, "it was handled before")
	}
	ctx = workflow.WithValue(ctx, callerKey{}, a.held())
	if a.err != nil { // refused, or anonymous: whatever the handler does, it does not do it as the owner
		ctx = workflow.WithValue(ctx, principal.Key{}, a.err)
	}
	return ctx, a
}

func (w *workflowInbound) remember(ctx workflow.Context) {
	payload, _ := headerOf(ctx)
	if w.seen == nil {
		w.seen = make(map[[8]byte]bool)
	}
	w.seen[tail(payload)] = true
}

// report tells of an arrival: not again at a replay.
func (w *workflowInbound) report(ctx workflow.Context, a arrival, kind Kind, name string) {
	if workflow.IsReplaying(ctx) {
		return
	}
	info := workflow.GetInfo(ctx)
	var metrics client.MetricsHandler
	if refused := refusedBy(a); refused != nil {
		metrics = workflow.GetMetricsHandler(ctx)
		workflow.GetLogger(ctx).Warn("signet: a principal was refused", "hop", kind.String(), "name", name, "reason", refused.reason, "detail", refused.detail)
	}
	w.p.tell(metrics, a, Event{Kind: kind, Namespace: info.Namespace, WorkflowID: info.WorkflowExecution.ID, Name: name})
}
