package converter

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	commonpb "go.temporal.io/api/common/v1"
	historypb "go.temporal.io/api/history/v1"
	sdk "go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
	"google.golang.org/protobuf/proto"

	"github.com/signet-temporal/signet/internal/wire"
)

// oldCodec is a codec as others have it: it turns the bytes around, marks them with its name, and passes on what is not
// marked so.
type oldCodec struct {
	name  string
	fails error // of opening
	asked int
}

func (o *oldCodec) Open(p *commonpb.Payload) (*commonpb.Payload, error) {
	o.asked++
	switch {
	case string(p.GetMetadata()["encoding"]) != o.name:
		return nil, fmt.Errorf("%s: %w", o.name, ErrNotSealed)
	case o.fails != nil:
		return nil, o.fails
	}
	inner := &commonpb.Payload{}
	return inner, proto.Unmarshal(turned(p.GetData()), inner)
}

func (o *oldCodec) seal(p *commonpb.Payload) *commonpb.Payload {
	data, _ := proto.Marshal(p)
	return &commonpb.Payload{Metadata: map[string][]byte{"encoding": []byte(o.name), "encryption-key-id": []byte("k")}, Data: turned(data)}
}

func (o *oldCodec) Encode(in []*commonpb.Payload) ([]*commonpb.Payload, error) {
	return each(in, func(p *commonpb.Payload) (*commonpb.Payload, error) { return o.seal(p), nil })
}

func (o *oldCodec) Decode(in []*commonpb.Payload) ([]*commonpb.Payload, error) {
	return each(in, func(p *commonpb.Payload) (*commonpb.Payload, error) {
		if string(p.GetMetadata()["encoding"]) != o.name {
			return p, nil
		}
		return o.Open(p)
	})
}

func turned(data []byte) []byte {
	out := bytes.Clone(data)
	for i := range out {
		out[i] ^= 0xff
	}
	return out
}

func withLegacy(decoders ...Legacy) func(*CodecOptions) {
	return func(o *CodecOptions) { o.Legacy = decoders }
}

func allowPlaintext(o *CodecOptions) { o.AllowPlaintext = true }

func sealNothing(o *CodecOptions) { o.InsecureSealNothing = true }

func TestLegacyDecodersAreAskedInTurnBeforePlaintextIsConsidered(t *testing.T) {
	first, second := &oldCodec{name: "binary/first"}, &oldCodec{name: "binary/second"}
	c := newCodec(t, paymentKeys(t), withLegacy(first, second))
	want := jsonPayload(`"x"`)
	for _, o := range []*oldCodec{first, second} {
		if got, err := c.Open(o.seal(want)); err != nil || !proto.Equal(got, want) {
			t.Errorf("%s: %v, %v", o.name, got, err)
		}
	}
	if first.asked != 2 || second.asked != 1 {
		t.Errorf("asked %d and %d times, want 2 and 1: the second only for what is not the first's", first.asked, second.asked)
	}
	if got, err := c.Open(want); !errors.Is(err, ErrNotSealed) || got != nil {
		t.Errorf("plaintext, where only legacy formats are allowed: %v, %v", got, err)
	}
	c = newCodec(t, paymentKeys(t), withLegacy(first, second), allowPlaintext)
	if got, err := c.Open(want); err != nil || got != want {
		t.Errorf("plaintext, where it is allowed, too: %v, %v", got, err)
	}
}

func TestWhatALegacyDecoderTookAndCannotOpenIsAnError(t *testing.T) {
	for _, tc := range []struct {
		fails, kind error
		says        string
	}{
		{ErrNotAuthentic, ErrNotAuthentic, "signet: payload is not authentic: in a legacy format"},
		{fmt.Errorf("%w: short", ErrMalformed), ErrMalformed, "signet: malformed sealed payload: in a legacy format: short"},
		{fmt.Errorf("%w: no key", ErrKeyUnavailable), ErrKeyUnavailable, "signet: key is not available: in a legacy format: no key"},
		{fmt.Errorf("%w: shredded", ErrKeyDestroyed), ErrKeyDestroyed, "signet: key is destroyed: in a legacy format: shredded"},
		{&Error{kind: ErrKeyUnavailable, detail: "away"}, ErrKeyUnavailable, "signet: key is not available: in a legacy format: signet: key is not available: away"},
		{errors.New("of a kind of its own"), ErrNotAuthentic, "signet: payload is not authentic: in a legacy format: of a kind of its own"},
	} {
		old := &oldCodec{name: "binary/old", fails: tc.fails}
		c := newCodec(t, paymentKeys(t), withLegacy(old), allowPlaintext)
		got, err := c.Open(old.seal(jsonPayload(`"x"`)))
		var ours *Error
		if !errors.As(err, &ours) || !errors.Is(err, tc.kind) || ours.Permanent() != (tc.kind != ErrKeyUnavailable) || got != nil || err.Error() != tc.says {
			t.Errorf("%v: %v, %v", tc.fails, got, err)
		}
	}
	nothing := newCodec(t, paymentKeys(t), withLegacy(opensToNothing{}), allowPlaintext)
	if got, err := nothing.Open(jsonPayload(`"x"`)); !errors.Is(err, ErrNotAuthentic) || got != nil {
		t.Errorf("a decoder that returns neither: %v, %v", got, err)
	}
}

