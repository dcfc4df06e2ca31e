package keys

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/tink-crypto/tink-go/v2/tink"
)

// find is the slow half of Lookup: the key is unknown here, or must not open.
func (m *member) find(id ID, closed <-chan struct{}) (tink.AEAD, error) {
	if now := m.now.Load(); now.shredded.IsZero() {
		if k := now.keys[id]; k == nil || k.state.Opens() && !k.legacy {
			m.await(closed)
		}
	}
	now := m.now.Load() // also after no wait at all: a round may have ended meanwhile
	k := now.keys[id]
	if k == nil || k.aead == nil {
		m.trouble(id)
	}
	idle := m.idle(now)
	switch {
	case idle != nil:
		return nil, idle
	case k != nil && k.legacy: // whoever knew it before may have made the payload
		return nil, m.unavailable("key %s of keyset %q opens only what another codec sealed with it", id, m.name)
	case k == nil:
		return nil, m.unavailable("key %s of keyset %q is not known here yet: retry, and if it stays so compare with \"signet keyset status %[2]s\"", id, m.name)
	case k.aead != nil:
		return k.aead, nil
	case k.state == Destroyed:
		when := ""
		if !k.destroyed.IsZero() {
			when = " on " + k.destroyed.UTC().Format(time.DateOnly)
		}
		return nil, &ringError{fmt.Sprintf("key %s of keyset %q was destroyed%s: what it sealed can never be opened again", id, m.name, when), ErrDestroyed}
	case k.state == Disabled:
		return nil, m.unavailable("key %s of keyset %q is disabled: enable it again to open what it sealed", id, m.name)
	}
	return nil, m.unavailable("key %s of keyset %q could not be unwrapped yet: retry", id, m.name)
}

// await asks for a refresh and waits for it, within the bounds of KeyWait and MinRefreshGap.
func (m *member) await(closed <-chan struct{}) {
	asked := m.ask()
	if asked == nil {
		return
	}
	m.waits.Add(1)
	wait := time.NewTimer(time.Until(asked.deadline))
	defer wait.Stop()
	select {
	case <-asked.done:
	case <-wait.C:
	case <-closed:
	}
}

// ask joins the round that is under way or begins one; nil when the last one is too recent. A round that hangs is
// joined only until its own deadline: many unknown ids in a row then cost KeyWait once, not once each.
func (m *member) ask() *round {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.round != nil {
		return m.round
	}
	now := time.Now()
	if !m.asked.IsZero() && now.Sub(m.asked) < m.o.MinRefreshGap {
		return nil
	}
	m.asked = now
	m.round = &round{deadline: now.Add(m.o.KeyWait), done: make(chan struct{})}
	m.asks <- m.round // never blocks: there is one round at a time and the channel has room for it
	if m.wake != nil {
		m.wake()
	}
	return m.round
}

// run refreshes until ctx, the life of the ring, is done.
func (m *member) run(ctx context.Context) {
	failures := 0
	timer := time.NewTimer(m.delay(failures))
	defer timer.Stop()
	for {
		var asked *round
		select {
		case <-ctx.Done():
			return
		case id := <-m.troubles:
			m.complain(ctx, id)
			continue
		case <-timer.C:
		case asked = <-m.asks:
		}
		if err := m.refresh(ctx); err != nil {
			failures++
		} else {
			failures = 0
		}
		m.answer(asked)
		timer.Reset(m.delay(failures))
	}
}

// answer ends a round, if there is one.
func (m *member) answer(asked *round) {
	if asked == nil {
		return
	}
	m.mu.Lock()
	m.round = nil
	m.mu.Unlock()
	close(asked.done)
}

// delay is the time until the next refresh: the interval give or take a tenth, so that processes started together do
// not ask together; after failures less, spread widely so that they do not all greet a store that returns.
func (m *member) delay(failures int) time.Duration {
	interval := m.o.RefreshInterval
	if failures == 0 {
		return interval - interval/10 + rand.N(interval/5+1)
	}
	return retryDelay(failures, interval)
}

