package keys_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tink-crypto/tink-go/v2/aead/xaesgcm"
	"github.com/tink-crypto/tink-go/v2/insecuresecretdataaccess"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/secretdata"

	"github.com/signet-temporal/signet/keys"
	"github.com/signet-temporal/signet/keys/keystest"
	"github.com/signet-temporal/signet/keys/rotate"
)

const name = "ns/payments"

// fixture is a keyset in memory and a ring over it, inside a synctest bubble.
type fixture struct {
	*testing.T
	store *keystest.Store
	kek   *keystest.KEK
	ring  *keys.Ring
	log   *logged
}

// inBubble runs test on fake time with a ring that holds name and others.
func inBubble(t *testing.T, o keys.RingOptions, test func(f *fixture)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := &fixture{T: t, store: new(keystest.Store), kek: keystest.NewKEK(t), log: new(logged)}
		o.Keysets = append([]string{name}, o.Keysets...)
		for _, n := range o.Keysets {
			keystest.NewKeyset(t, f.store, f.kek, n, keys.XAES256GCM)
		}
		o.Logger = slog.New(slog.NewTextHandler(f.log, nil))
		var err error
		if f.ring, err = keys.NewRing(t.Context(), f.store, f.kek, o); err != nil {
			t.Fatal(err)
		}
		defer f.ring.Close()
		test(f)
	})
}

// logged is what a ring has logged so far, also while it goes on.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// change edits the stored document.
func (f *fixture) change(edit func(k *keys.Keyset)) {
	f.Helper()
	k, v, err := f.store.Fetch(f.Context(), name)
	if err != nil {
		f.Fatal(err)
	}
	edit(k)
	if _, err := f.store.Replace(f.Context(), k, v); err != nil {
		f.Fatal(err)
	}
}

func (f *fixture) add() keys.ID {
	f.Helper()
	id, err := rotate.Add(f.Context(), f.store, f.kek, name)
	if err != nil {
		f.Fatal(err)
	}
	return id
}

func (f *fixture) promote() keys.ID {
	f.Helper()
	id, err := rotate.Promote(f.Context(), f.store, name, rotate.PromoteOptions{Force: true})
	if err != nil {
		f.Fatal(err)
	}
	return id
}

func (f *fixture) refresh() {
	f.Helper()
	if err := f.ring.Refresh(f.Context()); err != nil {
		f.Fatal(err)
	}
}

func (f *fixture) wantPrimary(want keys.ID) {
	f.Helper()
	got, aead, err := f.ring.Primary(name)
	if err != nil || keys.ID(got) != want || aead == nil {
		f.Fatalf("Primary = %s, %v, %v, want %s", keys.ID(got), aead, err, want)
	}
}

func (f *fixture) wantOpens(id keys.ID) {
	f.Helper()
	if aead, err := f.ring.Lookup(name, uint32(id)); err != nil || aead == nil {
		f.Fatalf("Lookup(%s) = %v, %v, want the key", id, aead, err)
	}
}

// wantRefused checks the class of a Lookup's error, its text, and whether it calls itself permanent.
func (f *fixture) wantRefused(keyset string, id keys.ID, class error, texts ...string) {
	f.Helper()
	aead, err := f.ring.Lookup(keyset, uint32(id))
	checkError(f.T, aead, err, class, append(texts, keyset, id.String())...)
}

func checkError(t *testing.T, aead any, err, class error, texts ...string) {
	t.Helper()
	if aead != nil || !errors.Is(err, class) {
		t.Fatalf("got %v, %v, want an error of class %q and no key", aead, err, class)
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("error %q does not say %q", err, text)
		}
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("error %q has more than one line", err)
	}
	var p interface{ Permanent() bool }
	permanent := errors.As(err, &p) && p.Permanent()
	if want := errors.Is(class, keys.ErrDestroyed); permanent != want {
		t.Errorf("error %q: permanent = %t, want %t", err, permanent, want)
	}
}

func firstID(f *fixture) keys.ID {
	id, _, err := f.ring.Primary(name)
	if err != nil {
		f.Fatal(err)
	}
	return keys.ID(id)
}

