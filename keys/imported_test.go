package keys_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"

	"github.com/signet-temporal/signet/keys"
	"github.com/signet-temporal/signet/keys/rotate"
)

// imports puts a key that a Tink codec used into the keyset, with a prefix, so that its id could be looked up.
func (f *fixture) imports() (keys.ID, *keyset.Handle) {
	f.Helper()
	handle, err := keyset.NewHandle(aead.XAES256GCM192BitNonceKeyTemplate())
	if err != nil {
		f.Fatal(err)
	}
	id := keys.ID(handle.KeysetInfo().GetPrimaryKeyId())
	wrapped, err := keys.Wrap(f.Context(), f.kek, name, handle)
	if err != nil {
		f.Fatal(err)
	}
	f.step(func(k *keys.Keyset) (*keys.Keyset, error) {
		return rotate.PlanImport(k, []rotate.Import{{
			ID: id, State: keys.Retired, Imported: keys.Imported{Check: "00000000", Legacy: &keys.Legacy{Codec: keys.LegacyTink, Encoding: "binary/tink"}},
			Wrap: func() ([]byte, error) { return wrapped, nil },
		}}, time.Now())
	})
	return id, handle
}

func TestALegacyKeyIsGivenOutForWhatItIsAlone(t *testing.T) {
	inBubble(t, keys.RingOptions{}, func(f *fixture) {
		first := firstID(f)
		if legacy, err := f.ring.Legacy(name); err != nil || len(legacy) != 0 {
			f.Fatalf("%v, %v", legacy, err)
		}
		id, handle := f.imports()
		f.wantPrimary(first)
		f.wantRefused(name, id, keys.ErrUnavailable, "opens only what another codec sealed")
		legacy, err := f.ring.Legacy(name)
		if err != nil || len(legacy) != 1 || legacy[0].ID != id || legacy[0].Encoding != "binary/tink" || legacy[0].AEAD == nil {
			f.Fatalf("%+v, %v", legacy, err)
		}
		old, err := aead.New(handle)
		if err != nil {
			f.Fatal(err)
		}
		sealed, err := old.Encrypt([]byte("hello"), nil)
		if err != nil {
			f.Fatal(err)
		}
		if text, err := legacy[0].AEAD.Decrypt(sealed, nil); err != nil || !bytes.Equal(text, []byte("hello")) {
			f.Errorf("%q, %v", text, err)
		}
		f.step(func(k *keys.Keyset) (*keys.Keyset, error) { return rotate.PlanDisable(k, id, false, time.Now()) })
		if legacy, err := f.ring.Legacy(name); err != nil || legacy[0].AEAD != nil || legacy[0].State != keys.Disabled {
			f.Errorf("disabled: %+v, %v", legacy, err)
		}
		if legacy, err := f.ring.Legacy("ns/other"); !errors.Is(err, keys.ErrUnavailable) || legacy != nil {
			f.Errorf("of another keyset: %v, %v", legacy, err)
		}
	})
}

func TestADocumentWithAnImpossibleLegacyKeyIsRefused(t *testing.T) {
	for says, key := range map[string]keys.Key{
		"never seals":      {State: keys.Pending, Imported: &keys.Imported{Legacy: &keys.Legacy{Codec: keys.LegacyAESGCM}}},
		"encoding":         {State: keys.Retired, Imported: &keys.Imported{Legacy: &keys.Legacy{Codec: keys.LegacyTink}}},
		"upgrade signet":   {State: keys.Retired, Imported: &keys.Imported{Legacy: &keys.Legacy{Codec: "rot13"}}},
		"unknown state":    {State: "", Imported: &keys.Imported{}},
		"its material is ": {State: keys.Destroyed, Imported: &keys.Imported{}},
	} {
		key.ID, key.Wrapped = 1, []byte("x")
		k := &keys.Keyset{Format: 1, Name: "ns/a", Type: keys.XAES256GCM, Keys: []keys.Key{key}}
		if err := k.Check(); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%+v: %v, want %q", key, err, says)
		}
	}
}
