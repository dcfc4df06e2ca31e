package propagate

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/workflow"

	"github.com/signet-temporal/signet/principal"
)

// Propagator seals and judges the principals of one namespace. It is the SDK's context propagator; it needs its two
// interceptors beside it, see [Propagator.ClientInterceptor] and [Propagator.WorkerInterceptor]. signet's plugin puts all
// three in their places.
type Propagator struct {
	keys     Keys
	options  Options
	sealer   Sealer
	others   map[string]Sealer // by namespace
	memory   *revalidated
	replayer bool
}

var _ workflow.ContextPropagator = (*Propagator)(nil)

// New makes a propagator. It fails when keys has nothing to seal with.
func New(keys Keys, options Options) (*Propagator, error) {
	o, err := options.check()
	if err != nil {
		return nil, err
	}
	p := &Propagator{keys: keys, options: o, others: make(map[string]Sealer), memory: newRevalidated(o.Revalidate)}
	if p.sealer, err = NewSealer(keys, o.Keyset, o.Scope); err != nil {
		return nil, err
	}
	for name, other := range o.OtherNamespaces {
		if other.Scope == "" {
			other.Scope = name
		}
		if other.Keyset == "" {
			other.Keyset = "principal/" + other.Scope
		}
		if p.others[name], err = NewSealer(keys, other.Keyset, other.Scope); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// Ready says whether everything that this propagator seals with is there, so that a process which cannot seal does not start.
func (p *Propagator) Ready() error {
	for _, s := range p.others {
		if _, _, err := p.keys.Primary(s.keyset); err != nil {
			return keyError(err)
		}
	}
	if _, _, err := p.keys.Primary(p.sealer.keyset); err != nil {
		return keyError(err)
	}
	return nil
}

// Replayer returns the propagator for a workflow replayer, which may not know the namespace and the workflow's id.
func (p *Propagator) Replayer() *Propagator {
	r := *p
	r.replayer = true
	return &r
}

// Wired reports whether o has a propagator and both its interceptors, so that whoever assembles a client can tell when
// something was lost on the way.
func Wired(o client.Options) bool {
	propagates := slices.ContainsFunc(o.ContextPropagators, func(c workflow.ContextPropagator) bool {
		_, ok := c.(*Propagator)
		return ok
	})
	var calls, works bool
	for _, i := range o.Interceptors {
		switch i.(type) {
		case *clientInterceptor:
			calls = true
		case *workerInterceptor:
			works = true
		}
	}
	return propagates && calls && works
}

// hop says what a header is sealed for. An interceptor puts it into the context, and Inject takes it from there.
type hop struct {
	kind      Kind
	target    string
	name      string
	message   string // KindStart: the name of the message that starts the workflow as well
	cron      bool
	anonymous bool   // no principal is needed
	namespace string // where it goes; "" is this one
}

// Keys of contexts, beside principal.Key.
type (
	hopKey     struct{} // hop
	startedKey struct{} // *started: in every context of a workflow
	messageKey struct{} // *commonpb.Payload, nil without a header: the message that is being handled
	callerKey  struct{} // principal.Principal or error: its sender
)

// started is what came with the start of a workflow.
type started struct{ arrival }

var errNoHop = errors.New("propagate: a header is asked for where signet's interceptor did not say what for: to edit a schedule, use the context of propagate.ForSchedule")

// record makes what is sealed for a hop; ok is false where no principal is needed and none is there.
func (p *Propagator) record(ctx principal.Valuer, now time.Time) (r Record, s Sealer, ok bool, err error) {
	h, told := ctx.Value(hopKey{}).(hop)
	if !told {
		return r, s, false, errNoHop
	}
	s = p.sealer
	if h.namespace != "" {
		if s, told = p.others[h.namespace]; !told {
			return r, s, false, refuse(ReasonNamespace, "Options.OtherNamespaces does not name the namespace it is for")
		}
	}
	who, err := principal.FromContext(ctx)
	if err == principal.ErrNone { //nolint:errorlint // one that was refused matches as well, and is no excuse
		if h.anonymous {
			return r, s, false, nil
		}
		return r, s, false, refuse(ReasonMissing, "put one into the context with principal.NewContext")
	}
	if err == nil {
		err = p.options.maySeal(who, h.kind)
	}
	if err != nil {
		return r, s, false, err
	}
	r = Record{Principal: who, Kind: h.kind, Cron: h.cron, SealedAt: now, Place: PlaceOf(h.kind, h.target, h.name)}
	if h.message != "" {
		r.Message = PlaceOf(KindMessage, h.target, h.message)
	}
	return r, s, true, nil
}

// Inject implements workflow.ContextPropagator: it seals the principal of ctx. An error fails the call.
func (p *Propagator) Inject(ctx context.Context, w workflow.HeaderWriter) error {
	r, s, ok, err := p.record(ctx, time.Now())
	if err != nil || !ok {
		return err
	}
	payload, err := s.Seal(r)
	if err != nil {
		return err
	}
	w.Set(Header, payload)
	return nil
}

// InjectFromWorkflow implements workflow.ContextPropagator. A key that is missing fails the workflow task, which is
// retried, and nothing else. In a workflow that runs for nobody nothing is sealed.
func (p *Propagator) InjectFromWorkflow(ctx workflow.Context, w workflow.HeaderWriter) error {
	r, s, ok, err := p.record(ctx, workflow.Now(ctx))
	if err != nil || !ok {
		return err
	}
	payload, err := s.Seal(r)
	var failed *Error
	if errors.As(err, &failed) && (failed.reason == ReasonUnavailable || failed.reason == ReasonDestroyed) {
		if p.replayer && p.options.InsecureReplayWithoutKeys {
			return nil
		}
		panic(err)
	}
	if err != nil {
		return err
	}
	w.Set(Header, payload)
	return nil
}

// Extract implements workflow.ContextPropagator. It never fails: the context then carries why there is no principal, and
// the interceptor refuses the activity.
func (p *Propagator) Extract(ctx context.Context, r workflow.HeaderReader) (context.Context, error) {
	if !activity.IsActivity(ctx) { // the SDK reads the headers of a query that is being sent
		return ctx, nil
	}
	payload, _ := r.Get(Header)
	a := p.performer(payload, activity.GetInfo(ctx))
	return context.WithValue(context.WithValue(ctx, startedKey{}, &started{a}), principal.Key{}, a.held()), nil
}

// ExtractToWorkflow implements workflow.ContextPropagator. It never fails. The context of a message is made from the
// workflow's, so its header, or that it has none, is kept for the interceptor, which knows the message's name and sees to it
// that nothing runs for the owner only because of that.
func (p *Propagator) ExtractToWorkflow(ctx workflow.Context, r workflow.HeaderReader) (workflow.Context, error) {
	payload, _ := r.Get(Header)
	if ctx.Value(startedKey{}) == nil {
		a := p.owner(payload, workflow.GetInfo(ctx))
		return workflow.WithValue(workflow.WithValue(ctx, startedKey{}, &started{a}), principal.Key{}, a.held()), nil
	}
	return workflow.WithValue(ctx, messageKey{}, payload), nil
}

// held is what a context carries of an arrival: the principal, or why there is none.
func (a arrival) held() any {
	if a.err != nil {
		return a.err
	}
	return a.record.Principal
}

// Caller returns who sent the update, signal or query that is being handled in ctx. Elsewhere, and where the message was
// allowed to come without a principal, the error is [principal.ErrNone].
func Caller(ctx principal.Valuer) (principal.Principal, error) {
	switch held := ctx.Value(callerKey{}).(type) {
	case principal.Principal:
		return held, nil
	case error:
		return principal.Principal{}, held
	}
	return principal.Principal{}, principal.ErrNone
}

// AsCaller returns a context in which the sender of the update that is being handled is the principal: activities, children
// and signals from there are on the sender's behalf, and no longer on the owner's.
func AsCaller(ctx workflow.Context) (workflow.Context, error) {
	caller, err := Caller(ctx)
	if err != nil {
		return nil, err
	}
	return workflow.WithValue(ctx, principal.Key{}, caller), nil
}

// ForSchedule returns a context for the Update of a schedule's handle. The id and the workflow, a name or a function, are
// those of the schedule's action.
// The SDK has no interceptor there, and whoever edits a schedule becomes the one it runs for.
func ForSchedule(ctx context.Context, workflowID string, workflow any) context.Context {
	return context.WithValue(ctx, hopKey{}, scheduleHop(workflowID, workflow))
}

// builtIn: queries that the SDK answers itself, such as __stack_trace.
func builtIn(query string) bool { return strings.HasPrefix(query, "__") }
