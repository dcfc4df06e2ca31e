package rotate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/signet-temporal/signet/keys"
)

// ErrShredded: the keyset was shredded, so there is nothing left that a step could be about.
var ErrShredded = errors.New("keyset shredded")

// ErrToBeShredded: a shredding is scheduled, and nothing else may be done to the keyset until it is called off.
var ErrToBeShredded = errors.New("keyset is to be shredded")

// ShredEvidence is what is known about the use of a keyset whose shredding is asked for. The zero value is none, and then
// nothing is shredded. What is closed is no reason against it: shredding is meant to make that unreadable.
type ShredEvidence struct {
	// NoneOpenAt is when it was asked last whether workflows, schedules or anything else that is open needs the keyset,
	// and nothing did.
	NoneOpenAt time.Time
	// AllowOpenWorkflows shreds whatever is open: workflow tasks that need the keyset then fail for ever.
	AllowOpenWorkflows bool
}

func (e ShredEvidence) shows(k *keys.Keyset) error {
	if e.AllowOpenWorkflows || !e.NoneOpenAt.IsZero() {
		return nil
	}
	return refusef(ErrRefused, "keyset %q: nothing shows that no open workflow needs it: name every namespace whose workflows use the keyset with --namespace, or censuses of them with --census", k.Name)
}

// RefuseIdle refuses every step on a keyset that is, or is to be, shredded. Its errors match [ErrShredded] or
// [ErrToBeShredded], and [ErrRefused].
func RefuseIdle(k *keys.Keyset) error {
	switch {
	case !k.Shredded.IsZero():
		return refusef(errors.Join(ErrRefused, ErrShredded), "keyset %q was shredded on %s, and its name stays taken: use another name", k.Name, k.Shredded.UTC().Format(time.DateOnly))
	case !k.ShredAfter.IsZero():
		return refusef(errors.Join(ErrRefused, ErrToBeShredded), "keyset %q is to be shredded from %s on: call that off first with \"signet shred %[1]s --cancel\"", k.Name, atLeast(k.ShredAfter))
	}
	return nil
}

// active is plan for keysets that are not idle.
func active(plan Plan) Plan {
	return func(k *keys.Keyset) (*keys.Keyset, error) {
		if err := RefuseIdle(k); err != nil {
			return nil, err
		}
		return plan(k)
	}
}

// PlanScheduleShred returns k with its shredding scheduled: the first of two steps. From the next refresh of every reader
// on it neither seals nor opens, so that what still needs it fails visibly while it can be called off. wait is the
// waiting period, 0 means [DefaultWait]; it is not shorter than the keyset's propagation delay. k is not changed, and is
// returned as it is when the shredding is scheduled, or done, already. Errors match [ErrRefused].
func PlanScheduleShred(k *keys.Keyset, wait time.Duration, e ShredEvidence, now time.Time) (*keys.Keyset, error) {
	if wait == 0 {
		wait = DefaultWait
	}
	if k.Idle() {
		return k, nil
	}
	if delay := time.Duration(k.Policy.PropagationDelay); wait < delay {
		return nil, refusef(ErrRefused, "keyset %q: a waiting period of %s is shorter than the propagation delay of %s: wait at least as long", k.Name, wait, delay)
	}
	if err := e.shows(k); err != nil {
		return nil, err
	}
	next := clone(k)
	next.ShredAfter = stamp(now).Add(wait)
	return checked(next)
}

// PlanCancelShred returns k with its scheduled shredding called off: it seals and opens again as before. k is not changed,
// and is returned as it is when nothing is scheduled. Errors match [ErrRefused].
func PlanCancelShred(k *keys.Keyset) (*keys.Keyset, error) {
	if !k.Shredded.IsZero() {
		return nil, RefuseIdle(k)
	}
	if k.ShredAfter.IsZero() {
		return k, nil
	}
	next := clone(k)
	next.ShredAfter = time.Time{}
	return checked(next)
}

// PlanShred returns k without the material of any key, once its waiting period is over: the second of two steps, for which
// the evidence is asked for again. What is left says which keys there were, and that they are gone. k is not changed, and
// is returned as it is when it is shredded already. Errors match [ErrRefused] or [ErrTooEarly]. Earlier versions of the
// document still hold the material: [Shred] removes them.
func PlanShred(k *keys.Keyset, e ShredEvidence, now time.Time) (*keys.Keyset, error) {
	switch wait := k.ShredAfter.Sub(now); {
	case !k.Shredded.IsZero():
		return k, nil
	case k.ShredAfter.IsZero():
		return nil, refusef(ErrRefused, "keyset %q: its shredding is not scheduled: schedule it with \"signet shred %[1]s --schedule\"", k.Name)
	case wait > 0:
		return nil, refusef(ErrTooEarly, "keyset %q: too early to shred: the waiting period ends in %s, at %s; until then \"signet shred %[1]s --cancel\" calls it off", k.Name, roundUp(wait), atLeast(k.ShredAfter))
	}
	if err := e.shows(k); err != nil {
		return nil, err
	}
	next := clone(k)
	for i, key := range next.Keys {
		if key.State != keys.Destroyed {
			next.Keys[i].State, next.Keys[i].Destroyed, next.Keys[i].DestroyAfter, next.Keys[i].Wrapped = keys.Destroyed, stamp(now), time.Time{}, nil
		}
	}
	next.ShredAfter, next.Shredded = time.Time{}, stamp(now)
	return checked(next)
}

