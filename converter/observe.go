package converter

import (
	"errors"
	"time"

	commonpb "go.temporal.io/api/common/v1"
)

// Observer is told what a codec, and the converters built on it, do with each payload. Its methods run on the goroutine
// that converts, which may be a workflow's: they must be safe for concurrent use and, like the codec itself, take no
// lock, allocate nothing and do no I/O. A codec without an observer measures nothing and looks at no clock.
//
// A reason is a word of [Error.Reason].
type Observer interface {
	// Sealed: a payload was sealed. What is sealed already and only passes is not reported.
	Sealed(Operation)
	// Opened: a payload was opened, or accepted in clear, which [Operation].Format tells apart.
	Opened(Operation)
	// SealRefused and OpenRefused: an error came back and no payload.
	SealRefused(reason string)
	OpenRefused(reason string)
	// Withheld: a failure leaves without its text and details, because they could not be sealed.
	Withheld(reason string)
}

// Operation is one payload that was sealed or opened, as an [Observer] sees it.
type Operation struct {
	Keyset string        // whose key sealed the payload; "" for one that signet did not seal
	Format string        // [FormatV1], [FormatLegacy] or [FormatPlaintext]
	Plain  int           // bytes of data before sealing or after opening, without metadata
	Sealed int           // bytes of data after sealing or before opening; 0 for a payload in clear
	Took   time.Duration // all of it, also the wait for a key that was not known yet
}

// Values of [Operation].Format.
const (
	FormatV1        = "v1"        // sealed: docs/spec/payload-v1.md
	FormatLegacy    = "legacy"    // sealed by another codec, and opened by one of [CodecOptions].Legacy
	FormatPlaintext = "plaintext" // not sealed by signet, and accepted because [CodecOptions].AllowPlaintext says so
)

// Seal returns p sealed under the primary key. p is not changed. A payload that is sealed already and opens here, a
// reference to external storage and an envelope of Temporal's own come back as they are. The error is an *[Error].
func (c *Codec) Seal(p *commonpb.Payload) (*commonpb.Payload, error) {
	observer := c.core.options.Observer
	if observer == nil {
		return c.seal(p)
	}
	begun := time.Now()
	sealed, err := c.seal(p)
	switch {
	case err != nil:
		observer.SealRefused(reason(err))
	case sealed != p:
		observer.Sealed(Operation{
			Keyset: c.owner.keyset, Format: FormatV1,
			Plain: len(p.GetData()), Sealed: len(sealed.GetData()), Took: time.Since(begun),
		})
	}
	return sealed, err
}

// Open returns what was sealed in p. Exactly one layer is opened. p is not changed and not kept. The error is an *[Error].
func (c *Codec) Open(p *commonpb.Payload) (*commonpb.Payload, error) {
	var seen Operation
	observer := c.core.options.Observer
	if observer == nil {
		return c.open(p, &seen)
	}
	begun := time.Now()
	opened, err := c.open(p, &seen)
	if err != nil {
		observer.OpenRefused(reason(err))
		return nil, err
	}
	seen.Plain, seen.Took = len(opened.GetData()), time.Since(begun)
	observer.Opened(seen)
	return opened, nil
}

func reason(err error) string {
	var ours *Error
	if errors.As(err, &ours) {
		return ours.Reason()
	}
	return (&Error{kind: ErrMalformed}).Reason()
}

// Reasons returns every word that [Error.Reason] has.
func Reasons() []string {
	kinds := []error{ErrNotAuthentic, ErrKeyUnavailable, ErrKeyDestroyed, ErrMalformed, ErrNotSealed, ErrNoTenant, ErrTenantMismatch}
	words := make([]string, len(kinds))
	for i, kind := range kinds {
		words[i] = (&Error{kind: kind}).Reason()
	}
	return words
}
