package rotate

import (
	"time"

	"github.com/signet-temporal/signet/keys"
)

// PlanCompromised returns k with a key marked as compromised, so that it never seals again: if it is the primary key,
// another is made primary at once, the oldest pending one or a new one, without waiting for the propagation delay; if
// it is pending, it is retired. It goes on opening, since what it sealed is still needed. k is not changed, and is
// returned as it is when all that was done already. The error matches [ErrNoKey] when there is no such key.
func PlanCompromised(k *keys.Keyset, id keys.ID, fresh NewKey, now time.Time) (*keys.Keyset, error) {
	next, key, err := open(k, id)
	if err != nil {
		return nil, err
	}
	switch {
	case key.State == keys.Primary:
		if next, err = PlanBegin(next, fresh, now); err == nil {
			next, err = PlanPromote(next, PromoteOptions{Force: true}, now)
		}
	case key.State == keys.Pending:
		next, err = PlanRetire(next, id, now)
	case !key.Compromised.IsZero():
		return k, nil
	}
	if err != nil {
		return nil, err
	}
	next.Key(id).Compromised = stamp(now)
	return checked(next)
}
