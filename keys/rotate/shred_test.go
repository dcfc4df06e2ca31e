package rotate_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/signet-temporal/signet/keys"
	"github.com/signet-temporal/signet/keys/keystest"
	"github.com/signet-temporal/signet/keys/rotate"
)

// own is a KEK that wraps the keys of each keyset by one of its own, and remembers what it was asked for.
type own struct {
	*keystest.KEK
	there map[string]bool
	asked []string
	deny  string // the call that is refused
}

func (o *own) call(what, keyset string) error {
	o.asked = append(o.asked, what)
	if o.deny == what {
		return fmt.Errorf("denied permission to %s", what)
	}
	return nil
}

func (o *own) OwnKEK(keyset string) string { return "own-" + strings.ReplaceAll(keyset, "/", "-") }
func (o *own) PrepareKEK(_ context.Context, keyset string) error {
	if err := o.call("prepare", keyset); err != nil {
		return err
	}
	o.there[keyset] = true
	return nil
}

func (o *own) ReleaseKEK(_ context.Context, keyset string) (bool, error) {
	return o.there[keyset], o.call("release", keyset)
}

func (o *own) RemoveKEK(_ context.Context, keyset string) error {
	if err := o.call("remove", keyset); err != nil {
		return err
	}
	o.there[keyset] = false
	return nil
}

func (o *own) OwnVersions(ctx context.Context, _ string) (int, int, error) { return o.Versions(ctx) }

var anyway = rotate.ShredEvidence{AllowOpenWorkflows: true}

