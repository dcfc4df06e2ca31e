package codeclogin

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// issuer is a provider that a test can make lie. It remembers what it was asked.
type issuer struct {
	*httptest.Server
	key *ecdsa.PrivateKey

	mu        sync.Mutex
	asked     []map[string][]string // forms of the token and revocation endpoints
	nonce     string                // of the next ID token
	subject   string
	withoutID bool
	refuse    string // error code of the token endpoint
	tokenType string // of access tokens
	lifetime  int    // of access tokens, in seconds
	discovery map[string]any
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	i := &issuer{key: key, subject: "u-alice", tokenType: "Bearer", lifetime: 300}
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) { answerJSON(w, i.discovery) })
	mux.HandleFunc("/jwks", func(w http.ResponseWriter, _ *http.Request) {
		answerJSON(w, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "k", Algorithm: "ES256", Use: "sig"}}})
	})
	mux.HandleFunc("/revoke", func(_ http.ResponseWriter, r *http.Request) { i.remember(r) })
	mux.HandleFunc("/token", i.token)
	i.Server = httptest.NewServer(mux)
	t.Cleanup(i.Close)
	i.discovery = map[string]any{"issuer": i.URL, "authorization_endpoint": i.URL + "/authorize", "token_endpoint": i.URL + "/token", "jwks_uri": i.URL + "/jwks",
		"revocation_endpoint": i.URL + "/revoke", "id_token_signing_alg_values_supported": []string{"ES256"}, "scopes_supported": []string{"openid", "offline_access"}}
	return i
}

func (i *issuer) remember(r *http.Request) {
	_ = r.ParseForm()
	i.asked = append(i.asked, r.PostForm)
}

func (i *issuer) token(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.remember(r)
	if i.refuse != "" {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		answerJSON(w, map[string]string{"error": i.refuse, "error_description": "planted-description"})
		return
	}
	out := map[string]any{"access_token": rand.Text(), "token_type": i.tokenType, "refresh_token": rand.Text(), "expires_in": i.lifetime}
	if !i.withoutID {
		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: i.key, KeyID: "k"}}, nil)
		if err != nil {
			panic(err)
		}
		out["id_token"], err = jwt.Signed(signer).Claims(map[string]any{"iss": i.URL, "sub": i.subject, "aud": "cli", "nonce": i.nonce, "email": "alice@example.com",
			"iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix()}).Serialize()
		if err != nil {
			panic(err)
		}
	}
	answerJSON(w, out)
}

func answerJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

func (i *issuer) provider(t *testing.T, s Settings) *Provider {
	t.Helper()
	s.Issuer, s.ClientID = i.URL, "cli"
	p, err := Discover(t.Context(), s, nil)
	if err != nil {
		t.Fatal(err)
	}
	return p
}
