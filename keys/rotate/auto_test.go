package rotate_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/signet-temporal/signet/keys"
	"github.com/signet-temporal/signet/keys/keystest"
	"github.com/signet-temporal/signet/keys/rotate"
)

func auto(ctx context.Context, store rotate.Store, kek keys.Wrapper) (rotate.Result, error) {
	fresh := rotate.Generated(ctx, kek)
	return rotate.Change(ctx, store, name, func(k *keys.Keyset) (*keys.Keyset, error) { return rotate.PlanAuto(k, fresh, time.Now()) })
}

func TestAPolicyRotatesAndNeverDestroys(t *testing.T) {
	const every, delay = 30 * 24 * time.Hour, 5 * time.Minute
	synctest.Test(t, func(t *testing.T) {
		store, kek := new(keystest.Store), keystest.NewKEK(t)
		first, err := rotate.Create(t.Context(), store, kek, name, rotate.Options{RotateEvery: every})
		if err != nil {
			t.Fatal(err)
		}
		step := func() rotate.Result {
			t.Helper()
			r, err := auto(t.Context(), store, encryptOnly{kek})
			if err != nil {
				t.Fatal(err)
			}
			return r
		}
		time.Sleep(every - time.Nanosecond)
		if r := step(); r.Changed() {
			t.Fatalf("before the primary key is old enough: %+v", r.Steps())
		}
		time.Sleep(time.Nanosecond)
		r := step()
		waiting := rotate.Pending(r.After)
		if len(waiting) != 1 || r.After.Primary().ID != first {
			t.Fatalf("when the key is due: %+v, want one pending key", r.Steps())
		}
		if due, ok := rotate.NextDue(r.After); !ok || due.Promote != waiting[0] || !due.At.Equal(time.Now().Add(delay)) {
			t.Errorf("due next: %+v, %t", due, ok)
		}
		time.Sleep(delay - time.Nanosecond)
		if r := step(); r.Changed() {
			t.Fatalf("before the propagation delay has passed: %+v", r.Steps())
		}
		time.Sleep(time.Nanosecond)
		r = step()
		if r.After.Primary().ID != waiting[0] || r.After.Key(first).State != keys.Retired {
			t.Fatalf("after the delay: %+v, want the new key primary and the first retired", r.Steps())
		}
		for range 50 {
			time.Sleep(every)
			step()
			time.Sleep(delay)
			step()
		}
		states := map[keys.State]int{}
		for _, key := range fetch(t, store).Keys {
			states[key.State]++
		}
		if states[keys.Primary] != 1 || states[keys.Retired] != 51 || len(states) != 2 {
			t.Errorf("after 51 periods: %v, want one primary and 51 retired keys", states)
		}
	})
}

func TestWithoutAPeriodNothingIsEverDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, kek := new(keystest.Store), keystest.NewKEK(t)
		keystest.NewKeyset(t, store, kek, name, keys.AES256GCM)
		if _, err := rotate.Add(t.Context(), store, kek, name); err != nil {
			t.Fatal(err)
		}
		time.Sleep(1000 * time.Hour)
		if r, err := auto(t.Context(), store, kek); err != nil || r.Changed() {
			t.Errorf("%+v, %v, want nothing changed: people finish what they began", r.Steps(), err)
		}
	})
}

