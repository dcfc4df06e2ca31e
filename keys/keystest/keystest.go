// Package keystest is for tests that need keys: an in-memory [Store] and [KEK] that work, ready keysets and rings, and
// the conformance suites that every [keys.Store] ([TestStore]) and every [keys.KEK] ([TestKEK]) passes.
//
// A ring in one line:
//
//	ring := keystest.NewRing(t, "ns/payments")
//
// With the store at hand, to rotate keys or to stage an outage:
//
//	store, kek := new(keystest.Store), keystest.NewKEK(t)
//	keystest.NewKeyset(t, store, kek, "ns/payments", keys.XAES256GCM)
//	store.SetError(errors.New("the store is away"))
package keystest

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/signet-temporal/signet/keys"
	"github.com/signet-temporal/signet/keys/rotate"
)

// Store is a [keys.Store] in memory. The zero value is an empty store. It is safe for concurrent use.
type Store struct {
	mu    sync.Mutex
	docs  map[string]document
	last  int
	err   error
	calls Calls
}

type document struct {
	json    []byte
	version keys.Version
}

// Calls counts what a [Store] was asked, failed calls included.
type Calls struct{ Fetch, Replace, List, Forget int }

// SetError makes every call from now on fail with err, an outage; nil ends it. What is stored stays.
func (s *Store) SetError(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

// Calls returns how often the store was called since it was made.
func (s *Store) Calls() Calls {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls
}

// Plant implements [Planter]. It works during an outage and counts no call.
func (s *Store) Plant(_ context.Context, name string, doc []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.put(name, slices.Clone(doc))
	return nil
}

// Fetch implements [keys.Store].
func (s *Store) Fetch(ctx context.Context, name string) (*keys.Keyset, keys.Version, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls.Fetch++
	if err := s.usable(ctx); err != nil {
		return nil, "", err
	}
	if err := keys.CheckName(name); err != nil {
		return nil, "", err
	}
	doc, ok := s.docs[name]
	if !ok {
		return nil, "", fmt.Errorf("keyset %q: %w", name, keys.ErrNotFound)
	}
	k, err := keys.ParseKeyset(name, doc.json)
	if err != nil {
		return nil, "", err
	}
	return k, doc.version, nil
}

// Replace implements [keys.Store].
func (s *Store) Replace(ctx context.Context, k *keys.Keyset, old keys.Version) (keys.Version, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls.Replace++
	if err := s.usable(ctx); err != nil {
		return "", err
	}
	if err := k.Check(); err != nil {
		return "", err
	}
	if s.docs[k.Name].version != old {
		return "", fmt.Errorf("keyset %q: %w", k.Name, keys.ErrConflict)
	}
	doc, err := json.Marshal(k)
	if err != nil {
		return "", fmt.Errorf("keyset %q: %w", k.Name, err)
	}
	return s.put(k.Name, doc), nil
}

// List implements [keys.Store].
func (s *Store) List(ctx context.Context) ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls.List++
	if err := s.usable(ctx); err != nil {
		return nil, err
	}
	return slices.Sorted(maps.Keys(s.docs)), nil
}

// Forget implements [keys.Store]. There is nothing to forget: only the present version is kept.
func (s *Store) Forget(ctx context.Context, name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls.Forget++
	if err := s.usable(ctx); err != nil {
		return err
	}
	return keys.CheckName(name)
}

func (s *Store) usable(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return s.err
}

func (s *Store) put(name string, doc []byte) keys.Version {
	if s.docs == nil {
		s.docs = make(map[string]document)
	}
	s.last++
	v := keys.Version(strconv.Itoa(s.last))
	s.docs[name] = document{doc, v}
	return v
}

// NewKeyset creates the keyset in store with one key of type typ, primary already, and returns its document.
func NewKeyset(t testing.TB, store keys.Store, kek keys.KEK, name string, typ keys.Type) *keys.Keyset {
	t.Helper()
	if _, err := rotate.Create(t.Context(), store, kek, name, rotate.Options{Type: typ}); err != nil {
		t.Fatal(err)
	}
	k, _, err := store.Fetch(t.Context(), name)
	if err != nil {
		t.Fatalf("fetching the new keyset: %v", err)
	}
	return k
}

// NewRing returns a ring that holds a fresh keyset of type [keys.XAES256GCM] under each of names, over a store and a
// KEK in memory. It is closed when the test ends.
func NewRing(t testing.TB, names ...string) *keys.Ring {
	t.Helper()
	store, kek := new(Store), NewKEK(t)
	for _, name := range names {
		NewKeyset(t, store, kek, name, keys.XAES256GCM)
	}
	ring, err := keys.NewRing(t.Context(), store, kek, keys.RingOptions{Keysets: names})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ring.Close() })
	return ring
}
