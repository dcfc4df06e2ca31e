package rotate

import (
	"context"
	"fmt"
	"time"

	"github.com/signet-temporal/signet/keys"
)

// DefaultWait is the waiting period of a destruction that names none.
const DefaultWait = 7 * 24 * time.Hour

// Evidence is what is known about the use of a key whose destruction is asked for. The zero value is none, and then no
// destruction is scheduled, nor carried out.
type Evidence struct {
	// CensusAt is when a census began that found nothing sealed with the key. It counts only if no reader could seal
	// with the key any more by then, and not at all for keys that make search tokens: a census does not count those.
	CensusAt time.Time
	// AllSealed: that census met no payload which Signet did not seal. A key that was imported for what another codec
	// sealed needs it besides, since such payloads do not carry the key's id and a census does not count them under it.
	AllSealed bool
	// AllowKeyInUse goes without a census: whoever sets it has another proof, or accepts that what is still sealed with
	// the key is lost.
	AllowKeyInUse bool
}

// SealedUntil is from when on nobody seals with a key of k any more, as far as its document says: when another took its
// place, and the propagation delay of the keyset, in which readers notice. It is a zero time while the key may seal. What a
// census finds that begins later can only become less.
func SealedUntil(k *keys.Keyset, id keys.ID) time.Time {
	key, delay := k.Key(id), time.Duration(k.Policy.PropagationDelay)
	switch {
	case key == nil, key.State == keys.Primary:
		return time.Time{}
	case key.OpensLegacy() && !key.Disabled.IsZero():
		return key.Disabled.Add(delay) // the other codec may have sealed with it until people noticed
	case key.Promoted.IsZero():
		return key.Created // it has never sealed
	case key.Retired.IsZero():
		return key.Disabled.Add(delay) // somebody made the document by hand
	}
	return key.Retired.Add(delay)
}

// shows reports why it does not show that a disabled key of k is unused.
func (o Evidence) shows(k *keys.Keyset, id keys.ID) error {
	switch sealed := SealedUntil(k, id); {
	case o.AllowKeyInUse:
		return nil
	case k.Type.Searches():
		return refusef(ErrRefused, "keyset %q, key %s: it makes search tokens, which no census counts, and workflows with its tokens are not found any more when it is destroyed: write their attributes anew, or wait until they are gone, and then use --allow-destroying-a-key-in-use", k.Name, id)
	case o.CensusAt.IsZero():
		return refusef(ErrRefused, "keyset %q, key %s: nothing shows that the key is unused, and whatever is sealed with it is lost when it is destroyed: name every namespace whose workflows use the keyset with --namespace, or censuses of them with --census", k.Name, id)
	case o.CensusAt.Before(sealed):
		return refusef(ErrTooEarly, "keyset %q, key %s: too early to count: readers may seal with the key until %s, and the census began before that: take one after it", k.Name, id, atLeast(sealed))
	case k.Key(id).OpensLegacy() && !o.AllSealed:
		return refusef(ErrRefused, "keyset %q, key %s: it opens what another codec sealed, which does not carry its id, and payloads that Signet did not seal are left: wait until they are gone, or use --allow-destroying-a-key-in-use if none of them is of that codec", k.Name, id)
	}
	return nil
}

// DestroyOptions of [PlanScheduleDestroy].
type DestroyOptions struct {
	Evidence
	// Wait is the waiting period; 0 means [DefaultWait]. It is not shorter than the keyset's propagation delay, so that
	// everything that still needs the key fails visibly while it can be enabled again.
	Wait time.Duration
}

// PlanScheduleDestroy returns k with the destruction of a disabled key scheduled: the first of two steps. k is not
// changed, and is returned as it is when the destruction is scheduled, or done, already. Errors match [ErrRefused],
// [ErrNoKey] or, for a census that began too early, [ErrTooEarly].
func PlanScheduleDestroy(k *keys.Keyset, id keys.ID, o DestroyOptions, now time.Time) (*keys.Keyset, error) {
	if o.Wait == 0 {
		o.Wait = DefaultWait
	}
	next, key, err := open(k, id)
	delay := time.Duration(k.Policy.PropagationDelay)
	switch {
	case err != nil:
		return nil, err
	case key.State == keys.Destroyed, !key.DestroyAfter.IsZero():
		return k, nil
	case key.State == keys.Primary:
		return nil, isPrimary(k, id, "destroyed", "and disable this one")
	case key.State != keys.Disabled:
		return nil, refusef(ErrRefused, "key %s of keyset %q is %s and in use: disable it first with \"signet keyset disable %[2]s --key=%[1]s\", which can be undone, and see what no longer opens", id, k.Name, key.State)
	case o.Wait < delay:
		return nil, refusef(ErrRefused, "keyset %q, key %s: a waiting period of %s is shorter than the propagation delay of %s: wait at least as long", k.Name, id, o.Wait, delay)
	}
	if err := o.shows(k, id); err != nil {
		return nil, err
	}
	key.DestroyAfter = stamp(now).Add(o.Wait)
	return checked(next)
}

