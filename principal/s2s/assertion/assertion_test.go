package assertion_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tink-crypto/tink-go/v2/jwt"
	"github.com/tink-crypto/tink-go/v2/keyset"

	"github.com/signet-temporal/signet/principal"
	"github.com/signet-temporal/signet/principal/s2s/assertion"
)

func newKeys(t testing.TB) (private, public *keyset.Handle) {
	t.Helper()
	private, err := keyset.NewHandle(jwt.ES256Template())
	if err != nil {
		t.Fatal(err)
	}
	return private, publicOf(t, private)
}

func publicOf(t testing.TB, private *keyset.Handle) *keyset.Handle {
	t.Helper()
	public, err := private.Public()
	if err != nil {
		t.Fatal(err)
	}
	return public
}

func newSigner(t testing.TB, private *keyset.Handle) *assertion.Signer {
	t.Helper()
	signer, err := assertion.NewSigner(private, "https://workflows", "workflow-service")
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

func newVerifier(t testing.TB, keys assertion.Keys) *assertion.Verifier {
	t.Helper()
	verifier, err := assertion.NewVerifier(assertion.VerifierOptions{Issuer: "https://workflows", Workload: "workflow-service", Audience: "payments", Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	return verifier
}

func sign(t testing.TB, signer *assertion.Signer, p principal.Principal, audience string) string {
	t.Helper()
	signed, err := signer.Assert(t.Context(), p, audience)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

func ann() principal.Principal {
	return principal.Principal{Kind: principal.KindUser, Issuer: "https://idp", Subject: "ann-17", Tenant: "acme", Txn: "t-1",
		AuthTime: time.Date(2026, 11, 26, 9, 0, 0, 0, time.UTC), IssuedAt: time.Date(2026, 11, 26, 10, 0, 0, 0, time.UTC)}
}

func TestWhatIsSignedIsWhatIsRead(t *testing.T) {
	private, public := newKeys(t)
	signer, verifier := newSigner(t, private), newVerifier(t, assertion.Fixed(public))
	for name, p := range map[string]principal.Principal{
		"a user": ann(), "a service": principal.Service("nightly", "acme"), "nobody's tenant": {Kind: principal.KindUser, Issuer: "i", Subject: "s", IssuedAt: time.Now()},
	} {
		got, err := verifier.VerifyAssertion(t.Context(), sign(t, signer, p, "payments"))
		if err != nil || !got.Same(p) || got.Txn != p.Txn || !got.AuthTime.Equal(p.AuthTime) || time.Since(got.IssuedAt) > time.Minute {
			t.Errorf("%s: %#v, %v", name, got, err)
		}
	}
	if _, err := signer.Assert(t.Context(), principal.Principal{}, "payments"); err == nil {
		t.Error("nobody is signed")
	}
}

func TestTheClaimsAreThoseOfTheDocumentation(t *testing.T) {
	private, _ := newKeys(t)
	parts := strings.Split(sign(t, newSigner(t, private), ann(), "payments"), ".")
	var header, claims map[string]any
	for n, into := range []*map[string]any{&header, &claims} {
		text, err := base64.RawURLEncoding.DecodeString(parts[n])
		if err != nil || json.Unmarshal(text, into) != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
	if header["typ"] != "principal+jwt" || header["alg"] != "ES256" || header["kid"] == nil {
		t.Errorf("the header is %v", header)
	}
	iat, _ := claims["iat"].(float64)
	if exp, _ := claims["exp"].(float64); iat == 0 || exp != iat+60 {
		t.Errorf("it lives from %v to %v", iat, exp)
	}
	delete(claims, "iat")
	delete(claims, "exp")
	want := map[string]any{
		"iss": "https://workflows", "aud": "payments", "sub": "ann-17", "sub_id": map[string]any{"format": "iss_sub", "iss": "https://idp", "sub": "ann-17"},
		"act": map[string]any{"sub": "workflow-service"}, "tenant": "acme", "txn": "t-1", "auth_time": 1795683600.0,
	}
	if !reflect.DeepEqual(claims, want) {
		t.Errorf("the claims are %v, want %v", claims, want)
	}
}

func TestAnAssertionLivesSixtySecondsAndTheClocksDifference(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		private, public := newKeys(t)
		verifier := newVerifier(t, assertion.Fixed(public))
		signed := sign(t, newSigner(t, private), ann(), "payments")
		time.Sleep(89 * time.Second)
		if _, err := verifier.VerifyAssertion(t.Context(), signed); err != nil {
			t.Errorf("after 89 s: %v", err)
		}
		time.Sleep(2 * time.Second)
		if _, err := verifier.VerifyAssertion(t.Context(), signed); err == nil || !strings.Contains(err.Error(), "expired") {
			t.Errorf("after 91 s: %v", err)
		}
	})
}

func TestWhatSomebodyElseSignedOrForSomebodyElseIsRefused(t *testing.T) {
	private, public := newKeys(t)
	other, _ := newKeys(t)
	good := sign(t, newSigner(t, private), ann(), "payments")
	anotherName, err1 := assertion.NewSigner(private, "https://reports", "workflow-service")
	anotherWorkload, err2 := assertion.NewSigner(private, "https://workflows", "reports")
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	kind, iss, sub, aud := "principal+jwt", "https://workflows", "ann-17", "payments"
	now, soon, late := time.Now(), time.Now().Add(time.Minute), time.Now().Add(time.Hour)
	act := map[string]any{"sub": "workflow-service"}
	for name, signed := range map[string]string{
		"another key":                sign(t, newSigner(t, other), ann(), "payments"),
		"another audience":           sign(t, newSigner(t, private), ann(), "reports"),
		"another issuer":             sign(t, anotherName, ann(), "payments"),
		"another workload":           sign(t, anotherWorkload, ann(), "payments"),
		"tampered":                   good[:len(good)-60] + strings.Map(func(r rune) rune { return r ^ 1 }, good[len(good)-60:len(good)-59]) + good[len(good)-59:],
		"without a signature":        good[:strings.LastIndex(good, ".")+1],
		"nothing":                    "",
		"no JWT":                     "canary",
		"too long":                   raw(t, private, &jwt.RawJWTOptions{TypeHeader: &kind, Issuer: &iss, Audience: &aud, Subject: &sub, IssuedAt: &now, ExpiresAt: &soon, CustomClaims: map[string]any{"act": act, "more": strings.Repeat("a", 4096)}}),
		"a token of another kind":    raw(t, private, &jwt.RawJWTOptions{Issuer: &iss, Audience: &aud, Subject: &sub, IssuedAt: &now, ExpiresAt: &soon, CustomClaims: map[string]any{"act": act}}),
		"a long life":                raw(t, private, &jwt.RawJWTOptions{TypeHeader: &kind, Issuer: &iss, Audience: &aud, Subject: &sub, IssuedAt: &now, ExpiresAt: &late, CustomClaims: map[string]any{"act": act}}),
		"no actor":                   raw(t, private, &jwt.RawJWTOptions{TypeHeader: &kind, Issuer: &iss, Audience: &aud, Subject: &sub, IssuedAt: &now, ExpiresAt: &soon}),
		"no birth":                   raw(t, private, &jwt.RawJWTOptions{TypeHeader: &kind, Issuer: &iss, Audience: &aud, Subject: &sub, ExpiresAt: &soon, CustomClaims: map[string]any{"act": act}}),
		"from the future":            raw(t, private, &jwt.RawJWTOptions{TypeHeader: &kind, Issuer: &iss, Audience: &aud, Subject: &sub, IssuedAt: &soon, ExpiresAt: &soon, CustomClaims: map[string]any{"act": act}}),
		"no subject":                 raw(t, private, &jwt.RawJWTOptions{TypeHeader: &kind, Issuer: &iss, Audience: &aud, IssuedAt: &now, ExpiresAt: &soon, CustomClaims: map[string]any{"act": act}}),
		"two subjects":               raw(t, private, &jwt.RawJWTOptions{TypeHeader: &kind, Issuer: &iss, Audience: &aud, Subject: &sub, IssuedAt: &now, ExpiresAt: &soon, CustomClaims: map[string]any{"act": act, "sub_id": map[string]any{"format": "iss_sub", "iss": "i", "sub": "bob"}}}),
		"a user of no issuer":        raw(t, private, &jwt.RawJWTOptions{TypeHeader: &kind, Issuer: &iss, Audience: &aud, Subject: &sub, IssuedAt: &now, ExpiresAt: &soon, CustomClaims: map[string]any{"act": act, "sub_id": map[string]any{"format": "iss_sub", "sub": "ann-17"}}}),
		"a tenant no header can say": raw(t, private, &jwt.RawJWTOptions{TypeHeader: &kind, Issuer: &iss, Audience: &aud, Subject: &sub, IssuedAt: &now, ExpiresAt: &soon, CustomClaims: map[string]any{"act": act, "tenant": "a\nb"}}),
	} {
		got, err := newVerifier(t, assertion.Fixed(public)).VerifyAssertion(t.Context(), signed)
		if err == nil || got != (principal.Principal{}) || strings.Contains(err.Error(), "canary") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	// The control: what the raw ones are made from is good.
	control := raw(t, private, &jwt.RawJWTOptions{TypeHeader: &kind, Issuer: &iss, Audience: &aud, Subject: &sub, IssuedAt: &now, ExpiresAt: &soon, CustomClaims: map[string]any{"act": act}})
	if _, err := newVerifier(t, assertion.Fixed(public)).VerifyAssertion(t.Context(), control); err != nil {
		t.Errorf("the control: %v", err)
	}
}

func raw(t *testing.T, private *keyset.Handle, o *jwt.RawJWTOptions) string {
	t.Helper()
	signer, err := jwt.NewSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	unsigned, err := jwt.NewRawJWT(o)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.SignAndEncode(unsigned)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// publisher serves the public keys of a keyset that can be exchanged, or is down.
type publisher struct {
	keys    atomic.Pointer[keyset.Handle]
	down    atomic.Bool
	fetches atomic.Int32
	t       *testing.T
}

func (p *publisher) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.fetches.Add(1)
	if p.down.Load() {
		http.Error(w, "down", http.StatusServiceUnavailable)
		return
	}
	handler, err := assertion.Handler(p.keys.Load())
	if err != nil {
		p.t.Error(err)
		return
	}
	handler.ServeHTTP(w, r)
}

func TestPublishedKeysAreFetchedWhenTheyAreNeededAndAfterARotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &publisher{t: t}
		first, _ := newKeys(t)
		p.keys.Store(first)
		keys := fetchFrom(t, p)
		verifier := newVerifier(t, keys)
		check := func(when string, private *keyset.Handle, ok bool, fetches int32) {
			t.Helper()
			_, err := verifier.VerifyAssertion(t.Context(), sign(t, newSigner(t, private), ann(), "payments"))
			if (err == nil) != ok || p.fetches.Load() != fetches {
				t.Errorf("%s: %v, %d fetches, want ok: %v and %d", when, err, p.fetches.Load(), ok, fetches)
			}
		}
		check("the first time", first, true, 1)
		check("again", first, true, 1)

		manager := keyset.NewManagerFromHandle(first)
		id, err := manager.Add(jwt.ES256Template())
		if err != nil {
			t.Fatal(err)
		}
		if err := manager.SetPrimary(id); err != nil {
			t.Fatal(err)
		}
		both, err := manager.Handle()
		if err != nil {
			t.Fatal(err)
		}
		p.keys.Store(both)
		check("a new key, just after a fetch", both, false, 1)
		time.Sleep(30 * time.Second)
		check("a new key", both, true, 2)
		check("the old one", first, true, 2)

		stranger, _ := newKeys(t)
		time.Sleep(30 * time.Second)
		check("a key of nobody", stranger, false, 3)
		check("a key of nobody, again", stranger, false, 3)

		p.down.Store(true)
		time.Sleep(11 * time.Minute)
		check("in an outage", both, true, 4)
		check("in an outage, again", both, true, 4)
		time.Sleep(49 * time.Minute)
		check("in a long outage", both, false, 5)
		p.down.Store(false)
		time.Sleep(30 * time.Second)
		check("after it", both, true, 6)

		p.keys.Store(first) // the new key is withdrawn
		time.Sleep(10 * time.Minute)
		check("a withdrawn key", both, false, 7)
	})
}

// fetchFrom returns keys that are fetched from p without a network, which does not work in a bubble.
func fetchFrom(t *testing.T, p http.Handler) assertion.Keys {
	t.Helper()
	keys, err := assertion.FetchWith(roundTripper(func(r *http.Request) (*http.Response, error) {
		w := httptest.NewRecorder()
		p.ServeHTTP(w, r)
		return w.Result(), nil
	}), "https://workflows/keys")
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestKeysAreFetchedOverTheNetwork(t *testing.T) {
	private, _ := newKeys(t)
	handler, err := assertion.Handler(private)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(handler)
	defer server.Close()
	keys, err := assertion.Fetch(server.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := newVerifier(t, keys).VerifyAssertion(t.Context(), sign(t, newSigner(t, private), ann(), "payments")); err != nil {
		t.Error(err)
	}
	resp, err := http.Post(server.URL, "text/plain", nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", resp.StatusCode)
	}
}

func TestWhatIsPublishedIsPublic(t *testing.T) {
	private, public := newKeys(t)
	var published []string
	for _, handle := range []*keyset.Handle{private, public} {
		handler, err := assertion.Handler(handle)
		if err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
		if strings.Contains(w.Body.String(), `"d"`) || !strings.Contains(w.Body.String(), `"kid"`) {
			t.Errorf("published: %s", w.Body.String())
		}
		published = append(published, w.Body.String())
	}
	if published[0] != published[1] {
		t.Errorf("the private keyset publishes other keys: %q", published)
	}
}

func TestMistakesAreFoundAtTheStart(t *testing.T) {
	private, public := newKeys(t)
	symmetric, err := keyset.NewHandle(jwt.HS256Template())
	if err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{
		"sign with nothing":       second(assertion.NewSigner(nil, "a", "b")),
		"sign with public keys":   second(assertion.NewSigner(public, "a", "b")),
		"sign with a shared key":  second(assertion.NewSigner(symmetric, "a", "b")),
		"sign without a name":     second(assertion.NewSigner(private, "", "b")),
		"sign without a workload": second(assertion.NewSigner(private, "a", "")),
		"publish a shared key":    second(assertion.Handler(symmetric)),
		"publish nothing":         second(assertion.Handler(nil)),
		"verify for nobody":       second(assertion.NewVerifier(assertion.VerifierOptions{})),
		"verify with nothing":     second(assertion.NewVerifier(assertion.VerifierOptions{Issuer: "a", Workload: "b", Audience: "c", Keys: assertion.Fixed(nil)})),
		"verify with private":     second(assertion.NewVerifier(assertion.VerifierOptions{Issuer: "a", Workload: "b", Audience: "c", Keys: assertion.Fixed(private)})),
		"fetch in clear":          second(assertion.Fetch("http://workflows.example.com/keys", nil)),
		"fetch from nowhere":      second(assertion.Fetch("", nil)),
	} {
		if err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func BenchmarkAssert(b *testing.B) {
	private, public := newKeys(b)
	signer, verifier, p := newSigner(b, private), newVerifier(b, assertion.Fixed(public)), ann()
	b.Run("sign", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			sign(b, signer, p, "payments")
		}
	})
	signed := sign(b, signer, p, "payments")
	b.Run("verify", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := verifier.VerifyAssertion(b.Context(), signed); err != nil {
				b.Fatal(err)
			}
		}
	})
}
