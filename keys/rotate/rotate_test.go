package rotate_test

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/signet-temporal/signet/keys"
	"github.com/signet-temporal/signet/keys/keystest"
	"github.com/signet-temporal/signet/keys/rotate"
)

const name = "ns/payments"

func wantError(t *testing.T, err, class error, texts ...string) {
	t.Helper()
	if err == nil || class != nil && !errors.Is(err, class) {
		t.Fatalf("got %v, want an error of class %v that says %q", err, class, texts)
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("error %q does not say %q", err, text)
		}
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("error %q has more than one line", err)
	}
}

func fetch(t *testing.T, s *keystest.Store) *keys.Keyset {
	t.Helper()
	k, _, err := s.Fetch(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// encryptOnly is what a custodian's credentials can do: rotation must need no more.
type encryptOnly struct{ kek *keystest.KEK }

func (e encryptOnly) EncryptWithContext(ctx context.Context, plaintext, associatedData []byte) ([]byte, error) {
	return e.kek.EncryptWithContext(ctx, plaintext, associatedData)
}

func TestCreateMakesOnePrimaryKeyWithoutEverOpeningOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, kek := new(keystest.Store), keystest.NewKEK(t)
		id, err := rotate.Create(t.Context(), store, encryptOnly{kek}, name, rotate.Options{})
		if err != nil {
			t.Fatal(err)
		}
		k := fetch(t, store)
		wrapped := k.Keys[0].Wrapped
		want := &keys.Keyset{
			Format: 1, Name: name, Type: keys.XAES256GCM,
			Policy: keys.Policy{PropagationDelay: keys.Duration(5 * time.Minute)},
			Keys:   []keys.Key{{ID: id, State: keys.Primary, Created: time.Now().UTC(), Promoted: time.Now().UTC(), Wrapped: wrapped}},
		}
		if !reflect.DeepEqual(k, want) {
			t.Errorf("stored\n got %+v\nwant %+v", k, want)
		}
		if kek.Unwraps() != 0 {
			t.Errorf("%d keys were opened", kek.Unwraps())
		}
		if _, err := keys.Unwrap(t.Context(), kek, name, id, wrapped); err != nil {
			t.Errorf("the key does not open: %v", err)
		}
	})
}

func TestCreateHonoursItsOptionsAndRefusesBadOnes(t *testing.T) {
	store, kek := new(keystest.Store), keystest.NewKEK(t)
	o := rotate.Options{Type: keys.AES256GCM, PropagationDelay: time.Hour}
	if _, err := rotate.Create(t.Context(), store, kek, name, o); err != nil {
		t.Fatal(err)
	}
	if k := fetch(t, store); k.Type != o.Type || time.Duration(k.Policy.PropagationDelay) != o.PropagationDelay {
		t.Errorf("type %s, delay %s, want %+v", k.Type, time.Duration(k.Policy.PropagationDelay), o)
	}
	_, err := rotate.Create(t.Context(), store, kek, name, o)
	wantError(t, err, keys.ErrConflict, name, "exists already", "signet keyset rotate "+name)
	_, err = rotate.Create(t.Context(), store, kek, "../x", o)
	wantError(t, err, nil, `"../x"`)
	_, err = rotate.Create(t.Context(), store, kek, "x", rotate.Options{Type: "ROT13"})
	wantError(t, err, nil, "ROT13", "XAES_256_GCM")
	_, err = rotate.Create(t.Context(), store, kek, "x", rotate.Options{PropagationDelay: -1})
	wantError(t, err, nil, "negative")
	if names, err := store.List(t.Context()); err != nil || len(names) != 1 {
		t.Errorf("the store holds %q, %v, want only %s", names, err, name)
	}
}

func TestAddedKeyIsPendingAndLeavesThePrimary(t *testing.T) {
	store, kek := new(keystest.Store), keystest.NewKEK(t)
	first := keystest.NewKeyset(t, store, kek, name, keys.AES256GCM)
	id, err := rotate.Add(t.Context(), store, encryptOnly{kek}, name)
	if err != nil {
		t.Fatal(err)
	}
	k := fetch(t, store)
	if len(k.Keys) != 2 || !reflect.DeepEqual(k.Keys[0], first.Keys[0]) {
		t.Errorf("the keys are %+v, want the first one as it was and a new one", k.Keys)
	}
	if key := k.Key(id); key == nil || key.State != keys.Pending || key.Created.IsZero() || !key.Promoted.IsZero() {
		t.Errorf("the new key is %+v, want it pending", key)
	}
	if _, err := keys.Unwrap(t.Context(), kek, name, id, k.Key(id).Wrapped); err != nil {
		t.Error(err)
	}
}

func TestPromoteWaitsForThePropagationDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, kek := new(keystest.Store), keystest.NewKEK(t)
		old := keystest.NewKeyset(t, store, kek, name, keys.AES256GCM).Primary().ID
		id, err := rotate.Add(t.Context(), store, kek, name)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		allowed := time.Now().Add(4 * time.Minute).UTC().Format(time.RFC3339)
		before := store.Calls().Replace
		_, err = rotate.Promote(t.Context(), store, name, rotate.PromoteOptions{})
		wantError(t, err, rotate.ErrTooEarly, name, id.String(), "in 4m0s", "at "+allowed, "--force", "cannot open")
		time.Sleep(4*time.Minute - time.Nanosecond)
		_, err = rotate.Promote(t.Context(), store, name, rotate.PromoteOptions{Key: id})
		wantError(t, err, rotate.ErrTooEarly, "in 1s", "at "+allowed)
		if got := store.Calls().Replace - before; got != 0 {
			t.Errorf("refused promotions wrote %d times", got)
		}
		time.Sleep(time.Nanosecond)
		if got, err := rotate.Promote(t.Context(), store, name, rotate.PromoteOptions{}); err != nil || got != id {
			t.Fatalf("Promote = %s, %v, want %s", got, err, id)
		}
		k, now := fetch(t, store), time.Now()
		if p := k.Primary(); p.ID != id || !p.Promoted.Equal(now) {
			t.Errorf("primary = %+v, want %s promoted now", p, id)
		}
		if o := k.Key(old); o.State != keys.Retired || !o.Retired.Equal(now) {
			t.Errorf("the former primary is %+v, want it retired now", o)
		}
	})
}

func TestForcedPromotionDoesNotWait(t *testing.T) {
	store, kek := new(keystest.Store), keystest.NewKEK(t)
	keystest.NewKeyset(t, store, kek, name, keys.AES256GCM)
	id, err := rotate.Add(t.Context(), store, kek, name)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := rotate.Promote(t.Context(), store, name, rotate.PromoteOptions{Force: true}); err != nil || got != id {
		t.Errorf("Promote = %s, %v, want %s", got, err, id)
	}
}

func TestPromoteTakesTheOldestPendingKeyOrTheNamedOne(t *testing.T) {
	k := &keys.Keyset{Format: 1, Name: name, Type: keys.AES256GCM, Keys: []keys.Key{
		{ID: 1, State: keys.Destroyed}, {ID: 2, State: keys.Primary, Wrapped: []byte{1}}, {ID: 3, State: keys.Retired, Wrapped: []byte{1}},
		{ID: 4, State: keys.Pending, Wrapped: []byte{1}}, {ID: 5, State: keys.Disabled, Wrapped: []byte{1}}, {ID: 6, State: keys.Pending, Wrapped: []byte{1}},
	}}
	for want, o := range map[keys.ID]rotate.PromoteOptions{4: {}, 6: {Key: 6}} {
		next, err := rotate.PlanPromote(k, o, time.Now())
		if err != nil || next.Primary().ID != want || next.Key(2).State != keys.Retired {
			t.Errorf("%+v: %+v, %v, want primary %s and the former retired", o, next, err, want)
		}
		if k.Primary().ID != 2 || k.Key(want).State != keys.Pending {
			t.Fatal("the plan changed its input")
		}
	}
	if next, err := rotate.PlanPromote(k, rotate.PromoteOptions{Key: 2}, time.Now()); err != nil || next != k {
		t.Errorf("promoting the primary key: %+v, %v, want nothing changed", next, err)
	}
	for id, state := range map[keys.ID]string{1: "is destroyed", 3: "is retired", 5: "is disabled", 7: "has no key"} {
		next, err := rotate.PlanPromote(k, rotate.PromoteOptions{Key: id, Force: true}, time.Now())
		class, advice := rotate.ErrRefused, "it has pending 00000004, 00000006"
		if id == 7 {
			class, advice = rotate.ErrNoKey, "signet keyset status"
		}
		wantError(t, err, class, name, id.String(), state, advice)
		if next != nil {
			t.Errorf("key %s: a document came beside the error", id)
		}
	}
	k.Keys = k.Keys[:3]
	_, err := rotate.PlanPromote(k, rotate.PromoteOptions{}, time.Now())
	wantError(t, err, rotate.ErrRefused, name, "no pending key", "signet keyset rotate "+name)
	_, err = rotate.PlanPromote(k, rotate.PromoteOptions{Key: 3}, time.Now())
	wantError(t, err, rotate.ErrRefused, "is retired", "signet keyset rotate "+name)
}