// doomed is a keyset with two keys whose waiting period is over.
func doomed(t *testing.T) (*keystest.Store, *own) {
	t.Helper()
	store, kek := new(keystest.Store), &own{KEK: keystest.NewKEK(t), there: map[string]bool{}}
	_, err := rotate.Create(t.Context(), store, kek, name, rotate.Options{})
	if err == nil {
		_, err = rotate.Add(t.Context(), store, kek, name)
	}
	if err == nil {
		_, err = rotate.ChangeShred(t.Context(), store, name, func(k *keys.Keyset) (*keys.Keyset, error) {
			return rotate.PlanScheduleShred(k, time.Hour, anyway, time.Now())
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Hour)
	kek.asked = nil
	return store, kek
}

func TestAKeysetIsShreddedInTwoStepsThatAskForEvidence(t *testing.T) {
	now := time.Date(2027, 3, 1, 10, 0, 0, 0, time.UTC)
	k, err := rotate.PlanNew(name, rotate.Options{PropagationDelay: 5 * time.Minute}, rotate.Pretended, now)
	if err != nil {
		t.Fatal(err)
	}
	refused := func(what string, _ *keys.Keyset, err error, class error, text string) {
		t.Helper()
		if !errors.Is(err, class) || !strings.Contains(err.Error(), text) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want %v with %q", what, err, class, text)
		}
	}
	none := rotate.ShredEvidence{}
	next, err := rotate.PlanScheduleShred(k, 0, none, now)
	refused("without evidence", next, err, rotate.ErrRefused, "name every namespace")
	next, err = rotate.PlanScheduleShred(k, time.Minute, anyway, now)
	refused("a short wait", next, err, rotate.ErrRefused, "wait at least as long")
	next, err = rotate.PlanShred(k, anyway, now)
	refused("not scheduled", next, err, rotate.ErrRefused, `schedule it with "signet shred ns/payments --schedule"`)
	if next, err = rotate.PlanCancelShred(k); next != k || err != nil {
		t.Errorf("calling nothing off: %v, %v", next, err)
	}

	scheduled, err := rotate.PlanScheduleShred(k, 0, rotate.ShredEvidence{NoneOpenAt: now}, now)
	if err != nil || !scheduled.ShredAfter.Equal(now.Add(rotate.DefaultWait)) || !k.ShredAfter.IsZero() {
		t.Fatalf("scheduling: %+v, %v", scheduled, err)
	}
	if again, err := rotate.PlanScheduleShred(scheduled, time.Hour, none, now); again != scheduled || err != nil {
		t.Errorf("scheduling again: %v, %v", again, err)
	}
	next, err = rotate.PlanShred(scheduled, anyway, now.Add(rotate.DefaultWait-time.Second))
	refused("too early", next, err, rotate.ErrTooEarly, "--cancel")
	next, err = rotate.PlanShred(scheduled, none, now.Add(rotate.DefaultWait))
	refused("without evidence", next, err, rotate.ErrRefused, "name every namespace")
	called, err := rotate.PlanCancelShred(scheduled)
	if err != nil || called.Idle() || len(called.Keys) != 1 || called.Primary() == nil {
		t.Errorf("calling it off: %+v, %v", called, err)
	}

	gone, err := rotate.PlanShred(scheduled, anyway, now.Add(rotate.DefaultWait))
	if err != nil || gone.Shredded.IsZero() || !gone.ShredAfter.IsZero() || len(gone.Keys) != 1 || gone.Keys[0].State != keys.Destroyed || len(gone.Keys[0].Wrapped) > 0 || len(k.Keys[0].Wrapped) == 0 {
		t.Fatalf("shredding: %+v, %v", gone, err)
	}
	for what, plan := range map[string]rotate.Plan{
		"shredding":  func(k *keys.Keyset) (*keys.Keyset, error) { return rotate.PlanShred(k, none, now) },
		"scheduling": func(k *keys.Keyset) (*keys.Keyset, error) { return rotate.PlanScheduleShred(k, 0, none, now) },
	} {
		if again, err := plan(gone); again != gone || err != nil {
			t.Errorf("%s again: %v, %v", what, again, err)
		}
	}
	next, err = rotate.PlanCancelShred(gone)
	refused("calling off what is done", next, err, rotate.ErrShredded, "its name stays taken")

	var said []string
	for _, pair := range [][2]*keys.Keyset{{k, scheduled}, {scheduled, called}, {scheduled, gone}} {
		for _, step := range rotate.Steps(pair[0], pair[1]) {
			said = append(said, step.Does)
		}
	}
	for i, want := range []string{"may be shredded from 2027-03-08T10:00:00Z on", "will not be shredded", "is shredded", "loses its material"} {
		if i >= len(said) || !strings.Contains(said[i], want) {
			t.Fatalf("the steps say %q, want %q there", said, want)
		}
	}
}

func TestNothingElseIsDoneToAKeysetThatIsToBeShreddedOrWas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, kek := doomed(t)
		for _, class := range []error{rotate.ErrToBeShredded, rotate.ErrShredded} {
			_, add := rotate.Add(t.Context(), store, kek, name)
			_, promote := rotate.Promote(t.Context(), store, name, rotate.PromoteOptions{Force: true})
			_, rewrap := rotate.Rewrap(t.Context(), store, kek, name)
			_, create := rotate.Create(t.Context(), store, kek, name, rotate.Options{})
			_, shared := rotate.Create(t.Context(), store, kek.KEK, name, rotate.Options{})
			for what, err := range map[string]error{"add": add, "promote": promote, "rewrap": rewrap, "create": create, "create, with a shared KEK": shared} {
				if !errors.Is(err, class) || !errors.Is(err, rotate.ErrRefused) {
					t.Errorf("%s: %v, want %v", what, err, class)
				}
			}
			if len(kek.asked) > 0 && class == rotate.ErrToBeShredded || kek.there[name] != (class == rotate.ErrToBeShredded) {
				t.Errorf("the KEK was asked %v", kek.asked)
			}
			if _, err := rotate.Shred(t.Context(), store, kek, name, anyway); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestShreddingRemovesTheKEKOfItsOwnLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, kek := doomed(t)
		r, err := rotate.Shred(t.Context(), store, kek, name, anyway)
		if err != nil || !r.Changed() || r.KEK != "own-ns-payments" || !r.KEKRemoved || kek.there[name] {
			t.Fatalf("%+v, %v", r, err)
		}
		if want := []string{"release", "remove"}; !slices.Equal(kek.asked, want) {
			t.Errorf("the KEK was asked %v, want %v", kek.asked, want)
		}
		if r, err = rotate.Shred(t.Context(), store, kek, name, rotate.ShredEvidence{}); err != nil || r.Changed() || r.KEKRemoved {
			t.Errorf("again: %+v, %v", r, err)
		}
		// Who may not prepare the removal has shredded nothing, who may not remove is told to go on.
		store, kek = doomed(t)
		kek.deny = "release"
		if _, err := rotate.Shred(t.Context(), store, kek, name, anyway); err == nil || !strings.Contains(err.Error(), "is not shredded: denied") {
			t.Errorf("not released: %v", err)
		}
		if k, _, err := store.Fetch(t.Context(), name); err != nil || k.Primary() == nil {
			t.Errorf("refused, it left %+v, %v", k, err)
		}
		kek.deny = "remove"
		if _, err := rotate.Shred(t.Context(), store, kek, name, anyway); err == nil || !strings.Contains(err.Error(), "run the command again: denied") {
			t.Errorf("not removed: %v", err)
		}
		kek.deny = ""
		if r, err := rotate.Shred(t.Context(), store, kek, name, anyway); err != nil || r.Changed() || !r.KEKRemoved || kek.there[name] {
			t.Errorf("gone on: %+v, %v", r, err)
		}
		// One that others need stays, and a configuration that knows of no own KEK shreds nothing of a keyset that has one.
		store, kek = doomed(t)
		if _, err := rotate.Shred(t.Context(), store, kek.KEK, name, anyway); err == nil || !strings.Contains(err.Error(), "nothing was done") {
			t.Errorf("by a configuration without it: %v", err)
		}
	})
}

