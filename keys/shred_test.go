package keys_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/signet-temporal/signet/keys"
	"github.com/signet-temporal/signet/keys/keystest"
	"github.com/signet-temporal/signet/keys/rotate"
)

var nobodyAsked = rotate.ShredEvidence{AllowOpenWorkflows: true}

// shredStep takes one step of a shredding and has the ring notice it.
func (f *fixture) shredStep(plan rotate.Plan) {
	f.Helper()
	if _, err := rotate.ChangeShred(f.Context(), f.store, name, plan); err != nil {
		f.Fatal(err)
	}
	f.refresh()
}

func (f *fixture) wantIdle(id keys.ID, class error, texts ...string) {
	f.Helper()
	for _, one := range []keys.ID{id, id + 1} { // whatever key it is
		aead, err := f.ring.Lookup(name, uint32(one))
		checkError(f.T, aead, err, class, append(texts, name)...)
	}
	_, aead, err := f.ring.Primary(name)
	checkError(f.T, aead, err, class, append(texts, name)...)
}

func TestAKeysetThatIsToBeShreddedIsIdleUntilThatIsCalledOff(t *testing.T) {
	inBubble(t, keys.RingOptions{}, func(f *fixture) {
		first := firstID(f)
		f.shredStep(func(k *keys.Keyset) (*keys.Keyset, error) {
			return rotate.PlanScheduleShred(k, time.Hour, nobodyAsked, time.Now())
		})
		f.wantIdle(first, keys.ErrToBeShredded, "is to be shredded from", "neither seals nor opens", `"signet shred `+name+` --cancel"`)
		f.wantIdle(first, keys.ErrUnavailable)
		f.wantLines(1, "keyset is to be shredded")
		f.refresh()
		f.wantLines(1, "keyset is to be shredded")
		f.wantLines(0, "no primary key here")
		f.shredStep(rotate.PlanCancelShred)
		f.wantPrimary(first)
		f.wantOpens(first)
		f.wantLines(1, "not to be shredded any more")
	})
}

func TestAShreddedKeysetSaysSoForGood(t *testing.T) {
	inBubble(t, keys.RingOptions{}, func(f *fixture) {
		first := firstID(f)
		live, _, err := f.store.Fetch(f.Context(), name)
		if err != nil {
			f.Fatal(err)
		}
		f.shredStep(func(k *keys.Keyset) (*keys.Keyset, error) {
			return rotate.PlanScheduleShred(k, time.Hour, nobodyAsked, time.Now())
		})
		time.Sleep(time.Hour)
		if _, err := rotate.Shred(f.Context(), f.store, f.kek, name, nobodyAsked); err != nil {
			f.Fatal(err)
		}
		f.refresh()
		f.wantIdle(first, keys.ErrShredded, "was shredded on "+time.Now().UTC().Format(time.DateOnly), "never be opened again")
		f.wantIdle(first, keys.ErrDestroyed)
		_, err = f.ring.Lookup(name, uint32(first))
		var permanent interface{ Permanent() bool }
		if !errors.As(err, &permanent) || !permanent.Permanent() {
			f.Errorf("%v is not permanent", err)
		}
		f.wantLines(1, "keyset was shredded")
		// Nothing comes back unseen.
		_, version, err := f.store.Fetch(f.Context(), name)
		if err == nil {
			_, err = f.store.Replace(f.Context(), live, version)
		}
		if err != nil {
			f.Fatal(err)
		}
		f.refresh()
		f.wantLines(1, "a shredded keyset came back")
	})
}

func TestAShreddedKeysetHoldsUpNoOther(t *testing.T) {
	store, kek := new(keystest.Store), keystest.NewKEK(t)
	for _, n := range []string{"ns/a", "ns/b"} {
		keystest.NewKeyset(t, store, kek, n, keys.XAES256GCM)
	}
	k, version, err := store.Fetch(t.Context(), "ns/a")
	if err != nil {
		t.Fatal(err)
	}
	k.ShredAfter = time.Now().Add(-time.Hour)
	if k, err = rotate.PlanShred(k, nobodyAsked, time.Now()); err == nil {
		_, err = store.Replace(t.Context(), k, version)
	}
	if err != nil {
		t.Fatal(err)
	}
	ring, err := keys.NewRing(t.Context(), store, kek, keys.RingOptions{Keysets: []string{"ns/a", "ns/b"}})
	if err != nil {
		t.Fatalf("a process does not start beside a shredded keyset: %v", err)
	}
	defer ring.Close()
	if err := ring.Refresh(t.Context()); err != nil {
		t.Errorf("refreshing: %v", err)
	}
	if _, _, err := ring.Primary("ns/b"); err != nil {
		t.Error(err)
	}
	if _, _, err := ring.Primary("ns/a"); !errors.Is(err, keys.ErrShredded) {
		t.Errorf("the shredded keyset: %v", err)
	}
	if kek.Unwraps() != 1 {
		t.Errorf("%d keys were unwrapped, want that of the other keyset", kek.Unwraps())
	}
}

func TestAShreddedDocumentWithAKeyIsRefused(t *testing.T) {
	store, kek := new(keystest.Store), keystest.NewKEK(t)
	k := keystest.NewKeyset(t, store, kek, "ns/a", keys.XAES256GCM)
	k.Shredded = time.Now()
	if err := k.Check(); err == nil || !strings.Contains(err.Error(), "it is shredded but key") {
		t.Errorf("with a key: %v", err)
	}
	k.Keys, k.ShredAfter = nil, time.Now()
	if err := k.Check(); err == nil || !strings.Contains(err.Error(), "it is shredded and to be shredded") {
		t.Errorf("with a date: %v", err)
	}
}
