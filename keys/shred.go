package keys

import (
	"fmt"
	"time"
)

// Errors of [Ring.Primary] and [Ring.Lookup] about a keyset that is erased, as a tenant's is when the tenant goes.
var (
	// ErrShredded: all keys of the keyset are gone for good, and what they sealed with them. It matches [ErrDestroyed],
	// and has the same method Permanent() bool.
	ErrShredded error = shreddedError{}
	// ErrToBeShredded: the keyset is going to be shredded, and until then it can be called off. It matches
	// [ErrUnavailable].
	ErrToBeShredded = fmt.Errorf("keyset is to be shredded: %w", ErrUnavailable)
)

type shreddedError struct{}

func (shreddedError) Error() string        { return "keyset shredded" }
func (shreddedError) Permanent() bool      { return true }
func (shreddedError) Is(target error) bool { return target == ErrDestroyed }

// Idle reports whether no key of k seals or opens, whatever the keys' states are: k is shredded, or is to be.
func (k *Keyset) Idle() bool { return !k.Shredded.IsZero() || !k.ShredAfter.IsZero() }

func (k *Keyset) checkShredded() error {
	if k.Shredded.IsZero() {
		return nil
	}
	for _, key := range k.Keys {
		if key.State != Destroyed {
			return fmt.Errorf("keyset %q: it is shredded but key %s is %s", k.Name, key.ID, key.State)
		}
	}
	if !k.ShredAfter.IsZero() {
		return fmt.Errorf("keyset %q: it is shredded and to be shredded", k.Name)
	}
	return nil
}

// idle says in one line why nothing of the keyset is used here, or returns nil.
func (m *member) idle(now *snapshot) error {
	switch {
	case !now.shredded.IsZero():
		return &ringError{fmt.Sprintf("keyset %q was shredded on %s: what it sealed can never be opened again, and nothing more is sealed with it", m.name, now.shredded.UTC().Format(time.DateOnly)), ErrShredded}
	case !now.shredAfter.IsZero():
		return &ringError{fmt.Sprintf("keyset %q is to be shredded from %s on, and neither seals nor opens until then: \"signet shred %[1]s --cancel\" calls that off", m.name, now.shredAfter.UTC().Format(time.RFC3339)), ErrToBeShredded}
	}
	return nil
}
