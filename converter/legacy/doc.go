// Package legacy opens payloads that other codecs have sealed, for the time of a migration: give its decoders to
// converter.CodecOptions.Legacy or signet.Options.Legacy. They only open; nothing seals in these formats.
//
// Neither format binds a payload to its namespace or workflow, and whoever has the old key can still make payloads that
// open: take the decoders out when the last old payload is gone. docs/migration.md has the steps.
//
// The decoders are safe for concurrent use and do no I/O.
package legacy

import (
	"fmt"

	commonpb "go.temporal.io/api/common/v1"
	"google.golang.org/protobuf/proto"

	"github.com/signet-temporal/signet/converter"
)

const (
	metadataEncoding = "encoding"
	metadataKeyID    = "encryption-key-id"
)

var (
	_ converter.Legacy = (*AESGCM)(nil)
	_ converter.Legacy = (*Tink)(nil)
)

// inner reads what was decrypted.
func inner(plaintext []byte) (*commonpb.Payload, error) {
	p := &commonpb.Payload{}
	if proto.Unmarshal(plaintext, p) != nil { // its error may quote the plaintext
		return nil, fmt.Errorf("%w: what was encrypted is not a payload", converter.ErrMalformed)
	}
	return p, nil
}
