package login

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/signet-temporal/signet/keys"
	"github.com/signet-temporal/signet/keys/keystest"
	"github.com/signet-temporal/signet/principal/verify"
)

const (
	clientID = "codec-login"
	secret   = "codec-login-secret"
	ui       = "http://localhost:8080"
	keyset   = "login/codec"
)

// provider is an OpenID provider whose one user is always logged in there. It checks what the specification has it check.
type provider struct {
	*httptest.Server
	t      *testing.T
	key    *ecdsa.PrivateKey
	mu     sync.Mutex
	codes  map[string]url.Values // by code: the request that asked for it
	change func(map[string]any)  // of the ID token's claims
	fail   string                // error code of the token endpoint
}

func newProvider(t *testing.T) *provider {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p := &provider{t: t, key: key, codes: map[string]url.Values{}}
	mux := http.NewServeMux()
	answer := func(w http.ResponseWriter, status int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v)
	}
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, 200, map[string]string{"issuer": p.URL, "jwks_uri": p.URL + "/keys", "authorization_endpoint": p.URL + "/authorize", "token_endpoint": p.URL + "/token"})
	})
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, 200, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "1", Use: "sig"}}})
	})
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		asked, known := p.codes[r.FormValue("code")]
		delete(p.codes, r.FormValue("code"))
		p.mu.Unlock()
		sum := sha256.Sum256([]byte(r.FormValue("code_verifier")))
		id, pass, _ := r.BasicAuth()
		switch {
		case p.fail != "":
			answer(w, 400, map[string]string{"error": p.fail, "error_description": "planted-description"})
		case id != clientID || pass != secret:
			answer(w, 401, map[string]string{"error": "invalid_client"})
		case !known || asked.Get("code_challenge_method") != "S256" || asked.Get("code_challenge") != base64.RawURLEncoding.EncodeToString(sum[:]) ||
			r.FormValue("redirect_uri") != asked.Get("redirect_uri"):
			answer(w, 400, map[string]string{"error": "invalid_grant"})
		default:
			answer(w, 200, map[string]any{"access_token": "opaque", "token_type": "Bearer", "expires_in": 60, "id_token": p.idToken(asked.Get("nonce"))})
		}
	})
	p.Server = httptest.NewServer(mux)
	t.Cleanup(p.Close)
	return p
}

func (p *provider) idToken(nonce string) string {
	claims := map[string]any{"iss": p.URL, "aud": clientID, "sub": "u-ann", "email": "ann@example.com", "email_verified": true, "groups": []string{"oncall"},
		"acr": "mfa", "nonce": nonce, "iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix()}
	if p.change != nil {
		p.change(claims)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: p.key, KeyID: "1"}}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		p.t.Error(err)
		return ""
	}
	text, err := json.Marshal(claims)
	if err != nil {
		p.t.Error(err)
		return ""
	}
	signed, err := signer.Sign(text)
	if err != nil {
		p.t.Error(err)
		return ""
	}
	token, err := signed.CompactSerialize()
	if err != nil {
		p.t.Error(err)
	}
	return token
}

// authorize is what the provider does with the address that start sends a browser to: it returns the query of the callback.
func (p *provider) authorize(location string) url.Values {
	p.t.Helper()
	u, err := url.Parse(location)
	if err != nil || !strings.HasPrefix(location, p.URL+"/authorize?") {
		p.t.Fatalf("the browser is sent to %q, %v", location, err)
	}
	code := rand.Text()
	p.mu.Lock()
	p.codes[code] = u.Query()
	p.mu.Unlock()
	return url.Values{"code": {code}, "state": {u.Query().Get("state")}}
}

// world is a provider and a key store, from which replicas of a server are made.
type world struct {
	*provider
	store *keystest.Store
	kek   *keystest.KEK
	dir   string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{provider: newProvider(t), store: new(keystest.Store), kek: keystest.NewKEK(t), dir: t.TempDir()}
	for _, name := range []string{keyset, "login/other"} {
		keystest.NewKeyset(t, w.store, w.kek, name, keys.XAES256GCM)
	}
	return w
}

func (w *world) newRing(t *testing.T) *keys.Ring {
	t.Helper()
	ring, err := keys.NewRing(t.Context(), w.store, w.kek, keys.RingOptions{Keysets: []string{keyset, "login/other"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ring.Close() })
	return ring
}

// replica makes a server of its own: with a ring and a verifier of its own.
func (w *world) replica(t *testing.T, change func(*Options)) *Login {
	t.Helper()
	v, err := verify.New(t.Context(), verify.Issuer{Issuer: w.URL, Audiences: []string{"codec"}, IDTokenAudiences: []string{clientID, "other-client"}})
	if err != nil {
		t.Fatal(err)
	}
	o := Options{URL: "http://localhost:8081", Issuer: w.URL, ClientID: clientID, ClientSecret: secret, Scopes: []string{"openid", "email", "groups"}, Origins: []string{ui},
		Ended: w.dir, Tokens: v, Keys: w.newRing(t), Keyset: keyset}
	if change != nil {
		change(&o)
	}
	l, err := New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// visitor is a browser as far as cookies go.
type visitor struct {
	t       *testing.T
	cookies map[string]string
}

func newVisitor(t *testing.T) *visitor { return &visitor{t, map[string]string{}} }

// do sends a request and keeps the cookies of the answer.
func (v *visitor) do(h http.Handler, method, target string, header http.Header) *http.Response {
	v.t.Helper()
	r := httptest.NewRequest(method, "http://localhost:8081"+target, nil)
	for name, values := range header {
		r.Header[name] = values
	}
	for name, value := range v.cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	resp := w.Result()
	for _, c := range resp.Cookies() {
		if !strings.HasPrefix(c.Name, "__Host-") || !c.Secure || !c.HttpOnly || c.Path != "/" || c.Domain != "" || c.SameSite == http.SameSiteDefaultMode {
			v.t.Errorf("cookie %+v", c)
		}
		if v.cookies[c.Name] = c.Value; c.MaxAge < 0 {
			delete(v.cookies, c.Name)
		}
	}
	return resp
}

// logIn goes all the way, each step at the next of the replicas.
func (v *visitor) logIn(p *provider, replicas ...*Login) {
	v.t.Helper()
	resp := v.do(replicas[0], "GET", pathStart, nil)
	if resp.StatusCode != http.StatusSeeOther {
		v.t.Fatalf("start: %s", resp.Status)
	}
	resp = v.do(replicas[len(replicas)-1], "GET", pathCallback+"?"+p.authorize(resp.Header.Get("Location")).Encode(), nil)
	if resp.StatusCode != http.StatusSeeOther || resp.Header.Get("Location") != "/login" || v.cookies[sessionCookie] == "" || v.cookies[attemptCookie] != "" {
		v.t.Fatalf("callback: %s to %q", resp.Status, resp.Header.Get("Location"))
	}
}

// asks is a request of the Web UI's, with the visitor's cookies.
func (v *visitor) asks(change func(*http.Request)) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "http://localhost:8081/decode", strings.NewReader("{}"))
	r.Header.Set("Origin", ui)
	r.Header.Set("Content-Type", "application/json")
	for name, value := range v.cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	if change != nil {
		change(r)
	}
	return r
}
