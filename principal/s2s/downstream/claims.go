package downstream

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/signet-temporal/signet/principal"
	"github.com/signet-temporal/signet/principal/internal/forwarded"
	"github.com/signet-temporal/signet/principal/s2s"
)

// claims are what the headers say, by their canonical names. Nobody has vouched for them yet.
type claims map[string]string

// shown is what a call shows: a token and claims, or what is wrong with each. Which of the two counts depends on who calls.
type shown struct {
	token               string
	claims              claims
	badToken, badClaims *Refusal
}

// take removes from h what the call shows.
func take(h map[string][]string) shown {
	s := shown{claims: claims{}}
	var authorization []string
	for name, values := range h {
		switch {
		case strings.EqualFold(name, "Authorization"):
			authorization = append(authorization, values...)
		case forwarded.Is(name):
			if refusal := s.claims.add(name, values); refusal != nil {
				s.badClaims = refusal
			}
		}
	}
	s2s.Strip(h)
	s.token, s.badToken = bearer(authorization)
	return s
}

func (c claims) add(name string, values []string) *Refusal {
	canonical := http.CanonicalHeaderKey(name)
	_, twice := c[canonical]
	switch {
	case strings.Contains(name, "_"):
		return malformed("a header has underscores for hyphens, like %.40q", name)
	case twice || len(values) != 1:
		return malformed("%s is there %d times", canonical, max(2, len(values)))
	case values[0] == "":
		return malformed("%s is empty", canonical)
	case strings.Contains(values[0], ","):
		return malformed("%s has a comma, like two values that a proxy has joined", canonical)
	}
	c[canonical] = values[0]
	return nil
}

func bearer(authorization []string) (string, *Refusal) {
	if len(authorization) == 0 {
		return "", noToken("the call carries no service token")
	}
	if len(authorization) > 1 {
		return "", malformed("Authorization is there %d times", len(authorization))
	}
	scheme, token, _ := strings.Cut(authorization[0], " ")
	if token = strings.TrimSpace(token); !strings.EqualFold(scheme, "Bearer") || token == "" {
		return "", noToken("Authorization is not a bearer token")
	}
	return token, nil
}

// believe returns for whom the forwarder calls, or why it is not believed.
func (f Forwarder) believe(ctx context.Context, c claims) (principal.Principal, *Refusal) {
	p, refusal := f.principal(c)
	if refusal != nil {
		return principal.Principal{}, refusal
	}
	if !f.AllowAllTenants && !slices.Contains(f.Tenants, p.Tenant) {
		return principal.Principal{}, forbid(fmt.Sprintf("the caller may not call for the tenant %q", p.Tenant))
	}
	signed, isSigned := c[forwarded.Assertion]
	switch {
	case f.RequireAssertion && !isSigned:
		return principal.Principal{}, forbid("the caller has to sign for whom it calls, and did not")
	case f.Assertions == nil || !isSigned:
		return p, nil
	}
	proven, err := f.Assertions.VerifyAssertion(ctx, signed)
	switch {
	case err != nil:
		return principal.Principal{}, forbid("the assertion is not good: " + err.Error())
	case !proven.Same(p) || proven.Txn != p.Txn:
		return principal.Principal{}, forbid("the assertion is for somebody else than the headers")
	}
	return proven, nil
}

// principal is what the headers say, well formed.
func (f Forwarder) principal(c claims) (principal.Principal, *Refusal) {
	p := principal.Principal{
		Kind: principal.KindService, Issuer: c[forwarded.Issuer], Subject: c[forwarded.User], Tenant: c[forwarded.Tenant], Txn: c[forwarded.Txn],
		IssuedAt: time.Now().UTC().Truncate(time.Second),
	}
	if f.UserIssuer != "" {
		if p.Issuer != "" && p.Issuer != f.UserIssuer {
			return principal.Principal{}, forbid("the caller may not forward users of another issuer than its UserIssuer")
		}
		p.Issuer = f.UserIssuer
	}
	if p.Issuer != "" {
		p.Kind = principal.KindUser
	}
	if p.Subject == "" {
		return principal.Principal{}, malformed("the call does not say for whom it is: %s is missing", forwarded.User)
	}
	if err := p.Check(); err != nil {
		return principal.Principal{}, malformed("%v", err)
	}
	return p, nil
}
