package verify

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/signet-temporal/signet/principal/verify/internal/jwks"
)

const idpURL = "https://idp.example.com"

// keySite publishes the keys of an issuer without a network, so that the clock of synctest runs.
type keySite struct {
	mu   sync.Mutex
	keys map[string]crypto.Signer
	away bool
}

func (k *keySite) RoundTrip(*http.Request) (*http.Response, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.away {
		return nil, errors.New("connection refused")
	}
	var set jose.JSONWebKeySet
	for kid, key := range k.keys {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: key.Public(), KeyID: kid, Use: "sig"})
	}
	body, err := json.Marshal(set)
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(body))}, err
}

func (k *keySite) publish(t testing.TB, kid string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.keys = map[string]crypto.Signer{kid: key}
}

func (k *keySite) token(t testing.TB, kid string, more map[string]any) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: k.keys[kid]}, (&jose.SignerOptions{}).WithType("JWT").WithHeader("kid", kid))
	if err != nil {
		t.Fatal(err)
	}
	claims := map[string]any{"iss": idpURL, "aud": "codec", "sub": "u-1", "groups": []string{"oncall"}, "iat": time.Now().Unix(), "exp": time.Now().Add(5 * time.Hour).Unix()}
	for name, value := range more {
		claims[name] = value
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	jws, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	token, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func (k *keySite) verifier(change func(*Issuer)) *Verifier {
	i := Issuer{Issuer: idpURL, Audiences: []string{"codec"}, IDTokenAudiences: []string{"ui"}, Algorithms: algorithms(), GroupsClaim: "groups", EmailClaim: "email", TokenTypes: []string{"JWT"}}
	if change != nil {
		change(&i)
	}
	return &Verifier{issuers: map[string]*issuer{idpURL: {Issuer: i, keys: jwks.New(idpURL+"/keys", &http.Client{Transport: k}, i.Algorithms)}}}
}

// outcome is "ok" or a code.
func outcome(t *testing.T, v *Verifier, token string) string {
	t.Helper()
	caller, err := v.Verify(t.Context(), token)
	var refused *Error
	switch {
	case err == nil && caller.Subject == "u-1":
		return "ok"
	case errors.As(err, &refused) && caller == nil:
		return string(refused.Code)
	}
	t.Fatalf("got %+v, %v", caller, err)
	return ""
}

// isRemembered says whether the next request with token is answered from memory.
func isRemembered(t *testing.T, v *Verifier, token string) bool {
	t.Helper()
	return v.recent.find(t.Context(), token, accessToken) != nil
}

// remember verifies twice: the first token of an issuer brings its keys, and what was judged meanwhile is not kept.
func remember(t *testing.T, v *Verifier, token string) {
	t.Helper()
	for range 2 {
		if got := outcome(t, v, token); got != "ok" {
			t.Fatalf("got %s", got)
		}
	}
	if !isRemembered(t, v, token) {
		t.Fatal("a token that was verified a moment ago is not remembered")
	}
}

func TestWhatIsRememberedEndsWithTheToken(t *testing.T) {
	for name, c := range map[string]struct {
		claims map[string]any
		maxAge time.Duration
	}{
		"exp":    {claims: map[string]any{"exp": 10}},
		"maxAge": {maxAge: 10 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				site := &keySite{}
				site.publish(t, "k")
				v := site.verifier(func(i *Issuer) { i.MaxAge = c.maxAge })
				if c.claims != nil {
					c.claims["exp"] = time.Now().Add(10 * time.Second).Unix()
				}
				token := site.token(t, "k", c.claims)
				remember(t, v, token)
				time.Sleep(10*time.Second + leeway)
				if got := outcome(t, v, token); got != "ok" || !isRemembered(t, v, token) {
					t.Errorf("in its last moment: %s", got)
				}
				time.Sleep(time.Nanosecond)
				if got := outcome(t, v, token); got != string(ExpiredToken) || isRemembered(t, v, token) {
					t.Errorf("after it: %s", got)
				}
			})
		})
	}
}

func TestWhatIsRememberedIsAMinuteOldAtMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		site := &keySite{}
		site.publish(t, "k")
		v := site.verifier(nil)
		token := site.token(t, "k", nil)
		remember(t, v, token)
		time.Sleep(recentFor - time.Nanosecond)
		if !isRemembered(t, v, token) {
			t.Error("forgotten within the minute")
		}
		time.Sleep(time.Nanosecond)
		if isRemembered(t, v, token) || len(v.recent.byKey) != 0 || v.recent.order.Len() != 0 {
			t.Error("remembered for longer than a minute")
		}
	})
}

// TestAKeyThatIsGoneVerifiesNothingThatIsRemembered: from the first request on after the fetch that no longer brings the key.
func TestAKeyThatIsGoneVerifiesNothingThatIsRemembered(t *testing.T) {
	for name, kid := range map[string]string{"withdrawn": "another", "replaced under its id": "k"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				site := &keySite{}
				site.publish(t, "k")
				v := site.verifier(nil)
				token := site.token(t, "k", nil)
				remember(t, v, token)
				site.publish(t, kid)
				keys := v.issuers[idpURL].keys
				before, refused := keys.Generation(), false
				for passed := time.Duration(0); passed < 11*time.Minute && !refused; passed += 10 * time.Second {
					time.Sleep(10 * time.Second)
					isNew := keys.Generation() != before
					got := outcome(t, v, token)
					if refused = got == string(BadSignature); !refused && (got != "ok" || isNew) {
						t.Fatalf("after %v, with the new keys: %t: %s", passed, isNew, got)
					}
				}
				if !refused || isRemembered(t, v, token) {
					t.Error("the life of the keys, ten minutes, is over, and the token is taken")
				}
			})
		})
	}
}

