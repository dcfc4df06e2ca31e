// Package rotate makes keysets and moves their keys through their lives: the custodian's side of package keys.
//
// Rotation is two steps with time between them. [Add] puts a new key into the keyset as pending: it opens, and readers
// pick it up with their next refresh. [Promote] makes it the primary key, once the keyset's propagation delay has
// passed, and retires the one before, which goes on opening. What comes after, disabling and destroying, is for keys
// that nothing uses any more.
//
// Each step has a plan, a pure function from one document to the next that refuses what would lose data, and [Change]
// applies a plan: it fetches, plans and replaces with compare-and-swap until it is in. Two custodians at once never lose
// a key and never leave two primaries. A step that was done already changes nothing, so whatever was interrupted can be
// run again. No step ever opens a key: the key-encryption key is only asked to encrypt and to rewrap.
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

// Errors of plans. The text of each is one line that says what to do next.
var (
	// ErrTooEarly: the step is right, but not yet; the text says when it will be.
	ErrTooEarly = errors.New("too early")
	// ErrRefused: as things stand the step would lose data, or means nothing.
	ErrRefused = errors.New("refused")
	// ErrNoKey: the keyset has no key of that id.
	ErrNoKey = errors.New("no such key")
)

// refusal is one line for a person, and a class for errors.Is.
type refusal struct {
	text  string
	class error
}

func (r *refusal) Error() string { return r.text }
func (r *refusal) Unwrap() error { return r.class }

func refusef(class error, format string, args ...any) error {
	return &refusal{fmt.Sprintf(format, args...), class}
}

// Options of a new keyset.
type Options struct {
	// Type of the keyset's keys; empty means [keys.XAES256GCM].
	Type keys.Type
	// PropagationDelay is how long a key stays pending before it may be promoted; 0 means five minutes.
	// It must be longer than the refresh interval of every reader.
	PropagationDelay time.Duration
	// RotateEvery is the age at which [PlanAuto] replaces the primary key; 0 means never.
	RotateEvery time.Duration
	// OwnKEK says that a KEK of the keyset's own wraps its keys. [Create] finds that out by itself.
	OwnKEK bool
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
		Policy: keys.Policy{PropagationDelay: keys.Duration(o.PropagationDelay), RotateEvery: keys.Duration(o.RotateEvery)},
		Keys:   []keys.Key{},
		OwnKEK: o.OwnKEK,
	}
	if err := checkPolicy(k); err != nil {
		return nil, err
	}
	return checked(k)
}

// PlanNew returns the document of a new keyset with its first key.
func PlanNew(name string, o Options, fresh NewKey, now time.Time) (*keys.Keyset, error) {
	empty, err := PlanCreate(name, o)
	if err != nil {
		return nil, err
	}
	return add(empty, fresh, now)
}

// PlanBegin returns k with one pending key: that which waits already, and then k itself, or a new one.
func PlanBegin(k *keys.Keyset, fresh NewKey, now time.Time) (*keys.Keyset, error) {
	if len(Pending(k)) > 0 {
		return k, nil
	}
	return add(k, fresh, now)
}

func add(k *keys.Keyset, fresh NewKey, now time.Time) (*keys.Keyset, error) {
	id, wrapped, err := fresh(k)
	if err != nil {
		return nil, err
	}
	return PlanAdd(k, id, wrapped, now)
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
	return checked(next)
}

// PlanPromote returns k with a pending key made primary and the former primary, if any, retired. k is not changed, and
// is returned as it is when the named key is the primary one already. Errors match [ErrRefused] or [ErrNoKey] and say
// which keys are pending, or match [ErrTooEarly] and say when.
func PlanPromote(k *keys.Keyset, o PromoteOptions, now time.Time) (*keys.Keyset, error) {
	id, err := choose(k, o.Key)
	if err != nil {
		return nil, err
	}
	if p := k.Primary(); p != nil && p.ID == id {
		return k, nil
	}
	next := clone(k)
	key := next.Key(id)
	allowed := key.Created.Add(time.Duration(k.Policy.PropagationDelay))
	if wait := allowed.Sub(now); wait > 0 && !o.Force {
		return nil, refusef(ErrTooEarly, "keyset %q, key %s: too early to promote: it may be promoted in %s, at %s; --force promotes it now, and then readers that have not refreshed since it was added cannot open new payloads until they do",
			k.Name, id, roundUp(wait), atLeast(allowed))
	}
	if former := next.Primary(); former != nil {
		former.State, former.Retired = keys.Retired, stamp(now)
	}
	key.State, key.Promoted = keys.Primary, stamp(now)
	return checked(next)
}

