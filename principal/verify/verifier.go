package verify

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/signet-temporal/signet/principal"
	"github.com/signet-temporal/signet/principal/verify/internal/jwks"
)

const (
	maxToken = 8 << 10          // bytes
	leeway   = 30 * time.Second // of clocks that differ: for "exp", "iat" and "nbf"
)

// Verifier checks tokens. It is safe for concurrent use.
type Verifier struct {
	issuers map[string]*issuer
	recent  recent
}

// New makes a verifier of at least one issuer. It runs the OIDC discovery of those without JWKSURL, so that a wrong URL
// stops the start of the program and not the first user. Keys are fetched when the first token needs them.
// An error is one line that begins with "issuers[<n>].<field>: ".
func New(ctx context.Context, issuers ...Issuer) (*Verifier, error) {
	if len(issuers) == 0 {
		return nil, errors.New("issuers: at least one issuer is required")
	}
	v := &Verifier{issuers: map[string]*issuer{}}
	for n, i := range issuers {
		if err := i.Check(); err != nil {
			return nil, fmt.Errorf("issuers[%d].%w", n, err)
		}
		if v.issuers[i.Issuer] != nil {
			return nil, fmt.Errorf("issuers[%d].issuer: %s is given twice: put all its audiences into one entry", n, i.Issuer)
		}
		v.issuers[i.Issuer] = &issuer{}
	}
	for n, i := range issuers {
		connected, err := i.connect(ctx)
		if err != nil {
			return nil, fmt.Errorf("issuers[%d].%w", n, err)
		}
		v.issuers[i.Issuer] = connected
	}
	return v, nil
}

// Authenticate returns who makes the request, by its Authorization and Authorization-Extras headers. The error is an
// [*Error]. It reads neither URL nor body nor cookies.
func (v *Verifier) Authenticate(r *http.Request) (*principal.Caller, error) {
	access, err := bearer(r.Header.Values("Authorization"))
	if err != nil {
		return nil, err
	}
	extras := r.Header.Values("Authorization-Extras")
	if len(extras) > 1 {
		return nil, refuse(MalformedToken, "more than one Authorization-Extras header")
	}
	if len(extras) == 0 || extras[0] == "" {
		return v.Verify(r.Context(), access)
	}
	id := strings.TrimSpace(extras[0])
	caller, err := v.Verify(r.Context(), access)
	switch {
	case err == nil:
		return v.merge(r.Context(), caller, id)
	case cannotBeJudged(err):
		return v.verify(r.Context(), id, idToken)
	}
	return nil, err
}

// Verify returns who a token of the Authorization header speaks for, without its "Bearer ". The error is an [*Error].
func (v *Verifier) Verify(ctx context.Context, token string) (*principal.Caller, error) {
	return v.verify(ctx, token, accessToken)
}

// Claims returns what such a token says, for those who need more of it than who the caller is.
func (v *Verifier) Claims(ctx context.Context, token string) (*Claims, error) {
	j, err := v.judge(ctx, token, accessToken)
	if err != nil {
		return nil, err
	}
	return j.copyOfClaims(), nil
}

// IDToken returns who an ID token speaks for, and what else it says, for who logs people in: the audience is one of the
// issuer's IDTokenAudiences, and the nonce has yet to be compared. The error is an [*Error].
func (v *Verifier) IDToken(ctx context.Context, token string) (*principal.Caller, *Claims, error) {
	j, err := v.prove(ctx, token, idToken) // once in its life: not worth remembering
	if err != nil {
		return nil, nil, err
	}
	return j.caller, j.claims, j.noCaller
}

