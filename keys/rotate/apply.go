package rotate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/signet-temporal/signet/keys"
)

// Bounds of the loops below.
const (
	maxAttempts = 16 // of a compare-and-swap; each is lost only to somebody else's success
	firstPause  = 5 * time.Millisecond
	maxPause    = 500 * time.Millisecond
	maxIDs      = 8 // keys generated until one has a free id
)

// Store is what this package needs of a [keys.Store].
type Store interface {
	Fetch(ctx context.Context, name string) (*keys.Keyset, keys.Version, error)
	Replace(ctx context.Context, k *keys.Keyset, old keys.Version) (keys.Version, error)
}

// Create makes the keyset called name with one key, primary at once since nobody can be without it, and returns the
// key's id. The error matches [keys.ErrConflict] when there is such a keyset already.
func Create(ctx context.Context, store Store, kek keys.Wrapper, name string, o Options) (keys.ID, error) {
	empty, err := PlanCreate(name, o)
	if err != nil {
		return 0, err
	}
	id, wrapped, err := newKey(ctx, kek, empty)
	if err != nil {
		return 0, err
	}
	k, err := PlanAdd(empty, id, wrapped, time.Now())
	if err != nil {
		return 0, err
	}
	_, err = store.Replace(ctx, k, "")
	if errors.Is(err, keys.ErrConflict) {
		if there, _, ferr := store.Fetch(ctx, name); ferr == nil && has(there, id, wrapped) {
			return id, nil // a lost answer made a client below send it twice
		}
		return 0, fmt.Errorf("creating keyset %q: it exists already: add a key to it with \"signet keyset rotate %[1]s\": %w", name, err)
	}
	if err != nil {
		return 0, fmt.Errorf("creating keyset %q: %w", name, err)
	}
	return id, nil
}

// Add puts a new pending key into the keyset called name and returns its id. In a keyset without any key it is primary
// at once.
func Add(ctx context.Context, store Store, kek keys.Wrapper, name string) (keys.ID, error) {
	var id keys.ID
	var wrapped []byte
	now := time.Now()
	err := change(ctx, store, name, func(k *keys.Keyset) (*keys.Keyset, error) {
		if wrapped != nil && has(k, id, wrapped) {
			return nil, nil
		}
		if wrapped == nil || taken(k, id) { // the key of a lost attempt serves the next one
			var err error
			if id, wrapped, err = newKey(ctx, kek, k); err != nil {
				return nil, err
			}
		}
		return PlanAdd(k, id, wrapped, now)
	})
	if err != nil {
		return 0, fmt.Errorf("adding a key: %w", err)
	}
	return id, nil
}

// Promote makes a pending key of the keyset called name its primary key and returns the key's id; see [PlanPromote].
// The key that [PromoteOptions] leave open is chosen once: a promotion by somebody else in between is an error and
// does not promote the next key as well.
func Promote(ctx context.Context, store Store, name string, o PromoteOptions) (keys.ID, error) {
	now := time.Now()
	first := true
	err := change(ctx, store, name, func(k *keys.Keyset) (*keys.Keyset, error) {
		if p := k.Primary(); !first && p != nil && p.ID == o.Key && p.Promoted.Equal(stamp(now)) {
			return nil, nil
		}
		next, err := PlanPromote(k, o, now)
		if err == nil {
			o.Key, first = next.Primary().ID, false
		}
		return next, err
	})
	if err != nil {
		return 0, fmt.Errorf("promoting: %w", err)
	}
	return o.Key, nil
}

// change fetches, plans and replaces until no one else was faster. A plan of nil means that the document is as wanted:
// an attempt that looked lost was in.
func change(ctx context.Context, store Store, name string, plan func(*keys.Keyset) (*keys.Keyset, error)) error {
	if err := keys.CheckName(name); err != nil {
		return err
	}
	for attempt := range maxAttempts {
		if err := pause(ctx, attempt); err != nil {
			return fmt.Errorf("keyset %q: %w", name, err)
		}
		k, version, err := store.Fetch(ctx, name)
		if errors.Is(err, keys.ErrNotFound) {
			return fmt.Errorf("keyset %q does not exist: create it with \"signet keyset create %[1]s\": %w", name, err)
		}
		if err != nil {
			return fmt.Errorf("keyset %q: %w", name, err)
		}
		next, err := plan(k)
		if err != nil || next == nil {
			return err
		}
		if _, err = store.Replace(ctx, next, version); !errors.Is(err, keys.ErrConflict) {
			if err != nil {
				return fmt.Errorf("keyset %q: %w", name, err)
			}
			return nil
		}
	}
	return fmt.Errorf("keyset %q: others were faster %d times: try again: %w", name, maxAttempts, keys.ErrConflict)
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

// newKey generates a wrapped key whose id is free in k.
func newKey(ctx context.Context, kek keys.Wrapper, k *keys.Keyset) (keys.ID, []byte, error) {
	return freeKey(k, func() (keys.ID, []byte, error) {
		return keys.Generate(ctx, kek, k.Name, k.Type)
	})
}

func freeKey(k *keys.Keyset, generate func() (keys.ID, []byte, error)) (keys.ID, []byte, error) {
	for range maxIDs {
		id, wrapped, err := generate()
		if err != nil {
			return 0, nil, err
		}
		if !taken(k, id) {
			return id, wrapped, nil
		}
	}
	return 0, nil, fmt.Errorf("keyset %q: %d generated key ids in a row were taken: the random number generator is broken", k.Name, maxIDs)
}

func has(k *keys.Keyset, id keys.ID, wrapped []byte) bool {
	key := k.Key(id)
	return key != nil && bytes.Equal(key.Wrapped, wrapped)
}