func TestTakenKeyIDsAreRefusedAlsoThoseOfDestroyedKeys(t *testing.T) {
	k := &keys.Keyset{Format: 1, Name: name, Type: keys.AES256GCM, Keys: []keys.Key{
		{ID: 1, State: keys.Destroyed}, {ID: 2, State: keys.Primary, Wrapped: []byte{1}},
	}}
	for _, id := range []keys.ID{0, 1, 2} {
		next, err := rotate.PlanAdd(k, id, []byte{1}, time.Now())
		wantError(t, err, nil, id.String(), "taken")
		if next != nil {
			t.Error("a document came beside the error")
		}
	}
	next, err := rotate.PlanAdd(k, 3, []byte{1}, time.Now())
	if err != nil || len(next.Keys) != 3 || len(k.Keys) != 2 {
		t.Errorf("PlanAdd = %+v, %v and its input %+v, want one key more in the result alone", next, err, k)
	}
}

func TestMissingKeysetSaysHowToCreateIt(t *testing.T) {
	store, kek := new(keystest.Store), keystest.NewKEK(t)
	_, err := rotate.Add(t.Context(), store, kek, name)
	wantError(t, err, keys.ErrNotFound, "signet keyset create "+name)
	_, err = rotate.Promote(t.Context(), store, name, rotate.PromoteOptions{})
	wantError(t, err, keys.ErrNotFound, "signet keyset create "+name)
}

func TestOutagesAreNotTriedAgainAndKeepTheirCause(t *testing.T) {
	store, kek := new(keystest.Store), keystest.NewKEK(t)
	keystest.NewKeyset(t, store, kek, name, keys.AES256GCM)
	sealed := errors.New("vault is sealed")
	kek.SetError(sealed)
	_, err := rotate.Add(t.Context(), store, kek, name)
	wantError(t, err, sealed, name)
	kek.SetError(nil)
	store.SetError(sealed)
	before := store.Calls().Fetch
	_, err = rotate.Add(t.Context(), store, kek, name)
	wantError(t, err, sealed, name)
	if got := store.Calls().Fetch - before; got != 1 {
		t.Errorf("%d fetches, want 1", got)
	}
}

func TestRotatorsAtOnceNeverLoseAKey(t *testing.T) {
	const rotators, rounds = 8, 50
	synctest.Test(t, func(t *testing.T) { // the pauses between attempts take no time
		store, kek := new(keystest.Store), keystest.NewKEK(t)
		first := keystest.NewKeyset(t, store, kek, name, keys.AES256GCM).Primary().ID
		var mu sync.Mutex
		added, promoted := map[keys.ID]bool{first: true}, map[keys.ID]bool{first: true}
		var all sync.WaitGroup
		for range rotators {
			all.Go(func() {
				for range rounds {
					id, err := rotate.Add(t.Context(), store, encryptOnly{kek}, name)
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					added[id] = true
					mu.Unlock()
					if rand.N(4) > 0 {
						continue
					}
					if _, err := rotate.Promote(t.Context(), store, name, rotate.PromoteOptions{Key: id, Force: true}); err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					promoted[id] = true
					mu.Unlock()
				}
			})
		}
		all.Wait()
		k := fetch(t, store)
		if len(added) != rotators*rounds+1 || len(k.Keys) != len(added) {
			t.Errorf("%d keys were added and %d are there, want %d", len(added), len(k.Keys), rotators*rounds+1)
		}
		for _, key := range k.Keys {
			if !added[key.ID] {
				t.Errorf("key %s is there and nobody added it", key.ID)
			}
			if (key.State == keys.Pending) == promoted[key.ID] {
				t.Errorf("key %s is %s, promoted: %t", key.ID, key.State, promoted[key.ID])
			}
		}
		if k.Primary() == nil {
			t.Error("no key is primary")
		}
	})
}

