package converter

import (
	"errors"
	"maps"
	"testing"
	"time"

	commonpb "go.temporal.io/api/common/v1"
)

// counts is an observer that keeps the last operation and counts the rest by its reason.
type counts struct {
	sealed, opened int
	last           Operation
	seals, opens   map[string]int // refused, by reason
	withheld       map[string]int
	slowest        time.Duration
}

func (c *counts) Sealed(o Operation)        { c.sealed++; c.note(o) }
func (c *counts) Opened(o Operation)        { c.opened++; c.note(o) }
func (c *counts) SealRefused(reason string) { c.seals = plusOne(c.seals, reason) }
func (c *counts) OpenRefused(reason string) { c.opens = plusOne(c.opens, reason) }
func (c *counts) Withheld(reason string)    { c.withheld = plusOne(c.withheld, reason) }

func (c *counts) note(o Operation) {
	c.slowest = max(c.slowest, o.Took)
	o.Took = 0
	c.last = o
}

func plusOne(m map[string]int, reason string) map[string]int {
	if m == nil {
		m = map[string]int{}
	}
	m[reason]++
	return m
}

func observed(t *testing.T, keys Keys, change ...func(*CodecOptions)) (*Codec, *counts) {
	t.Helper()
	seen := new(counts)
	return newCodec(t, keys, append(change, func(o *CodecOptions) { o.Observer = seen })...), seen
}

func TestAnObserverSeesWhatWasSealedAndOpened(t *testing.T) {
	c, seen := observed(t, paymentKeys(t))
	p := jsonPayload(`"078-05-1120"`)
	sealed, err := c.Seal(p)
	if err != nil {
		t.Fatal(err)
	}
	want := Operation{Keyset: "ns/payments", Format: FormatV1, Plain: len(p.Data), Sealed: len(sealed.Data)}
	if seen.sealed != 1 || seen.last != want || seen.slowest <= 0 {
		t.Errorf("after sealing: %+v, want %+v", seen, want)
	}
	seen.last, seen.slowest = Operation{}, 0
	if _, err := c.Open(sealed); err != nil {
		t.Fatal(err)
	}
	if seen.opened != 1 || seen.last != want || seen.slowest <= 0 {
		t.Errorf("after opening: %+v, want %+v", seen, want)
	}
	if _, err := c.Seal(sealed); err != nil || seen.sealed != 1 || seen.opened != 1 {
		t.Errorf("a sealed payload that passes is %+v, %v", seen, err)
	}
	if seen.seals != nil || seen.opens != nil || seen.withheld != nil {
		t.Errorf("nothing was refused, but %+v", seen)
	}
}

func TestAnObserverTellsPlaintextThatIsAcceptedFromWhatWasSealed(t *testing.T) {
	c, seen := observed(t, paymentKeys(t), func(o *CodecOptions) { o.AllowPlaintext = true })
	if _, err := c.Open(jsonPayload(`"x"`)); err != nil {
		t.Fatal(err)
	}
	if want := (Operation{Format: FormatPlaintext, Plain: 3}); seen.opened != 1 || seen.last != want {
		t.Errorf("%+v, want %+v", seen.last, want)
	}
}

func TestAnObserverIsToldWhyAPayloadWasRefused(t *testing.T) {
	keys := paymentKeys(t)
	c, seen := observed(t, keys)
	p := jsonPayload(`"x"`)
	sealed, err := c.Seal(p)
	if err != nil {
		t.Fatal(err)
	}
	changed := &commonpb.Payload{Metadata: sealed.Metadata, Data: append([]byte{}, sealed.Data...)}
	changed.Data[len(changed.Data)-1] ^= 1
	short := &commonpb.Payload{Metadata: sealed.Metadata, Data: sealed.Data[:3]}
	for _, bad := range []*commonpb.Payload{p, changed, short} {
		if _, err := c.Open(bad); err == nil {
			t.Error("opened")
		}
	}
	if _, err := c.Seal(changed); err == nil {
		t.Error("a changed payload passed")
	}
	keys.fail(errors.New("Vault is away"))
	_, sealErr := c.Seal(p)
	_, openErr := c.Open(sealed)
	keys.fail(goneError{})
	_, gone := c.Open(sealed)
	if sealErr == nil || openErr == nil || gone == nil {
		t.Error("sealed or opened without a key")
	}
	if want := map[string]int{"not-authentic": 1, "key-unavailable": 1}; !maps.Equal(seen.seals, want) {
		t.Errorf("refused to seal: %v, want %v", seen.seals, want)
	}
	if want := map[string]int{"not-sealed": 1, "not-authentic": 1, "malformed": 1, "key-unavailable": 1, "key-destroyed": 1}; !maps.Equal(seen.opens, want) {
		t.Errorf("refused to open: %v, want %v", seen.opens, want)
	}
	if seen.sealed != 1 || seen.opened != 0 {
		t.Errorf("%+v", seen)
	}
}

func TestAnObserverIsToldOfAFailureThatLosesItsText(t *testing.T) {
	keys := paymentKeys(t)
	codec, seen := observed(t, keys)
	dc, err := NewDataConverter(nil, codec)
	if err != nil {
		t.Fatal(err)
	}
	fc, err := NewFailureConverter(nil, dc)
	if err != nil {
		t.Fatal(err)
	}
	fc.ErrorToFailure(errors.New("x"))
	if seen.withheld != nil || seen.sealed != 1 {
		t.Errorf("with a key: %+v", seen)
	}
	keys.fail(errors.New("Vault is away"))
	fc.ErrorToFailure(errors.New("x"))
	if want := map[string]int{"key-unavailable": 1}; !maps.Equal(seen.withheld, want) || !maps.Equal(seen.seals, want) {
		t.Errorf("without one: %+v, want one failure withheld", seen)
	}
}