// TestAFetchOfKeysVoidsWhatIsRemembered: also one that was made because of somebody else's token.
func TestAFetchOfKeysVoidsWhatIsRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		site := &keySite{}
		site.publish(t, "k")
		v := site.verifier(nil)
		token := site.token(t, "k", nil)
		time.Sleep(time.Second)
		remember(t, v, token)
		time.Sleep(40 * time.Second) // fetches are apart
		remember(t, v, token)
		site.publish(t, "new")
		if got := outcome(t, v, site.token(t, "new", nil)); got != "ok" {
			t.Fatalf("a token of the new key: %s", got)
		}
		if got := outcome(t, v, token); got != string(BadSignature) {
			t.Errorf("a token of the old key, right after: %s", got)
		}
	})
}

func TestWhatIsRememberedIsRefusedWhenItsIssuerIsAwayTooLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		site := &keySite{}
		site.publish(t, "k")
		v := site.verifier(nil)
		token := site.token(t, "k", nil)
		remember(t, v, token)
		site.mu.Lock()
		site.away = true
		site.mu.Unlock()
		refused := time.Duration(0)
		for passed := time.Duration(0); passed < 2*time.Hour && refused == 0; passed += 20 * time.Second {
			time.Sleep(20 * time.Second)
			if got := outcome(t, v, token); got == string(IssuerUnavailable) {
				refused = passed + 20*time.Second
			} else if got != "ok" {
				t.Fatalf("after %v: %s", passed, got)
			}
		}
		if refused < time.Hour || refused > 71*time.Minute {
			t.Errorf("its tokens are refused after %v, want ten minutes and an hour", refused)
		}
	})
}

func TestATokenThatDiffersInOneByteIsAnotherOne(t *testing.T) {
	site := &keySite{}
	site.publish(t, "k")
	v := site.verifier(nil)
	token := site.token(t, "k", nil)
	remember(t, v, token)
	for at := range len(token) - 1 { // of the last letter some bits mean nothing
		other := []byte(token)
		if other[at] ^= 1; at%7 != 0 || other[at] == '/' {
			continue
		}
		if isRemembered(t, v, string(other)) {
			t.Fatalf("byte %d is not looked at", at)
		}
		if got := outcome(t, v, string(other)); got == "ok" {
			t.Errorf("byte %d: %s", at, got)
		}
	}
	if len(v.recent.byKey) != 1 {
		t.Errorf("%d tokens are remembered, one was good", len(v.recent.byKey))
	}
}

// TestEachPlaceHasATokenOfItsOwn: what was good in one header is not good in the other.
func TestEachPlaceHasATokenOfItsOwn(t *testing.T) {
	site := &keySite{}
	site.publish(t, "k")
	v := site.verifier(nil)
	access := site.token(t, "k", nil)
	id := site.token(t, "k", map[string]any{"aud": "ui", "groups": []string{"payments"}})
	request := func(access, id string) *http.Request {
		r := httptest.NewRequest(http.MethodPost, "/decode", nil)
		r.Header.Set("Authorization", "Bearer "+access)
		r.Header.Set("Authorization-Extras", id)
		return r
	}
	for range 3 {
		caller, err := v.Authenticate(request(access, id))
		if err != nil || fmt.Sprint(caller.Groups) != "[oncall payments]" {
			t.Fatalf("both tokens: %+v, %v", caller, err)
		}
		caller.Groups[0], caller.Claims["sub"][0] = "changed", "by whoever got it"
		alone, err := v.Verify(t.Context(), access)
		if err != nil || fmt.Sprint(alone.Groups) != "[oncall]" || alone.Claims["sub"][0] != "u-1" {
			t.Fatalf("the access token alone: %+v, %v", alone, err)
		}
		if got := outcome(t, v, id); got != string(WrongAudience) {
			t.Errorf("the ID token in place of the access token: %s", got)
		}
		if got := outcome(t, v, "id "+id); got != string(MalformedToken) {
			t.Errorf("the ID token behind a word in place of the access token: %s", got)
		}
		swapped, err := v.Authenticate(request(access, access))
		if err != nil || fmt.Sprint(swapped.Groups) != "[oncall]" {
			t.Errorf("the access token in both places: %+v, %v", swapped, err)
		}
	}
}

func TestHowManyTokensAreRememberedIsBounded(t *testing.T) {
	site := &keySite{}
	site.publish(t, "k")
	v := site.verifier(nil)
	first := site.token(t, "k", nil)
	remember(t, v, first)
	for n := range maxRecent {
		v.recent.add(&judged{key: keyOf(fmt.Sprint(n), accessToken), since: time.Now()})
		if len(v.recent.byKey) > maxRecent || v.recent.order.Len() != len(v.recent.byKey) {
			t.Fatalf("%d tokens are remembered, %d in order", len(v.recent.byKey), v.recent.order.Len())
		}
	}
	if len(v.recent.byKey) != maxRecent || isRemembered(t, v, first) || outcome(t, v, first) != "ok" || !isRemembered(t, v, first) {
		t.Error("the oldest did not make room, or does not come back")
	}
	if isRemembered(t, v, string(bytes.Repeat([]byte("x"), maxToken+1))) {
		t.Error("a token that is too long is remembered")
	}
}

func BenchmarkVerify(b *testing.B) {
	site := &keySite{}
	site.publish(b, "k")
	v := site.verifier(nil)
	token := site.token(b, "k", nil)
	for _, known := range []bool{false, true} {
		b.Run(fmt.Sprintf("known=%t", known), func(b *testing.B) {
			for b.Loop() {
				if !known {
					v.recent = recent{}
				}
				if _, err := v.Verify(b.Context(), token); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
