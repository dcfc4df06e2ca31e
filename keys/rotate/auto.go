package rotate

import (
	"time"

	"github.com/signet-temporal/signet/keys"
)

// Due is the next step that a keyset's policy asks for.
type Due struct {
	// Promote is the pending key to promote; 0: a key is to be added.
	Promote keys.ID
	At      time.Time
}

// NextDue returns the next step of k's rotation, and whether there is one: without a period of rotation in the policy,
// a rotation that somebody began is finished by people, too.
func NextDue(k *keys.Keyset) (Due, bool) {
	policy := k.Policy
	if policy.RotateEvery == 0 {
		return Due{}, false
	}
	if waiting := Pending(k); len(waiting) > 0 {
		return Due{waiting[0], k.Key(waiting[0]).Created.Add(time.Duration(policy.PropagationDelay))}, true
	}
	due := Due{}
	if primary := k.Primary(); primary != nil {
		due.At = primary.Promoted.Add(time.Duration(policy.RotateEvery))
	}
	return due, true
}

// PlanAuto returns k one step further as its policy asks for, or k itself when nothing is due: a key is added when the
// primary one is old enough, and promoted, which retires the former, when the propagation delay has passed. It never
// disables or destroys a key. k is not changed.
func PlanAuto(k *keys.Keyset, fresh NewKey, now time.Time) (*keys.Keyset, error) {
	due, ok := NextDue(k)
	switch {
	case !ok || due.At.After(now):
		return k, nil
	case due.Promote != 0:
		return PlanPromote(k, PromoteOptions{Key: due.Promote}, now)
	}
	return add(k, fresh, now)
}
