package jwks

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// site is where an issuer publishes its keys. It is reached without a network, so that the clock of synctest runs.
type site struct {
	keys         []jose.JSONWebKey
	document     string // in place of the keys
	cacheControl string
	latency      time.Duration

	mu      sync.Mutex
	away    bool
	fetches []time.Time
}

func (s *site) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	s.fetches = append(s.fetches, time.Now())
	s.mu.Unlock()
	select {
	case <-time.After(s.latency):
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away {
		return nil, errors.New("connection refused")
	}
	body, err := json.Marshal(jose.JSONWebKeySet{Keys: s.keys})
	if s.document != "" {
		body = []byte(s.document)
	}
	header := http.Header{"Cache-Control": {s.cacheControl}}
	return &http.Response{StatusCode: http.StatusOK, Header: header, Body: io.NopCloser(strings.NewReader(string(body)))}, err
}

func (s *site) set() *Set {
	return New("https://idp/keys", &http.Client{Transport: s}, []string{"ES256", "RS256"})
}

func (s *site) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.fetches)
}

func (s *site) setAway(away bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.away = away
}

// newKey returns a key and what the site publishes of it.
func newKey(t testing.TB, id string) (crypto.Signer, jose.JSONWebKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key, jose.JSONWebKey{Key: key.Public(), KeyID: id, Use: "sig", Algorithm: "ES256"}
}

func sign(t testing.TB, key any, id string) string {
	t.Helper()
	alg := jose.ES256
	if _, ok := key.(*rsa.PrivateKey); ok {
		alg = jose.RS256
	}
	options := &jose.SignerOptions{}
	if id != "" {
		options = options.WithHeader("kid", id)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, options)
	if err != nil {
		t.Fatal(err)
	}
	jws, err := signer.Sign([]byte(`{"sub":"ann"}`))
	if err != nil {
		t.Fatal(err)
	}
	token, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// outcome is "ok", "unavailable" or "refused".
func outcome(t testing.TB, s *Set, token string) string {
	t.Helper()
	payload, err := s.VerifySignature(t.Context(), token)
	var fetching *FetchError
	switch {
	case err == nil && string(payload) == `{"sub":"ann"}`:
		return "ok"
	case err != nil && payload == nil && errors.As(err, &fetching):
		return "unavailable"
	case err != nil && payload == nil:
		return "refused"
	}
	t.Fatalf("got %q, %v", payload, err)
	return ""
}

func want(t testing.TB, when string, s *Set, token, outcomeWanted string) {
	t.Helper()
	if got := outcome(t, s, token); got != outcomeWanted {
		t.Errorf("%s: %s, want %s", when, got, outcomeWanted)
	}
}

// wantApart checks that there are at most two fetches in any minute.
func wantApart(t testing.TB, fetches []time.Time) {
	t.Helper()
	for i := 2; i < len(fetches); i++ {
		if d := fetches[i].Sub(fetches[i-2]); d < time.Minute {
			t.Fatalf("three fetches within %v", d)
		}
	}
}

func TestTheStatusSaysHowOldTheKeysAreAndHowLongTheyLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key, published := newKey(t, "k1")
		s := &site{keys: []jose.JSONWebKey{published}, cacheControl: "max-age=600"}
		set, token := s.set(), sign(t, key, "k1")
		if got := set.Status(); got != (Status{}) {
			t.Errorf("before the first fetch: %+v", got)
		}
		want(t, "at first", set, token, "ok")
		start := time.Now()
		if got := set.Status(); !got.Fetched.Equal(start) || !got.Usable.Equal(start.Add(10*time.Minute+maxStale)) || got.Err != nil {
			t.Errorf("after the first fetch: %+v", got)
		}
		s.setAway(true)
		time.Sleep(20 * time.Minute)
		want(t, "while the issuer is away", set, token, "ok")
		if got := set.Status(); !got.Fetched.Equal(start) || got.Err == nil || !got.Usable.Equal(start.Add(10*time.Minute+maxStale)) {
			t.Errorf("while the issuer is away: %+v", got)
		}
	})
}

func TestAFloodOfUnknownKeyIDsFetchesTwiceAMinuteAtMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key, published := newKey(t, "k1")
		s := &site{keys: []jose.JSONWebKey{published}}
		set := s.set()
		good, bad := sign(t, key, "k1"), strings.SplitN(sign(t, key, "k2"), ".", 2)[1]
		start := time.Now()
		for n := range 10_000 { // in two minutes
			header := fmt.Sprintf(`{"alg":"ES256","kid":"random-%d"}`, n)
			want(t, "a random key id", set, encode(header)+"."+bad, "refused")
			time.Sleep(12 * time.Millisecond)
		}
		want(t, "the known key, at the end of the flood", set, good, "ok")
		if minutes := time.Since(start).Minutes(); minutes < 2 || s.count() < 3 || s.count() > 5 {
			t.Errorf("%d fetches in %v minutes", s.count(), minutes)
		}
		wantApart(t, s.fetches)
		if len(set.missing) > 5 {
			t.Errorf("%d key ids are remembered", len(set.missing))
		}
	})
}

func TestAColdStartOfManyRequestsFetchesOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key, published := newKey(t, "k1")
		s := &site{keys: []jose.JSONWebKey{published}, latency: time.Second}
		set, token := s.set(), sign(t, key, "k1")
		var all sync.WaitGroup
		for range 64 {
			all.Go(func() { want(t, "cold", set, token, "ok") })
		}
		all.Wait()
		if r := <-set.start(); r.Err != nil { // by a request that looked at the clock before the others were done
			t.Error(r.Err)
		}
		if s.count() != 1 {
			t.Errorf("%d fetches", s.count())
		}
	})
}

func TestAWithdrawnKeyStopsVerifyingWhenTheLifeOfTheKeysIsOver(t *testing.T) {
	for cacheControl, life := range map[string]time.Duration{"": 10 * time.Minute, "public, max-age=300": 5 * time.Minute, "max-age=5": time.Minute,
		"no-store": time.Minute, "max-age=999999999": time.Hour, "max-age=never": 10 * time.Minute, "max-age=-1": time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			key, published := newKey(t, "k1")
			s := &site{keys: []jose.JSONWebKey{published}, cacheControl: cacheControl}
			set, token := s.set(), sign(t, key, "k1")
			want(t, "published", set, token, "ok")
			s.keys = []jose.JSONWebKey{}
			time.Sleep(life*3/4 - time.Second)
			want(t, "within the life", set, token, "ok")
			if s.count() != 1 {
				t.Errorf("%q: %d fetches within three quarters of the life", cacheControl, s.count())
			}
			time.Sleep(life/4 + time.Second)
			want(t, fmt.Sprintf("%q: after the life, without a request in between", cacheControl), set, token, "refused")
		})
	}
}

func TestKeysAreRenewedBehindTheBackOfARequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key, published := newKey(t, "k1")
		s := &site{keys: []jose.JSONWebKey{published}}
		set, token := s.set(), sign(t, key, "k1")
		want(t, "cold", set, token, "ok")
		s.latency = 5 * time.Second
		time.Sleep(8*time.Minute + time.Second)
		before := time.Now()
		want(t, "at four fifths of the life", set, token, "ok")
		if waited := time.Since(before); waited != 0 {
			t.Errorf("the request waited %v", waited)
		}
		synctest.Wait()
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if s.count() != 2 || time.Until(set.expires) < 9*time.Minute {
			t.Errorf("%d fetches, the keys expire in %v", s.count(), time.Until(set.expires))
		}
	})
}

func TestAnOutageOfTheIssuerIsBridgedForAnHourAndNotLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key, published := newKey(t, "k1")
		other, _ := newKey(t, "k2")
		s := &site{keys: []jose.JSONWebKey{published}}
		set, token, unknown := s.set(), sign(t, key, "k1"), sign(t, other, "k2")
		want(t, "before the outage", set, token, "ok")
		s.setAway(true)
		start := time.Now()
		for time.Since(start) < 10*time.Minute+time.Hour-time.Second {
			want(t, "in the outage", set, token, "ok")
			time.Sleep(time.Second)
		}
		want(t, "in the outage, a key that may be new", set, unknown, "unavailable")
		want(t, "in the outage, a forged token", set, sign(t, other, "k1"), "refused")
		if s.count() > 130 { // one each half minute, and the first ones closer together
			t.Errorf("%d fetches in an hour", s.count())
		}
		time.Sleep(time.Minute)
		want(t, "an hour after the keys' life", set, token, "unavailable")
		s.setAway(false)
		time.Sleep(apart + apart/10)
		want(t, "after the outage", set, token, "ok")
	})
}

func TestAnOutageOfLongAgoIsNoReasonToUseOldKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key, published := newKey(t, "k1")
		s := &site{keys: []jose.JSONWebKey{published}}
		set, token := s.set(), sign(t, key, "k1")
		want(t, "before the outage", set, token, "ok")
		s.setAway(true)
		time.Sleep(9 * time.Minute)
		want(t, "in the outage", set, token, "ok") // and fails to renew the keys
		synctest.Wait()
		s.setAway(false)
		s.keys = []jose.JSONWebKey{}
		time.Sleep(20 * time.Minute)
		want(t, "withdrawn, and the first request since", set, token, "refused")
	})
}

func TestAnIssuerThatHangsHoldsUpOneRequestAndNotAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key, published := newKey(t, "k1")
		s := &site{keys: []jose.JSONWebKey{published}}
		set, token, unknown := s.set(), sign(t, key, "k1"), sign(t, key, "k2")
		want(t, "before", set, token, "ok")
		s.latency = time.Hour
		time.Sleep(10 * time.Minute)
		slow := 0
		for range 600 {
			before := time.Now()
			want(t, "while the issuer hangs", set, token, "ok")
			want(t, "while the issuer hangs, a key that may be new", set, unknown, "unavailable")
			if waited := time.Since(before); waited > fetchTimeout {
				t.Errorf("waited %v", waited)
			} else if waited > 0 {
				slow++
			}
			time.Sleep(time.Second)
		}
		if slow != 1 {
			t.Errorf("%d requests waited", slow)
		}
		time.Sleep(fetchTimeout) // no goroutine may be left: synctest would say so
	})
}

