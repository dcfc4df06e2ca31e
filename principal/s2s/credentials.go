package s2s

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/signet-temporal/signet/principal"
	"github.com/signet-temporal/signet/principal/internal/forwarded"
)

// Credentials are what a service shows with each call to another: who it is, and for whom it calls. Tokens and Audience
// are required.
type Credentials struct {
	// Tokens are this service's own. Put a [Cache] in front of their source.
	Tokens TokenSource
	// Audience is the name of the service that is called, as its verifier expects it in the token.
	Audience string
	// Asserter signs for whom the call is made, for services that require it; nil sends it unsigned, which is enough
	// where the service called trusts this one. Package assertion has one.
	Asserter Asserter
	// AllowAnonymous makes calls for nobody where the context carries no principal. Without it such a call is refused,
	// so that a context lost on the way does not turn a user's call into one of the service. A principal that arrived
	// and was refused stays an error.
	AllowAnonymous bool
}

// Asserter signs for whom a service calls the service audience. It must be safe for concurrent use.
type Asserter interface {
	Assert(ctx context.Context, p principal.Principal, audience string) (string, error)
}

// ErrRefused: the call must not be made, now or later: nobody to make it for, or the wrong place to send it to.
var ErrRefused = errors.New("s2s: call refused")

// refuse makes an error of one line that is an [ErrRefused], and whatever cause is.
func refuse(cause error, format string, args ...any) error {
	return &refusal{text: "s2s: call refused: " + fmt.Sprintf(format, args...), cause: cause}
}

type refusal struct {
	text  string
	cause error
}

func (r *refusal) Error() string        { return r.text }
func (r *refusal) Is(target error) bool { return target == ErrRefused }
func (r *refusal) Unwrap() error        { return r.cause }

// Check reports what is missing, in one line.
func (c Credentials) Check() error {
	switch {
	case c.Tokens == nil:
		return errors.New("credentials have no Tokens: give a source, such as a *s2s.Cache over a *vaulttoken.Source")
	case c.Audience == "":
		return errors.New("credentials have no Audience: name the service that is called, as its verifier expects it")
	}
	return nil
}

// Write passes the headers of one call for the principal of ctx to set, and returns the token among them. It is for
// transports of other protocols than HTTP; whoever calls it first removes what [Strip] removes.
func (c Credentials) Write(ctx context.Context, set func(name, value string)) (Token, error) {
	p, err := principal.FromContext(ctx)
	anonymous := errors.Is(err, principal.ErrNone)
	switch {
	case anonymous && !c.AllowAnonymous:
		return Token{}, refuse(err, "the context carries no principal: pass on the one that the activity was given, or use principal.Service")
	case err != nil && !anonymous:
		return Token{}, refuse(err, "the principal in the context was refused: %v", err)
	case !anonymous:
		if err := sendable(p); err != nil {
			return Token{}, err
		}
	}
	token, err := c.Tokens.Token(ctx, c.Audience)
	if err != nil {
		return Token{}, err
	}
	if !anonymous {
		if err := c.forward(ctx, p, set); err != nil {
			return Token{}, err
		}
	}
	set("Authorization", "Bearer "+token.Reveal())
	return token, nil
}

func (c Credentials) forward(ctx context.Context, p principal.Principal, set func(name, value string)) error {
	if c.Asserter != nil {
		signed, err := c.Asserter.Assert(ctx, p, c.Audience)
		if err != nil {
			return fmt.Errorf("s2s: signing for whom the call is made: %w", err)
		}
		set(forwarded.Assertion, signed)
	}
	set(forwarded.User, p.Subject)
	for _, optional := range [...]struct{ name, value string }{{forwarded.Issuer, p.Issuer}, {forwarded.Tenant, p.Tenant}, {forwarded.Txn, p.Txn}} {
		if optional.value != "" {
			set(optional.name, optional.value)
		}
	}
	return nil
}

// sendable: a comma would make one value look like two that a proxy has joined.
func sendable(p principal.Principal) error {
	if err := p.Check(); err != nil {
		return refuse(err, "%v", err)
	}
	for _, text := range [...]string{p.Subject, p.Issuer, p.Tenant, p.Txn} {
		if strings.Contains(text, ",") {
			return refuse(nil, "a text of the principal has a comma, which a header cannot carry")
		}
	}
	return nil
}

// Strip removes from h the token and every header that says for whom a call is made, however their names are written.
func Strip(h map[string][]string) {
	forwarded.Strip(h)
	for name := range h {
		if strings.EqualFold(name, "Authorization") {
			delete(h, name)
		}
	}
}