func TestSealingAndOpeningCallNobodyAndAllocateNothing(t *testing.T) {
	inBubble(t, keys.RingOptions{}, func(f *fixture) {
		id := uint32(f.add())
		f.refresh()
		calls, unwraps := f.store.Calls(), f.kek.Unwraps()
		allocs := testing.AllocsPerRun(10_000, func() {
			if _, _, err := f.ring.Primary(name); err != nil {
				f.Fatal(err)
			}
			if _, err := f.ring.Lookup(name, id); err != nil {
				f.Fatal(err)
			}
		})
		if allocs != 0 {
			f.Errorf("%v allocations for each Primary and Lookup, want 0", allocs)
		}
		if got := f.store.Calls(); got != calls {
			f.Errorf("10,000 payloads made store calls: %+v before, %+v after", calls, got)
		}
		if got := f.kek.Unwraps(); got != unwraps {
			f.Errorf("10,000 payloads made %d calls of the key-encryption key", got-unwraps)
		}
	})
}

func TestSteadyRefreshIsOneFetchAndNoUnwrap(t *testing.T) {
	inBubble(t, keys.RingOptions{}, func(f *fixture) {
		fetches, unwraps, before := f.store.Calls().Fetch, f.kek.Unwraps(), f.log.String()
		time.Sleep(20 * time.Minute)
		synctest.Wait()
		// 20 minutes of intervals between 54 and 66 seconds.
		if got := f.store.Calls().Fetch - fetches; got < 18 || got > 22 {
			f.Errorf("%d fetches in 20 minutes, want one a minute give or take 10 %%", got)
		}
		if got := f.kek.Unwraps() - unwraps; got != 0 {
			f.Errorf("%d unwraps, want 0", got)
		}
		if got := f.log.String(); got != before {
			f.Errorf("log lines without news: %s", strings.TrimPrefix(got, before))
		}
	})
}

func TestRefreshUnwrapsOnlyTheNewKey(t *testing.T) {
	inBubble(t, keys.RingOptions{}, func(f *fixture) {
		for range 5 {
			f.add()
		}
		f.refresh()
		id, unwraps := f.add(), f.kek.Unwraps()
		f.refresh()
		if got := f.kek.Unwraps() - unwraps; got != 1 {
			f.Errorf("%d unwraps for one new key, want 1", got)
		}
		f.wantOpens(id)
		f.promote()
		f.refresh()
		if got := f.kek.Unwraps() - unwraps; got != 1 {
			f.Errorf("a promotion made %d unwraps, want none", got-1)
		}
	})
}

func TestRefreshUnwrapsAKeyThatWasWrappedAnew(t *testing.T) {
	inBubble(t, keys.RingOptions{}, func(f *fixture) {
		id, unwraps := firstID(f), f.kek.Unwraps()
		f.change(func(k *keys.Keyset) { k.Keys[0].Wrapped = rewrap(f, k.Keys[0].Wrapped) })
		f.refresh()
		if got := f.kek.Unwraps() - unwraps; got != 2 { // rewrap's own and the ring's
			f.Errorf("%d unwraps, want 2", got)
		}
		f.wantPrimary(id)
	})
}

// rewrap encrypts a wrapped key anew, which in Tink's EncryptedKeyset is the whole of the first field (tag 2).
func rewrap(f *fixture, wrapped []byte) []byte {
	f.Helper()
	size := int(wrapped[1]&0x7f) | int(wrapped[2])<<7
	if wrapped[0] != 2<<3|2 || wrapped[1]&0x80 == 0 || wrapped[2]&0x80 != 0 {
		f.Fatalf("not the wire form this test knows: % x", wrapped[:4])
	}
	plain, err := f.kek.DecryptWithContext(f.Context(), wrapped[3:3+size], []byte(name))
	if err != nil {
		f.Fatal(err)
	}
	anew, err := f.kek.EncryptWithContext(f.Context(), plain, []byte(name))
	if err != nil || len(anew) != size {
		f.Fatalf("wrapping anew: %d bytes, %v", len(anew), err)
	}
	return append(append(bytes.Clone(wrapped[:3]), anew...), wrapped[3+size:]...)
}

