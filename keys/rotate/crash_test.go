package rotate_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/signet-temporal/signet/keys"
	"github.com/signet-temporal/signet/keys/keystest"
	"github.com/signet-temporal/signet/keys/rotate"
)

// custodian is what a changing command works with.
type custodian interface {
	rotate.VersionedKEK
	keys.Store
	keys.Wrapper
}

// plain is a custodian that does not crash.
type plain struct {
	*keystest.Store
	kek *keystest.KEK
}

func (p plain) EncryptWithContext(ctx context.Context, plaintext, associatedData []byte) ([]byte, error) {
	return p.kek.EncryptWithContext(ctx, plaintext, associatedData)
}

func (p plain) RewrapWithContext(ctx context.Context, ciphertext, associatedData []byte) ([]byte, error) {
	return p.kek.RewrapWithContext(ctx, ciphertext, associatedData)
}
func (p plain) VersionOf(ciphertext []byte) int { return p.kek.VersionOf(ciphertext) }
func (p plain) Versions(ctx context.Context) (latest, oldest int, err error) {
	return p.kek.Versions(ctx)
}

// The keys of the keyset that every command is tried on, by what they were made for.
type cast struct{ primary, pending, retired, disabled, scheduled keys.ID }

// stage makes a keyset with a key in every state but destroyed, and lets a day pass. The destruction of one is scheduled.
// What is given comes after that.
func stage(t *testing.T, given ...rotate.Plan) (plain, cast) {
	t.Helper()
	p := plain{new(keystest.Store), keystest.NewKEK(t)}
	ctx := t.Context()
	var ids []keys.ID
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	first, err := rotate.Create(ctx, p, p, name, rotate.Options{RotateEvery: 12 * time.Hour})
	must(err)
	ids = append(ids, first)
	for range 3 {
		id, err := rotate.Add(ctx, p, p, name)
		must(err)
		_, err = rotate.Promote(ctx, p, name, rotate.PromoteOptions{Force: true})
		must(err)
		ids = append(ids, id)
	}
	pending, err := rotate.Add(ctx, p, p, name)
	must(err)
	c := cast{scheduled: ids[0], disabled: ids[1], retired: ids[2], primary: ids[3], pending: pending}
	for _, plan := range []rotate.Plan{
		func(k *keys.Keyset) (*keys.Keyset, error) {
			return rotate.PlanDisable(k, c.scheduled, true, time.Now())
		},
		func(k *keys.Keyset) (*keys.Keyset, error) { return rotate.PlanDisable(k, c.disabled, true, time.Now()) },
		func(k *keys.Keyset) (*keys.Keyset, error) {
			return rotate.PlanScheduleDestroy(k, c.scheduled, rotate.DestroyOptions{Evidence: rotate.Evidence{AllowKeyInUse: true}, Wait: time.Hour}, time.Now())
		},
	} {
		_, err := rotate.Change(ctx, p, name, plan)
		must(err)
	}
	p.kek.Rotate(t)
	time.Sleep(24 * time.Hour)
	for _, plan := range given {
		_, err := rotate.Change(ctx, p, name, plan)
		must(err)
	}
	return p, c
}

// shape says what a keyset consists of, whatever the ids of new keys are.
func shape(k *keys.Keyset, p plain) []string {
	var all []string
	for _, key := range k.Keys {
		all = append(all, fmt.Sprintf("%s wrapped by %d, scheduled %t, compromised %t", key.State, rotate.WrappedBy(p, key), !key.DestroyAfter.IsZero(), !key.Compromised.IsZero()))
	}
	slices.Sort(all)
	return append(all, time.Duration(k.Policy.RotateEvery).String())
}

