// Package legacykeys opens payloads that other codecs sealed, with the keys that a custodian has imported into a keyset
// ("signet keyset import"): for the time of a migration, as a decoder in signet.Options.Legacy.
//
// Nothing is sealed in these formats. What stands in the documentation of package converter/legacy about them holds here,
// too: whoever has had the old key can still make payloads that open. A custodian ends that for all processes at once, by
// disabling the key.
package legacykeys

import (
	"errors"
	"fmt"

	commonpb "go.temporal.io/api/common/v1"

	"github.com/signet-temporal/signet/converter"
	"github.com/signet-temporal/signet/converter/legacy"
	"github.com/signet-temporal/signet/keys"
)

// Ring is what a [Decoder] needs of a *keys.Ring.
type Ring interface {
	Legacy(keyset string) ([]keys.LegacyKey, error)
}

// Decoder opens what the legacy keys of some keysets open. It is safe for concurrent use and does no I/O. A key that is
// imported, disabled or destroyed is noticed when the ring refreshes.
type Decoder struct {
	ring    Ring
	keysets []string
}

var _ converter.Legacy = (*Decoder)(nil)

// New makes a decoder over the keysets, which ring must hold; the keys of the first are tried first.
func New(ring Ring, keysets ...string) (*Decoder, error) {
	if ring == nil || len(keysets) == 0 {
		return nil, errors.New("legacykeys: it needs a ring and the name of a keyset with imported keys")
	}
	for _, name := range keysets {
		if _, err := ring.Legacy(name); err != nil {
			return nil, fmt.Errorf("legacykeys: %w", err)
		}
	}
	return &Decoder{ring, keysets}, nil
}

// Takes reports whether p is, by its metadata, in the format of a codec of which there is a key, and names keyset and key
// if that is decided by it: "ns/payments/1a2b3c4d". It opens nothing.
func (d *Decoder) Takes(p *commonpb.Payload) (key string, ok bool) {
	found := d.candidates(p)
	if len(found.keys) == 1 {
		key = found.keys[0].keyset + "/" + found.keys[0].ID.String()
	}
	return key, found.mine
}

// Open implements converter.Legacy.
func (d *Decoder) Open(p *commonpb.Payload) (*commonpb.Payload, error) {
	found := d.candidates(p)
	switch {
	case !found.mine && found.trouble != nil:
		return nil, fmt.Errorf("%w: %w", converter.ErrKeyUnavailable, found.trouble)
	case !found.mine:
		return nil, converter.ErrNotSealed
	case len(found.keys) == 0:
		return nil, fmt.Errorf("%w: no key %.60q: import it with \"signet keyset import %s\"", converter.ErrKeyUnavailable, found.keyID, d.keysets[0])
	}
	var closed error // the first key that would perhaps open it and must not, or cannot now
	for _, key := range found.keys {
		opened, err := key.open(p)
		switch {
		case err == nil:
			return opened, nil
		case errors.Is(err, converter.ErrMalformed): // it opened, and holds no payload
			return nil, err
		case closed == nil && !errors.Is(err, converter.ErrNotAuthentic):
			closed = err
		}
	}
	if closed != nil {
		return nil, closed
	}
	return nil, converter.ErrNotAuthentic
}

type candidate struct {
	keys.LegacyKey
	keyset string
}

// candidates are the keys that may open a payload.
type candidates struct {
	keys    []candidate
	mine    bool   // it is in the format of one of the keys
	keyID   string // by which the payload names its key
	trouble error  // with a keyset
}

func (d *Decoder) candidates(p *commonpb.Payload) candidates {
	id, sample := legacy.SampleKeyID(p)
	found := candidates{keyID: id}
	for _, keyset := range d.keysets {
		all, err := d.ring.Legacy(keyset)
		if err != nil && found.trouble == nil {
			found.trouble = err
		}
		for _, key := range all {
			fits := sample && key.KeyID == id
			mine := sample
			if key.Codec == keys.LegacyTink {
				metadata := p.GetMetadata()
				mine = string(metadata["encoding"]) == key.Encoding && (key.KeyID == "" || string(metadata["encryption-key-id"]) == key.KeyID)
				fits = mine
			}
			found.mine = found.mine || mine
			if fits {
				found.keys = append(found.keys, candidate{key, keyset})
			}
		}
	}
	return found
}

func (c candidate) open(p *commonpb.Payload) (*commonpb.Payload, error) {
	switch {
	case c.State == keys.Destroyed:
		return nil, fmt.Errorf("%w: legacy key %s of keyset %q", converter.ErrKeyDestroyed, c.ID, c.keyset)
	case c.AEAD == nil && c.State == keys.Disabled:
		return nil, fmt.Errorf("%w: legacy key %s of keyset %q is disabled: enable it again to open what it sealed", converter.ErrKeyUnavailable, c.ID, c.keyset)
	case c.AEAD == nil:
		return nil, fmt.Errorf("%w: legacy key %s of keyset %q could not be unwrapped yet: retry", converter.ErrKeyUnavailable, c.ID, c.keyset)
	}
	options := legacy.TinkOptions{Encoding: c.Encoding}
	if c.Codec == keys.LegacyAESGCM {
		// An AES-GCM key of Tink without prefix reads what the samples write, once it is known whose key it is.
		options.Encoding = "binary/encrypted"
	}
	if c.AssociatedData != "" {
		options.AssociatedData = func(p *commonpb.Payload) []byte { return p.GetMetadata()[c.AssociatedData] }
	}
	decoder, err := legacy.NewTink(c.AEAD, options)
	if err != nil {
		return nil, err
	}
	return decoder.Open(p)
}