type opensToNothing struct{}

func (opensToNothing) Open(*commonpb.Payload) (*commonpb.Payload, error) { return nil, nil }

func TestALegacyDecoderIsNeverShownWhatIsMarkedAsOurs(t *testing.T) {
	old := &oldCodec{name: "binary/encrypted"}
	keys := paymentKeys(t)
	c := newCodec(t, keys, withLegacy(old), allowPlaintext)
	sealed, err := c.Seal(jsonPayload(`"x"`))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Open(sealed); err != nil {
		t.Error(err)
	}
	marked := old.seal(jsonPayload(`"x"`)) // opens under the old codec, and bears our mark
	marked.Metadata["encryption-context"] = []byte(`{"v":1,"ns":"payments"}`)
	if got, err := c.Open(marked); !errors.Is(err, ErrMalformed) || got != nil {
		t.Errorf("an old payload with our mark: %v, %v", got, err)
	}
	keys.fail(errors.New("away"))
	if _, err := c.Open(sealed); !errors.Is(err, ErrKeyUnavailable) {
		t.Error(err)
	}
	if old.asked != 0 {
		t.Errorf("the legacy decoder was asked %d times", old.asked)
	}
}

// Spec §5.3: another codec's ciphertext, given as a value, is data like any other.
func TestALegacyCiphertextGivenAsAValueIsSealedAsAWhole(t *testing.T) {
	old := &oldCodec{name: "binary/encrypted"}
	dc := newDC(t, paymentKeys(t), withLegacy(old))
	raw := old.seal(jsonPayload(`"x"`))
	before := proto.Clone(raw)
	sealed, err := dc.ToPayload(sdk.NewRawValue(raw))
	if err != nil || !wire.Sealed(sealed.GetMetadata()) || !proto.Equal(raw, before) {
		t.Fatalf("%v, %v", sealed, err)
	}
	var back sdk.RawValue
	if err := dc.FromPayload(sealed, &back); err != nil || !proto.Equal(back.Payload(), raw) {
		t.Errorf("%v, %v: exactly one layer is opened", back.Payload(), err)
	}
}

func TestAnErrorAboutAnothersPayloadSaysWhatToDo(t *testing.T) {
	_, err := newCodec(t, paymentKeys(t)).Open((&oldCodec{name: "binary/encrypted"}).seal(jsonPayload(`"x"`)))
	if !errors.Is(err, ErrNotSealed) || !strings.Contains(err.Error(), "Options.Legacy") || strings.Contains(err.Error(), "\n") {
		t.Error(err)
	}
	_, err = newCodec(t, paymentKeys(t)).Open(jsonPayload(`"x"`))
	if !errors.Is(err, ErrNotSealed) || strings.Contains(err.Error(), "Legacy") {
		t.Error(err)
	}
}

// Plaintext is allowed and nobody named the old codec: the SDK's converter cannot convert its ciphertext, and its error would
// fail the workflow for good.
func TestForgettingTheOldCodecFailsTheTaskAndNotTheWorkflow(t *testing.T) {
	old := &oldCodec{name: "binary/encrypted"}
	text := &commonpb.Payloads{Payloads: []*commonpb.Payload{old.seal(jsonPayload(`"hello"`))}}
	reached := ""
	reads := func(_ workflow.Context, s string) error { reached = s; return nil }
	history := func() []*historypb.HistoryEvent { return events(started(text), task()) }
	err := replay(t, newDC(t, paymentKeys(t), allowPlaintext), reads, history()...)
	if err == nil || !strings.Contains(err.Error(), "another codec sealed it") || reached != "" {
		t.Errorf("without its decoder: reached %q, %v", reached, err)
	}
	_ = replay(t, newDC(t, paymentKeys(t), withLegacy(old)), reads, history()...) // may complain of the end of the made-up history
	if reached != "hello" {
		t.Errorf("with its decoder the workflow reached %q", reached)
	}
}