func TestARequestThatEndsEarlyDoesNotGetByWithOldKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key, published := newKey(t, "k1")
		s := &site{keys: []jose.JSONWebKey{published}}
		set, token := s.set(), sign(t, key, "k1")
		want(t, "before", set, token, "ok")
		s.keys, s.latency = []jose.JSONWebKey{}, time.Second
		time.Sleep(10 * time.Minute)
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if payload, err := set.VerifySignature(ctx, token); !errors.Is(err, context.DeadlineExceeded) || payload != nil {
			t.Errorf("got %q, %v", payload, err)
		}
		time.Sleep(time.Second)
		want(t, "the fetch went on", set, token, "refused")
		if s.count() != 2 {
			t.Errorf("%d fetches", s.count())
		}
	})
}

func TestANewKeyIsFoundWithinHalfAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key, published := newKey(t, "k1")
		s := &site{keys: []jose.JSONWebKey{published}}
		set := s.set()
		want(t, "the first key", set, sign(t, key, "k1"), "ok")
		second, publishedToo := newKey(t, "k2")
		s.keys = append(s.keys, publishedToo)
		want(t, "the second key, at once", set, sign(t, second, "k2"), "refused")
		time.Sleep(apart + apart/10)
		s.latency = time.Second
		var all sync.WaitGroup
		for range 64 {
			all.Go(func() { want(t, "the second key, half a minute later", set, sign(t, second, "k2"), "ok") })
		}
		all.Wait()
		if s.count() != 2 {
			t.Errorf("%d fetches", s.count())
		}
		want(t, "the second key, unnamed", set, sign(t, second, ""), "ok")
	})
}

func TestAKeyIDThatIsNotThereIsNoReasonToFetchForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key, published := newKey(t, "k1")
		s := &site{keys: []jose.JSONWebKey{published}, cacheControl: "max-age=3600"}
		set, withdrawn := s.set(), sign(t, key, "k0")
		for range 20 * 60 { // seconds
			want(t, "a token with a key of long ago", set, withdrawn, "refused")
			time.Sleep(time.Second)
		}
		if s.count() > 11 {
			t.Errorf("%d fetches in 20 minutes, want one each two", s.count())
		}
	})
}

func TestOnlyPublicSigningKeysCount(t *testing.T) {
	key, published := newKey(t, "k")
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	forEncryption, otherAlgorithm := published, published
	forEncryption.Use, otherAlgorithm.Algorithm = "enc", "RS256"
	for says, c := range map[string]struct {
		key jose.JSONWebKey
		by  any
	}{
		"for encryption":        {forEncryption, key},
		"for another algorithm": {otherAlgorithm, key},
		"private":               {jose.JSONWebKey{Key: key, KeyID: "k", Use: "sig"}, key},
		"symmetric":             {jose.JSONWebKey{Key: []byte(strings.Repeat("x", 32)), KeyID: "k", Use: "sig"}, key},
		"weak":                  {jose.JSONWebKey{Key: weak.Public(), KeyID: "k", Use: "sig"}, weak},
	} {
		want(t, says, (&site{keys: []jose.JSONWebKey{c.key}}).set(), sign(t, c.by, "k"), "refused")
	}
	set := (&site{keys: []jose.JSONWebKey{forEncryption, published}}).set()
	want(t, "one of two with the same id", set, sign(t, key, "k"), "ok")
}

func TestAnAnswerThatIsNoKeySetIsAnOutageAndAnEmptySetIsNot(t *testing.T) {
	key, _ := newKey(t, "k")
	tooMany := `{"keys":[` + strings.Repeat(`{"kty":"x"},`, maxKeys) + `{"kty":"x"}]}`
	for document, outcomeWanted := range map[string]string{`{}`: "unavailable", `{"keys":null}`: "unavailable", `<html>`: "unavailable", `{"keys":{}}`: "unavailable", tooMany: "unavailable",
		`{"keys":[]}`: "refused", `{"keys":[{"kty":"not yet invented"},7]}`: "refused"} {
		want(t, document[:min(len(document), 40)], (&site{document: document}).set(), sign(t, key, "k"), outcomeWanted)
	}
}

func TestATokenWithAnAlgorithmThatIsNotAskedForIsRefusedWithoutAFetch(t *testing.T) {
	_, published := newKey(t, "k")
	s := &site{keys: []jose.JSONWebKey{published}}
	hmac, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: []byte(strings.Repeat("x", 32))}, nil)
	if err != nil {
		t.Fatal(err)
	}
	jws, err := hmac.Sign([]byte(`{}`))
	if err != nil {
		t.Fatal(err)
	}
	token, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	for _, token := range []string{token, encode(`{"alg":"none"}`) + ".e30.", "", "a.b.c"} {
		want(t, "token "+token, s.set(), token, "refused")
	}
	if s.count() != 0 {
		t.Errorf("%d fetches", s.count())
	}
}

func encode(header string) string { return base64.RawURLEncoding.EncodeToString([]byte(header)) }
