package verify_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/signet-temporal/signet/principal/verify"
)

func TestATokenOfAnotherTypeIsRefused(t *testing.T) {
	p := newIDP(t)
	narrow := p.issuer()
	narrow.TokenTypes = []string{"AT+JWT"}
	usual, strict := newVerifier(t, p.issuer()), newVerifier(t, narrow)
	for typ, want := range map[string]struct{ usual, strict bool }{
		"":                     {true, false},
		"JWT":                  {true, false},
		"at+jwt":               {true, true},
		"application/at+jwt":   {true, true},
		"logout+jwt":           {false, false},
		"secevent+jwt":         {false, false},
		"application/jwt+jose": {false, false},
	} {
		for v, ok := range map[*verify.Verifier]bool{usual: want.usual, strict: want.strict} {
			caller, err := v.Verify(t.Context(), p.signTyped(p.claims(), typ))
			if !ok {
				wantCode(t, caller, err, verify.MalformedToken)
			} else if err != nil {
				t.Errorf("typ %q: %v", typ, err)
			}
		}
	}
	caller, err := usual.Authenticate(request("", p.signTyped(p.idClaims(), "at+jwt")))
	wantCode(t, caller, err, verify.MalformedToken) // not an ID token
	if _, err := strict.Authenticate(request("", p.sign(p.idClaims()))); err != nil {
		t.Errorf("an ID token is a JWT whatever access tokens are: %v", err)
	}
}

func TestATokenCountsOnlyForThePartiesThatAreAllowed(t *testing.T) {
	p := newIDP(t)
	i := p.issuer()
	i.AuthorizedParties = []string{"shop", "app"}
	v := newVerifier(t, i)
	for says, c := range map[string]struct {
		changes claims
		want    verify.Code
	}{
		"azp":                {claims{"azp": "shop"}, ""},
		"client_id":          {claims{"client_id": "app"}, ""},
		"both":               {claims{"azp": "shop", "client_id": "app"}, ""},
		"neither":            {claims{}, verify.WrongAudience},
		"another":            {claims{"azp": "game"}, verify.WrongAudience},
		"one of two another": {claims{"azp": "shop", "client_id": "game"}, verify.WrongAudience},
		"a list":             {claims{"azp": []string{"shop"}}, verify.MalformedToken},
	} {
		caller, err := v.Verify(t.Context(), p.sign(p.claims().with(c.changes)))
		if c.want != "" {
			wantCode(t, caller, err, c.want)
		} else if err != nil {
			t.Errorf("%s: %v", says, err)
		}
	}
}

func TestATokenThatIsTooOldIsRefusedHoweverLateItExpires(t *testing.T) {
	p := newIDP(t)
	i := p.issuer()
	i.MaxAge = 10 * time.Minute
	v := newVerifier(t, i)
	for age, ok := range map[time.Duration]bool{0: true, 10 * time.Minute: true, 11 * time.Minute: false} {
		caller, err := v.Verify(t.Context(), p.sign(p.claims().with(claims{"iat": time.Now().Add(-age).Unix()})))
		if !ok {
			wantCode(t, caller, err, verify.ExpiredToken)
		} else if err != nil {
			t.Errorf("%v old: %v", age, err)
		}
	}
	caller, err := v.Verify(t.Context(), p.sign(p.claims().with(claims{"iat": nil})))
	wantCode(t, caller, err, verify.ExpiredToken)
}

func TestClaimsAreReadByNameAndNotPrinted(t *testing.T) {
	p := newIDP(t)
	got, err := newVerifier(t, p.issuer()).Claims(t.Context(), p.sign(p.claims().with(claims{"org": claims{"id": "acme"}, "level": 3})))
	if err != nil || got.Issuer != p.URL || got.Subject != "u-1" || time.Since(got.IssuedAt) > time.Minute {
		t.Fatalf("got %v, %v", got, err)
	}
	var org struct{ ID string }
	level, absent := "unchanged", "unchanged"
	if err := got.Decode("org", &org); err != nil || org.ID != "acme" {
		t.Errorf("org: %+v, %v", org, err)
	}
	if err := got.Decode("level", &level); err == nil || strings.Contains(err.Error(), "3") {
		t.Errorf("a number into a string: %v", err)
	}
	if err := got.Decode("absent", &absent); err != nil || absent != "unchanged" {
		t.Errorf("absent: %q, %v", absent, err)
	}
	for _, text := range []string{fmt.Sprintf("%+v", got), fmt.Sprintf("%v", *got)} {
		if strings.Contains(text, "u-1") || strings.Contains(text, "ann") {
			t.Errorf("printed: %s", text)
		}
	}
}

// signTyped signs with a "typ" of its own; "" is none.
func (p *idp) signTyped(c claims, typ string) string {
	options := (&jose.SignerOptions{}).WithHeader("kid", "rsa")
	if typ != "" {
		options = options.WithType(jose.ContentType(typ))
	}
	return p.signBy(c, jose.RS256, p.keys["rsa"], options)
}
