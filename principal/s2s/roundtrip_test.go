package s2s_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/tink-crypto/tink-go/v2/jwt"
	"github.com/tink-crypto/tink-go/v2/keyset"

	"github.com/signet-temporal/signet/principal"
	"github.com/signet-temporal/signet/principal/s2s"
	"github.com/signet-temporal/signet/principal/s2s/assertion"
	downstreams "github.com/signet-temporal/signet/principal/s2s/downstream"
	"github.com/signet-temporal/signet/principal/verify"
)

// workflows verifies the tokens of one service.
type workflows struct{}

func (workflows) Verify(_ context.Context, token string) (*principal.Caller, error) {
	if !strings.HasPrefix(token, "token-") {
		return nil, &verify.Error{Code: verify.BadSignature}
	}
	return &principal.Caller{Issuer: "vault", Subject: "workflow-service"}, nil
}

func TestWhatOneServiceSignsTheOtherReads(t *testing.T) {
	private, err := keyset.NewHandle(jwt.ES256Template())
	if err != nil {
		t.Fatal(err)
	}
	published, err := assertion.Handler(private)
	if err != nil {
		t.Fatal(err)
	}
	at := httptest.NewServer(published)
	defer at.Close()
	keys, err := assertion.Fetch(at.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	assertions, err := assertion.NewVerifier(assertion.VerifierOptions{Issuer: "https://workflows", Workload: "workflow-service", Audience: "payments", Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	gate, err := downstreams.New(downstreams.Options{Verifier: workflows{}, Forwarders: []downstreams.Forwarder{
		{Issuer: "vault", Subject: "workflow-service", Tenants: []string{"acme"}, RequireAssertion: true, Assertions: assertions},
	}})
	if err != nil {
		t.Fatal(err)
	}
	d := newDownstream(t)
	handler := gate.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who, err := principal.FromContext(r.Context())
		fmt.Fprint(w, who.Subject, " ", who.AuthTime.Unix(), " ", err)
	}))
	d.answer = func(w http.ResponseWriter, r *http.Request, _ string) { handler.ServeHTTP(w, r) }

	signer, err := assertion.NewSigner(private, "https://workflows", "workflow-service")
	if err != nil {
		t.Fatal(err)
	}
	c := credentials(t, &source{life: time.Hour})
	c.Asserter = signer
	user := ann()
	user.AuthTime = time.Unix(1795683600, 0)
	ctx := principal.NewContext(t.Context(), user)
	resp, err := d.caller(t, c, s2s.TransportOptions{Hosts: []string{d.host()}}).Do(request(t, ctx, "GET", d.URL, ""))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if text, err := io.ReadAll(resp.Body); err != nil || string(text) != "ann-17 1795683600 <nil>" {
		t.Errorf("answered %d: %s, %v", resp.StatusCode, text, err)
	}
	if signed := d.got[0].Header.Get("X-Forwarded-Assertion"); strings.Count(signed, ".") != 2 || len(signed) > 700 {
		t.Errorf("sent %d bytes as the assertion", len(signed))
	}

	for name, c := range map[string]struct {
		asserter s2s.Asserter
		audience string
	}{
		"unsigned":                    {nil, "payments"},
		"signed for another audience": {signer, "reports"},
	} {
		shown := s2s.Credentials{Tokens: newCache(t, &source{life: time.Hour}, s2s.CacheOptions{}), Audience: c.audience, Asserter: c.asserter}
		resp, err := d.caller(t, shown, s2s.TransportOptions{Hosts: []string{d.host()}}).Do(request(t, ctx, "GET", d.URL, ""))
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusForbidden {
			t.Errorf("%s: %d", name, resp.StatusCode)
		}
	}
}

// TestAnOutageOfTheIssuerIsNoRefusal holds package downstream's text to that of package verify, which it does not import.
func TestAnOutageOfTheIssuerIsNoRefusal(t *testing.T) {
	gate, err := downstreams.New(downstreams.Options{Verifier: outage{}, Forwarders: []downstreams.Forwarder{{Issuer: "a", Subject: "b", AllowAllTenants: true}}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = gate.Admit(t.Context(), http.Header{"Authorization": {"Bearer x"}})
	if refusal, ok := err.(*downstreams.Refusal); !ok || refusal.Status != http.StatusServiceUnavailable {
		t.Errorf("%v, want 503", err)
	}
}

type outage struct{}

func (outage) Verify(context.Context, string) (*principal.Caller, error) {
	return nil, &verify.Error{Code: verify.IssuerUnavailable}
}

func TestTheDocumentationShowsThisCode(t *testing.T) {
	documentation, err := os.ReadFile("../../docs/principal-s2s.md")
	if err != nil {
		t.Fatal(err)
	}
	code, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	here := strings.ReplaceAll(string(code), "downstreams.", "downstream.")
	blocks := strings.Split(string(documentation), "```go\n")[1:]
	if len(blocks) != 3 {
		t.Errorf("docs/principal-s2s.md has %d blocks of code", len(blocks))
	}
	for _, block := range blocks {
		block, _, _ = strings.Cut(block, "```")
		if !strings.Contains(here, block) {
			t.Errorf("this is in docs/principal-s2s.md and not in example_test.go as it stands:\n%s", block)
		}
	}
}

func TestTheCodeOfTheDocumentationWorks(t *testing.T) {
	private, err := keyset.NewHandle(jwt.ES256Template())
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := newSigner(private, "entity"); err != nil {
		t.Error(err)
	}
	if f, err := signingForwarder("vault", "entity"); err != nil || f.Assertions == nil {
		t.Error(err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := newPaymentsHandler(gone, "entity", nil); err == nil || !strings.Contains(err.Error(), "discovery") {
		t.Errorf("without a Vault to discover: %v", err)
	}
}
