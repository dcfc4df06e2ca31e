// Package jwks keeps the keys that an issuer publishes at a URL, a JSON Web Key Set, and verifies signatures with them.
// How long a key that the issuer withdraws goes on being trusted, and how often the issuer is asked, is bounded whatever
// the tokens that come in look like.
package jwks

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"golang.org/x/sync/singleflight"
)

const (
	// Keys live for as long as the issuer's Cache-Control says, within bounds.
	minLife, defaultLife, maxLife = time.Minute, 10 * time.Minute, time.Hour
	// maxStale is how long keys are used beyond their life while the issuer does not answer.
	maxStale = time.Hour
	// apart is the least time from a fetch to the next one; after failed fetches it grows from firstRetry to this.
	apart, firstRetry = 30 * time.Second, time.Second
	// missingFor is how long a key id that a fetch did not bring is no reason for another one.
	missingFor = 2 * time.Minute
	// fetchTimeout is for the whole answer.
	fetchTimeout = 10 * time.Second
)

// Set is the key set at one URL. It is fetched when a token first needs it, and renewed by the tokens that come in later:
// in the background from four fifths of its life on, and before the token is judged once its life is over. So a key that
// the issuer withdraws is trusted for one life at most, or for maxStale more while the issuer cannot be reached; then
// nothing verifies. A token with a key id that is not in the set is a reason to fetch it early, at least apart after the
// fetch before. No goroutine outlives a fetch, and a Set needs no closing.
type Set struct {
	url        string
	client     *http.Client
	algorithms []jose.SignatureAlgorithm
	flight     singleflight.Group

	mu       sync.Mutex
	keys     []jose.JSONWebKey
	fetches  uint64               // that brought keys
	fetched  time.Time            // when keys were asked for
	renewAt  time.Time            // four fifths of the life of keys; zero before the first fetch
	expires  time.Time            // its end
	next     time.Time            // no fetch before this
	err      error                // of the last fetch
	failures int                  // one after the other
	isAsking bool                 // a fetch is on its way
	missing  map[string]time.Time // key ids that were fetched for and not there, and until when that is believed
}

// New returns the set at url, of which nothing is fetched yet. The client has to bound the size of an answer and where
// it may be redirected to.
func New(url string, client *http.Client, algorithms []string) *Set {
	s := &Set{url: url, client: client, missing: map[string]time.Time{}}
	for _, a := range algorithms {
		s.algorithms = append(s.algorithms, jose.SignatureAlgorithm(a))
	}
	return s
}

// FetchError says that a token could not be judged, because the keys could not be fetched.
type FetchError struct{ Err error }

func (e *FetchError) Error() string { return "fetching keys: " + e.Err.Error() }
func (e *FetchError) Unwrap() error { return e.Err }

var errSignature = errors.New("no key of the issuer verifies the token")

// VerifySignature implements oidc.KeySet. The error is a [*FetchError] where only the lack of keys stands in the way.
func (s *Set) VerifySignature(ctx context.Context, token string) ([]byte, error) {
	jws, err := jose.ParseSignedCompact(token, s.algorithms)
	if err != nil {
		return nil, err
	}
	keys, err := s.current(ctx)
	if err != nil {
		return nil, err
	}
	payload, known, err := verify(jws, keys)
	if known {
		return payload, err
	}
	keys, err = s.newer(ctx, jws.Signatures[0].Header.KeyID)
	if err != nil {
		return nil, err
	}
	payload, _, err = verify(jws, keys)
	return payload, err
}

// verify tries the keys that the token can mean. It is known when the token names one of them or one verifies it: then
// fetching keys changes nothing.
func verify(jws *jose.JSONWebSignature, keys []jose.JSONWebKey) (payload []byte, known bool, err error) {
	header := jws.Signatures[0].Header
	for _, key := range keys {
		if header.KeyID != "" && header.KeyID != key.KeyID {
			continue
		}
		known = known || header.KeyID != ""
		if key.Algorithm != "" && key.Algorithm != header.Algorithm {
			continue
		}
		if payload, err := jws.Verify(key.Key); err == nil {
			return payload, true, nil
		}
	}
	return nil, known, errSignature
}