// PlanCancelDestroy returns k with the scheduled destruction of a key called off; the key stays disabled. k is not
// changed, and is returned as it is when nothing is scheduled. Errors match [ErrRefused] or [ErrNoKey].
func PlanCancelDestroy(k *keys.Keyset, id keys.ID) (*keys.Keyset, error) {
	next, key, err := open(k, id)
	switch {
	case err != nil:
		return nil, err
	case key.State == keys.Destroyed:
		return nil, isDestroyed(k, key)
	case key.DestroyAfter.IsZero():
		return k, nil
	}
	key.DestroyAfter = time.Time{}
	return checked(next)
}

// PlanDestroy returns k without the material of a key whose waiting period is over: the second of two steps, for which
// the evidence is asked for again, since a backup of Temporal or a reset may have brought something back meanwhile. k is
// not changed, and is returned as it is when the key is destroyed already. Errors match [ErrRefused], [ErrNoKey] or
// [ErrTooEarly]. Earlier versions of the document still hold the material: [Destroy] removes them.
func PlanDestroy(k *keys.Keyset, id keys.ID, o Evidence, now time.Time) (*keys.Keyset, error) {
	next, key, err := open(k, id)
	switch {
	case err != nil:
		return nil, err
	case key.State == keys.Destroyed:
		return k, nil
	case key.State != keys.Disabled || key.DestroyAfter.IsZero():
		return nil, refusef(ErrRefused, "key %s of keyset %q is %s and its destruction is not scheduled: schedule it with \"signet keyset destroy %[2]s --key=%[1]s --schedule\"", id, k.Name, key.State)
	}
	if wait := key.DestroyAfter.Sub(now); wait > 0 {
		return nil, refusef(ErrTooEarly, "keyset %q, key %s: too early to destroy: the waiting period ends in %s, at %s; until then \"signet keyset destroy %[1]s --key=%[2]s --cancel\" calls it off", k.Name, id, roundUp(wait), atLeast(key.DestroyAfter))
	}
	if err := o.shows(k, id); err != nil {
		return nil, err
	}
	if !o.AllowKeyInUse && o.CensusAt.Before(key.DestroyAfter) {
		return nil, refusef(ErrTooEarly, "keyset %q, key %s: the census began before the waiting period was over, at %s, and something may have come back since: take another", k.Name, id, atLeast(key.DestroyAfter))
	}
	key.State, key.Destroyed, key.DestroyAfter, key.Wrapped = keys.Destroyed, stamp(now), time.Time{}, nil
	return checked(next)
}

// Forgetter is a [Store] that can drop the earlier versions of a document, as [keys.Store] does.
type Forgetter interface {
	Store
	Forget(ctx context.Context, name string) error
}

// Destroy carries out the scheduled destruction of a key: see [PlanDestroy]. It removes what the store keeps of earlier
// versions of the document, first, so that nothing is half done by somebody who may not do that, and last, also when the
// key was destroyed before, so that an interrupted run is completed.
func Destroy(ctx context.Context, store Forgetter, name string, id keys.ID, o Evidence) (Result, error) {
	now := time.Now()
	plan := func(k *keys.Keyset) (*keys.Keyset, error) { return PlanDestroy(k, id, o, now) }
	if _, err := Preview(ctx, store, name, plan); err != nil {
		return Result{}, err
	}
	if err := store.Forget(ctx, name); err != nil {
		return Result{}, fmt.Errorf("key %s of keyset %q is not destroyed: %w", id, name, err)
	}
	result, err := Change(ctx, store, name, plan)
	if err != nil {
		return Result{}, err
	}
	if err := store.Forget(ctx, name); err != nil {
		return Result{}, fmt.Errorf("key %s of keyset %q is destroyed, but earlier versions of the keyset still hold it: run the command again: %w", id, name, err)
	}
	return result, nil
}
