package verify_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// idp is an issuer that publishes its keys as a real one does: discovery document and key set over HTTP.
type idp struct {
	*httptest.Server
	t       *testing.T
	keys    map[string]crypto.Signer // by kid
	down    atomic.Bool              // answer 503 to everything
	fetches atomic.Int32
	jwksURI string // in the discovery document; "" = its own
	iss     string // in the discovery document; "" = its own
}

func newIDP(t *testing.T) *idp {
	t.Helper()
	p := &idp{t: t, keys: map[string]crypto.Signer{}}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p.keys["rsa"] = rsaKey
	for kid, curve := range map[string]elliptic.Curve{"p256": elliptic.P256(), "p384": elliptic.P384()} {
		if p.keys[kid], err = ecdsa.GenerateKey(curve, rand.Reader); err != nil {
			t.Fatal(err)
		}
	}
	if _, p.keys["ed"], err = ed25519.GenerateKey(rand.Reader); err != nil {
		t.Fatal(err)
	}
	p.Server = httptest.NewServer(p)
	t.Cleanup(p.Close)
	return p
}

func (p *idp) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.fetches.Add(1)
	if p.down.Load() {
		http.Error(w, "maintenance\nsecond line", http.StatusServiceUnavailable)
		return
	}
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		_ = json.NewEncoder(w).Encode(map[string]any{"issuer": or(p.iss, p.URL), "jwks_uri": or(p.jwksURI, p.URL+"/keys"),
			"id_token_signing_alg_values_supported": []string{"RS256", "HS256", "none"}})
	case "/keys":
		var set jose.JSONWebKeySet
		for kid, key := range p.keys {
			set.Keys = append(set.Keys, jose.JSONWebKey{Key: key.Public(), KeyID: kid, Use: "sig"})
		}
		_ = json.NewEncoder(w).Encode(set)
	case "/large":
		_, _ = w.Write(bytes.Repeat([]byte(" "), 2<<20))
	case "/elsewhere/.well-known/openid-configuration", "/elsewhere/keys":
		http.Redirect(w, r, "http://localhost:1/", http.StatusFound)
	default:
		http.NotFound(w, r)
	}
}

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

type claims map[string]any

// with returns a copy in which some claims are changed; nil removes one.
func (c claims) with(changes claims) claims {
	out := maps.Clone(c)
	for k, v := range changes {
		if out[k] = v; v == nil {
			delete(out, k)
		}
	}
	return out
}

// good claims of an access token.
func (p *idp) claims() claims {
	return claims{"iss": p.URL, "aud": []string{"other", "codec"}, "sub": "u-1", "iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix(),
		"email": "ann@example.com", "email_verified": true, "groups": []string{"oncall", "staff"}}
}

// good claims of the ID token of the same user.
func (p *idp) idClaims() claims {
	return p.claims().with(claims{"aud": "temporal-ui", "groups": []string{"staff", "payments"}})
}

func (p *idp) sign(c claims) string { return p.signWith(c, jose.RS256, p.keys["rsa"], "rsa") }

func (p *idp) signWith(c claims, alg jose.SignatureAlgorithm, key any, kid string) string {
	return p.signBy(c, alg, key, (&jose.SignerOptions{}).WithType("JWT").WithHeader("kid", kid))
}

func (p *idp) signBy(c claims, alg jose.SignatureAlgorithm, key any, options *jose.SignerOptions) string {
	p.t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, options)
	if err != nil {
		p.t.Fatal(err)
	}
	payload, err := json.Marshal(c)
	if err != nil {
		p.t.Fatal(err)
	}
	jws, err := signer.Sign(payload)
	if err != nil {
		p.t.Fatal(err)
	}
	token, err := jws.CompactSerialize()
	if err != nil {
		p.t.Fatal(err)
	}
	return token
}
