package rotate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/signet-temporal/signet/keys"
)

// Bounds of the loops below.
const (
	maxAttempts = 16 // of a compare-and-swap; each is lost only to somebody else's success
	firstPause  = 5 * time.Millisecond
	maxPause    = 500 * time.Millisecond
)

// Store is what this package needs of a [keys.Store].
type Store interface {
	Fetch(ctx context.Context, name string) (*keys.Keyset, keys.Version, error)
	Replace(ctx context.Context, k *keys.Keyset, old keys.Version) (keys.Version, error)
}

// Plan is one change of a keyset, from its document to the next one. It does not change k, and returns k itself when
// everything is as it should be. It may be called again, with what somebody else made of the keyset meanwhile.
type Plan func(k *keys.Keyset) (*keys.Keyset, error)

// Result is what a change was made from and what it led to: the same document when there was nothing to change.
type Result struct{ Before, After *keys.Keyset }

// Changed reports whether there was anything to change.
func (r Result) Changed() bool { return r.Before != r.After }

// Steps returns what the change consists of.
func (r Result) Steps() []Step {
	if !r.Changed() {
		return nil
	}
	return Steps(r.Before, r.After)
}

// Preview returns what a [Change] would do now, and changes nothing.
func Preview(ctx context.Context, store Store, name string, plan Plan) (Result, error) {
	return preview(ctx, store, name, active(plan))
}

func preview(ctx context.Context, store Store, name string, plan Plan) (Result, error) {
	if err := keys.CheckName(name); err != nil {
		return Result{}, err
	}
	k, _, err := fetch(ctx, store, name)
	if err != nil {
		return Result{}, err
	}
	next, err := plan(k)
	if err != nil {
		return Result{}, err
	}
	return Result{k, next}, nil
}

// Change fetches the keyset called name, plans, and replaces it, until no one else was faster. A keyset that is, or is to
// be, shredded is refused with an error that matches [ErrShredded] or [ErrToBeShredded].
func Change(ctx context.Context, store Store, name string, plan Plan) (Result, error) {
	return changeAny(ctx, store, name, active(plan))
}

func changeAny(ctx context.Context, store Store, name string, plan Plan) (Result, error) {
	if err := keys.CheckName(name); err != nil {
		return Result{}, err
	}
	var tried Result
	for attempt := range maxAttempts {
		if err := pause(ctx, attempt); err != nil {
			return Result{}, fmt.Errorf("keyset %q: %w", name, err)
		}
		k, version, err := fetch(ctx, store, name)
		if err != nil {
			return Result{}, err
		}
		if tried.After != nil && same(tried.After, k) {
			return tried, nil // the attempt that looked lost was in: a client below sent it twice
		}
		next, err := plan(k)
		if err != nil {
			return Result{}, err
		}
		tried = Result{k, next}
		if !tried.Changed() {
			return tried, nil
		}
		if _, err = store.Replace(ctx, next, version); !errors.Is(err, keys.ErrConflict) {
			if err != nil {
				return Result{}, fmt.Errorf("keyset %q: %w", name, err)
			}
			return tried, nil
		}
	}
	return Result{}, fmt.Errorf("keyset %q: others were faster %d times: try again: %w", name, maxAttempts, keys.ErrConflict)
}

func fetch(ctx context.Context, store Store, name string) (*keys.Keyset, keys.Version, error) {
	k, version, err := store.Fetch(ctx, name)
	if errors.Is(err, keys.ErrNotFound) {
		return nil, "", fmt.Errorf("keyset %q does not exist: create it with \"signet keyset create %[1]s\": %w", name, err)
	}
	if err != nil {
		return nil, "", fmt.Errorf("keyset %q: %w", name, err)
	}
	return k, version, nil
}

// same reports whether two documents are stored as the same. Most that differ do so in a key.
func same(a, b *keys.Keyset) bool {
	if !slices.EqualFunc(a.Keys, b.Keys, func(x, y keys.Key) bool { return x.ID == y.ID && x.State == y.State }) {
		return false
	}
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && string(x) == string(y)
}

