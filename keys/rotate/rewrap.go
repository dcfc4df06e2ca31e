package rotate

import (
	"context"
	"time"

	"github.com/signet-temporal/signet/keys"
)

// VersionedKEK is a key-encryption key that can be rotated: a newer version wraps, older ones go on opening until
// somebody forbids it.
type VersionedKEK interface {
	keys.Rewrapper
	// VersionOf returns the version that made ciphertext, 0 for what is none of this KEK's.
	VersionOf(ciphertext []byte) int
	// Versions returns the version that wraps now, and the oldest that may still open.
	Versions(ctx context.Context) (latest, oldest int, err error)
}

// WrappedBy returns the version of kek that wraps a key, 0 for one without material or of another KEK.
func WrappedBy(kek VersionedKEK, key keys.Key) int {
	ciphertext, err := keys.Ciphertext(key.Wrapped)
	if err != nil {
		return 0
	}
	return kek.VersionOf(ciphertext)
}

// Lagging returns the keys of k, disabled ones included, that an older version than latest wraps.
func Lagging(k *keys.Keyset, kek VersionedKEK, latest int) []keys.ID {
	var ids []keys.ID
	for _, key := range k.Keys {
		if key.State != keys.Destroyed && WrappedBy(kek, key) < latest {
			ids = append(ids, key.ID)
		}
	}
	return ids
}

// Rewrap wraps the lagging keys of the keyset called name anew, all in one change.
func Rewrap(ctx context.Context, store Store, kek VersionedKEK, name string) (Result, error) {
	return Change(ctx, store, name, planRewrap(ctx, kek, func(k *keys.Keyset, key keys.Key) ([]byte, error) {
		return keys.Rewrap(ctx, kek, k.Name, key.Wrapped)
	}))
}

// PreviewRewrap returns what [Rewrap] would do now, and neither wraps nor changes anything.
func PreviewRewrap(ctx context.Context, store Store, kek VersionedKEK, name string) (Result, error) {
	return Preview(ctx, store, name, planRewrap(ctx, kek, func(*keys.Keyset, keys.Key) ([]byte, error) { return []byte("wrapped anew"), nil }))
}

// VersionsFor returns the versions of what wraps the keys of one keyset: of a KEK of its own, if it has one.
func VersionsFor(ctx context.Context, kek VersionedKEK, name string) (latest, oldest int, err error) {
	if own, ok := kek.(OwnKEKs); ok && own.OwnKEK(name) != "" {
		return own.OwnVersions(ctx, name)
	}
	return kek.Versions(ctx)
}

func planRewrap(ctx context.Context, kek VersionedKEK, wrap func(*keys.Keyset, keys.Key) ([]byte, error)) Plan {
	now := time.Now()
	return func(k *keys.Keyset) (*keys.Keyset, error) {
		latest, _, err := VersionsFor(ctx, kek, k.Name)
		if err != nil {
			return nil, err
		}
		lagging := Lagging(k, kek, latest)
		if len(lagging) == 0 {
			return k, nil
		}
		next := clone(k)
		for _, id := range lagging {
			key := next.Key(id)
			anew, err := wrap(k, *key)
			if err != nil {
				return nil, err
			}
			key.Wrapped, key.Rewrapped = anew, stamp(now)
		}
		return checked(next)
	}
}
