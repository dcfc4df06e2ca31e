package keys

import (
	"errors"
	"fmt"

	"github.com/tink-crypto/tink-go/v2/tink"
)

// Imported is what a document says about a key that was made elsewhere. It is never changed.
type Imported struct {
	// Check tells the key from others without showing it: the first four bytes of HMAC-SHA256 over
	// "signet/imported-key/v1" under the key, as eight hex digits. An import that is repeated is recognised by it.
	Check string `json:"check"`
	// Legacy is set on a key that opens what another codec sealed. Such a key opens nothing else and never seals.
	Legacy *Legacy `json:"legacy,omitempty"`
}

// Codecs of [Legacy].
const (
	LegacyAESGCM = "aes-gcm" // the encryption samples of Temporal's SDKs
	LegacyTink   = "tink"    // the marshalled payload, encrypted by a Tink AEAD
)

// Legacy says in which format another codec sealed with a key: what package converter/legacy has to know.
type Legacy struct {
	// Codec is [LegacyAESGCM] or [LegacyTink].
	Codec string `json:"codec"`
	// KeyID is the metadata value "encryption-key-id" of the payloads. For Tink, "" is any or none.
	KeyID string `json:"keyID,omitempty"`
	// Encoding is, for Tink, the metadata value "encoding" of the payloads.
	Encoding string `json:"encoding,omitempty"`
	// AssociatedData is, for Tink, the metadata key whose value was authenticated with the payload; "" for none.
	AssociatedData string `json:"associatedData,omitempty"`
}

// String describes the format for people.
func (l Legacy) String() string {
	if l.Codec == LegacyAESGCM {
		return fmt.Sprintf("the sample codec's, with encryption-key-id %q", l.KeyID)
	}
	return fmt.Sprintf("a Tink codec's, with encoding %q", l.Encoding)
}

// OpensLegacy reports whether the key opens what another codec sealed, and nothing else.
func (k *Key) OpensLegacy() bool { return k.Imported != nil && k.Imported.Legacy != nil }

func (k *Key) checkImported() error {
	if !k.OpensLegacy() {
		return nil
	}
	l := k.Imported.Legacy
	switch {
	case k.State == Pending, k.State == Primary:
		return fmt.Errorf("it is %s, and a key that opens what another codec sealed never seals", k.State)
	case l.Codec == LegacyTink && l.Encoding == "":
		return errors.New("it opens what a Tink codec sealed, and the encoding of that is not given")
	case l.Codec != LegacyTink && l.Codec != LegacyAESGCM:
		return fmt.Errorf("it opens what codec %q sealed, which this version does not know: upgrade signet", l.Codec)
	}
	return nil
}

// LegacyKey is a key of a [Ring] that opens what another codec sealed.
type LegacyKey struct {
	ID ID
	Legacy
	State State
	// AEAD opens. It is nil while the key is disabled, destroyed, or could not be unwrapped yet.
	AEAD tink.AEAD
}

// Legacy returns the keys of a keyset that open what other codecs sealed, oldest first; the caller does not change them.
// It reads memory alone, as [Ring.Lookup] does, which never returns such a key. The error matches [ErrUnavailable].
func (r *Ring) Legacy(keyset string) ([]LegacyKey, error) {
	m, err := r.member(keyset)
	if err != nil {
		return nil, err
	}
	return m.now.Load().legacy, nil
}