// TestTwoRotatorsAtOnceNeverLoseOrDoubleAKey lets two machines follow one policy for 100 rounds, at the same moments.
func TestTwoRotatorsAtOnceNeverLoseOrDoubleAKey(t *testing.T) {
	const rounds, every, delay = 100, time.Hour, 5 * time.Minute
	synctest.Test(t, func(t *testing.T) {
		store, kek := new(keystest.Store), keystest.NewKEK(t)
		if _, err := rotate.Create(t.Context(), store, kek, name, rotate.Options{RotateEvery: every}); err != nil {
			t.Fatal(err)
		}
		known := map[keys.ID]bool{}
		for _, key := range fetch(t, store).Keys {
			known[key.ID] = true
		}
		met := &meeting{Store: store}
		both := func() {
			met.arrived = 0
			var machines sync.WaitGroup
			for range 2 {
				machines.Go(func() {
					if _, err := auto(t.Context(), met, encryptOnly{kek}); err != nil {
						t.Error(err)
					}
				})
			}
			machines.Wait()
		}
		for round := range rounds {
			time.Sleep(every)
			both()
			k := fetch(t, store)
			if len(k.Keys) != len(known)+1 || len(rotate.Pending(k)) != 1 {
				t.Fatalf("round %d: %d keys, %d of them pending, want one more than %d and that pending", round, len(k.Keys), len(rotate.Pending(k)), len(known))
			}
			for id := range known {
				if k.Key(id) == nil {
					t.Fatalf("round %d: key %s is lost", round, id)
				}
			}
			added := rotate.Pending(k)[0]
			known[added] = true
			time.Sleep(delay)
			both()
			if k := fetch(t, store); k.Primary().ID != added || len(rotate.Pending(k)) != 0 || len(k.Keys) != len(known) {
				t.Fatalf("round %d: primary %s of %d keys, want %s of %d", round, k.Primary().ID, len(k.Keys), added, len(known))
			}
		}
		if met.conflicts < rounds {
			t.Errorf("%d conflicts in %d rounds: the rotators did not meet", met.conflicts, rounds)
		}
	})
}

// meeting is a store that lets nobody fetch before both rotators have come, so that they plan from the same document.
type meeting struct {
	*keystest.Store
	mu                 sync.Mutex
	arrived, conflicts int
}

func (m *meeting) Fetch(ctx context.Context, name string) (*keys.Keyset, keys.Version, error) {
	k, v, err := m.Store.Fetch(ctx, name)
	m.mu.Lock()
	m.arrived++
	m.mu.Unlock()
	time.Sleep(time.Millisecond) // in the bubble both sleep until both have fetched
	return k, v, err
}

func (m *meeting) Replace(ctx context.Context, k *keys.Keyset, old keys.Version) (keys.Version, error) {
	v, err := m.Store.Replace(ctx, k, old)
	if err != nil {
		m.mu.Lock()
		m.conflicts++
		m.mu.Unlock()
	}
	return v, err
}

func TestACompromisedPrimaryIsReplacedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, kek := new(keystest.Store), keystest.NewKEK(t)
		first := keystest.NewKeyset(t, store, kek, name, keys.XAES256GCM).Primary().ID
		replace := func(id keys.ID) rotate.Result {
			t.Helper()
			fresh := rotate.Generated(t.Context(), encryptOnly{kek})
			r, err := rotate.Change(t.Context(), store, name, func(k *keys.Keyset) (*keys.Keyset, error) { return rotate.PlanCompromised(k, id, fresh, time.Now()) })
			if err != nil {
				t.Fatal(err)
			}
			return r
		}
		r := replace(first)
		second := r.After.Primary().ID
		if key := r.After.Key(first); second == first || key.State != keys.Retired || !key.Compromised.Equal(time.Now()) || len(r.After.Keys) != 2 {
			t.Fatalf("%+v, want a new primary key and the first retired and marked", r.After)
		}
		time.Sleep(time.Hour)
		if r := replace(first); r.Changed() {
			t.Errorf("once more: %+v, want nothing changed", r.Steps())
		}
		// A pending key, which readers may have already, is better than a new one.
		pending, err := rotate.Add(t.Context(), store, kek, name)
		if err != nil {
			t.Fatal(err)
		}
		if r := replace(second); r.After.Primary().ID != pending || len(r.After.Keys) != 3 {
			t.Errorf("%+v, want the pending key primary", r.After)
		}
		// A compromised pending key never seals.
		doomed, err := rotate.Add(t.Context(), store, kek, name)
		if err != nil {
			t.Fatal(err)
		}
		if r := replace(doomed); r.After.Primary().ID != pending || r.After.Key(doomed).State != keys.Retired {
			t.Errorf("%+v, want it retired and the primary as before", r.After)
		}
	})
}
