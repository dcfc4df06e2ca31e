package assertion

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/tink-crypto/tink-go/v2/jwt"
	"github.com/tink-crypto/tink-go/v2/keyset"

	"github.com/signet-temporal/signet/principal"
)

const (
	maxLength   = 4 << 10          // bytes
	maxLifetime = 2 * time.Minute  // whoever signed it
	clockSkew   = 30 * time.Second // as package verify allows
)

// Keys are the public keys of a forwarding service: [Fixed] or [Fetch]. With more, it is asked for newer ones than it
// gave before, because an assertion did not verify; it may give the same.
type Keys interface {
	Public(ctx context.Context, more bool) (*keyset.Handle, error)
}

// Fixed is a public keyset that does not change while the process runs.
func Fixed(public *keyset.Handle) Keys { return fixed{public} }

type fixed struct{ handle *keyset.Handle }

func (f fixed) Public(context.Context, bool) (*keyset.Handle, error) { return f.handle, nil }

// VerifierOptions say whose assertions are accepted. All fields are required.
type VerifierOptions struct {
	// Issuer and Workload are what the forwarding service gave to [NewSigner]. Workload must be the Subject of the
	// downstream.Forwarder that this verifier is for.
	Issuer, Workload string
	// Audience is the name of this service, as the forwarding service has it in s2s.Credentials.
	Audience string
	Keys     Keys
}

// Verifier opens the assertions of one forwarding service; it is a downstream.AssertionVerifier. It is safe for
// concurrent use.
type Verifier struct {
	o         VerifierOptions
	validator *jwt.Validator
	last      atomic.Pointer[prepared]
}

// prepared are keys that are ready to verify with, which takes longer than verifying.
type prepared struct {
	keys     *keyset.Handle
	verifier jwt.Verifier
}

// NewVerifier returns a verifier. It fetches nothing.
func NewVerifier(o VerifierOptions) (*Verifier, error) {
	if o.Issuer == "" || o.Workload == "" || o.Audience == "" || o.Keys == nil {
		return nil, errors.New("assertion.NewVerifier: it needs Issuer, Workload, Audience and Keys")
	}
	if f, ok := o.Keys.(fixed); ok {
		if f.handle == nil {
			return nil, errors.New("assertion.NewVerifier: Fixed has no keyset")
		}
		if _, err := jwt.NewVerifier(f.handle); err != nil {
			return nil, fmt.Errorf("assertion.NewVerifier: the keyset does not verify, give the public one: %w", err)
		}
	}
	kind := typ
	validator, err := jwt.NewValidator(&jwt.ValidatorOpts{
		ExpectedTypeHeader: &kind, ExpectedIssuer: &o.Issuer, ExpectedAudience: &o.Audience, ExpectIssuedInThePast: true, ClockSkew: clockSkew,
	})
	if err != nil {
		return nil, fmt.Errorf("assertion.NewVerifier: %w", err)
	}
	return &Verifier{o: o, validator: validator}, nil
}

// VerifyAssertion implements downstream.AssertionVerifier. Its errors hold nothing of the assertion.
func (v *Verifier) VerifyAssertion(ctx context.Context, signed string) (principal.Principal, error) {
	if len(signed) > maxLength {
		return principal.Principal{}, errors.New("it is longer than 4 KiB")
	}
	verified, err := v.verify(ctx, signed, false)
	if err != nil && !jwt.IsExpirationErr(err) {
		verified, err = v.verify(ctx, signed, true)
	}
	switch {
	case jwt.IsExpirationErr(err):
		return principal.Principal{}, errors.New("it has expired: compare the clocks")
	case err != nil:
		return principal.Principal{}, err
	}
	return v.principal(verified)
}

var errUnverified = errors.New("its signature, type, issuer, audience or time is not right")

func (v *Verifier) verify(ctx context.Context, signed string, more bool) (*jwt.VerifiedJWT, error) {
	public, err := v.o.Keys.Public(ctx, more)
	if err != nil {
		return nil, err
	}
	ready := v.last.Load()
	if ready == nil || ready.keys != public {
		verifier, err := jwt.NewVerifier(public)
		if err != nil {
			return nil, errors.New("the forwarding service's keys do not verify")
		}
		ready = &prepared{public, verifier}
		v.last.Store(ready)
	}
	verified, err := ready.verifier.VerifyAndDecode(signed, v.validator)
	if err != nil && !jwt.IsExpirationErr(err) {
		return nil, errUnverified
	}
	return verified, err
}

// principal is what a verified assertion says, well formed.
func (v *Verifier) principal(t *jwt.VerifiedJWT) (principal.Principal, error) {
	var nobody principal.Principal
	issued, err := t.IssuedAt()
	expires, err2 := t.ExpiresAt()
	if err := errors.Join(err, err2); err != nil || expires.Sub(issued) > maxLifetime {
		return nobody, errors.New("it lives too long")
	}
	if actor, err := t.ObjectClaim("act"); err != nil || actor["sub"] != v.o.Workload {
		return nobody, errors.New("its \"act\" is another service")
	}
	p := principal.Principal{Kind: principal.KindService, Tenant: text(t, "tenant"), Txn: text(t, "txn"), IssuedAt: issued.UTC()}
	if p.Subject, err = t.Subject(); err != nil {
		return nobody, errors.New("it has no \"sub\"")
	}
	if t.HasObjectClaim("sub_id") {
		id, err := t.ObjectClaim("sub_id")
		if err != nil || id["format"] != "iss_sub" || id["sub"] != p.Subject {
			return nobody, errors.New("its \"sub_id\" is not that of \"sub\"")
		}
		p.Issuer, _ = id["iss"].(string)
		p.Kind = principal.KindUser
	}
	if seconds, err := t.NumberClaim("auth_time"); err == nil {
		p.AuthTime = time.Unix(int64(seconds), 0).UTC()
	}
	if err := p.Check(); err != nil {
		return nobody, err
	}
	return p, nil
}

func text(t *jwt.VerifiedJWT, claim string) string {
	value, err := t.StringClaim(claim)
	if err != nil {
		return ""
	}
	return value
}
