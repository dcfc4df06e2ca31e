package converter

import (
	"context"
	"errors"
	"strings"
	"testing"

	commonpb "go.temporal.io/api/common/v1"
	sdk "go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"google.golang.org/protobuf/proto"

	"github.com/signet-temporal/signet/internal/wire"
)

func newDC(t testing.TB, keys Keys, change ...func(*CodecOptions)) *DataConverter {
	t.Helper()
	dc, err := NewDataConverter(nil, newCodec(t, keys, change...))
	if err != nil {
		t.Fatal(err)
	}
	return dc
}

func in(dc sdk.DataConverter, workflow string) sdk.DataConverter {
	return sdk.WithDataConverterSerializationContext(dc, sdk.WorkflowSerializationContext{Namespace: "payments", WorkflowID: workflow})
}

func boundTo(t *testing.T, p *commonpb.Payload) string {
	t.Helper()
	o, err := wire.Parse(p.GetMetadata(), p.GetData())
	if err != nil {
		t.Fatal(err)
	}
	return o.Workflow
}

func TestValuesGoThroughSealed(t *testing.T) {
	dc := newDC(t, paymentKeys(t))
	ps, err := dc.ToPayloads("a", 2, []byte{3}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range ps.Payloads {
		if !wire.Sealed(p.Metadata) {
			t.Errorf("payload %d is not sealed: %v", i, p)
		}
	}
	var (
		s string
		n int
		b []byte
		e *string
	)
	if err := dc.FromPayloads(ps, &s, &n, &b, &e); err != nil || s != "a" || n != 2 || len(b) != 1 || e != nil {
		t.Errorf("FromPayloads: %q %d %v %v, %v", s, n, b, e, err)
	}
	if got := dc.ToStrings(ps); len(got) != 4 || got[0] != `"a"` {
		t.Errorf("ToStrings = %q", got)
	}
	raw := sdk.NewRawValue(jsonPayload(`"raw"`))
	p, err := dc.ToPayload(raw)
	if err != nil || !wire.Sealed(p.Metadata) {
		t.Errorf("a raw value was not sealed: %v, %v", p, err)
	}
	var back sdk.RawValue
	if err := dc.FromPayload(p, &back); err != nil || !proto.Equal(back.Payload(), raw.Payload()) {
		t.Errorf("raw value: %v, %v", back.Payload(), err)
	}
}

func TestNothingStaysNothing(t *testing.T) {
	dc := newDC(t, paymentKeys(t))
	if ps, err := dc.ToPayloads(); err != nil || len(ps.GetPayloads()) != 0 {
		t.Errorf("ToPayloads() = %v, %v", ps, err)
	}
	value := "untouched"
	if err := dc.FromPayload(nil, &value); err != nil || value != "untouched" {
		t.Errorf("FromPayload(nil): %q, %v", value, err)
	}
	if err := dc.FromPayloads(nil, &value); err != nil || value != "untouched" {
		t.Errorf("FromPayloads(nil): %q, %v", value, err)
	}
	if got := dc.ToString(nil); got != "" {
		t.Errorf("ToString(nil) = %q", got)
	}
	if got := dc.ToStrings(nil); got != nil {
		t.Errorf("ToStrings(nil) = %q", got)
	}
}

func TestPayloadsAreBoundToTheirWorkflow(t *testing.T) {
	dc := newDC(t, paymentKeys(t))
	ps, err := in(dc, "intake-17").ToPayloads("x")
	if err != nil || boundTo(t, ps.Payloads[0]) != "intake-17" {
		t.Fatalf("ToPayloads: %v, %v", ps, err)
	}
	var s string
	if err := in(dc, "intake-17").FromPayloads(ps, &s); err != nil || s != "x" {
		t.Errorf("its own workflow: %q, %v", s, err)
	}
	if err := in(dc, "intake-18").FromPayloads(ps, &s); !errors.Is(err, ErrNotAuthentic) {
		t.Errorf("another workflow: %v", err)
	}
	// An activity's context names its workflow, too; a Nexus operation's does not.
	activity := sdk.ActivitySerializationContext{Namespace: "payments", WorkflowID: "intake-17", ActivityType: "charge"}
	if err := sdk.WithDataConverterSerializationContext(dc, activity).FromPayloads(ps, &s); err != nil {
		t.Errorf("an activity of the workflow: %v", err)
	}
}

func TestASingleValueWithoutContextIsBoundToTheScopeOnly(t *testing.T) {
	dc := newDC(t, paymentKeys(t))
	memoOfAChild, err := in(dc, "parent").ToPayload("memo")
	if err != nil || boundTo(t, memoOfAChild) != "" {
		t.Fatalf("ToPayload without context: %v, %v", memoOfAChild, err)
	}
	// The client binds its own: it says WithContext before or after the serialization context.
	memo, err := in(dc.WithContext(context.Background()), "intake-17").ToPayload("memo")
	if err != nil || boundTo(t, memo) != "intake-17" {
		t.Errorf("ToPayload of a client call: %v, %v", memo, err)
	}
	memo, err = in(dc, "intake-17").(sdk.ContextAware).WithContext(context.Background()).ToPayload("memo")
	if err != nil || boundTo(t, memo) != "intake-17" {
		t.Errorf("ToPayload of a client call, contexts in the other order: %v, %v", memo, err)
	}
}

func TestAnErrorHandsBackNothing(t *testing.T) {
	keys := paymentKeys(t)
	dc := newDC(t, keys)
	sealed, _ := dc.ToPayloads("secret")
	keys.fail(errors.New("away"))
	if p, err := dc.ToPayload("secret"); p != nil || !errors.Is(err, ErrKeyUnavailable) {
		t.Errorf("ToPayload = %v, %v", p, err)
	}
	if ps, err := dc.ToPayloads("secret"); ps != nil || !errors.Is(err, ErrKeyUnavailable) {
		t.Errorf("ToPayloads = %v, %v", ps, err)
	}
	var s string
	if err := dc.FromPayloads(sealed, &s); !errors.Is(err, ErrKeyUnavailable) || s != "" {
		t.Errorf("FromPayloads: %q, %v", s, err)
	}
	if got := dc.ToString(sealed.Payloads[0]); strings.Contains(got, "secret") || !strings.Contains(got, "not available") {
		t.Errorf("ToString = %q", got)
	}
}

func TestAParentThatSealsIsRefusedAndOneThatCompressesIsKept(t *testing.T) {
	keys := paymentKeys(t)
	if _, err := NewDataConverter(newDC(t, keys), newCodec(t, keys)); err == nil {
		t.Error("sealing twice was accepted")
	}
	zlib := sdk.NewCodecDataConverter(sdk.GetDefaultDataConverter(), sdk.NewZlibCodec(sdk.ZlibCodecOptions{AlwaysEncode: true}))
	dc, err := NewDataConverter(zlib, newCodec(t, keys))
	if err != nil {
		t.Fatal(err)
	}
	p, err := dc.ToPayload("x")
	if err != nil || !wire.Sealed(p.Metadata) {
		t.Fatalf("%v, %v", p, err)
	}
	opened, err := dc.codec.Open(p)
	if err != nil || string(opened.Metadata["encoding"]) != "binary/zlib" {
		t.Errorf("inside: %v, %v", opened, err)
	}
	var s string
	if err := dc.FromPayload(p, &s); err != nil || s != "x" {
		t.Errorf("FromPayload: %q, %v", s, err)
	}
}

func newFC(t testing.TB, parent sdk.FailureConverter, dc *DataConverter) *FailureConverter {
	t.Helper()
	fc, err := NewFailureConverter(parent, dc)
	if err != nil {
		t.Fatal(err)
	}
	return fc
}

func secretError() error {
	return temporal.NewApplicationErrorWithOptions("SECRET-1", "Declined", temporal.ApplicationErrorOptions{
		NonRetryable: true, Details: []any{"SECRET-2"},
		Cause: temporal.NewCanceledError("SECRET-3"),
	})
}

func checkSecretError(t *testing.T, err error) {
	t.Helper()
	var app *temporal.ApplicationError
	if !errors.As(err, &app) || app.Message() != "SECRET-1" || app.Type() != "Declined" || !app.NonRetryable() {
		t.Fatalf("application error came back as %v", err)
	}
	var details string
	if err := app.Details(&details); err != nil || details != "SECRET-2" {
		t.Errorf("details: %q, %v", details, err)
	}
	var canceled *temporal.CanceledError
	if !errors.As(err, &canceled) || canceled.Details(&details) != nil || details != "SECRET-3" {
		t.Errorf("cause: %v, details %q", canceled, details)
	}
}

func TestFailuresAreSealedDownToTheLastCause(t *testing.T) {
	keys := paymentKeys(t)
	dc := newDC(t, keys)
	own := temporal.NewDefaultFailureConverter(temporal.DefaultFailureConverterOptions{EncodeCommonAttributes: true})
	for name, parent := range map[string]sdk.FailureConverter{"default": nil, "user's, encodes itself": own} {
		t.Run(name, func(t *testing.T) {
			fc := newFC(t, parent, dc)
			f := fc.ErrorToFailure(secretError())
			if text := f.String(); strings.Contains(text, "SECRET") {
				t.Errorf("the failure shows %s", text)
			}
			if f.GetMessage() != "Encoded failure" || f.GetApplicationFailureInfo().GetType() != "Declined" {
				t.Errorf("outside of the failure: %v", f)
			}
			before := proto.Clone(f)
			err := fc.FailureToError(f)
			if !proto.Equal(f, before) {
				t.Error("FailureToError changed the failure it was given")
			}
			checkSecretError(t, err)

			// Handed on: the SDK keeps the failure in the error. It must be sealed anew, not passed on in clear.
			again := sdk.WithFailureConverterSerializationContext(fc, sdk.WorkflowSerializationContext{WorkflowID: "parent"}).ErrorToFailure(err)
			if text := again.String(); strings.Contains(text, "SECRET") {
				t.Errorf("handed on, the failure shows %s", text)
			}
			if got := boundTo(t, again.GetEncodedAttributes()); got != "parent" {
				t.Errorf("handed on, the failure is bound to %q", got)
			}
			checkSecretError(t, fc.FailureToError(again))
		})
	}
}

func TestAFailureOfAChildOpensInItsParent(t *testing.T) {
	fc := newFC(t, nil, newDC(t, paymentKeys(t)))
	child := sdk.WithFailureConverterSerializationContext(fc, sdk.WorkflowSerializationContext{WorkflowID: "child"})
	parent := sdk.WithFailureConverterSerializationContext(fc, sdk.WorkflowSerializationContext{WorkflowID: "parent"})
	checkSecretError(t, parent.FailureToError(child.ErrorToFailure(secretError())))
}

func TestAFailureThatCannotBeSealedIsWithheld(t *testing.T) {
	keys := paymentKeys(t)
	fc := newFC(t, nil, newDC(t, keys))
	keys.fail(errors.New("away"))
	f := fc.ErrorToFailure(secretError())
	if text := f.String(); strings.Contains(text, "SECRET") {
		t.Errorf("the failure shows %s", text)
	}
	if f.GetMessage() != "failure text withheld: it cannot be sealed (key-unavailable)" || f.GetApplicationFailureInfo().GetType() != "Declined" {
		t.Errorf("the failure says %v", f)
	}
}

func TestAFailureThatCannotBeOpenedSaysWhy(t *testing.T) {
	keys := paymentKeys(t)
	fc := newFC(t, nil, newDC(t, keys))
	f := fc.ErrorToFailure(secretError())
	keys.fail(goneError{})
	err := fc.FailureToError(f)
	var app *temporal.ApplicationError
	if !errors.As(err, &app) || !strings.Contains(app.Message(), "withheld") || !strings.Contains(app.Message(), "destroyed") || app.Type() != "Declined" {
		t.Errorf("%v", err)
	}
}

func TestPlaintextDetailsOfAFailureAreDroppedUnlessAllowed(t *testing.T) {
	keys := paymentKeys(t)
	plain := temporal.GetDefaultFailureConverter().ErrorToFailure(temporal.NewApplicationError("m", "T", "details"))
	for _, allowed := range []bool{false, true} {
		fc := newFC(t, nil, newDC(t, keys, func(o *CodecOptions) { o.AllowPlaintext = allowed }))
		var app *temporal.ApplicationError
		if err := fc.FailureToError(plain); !errors.As(err, &app) || app.Message() != "m" || app.HasDetails() != allowed {
			t.Errorf("allowed %v: %v, details %v", allowed, err, app.HasDetails())
		}
	}
}

// A worker elsewhere that encodes the text of its failures and does not seal them must not hold up who called it.
func TestUnsealedTextOfAFailureIsDroppedAndHoldsUpNobody(t *testing.T) {
	encoding := temporal.NewDefaultFailureConverter(temporal.DefaultFailureConverterOptions{EncodeCommonAttributes: true})
	foreign := encoding.ErrorToFailure(temporal.NewApplicationError("FORGED", "T"))
	var app *temporal.ApplicationError
	err := newFC(t, nil, newDC(t, paymentKeys(t))).FailureToError(foreign)
	if !errors.As(err, &app) || app.Type() != "T" || strings.Contains(err.Error(), "FORGED") || !strings.Contains(app.Message(), "unsealed") {
		t.Errorf("%v", err)
	}
	err = newFC(t, nil, newDC(t, paymentKeys(t), func(o *CodecOptions) { o.AllowPlaintext = true })).FailureToError(foreign)
	if !errors.As(err, &app) || app.Message() != "FORGED" {
		t.Errorf("where plaintext is allowed: %v", err)
	}
}

func TestPermanentTroubleIsNotRetried(t *testing.T) {
	keys := paymentKeys(t)
	dc := newDC(t, keys)
	fc := newFC(t, nil, dc)
	sealed, _ := dc.ToPayloads("x")
	sealed.Payloads[0].Data[40] ^= 1
	var s string
	err := dc.WithContext(context.Background()).FromPayloads(sealed, &s)
	f := fc.ErrorToFailure(errors.Join(errors.New("unable to decode"), err)).GetApplicationFailureInfo()
	if !f.GetNonRetryable() || f.GetType() != "signet.not-authentic" {
		t.Errorf("permanent: %v", f)
	}
	keys.fail(errors.New("away"))
	err = dc.WithContext(context.Background()).FromPayloads(sealed, &s)
	if f := fc.ErrorToFailure(err).GetApplicationFailureInfo(); f.GetNonRetryable() {
		t.Errorf("transient: %v", f)
	}
	own := temporal.NewApplicationErrorWithCause("mine", "Mine", &Error{kind: ErrNotAuthentic})
	keys.fail(nil)
	if f := fc.ErrorToFailure(own).GetApplicationFailureInfo(); f.GetNonRetryable() || f.GetType() != "Mine" {
		t.Errorf("the user's own decision was overruled: %v", f)
	}
}
