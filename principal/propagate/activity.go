package propagate

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/temporal"

	"github.com/signet-temporal/signet/principal"
)

func (w *workerInterceptor) InterceptActivity(_ context.Context, next interceptor.ActivityInboundInterceptor) interceptor.ActivityInboundInterceptor {
	return &activityInbound{ActivityInboundInterceptorBase: interceptor.ActivityInboundInterceptorBase{Next: next}, p: w.p}
}

type activityInbound struct {
	interceptor.ActivityInboundInterceptorBase
	p *Propagator
}

// ExecuteActivity refuses an activity that is for nobody, or for somebody who may act no longer.
func (i *activityInbound) ExecuteActivity(ctx context.Context, in *interceptor.ExecuteActivityInput) (any, error) {
	start, ok := ctx.Value(startedKey{}).(*started)
	if !ok {
		return nil, temporal.NewNonRetryableApplicationError(errUnwired.Error(), TypeInvalid, nil)
	}
	a := start.arrival
	if a.err == nil {
		a = a.judge(i.p.memory.check(ctx, a.record.Principal))
	}
	info := activity.GetInfo(ctx)
	event := Event{Kind: KindActivity, Namespace: info.Namespace, WorkflowID: info.WorkflowExecution.ID, Name: info.ActivityType.Name}
	if event.WorkflowID == "" {
		event.Kind, event.WorkflowID = KindStandalone, info.ActivityID
	}
	refused := refusedBy(a)
	if refused == nil {
		i.p.tell(nil, a, event)
		return i.Next.ExecuteActivity(ctx, in)
	}
	activity.GetLogger(ctx).Warn("signet: a principal was refused", "hop", event.Kind.String(), "reason", refused.reason, "detail", refused.detail)
	i.p.tell(activity.GetMetricsHandler(ctx), a, event)
	return nil, failure(refused, refused.Permanent())
}

// refusedBy returns why an arrival is refused, or nil: also where it is allowed to be for nobody.
func refusedBy(a arrival) *Error {
	var refused *Error
	if errors.As(a.err, &refused) {
		return refused
	}
	return nil
}

// tell counts a refusal, and tells the observer of any arrival. Metrics are nil where nothing was refused.
func (p *Propagator) tell(metrics client.MetricsHandler, a arrival, e Event) {
	if refused := refusedBy(a); refused != nil {
		e.Reason = refused.reason
		metrics.WithTags(map[string]string{"hop": e.Kind.String(), "reason": refused.reason}).Counter(MetricRefused).Inc(1)
	}
	if p.options.Observe != nil {
		e.Principal = a.record.Principal
		p.options.Observe(e)
	}
}

// revalidated remembers for a short time whom [Options.Revalidate] let pass, or refused for good.
type revalidated struct {
	ask func(context.Context, principal.Principal) error

	mu    sync.Mutex
	known map[principal.Principal]verdict
}

type verdict struct {
	until   time.Time
	revoked bool
}

const (
	verdictHolds = time.Minute
	verdictsKept = 10_000
)

func newRevalidated(ask func(context.Context, principal.Principal) error) *revalidated {
	return &revalidated{ask: ask, known: make(map[principal.Principal]verdict)}
}

// check returns nil, or an *Error as an error.
func (r *revalidated) check(ctx context.Context, who principal.Principal) error {
	if r.ask == nil {
		return nil
	}
	somebody := principal.Principal{Kind: who.Kind, Issuer: who.Issuer, Subject: who.Subject, Tenant: who.Tenant}
	r.mu.Lock()
	v, ok := r.known[somebody]
	r.mu.Unlock()
	if !ok || time.Now().After(v.until) {
		err := r.ask(ctx, who)
		if err != nil && !errors.Is(err, ErrRevoked) {
			return refuse(ReasonUnchecked, "Options.Revalidate could not be answered") // its error may say anything
		}
		v = verdict{until: time.Now().Add(verdictHolds), revoked: err != nil}
		r.keep(somebody, v)
	}
	if v.revoked {
		return refuse(ReasonRevoked, "")
	}
	return nil
}

func (r *revalidated) keep(who principal.Principal, v verdict) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.known) >= verdictsKept { // forget all rather than grow: they are asked again
		clear(r.known)
	}
	r.known[who] = v
}
