package converter

import (
	"bytes"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/tink-crypto/tink-go/v2/aead"
	commonpb "go.temporal.io/api/common/v1"
	sdk "go.temporal.io/sdk/converter"
	"google.golang.org/protobuf/proto"

	"github.com/signet-temporal/signet/internal/wire"
)

func newCodec(t testing.TB, keys Keys, change ...func(*CodecOptions)) *Codec {
	t.Helper()
	o := CodecOptions{Keyset: "ns/payments", Scope: "payments"}
	for _, f := range change {
		f(&o)
	}
	c, err := NewCodec(keys, o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func paymentKeys(t testing.TB) *memKeys {
	return newKeys(t, aead.XAES256GCM192BitNonceKeyTemplate(), "ns/payments")
}

func TestASealedPayloadShowsNothingAndOpens(t *testing.T) {
	keys := paymentKeys(t)
	c := newCodec(t, keys).forWorkflow("intake-17")
	p := jsonPayload(`"078-05-1120"`)
	before := proto.Clone(p)
	sealed, err := c.Seal(p)
	if err != nil {
		t.Fatal(err)
	}
	if !proto.Equal(p, before) {
		t.Error("Seal changed its argument")
	}
	if all, _ := proto.Marshal(sealed); bytes.Contains(all, []byte("078-05-1120")) || bytes.Contains(all, []byte("json/plain")) {
		t.Errorf("plaintext shows in %s", all)
	}
	if got := string(sealed.Metadata["encoding"]); got != "binary/encrypted" {
		t.Errorf("encoding = %q", got)
	}
	if got := string(sealed.Metadata["encryption-context"]); got != `{"v":1,"ns":"payments","wf":"intake-17"}` {
		t.Errorf("context = %s", got)
	}
	opened, err := c.Open(sealed)
	if err != nil || !proto.Equal(opened, p) {
		t.Errorf("Open = %v, %v", opened, err)
	}
}

func TestSealingIsIdempotentAndLeavesTemporalsOwnAlone(t *testing.T) {
	c := newCodec(t, paymentKeys(t))
	sealed, err := c.Seal(jsonPayload(`1`))
	if err != nil {
		t.Fatal(err)
	}
	for name, p := range map[string]*commonpb.Payload{
		"sealed":    sealed,
		"reference": {Metadata: map[string][]byte{"encoding": []byte("json/protobuf"), "messageType": []byte("temporal.api.sdk.v1.ExternalStorageReference")}},
		"system":    {Metadata: map[string][]byte{"encoding": []byte("binary/protobuf"), "messageType": []byte("temporal.api.nexus.v1.Request"), "__temporal_system_payload": []byte("true")}},
	} {
		if again, err := c.Seal(p); err != nil || again != p {
			t.Errorf("%s: Seal = %v, %v; want the same payload", name, again, err)
		}
	}
	lookalike := &commonpb.Payload{Metadata: sealed.Metadata, Data: append(append([]byte{}, sealed.Data[:5]...), "plaintext that only looks like a sealed payload"...)}
	if again, err := c.Seal(lookalike); !errors.Is(err, ErrNotAuthentic) || again != nil {
		t.Errorf("plaintext in the clothes of a sealed payload passed: %v, %v", again, err)
	}
	spoiled := proto.Clone(sealed).(*commonpb.Payload)
	spoiled.Data = spoiled.Data[:3]
	if again, err := c.Seal(spoiled); !errors.Is(err, ErrMalformed) || again != nil {
		t.Errorf("a spoiled payload passed as sealed: %v, %v", again, err)
	}
}

func TestEverythingElseIsSealed(t *testing.T) {
	c := newCodec(t, paymentKeys(t))
	for name, p := range map[string]*commonpb.Payload{
		"empty":         {},
		"null":          {Metadata: map[string][]byte{"encoding": []byte("binary/null")}},
		"foreign":       foreign(),
		"external":      {Data: []byte("x"), ExternalPayloads: []*commonpb.Payload_ExternalPayloadDetails{{SizeBytes: 9}}},
		"system mark":   {Metadata: map[string][]byte{"encoding": []byte("json/plain"), "__temporal_system_payload": []byte("true")}},
		"protobuf type": {Metadata: map[string][]byte{"encoding": []byte("binary/protobuf"), "messageType": []byte("temporal.api.sdk.v1.ExternalStorageReference")}},
	} {
		sealed, err := c.Seal(p)
		if err != nil || !wire.Sealed(sealed.GetMetadata()) {
			t.Errorf("%s: %v, %v", name, sealed, err)
			continue
		}
		if opened, err := c.Open(sealed); err != nil || !proto.Equal(opened, p) {
			t.Errorf("%s: opened to %v, %v", name, opened, err)
		}
	}
}

func TestAMetadataKeyThatWouldNotOpenIsNotSealed(t *testing.T) {
	p := &commonpb.Payload{Metadata: map[string][]byte{"\xff": []byte("x")}}
	if sealed, err := newCodec(t, paymentKeys(t)).Seal(p); sealed != nil || !errors.Is(err, ErrMalformed) {
		t.Errorf("Seal = %v, %v", sealed, err)
	}
}

func TestAnErrorComesWithNothing(t *testing.T) {
	keys := paymentKeys(t)
	c := newCodec(t, keys)
	sealed, err := c.Seal(jsonPayload(`1`))
	if err != nil {
		t.Fatal(err)
	}
	keys.fail(errors.New("no answer"))
	for name, call := range map[string]func([]*commonpb.Payload) ([]*commonpb.Payload, error){"Encode": c.Encode, "Decode": c.Decode} {
		in := []*commonpb.Payload{sealed, jsonPayload(`2`)}
		if name == "Decode" {
			in[1] = sealed
		}
		out, err := call(in)
		if out != nil || !errors.Is(err, ErrKeyUnavailable) || !strings.Contains(err.Error(), "no answer") {
			t.Errorf("%s = %v, %v", name, out, err)
		}
	}
	keys.fail(goneError{})
	var e *Error
	if _, err := c.Open(sealed); !errors.Is(err, ErrKeyDestroyed) || !errors.As(err, &e) || !e.Permanent() || e.Reason() != "key-destroyed" {
		t.Errorf("destroyed: %v", err)
	}
	keys.fail(nil)
	for _, nothing := range [][]*commonpb.Payload{{nil}, {sealed, nil}} {
		if out, err := c.Decode(nothing); out != nil || !errors.Is(err, ErrMalformed) {
			t.Errorf("Decode(%v) = %v, %v", nothing, out, err)
		}
	}
}

func TestRotationKeepsOldPayloadsReadable(t *testing.T) {
	keys := paymentKeys(t)
	c := newCodec(t, keys)
	old, err := c.Seal(jsonPayload(`1`))
	if err != nil {
		t.Fatal(err)
	}
	id := keys.add(t, "ns/payments", aead.AES256GCMKeyTemplate()) // another type is fine, too
	now, err := c.Seal(jsonPayload(`2`))
	if err != nil {
		t.Fatal(err)
	}
	if o, _ := wire.Parse(now.Metadata, now.Data); o.KeyID != id {
		t.Errorf("sealed under %08x after the rotation to %08x", o.KeyID, id)
	}
	if out, err := c.Decode([]*commonpb.Payload{old, now}); err != nil || string(out[0].Data) != "1" || string(out[1].Data) != "2" {
		t.Errorf("Decode = %v, %v", out, err)
	}
}

func TestCompressionIsOffUnlessAskedForAndNeverGrowsAPayload(t *testing.T) {
	keys := paymentKeys(t)
	long := jsonPayload(`"` + strings.Repeat("same ", 1000) + `"`)
	plain, _ := newCodec(t, keys).Seal(long)
	small, err := newCodec(t, keys, func(o *CodecOptions) { o.CompressMin = 100 }).Seal(long)
	if err != nil || len(small.Data) > 300 || len(plain.Data) < 5000 {
		t.Fatalf("sizes: compressed %d, not compressed %d; %v", len(small.GetData()), len(plain.GetData()), err)
	}
	if opened, err := newCodec(t, keys).Open(small); err != nil || !proto.Equal(opened, long) {
		t.Errorf("a codec that does not compress must still expand: %v", err)
	}
	random := benchPayload(4096)
	a, _ := newCodec(t, keys).Seal(random)
	b, _ := newCodec(t, keys, func(o *CodecOptions) { o.CompressMin = 1 }).Seal(random)
	if len(b.Data) > len(a.Data) {
		t.Errorf("compression grew a payload from %d to %d bytes", len(a.Data), len(b.Data))
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for name, o := range map[string]CodecOptions{
		"no keyset":    {Scope: "a"},
		"no scope":     {Keyset: "a"},
		"bad keyset":   {Keyset: "../a", Scope: "a"},
		"bad accepted": {Keyset: "a", Scope: "a", AcceptKeysets: []string{""}},
		"empty scope":  {Keyset: "a", Scope: "a", AcceptScopes: []string{""}},
		"bad utf-8":    {Keyset: "a", Scope: "\xff"},
	} {
		if c, err := NewCodec(paymentKeys(t), o); err == nil || c != nil {
			t.Errorf("%s was accepted", name)
		}
	}
	if _, err := NewCodec(nil, CodecOptions{Keyset: "a", Scope: "a"}); err == nil {
		t.Error("no keys was accepted")
	}
}

func TestAWorkflowIDThatCannotBeSealedIsAnError(t *testing.T) {
	c := newCodec(t, paymentKeys(t)).forWorkflow("\xff")
	if p, err := c.Seal(jsonPayload(`1`)); p != nil || !errors.Is(err, ErrMalformed) {
		t.Errorf("Seal = %v, %v", p, err)
	}
}

func TestSerializationContextsNameTheWorkflow(t *testing.T) {
	for want, sc := range map[string]sdk.SerializationContext{
		"w1": sdk.WorkflowSerializationContext{Namespace: "n", WorkflowID: "w1"},
		"w2": sdk.ActivitySerializationContext{Namespace: "n", WorkflowID: "w2", ActivityType: "a"},
	} {
		if got := workflowOf(sc); got != want {
			t.Errorf("%T: %q, want %q", sc, got, want)
		}
	}
	for _, sc := range []sdk.SerializationContext{
		nil,
		sdk.NexusSerializationContext{Endpoint: "e"},
		sdk.WorkflowSerializationContext{Namespace: "ReplayNamespace", WorkflowID: "ReplayId"},
	} {
		if got := workflowOf(sc); got != "" {
			t.Errorf("%T %v: %q, want none", sc, sc, got)
		}
	}
}

func TestManyGoroutinesShareACodec(t *testing.T) {
	c := newCodec(t, paymentKeys(t), func(o *CodecOptions) { o.CompressMin = 64 })
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			mine := c.forWorkflow(strings.Repeat("w", g+1))
			p := jsonPayload(`"` + strings.Repeat(string(rune('a'+g)), 100*g) + `"`)
			for range 200 {
				sealed, err := mine.Seal(p)
				if err != nil {
					t.Error(err)
					return
				}
				if opened, err := mine.Open(sealed); err != nil || !proto.Equal(opened, p) {
					t.Errorf("goroutine %d: %v", g, err)
					return
				}
			}
		})
	}
	wg.Wait()
}
