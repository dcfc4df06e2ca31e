package login

import (
	"testing"
	"time"

	"github.com/signet-temporal/signet/keys"
	"github.com/signet-temporal/signet/keys/rotate"
)

func TestASessionOutlivesARotationAndEndsWithItsKey(t *testing.T) {
	w := newWorld(t)
	ring := w.newRing(t)
	l, v := w.replica(t, func(o *Options) { o.Keys = ring }), newVisitor(t)
	v.logIn(w.provider, l)
	first, _, err := ring.Primary(keyset)
	if err != nil {
		t.Fatal(err)
	}
	change := func(plan rotate.Plan) {
		t.Helper()
		if _, err := rotate.Change(t.Context(), w.store, keyset, plan); err != nil {
			t.Fatal(err)
		}
		if err := ring.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := rotate.Add(t.Context(), w.store, w.kek, keyset); err != nil {
		t.Fatal(err)
	}
	later := time.Now().Add(time.Hour)
	change(func(k *keys.Keyset) (*keys.Keyset, error) {
		return rotate.PlanPromote(k, rotate.PromoteOptions{}, later)
	})
	if now, _, err := ring.Primary(keyset); err != nil || now == first {
		t.Fatalf("nothing was rotated: %v", err)
	}
	if _, err := l.Authenticate(v.asks(nil)); err != nil {
		t.Errorf("after a rotation: %v", err)
	}
	change(func(k *keys.Keyset) (*keys.Keyset, error) { return rotate.PlanDisable(k, keys.ID(first), true, later) })
	wantReason(t, l, v.asks(nil), "malformed-session")
	v.logIn(w.provider, l)
	if _, err := l.Authenticate(v.asks(nil)); err != nil {
		t.Errorf("a login after that: %v", err)
	}
}
