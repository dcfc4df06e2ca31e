package rotate

import (
	"time"

	"github.com/signet-temporal/signet/keys"
)

// Import is one key that was made elsewhere and is to stand in a keyset.
type Import struct {
	ID keys.ID
	// State is Retired, Pending, Disabled, or Primary where the keyset has none yet.
	State    keys.State
	Imported keys.Imported
	// Wrap returns the key, wrapped for the keyset. It is not called for one that stands there already, and may be called
	// again.
	Wrap func() ([]byte, error)
}

// PlanImport returns k with keys that were made elsewhere. k is not changed, and is returned as it is when all of them
// stand in it already, in whatever state but destroyed: an import can be repeated. A key id that another key has is
// refused, and so is a second primary key. Errors match [ErrRefused].
func PlanImport(k *keys.Keyset, imports []Import, now time.Time) (*keys.Keyset, error) {
	if k.Type.Searches() {
		return nil, refusef(ErrRefused, "keyset %q makes search tokens, and keys that seal or open cannot come in: import it into the keyset of the payloads, such as ns/payments", k.Name)
	}
	next := clone(k)
	for _, in := range imports {
		there, err := imported(next, in)
		if err != nil {
			return nil, err
		}
		if there {
			continue
		}
		if p := next.Primary(); in.State == keys.Primary && p != nil {
			return nil, refusef(ErrRefused, "key %s cannot be the primary key of keyset %q, which has one: import it with --as=pending and promote it", in.ID, k.Name)
		}
		wrapped, err := in.Wrap()
		if err != nil {
			return nil, err
		}
		key := keys.Key{ID: in.ID, State: in.State, Created: stamp(now), Imported: &in.Imported, Wrapped: wrapped}
		switch in.State {
		case keys.Primary:
			key.Promoted = key.Created
		case keys.Retired:
			key.Retired = key.Created
		case keys.Disabled:
			key.Retired, key.Disabled = key.Created, key.Created
		}
		next.Keys = append(next.Keys, key)
	}
	if len(next.Keys) == len(k.Keys) {
		return k, nil
	}
	return checked(next)
}

// FindImport returns the key of k that in is, or would take the place of; nil if there is none.
func FindImport(k *keys.Keyset, in Import) *keys.Key {
	if l := in.Imported.Legacy; l != nil && l.Codec == keys.LegacyAESGCM { // its own ids are made up: what the payloads say counts
		for i, key := range k.Keys {
			if key.OpensLegacy() && key.Imported.Legacy.Codec == l.Codec && key.Imported.Legacy.KeyID == l.KeyID {
				return &k.Keys[i]
			}
		}
		return nil
	}
	return k.Key(in.ID)
}

// imported reports whether k has the key already, and refuses one whose place another key has.
func imported(k *keys.Keyset, in Import) (bool, error) {
	there := FindImport(k, in)
	switch {
	case there == nil && k.Key(in.ID) != nil:
		return false, refusef(ErrRefused, "keyset %q: key id %s, which was made up for the key, is taken: run the command again", k.Name, in.ID)
	case there == nil && in.ID == 0:
		return false, refusef(ErrRefused, "keyset %q: a key has the id 0, which means no key here: make another with Tink", k.Name)
	case there == nil:
		return false, nil
	case there.Imported == nil:
		return false, refusef(ErrRefused, "keyset %q has a key %s already, which was not imported: a key id means one key for ever, so this one cannot come in", k.Name, there.ID)
	case there.Imported.Check != in.Imported.Check:
		return false, refusef(ErrRefused, "keyset %q has another key under this id already (%s, check value %s and not %s): compare the files, and where it was the wrong one disable and destroy it and use another keyset",
			k.Name, there.ID, there.Imported.Check, in.Imported.Check)
	case !sameFormat(there.Imported.Legacy, in.Imported.Legacy):
		return false, refusef(ErrRefused, "key %s was imported into keyset %q before, for another use: see \"signet keyset status %[2]s\"", there.ID, k.Name)
	case there.State == keys.Destroyed:
		return false, isDestroyed(k, there)
	}
	return true, nil
}

func sameFormat(a, b *keys.Legacy) bool {
	return a == nil && b == nil || a != nil && b != nil && *a == *b
}
