package converter

import (
	"errors"
	"fmt"
	"strings"

	commonpb "go.temporal.io/api/common/v1"
	sdk "go.temporal.io/sdk/converter"

	"github.com/signet-temporal/signet/internal/wire"
)

// Legacy opens what another codec has sealed, so that workflows which began under it can go on under this one. Package
// converter/legacy has two; a codec of your own needs this one method. It is called on workflow goroutines and must be
// safe for concurrent use, do no I/O, and neither change nor keep what it is given.
//
// It is never shown a payload that is marked as sealed by signet.
type Legacy interface {
	// Open returns what p held. It decides by the metadata of p alone whether p is in its format. If it is not, the error
	// is [ErrNotSealed] and the next decoder is asked. If it is, and does not open, the error is [ErrNotAuthentic],
	// [ErrMalformed], [ErrKeyUnavailable] or [ErrKeyDestroyed], each perhaps wrapped; any other error counts as
	// ErrNotAuthentic. Its text may name key ids, and nothing of the data.
	Open(p *commonpb.Payload) (*commonpb.Payload, error)
}

// foreign decides about a payload that is not marked as ours.
func (c *core) foreign(p *commonpb.Payload, seen *Operation) (*commonpb.Payload, error) {
	for _, decoder := range c.options.Legacy {
		opened, err := decoder.Open(p)
		if errors.Is(err, ErrNotSealed) {
			continue
		}
		if err == nil && opened != nil {
			seen.Format, seen.Sealed = FormatLegacy, len(p.GetData())
			return opened, nil
		}
		return nil, legacyError(err)
	}
	if c.options.AllowPlaintext {
		seen.Format = FormatPlaintext
		return p, nil
	}
	return nil, notSealed(p)
}

// legacyError sorts what a legacy decoder said of a payload that it took for its own, and says the kind once.
func legacyError(cause error) *Error {
	e := &Error{kind: ErrNotAuthentic, detail: "in a legacy format"}
	for _, kind := range []error{ErrKeyUnavailable, ErrKeyDestroyed, ErrMalformed} {
		if errors.Is(cause, kind) {
			e.kind = kind
		}
	}
	if cause != nil && cause != e.kind {
		e.detail += ": " + strings.TrimPrefix(cause.Error(), e.kind.Error()+": ")
	}
	return e
}

func notSealed(p *commonpb.Payload) *Error {
	encoding := p.GetMetadata()[wire.MetadataEncoding]
	detail := "only sealed payloads are accepted here: send it with a client that has the plugin, or during a migration see docs/migration.md"
	if string(encoding) == wire.Encoding {
		detail = "another codec sealed it: give its decoder in Options.Legacy until nothing of it is left, see docs/migration.md"
	}
	return &Error{kind: ErrNotSealed, detail: fmt.Sprintf("encoding is %.60q; %s", encoding, detail)}
}

// stillEncrypted is asked about opened payloads that the parent converter could not convert. One that is encrypted, by a
// codec nobody told us of, is ours to refuse: the parent's error would fail the workflow for good.
func stillEncrypted(opened []*commonpb.Payload) error {
	for _, p := range opened {
		if string(p.GetMetadata()[wire.MetadataEncoding]) == wire.Encoding {
			return notSealed(p)
		}
	}
	return nil
}

// encrypts reports whether a converter encrypts what it makes. Under this package's own that is a trap: the day it goes,
// what was sealed around its ciphertext is lost.
func encrypts(parent sdk.DataConverter) bool {
	probe, err := parent.ToPayload("probe")
	return err == nil && string(probe.GetMetadata()[wire.MetadataEncoding]) == wire.Encoding
}