// retryDelay doubles from firstRetry up to longest; a random half of it is taken off.
func retryDelay(failures int, longest time.Duration) time.Duration {
	d := min(firstRetry<<min(failures-1, 16), longest)
	return d - rand.N(d/2+1)
}

// load refreshes until it succeeds, ctx is done, or no retry can help: the store is sure that there is no such keyset, or
// says of its error, by a method Misconfigured() bool, that somebody has to change something first.
func (m *member) load(ctx context.Context) error {
	var cause error
	for failures := 1; ; failures++ {
		err := m.refresh(ctx)
		if err == nil {
			return nil
		}
		if errors.Is(err, ErrNotFound) {
			return &ringError{fmt.Sprintf("keyset %q not found: create it with \"signet keyset create %[1]s\"", m.name), err}
		}
		var lasting interface{ Misconfigured() bool }
		if errors.As(err, &lasting) && lasting.Misconfigured() {
			return fmt.Errorf("loading keyset %q: %w", m.name, err)
		}
		if cause == nil || ctx.Err() == nil { // an attempt cut short says less than the one before
			cause = err
		}
		retry := time.NewTimer(retryDelay(failures, longestStartRetry))
		select {
		case <-retry.C:
		case <-ctx.Done():
			retry.Stop()
			return fmt.Errorf("loading keyset %q: gave up after %s (%w): %w", m.name, attempts(failures), ctx.Err(), cause)
		}
	}
}

func attempts(n int) string {
	if n == 1 {
		return "one attempt"
	}
	return fmt.Sprintf("%d attempts", n)
}

// refresh reads the document once and applies it. Errors are noted for status and logged.
func (m *member) refresh(ctx context.Context) error {
	bounded, cancel := context.WithTimeout(ctx, refreshTimeout)
	defer cancel()
	select {
	case m.busy <- struct{}{}:
		defer func() { <-m.busy }()
	case <-bounded.Done():
		return fmt.Errorf("refreshing keyset %q: %w", m.name, bounded.Err())
	}
	err := m.apply(bounded)
	if err != nil && errors.Is(ctx.Err(), context.Canceled) {
		return err // somebody stopped it: that says nothing about the store
	}
	m.note(ctx, err)
	m.watch.tell(m.status())
	return err
}

func (m *member) apply(ctx context.Context) error {
	doc, version, err := m.store.Fetch(ctx, m.name)
	if err != nil {
		return err // it names the keyset
	}
	old := m.now.Load()
	if old.complete && version == old.version {
		return nil
	}
	if doc.Name != m.name {
		return fmt.Errorf("fetching keyset %q: the store answered with keyset %q", m.name, doc.Name)
	}
	if err := doc.Check(); err != nil {
		return err
	}
	next, err := m.unwrap(ctx, doc, version, old)
	if err != nil && errors.Is(ctx.Err(), context.Canceled) {
		return err // cut short: what is missing says nothing of the keyset
	}
	m.announce(ctx, old, next)
	m.now.Store(next)
	return err
}

