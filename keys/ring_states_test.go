package keys_test

import (
	"strings"
	"testing"
	"time"

	"github.com/signet-temporal/signet/keys"
	"github.com/signet-temporal/signet/keys/rotate"
)

// step takes one step of a custodian and has the ring notice it.
func (f *fixture) step(plan rotate.Plan) {
	f.Helper()
	if _, err := rotate.Change(f.Context(), f.store, name, plan); err != nil {
		f.Fatal(err)
	}
	f.refresh()
}

func TestTheRingFollowsAKeyThroughItsWholeLife(t *testing.T) {
	inBubble(t, keys.RingOptions{}, func(f *fixture) {
		first := firstID(f)
		sealer, err := f.ring.Lookup(name, uint32(first))
		if err != nil {
			f.Fatal(err)
		}
		sealed, err := sealer.Encrypt([]byte("hello"), nil)
		if err != nil {
			f.Fatal(err)
		}
		opens := func(while string) {
			f.Helper()
			opener, err := f.ring.Lookup(name, uint32(first))
			if err != nil {
				f.Fatalf("%s: %v", while, err)
			}
			if text, err := opener.Decrypt(sealed, nil); err != nil || string(text) != "hello" {
				f.Fatalf("%s: %q, %v", while, text, err)
			}
		}
		second := f.add()
		f.refresh()
		f.wantPrimary(first) // pending does not seal
		f.wantOpens(second)  // and opens
		f.promote()
		f.refresh()
		f.wantPrimary(second)
		opens("retired")
		f.step(func(k *keys.Keyset) (*keys.Keyset, error) { return rotate.PlanDisable(k, first, true, time.Now()) })
		f.wantRefused(name, first, keys.ErrUnavailable, "is disabled: enable it again")
		f.step(func(k *keys.Keyset) (*keys.Keyset, error) {
			return rotate.PlanScheduleDestroy(k, first, rotate.DestroyOptions{Evidence: rotate.Evidence{AllowKeyInUse: true}}, time.Now())
		})
		f.wantRefused(name, first, keys.ErrUnavailable, "is disabled: enable it again") // it still can be
		f.step(func(k *keys.Keyset) (*keys.Keyset, error) { return rotate.PlanEnable(k, first, time.Now()) })
		opens("enabled again")
		f.wantPrimary(second) // enabling never seals
		f.step(func(k *keys.Keyset) (*keys.Keyset, error) {
			return rotate.PlanCompromised(k, first, rotate.Pretended, time.Now())
		})
		opens("compromised")
		f.step(func(k *keys.Keyset) (*keys.Keyset, error) { return rotate.PlanDisable(k, first, true, time.Now()) })
		f.step(func(k *keys.Keyset) (*keys.Keyset, error) {
			return rotate.PlanScheduleDestroy(k, first, rotate.DestroyOptions{Evidence: rotate.Evidence{AllowKeyInUse: true}}, time.Now())
		})
		time.Sleep(rotate.DefaultWait)
		if _, err := rotate.Destroy(f.Context(), f.store, name, first, rotate.Evidence{AllowKeyInUse: true}); err != nil {
			f.Fatal(err)
		}
		f.refresh()
		f.wantRefused(name, first, keys.ErrDestroyed, "was destroyed", "never be opened again")
		f.wantPrimary(second)
	})
}

func TestACompromisedKeyIsNotWhatTheRingFallsBackTo(t *testing.T) {
	inBubble(t, keys.RingOptions{}, func(f *fixture) {
		first, bad, good := firstID(f), f.add(), f.add()
		f.change(func(k *keys.Keyset) {
			k.Key(first).State, k.Key(bad).State = keys.Retired, keys.Primary
			k.Key(bad).Wrapped = k.Key(good).Wrapped // it does not open here
		})
		if err := f.ring.Refresh(f.Context()); err == nil {
			f.Fatal("Refresh succeeded with a bad key")
		}
		f.wantPrimary(first) // while nothing is known against it
		f.change(func(k *keys.Keyset) { k.Key(first).Compromised = time.Now() })
		if err := f.ring.Refresh(f.Context()); err == nil {
			f.Fatal("Refresh succeeded with a bad key")
		}
		if id, _, err := f.ring.Primary(name); err == nil || !strings.Contains(err.Error(), "no primary key") {
			f.Errorf("Primary = %s, %v, want none: sealing with a compromised key is worse than not sealing", keys.ID(id), err)
		}
		f.wantOpens(first)
	})
}

func TestTheRingUnwrapsAKeyThatWasRewrapped(t *testing.T) {
	inBubble(t, keys.RingOptions{}, func(f *fixture) {
		first := firstID(f)
		f.kek.Rotate(f.T)
		r, err := rotate.Rewrap(f.Context(), f.store, f.kek, name)
		if err != nil || len(r.Steps()) != 1 {
			f.Fatalf("Rewrap = %+v, %v", r, err)
		}
		f.kek.SetOldest(2)
		before := f.kek.Unwraps()
		f.refresh()
		f.wantPrimary(first)
		if got := f.kek.Unwraps() - before; got != 1 {
			f.Errorf("%d keys were unwrapped, want 1", got)
		}
	})
}
