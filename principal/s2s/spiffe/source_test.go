package spiffe_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/signet-temporal/signet/principal"
	"github.com/signet-temporal/signet/principal/s2s"
	"github.com/signet-temporal/signet/principal/s2s/downstream"
	"github.com/signet-temporal/signet/principal/s2s/spiffe"
)

func TestAServiceCallsAnotherWithItsSPIFFEIdentity(t *testing.T) {
	a := startAgent(t)
	verifier, err := spiffe.NewVerifier(a.source(), "payments")
	if err != nil {
		t.Fatal(err)
	}
	gate, err := downstream.New(downstream.Options{Verifier: verifier, Forwarders: []downstream.Forwarder{
		{Issuer: "spiffe://example.org", Subject: "spiffe://example.org/workflows", Tenants: []string{"acme"}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	payments := httptest.NewTLSServer(gate.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who, err := principal.FromContext(r.Context())
		caller, _ := downstream.CallerFromContext(r.Context())
		fmt.Fprint(w, who.Subject, " by ", caller.Subject, " ", err)
	})))
	defer payments.Close()

	for _, c := range []struct{ id, want string }{
		{"spiffe://example.org/workflows", "200 ann-17 by spiffe://example.org/workflows <nil>"},
		{"spiffe://example.org/reports", "403 not allowed\n"},
	} {
		source, err := spiffe.NewSource(a.source(), spiffeid.RequireFromString(c.id))
		if err != nil {
			t.Fatal(err)
		}
		tokens, err := s2s.NewCache(source, s2s.CacheOptions{})
		if err != nil {
			t.Fatal(err)
		}
		transport, err := s2s.NewTransport(s2s.Credentials{Tokens: tokens, Audience: "payments"},
			s2s.TransportOptions{Hosts: []string{strings.TrimPrefix(payments.URL, "https://")}, Base: payments.Client().Transport})
		if err != nil {
			t.Fatal(err)
		}
		before := a.asked()
		for range 3 {
			ann := principal.Principal{Kind: principal.KindUser, Issuer: "https://idp", Subject: "ann-17", Tenant: "acme", IssuedAt: time.Now()}
			req, err := http.NewRequestWithContext(principal.NewContext(t.Context(), ann), http.MethodGet, payments.URL, nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := (&http.Client{Transport: transport}).Do(req)
			if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if got := fmt.Sprintf("%d %s", resp.StatusCode, text); got != c.want || err != nil {
				t.Errorf("%s: %q, %v, want %q", c.id, got, err, c.want)
			}
		}
		if asked := a.asked() - before; asked != 1 {
			t.Errorf("%s: three calls asked the agent %d times", c.id, asked)
		}
	}
}

func TestATokenLivesAsLongAsTheAgentSays(t *testing.T) {
	source, err := spiffe.NewSource(startAgent(t).source(), spiffeid.ID{})
	if err != nil {
		t.Fatal(err)
	}
	token, err := source.Token(t.Context(), "payments")
	if left := time.Until(token.Expiry); err != nil || left > 5*time.Minute || left < 4*time.Minute {
		t.Errorf("it lives %s, %v", left, err)
	}
}

func TestAWorkloadWithoutAnEntryIsToldSo(t *testing.T) {
	a := startAgent(t)
	source, err := spiffe.NewSource(a.source(), spiffeid.ID{})
	if err != nil {
		t.Fatal(err)
	}
	a.deny()
	if _, err := source.Token(t.Context(), "payments"); err == nil || !strings.Contains(err.Error(), "an entry matches this workload") || strings.Contains(err.Error(), "\n") {
		t.Error(err)
	}
}

func TestATokenThatIsNotForThisServiceIsRefused(t *testing.T) {
	a, stranger := startAgent(t), startAgent(t)
	verifier, err := spiffe.NewVerifier(a.source(), "payments", "ledger")
	if err != nil {
		t.Fatal(err)
	}
	id, soon := "spiffe://example.org/workflows", time.Now().Add(time.Minute)
	good := a.sign(id, "ledger", soon)
	if caller, err := verifier.Verify(t.Context(), good); err != nil || caller.Subject != id || caller.Issuer != "spiffe://example.org" {
		t.Errorf("the control: %v, %v", caller, err)
	}
	for name, token := range map[string]string{
		"another audience":     a.sign(id, "reports", soon),
		"expired":              a.sign(id, "payments", time.Now().Add(-time.Minute)),
		"another key":          stranger.sign(id, "payments", soon),
		"another trust domain": a.sign("spiffe://elsewhere/workflows", "payments", soon),
		"no SPIFFE ID":         a.sign("workflows", "payments", soon),
		"nothing":              "",
		"no JWT":               "canary",
		"cut":                  good[:len(good)-10],
		"too long":             a.sign(id+"/"+strings.Repeat("a", 8<<10), "payments", soon),
	} {
		caller, err := verifier.Verify(t.Context(), token)
		if err == nil || caller != nil || strings.Contains(err.Error(), "canary") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, %v", name, caller, err)
		}
	}
}

func TestMistakesAreFoundAtTheStart(t *testing.T) {
	source := startAgent(t).source()
	_, noAPI := spiffe.NewSource(nil, spiffeid.ID{})
	_, noBundles := spiffe.NewVerifier(nil, "payments")
	_, noAudience := spiffe.NewVerifier(source)
	_, emptyAudience := spiffe.NewVerifier(source, "")
	for name, err := range map[string]error{"no API": noAPI, "no bundles": noBundles, "no audience": noAudience, "an empty audience": emptyAudience} {
		if err == nil {
			t.Errorf("%s is no mistake", name)
		}
	}
}