// pause waits before every attempt but the first, longer each time and at random, so that rivals come apart.
func pause(ctx context.Context, attempt int) error {
	if attempt == 0 {
		return nil
	}
	timer := time.NewTimer(rand.N(min(firstPause<<(attempt-1), maxPause)))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Create makes the keyset called name with one key, primary at once since nobody can be without it, and returns the
// key's id. The error matches [keys.ErrConflict] when there is such a keyset already.
func Create(ctx context.Context, store Store, kek keys.Wrapper, name string, o Options) (keys.ID, error) {
	if err := Prepare(ctx, store, kek, name, &o); err != nil {
		return 0, err
	}
	k, err := PlanNew(name, o, Generated(ctx, kek), time.Now())
	if err != nil {
		return 0, err
	}
	_, err = store.Replace(ctx, k, "")
	if errors.Is(err, keys.ErrConflict) {
		there, _, ferr := store.Fetch(ctx, name)
		if ferr == nil && same(there, k) {
			return k.Keys[0].ID, nil // a lost answer made a client below send it twice
		}
		if ferr == nil && there.Idle() {
			return 0, RefuseIdle(there)
		}
		return 0, fmt.Errorf("creating keyset %q: it exists already: add a key to it with \"signet keyset rotate %[1]s\": %w", name, err)
	}
	if err != nil {
		return 0, fmt.Errorf("creating keyset %q: %w", name, err)
	}
	return k.Keys[0].ID, nil
}

// Prepare has the KEK make a key of a new keyset's own, if it is to have one, and says so in o. [Create] does that by itself. It looks first whether the name is free: a keyset
// that was shredded must not get another.
func Prepare(ctx context.Context, store Store, kek keys.Wrapper, name string, o *Options) error {
	if o.OwnKEK = ownKEK(kek, name) != ""; !o.OwnKEK {
		return nil
	}
	there, _, err := store.Fetch(ctx, name)
	switch {
	case err == nil && there.Idle():
		return RefuseIdle(there)
	case err == nil:
		return fmt.Errorf("creating keyset %q: it exists already: add a key to it with \"signet keyset rotate %[1]s\": %[2]w", name, keys.ErrConflict)
	case !errors.Is(err, keys.ErrNotFound):
		return fmt.Errorf("creating keyset %q: %w", name, err)
	}
	if err := kek.(OwnKEKs).PrepareKEK(ctx, name); err != nil {
		return fmt.Errorf("creating keyset %q: %w", name, err)
	}
	return nil
}

// Add puts a new pending key into the keyset called name and returns its id. In a keyset without any key it is primary
// at once.
func Add(ctx context.Context, store Store, kek keys.Wrapper, name string) (keys.ID, error) {
	var id keys.ID
	fresh, now := Generated(ctx, kek), time.Now()
	_, err := Change(ctx, store, name, func(k *keys.Keyset) (*keys.Keyset, error) {
		if id != 0 && k.Key(id) != nil {
			return k, nil // an attempt that looked lost was in, and somebody else has changed the keyset since
		}
		var wrapped []byte
		var err error
		if id, wrapped, err = fresh(k); err != nil {
			return nil, err
		}
		return PlanAdd(k, id, wrapped, now)
	})
	if err != nil {
		return 0, fmt.Errorf("adding a key: %w", err)
	}
	return id, nil
}

// Promote makes a pending key of the keyset called name its primary key and returns the key's id; see [PlanPromote].
// The key that [PromoteOptions] leave open is chosen once: a promotion by somebody else in between does not promote
// the next key as well.
func Promote(ctx context.Context, store Store, name string, o PromoteOptions) (keys.ID, error) {
	now := time.Now()
	_, err := Change(ctx, store, name, func(k *keys.Keyset) (*keys.Keyset, error) {
		next, err := PlanPromote(k, o, now)
		if err == nil {
			o.Key = next.Primary().ID
		}
		return next, err
	})
	if err != nil {
		return 0, fmt.Errorf("promoting: %w", err)
	}
	return o.Key, nil
}