// TestWhateverIsInterruptedCanBeRunAgain ends every changing command at every call it makes, before and after: the
// keyset is whole then, and the command run again completes and leaves what it would have left at once.
func TestWhateverIsInterruptedCanBeRunAgain(t *testing.T) {
	change := func(plan func(k *keys.Keyset, cr custodian, c cast) (*keys.Keyset, error)) func(context.Context, custodian, cast) error {
		return func(ctx context.Context, cr custodian, c cast) error {
			_, err := rotate.Change(ctx, cr, name, func(k *keys.Keyset) (*keys.Keyset, error) { return plan(k, cr, c) })
			return err
		}
	}
	for command, run := range map[string]func(context.Context, custodian, cast) error{
		"create": func(ctx context.Context, cr custodian, _ cast) error {
			_, err := rotate.Create(ctx, cr, cr, "ns/new", rotate.Options{})
			if errors.Is(err, keys.ErrConflict) {
				return nil // it says that the keyset is there, which is so
			}
			return err
		},
		"rotate": func(ctx context.Context, cr custodian, _ cast) error {
			_, err := rotate.Change(ctx, cr, name, func(k *keys.Keyset) (*keys.Keyset, error) {
				return rotate.PlanBegin(k, rotate.Generated(ctx, cr), time.Now())
			})
			return err
		},
		"rotate by policy": func(ctx context.Context, cr custodian, _ cast) error {
			_, err := auto(ctx, cr, cr)
			return err
		},
		"promote by policy": func(ctx context.Context, cr custodian, _ cast) error {
			_, err := auto(ctx, cr, cr)
			return err
		},
		"replace a compromised key": func(ctx context.Context, cr custodian, c cast) error {
			_, err := rotate.Change(ctx, cr, name, func(k *keys.Keyset) (*keys.Keyset, error) {
				return rotate.PlanCompromised(k, c.primary, rotate.Generated(ctx, cr), time.Now())
			})
			return err
		},
		"promote": change(func(k *keys.Keyset, _ custodian, c cast) (*keys.Keyset, error) {
			return rotate.PlanPromote(k, rotate.PromoteOptions{Key: c.pending}, time.Now())
		}),
		"retire": change(func(k *keys.Keyset, _ custodian, c cast) (*keys.Keyset, error) {
			return rotate.PlanRetire(k, c.pending, time.Now())
		}),
		"disable": change(func(k *keys.Keyset, _ custodian, c cast) (*keys.Keyset, error) {
			return rotate.PlanDisable(k, c.retired, false, time.Now())
		}),
		"enable": change(func(k *keys.Keyset, _ custodian, c cast) (*keys.Keyset, error) {
			return rotate.PlanEnable(k, c.disabled, time.Now())
		}),
		"schedule a destruction": change(func(k *keys.Keyset, _ custodian, c cast) (*keys.Keyset, error) {
			return rotate.PlanScheduleDestroy(k, c.disabled, rotate.DestroyOptions{Evidence: rotate.Evidence{AllowKeyInUse: true}}, time.Now())
		}),
		"cancel a destruction": change(func(k *keys.Keyset, _ custodian, c cast) (*keys.Keyset, error) {
			return rotate.PlanCancelDestroy(k, c.scheduled)
		}),
		"policy": change(func(k *keys.Keyset, _ custodian, _ cast) (*keys.Keyset, error) {
			return rotate.PlanPolicy(k, keys.Policy{PropagationDelay: k.Policy.PropagationDelay, RotateEvery: keys.Duration(time.Hour)})
		}),
		"destroy": func(ctx context.Context, cr custodian, c cast) error {
			_, err := rotate.Destroy(ctx, cr, name, c.scheduled, word)
			return err
		},
		"rewrap": func(ctx context.Context, cr custodian, _ cast) error {
			_, err := rotate.Rewrap(ctx, cr, cr, name)
			return err
		},
	} {
		t.Run(command, func(t *testing.T) {
			var given []rotate.Plan
			if command == "rotate" || command == "rotate by policy" || command == "replace a compromised key" {
				given = append(given, func(k *keys.Keyset) (*keys.Keyset, error) { // no key is pending
					return rotate.PlanRetire(k, rotate.Pending(k)[0], time.Now())
				})
			}
			var want []string
			forgotten := 0
			synctest.Test(t, func(t *testing.T) {
				p, c := stage(t, given...)
				if err := run(t.Context(), p, c); err != nil {
					t.Fatal(err)
				}
				want, forgotten = shape(fetch(t, p.Store), p), p.Calls().Forget
			})
			points := 0
			for reached := true; reached; points++ {
				synctest.Test(t, func(t *testing.T) {
					p, c := stage(t, given...)
					before := fetch(t, p.Store)
					crash := &keystest.Crash{Store: p.Store, KEK: p.kek, Point: points}
					err := run(t.Context(), crash, c)
					if reached = crash.Reached(); !reached {
						return
					}
					if !errors.Is(err, keystest.ErrCrash) {
						t.Errorf("point %d: the crash was not noticed: %v", points, err)
					}
					whole(t, points, before, fetch(t, p.Store))
					if err := run(t.Context(), p, c); err != nil {
						t.Fatalf("point %d: run again: %v", points, err)
					}
					if got := shape(fetch(t, p.Store), p); !reflect.DeepEqual(got, want) {
						t.Errorf("point %d: run again it left\n     %q\nwant %q", points, got, want)
					}
					if k, _, err := p.Fetch(t.Context(), "ns/new"); command == "create" && (err != nil || len(k.Keys) != 1 || k.Primary() == nil) {
						t.Errorf("point %d: the new keyset is %+v, %v, want one key", points, k, err)
					}
					if forgotten > 0 && p.Calls().Forget == 0 {
						t.Errorf("point %d: earlier versions were never forgotten", points)
					}
				})
			}
			if points < 4 {
				t.Errorf("only %d points: something is not being counted", points)
			}
			t.Logf("%d points", points-1)
		})
	}
}

