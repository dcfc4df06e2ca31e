package rotate

import (
	"time"

	"github.com/signet-temporal/signet/keys"
)

// PlanRetire returns k with a pending key retired: a rotation given up. k is not changed, and is returned as it is when
// the key is retired already. Errors match [ErrRefused] or [ErrNoKey].
func PlanRetire(k *keys.Keyset, id keys.ID, now time.Time) (*keys.Keyset, error) {
	next, key, err := open(k, id)
	if err != nil {
		return nil, err
	}
	switch key.State {
	case keys.Retired:
		return k, nil
	case keys.Primary:
		return nil, isPrimary(k, id, "retired", "which retires this one")
	case keys.Disabled:
		return nil, refusef(ErrRefused, "key %s of keyset %q is disabled: \"signet keyset enable %[2]s --key=%[1]s\" makes it a retired key again", id, k.Name)
	case keys.Destroyed:
		return nil, isDestroyed(k, key)
	}
	key.State, key.Retired = keys.Retired, stamp(now)
	return checked(next)
}

// PlanDisable returns k with a retired or pending key disabled: what it sealed does not open until it is enabled again.
// k is not changed, and is returned as it is when the key is disabled already. A key that sealed until less than the
// keyset's propagation delay ago is refused with [ErrTooEarly] unless force is set, since readers that have not
// refreshed since still seal with it. Other errors match [ErrRefused] or [ErrNoKey].
func PlanDisable(k *keys.Keyset, id keys.ID, force bool, now time.Time) (*keys.Keyset, error) {
	next, key, err := open(k, id)
	if err != nil {
		return nil, err
	}
	switch key.State {
	case keys.Disabled:
		return k, nil
	case keys.Primary:
		return nil, isPrimary(k, id, "disabled", "then disable this one")
	case keys.Destroyed:
		return nil, isDestroyed(k, key)
	case keys.Retired:
		allowed := key.Retired.Add(time.Duration(k.Policy.PropagationDelay))
		if wait := allowed.Sub(now); wait > 0 && !key.Promoted.IsZero() && !force {
			return nil, refusef(ErrTooEarly, "keyset %q, key %s: too early to disable: it may be disabled in %s, at %s; --force disables it now, and then what readers that have not refreshed since it was retired still seal with it does not open",
				k.Name, id, roundUp(wait), atLeast(allowed))
		}
	}
	key.State, key.Disabled = keys.Disabled, stamp(now)
	if !opens(next) {
		return nil, refusef(ErrRefused, "key %s of keyset %q is the last one that opens anything: add another first with \"signet keyset rotate %[2]s\"", id, k.Name)
	}
	return checked(next)
}

// PlanEnable returns k with a disabled key retired again, so that it opens; a scheduled destruction is called off. k is
// not changed, and is returned as it is when the key opens already. Errors match [ErrRefused] or [ErrNoKey].
func PlanEnable(k *keys.Keyset, id keys.ID, now time.Time) (*keys.Keyset, error) {
	next, key, err := open(k, id)
	if err != nil {
		return nil, err
	}
	switch {
	case key.State.Opens():
		return k, nil
	case key.State == keys.Destroyed:
		return nil, isDestroyed(k, key)
	}
	key.State, key.Disabled, key.DestroyAfter = keys.Retired, time.Time{}, time.Time{}
	if key.Retired.IsZero() {
		key.Retired = stamp(now)
	}
	return checked(next)
}

// open returns a copy of k and the key in it that a step is about.
func open(k *keys.Keyset, id keys.ID) (*keys.Keyset, *keys.Key, error) {
	next := clone(k)
	key := next.Key(id)
	if key == nil {
		return nil, nil, noKey(k, id)
	}
	return next, key, nil
}

func opens(k *keys.Keyset) bool {
	for _, key := range k.Keys {
		if key.State.Opens() {
			return true
		}
	}
	return false
}

func isPrimary(k *keys.Keyset, id keys.ID, done, and string) error {
	first := "promote another first with \"signet keyset promote " + k.Name + "\""
	if len(Pending(k)) == 0 {
		first = "add another with \"signet keyset rotate " + k.Name + "\", promote that"
	}
	return refusef(ErrRefused, "key %s of keyset %q is the primary key, which seals, and cannot be %s: %s, %s", id, k.Name, done, first, and)
}

func isDestroyed(k *keys.Keyset, key *keys.Key) error {
	return refusef(ErrRefused, "key %s of keyset %q was destroyed on %s, and nothing brings it back: restore the payloads it sealed from another source", key.ID, k.Name, key.Destroyed.UTC().Format(time.DateOnly))
}
