package temporalcloud

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/signet-temporal/signet/principal"
)

// directory is users by heart.
type directory map[string]*User

func (d directory) User(_ context.Context, email string) (*User, error) {
	if email == "outage@example.com" {
		return nil, errors.New("503\nsecond line")
	}
	return d[email], nil
}

var ann = &User{Role: "developer", Permissions: map[string]string{"payments.a2b3c": "write", "orders.a2b3c": "read"}}

func caller(change func(*principal.Caller)) *principal.Caller {
	c := &principal.Caller{Issuer: Issuer, Subject: "google-oauth2|17", Email: "ann@example.com", Claims: map[string][]string{"account": {"a2b3c"}, "scope": {"openid"}}}
	if change != nil {
		change(c)
	}
	return c
}

func TestAUserCountsWhoIsProvedToBelongToAnAccount(t *testing.T) {
	known := directory{"ann@example.com": ann}
	for says, c := range map[string]struct {
		options Options
		caller  *principal.Caller
		want    string // the reason of the refusal
	}{
		"one of the account":                      {Options{Accounts: []string{"a2b3c"}, Users: known}, caller(nil), ""},
		"of another account, with a good token":   {Options{Accounts: []string{"a2b3c"}, Users: known}, caller(func(c *principal.Caller) { c.Email = "eve@evil.example" }), "unknown-account"},
		"without an address":                      {Options{Accounts: []string{"a2b3c"}, Users: known}, caller(func(c *principal.Caller) { c.Email = "" }), "unknown-account"},
		"without an address, where one has none":  {Options{Accounts: []string{"a2b3c"}, Users: directory{"": ann}}, caller(func(c *principal.Caller) { c.Email = "" }), "unknown-account"},
		"with an address that looks alike":        {Options{Accounts: []string{"a2b3c"}, Users: directory{"ann@eхample.com": ann}}, caller(func(c *principal.Caller) { c.Email = "ann@eхample.com" }), "unknown-account"},
		"when nobody can be asked":                {Options{Accounts: []string{"a2b3c"}, Users: known}, caller(func(c *principal.Caller) { c.Email = "outage@example.com" }), "identity-provider-unavailable"},
		"by the claim":                            {Options{Accounts: []string{"zzzzz", "a2b3c"}, Claim: "account"}, caller(nil), ""},
		"another account in the claim":            {Options{Accounts: []string{"zzzzz"}, Claim: "account"}, caller(nil), "unknown-account"},
		"no such claim":                           {Options{Accounts: []string{"a2b3c"}, Claim: "org"}, caller(nil), "unknown-account"},
		"no claims at all":                        {Options{Accounts: []string{"a2b3c"}, Claim: "account"}, caller(func(c *principal.Caller) { c.Claims = nil }), "unknown-account"},
		"by the claim, and not a user":            {Options{Accounts: []string{"a2b3c"}, Claim: "account", Users: directory{}}, caller(nil), "unknown-account"},
		"a user, and another account's claim":     {Options{Accounts: []string{"a2b3c"}, Claim: "org", Users: known}, caller(nil), "unknown-account"},
		"by the account's SAML":                   {Options{Accounts: []string{"a2b3c"}, Users: known}, caller(func(c *principal.Caller) { c.Subject = "samlp|a2b3c-saml|ann@example.com" }), ""},
		"by another account's SAML":               {Options{Accounts: []string{"a2b3c"}, Users: known}, caller(func(c *principal.Caller) { c.Subject = "samlp|evil-saml|ann@example.com" }), "unknown-account"},
		"by another kind of login of a company":   {Options{Accounts: []string{"a2b3c"}, Users: known}, caller(func(c *principal.Caller) { c.Subject = "oidc|a2b3c-saml|ann@example.com" }), "unknown-account"},
		"by a SAML without a user":                {Options{Accounts: []string{"a2b3c"}, Users: known}, caller(func(c *principal.Caller) { c.Subject = "samlp|a2b3c-saml" }), "unknown-account"},
		"by SAML, which is required":              {Options{Accounts: []string{"a2b3c"}, Users: known, RequireSAML: true}, caller(func(c *principal.Caller) { c.Subject = "samlp|a2b3c-saml|a|b" }), ""},
		"by Google, where SAML is required":       {Options{Accounts: []string{"a2b3c"}, Users: known, RequireSAML: true}, caller(nil), "unknown-account"},
		"by a SAML whose name begins in that way": {Options{Accounts: []string{"a2b3c"}, Users: known}, caller(func(c *principal.Caller) { c.Subject = "samlp|a2b3c-saml-evil|ann@example.com" }), "unknown-account"},
	} {
		a, err := New(c.options)
		if err != nil {
			t.Fatal(err)
		}
		got, err := a.Admit(t.Context(), c.caller)
		var refused *Error
		switch {
		case c.want == "" && (err != nil || got.Subject != c.caller.Subject):
			t.Errorf("%s: %+v, %v", says, got, err)
		case c.want != "" && (got != nil || !errors.As(err, &refused) || refused.Reason() != c.want):
			t.Errorf("%s: %+v, %v; want %s", says, got, err, c.want)
		case err != nil && (strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "example.com")):
			t.Errorf("%s: %q", says, err)
		}
	}
}