// A custodian may wrap keys and write documents. Giving the id of a key in use to a key they know must gain them nothing.
func TestAKeyIsNeverExchangedUnderItsID(t *testing.T) {
	inBubble(t, keys.RingOptions{}, func(f *fixture) {
		id, before, err := f.ring.Primary(name)
		if err != nil {
			f.Fatal(err)
		}
		f.change(func(k *keys.Keyset) { k.Key(keys.ID(id)).Wrapped = f.wrapAs(keys.ID(id)) })
		if err := f.ring.Refresh(f.Context()); err == nil || !strings.Contains(err.Error(), "other key material") {
			f.Errorf("Refresh: %v", err)
		}
		if now, after, err := f.ring.Primary(name); err != nil || now != id || after != before {
			f.Errorf("the key was exchanged: %08x, %v", now, err)
		}
		if !strings.Contains(f.log.String(), "other key material") {
			f.Errorf("nothing in the log: %s", f.log)
		}
	})
}

// wrapAs wraps a new key under an id that is taken.
func (f *fixture) wrapAs(id keys.ID) []byte {
	f.Helper()
	manager := keyset.NewManager()
	params, err := xaesgcm.NewParameters(xaesgcm.VariantTink, 12)
	if err != nil {
		f.Fatal(err)
	}
	planted, err := xaesgcm.NewKey(secretdata.NewBytesFromData(make([]byte, 32), insecuresecretdataaccess.Token{}), uint32(id), params)
	if err == nil {
		_, err = manager.AddKey(planted)
	}
	if err == nil {
		err = manager.SetPrimary(uint32(id))
	}
	if err != nil {
		f.Fatal(err)
	}
	handle, err := manager.Handle()
	if err != nil {
		f.Fatal(err)
	}
	var out bytes.Buffer
	if err := handle.WriteWithContext(f.Context(), keyset.NewBinaryWriter(&out), f.kek, []byte(name)); err != nil {
		f.Fatal(err)
	}
	return out.Bytes()
}

func TestOutageKeepsTheKeysAndItsEndResumesRefreshing(t *testing.T) {
	inBubble(t, keys.RingOptions{}, func(f *fixture) {
		first := firstID(f)
		next := f.add()
		f.promote()
		f.store.SetError(errors.New("connection refused"))
		time.Sleep(time.Hour)
		f.wantPrimary(first)
		f.wantOpens(first)
		f.wantRefused(name, next, keys.ErrUnavailable, "not known here yet", "connection refused")
		if s := f.ring.Status()[0]; !strings.Contains(s.Error, "connection refused") || time.Since(s.Fresh) < 59*time.Minute {
			f.Errorf("status during the outage = %+v", s)
		}
		f.store.SetError(nil)
		time.Sleep(66 * time.Second)
		f.wantPrimary(next)
		f.wantOpens(first)
		if s := f.ring.Status()[0]; s.Error != "" || time.Since(s.Fresh) > 67*time.Second || s.Primary != next || s.Keys != 2 || s.Version == "" || s.Name != name {
			f.Errorf("status after the outage = %+v", s)
		}
	})
}

func TestFailedRefreshIsTriedAgainSoonerAndNotTooOften(t *testing.T) {
	inBubble(t, keys.RingOptions{RefreshInterval: time.Hour}, func(f *fixture) {
		time.Sleep(53 * time.Minute) // the first refresh comes after 54 minutes at the earliest
		f.store.SetError(errors.New("away"))
		before := f.store.Calls().Fetch
		time.Sleep(13*time.Minute + 30*time.Second)
		// At least 30 seconds since the first failure; retries wait between half and all of 1, 2, 4, 8, ... seconds.
		if got := f.store.Calls().Fetch - before; got < 5 || got > 13 {
			f.Errorf("%d fetches, want the failed one and a few retries", got)
		}
		f.store.SetError(nil)
		time.Sleep(20 * time.Minute) // by now a retry succeeded
		before = f.store.Calls().Fetch
		time.Sleep(3 * time.Hour)
		if got := f.store.Calls().Fetch - before; got < 2 || got > 4 {
			f.Errorf("%d fetches in three hours after the outage, want one an hour", got)
		}
	})
}

