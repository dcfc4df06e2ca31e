package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
)

// The metadata of a sealed payload (spec §2). A sealed payload has these three keys and no other.
const (
	MetadataEncoding = "encoding"
	MetadataKeyID    = "encryption-key-id"
	MetadataContext  = "encryption-context"

	// Encoding is the value of [MetadataEncoding], always.
	Encoding = "binary/encrypted"
)

// Sizes in bytes (spec §2 and §3).
const (
	MaxContext = 16 << 10 // longest "encryption-context" value that is read or written
	prefixSize = 5        // 0x01 and the key id, big-endian: Tink's TINK prefix
	minData    = prefixSize + 12 + 16 + 1
)

// domain separates the associated data of format v1 from that of everything else.
const domain = "signet/payload/v1\x00"

// Errors of [Parse]. The text after them says what is wrong, never what the data holds.
var (
	// ErrForeign: the payload is not ours: it has no "encryption-context".
	ErrForeign = errors.New("payload was not sealed by signet")
	// ErrMalformed: the payload claims to be ours and breaks the format.
	ErrMalformed = errors.New("malformed sealed payload")
	// ErrVersion: the payload is of a later format than v1.
	ErrVersion = errors.New("sealed payload of an unknown format version: upgrade signet")
)

// Outer is what the outside of a sealed payload says. It is not authentic until the payload has been opened.
type Outer struct {
	Keyset   string // name of the keyset, such as "ns/payments"; see [CheckName]
	KeyID    uint32 // the Tink key id
	Scope    string // "ns": the namespace, or what stands for it; never empty
	Workflow string // "wf": the workflow id, "" where the encoder did not know one
}

// Key names the key: <keyset name>/<8 lower-case hex digits>.
func (o Outer) Key() string {
	return string(appendKeyID(make([]byte, 0, len(o.Keyset)+1+idDigits), o.Keyset, o.KeyID))
}

// Sealed reports whether metadata claims to be of a sealed payload of any version of our format.
func Sealed(metadata map[string][]byte) bool {
	_, ok := metadata[MetadataContext]
	return ok
}

// Exempt reports whether metadata is of a payload that is never sealed (spec §5): the SDK's reference to a payload in
// external storage, which was sealed before it was stored, and an envelope of Temporal's own, which the server reads.
func Exempt(metadata map[string][]byte) bool {
	reference := string(metadata["messageType"]) == "temporal.api.sdk.v1.ExternalStorageReference" &&
		string(metadata[MetadataEncoding]) == "json/protobuf"
	system := string(metadata["__temporal_system_payload"]) == "true" &&
		strings.HasPrefix(string(metadata["messageType"]), "temporal.api.") && string(metadata[MetadataEncoding]) == "binary/protobuf"
	return reference || system
}

// Parse reads the outside of a sealed payload. metadata and data are those of the Temporal Payload; neither is kept.
func Parse(metadata map[string][]byte, data []byte) (Outer, error) {
	return ParseKnown(metadata, data, Known{})
}

// ParseKnown is [Parse] for who expects what the payload says.
func ParseKnown(metadata map[string][]byte, data []byte, known Known) (Outer, error) {
	if !Sealed(metadata) {
		return Outer{}, ErrForeign
	}
	o, err := parseContext(metadata[MetadataContext], known)
	if err != nil {
		return Outer{}, err
	}
	if err := checkEncoding(metadata); err != nil {
		return Outer{}, err
	}
	if o.Keyset, o.KeyID, err = parseKeyID(metadata[MetadataKeyID], known); err != nil {
		return Outer{}, err
	}
	if err := o.fits(metadata, data); err != nil {
		return Outer{}, err
	}
	return o, nil
}

func checkEncoding(metadata map[string][]byte) error {
	if string(metadata[MetadataEncoding]) != Encoding {
		return malformed("encoding is not " + Encoding)
	}
	return nil
}

// fits checks what of a payload depends on more than the key id and the context.
func (o Outer) fits(metadata map[string][]byte, data []byte) error {
	switch {
	case len(metadata) != 3:
		return malformed("metadata has keys that are not authenticated")
	case len(data) < minData:
		return malformed("data is too short")
	case data[0] != 1 || binary.BigEndian.Uint32(data[1:prefixSize]) != o.KeyID:
		return malformed("data was not sealed by the key that " + MetadataKeyID + " names")
	}
	return nil
}

// Header is an [Outer] in the bytes that stand in a payload's metadata. Its slices are shared: never write to them.
type Header struct {
	keyID, context []byte
}

// Header writes o, or says what in o cannot be written.
func (o Outer) Header() (Header, error) {
	context, err := NewContext(o.Scope, o.Workflow)
	if err != nil {
		return Header{}, err
	}
	keyID, err := NewKeyID(o.Keyset, o.KeyID)
	if err != nil {
		return Header{}, err
	}
	return Header{keyID, context}, nil
}

// KeyID is a written "encryption-key-id", and Context a written "encryption-context". An encoder that seals much makes
// each once and joins them with [Join].
type (
	KeyID   []byte
	Context []byte
)

// NewKeyID writes the key id, or says why the keyset's name cannot be written.
func NewKeyID(keyset string, id uint32) (KeyID, error) {
	if err := CheckName(keyset); err != nil {
		return nil, err
	}
	return appendKeyID(make([]byte, 0, len(keyset)+1+idDigits), keyset, id), nil
}

// NewContext writes the context. A workflow of "" is left out.
func NewContext(scope, workflow string) (Context, error) {
	if err := checkText("scope", scope, false); err != nil {
		return nil, err
	}
	if err := checkText("workflow id", workflow, true); err != nil {
		return nil, err
	}
	context := appendContext(make([]byte, 0, len(scope)+len(workflow)+24), scope, workflow)
	if len(context) > MaxContext {
		return nil, fmt.Errorf("scope and workflow id are too long: %d bytes of %s, %d are allowed", len(context), MetadataContext, MaxContext)
	}
	return context, nil
}

// Join makes a header of its two written parts.
func Join(keyID KeyID, context Context) Header { return Header{keyID, context} }

// HeaderOf returns the header that metadata holds, as it stands there. Use it on metadata that [Parse] accepted.
func HeaderOf(metadata map[string][]byte) Header {
	return Header{keyID: metadata[MetadataKeyID], context: metadata[MetadataContext]}
}

// Metadata returns a new map for a payload's metadata. The values are shared with every other payload of this header.
func (h Header) Metadata(encoding []byte) map[string][]byte {
	return map[string][]byte{MetadataEncoding: encoding, MetadataKeyID: h.keyID, MetadataContext: h.context}
}

// AppendAssociatedData appends what is authenticated with the ciphertext (spec §3): the domain, then the three metadata
// values in the order encoding, key id, context, each behind its length as four bytes, big-endian.
func (h Header) AppendAssociatedData(dst []byte) []byte {
	dst = append(dst, domain...)
	dst = appendSized(dst, Encoding)
	dst = appendSized(dst, h.keyID)
	return appendSized(dst, h.context)
}

func appendSized[T string | []byte](dst []byte, value T) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(value))) // #nosec G115 -- bounded by MaxContext
	return append(dst, value...)
}

func malformed(what string) error { return fmt.Errorf("%w: %s", ErrMalformed, what) }