// unwrap builds the snapshot of doc, with the keys of old where the wrapped bytes are the same. Its error is the first
// of the keys that did not open; the snapshot is good without them, and a key that opened before still does, so that
// one bad key hides neither the new ones nor the end of another.
func (m *member) unwrap(ctx context.Context, doc *Keyset, version Version, old *snapshot) (*snapshot, error) {
	next := &snapshot{
		version: version, delay: time.Duration(doc.Policy.PropagationDelay), searches: doc.Type.Searches(), keys: make(map[ID]*held, len(doc.Keys)),
		shredAfter: doc.ShredAfter, shredded: doc.Shredded,
	}
	var failed error
	for _, key := range doc.Keys {
		k := &held{state: key.State, promoted: key.Promoted, destroyed: key.Destroyed, compromised: !key.Compromised.IsZero(), legacy: key.OpensLegacy()}
		next.keys[key.ID] = k
		if !key.State.Opens() || doc.Idle() {
			continue
		}
		before := old.keys[key.ID]
		if before.opens() && before.legacy == k.legacy {
			k.aead, k.prf, k.wrapped = before.aead, before.prf, before.wrapped
			if bytes.Equal(before.wrapped, key.Wrapped) {
				continue
			}
		}
		fresh, err := m.open(ctx, next.searches, key)
		if err == nil && k.opens() && !sameKey(k, fresh) {
			err = fmt.Errorf("key %s of keyset %q holds other key material than before: keeping what this process has: who changed the document?", key.ID, m.name)
		}
		if err == nil {
			k.aead, k.prf, k.wrapped = fresh.aead, fresh.prf, key.Wrapped
		} else if failed == nil {
			failed = err
		}
	}
	for _, key := range doc.Keys {
		if key.OpensLegacy() {
			next.legacy = append(next.legacy, LegacyKey{ID: key.ID, Legacy: *key.Imported.Legacy, State: key.State, AEAD: next.keys[key.ID].aead})
		}
	}
	next.complete = failed == nil
	next.choose(doc, old)
	return next, failed
}

// open unwraps one key.
func (m *member) open(ctx context.Context, searches bool, key Key) (*held, error) {
	k, err := &held{}, error(nil)
	if searches {
		k.prf, err = UnwrapPRF(ctx, m.kek, m.name, key.ID, key.Wrapped)
	} else {
		k.aead, err = UnwrapKey(ctx, m.kek, m.name, key)
	}
	if err != nil {
		return nil, err
	}
	return k, nil
}

// choose sets which key is primary here.
func (s *snapshot) choose(doc *Keyset, old *snapshot) {
	p := doc.Primary()
	if p == nil {
		return
	}
	switch before := s.keys[old.primary]; {
	case s.keys[p.ID].opens():
		s.primary = p.ID
	// A primary that does not open here yet cannot seal: the one before goes on, as long as it may open and nobody
	// else may have it.
	case old.primary != 0 && before.opens() && !before.compromised:
		s.primary = old.primary
	default:
		return
	}
	chosen := s.keys[s.primary]
	s.since, s.sealer = chosen.promoted, chosen.aead
	if s.searches && chosen.prf != nil {
		s.tokens = s.functions()
	}
}

// sameKey reports whether one key opens what the other seals, or makes the same tokens. A key may be wrapped anew and never
// be exchanged: whoever may write documents and wrap keys, but not open them, could otherwise put a key they know in the
// place of one in use.
func sameKey(before, after *held) bool {
	probe := []byte("same key?")
	if before.prf != nil && after.prf != nil {
		was, err := before.prf.ComputePRF(probe, 32)
		if err != nil {
			return false
		}
		is, err := after.prf.ComputePRF(probe, 32)
		return err == nil && bytes.Equal(was, is)
	}
	if before.aead == nil || after.aead == nil {
		return false
	}
	sealed, err := before.aead.Encrypt([]byte("signet"), probe)
	if err != nil {
		return false
	}
	_, err = after.aead.Decrypt(sealed, probe)
	return err == nil
}

func notHeld(keyset string) error {
	return &ringError{fmt.Sprintf("keyset %q is not held by this process: name it among the keysets of its configuration", keyset), ErrUnavailable}
}

func (m *member) noPrimary(now *snapshot) error {
	if err := m.idle(now); err != nil {
		return err
	}
	if now.searches {
		return m.sealsNothing()
	}
	return m.unavailable("keyset %q has no primary key here: promote one with \"signet keyset promote %[1]s\"", m.name)
}

// unavailable formats an error of class ErrUnavailable and adds why the last refresh failed, if it did.
func (m *member) unavailable(format string, args ...any) error {
	text := fmt.Sprintf(format, args...)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.failure != "" {
		text += " (the last refresh failed: " + m.failure + ")"
	}
	return &ringError{text, ErrUnavailable}
}
