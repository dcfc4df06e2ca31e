package rotate

import (
	"slices"

	"github.com/signet-temporal/signet/keys"
)

// PlanForward returns backup in the place of k, if k is an earlier state of the same keyset: every key of k stands in
// backup, in the same or a later state of its life. That is so in a Vault that was restored from a snapshot older than the
// backup. k itself is returned when both are the same. Errors match [ErrRefused]: nothing is brought back that was
// disabled, destroyed or marked as compromised, and no key is lost.
func PlanForward(k, backup *keys.Keyset) (*keys.Keyset, error) {
	refuse := func(format string, args ...any) (*keys.Keyset, error) {
		return nil, refusef(ErrRefused, "keyset %q "+format+": it is not brought forward: look at both with \"signet keyset status %[1]s\" and \"signet keyset verify --file FILE\"", append([]any{k.Name}, args...)...)
	}
	switch {
	case k.Type != backup.Type:
		return refuse("is of type %s, and of type %s in the backup", k.Type, backup.Type)
	case k.OwnKEK != backup.OwnKEK: // it is so from the keyset's creation on or never
		return refuse("is another than the one in the backup: one of the two has a key-encryption key of its own")
	case k.Idle() && !backup.Idle():
		return refuse("is further than the backup: it is, or is to be, shredded")
	case !k.Shredded.IsZero() && backup.Shredded.IsZero():
		return refuse("is further than the backup: it is shredded")
	}
	life := []keys.State{keys.Pending, keys.Primary, keys.Retired, keys.Disabled, keys.Destroyed}
	for _, key := range k.Keys {
		later := backup.Key(key.ID)
		switch {
		case later == nil:
			return refuse("has key %s, which the backup does not have", key.ID)
		case !later.Created.Equal(key.Created):
			return refuse("has another key in the place of one of the backup: key %s was made at another time than the one in the backup", key.ID)
		case slices.Index(life, later.State) < slices.Index(life, key.State):
			return refuse("is further than the backup: key %s is %s, and %s in the backup", key.ID, key.State, later.State)
		case !key.Compromised.IsZero() && later.Compromised.IsZero():
			return refuse("is further than the backup: key %s is marked as compromised, and not in the backup", key.ID)
		case key.Rewrapped.After(later.Rewrapped) && later.State != keys.Destroyed:
			return refuse("is further than the backup: key %s was wrapped anew after the backup", key.ID)
		}
	}
	if same(k, backup) {
		return k, nil
	}
	return checked(backup)
}
