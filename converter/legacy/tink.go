package legacy

import (
	"errors"

	"github.com/tink-crypto/tink-go/v2/tink"
	commonpb "go.temporal.io/api/common/v1"

	"github.com/signet-temporal/signet/converter"
)

// TinkOptions says which payloads a [Tink] takes for its own, and how they were sealed. Encoding is required.
type TinkOptions struct {
	// Encoding is the metadata value "encoding" of the codec's payloads.
	Encoding string
	// KeyID is the metadata value "encryption-key-id" that they must have besides; "" asks for none. Set it where several
	// codecs share an encoding.
	KeyID string
	// AssociatedData returns what the codec authenticated with a payload. Nil means nothing. It is asked for every payload
	// and must not change or keep it.
	AssociatedData func(p *commonpb.Payload) []byte
}

// Tink opens the payloads of a codec that used Tink: data is the ciphertext of the marshalled payload.
type Tink struct {
	aead    tink.AEAD
	options TinkOptions
}

// NewTink makes a decoder from the AEAD of the old keyset: aead.New of a handle. Keysets that github.com/google/tink/go
// wrote are read by keyset.Read of tink-go/v2, and its AEADs open what was sealed under them.
func NewTink(aead tink.AEAD, options TinkOptions) (*Tink, error) {
	if aead == nil {
		return nil, errors.New("legacy: no AEAD: give that of the old keyset, made with aead.New")
	}
	if options.Encoding == "" {
		return nil, errors.New("legacy: set TinkOptions.Encoding to the encoding in the metadata of the old payloads")
	}
	return &Tink{aead: aead, options: options}, nil
}

// Open implements converter.Legacy.
func (d *Tink) Open(p *commonpb.Payload) (*commonpb.Payload, error) {
	metadata := p.GetMetadata()
	if string(metadata[metadataEncoding]) != d.options.Encoding || d.options.KeyID != "" && string(metadata[metadataKeyID]) != d.options.KeyID {
		return nil, converter.ErrNotSealed
	}
	var associated []byte
	if d.options.AssociatedData != nil {
		associated = d.options.AssociatedData(p)
	}
	plaintext, err := d.aead.Decrypt(p.GetData(), associated)
	if err != nil {
		return nil, converter.ErrNotAuthentic
	}
	return inner(plaintext)
}