// current returns the keys that count now.
func (s *Set) current(ctx context.Context) ([]jose.JSONWebKey, error) {
	now := time.Now()
	s.mu.Lock()
	keys, isDue := s.keys, !now.Before(s.renewAt) && !now.Before(s.next) && !s.isAsking
	isFresh, isUsable := now.Before(s.expires), now.Before(s.expires.Add(maxStale))
	// Who has just failed to reach the issuer does not make the next request wait for the same.
	isAway := s.err != nil && now.Before(s.next.Add(apart))
	s.mu.Unlock()

	if isFresh || isUsable && isAway {
		if isDue {
			s.start()
		}
		return keys, nil
	}
	// A request that is over before the fetch is does not get by with old keys.
	if err := s.wait(ctx); err != nil && (!isUsable || ctx.Err() != nil) {
		return nil, &FetchError{err}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.keys, nil
}

// newer returns keys fetched for the sake of a key id that is not among the current ones, or the current ones where it
// is too early to ask again. When the issuer cannot be asked, nobody knows whether it has such a key.
func (s *Set) newer(ctx context.Context, keyID string) ([]jose.JSONWebKey, error) {
	now := time.Now()
	s.mu.Lock()
	isMissing, tooEarly, isAsking, err := now.Before(s.missing[keyID]), now.Before(s.next), s.isAsking, s.err
	s.mu.Unlock()
	switch {
	case isMissing:
		return nil, nil
	case tooEarly || err != nil && isAsking:
	case err != nil:
		s.start() // and nobody waits for it, as in current
	default:
		err = s.wait(ctx)
	}
	if err != nil {
		return nil, &FetchError{err}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !tooEarly {
		s.remember(keyID)
	}
	return s.keys, nil
}

// remember that keyID was fetched for. Such fetches are apart, so the few entries that are not over yet are all there are.
func (s *Set) remember(keyID string) {
	now := time.Now()
	for id, until := range s.missing {
		if !now.Before(until) {
			delete(s.missing, id)
		}
	}
	if len(s.missing) < maxKeys {
		s.missing[keyID] = now.Add(missingFor)
	}
}

// wait waits for a fetch, or for ctx.
func (s *Set) wait(ctx context.Context) error {
	select {
	case r := <-s.start():
		return r.Err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// start starts a fetch unless one is on its way.
func (s *Set) start() <-chan singleflight.Result {
	return s.flight.DoChan("", func() (any, error) { return nil, s.fetchIfDue() })
}

// fetchIfDue looks at the time again: who calls it may have done so before the end of the last fetch.
func (s *Set) fetchIfDue() error {
	start := time.Now()
	s.mu.Lock()
	tooEarly, err := start.Before(s.next), s.err
	s.isAsking = !tooEarly
	s.mu.Unlock()
	if tooEarly {
		return err
	}
	keys, life, err := s.fetch()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err, s.isAsking = err, false
	if err != nil {
		s.next = time.Now().Add(jitter(min(firstRetry<<min(s.failures, 5), apart)))
		s.failures++
		return err
	}
	s.keys, s.fetched, s.failures = keys, start, 0
	s.fetches++
	s.renewAt, s.expires = start.Add(life*4/5-rand.N(life/20)), start.Add(life)
	s.next = time.Now().Add(jitter(apart))
	return nil
}

// fetch belongs to no request, so none can cut it short.
func (s *Set) fetch() ([]jose.JSONWebKey, time.Duration, error) {
	ctx, cancel := context.WithTimeout(context.Background(), fetchTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url, nil)
	if err != nil {
		return nil, 0, err
	}
	resp, err := s.client.Do(r)
	if err != nil {
		return nil, 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, 0, fmt.Errorf("%s: %w", s.url, err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, 0, fmt.Errorf("%s answers %s", s.url, resp.Status)
	}
	keys, err := parse(body)
	if err != nil {
		return nil, 0, fmt.Errorf("%s: %w", s.url, err)
	}
	return keys, life(resp.Header), nil
}

// jitter is d and up to a tenth more, so that replicas that failed together do not ask together.
func jitter(d time.Duration) time.Duration { return d + rand.N(d/10+1) }
