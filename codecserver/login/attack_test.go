package login

import (
	"context"
	"net/http"
	"testing"

	"github.com/signet-temporal/signet/principal"
	"github.com/signet-temporal/signet/principal/verify"
)

// another says of every ID token that another issuer, which the server trusts as well, has issued it.
type another struct{ Tokens }

func (a another) IDToken(ctx context.Context, token string) (*principal.Caller, *verify.Claims, error) {
	caller, claims, err := a.Tokens.IDToken(ctx, token)
	if err == nil {
		claims.Issuer = "https://other.example"
	}
	return caller, claims, err
}

// TestATokenOfAnotherTrustedIssuerBeginsNoSession: sessions are those of one provider, whatever the server trusts besides.
func TestATokenOfAnotherTrustedIssuerBeginsNoSession(t *testing.T) {
	w := newWorld(t)
	for want, change := range map[int]func(*Options){
		http.StatusSeeOther:   nil, // so that the refusal shows something
		http.StatusBadRequest: func(o *Options) { o.Tokens = another{o.Tokens} },
	} {
		l, v := w.replica(t, change), newVisitor(t)
		q := w.authorize(v.do(l, "GET", pathStart, nil).Header.Get("Location"))
		if resp := v.do(l, "GET", pathCallback+"?"+q.Encode(), nil); resp.StatusCode != want || (v.cookies[sessionCookie] != "") != (change == nil) {
			t.Errorf("status %s, want %d", resp.Status, want)
		}
	}
}

// TestAParameterThatComesTwiceIsNone: two readers could take two different ones.
func TestAParameterThatComesTwiceIsNone(t *testing.T) {
	w := newWorld(t)
	l := w.replica(t, nil)
	for _, name := range []string{"code", "state", "iss"} {
		v := newVisitor(t)
		q := w.authorize(v.do(l, "GET", pathStart, nil).Header.Get("Location"))
		if q.Get("iss") == "" {
			q.Set("iss", w.URL)
		}
		q.Add(name, "another")
		if resp := v.do(l, "GET", pathCallback+"?"+q.Encode(), nil); resp.StatusCode != http.StatusBadRequest || v.cookies[sessionCookie] != "" {
			t.Errorf("%s twice: %s", name, resp.Status)
		}
	}
}
