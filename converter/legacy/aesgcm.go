package legacy

import (
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"fmt"

	commonpb "go.temporal.io/api/common/v1"

	"github.com/signet-temporal/signet/converter"
)

// AESGCM opens the format that the encryption samples of Temporal's SDKs share, and codecs made after them:
//
//	metadata   encoding: binary/encrypted, encryption-key-id: <key id>, and from Java encryption-cipher: AES/GCM/NoPadding
//	data       nonce (12 bytes) ‖ AES-GCM ciphertext and tag of the marshalled payload, nothing authenticated beside it
//
// Old copies of two samples differ and do not open: TypeScript's until October 2022 put a length before the payload,
// .NET's first put the tag before the ciphertext.
type AESGCM struct {
	keys map[string]cipher.AEAD
}

// NewAESGCM makes a decoder from AES keys of 16, 24 or 32 bytes by their key ids, which are compared byte for byte. A codec
// that was given no key id has written "". Give all keys to one decoder: it takes every payload of the format for its own.
func NewAESGCM(keys map[string][]byte) (*AESGCM, error) {
	if len(keys) == 0 {
		return nil, errors.New("legacy: no keys: give the old codec's keys by their key ids")
	}
	d := &AESGCM{keys: make(map[string]cipher.AEAD, len(keys))}
	for id, key := range keys {
		block, err := aes.NewCipher(key)
		if err != nil {
			return nil, fmt.Errorf("legacy: key %.60q has %d bytes: an AES key has 16, 24 or 32", id, len(key))
		}
		if d.keys[id], err = cipher.NewGCM(block); err != nil {
			return nil, fmt.Errorf("legacy: key %.60q: %w", id, err)
		}
	}
	return d, nil
}

// Open implements converter.Legacy. A payload with the format's encoding and other metadata beside it is not its own: an
// envelope with a wrapped key, say, is another format.
func (d *AESGCM) Open(p *commonpb.Payload) (*commonpb.Payload, error) {
	id, ok := SampleKeyID(p)
	if !ok {
		return nil, converter.ErrNotSealed
	}
	data := p.GetData()
	aead, ok := d.keys[id]
	if !ok {
		return nil, fmt.Errorf("%w: no key %.60q: give it to legacy.NewAESGCM", converter.ErrKeyUnavailable, id)
	}
	if len(data) < aead.NonceSize()+aead.Overhead() {
		return nil, fmt.Errorf("%w: data is too short", converter.ErrMalformed)
	}
	plaintext, err := aead.Open(nil, data[:aead.NonceSize()], data[aead.NonceSize():], nil)
	if err != nil {
		return nil, converter.ErrNotAuthentic
	}
	return inner(plaintext)
}

// SampleKeyID returns the key id of a payload in the format of [AESGCM], and whether p is one by its metadata.
func SampleKeyID(p *commonpb.Payload) (string, bool) {
	metadata := p.GetMetadata()
	id, ok := metadata[metadataKeyID]
	if !ok || string(metadata[metadataEncoding]) != "binary/encrypted" {
		return "", false
	}
	for key := range metadata {
		if key != metadataEncoding && key != metadataKeyID && key != "encryption-cipher" {
			return "", false
		}
	}
	return string(id), true
}