func bearer(authorization []string) (string, error) {
	if len(authorization) > 1 {
		return "", refuse(MalformedToken, "more than one Authorization header")
	}
	if len(authorization) == 0 || authorization[0] == "" {
		return "", nil
	}
	scheme, token, _ := strings.Cut(authorization[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", refuse(MalformedToken, "the Authorization header is not a bearer token")
	}
	return strings.TrimSpace(token), nil
}

// cannotBeJudged: the access token says nothing that we could check: there is none, it is opaque, or it is for others.
func cannotBeJudged(err error) bool {
	var refused *Error
	return errors.As(err, &refused) && refused.Issuer == "" &&
		(refused.Code == MissingToken || refused.Code == MalformedToken || refused.Code == UnknownIssuer)
}

// merge adds what the ID token says about the same caller. An ID token that does not verify adds nothing: the Web UI
// keeps sending one after it has expired.
func (v *Verifier) merge(ctx context.Context, caller *principal.Caller, id string) (*principal.Caller, error) {
	more, err := v.verify(ctx, id, idToken)
	if err != nil {
		return caller, nil //nolint:nilerr // says so above
	}
	if more.Issuer != caller.Issuer || more.Subject != caller.Subject {
		return nil, refuse(TokenMismatch, "Authorization and Authorization-Extras name different callers")
	}
	for _, g := range more.Groups {
		if !slices.Contains(caller.Groups, g) {
			caller.Groups = append(caller.Groups, g)
		}
	}
	for name, texts := range more.Claims {
		// How and when somebody logged in is a matter of the token that is used, and not of another one from that session.
		if _, known := caller.Claims[name]; !known && name != "acr" && name != "amr" && name != "auth_time" {
			caller.Claims[name] = texts
		}
	}
	if caller.Email == "" {
		caller.Email = more.Email
	}
	return caller, nil
}

type kind bool

const (
	accessToken kind = false
	idToken     kind = true
)

func (v *Verifier) verify(ctx context.Context, token string, k kind) (*principal.Caller, error) {
	j, err := v.judge(ctx, token, k)
	if err != nil {
		return nil, err
	}
	if j.noCaller != nil {
		return nil, j.noCaller
	}
	return j.copyOfCaller(), nil
}

// judge proves a token, unless that was done a moment ago.
func (v *Verifier) judge(ctx context.Context, token string, k kind) (*judged, error) {
	if j := v.recent.find(ctx, token, k); j != nil {
		return j, nil
	}
	j, err := v.prove(ctx, token, k)
	if err == nil && j.noCaller == nil {
		v.recent.add(j)
	}
	return j, err
}

// prove chooses the issuer that shall judge the token, and has it judged.
func (v *Verifier) prove(ctx context.Context, token string, k kind) (*judged, error) {
	typ, name, err := peek(token)
	if err != nil {
		return nil, err
	}
	i := v.issuers[name]
	if i == nil {
		return nil, refuse(UnknownIssuer, fmt.Sprintf("no issuer %.200q is configured", name))
	}
	types, audiences := i.TokenTypes, i.Audiences
	if k == idToken {
		types, audiences = []string{"JWT"}, i.IDTokenAudiences
	}
	// Keys that are fetched meanwhile make what is found here old, not the other way round.
	j := &judged{key: keyOf(token, k), issuer: i, since: time.Now(), generation: i.keys.Generation()}
	j.claims, err = i.verify(ctx, token, audiences)
	if err == nil && !isOfType(typ, types) {
		err = refuse(MalformedToken, fmt.Sprintf("the token is of type %.50q, not one of %q", typ, types))
	}
	if err != nil {
		return nil, of(i, err)
	}
	j.caller, err = i.caller(j.claims)
	j.noCaller = of(i, err)
	return j, nil
}

// of writes into a refusal whose token it was.
func of(i *issuer, err error) error {
	var refused *Error
	if errors.As(err, &refused) {
		refused.Issuer = i.Issuer.Issuer
	}
	return err
}

// peek reads a token that nobody has verified yet: its "typ", and its "iss" to choose the issuer that shall verify it.
func peek(token string) (typ, issuer string, err error) {
	if token == "" {
		return "", "", refuse(MissingToken, "the request has no token")
	}
	if len(token) > maxToken {
		return "", "", refuse(MalformedToken, "the token is longer than 8 KiB")
	}
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return "", "", refuse(MalformedToken, "the token is not a signed JWT")
	}
	var header struct {
		Type string `json:"typ"`
	}
	var claims struct {
		Issuer string `json:"iss"`
	}
	for n, into := range []any{&header, &claims} {
		part, err := base64.RawURLEncoding.DecodeString(parts[n])
		if err != nil || json.Unmarshal(part, into) != nil {
			return "", "", refuse(MalformedToken, "the token is not a signed JWT")
		}
	}
	return header.Type, claims.Issuer, nil
}

func (i *issuer) verify(ctx context.Context, token string, audiences []string) (*Claims, error) {
	keys := &watched{KeySet: i.keys, err: errNotAsked}
	config := oidc.Config{
		SkipClientIDCheck:    true, // checked below, against several audiences
		SupportedSigningAlgs: i.Algorithms,
		Now:                  func() time.Time { return time.Now().Add(-leeway) },
	}
	verified, err := oidc.NewVerifier(i.Issuer.Issuer, keys, &config).Verify(ctx, token)
	var expired *oidc.TokenExpiredError
	var outage *jwks.FetchError
	switch {
	case errors.As(err, &expired):
		return nil, refuse(ExpiredToken, "the token has expired, or says not when it does")
	case errors.As(keys.err, &outage):
		return nil, refuse(IssuerUnavailable, oneLine(outage))
	case keys.err != nil:
		return nil, refuse(BadSignature, "no key and algorithm of the issuer verifies the token")
	case err != nil:
		return nil, refuse(MalformedToken, "the token's claims are not those of a JWT of this issuer")
	}
	if !slices.ContainsFunc(verified.Audience, func(a string) bool { return slices.Contains(audiences, a) }) {
		return nil, refuse(WrongAudience, fmt.Sprintf("the token is for %.200q, not for %q", verified.Audience, audiences))
	}
	return i.claims(verified)
}

// watched keeps the error of the key set as it is; the library's verifier keeps its text alone.
type watched struct {
	oidc.KeySet
	err error
}

var errNotAsked = errors.New("the token is refused before its signature is looked at")

func (w *watched) VerifySignature(ctx context.Context, token string) (payload []byte, err error) {
	payload, w.err = w.KeySet.VerifySignature(ctx, token)
	return payload, w.err
}