// choose returns the id of the key to promote: want if it is pending, or primary already, or for 0 the first pending
// one, which is the oldest.
func choose(k *keys.Keyset, want keys.ID) (keys.ID, error) {
	waiting := Pending(k)
	var ids []string
	for _, id := range waiting {
		ids = append(ids, id.String())
	}
	advice := fmt.Sprintf("add one with \"signet keyset rotate %s\"", k.Name)
	if len(ids) > 0 {
		advice = "it has pending " + strings.Join(ids, ", ")
	}
	key := k.Key(want)
	switch {
	case want == 0 && len(ids) > 0:
		return waiting[0], nil
	case want == 0:
		return 0, refusef(ErrRefused, "keyset %q has no pending key to promote: %s", k.Name, advice)
	case key == nil:
		return 0, noKey(k, want)
	case key.State == keys.Pending, key.State == keys.Primary:
		return want, nil
	}
	return 0, refusef(ErrRefused, "key %s of keyset %q is %s, and only a pending key may be promoted: %s", want, k.Name, key.State, advice)
}

// Pending returns the ids of k's pending keys, oldest first.
func Pending(k *keys.Keyset) []keys.ID {
	var ids []keys.ID
	for _, key := range k.Keys {
		if key.State == keys.Pending {
			ids = append(ids, key.ID)
		}
	}
	return ids
}

func noKey(k *keys.Keyset, id keys.ID) error {
	return refusef(ErrNoKey, "keyset %q has no key %s: see \"signet keyset status %[1]s\"", k.Name, id)
}

// PlanPolicy returns k with another policy, or k itself when it has that one. k is not changed.
func PlanPolicy(k *keys.Keyset, policy keys.Policy) (*keys.Keyset, error) {
	if policy == k.Policy {
		return k, nil
	}
	next := clone(k)
	next.Policy = policy
	if err := checkPolicy(next); err != nil {
		return nil, err
	}
	return next, nil
}

// checkPolicy refuses a period of rotation in which no key could be promoted before the next is due.
func checkPolicy(k *keys.Keyset) error {
	delay, every := time.Duration(k.Policy.PropagationDelay), time.Duration(k.Policy.RotateEvery)
	if every != 0 && every <= delay {
		return refusef(ErrRefused, "keyset %q: rotating every %s leaves no time for the propagation delay of %s: rotate less often", k.Name, every, delay)
	}
	return nil
}

// taken reports whether id cannot be given to a new key of k: 0 stands for "no key" in [PromoteOptions], and the id of
// a destroyed key must never come to mean another key.
func taken(k *keys.Keyset, id keys.ID) bool { return id == 0 || k.Key(id) != nil }

// checked returns next if it is a valid document.
func checked(next *keys.Keyset) (*keys.Keyset, error) {
	if err := next.Check(); err != nil {
		return nil, err
	}
	return next, nil
}

// clone copies the document as deep as this package changes it.
func clone(k *keys.Keyset) *keys.Keyset {
	next := *k
	next.Keys = append(make([]keys.Key, 0, len(k.Keys)+1), k.Keys...)
	return &next
}

// stamp is now as a document keeps it: UTC, without the process's own clock reading.
func stamp(now time.Time) time.Time { return now.UTC().Round(0) }

// atLeast writes a time for people, in whole seconds and never too early.
func atLeast(t time.Time) string { return t.Add(time.Second - 1).UTC().Format(time.RFC3339) }

func roundUp(d time.Duration) time.Duration { return (d + time.Second - 1).Truncate(time.Second) }