func TestFailureOfOneKeysetDoesNotStopTheOthers(t *testing.T) {
	inBubble(t, keys.RingOptions{Keysets: []string{"ns/other"}}, func(f *fixture) {
		if err := f.store.Plant(f.Context(), "ns/other", []byte(`{"format":1`)); err != nil {
			f.Fatal(err)
		}
		f.add()
		next := f.promote()
		time.Sleep(67 * time.Second)
		f.wantPrimary(next)
		if _, _, err := f.ring.Primary("ns/other"); err != nil {
			f.Errorf("a malformed document took the good keys away: %v", err)
		}
		status := f.ring.Status()
		if len(status) != 2 || status[0].Error != "" || !strings.Contains(status[1].Error, "not valid JSON") {
			f.Errorf("status = %+v", status)
		}
		if err := f.ring.Refresh(f.Context()); err == nil || !strings.Contains(err.Error(), "ns/other") {
			f.Errorf("Refresh = %v, want the failure of ns/other", err)
		}
	})
}

func TestUnknownKeyIDIsFetchedOnceForAllWhoAsk(t *testing.T) {
	inBubble(t, keys.RingOptions{}, func(f *fixture) {
		id := f.add()
		before := f.store.Calls().Fetch
		var all sync.WaitGroup
		for range 64 {
			all.Go(func() {
				if _, err := f.ring.Lookup(name, uint32(id)); err != nil {
					f.Errorf("Lookup: %v", err)
				}
			})
		}
		all.Wait()
		if got := f.store.Calls().Fetch - before; got != 1 {
			f.Errorf("%d fetches for 64 lookups of one new key, want 1", got)
		}
	})
}

func TestFloodOfMadeUpKeyIDsIsOneFetchPerGapAndHoldsNobodyUp(t *testing.T) {
	inBubble(t, keys.RingOptions{Keysets: []string{"ns/other"}, RefreshInterval: time.Hour}, func(f *fixture) {
		before, start := f.store.Calls().Fetch, time.Now()
		for i := range 10_000 {
			f.wantRefused(name, keys.ID(rand.Uint32()|1), keys.ErrUnavailable, "retry")
			if i%2000 == 1999 {
				time.Sleep(time.Second)
			}
		}
		if got := f.store.Calls().Fetch - before; got != 5 {
			f.Errorf("%d fetches for a flood of five seconds, want 5", got)
		}
		if took := time.Since(start); took != 5*time.Second {
			f.Errorf("the flood took %s, want the 5 seconds it slept: nobody waits when a refresh answers or is not due", took)
		}
	})
}

func TestLookupWaitsForAHangingStoreOnlyOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, kek := new(keystest.Store), keystest.NewKEK(t)
		keystest.NewKeyset(t, store, kek, name, keys.AES256GCM)
		slow := &hanging{Store: store}
		ring, err := keys.NewRing(t.Context(), slow, kek, keys.RingOptions{Keysets: []string{name}})
		if err != nil {
			t.Fatal(err)
		}
		defer ring.Close()
		slow.hang(true)
		start := time.Now()
		for id := range uint32(100) {
			aead, err := ring.Lookup(name, id)
			checkError(t, aead, err, keys.ErrUnavailable)
		}
		if took := time.Since(start); took != 250*time.Millisecond {
			t.Errorf("100 lookups in a row took %s, want 250ms: workflow code has one second", took)
		}
		time.Sleep(10 * time.Second) // the refresh times out by itself
		if s := ring.Status()[0]; !strings.Contains(s.Error, "deadline") {
			t.Errorf("status = %+v, want a timeout", s)
		}
		slow.hang(false)
		time.Sleep(time.Second)
		if s := ring.Status()[0]; s.Error != "" {
			t.Errorf("status = %+v, want a recovery", s)
		}
	})
}