func TestAParentThatEncryptsIsRefusedUnlessNothingIsSealed(t *testing.T) {
	parent := sdk.NewCodecDataConverter(sdk.GetDefaultDataConverter(), &oldCodec{name: "binary/encrypted"})
	if dc, err := NewDataConverter(parent, newCodec(t, paymentKeys(t))); err == nil || dc != nil || !strings.Contains(err.Error(), "Legacy") {
		t.Errorf("%v, %v", dc, err)
	}
	if _, err := NewDataConverter(parent, newCodec(t, paymentKeys(t), sealNothing)); err != nil {
		t.Error(err)
	}
}

// The first step of a migration: what is written is what the old codec writes, byte for byte as to its form, and both are read.
func TestWhereNothingIsSealedBothAreRead(t *testing.T) {
	keys, old := paymentKeys(t), &oldCodec{name: "binary/encrypted"}
	parent := sdk.NewCodecDataConverter(sdk.GetDefaultDataConverter(), old)
	dc, err := NewDataConverter(parent, newCodec(t, keys, sealNothing, withLegacy(old)))
	if err != nil {
		t.Fatal(err)
	}
	written, err := dc.ToPayloads("x")
	if err != nil || !proto.Equal(written.Payloads[0], old.seal(jsonPayload(`"x"`))) {
		t.Fatalf("written: %v, %v", written, err)
	}
	sealing := newDC(t, keys, withLegacy(old))
	sealed, err := sealing.ToPayloads("x")
	if err != nil {
		t.Fatal(err)
	}
	for name, ps := range map[string]*commonpb.Payloads{"old": written, "sealed": sealed} {
		for reader, dc := range map[string]*DataConverter{"sealing nothing": dc, "sealing": sealing} {
			var s string
			if err := dc.FromPayloads(ps, &s); err != nil || s != "x" {
				t.Errorf("%s, read %s: %q, %v", name, reader, s, err)
			}
		}
	}

	thrown := temporal.NewApplicationError("m", "T", "details")
	oldFailures := temporal.NewDefaultFailureConverter(temporal.DefaultFailureConverterOptions{DataConverter: parent, EncodeCommonAttributes: true})
	fc, sealingFC := newFC(t, oldFailures, dc), newFC(t, nil, sealing)
	for _, parent := range []sdk.FailureConverter{oldFailures, temporal.GetDefaultFailureConverter()} {
		if got, want := newFC(t, parent, dc).ErrorToFailure(thrown), parent.ErrorToFailure(thrown); !proto.Equal(got, want) {
			t.Errorf("a failure is written as %v, want %v", got, want)
		}
	}
	for name, f := range map[string]sdk.FailureConverter{"old": fc, "sealed": sealingFC} {
		failure := f.ErrorToFailure(thrown)
		for reader, f := range map[string]sdk.FailureConverter{"sealing nothing": fc, "sealing": sealingFC} {
			var app *temporal.ApplicationError
			var details string
			err := f.FailureToError(failure)
			if !errors.As(err, &app) || app.Message() != "m" || app.Details(&details) != nil || details != "details" {
				t.Errorf("failure %s, read %s: %v, details %q", name, reader, err, details)
			}
		}
	}
}

func TestANilDecoderIsRefused(t *testing.T) {
	if c, err := NewCodec(paymentKeys(t), CodecOptions{Keyset: "ns/payments", Scope: "payments", Legacy: []Legacy{nil}}); err == nil || c != nil {
		t.Errorf("%v, %v", c, err)
	}
}

func TestAnObserverTellsWhatALegacyDecoderOpened(t *testing.T) {
	old := &oldCodec{name: "binary/old"}
	c, seen := observed(t, paymentKeys(t), withLegacy(old), allowPlaintext)
	sealed := old.seal(jsonPayload(`"x"`))
	if _, err := c.Open(sealed); err != nil {
		t.Fatal(err)
	}
	seen.last.Took = 0
	if want := (Operation{Format: FormatLegacy, Plain: 3, Sealed: len(sealed.Data)}); seen.opened != 1 || seen.last != want {
		t.Errorf("%+v, want %+v", seen.last, want)
	}
}
