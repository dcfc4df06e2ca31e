package rotate_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/signet-temporal/signet/keys"
	"github.com/signet-temporal/signet/keys/rotate"
)

func TestRewrapBringsEveryKeyUnderTheNewestVersionAndOpensNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, c := stage(t) // the KEK was rotated there
		before := fetch(t, p.Store)
		if lagging := rotate.Lagging(before, p, 2); len(lagging) != len(before.Keys) {
			t.Fatalf("%d of %d keys lag", len(lagging), len(before.Keys))
		}
		preview, err := rotate.PreviewRewrap(t.Context(), p, p, name)
		if err != nil || len(preview.Steps()) != len(before.Keys) {
			t.Errorf("preview: %d steps, %v, want %d", len(preview.Steps()), err, len(before.Keys))
		}
		if lagging := rotate.Lagging(fetch(t, p.Store), p, 2); len(lagging) != len(before.Keys) {
			t.Fatal("the preview changed something")
		}
		unwraps := p.kek.Unwraps()
		r, err := rotate.Rewrap(t.Context(), p, p, name)
		if err != nil || len(r.Steps()) != len(before.Keys) {
			t.Fatalf("Rewrap: %d steps, %v", len(r.Steps()), err)
		}
		if p.kek.Unwraps() != unwraps {
			t.Error("a key was opened")
		}
		p.kek.SetOldest(2)
		after := fetch(t, p.Store)
		for _, key := range after.Keys {
			if was := before.Key(key.ID); was.State != key.State || !key.Rewrapped.Equal(time.Now()) {
				t.Errorf("key %s: %s since %s, want it %s and rewrapped now", key.ID, key.State, key.Rewrapped, was.State)
			}
			if _, err := keys.Unwrap(t.Context(), p.kek, name, key.ID, key.Wrapped); err != nil {
				t.Errorf("key %s does not open: %v", key.ID, err)
			}
		}
		if r, err := rotate.Rewrap(t.Context(), p, p, name); err != nil || r.Changed() {
			t.Errorf("once more: %+v, %v, want nothing changed", r.Steps(), err)
		}
		// A destroyed key has nothing to wrap.
		if _, err := rotate.Destroy(t.Context(), p, name, c.scheduled, word); err != nil {
			t.Fatal(err)
		}
		p.kek.Rotate(t)
		if r, err := rotate.Rewrap(t.Context(), p, p, name); err != nil || len(r.Steps()) != len(before.Keys)-1 {
			t.Errorf("%d steps, %v, want %d", len(r.Steps()), err, len(before.Keys)-1)
		}
	})
}

func TestAKeyThatCannotBeRewrappedLeavesTheKeysetAsItWas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := stage(t)
		sealed := errors.New("vault is sealed")
		p.kek.SetError(sealed)
		before := p.Calls().Replace
		_, err := rotate.Rewrap(t.Context(), p, p, name)
		wantError(t, err, sealed)
		if got := p.Calls().Replace - before; got != 0 {
			t.Errorf("%d writes, want none", got)
		}
	})
}