// hanging is a store that, while told so, answers only when the caller gives up.
type hanging struct {
	*keystest.Store
	mu      sync.Mutex
	hangs   bool
	waiting int
}

func (h *hanging) hang(yes bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.hangs = yes
}

func (h *hanging) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.waiting
}

func (h *hanging) Fetch(ctx context.Context, name string) (*keys.Keyset, keys.Version, error) {
	h.mu.Lock()
	hangs := h.hangs
	h.waiting++
	h.mu.Unlock()
	defer func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.waiting--
	}()
	if hangs {
		<-ctx.Done()
		return nil, "", ctx.Err()
	}
	return h.Store.Fetch(ctx, name)
}

func TestPromotionIsSeenAfterARefreshAndTheFormerPrimaryStillOpens(t *testing.T) {
	inBubble(t, keys.RingOptions{}, func(f *fixture) {
		first := firstID(f)
		next := f.add()
		f.refresh()
		f.wantPrimary(first)
		f.wantOpens(next)
		if got := f.promote(); got != next {
			f.Fatalf("promoted %s, want %s", got, next)
		}
		f.wantPrimary(first)
		f.refresh()
		f.wantPrimary(next)
		f.wantOpens(first)
	})
}

func TestDestroyedAndDisabledKeysStopOpeningAtTheNextRefresh(t *testing.T) {
	inBubble(t, keys.RingOptions{}, func(f *fixture) {
		destroyed, disabled := f.add(), f.add()
		f.refresh()
		f.wantOpens(destroyed)
		f.wantOpens(disabled)
		f.change(func(k *keys.Keyset) {
			d := k.Key(destroyed)
			d.State, d.Wrapped, d.Destroyed = keys.Destroyed, nil, time.Date(2026, 3, 4, 0, 0, 0, 0, time.UTC)
			k.Key(disabled).State = keys.Disabled
		})
		time.Sleep(66 * time.Second)
		before := f.store.Calls().Fetch
		f.wantRefused(name, destroyed, keys.ErrDestroyed, "destroyed on 2026-03-04")
		f.wantRefused(name, disabled, keys.ErrUnavailable, "disabled")
		if got := f.store.Calls().Fetch - before; got != 0 {
			f.Errorf("%d fetches for keys whose state is known, want 0", got)
		}
		f.change(func(k *keys.Keyset) { k.Key(disabled).State = keys.Retired })
		f.refresh()
		f.wantOpens(disabled)
	})
}

func TestKeyThatCannotBeUnwrappedHidesNeitherNewKeysNorADestruction(t *testing.T) {
	inBubble(t, keys.RingOptions{}, func(f *fixture) {
		first, doomed := firstID(f), f.add()
		f.refresh()
		bad, good := f.add(), f.add()
		f.change(func(k *keys.Keyset) {
			k.Key(first).State, k.Key(bad).State = keys.Retired, keys.Primary
			k.Key(bad).Wrapped = k.Key(good).Wrapped
			k.Key(doomed).State, k.Key(doomed).Wrapped = keys.Destroyed, nil
		})
		if err := f.ring.Refresh(f.Context()); err == nil || !strings.Contains(err.Error(), bad.String()) {
			f.Fatalf("Refresh = %v, want an error that names key %s", err, bad)
		}
		f.wantPrimary(first) // retired, but the only one that can seal
		f.wantOpens(good)
		f.wantRefused(name, doomed, keys.ErrDestroyed)
		f.wantRefused(name, bad, keys.ErrUnavailable, "could not be unwrapped")
		f.change(func(k *keys.Keyset) { k.Key(first).State = keys.Disabled })
		if err := f.ring.Refresh(f.Context()); err == nil {
			f.Fatal("Refresh succeeded with a bad key")
		}
		id, aead, err := f.ring.Primary(name)
		checkError(f.T, any(aead), err, keys.ErrUnavailable, "no primary", bad.String())
		if id != 0 {
			f.Errorf("Primary returned id %d beside the error", id)
		}
	})
}