func TestWhatIsKnownOfAUserComesAsClaimsAndATokenCannotBringThem(t *testing.T) {
	a, err := New(Options{Accounts: []string{"a2b3c"}, Users: directory{"ann@example.com": ann}})
	if err != nil {
		t.Fatal(err)
	}
	forging := caller(func(c *principal.Caller) {
		c.Claims[RoleClaim], c.Claims[PermissionsClaim] = []string{"owner"}, []string{"cards.a2b3c:admin"}
	})
	got, err := a.Admit(t.Context(), forging)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got.Claims[RoleClaim], []string{"developer"}) || !reflect.DeepEqual(got.Claims[PermissionsClaim], []string{"orders.a2b3c:read", "payments.a2b3c:write"}) ||
		got.Claims["scope"][0] != "openid" {
		t.Errorf("claims %v", got.Claims)
	}
	if forging.Claims[RoleClaim][0] != "owner" {
		t.Error("the caller that was given is changed")
	}
	byClaim, err := New(Options{Accounts: []string{"a2b3c"}, Claim: "account"})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := byClaim.Admit(t.Context(), forging); err != nil || got.Claims[RoleClaim] != nil || got.Claims[PermissionsClaim] != nil {
		t.Errorf("without users: %v, %v", got, err)
	}
}

func TestCallersOfOtherIssuersAreNotLookedAt(t *testing.T) {
	a, err := New(Options{Accounts: []string{"a2b3c"}, Users: directory{}})
	if err != nil {
		t.Fatal(err)
	}
	other := caller(func(c *principal.Caller) { c.Issuer, c.Email = "https://login.example.com", "" })
	if got, err := a.Admit(t.Context(), other); err != nil || got != other {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestOptionsThatProveNothingAreRefused(t *testing.T) {
	for want, o := range map[string]Options{
		"accounts: the ids":       {Claim: "x"},
		`accounts: "payments.a2`:  {Accounts: []string{"payments.a2b3c"}, Claim: "x"},
		"users: what proves":      {Accounts: []string{"a2b3c"}},
		"users: they are those o": {Accounts: []string{"a2b3c", "zzzzz"}, Users: directory{}},
	} {
		if a, err := New(o); a != nil || err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("New = %v, %v; want %q", a, err, want)
		}
	}
}

func TestTemporalCloudIsKnownInEverySpelling(t *testing.T) {
	for _, s := range []string{Issuer, KeysURL, "https://LOGIN.tmprl.cloud", "https://login.tmprl.cloud.:443/x", "https://prod-tmprl.us.auth0.com/"} {
		if !Signs(s) {
			t.Errorf("%s is not known", s)
		}
	}
	if slices.ContainsFunc([]string{"https://login.example.com", "https://login.tmprl.cloud.example.com", "", "%"}, Signs) {
		t.Error("somebody else is taken for Temporal Cloud")
	}
}
