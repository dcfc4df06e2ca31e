package propagate

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/tink-crypto/tink-go/v2/tink"
	commonpb "go.temporal.io/api/common/v1"

	"github.com/signet-temporal/signet/internal/wire"
)

// Header is the name of the one header field that carries a sealed principal.
const Header = "signet-principal"

// Encoding is the "encoding" of its payload.
const Encoding = "binary/principal-v1"

// maxData is the longest sealed record that is looked at: the longest that can be written fits.
const maxData = 2048

const (
	domain     = "signet/principal/v1\x00"
	prefixSize = 5 // 0x01 and the key id, big-endian: Tink's TINK prefix
)

// Keys is what a [Sealer] needs of a key ring; *keys.Ring is one. Both methods are called on workflow goroutines: they
// must be safe for concurrent use and answer at once or, for a key that is not known yet, within a few hundred
// milliseconds. An error that will never go away has a method Permanent() bool that returns true.
type Keys interface {
	// Primary returns the id and the AEAD of the keyset's primary key.
	Primary(keyset string) (id uint32, aead tink.AEAD, err error)
	// Lookup returns the AEAD of one key of the keyset.
	Lookup(keyset string, id uint32) (tink.AEAD, error)
}

// Sealer seals and opens records for one scope under one keyset, without any input or output but its keys'. It judges
// nothing: a record that opens is genuine, and no more.
type Sealer struct {
	keys          Keys
	keyset, scope string
}

// NewSealer makes a sealer.
func NewSealer(keys Keys, keyset, scope string) (Sealer, error) {
	if keys == nil {
		return Sealer{}, errors.New("propagate: no keys: give a keys.Ring")
	}
	if err := wire.CheckName(keyset); err != nil {
		return Sealer{}, fmt.Errorf("propagate: %w", err)
	}
	if scope == "" || len(scope) > maxData {
		return Sealer{}, errors.New("propagate: the scope is empty or too long: give the namespace")
	}
	return Sealer{keys, keyset, scope}, nil
}

// Seal returns the payload of the header. On an error it returns nil.
func (s Sealer) Seal(r Record) (*commonpb.Payload, error) {
	id, aead, err := s.keys.Primary(s.keyset)
	if err != nil {
		return nil, keyError(err)
	}
	keyID, err := wire.NewKeyID(s.keyset, id)
	if err != nil {
		return nil, refuse(ReasonMalformed, err.Error())
	}
	plain, err := r.append(make([]byte, 0, 256))
	if err != nil {
		return nil, &Error{reason: ReasonMalformed, cause: err}
	}
	data, err := aead.Encrypt(plain, s.associatedData(keyID))
	if err != nil {
		return nil, refuse(ReasonUnavailable, "sealing failed") // the cause is of the AEAD: it may say anything
	}
	return &commonpb.Payload{Metadata: map[string][]byte{wire.MetadataEncoding: []byte(Encoding), wire.MetadataKeyID: keyID}, Data: data}, nil
}

// Open returns the record of a header's payload, or an [*Error] and the zero Record.
func (s Sealer) Open(p *commonpb.Payload) (Record, error) {
	metadata, data := p.GetMetadata(), p.GetData()
	if string(metadata[wire.MetadataEncoding]) != Encoding {
		return Record{}, refuse(ReasonNotSealed, "")
	}
	keyset, id, err := wire.ParseKeyID(metadata[wire.MetadataKeyID])
	switch {
	case err != nil:
		return Record{}, &Error{reason: ReasonMalformed, cause: err}
	case len(metadata) != 2 || len(p.GetExternalPayloads()) > 0:
		return Record{}, refuse(ReasonMalformed, "there is something that is not authenticated")
	case len(data) > maxData:
		return Record{}, refuse(ReasonMalformed, "it is too long")
	case len(data) < prefixSize || data[0] != 1 || binary.BigEndian.Uint32(data[1:]) != id:
		return Record{}, refuse(ReasonMalformed, "it was not sealed by the key that it names")
	case keyset != s.keyset:
		return Record{}, refuse(ReasonNotAuthentic, fmt.Sprintf("sealed under another keyset than %q", s.keyset))
	}
	aead, err := s.keys.Lookup(keyset, id)
	if err != nil {
		return Record{}, keyError(err)
	}
	plain, err := aead.Decrypt(data, s.associatedData(metadata[wire.MetadataKeyID]))
	if err != nil {
		return Record{}, refuse(ReasonNotAuthentic, "") // wrong scope, key or bytes: nobody can tell
	}
	r, err := parseRecord(plain)
	if err != nil {
		return Record{}, &Error{reason: ReasonMalformed, cause: err}
	}
	return r, nil
}

// associatedData is what is authenticated beside the record (spec §3).
func (s Sealer) associatedData(keyID []byte) []byte {
	ad := make([]byte, 0, len(domain)+3*4+len(Encoding)+len(keyID)+len(s.scope))
	ad = append(ad, domain...)
	ad = appendSized(ad, Encoding)
	ad = appendSized(ad, string(keyID))
	return appendSized(ad, s.scope)
}