func TestOutageOfTheKeyEncryptionKeyKeepsTheOldKeysAndIsRetried(t *testing.T) {
	inBubble(t, keys.RingOptions{}, func(f *fixture) {
		first := firstID(f)
		next := f.add()
		f.promote()
		f.kek.SetError(errors.New("transit is sealed"))
		if err := f.ring.Refresh(f.Context()); err == nil || !strings.Contains(err.Error(), "transit is sealed") {
			f.Fatalf("Refresh = %v, want the cause", err)
		}
		f.wantPrimary(first)
		f.kek.SetError(nil)
		f.refresh() // the version is the same, and yet the key is unwrapped now
		f.wantPrimary(next)
	})
}

func TestKeyThatVanishedIsDroppedLoudly(t *testing.T) {
	inBubble(t, keys.RingOptions{}, func(f *fixture) {
		id := f.add()
		f.refresh()
		f.change(func(k *keys.Keyset) { k.Keys = k.Keys[:1] })
		f.refresh()
		f.wantRefused(name, id, keys.ErrUnavailable, "not known here")
		if log := f.log.String(); !strings.Contains(log, "level=WARN") || !strings.Contains(log, "vanished") || !strings.Contains(log, id.String()) {
			f.Errorf("no warning names the key: %s", log)
		}
	})
}

// fetchFunc is a store that answers as told.
type fetchFunc func(ctx context.Context, name string) (*keys.Keyset, keys.Version, error)

func (f fetchFunc) Fetch(ctx context.Context, name string) (*keys.Keyset, keys.Version, error) {
	return f(ctx, name)
}

func TestDocumentIsReadOnlyAtANewVersionAndOnlyIfItIsTheRightOne(t *testing.T) {
	store, kek := new(keystest.Store), keystest.NewKEK(t)
	keystest.NewKeyset(t, store, kek, name, keys.AES256GCM)
	keystest.NewKeyset(t, store, kek, "ns/other", keys.AES256GCM)
	from, mark := name, keys.Version("")
	ring, err := keys.NewRing(t.Context(), fetchFunc(func(ctx context.Context, _ string) (*keys.Keyset, keys.Version, error) {
		k, v, err := store.Fetch(ctx, from)
		if mark != "" {
			v = mark
		}
		return k, v, err
	}), kek, keys.RingOptions{Keysets: []string{name}, RefreshInterval: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	defer ring.Close()
	before := ring.Status()[0]
	from, mark = "ns/other", before.Version
	if err := ring.Refresh(t.Context()); err != nil {
		t.Errorf("the document was looked at though its version is the same: %v", err)
	}
	mark = "new"
	if err := ring.Refresh(t.Context()); err == nil || !strings.Contains(err.Error(), `answered with keyset "ns/other"`) {
		t.Errorf("Refresh = %v, want the wrong document refused", err)
	}
	if after := ring.Status()[0]; after.Version != before.Version || after.Primary != before.Primary {
		t.Errorf("status = %+v, want the keys of %+v", after, before)
	}
}

func TestKeysetWithoutPrimarySaysSo(t *testing.T) {
	inBubble(t, keys.RingOptions{}, func(f *fixture) {
		f.change(func(k *keys.Keyset) { k.Keys[0].State = keys.Retired })
		f.refresh()
		_, aead, err := f.ring.Primary(name)
		checkError(f.T, any(aead), err, keys.ErrUnavailable, "no primary key", "signet keyset promote "+name)
		if s := f.ring.Status()[0]; s.Primary != 0 || s.Keys != 1 {
			f.Errorf("status = %+v", s)
		}
	})
}

func TestKeysetsThatWereNotNamedAreNeverFetched(t *testing.T) {
	inBubble(t, keys.RingOptions{}, func(f *fixture) {
		k := keystest.NewKeyset(f, f.store, f.kek, "ns/secret", keys.AES256GCM)
		before := f.store.Calls()
		aead, err := f.ring.Lookup("ns/secret", uint32(k.Primary().ID))
		checkError(f.T, aead, err, keys.ErrUnavailable, "ns/secret", "configuration")
		_, sealer, err := f.ring.Primary("ns/secret")
		checkError(f.T, any(sealer), err, keys.ErrUnavailable, "ns/secret")
		time.Sleep(50 * time.Second)
		if got := f.store.Calls(); got != before {
			f.Errorf("store calls %+v, want %+v", got, before)
		}
	})
}

func TestCloseStopsRefreshingWaitsAndLeavesTheKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, kek := new(keystest.Store), keystest.NewKEK(t)
		k := keystest.NewKeyset(t, store, kek, name, keys.AES256GCM)
		slow := &hanging{Store: store}
		ring, err := keys.NewRing(t.Context(), slow, kek, keys.RingOptions{Keysets: []string{name, name}})
		if err != nil {
			t.Fatal(err)
		}
		slow.hang(true)
		for slow.count() == 0 { // until a refresh hangs
			time.Sleep(time.Second)
		}
		for range 2 {
			if err := ring.Close(); err != nil {
				t.Fatalf("Close: %v", err)
			}
			if slow.waiting != 0 { // without the lock: the race detector sees a Close that does not wait
				t.Fatalf("%d fetches are still running after Close", slow.waiting)
			}
		}
		if got := ring.Status(); len(got) != 1 || got[0].Error != "" {
			t.Errorf("status = %+v, want one keyset, and no complaint about having been stopped", got)
		}
		calls, start := store.Calls(), time.Now()
		if id, _, err := ring.Primary(name); err != nil || keys.ID(id) != k.Primary().ID {
			t.Errorf("Primary after Close = %d, %v", id, err)
		}
		aead, err := ring.Lookup(name, uint32(k.Primary().ID)+1)
		checkError(t, aead, err, keys.ErrUnavailable)
		if time.Since(start) != 0 {
			t.Errorf("a lookup after Close waited %s for nobody", time.Since(start))
		}
		if err := ring.Refresh(t.Context()); err == nil {
			t.Error("Refresh after Close: no error")
		}
		time.Sleep(time.Hour)
		if got := store.Calls(); got != calls {
			t.Errorf("store calls after Close: %+v, want %+v", got, calls)
		}
	})
}

