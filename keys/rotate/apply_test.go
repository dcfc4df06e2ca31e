package rotate

import (
	"strings"
	"testing"

	"github.com/signet-temporal/signet/keys"
)

func TestKeyWhoseIDIsTakenIsGeneratedAgain(t *testing.T) {
	k := &keys.Keyset{Name: "ns/x", Keys: []keys.Key{{ID: 1, State: keys.Destroyed}, {ID: 2, State: keys.Primary, Wrapped: []byte{1}}}}
	ids := []keys.ID{1, 0, 2, 3}
	id, wrapped, err := freeKey(k, func() (keys.ID, []byte, error) {
		id := ids[0]
		ids = ids[1:]
		return id, []byte{byte(id)}, nil
	})
	if err != nil || id != 3 || len(wrapped) != 1 || wrapped[0] != 3 {
		t.Errorf("freeKey = %s, %v, %v, want key 3 and what belongs to it", id, wrapped, err)
	}
	id, wrapped, err = freeKey(k, func() (keys.ID, []byte, error) { return 2, []byte{2}, nil })
	if err == nil || id != 0 || wrapped != nil || !strings.Contains(err.Error(), "random number generator") {
		t.Errorf("freeKey = %s, %v, %v, want it to give up", id, wrapped, err)
	}
}
