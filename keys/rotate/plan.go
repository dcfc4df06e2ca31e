// Package rotate makes keysets and moves their keys from pending to primary: the custodian's side of package keys.
//
// Rotation is two steps with time between them. [Add] puts a new key into the keyset as pending: it opens, and readers
// pick it up with their next refresh. [Promote] makes it the primary key, once the keyset's propagation delay has
// passed, and retires the one before, which goes on opening.
//
// Each step has a plan, a pure function from one document to the next, and an apply, which fetches, plans and replaces
// with compare-and-swap until it is in. Two custodians at once never lose a key and never leave two primaries. No step
// ever opens a key: the key-encryption key is only asked to encrypt.
package rotate

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/signet-temporal/signet/keys"
)

// defaultPropagationDelay is the propagation delay of a keyset created without one: five refreshes of a worker that
// refreshes once a minute.
const defaultPropagationDelay = 5 * time.Minute

// ErrTooEarly: the key has not been pending for the keyset's propagation delay. The text says when it will have been.
var ErrTooEarly = errors.New("too early to promote")

// Options of a new keyset.
type Options struct {
	// Type of the keyset's keys; empty means [keys.XAES256GCM].
	Type keys.Type
	// PropagationDelay is how long a key stays pending before it may be promoted; 0 means five minutes.
	// It must be longer than the refresh interval of every reader.
	PropagationDelay time.Duration
}

// PromoteOptions say which key to promote, and whether to wait.
type PromoteOptions struct {
	// Key is the pending key to promote; 0 means the oldest pending one. (No key made by this package has the id 0.)
	Key keys.ID
	// Force promotes before the propagation delay has passed. Readers that have not refreshed yet cannot open what
	// is sealed with the new key until they do.
	Force bool
}

// PlanCreate returns the document of a new keyset without keys. Its first key, from [PlanAdd], is primary at once.
func PlanCreate(name string, o Options) (*keys.Keyset, error) {
	if o.Type == "" {
		o.Type = keys.XAES256GCM
	}
	if o.PropagationDelay < 0 {
		return nil, fmt.Errorf("keyset %q: negative propagation delay %s", name, o.PropagationDelay)
	}
	if o.PropagationDelay == 0 {
		o.PropagationDelay = defaultPropagationDelay
	}
	k := &keys.Keyset{
		Format: 1,
		Name:   name,
		Type:   o.Type,
		Policy: keys.Policy{PropagationDelay: keys.Duration(o.PropagationDelay)},
		Keys:   []keys.Key{},
	}
	if err := k.Check(); err != nil {
		return nil, err
	}
	return k, nil
}

// PlanAdd returns k with one key more: pending, or primary if it is the keyset's first. k is not changed. An id that
// the keyset has already, in whatever state, is refused.
func PlanAdd(k *keys.Keyset, id keys.ID, wrapped []byte, now time.Time) (*keys.Keyset, error) {
	if taken(k, id) {
		return nil, fmt.Errorf("keyset %q: key id %s is taken: generate another key", k.Name, id)
	}
	next := clone(k)
	key := keys.Key{ID: id, State: keys.Pending, Created: stamp(now), Wrapped: wrapped}
	if len(k.Keys) == 0 {
		key.State, key.Promoted = keys.Primary, key.Created
	}
	next.Keys = append(next.Keys, key)
	if err := next.Check(); err != nil {
		return nil, err
	}
	return next, nil
}

// PlanPromote returns k with a pending key made primary and the former primary, if any, retired. k is not changed.
// Errors say which keys are pending, or match [ErrTooEarly] and say when.
func PlanPromote(k *keys.Keyset, o PromoteOptions, now time.Time) (*keys.Keyset, error) {
	id, err := choose(k, o.Key)
	if err != nil {
		return nil, err
	}
	next := clone(k)
	key := next.Key(id)
	allowed := key.Created.Add(time.Duration(k.Policy.PropagationDelay))
	if wait := allowed.Sub(now); wait > 0 && !o.Force {
		return nil, fmt.Errorf("keyset %q, key %s: %w: it may be promoted in %s, at %s; --force promotes it now, and then readers that have not refreshed since it was added cannot open new payloads until they do",
			k.Name, id, ErrTooEarly, roundUp(wait), allowed.Add(time.Second-1).UTC().Format(time.RFC3339))
	}
	if former := next.Primary(); former != nil {
		former.State, former.Retired = keys.Retired, stamp(now)
	}
	key.State, key.Promoted = keys.Primary, stamp(now)
	if err := next.Check(); err != nil {
		return nil, err
	}
	return next, nil
}

// choose returns the id of the pending key to promote: want, or for 0 the first, which is the oldest.
func choose(k *keys.Keyset, want keys.ID) (keys.ID, error) {
	var pending []string
	for _, key := range k.Keys {
		if key.State != keys.Pending {
			continue
		}
		if want == 0 || want == key.ID {
			return key.ID, nil
		}
		pending = append(pending, key.ID.String())
	}
	is := "is not in it"
	if key := k.Key(want); key != nil {
		is = "is " + string(key.State)
	}
	switch {
	case want == 0:
		return 0, fmt.Errorf("keyset %q has no pending key to promote: add one with \"signet keyset rotate %[1]s\"", k.Name)
	case len(pending) == 0:
		return 0, fmt.Errorf("keyset %q: key %s %s, and no key is pending: add one with \"signet keyset rotate %[1]s\"", k.Name, want, is)
	}
	return 0, fmt.Errorf("keyset %q: key %s %s: promote a pending key: %s", k.Name, want, is, strings.Join(pending, ", "))
}

// taken reports whether id cannot be given to a new key of k: 0 stands for "no key" in [PromoteOptions], and the id of
// a destroyed key must never come to mean another key.
func taken(k *keys.Keyset, id keys.ID) bool { return id == 0 || k.Key(id) != nil }

// clone copies the document as deep as this package changes it.
func clone(k *keys.Keyset) *keys.Keyset {
	next := *k
	next.Keys = append(make([]keys.Key, 0, len(k.Keys)+1), k.Keys...)
	return &next
}

// stamp is now as a document keeps it: UTC, without the process's own clock reading.
func stamp(now time.Time) time.Time { return now.UTC().Round(0) }

func roundUp(d time.Duration) time.Duration { return (d + time.Second - 1).Truncate(time.Second) }