func TestNewRingFailsAtOnceForAMissingKeyset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, kek := new(keystest.Store), keystest.NewKEK(t)
		keystest.NewKeyset(t, store, kek, name, keys.AES256GCM)
		start := time.Now()
		ring, err := keys.NewRing(t.Context(), store, kek, keys.RingOptions{Keysets: []string{name, "ns/other"}})
		want := `keyset "ns/other" not found: create it with "signet keyset create ns/other"`
		if ring != nil || !errors.Is(err, keys.ErrNotFound) || err.Error() != want {
			t.Errorf("NewRing = %v, %v, want %s", ring, err, want)
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("it took %s", took)
		}
	})
}

// misconfigured is what a store says of a mount that is not there.
type misconfigured struct{ error }

func (misconfigured) Misconfigured() bool { return true }

func TestNewRingFailsAtOnceForAMisconfiguredStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, began := new(keystest.Store), time.Now()
		store.SetError(misconfigured{errors.New("no engine at secrt")})
		_, err := keys.NewRing(t.Context(), store, keystest.NewKEK(t), keys.RingOptions{Keysets: []string{name}})
		if err == nil || !strings.Contains(err.Error(), "no engine at secrt") || !strings.Contains(err.Error(), name) || time.Since(began) > 0 {
			t.Errorf("after %s: %v; want the store's error at once", time.Since(began), err)
		}
	})
}