// versions is a store that keeps earlier versions of a document until it forgets them, as Vault does.
type versions struct {
	*keystest.Store
	earlier []*keys.Keyset
}

func (v *versions) Replace(ctx context.Context, k *keys.Keyset, old keys.Version) (keys.Version, error) {
	before, _, err := v.Fetch(ctx, k.Name)
	if err != nil {
		return "", err
	}
	v.earlier = append(v.earlier, before)
	return v.Store.Replace(ctx, k, old)
}

func (v *versions) Forget(ctx context.Context, name string) error {
	v.earlier = nil
	return v.Store.Forget(ctx, name)
}

// TestShreddingLeavesNoEarlierVersionWithKeys: neither the last one that had them.
func TestShreddingLeavesNoEarlierVersionWithKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, kek := doomed(t)
		v := &versions{Store: store}
		if _, err := rotate.Shred(t.Context(), v, kek, name, anyway); err != nil {
			t.Fatal(err)
		}
		for _, k := range v.earlier {
			for _, key := range k.Keys {
				if len(key.Wrapped) > 0 {
					t.Errorf("an earlier version has key %s", key.ID)
				}
			}
		}
	})
}

// TestADocumentThatSaysItIsShreddedIsNotBelieved: whoever may write documents can say so, and that there never was a KEK
// of its own. The configuration knows better, and whoever carries the shredding out removes it.
func TestADocumentThatSaysItIsShreddedIsNotBelieved(t *testing.T) {
	for _, says := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			store, kek := doomed(t)
			_, err := rotate.ChangeShred(t.Context(), store, name, func(k *keys.Keyset) (*keys.Keyset, error) {
				forged, err := rotate.PlanShred(k, anyway, time.Now())
				if err == nil {
					forged.OwnKEK = says
				}
				return forged, err
			})
			if err != nil {
				t.Fatal(err)
			}
			r, err := rotate.Shred(t.Context(), store, kek, name, rotate.ShredEvidence{})
			if err != nil || r.Changed() || r.KEK != "own-ns-payments" || !r.KEKRemoved || kek.there[name] {
				t.Errorf("a document that says %v of a KEK of its own: %+v, %v", says, r, err)
			}
		})
	}
}

func TestShreddingGoesOnWhereverItWasInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for point := 0; ; point++ {
			store, kek := doomed(t)
			crash := &keystest.Crash{Store: store, KEK: kek.KEK, Point: point}
			_, err := rotate.Shred(t.Context(), crash, kek, name, anyway)
			if !crash.Reached() {
				if err != nil || point < 6 {
					t.Fatalf("point %d: %v", point, err)
				}
				return
			}
			if !errors.Is(err, keystest.ErrCrash) {
				t.Fatalf("point %d: %v", point, err)
			}
			if _, err := rotate.Shred(t.Context(), store, kek, name, anyway); err != nil {
				t.Fatalf("point %d, again: %v", point, err)
			}
			k, _, err := store.Fetch(t.Context(), name)
			if err != nil || k.Shredded.IsZero() || len(k.Keys) != 2 || kek.there[name] {
				t.Errorf("point %d, again: %+v, %v", point, k, err)
			}
		}
	})
}
