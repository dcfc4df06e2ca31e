// Package edge_test puts an API behind an edge that believes a real OpenID provider.
package edge_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/signet-temporal/signet/e2e/stack"
	"github.com/signet-temporal/signet/principal"
	"github.com/signet-temporal/signet/principal/verify"
	"github.com/signet-temporal/signet/tools/parts"
)

const (
	audience = "orders-api"
	client   = "shop"
)

func startProvider(t *testing.T) *parts.OIDC {
	t.Helper()
	oidc, err := parts.StartOIDC(t.Context(), parts.OIDCOptions{Program: stack.Ensure(t, parts.OIDCProvider).OIDC, Config: parts.OIDCConfig{
		Users: []parts.OIDCUser{
			{Username: "alice", Password: "alice-password", Subject: "u-alice", Claims: map[string]any{"tenant_id": "acme"}},
			{Username: "bob", Password: "bob-password", Subject: "u-bob"}, // in no tenant
		},
		Clients: []parts.OIDCClient{
			{ID: client, Type: "native", RedirectURIs: []string{"http://127.0.0.1/callback"}, Audience: []string{audience, "another-api"}},
		},
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = oidc.Stop() })
	return oidc
}

func login(t *testing.T, at *parts.OIDC, user, audience string) parts.Tokens {
	t.Helper()
	tokens, err := parts.Login(t.Context(), parts.LoginRequest{Issuer: at.Issuer, ClientID: client, RedirectURI: "http://127.0.0.1/callback",
		Username: user, Password: user + "-password", Audience: audience, Scopes: []string{"openid"}})
	if err != nil {
		t.Fatal(err)
	}
	return tokens
}

// api answers with the principal of each request, as JSON, and sees no header that has to do with one.
func api(t *testing.T, o *parts.OIDC) *httptest.Server {
	t.Helper()
	v, err := verify.New(t.Context(), verify.Issuer{Issuer: o.Issuer, Audiences: []string{audience}})
	if err != nil {
		t.Fatal(err)
	}
	edge, err := verify.NewEdge(v, verify.EdgeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(edge.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, err := principal.FromContext(r.Context())
		for name := range r.Header {
			if strings.HasPrefix(name, "Authorization") || strings.HasPrefix(name, "X-Forwarded") {
				err = errors.Join(err, errors.New(name+" is still there"))
			}
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		_ = json.NewEncoder(w).Encode(p)
	})))
	t.Cleanup(server.Close)
	return server
}

func call(t *testing.T, server *httptest.Server, token string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("X-Forwarded-User", "u-eve")
	r.Header.Set("X-Forwarded-Tenant", "umbrella")
	resp, err := server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func TestAUserWhoLoggedInAtARealProviderIsKnownBehindTheEdge(t *testing.T) {
	o := startProvider(t)
	server := api(t, o)
	tokens := login(t, o, "alice", audience)

	status, body := call(t, server, tokens.Access)
	var p principal.Principal
	if err := json.Unmarshal([]byte(body), &p); err != nil || status != http.StatusOK {
		t.Fatalf("got %d %s", status, body)
	}
	if p.Kind != principal.KindUser || p.Issuer != o.Issuer || p.Subject != "u-alice" || p.Tenant != "acme" || p.Txn == "" || time.Since(p.IssuedAt) > time.Minute {
		t.Errorf("got %#v", p)
	}
	for says, c := range map[string]struct {
		token, body string
		status      int
	}{
		"an ID token":                       {tokens.ID, `{"error":"wrong-audience"}`, http.StatusUnauthorized},
		"a refresh token, or nothing known": {"opaque", `{"error":"malformed-token"}`, http.StatusUnauthorized},
		"a token for another API":           {login(t, o, "alice", "another-api").Access, `{"error":"wrong-audience"}`, http.StatusUnauthorized},
		"a token of another provider":       {login(t, startProvider(t), "alice", audience).Access, `{"error":"unknown-issuer"}`, http.StatusUnauthorized},
		"a user without tenant":             {login(t, o, "bob", audience).Access, `{"error":"unfit-claims"}`, http.StatusForbidden},
		"nothing":                           {"", `{"error":"missing-token"}`, http.StatusUnauthorized},
	} {
		if status, body := call(t, server, c.token); status != c.status || strings.TrimSpace(body) != c.body {
			t.Errorf("%s: %d %s", says, status, body)
		}
	}
}

// TestAnOutageOfTheProviderIsNotNoticedAndItsNewKeyIs: the provider stops, and comes back with another key. What the old key
// has signed is good until the new one is seen, which is no later than half a minute after the first token of it came.
func TestAnOutageOfTheProviderIsNotNoticedAndItsNewKeyIs(t *testing.T) {
	o := startProvider(t)
	server := api(t, o)
	old := login(t, o, "alice", audience).Access
	if status, body := call(t, server, old); status != http.StatusOK {
		t.Fatalf("before: %d %s", status, body)
	}
	first := time.Now()
	if err := o.Stop(); err != nil {
		t.Fatal(err)
	}
	if status, body := call(t, server, old); status != http.StatusOK {
		t.Errorf("while the provider is away: %d %s", status, body)
	}
	if err := o.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	renewed := login(t, o, "alice", audience).Access
	status, body := call(t, server, renewed)
	for ; status == http.StatusUnauthorized && time.Since(first) < time.Minute; time.Sleep(100 * time.Millisecond) {
		status, body = call(t, server, renewed)
	}
	t.Logf("the new key verifies %v after the old ones were fetched", time.Since(first).Round(time.Second))
	if status != http.StatusOK {
		t.Fatalf("a token of the new key: %d %s", status, body)
	}
	if status, body := call(t, server, old); status != http.StatusUnauthorized || strings.TrimSpace(body) != `{"error":"bad-signature"}` {
		t.Errorf("a token of the key that is gone: %d %s", status, body)
	}
}
