package downstream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"github.com/signet-temporal/signet/principal"
)

// Verifier tells whose token it is; *verify.Verifier does. It must accept only tokens that are meant for this service.
type Verifier interface {
	Verify(ctx context.Context, token string) (*principal.Caller, error)
}

// AssertionVerifier opens what one forwarder has signed for this service; *assertion.Verifier does.
type AssertionVerifier interface {
	VerifyAssertion(ctx context.Context, signed string) (principal.Principal, error)
}

// Forwarder is a service that may say for whom it calls. Issuer, Subject and the tenants are required.
type Forwarder struct {
	// Issuer and Subject are those of its service token, exactly.
	Issuer, Subject string
	// Tenants that it may call for. An empty text among them stands for calls without a tenant.
	Tenants []string
	// AllowAllTenants lets it call for any tenant, and without one. Tenants must be empty then.
	AllowAllTenants bool
	// UserIssuer is the issuer of all users that it forwards, for one that does not send X-Forwarded-Issuer. One that
	// sends another is refused then. Without UserIssuer, who comes without an issuer is a service and not a user.
	UserIssuer string
	// Assertions verifies what it signs. Nil believes the headers alone.
	Assertions AssertionVerifier
	// RequireAssertion refuses calls that are not signed. Without it, a signature is checked where there is one.
	RequireAssertion bool
}

// Options say who may call. Verifier and Forwarders are required.
type Options struct {
	Verifier   Verifier
	Forwarders []Forwarder
	// AllowAnonymous lets a forwarder in that calls for nobody, without any of the headers. The context then carries no
	// principal, only the caller.
	AllowAnonymous bool
	// Logger gets a line with the reason of each refusal. Nil discards them.
	Logger *slog.Logger
	// OnRefusal is told of each refusal, for metrics. It must not block.
	OnRefusal func(context.Context, *Refusal)
}

// Gate decides which calls come in. It is safe for concurrent use.
type Gate struct {
	o          Options
	forwarders map[name]Forwarder
}

type name struct{ issuer, subject string }

// New makes a gate.
func New(o Options) (*Gate, error) {
	if o.Verifier == nil {
		return nil, errors.New("downstream.New: no Verifier: without one, anybody could call: make one with verify.New")
	}
	if len(o.Forwarders) == 0 {
		return nil, errors.New("downstream.New: no Forwarders: list the services that may call, by issuer and subject of their tokens")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	g := &Gate{o: o, forwarders: map[name]Forwarder{}}
	for n, f := range o.Forwarders {
		if err := f.check(); err != nil {
			return nil, fmt.Errorf("downstream.New: Forwarders[%d]: %w", n, err)
		}
		key := name{f.Issuer, f.Subject}
		if _, twice := g.forwarders[key]; twice {
			return nil, fmt.Errorf("downstream.New: Forwarders[%d]: %q of %s is given twice: put all its tenants into one entry", n, f.Subject, f.Issuer)
		}
		f.Tenants = slices.Clone(f.Tenants)
		g.forwarders[key] = f
	}
	return g, nil
}

func (f Forwarder) check() error {
	switch {
	case f.Issuer == "" || f.Subject == "":
		return errors.New("it needs Issuer and Subject")
	case slices.Contains(f.Tenants, "*"):
		return errors.New("its Tenants are exact names: set AllowAllTenants if it may call for all of them")
	case (len(f.Tenants) == 0) != f.AllowAllTenants:
		return errors.New("give either Tenants or AllowAllTenants")
	case f.RequireAssertion && f.Assertions == nil:
		return errors.New("it has RequireAssertion and no Assertions, which verifies them")
	}
	return nil
}

// Admit decides about a call with that header (an http.Header, or a gRPC metadata.MD) and removes from it the token and
// everything that says for whom it is. It returns ctx with the principal and the caller. The error is a [*Refusal].
func (g *Gate) Admit(ctx context.Context, header map[string][]string) (context.Context, error) {
	admitted, refusal := g.admit(ctx, take(header))
	if refusal != nil {
		return nil, refusal
	}
	return admitted, nil
}

func (g *Gate) admit(ctx context.Context, s shown) (context.Context, *Refusal) {
	caller, p, refusal := g.judge(ctx, s)
	if refusal != nil {
		g.report(ctx, caller, refusal)
		return nil, refusal
	}
	if p == (principal.Principal{}) {
		// Over whatever principal ctx had: that one is not this call's.
		ctx = context.WithValue(ctx, principal.Key{}, principal.ErrNone)
	} else {
		ctx = principal.NewContext(ctx, p)
	}
	return context.WithValue(ctx, callerKey{}, *caller), nil
}

// judge returns the zero principal for a call for nobody. The caller is there once it is known, also with a refusal.
func (g *Gate) judge(ctx context.Context, s shown) (*principal.Caller, principal.Principal, *Refusal) {
	var nobody principal.Principal
	if s.badToken != nil {
		return nil, nobody, s.badToken
	}
	caller, err := g.o.Verifier.Verify(ctx, s.token)
	if err != nil || caller == nil {
		return nil, nobody, badToken(err)
	}
	f, ok := g.forwarders[name{caller.Issuer, caller.Subject}]
	switch {
	case !ok:
		return caller, nobody, forbid("the caller is not listed as a forwarder")
	case s.badClaims != nil:
		return caller, nobody, s.badClaims
	case len(s.claims) == 0 && g.o.AllowAnonymous && !f.RequireAssertion:
		return caller, nobody, nil
	}
	p, refusal := f.believe(ctx, s.claims)
	if refusal != nil {
		return caller, nobody, refusal
	}
	return caller, p, nil
}

func (g *Gate) report(ctx context.Context, caller *principal.Caller, refusal *Refusal) {
	attributes := []any{"status", refusal.Status, "reason", refusal.Error()}
	if caller != nil {
		attributes = append(attributes, "caller", *caller)
	}
	g.o.Logger.WarnContext(ctx, "refused a call", attributes...)
	if g.o.OnRefusal != nil {
		g.o.OnRefusal(ctx, refusal)
	}
}

type callerKey struct{}

// CallerFromContext returns the service that makes the call, as its token proves. The principal, for whom it is made, is
// in principal.FromContext.
func CallerFromContext(ctx context.Context) (principal.Caller, bool) {
	caller, ok := ctx.Value(callerKey{}).(principal.Caller)
	return caller, ok
}