// OwnKEKs is a [keys.KEK] that wraps the keys of some keysets by a key of their own, as its configuration says.
type OwnKEKs interface {
	// OwnKEK names what wraps the keys of that keyset and of no other; "" where they share it.
	OwnKEK(keyset string) string
	// PrepareKEK makes it, if it is not there.
	PrepareKEK(ctx context.Context, keyset string) error
	// ReleaseKEK permits its removal, and says whether it is there still.
	ReleaseKEK(ctx context.Context, keyset string) (there bool, err error)
	// RemoveKEK removes it for good. One that is not there is no error.
	RemoveKEK(ctx context.Context, keyset string) error
	// OwnVersions is that of [VersionedKEK] for it.
	OwnVersions(ctx context.Context, keyset string) (latest, oldest int, err error)
}

// ownKEK names the KEK of a keyset's own, "" where it shares one.
func ownKEK(kek any, keyset string) string {
	if own, ok := kek.(OwnKEKs); ok {
		return own.OwnKEK(keyset)
	}
	return ""
}

// ShredResult is what [Shred] did.
type ShredResult struct {
	Result
	// KEK is the name of what wrapped the keys of this keyset alone, which is gone; "" if they shared it with others, which
	// need it.
	KEK string
	// KEKRemoved says that it was removed just now: it was gone already otherwise.
	KEKRemoved bool
}

// Shred carries out the scheduled shredding of a keyset: see [PlanShred]. It removes what the store keeps of earlier
// versions of the document, and the keyset's own KEK, if it has one: no copy of the document opens after that, wherever
// it lies. What can be refused to whoever may not do all of it is asked for first. It may be repeated: also when the
// keyset was shredded before, everything is looked at again, so that an interrupted run is completed.
func Shred(ctx context.Context, store Forgetter, kek keys.KEK, name string, e ShredEvidence) (ShredResult, error) {
	now := time.Now()
	plan := func(k *keys.Keyset) (*keys.Keyset, error) { return PlanShred(k, e, now) }
	seen, err := preview(ctx, store, name, plan)
	if err != nil {
		return ShredResult{}, err
	}
	own, _ := kek.(OwnKEKs)
	r := ShredResult{KEK: ownKEK(kek, name)}
	if seen.Before.OwnKEK && r.KEK == "" {
		return ShredResult{}, fmt.Errorf("keyset %q has a key-encryption key of its own, and the configuration does not say so: nothing was done: name what its name begins with in ownKeysUnder (--own-keys-under)", name)
	}
	if r.KEK != "" { // whatever a document says that anybody may have written who may write documents
		if r.KEKRemoved, err = own.ReleaseKEK(ctx, name); err != nil {
			return ShredResult{}, fmt.Errorf("keyset %q is not shredded: %w", name, err)
		}
	}
	if err := store.Forget(ctx, name); err != nil {
		return ShredResult{}, fmt.Errorf("keyset %q is not shredded: %w", name, err)
	}
	if r.Result, err = changeAny(ctx, store, name, plan); err != nil {
		return ShredResult{}, err
	}
	if err := store.Forget(ctx, name); err != nil {
		return ShredResult{}, fmt.Errorf("keyset %q is shredded, but earlier versions of it still hold its keys: run the command again: %w", name, err)
	}
	if r.KEK == "" {
		return r, nil
	}
	if err := own.RemoveKEK(ctx, name); err != nil {
		return ShredResult{}, fmt.Errorf("keyset %q is shredded, but its key-encryption key is still there, with which copies of the keyset open: run the command again: %w", name, err)
	}
	return r, nil
}

// ChangeShred is [Change] for the steps of a shredding, which are all that may be done to a keyset that is to be shredded.
func ChangeShred(ctx context.Context, store Store, name string, plan Plan) (Result, error) {
	return changeAny(ctx, store, name, plan)
}

// PreviewShred is [Preview] for them.
func PreviewShred(ctx context.Context, store Store, name string, plan Plan) (Result, error) {
	return preview(ctx, store, name, plan)
}
