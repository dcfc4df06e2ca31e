package rotate

import (
	"context"
	"fmt"

	"github.com/signet-temporal/signet/keys"
)

const maxIDs = 8 // keys generated until one has a free id

// NewKey gives a plan the key that it adds to k.
type NewKey func(k *keys.Keyset) (id keys.ID, wrapped []byte, err error)

// Generated makes keys, wrapped by kek. A key that a lost attempt did not bring in serves the next one.
func Generated(ctx context.Context, kek keys.Wrapper) NewKey {
	var id keys.ID
	var wrapped []byte
	return func(k *keys.Keyset) (keys.ID, []byte, error) {
		if wrapped != nil && !taken(k, id) {
			return id, wrapped, nil
		}
		var err error
		id, wrapped, err = freeKey(k, func() (keys.ID, []byte, error) { return keys.Generate(ctx, kek, k.Name, k.Type) })
		return id, wrapped, err
	}
}

// Pretended makes no key: it is for plans that are only looked at.
func Pretended(k *keys.Keyset) (keys.ID, []byte, error) {
	id := keys.ID(1)
	for taken(k, id) {
		id++
	}
	return id, []byte("no key"), nil
}

func freeKey(k *keys.Keyset, generate func() (keys.ID, []byte, error)) (keys.ID, []byte, error) {
	for range maxIDs {
		id, wrapped, err := generate()
		if err != nil {
			return 0, nil, err
		}
		if !taken(k, id) {
			return id, wrapped, nil
		}
	}
	return 0, nil, fmt.Errorf("keyset %q: %d generated key ids in a row were taken: the random number generator is broken", k.Name, maxIDs)
}
