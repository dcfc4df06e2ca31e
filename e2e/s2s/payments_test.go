package s2s_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/tink-crypto/tink-go/v2/jwt"
	"github.com/tink-crypto/tink-go/v2/keyset"

	"github.com/signet-temporal/signet/principal"
	"github.com/signet-temporal/signet/principal/s2s/assertion"
	"github.com/signet-temporal/signet/principal/s2s/downstream"
	"github.com/signet-temporal/signet/principal/verify"
)

// payments is a service over TLS that says for whom it was called.
type payments struct {
	*httptest.Server
	log    *buffer
	signer *assertion.Signer // that of signing-service
	calls  atomic.Int32      // that reached the handler
}

// answer is what payments says.
type answer struct{ User, Issuer, Tenant, Txn, Kind, Caller string }

// ServeHTTP is behind the gate.
func (p *payments) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.calls.Add(1)
	who, err := principal.FromContext(r.Context())
	caller, ok := downstream.CallerFromContext(r.Context())
	if err != nil || !ok || r.Header["Authorization"] != nil || r.Header["X-Forwarded-User"] != nil {
		http.Error(w, fmt.Sprint(err, ok, len(r.Header)), http.StatusInternalServerError)
		return
	}
	_ = json.NewEncoder(w).Encode(answer{who.Subject, who.Issuer, who.Tenant, who.Txn, string(who.Kind), caller.Subject})
}

func (p *payments) host() string { return strings.TrimPrefix(p.URL, "https://") }

// startPayments starts the service. workflow-service may call it for two tenants, signing-service for one and with an
// assertion; reports has tokens for it and may not call.
func (w *world) startPayments() {
	w.t.Helper()
	private, err := keyset.NewHandle(jwt.ES256Template())
	if err != nil {
		w.t.Fatal(err)
	}
	p := &payments{log: &buffer{}}
	w.payments = p
	if p.signer, err = assertion.NewSigner(private, "https://signing", w.entities["signing-service"]); err != nil {
		w.t.Fatal(err)
	}
	verifier, err := verify.New(w.t.Context(), verify.Issuer{Issuer: w.issuer, Audiences: []string{"payments"}, RootCAs: w.roots})
	if err != nil {
		w.t.Fatal(err)
	}
	gate, err := downstream.New(downstream.Options{
		Verifier: verifier, Logger: slog.New(slog.NewTextHandler(p.log, nil)),
		Forwarders: []downstream.Forwarder{
			{Issuer: w.issuer, Subject: w.entities["workflow-service"], Tenants: []string{"acme", "globex"}},
			{Issuer: w.issuer, Subject: w.entities["signing-service"], Tenants: []string{"acme"}, RequireAssertion: true, Assertions: w.assertions(private)},
		},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	p.Server = httptest.NewTLSServer(gate.Handler(p))
	w.t.Cleanup(p.Close)
}

// assertions verifies those of signing-service with the keys that it publishes.
func (w *world) assertions(private *keyset.Handle) *assertion.Verifier {
	w.t.Helper()
	published, err := assertion.Handler(private)
	if err != nil {
		w.t.Fatal(err)
	}
	at := httptest.NewServer(published)
	w.t.Cleanup(at.Close)
	keys, err := assertion.Fetch(at.URL, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	verifier, err := assertion.NewVerifier(assertion.VerifierOptions{Issuer: "https://signing", Workload: w.entities["signing-service"], Audience: "payments", Keys: keys})
	if err != nil {
		w.t.Fatal(err)
	}
	return verifier
}

// call calls payments for who and returns the status, and the answer of a 200.
func (p *payments) call(t *testing.T, client *http.Client, who principal.Principal) (int, answer) {
	t.Helper()
	req, err := http.NewRequestWithContext(principal.NewContext(t.Context(), who), http.MethodGet, p.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	return p.do(t, client, req)
}

// send calls payments with nothing but these "Name: value" lines as headers.
func (p *payments) send(t *testing.T, lines ...string) (int, answer) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		req.Header[name] = append(req.Header[name], value)
	}
	return p.do(t, p.Client(), req)
}

func (p *payments) do(t *testing.T, client *http.Client, req *http.Request) (int, answer) {
	t.Helper()
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var a answer
	if resp.StatusCode != http.StatusOK {
		if bytes.Count(text, []byte("\n")) != 1 || len(text) > 60 {
			t.Errorf("%d says %q", resp.StatusCode, text)
		}
	} else if err := json.Unmarshal(text, &a); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, a
}

// buffer is a log that may be read while it is written.
type buffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