func TestNewRingOutlastsAShortOutageAndNamesALongOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, kek := new(keystest.Store), keystest.NewKEK(t)
		keystest.NewKeyset(t, store, kek, name, keys.AES256GCM)
		sealed := errors.New("vault is sealed: unseal it")
		o := keys.RingOptions{Keysets: []string{name}}

		kek.SetError(sealed)
		time.AfterFunc(10*time.Second, func() { kek.SetError(nil) })
		ring, err := keys.NewRing(t.Context(), store, kek, o)
		if err != nil {
			t.Fatalf("NewRing during a short outage: %v", err)
		}
		ring.Close()

		store.SetError(sealed)
		start := time.Now()
		ring, err = keys.NewRing(t.Context(), store, kek, o)
		if ring != nil || !errors.Is(err, sealed) || !strings.Contains(err.Error(), name) {
			t.Errorf("NewRing = %v, %v, want the cause and the keyset", ring, err)
		}
		if took := time.Since(start); took != 30*time.Second {
			t.Errorf("without a deadline it gave up after %s, want 30s", took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		start = time.Now()
		if _, err = keys.NewRing(ctx, store, kek, o); !errors.Is(err, sealed) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("NewRing = %v, want the cause and the deadline", err)
		}
		if took := time.Since(start); took != 3*time.Second {
			t.Errorf("with a deadline of 3s it gave up after %s", took)
		}
	})
}

func TestNewRingRefusesOptionsThatCannotWork(t *testing.T) {
	store, kek := new(keystest.Store), keystest.NewKEK(t)
	named := []string{name}
	for _, test := range []struct {
		o    keys.RingOptions
		want string
	}{
		{keys.RingOptions{}, "name at least one"},
		{keys.RingOptions{Keysets: []string{"../x"}}, `"../x"`},
		{keys.RingOptions{Keysets: named, KeyWait: 501 * time.Millisecond}, "at most 500ms"},
		{keys.RingOptions{Keysets: named, KeyWait: -1}, "negative"},
		{keys.RingOptions{Keysets: named, RefreshInterval: -1}, "negative"},
		{keys.RingOptions{Keysets: named, MinRefreshGap: -1}, "negative"},
	} {
		ring, err := keys.NewRing(t.Context(), store, kek, test.o)
		if ring != nil || err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("NewRing(%+v) = %v, %v, want an error that says %q", test.o, ring, err, test.want)
		}
	}
	o := keys.RingOptions{Keysets: named}
	if _, err := keys.NewRing(t.Context(), nil, kek, o); err == nil {
		t.Error("NewRing without a store: no error")
	}
	if _, err := keys.NewRing(t.Context(), store, nil, o); err == nil {
		t.Error("NewRing without a key-encryption key: no error")
	}
}

// In real time and with real parallelism, for the race detector.
func TestRingIsSafeWhileEverythingHappens(t *testing.T) {
	store, kek := new(keystest.Store), keystest.NewKEK(t)
	keystest.NewKeyset(t, store, kek, name, keys.AES256GCM)
	ring, err := keys.NewRing(t.Context(), store, kek, keys.RingOptions{
		Keysets: []string{name}, RefreshInterval: time.Millisecond, KeyWait: time.Millisecond, MinRefreshGap: time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := sealAndOpen(ring); err != nil {
					t.Error(err)
					return
				}
				_, _ = ring.Lookup(name, rand.Uint32())
				_ = ring.Status()
			}
		})
	}
	for range 20 {
		if _, err := rotate.Add(t.Context(), store, kek, name); err != nil {
			t.Fatal(err)
		}
		if _, err := rotate.Promote(t.Context(), store, name, rotate.PromoteOptions{Force: true}); err != nil {
			t.Fatal(err)
		}
		if err := ring.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	_ = ring.Close()
	close(stop)
	all.Wait()
}

func sealAndOpen(ring *keys.Ring) error {
	id, sealer, err := ring.Primary(name)
	if err != nil {
		return err
	}
	sealed, err := sealer.Encrypt([]byte("hello"), []byte(name))
	if err != nil {
		return err
	}
	opener, err := ring.Lookup(name, id)
	if err != nil {
		return err
	}
	if got, err := opener.Decrypt(sealed, []byte(name)); err != nil || string(got) != "hello" {
		return fmt.Errorf("opened %q, %w", got, err)
	}
	return nil
}