// whole checks that a crash left the keyset as a keyset must be: with a primary key, and with every key that there was.
func whole(t *testing.T, point int, before, after *keys.Keyset) {
	t.Helper()
	if err := after.Check(); err != nil {
		t.Errorf("point %d: %v", point, err)
	}
	if after.Primary() == nil {
		t.Errorf("point %d: there is no primary key", point)
	}
	for _, key := range before.Keys {
		if after.Key(key.ID) == nil {
			t.Errorf("point %d: key %s is lost", point, key.ID)
		}
	}
}

// keeper is a store whose earlier versions may not be removed.
type keeper struct {
	plain
	denied error
}

func (k keeper) Forget(context.Context, string) error { return k.denied }

func TestARefusedDestructionRemovesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, c := stage(t)
		before := p.Calls()
		for _, id := range []keys.ID{c.primary, c.retired, c.disabled} {
			_, err := rotate.Destroy(t.Context(), p, name, id, word)
			wantError(t, err, rotate.ErrRefused, id.String())
		}
		denied := errors.New("vault denied permission")
		_, err := rotate.Destroy(t.Context(), keeper{p, denied}, name, c.scheduled, word)
		wantError(t, err, denied, c.scheduled.String(), "is not destroyed")
		if after := p.Calls(); after.Replace != before.Replace || after.Forget != before.Forget {
			t.Errorf("calls %+v, were %+v: something was removed", after, before)
		}
		if got := fetch(t, p.Store).Key(c.scheduled).State; got != keys.Disabled {
			t.Errorf("the key is %s, want it disabled as before", got)
		}
	})
}

func TestALostAnswerIsReportedAsTheChangeThatItWas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, c := stage(t)
		twice := &scripted{p.Store, func(ctx context.Context, k *keys.Keyset, old keys.Version) (keys.Version, error) {
			if _, err := p.Store.Replace(ctx, k, old); err != nil {
				return "", err
			}
			return p.Store.Replace(ctx, k, old)
		}}
		r, err := rotate.Change(t.Context(), twice, name, func(k *keys.Keyset) (*keys.Keyset, error) { return rotate.PlanEnable(k, c.disabled, time.Now()) })
		if err != nil || len(r.Steps()) != 1 || r.Steps()[0].To != keys.Retired {
			t.Errorf("%+v, %v, want the step that was taken", r.Steps(), err)
		}
	})
}

func TestAGeneratedKeyServesUntilItsIDIsTaken(t *testing.T) {
	kek := keystest.NewKEK(t)
	k := &keys.Keyset{Format: 1, Name: name, Type: keys.XAES256GCM}
	fresh := rotate.Generated(t.Context(), kek)
	first, wrapped, err := fresh(k)
	if err != nil {
		t.Fatal(err)
	}
	if again, _, err := fresh(k); err != nil || again != first {
		t.Errorf("the second attempt gets key %s, %v, want %s once more", again, err, first)
	}
	k.Keys = append(k.Keys, keys.Key{ID: first, State: keys.Primary, Wrapped: wrapped})
	if other, _, err := fresh(k); err != nil || other == first {
		t.Errorf("the id %s is taken and was given again: %v", other, err)
	}
}