// scripted is a store that does something of its own before or after a Replace.
type scripted struct {
	*keystest.Store
	replace func(ctx context.Context, k *keys.Keyset, old keys.Version) (keys.Version, error)
}

func (s *scripted) Replace(ctx context.Context, k *keys.Keyset, old keys.Version) (keys.Version, error) {
	return s.replace(ctx, k, old)
}

func TestLostAnswerDoesNotAddOrPromoteTwice(t *testing.T) {
	store, kek := new(keystest.Store), keystest.NewKEK(t)
	// A client below sent the change twice, because the first answer got lost: the second is a conflict with itself.
	twice := &scripted{store, func(ctx context.Context, k *keys.Keyset, old keys.Version) (keys.Version, error) {
		if _, err := store.Replace(ctx, k, old); err != nil {
			return "", err
		}
		return store.Replace(ctx, k, old)
	}}
	first, err := rotate.Create(t.Context(), twice, kek, name, rotate.Options{})
	if err != nil {
		t.Fatalf("Create: %v", err)
	}
	id, err := rotate.Add(t.Context(), twice, kek, name)
	if err != nil {
		t.Fatalf("Add: %v", err)
	}
	if got, err := rotate.Promote(t.Context(), twice, name, rotate.PromoteOptions{Force: true}); err != nil || got != id {
		t.Fatalf("Promote = %s, %v, want %s", got, err, id)
	}
	if k := fetch(t, store); len(k.Keys) != 2 || k.Keys[0].ID != first || k.Primary().ID != id {
		t.Errorf("the keyset is %+v, want two keys and the second primary", k)
	}
}

func TestPromotionBySomebodyElseDoesNotPromoteTheNextKeyToo(t *testing.T) {
	store, kek := new(keystest.Store), keystest.NewKEK(t)
	keystest.NewKeyset(t, store, kek, name, keys.AES256GCM)
	var ids []keys.ID
	for range 2 {
		id, err := rotate.Add(t.Context(), store, kek, name)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	force := rotate.PromoteOptions{Force: true}
	late := &scripted{store, func(ctx context.Context, k *keys.Keyset, old keys.Version) (keys.Version, error) {
		if store.Calls().Replace == 3 { // Create and two Adds: this is the first attempt
			time.Sleep(time.Millisecond) // another time stamp
			if _, err := rotate.Promote(ctx, store, name, force); err != nil {
				t.Error(err)
			}
		}
		return store.Replace(ctx, k, old)
	}}
	if got, err := rotate.Promote(t.Context(), late, name, force); err != nil || got != ids[0] {
		t.Errorf("Promote = %s, %v, want %s, which is primary as asked for", got, err, ids[0])
	}
	if k := fetch(t, store); k.Primary().ID != ids[0] || k.Key(ids[1]).State != keys.Pending {
		t.Errorf("the keyset is %+v, want the first new key primary and the second pending", k)
	}
}

func TestEndlessConflictIsGivenUpAndACancelledContextIsHonoured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, kek := new(keystest.Store), keystest.NewKEK(t)
		before := keystest.NewKeyset(t, store, kek, name, keys.AES256GCM)
		attempts := 0
		busy := &scripted{store, func(context.Context, *keys.Keyset, keys.Version) (keys.Version, error) {
			attempts++
			return "", keys.ErrConflict
		}}
		_, err := rotate.Add(t.Context(), busy, kek, name)
		wantError(t, err, keys.ErrConflict, name, "try again")
		if attempts < 2 || attempts > 100 {
			t.Errorf("%d attempts", attempts)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Millisecond)
		defer cancel()
		_, err = rotate.Add(ctx, busy, kek, name)
		wantError(t, err, context.DeadlineExceeded, name)
		if after := fetch(t, store); !bytes.Equal(after.Keys[0].Wrapped, before.Keys[0].Wrapped) || len(after.Keys) != 1 {
			t.Errorf("the keyset changed: %+v", after)
		}
	})
}
