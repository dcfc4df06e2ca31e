package verify

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/signet-temporal/signet/principal"
	"github.com/signet-temporal/signet/principal/internal/forwarded"
)

// EdgeOptions say for whom a request is made, by the claims of its token. The zero value is the safe choice.
type EdgeOptions struct {
	// TenantClaim holds the tenant, a string. Empty: "tenant_id". A token without it is refused.
	TenantClaim string
	// Map makes the principal where that is not enough. It gets one without tenant, with everything else that the claims
	// say, and returns it completed. It may turn it into a service, but not into a user of another issuer. An error
	// refuses the request. TenantClaim is not read then, and must be empty.
	Map func(Claims, principal.Principal) (principal.Principal, error)
	// Tenants are those for which each issuer may speak, by the issuer's URL; "*" is all of them. Several issuers need it,
	// unless Map decides: otherwise each could name the other's tenants. Nil with one issuer: all.
	Tenants map[string][]string
	// AllowNoTenant takes users without tenant as well: where there are no tenants.
	AllowNoTenant bool
	// AllowAnonymous lets requests without any token through. There is no principal in their context: principal.FromContext
	// returns principal.ErrNone. A token that does not verify is refused all the same.
	AllowAnonymous bool
	// Logger gets a line for each refused request, without anything of the person. Nil: none.
	Logger *slog.Logger
}

// Edge stands where requests enter: before an API that starts workflows. It verifies the token of each request and puts
// for whom it is made into the context, where [principal.FromContext] and the plugin find it. What comes after the Edge
// sees neither the token nor any header that claims to say for whom a request was forwarded. It is safe for concurrent use.
type Edge struct {
	verifier *Verifier
	o        EdgeOptions
}

// NewEdge makes an edge that believes the issuers of v, by their access tokens.
func NewEdge(v *Verifier, o EdgeOptions) (*Edge, error) {
	switch {
	case v == nil:
		return nil, errors.New("verify.NewEdge: the verifier is nil: make one with verify.New")
	case o.Map != nil && o.TenantClaim != "":
		return nil, errors.New("verify.NewEdge: TenantClaim and Map exclude each other: let Map read the tenant")
	}
	if err := v.checkTenants(o); err != nil {
		return nil, err
	}
	if o.TenantClaim == "" {
		o.TenantClaim = "tenant_id"
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Edge{verifier: v, o: o}, nil
}

func (v *Verifier) checkTenants(o EdgeOptions) error {
	if o.Tenants == nil && len(v.issuers) > 1 && o.Map == nil {
		return errors.New(`verify.NewEdge: with several issuers, Tenants must say for which tenants each may speak ("*" for all)`)
	}
	for name := range v.issuers {
		if o.Tenants != nil && len(o.Tenants[name]) == 0 {
			return fmt.Errorf("verify.NewEdge: Tenants has none for the issuer %s", name)
		}
	}
	for name := range o.Tenants {
		if v.issuers[name] == nil {
			return fmt.Errorf("verify.NewEdge: Tenants is about %.200q, which is no issuer of the verifier", name)
		}
	}
	return nil
}

// admit returns ctx with for whom a request with these Authorization headers is made. The error is an [*Error].
func (e *Edge) admit(ctx context.Context, authorization []string) (context.Context, *Error) {
	p, err := e.principal(ctx, authorization)
	var refused *Error
	switch {
	case err == nil:
		return principal.NewContext(ctx, p), nil
	case !errors.As(err, &refused):
		refused = refuse(UnfitClaims, oneLine(err))
	case refused.Code == MissingToken && e.o.AllowAnonymous:
		// Whatever is in ctx does not count.
		return context.WithValue(ctx, principal.Key{}, principal.ErrNone), nil
	}
	level := slog.LevelInfo
	if refused.Code == IssuerUnavailable {
		level = slog.LevelWarn
	}
	e.o.Logger.Log(ctx, level, "a request is refused", "error", refused)
	return nil, refused
}

func (e *Edge) principal(ctx context.Context, authorization []string) (principal.Principal, error) {
	token, err := bearer(authorization)
	if err != nil {
		return principal.Principal{}, err
	}
	claims, err := e.verifier.Claims(ctx, token)
	if err != nil {
		return principal.Principal{}, err
	}
	p, err := e.read(*claims)
	if err != nil {
		return principal.Principal{}, &Error{Code: UnfitClaims, Issuer: claims.Issuer, detail: oneLine(err)}
	}
	return p, nil
}

// read makes the principal that claims speak for, and checks it.
func (e *Edge) read(c Claims) (principal.Principal, error) {
	now := time.Now()
	p := principal.Principal{Kind: principal.KindUser, Issuer: c.Issuer, Subject: c.Subject, IssuedAt: now.UTC().Truncate(time.Second)}
	var authTime float64
	err := errors.Join(c.Decode("auth_time", &authTime), c.Decode("txn", &p.Txn))
	switch latest := now.Add(leeway); {
	case err != nil:
	case authTime < 0 || authTime > float64(latest.Unix()):
		err = errors.New(`claim "auth_time" is not a time in the past`)
	case authTime > 0:
		p.AuthTime = time.Unix(int64(authTime), 0).UTC()
	}
	if err != nil {
		return principal.Principal{}, err
	}
	if p.Txn == "" {
		p.Txn = rand.Text()
	}
	if e.o.Map != nil {
		p, err = e.o.Map(c, p)
	} else {
		err = c.Decode(e.o.TenantClaim, &p.Tenant)
	}
	if err != nil {
		return principal.Principal{}, err
	}
	return p, e.check(c, p)
}

func (e *Edge) check(c Claims, p principal.Principal) error {
	switch {
	case p.Tenant == "" && !e.o.AllowNoTenant && e.o.Map != nil:
		return errors.New("EdgeOptions.Map returns no tenant")
	case p.Tenant == "" && !e.o.AllowNoTenant:
		return fmt.Errorf("claim %q, the tenant, is missing or empty", e.o.TenantClaim)
	case p.Tenant != "" && e.o.Tenants != nil && !slices.Contains(e.o.Tenants[c.Issuer], p.Tenant) && !slices.Contains(e.o.Tenants[c.Issuer], "*"):
		return errors.New("the issuer may not speak for this tenant")
	case p.Kind == principal.KindUser && p.Issuer != c.Issuer:
		return errors.New("EdgeOptions.Map returns a user of another issuer than the token's")
	}
	return p.Check()
}

// drop removes from the headers of a request, or from a call's metadata, what the edge has judged or must not be believed.
func drop(h map[string][]string) {
	forwarded.Strip(h)
	for name := range h {
		if plain := strings.ReplaceAll(name, "_", "-"); strings.EqualFold(plain, "Authorization") || strings.EqualFold(plain, "Authorization-Extras") {
			delete(h, name)
		}
	}
}
