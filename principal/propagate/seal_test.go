package propagate_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/tink-crypto/tink-go/v2/tink"
	commonpb "go.temporal.io/api/common/v1"
	"google.golang.org/protobuf/proto"

	"github.com/signet-temporal/signet/keys/keystest"
	"github.com/signet-temporal/signet/principal"
	"github.com/signet-temporal/signet/principal/propagate"
)

const (
	scope = "payments"
	name  = "principal/payments"
)

var noon = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

func ann() principal.Principal {
	return principal.Principal{Kind: principal.KindUser, Issuer: "https://login.example.com", Subject: "5f0c3f5e-6d7a-4a34-9b51-2c0f5a1f7a11",
		Tenant: "acme-clinic", Txn: "4bf92f3577b34da6", AuthTime: noon.Add(-time.Hour), IssuedAt: noon.Add(-time.Second)}
}

func start() propagate.Record {
	return propagate.Record{Principal: ann(), Kind: propagate.KindStart, SealedAt: noon,
		Place: propagate.PlaceOf(propagate.KindStart, "intake-4711", "Intake")}
}

func newSealer(t testing.TB, k propagate.Keys, name, scope string) propagate.Sealer {
	t.Helper()
	s, err := propagate.NewSealer(k, name, scope)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func seal(t testing.TB, s propagate.Sealer, r propagate.Record) *commonpb.Payload {
	t.Helper()
	p, err := s.Seal(r)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func wantReason(t *testing.T, err error, reason string) {
	t.Helper()
	var refused *propagate.Error
	if !errors.As(err, &refused) || refused.Reason() != reason {
		t.Errorf("the error is %v, want it refused as %s", err, reason)
	}
}

func TestWhatIsSealedOpensAsItWas(t *testing.T) {
	s := newSealer(t, keystest.NewRing(t, name), name, scope)
	service := start()
	service.Principal, service.Cron = principal.Principal{Kind: principal.KindService, Subject: "nightly", IssuedAt: noon}, true
	both := start()
	both.Message = propagate.PlaceOf(propagate.KindMessage, "intake-4711", "approve")
	longest := start()
	for _, text := range []*string{&longest.Principal.Issuer, &longest.Principal.Subject, &longest.Principal.Tenant, &longest.Principal.Txn} {
		*text = strings.Repeat("x", 256)
	}
	for name, r := range map[string]propagate.Record{"user": start(), "service": service, "with a message": both, "longest": longest} {
		if got, err := s.Open(seal(t, s, r)); err != nil || got != r {
			t.Errorf("%s: got %+v, %v", name, got, err)
		}
	}
}

// TestAHeaderTakesAtMost300BytesOnTheWire holds a promise: the whole field of the header, its name and all, for a UUID of
// somebody, under the default key type.
func TestAHeaderTakesAtMost300BytesOnTheWire(t *testing.T) {
	payload := seal(t, newSealer(t, keystest.NewRing(t, name), name, scope), start())
	without := proto.Size(&commonpb.Header{})
	size := proto.Size(&commonpb.Header{Fields: map[string]*commonpb.Payload{propagate.Header: payload}}) - without
	t.Logf("%d bytes", size)
	if size > 300 {
		t.Errorf("a header takes %d bytes, want at most 300", size)
	}
}

func TestNothingOfAPrincipalIsReadable(t *testing.T) {
	payload := seal(t, newSealer(t, keystest.NewRing(t, name), name, scope), start())
	raw, err := proto.Marshal(payload)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{ann().Subject, ann().Tenant, ann().Issuer, ann().Txn, "Intake"} {
		if bytes.Contains(raw, []byte(text)) {
			t.Errorf("the header holds %q in clear", text)
		}
	}
}

func TestAHeaderOpensOnlyUnderItsKeysetAndScope(t *testing.T) {
	ring := keystest.NewRing(t, name, "principal/orders")
	payload := seal(t, newSealer(t, ring, name, scope), start())
	_, err := newSealer(t, ring, name, "orders").Open(payload)
	wantReason(t, err, propagate.ReasonNotAuthentic)
	_, err = newSealer(t, ring, "principal/orders", scope).Open(payload)
	wantReason(t, err, propagate.ReasonNotAuthentic)
	_, err = newSealer(t, keystest.NewRing(t, name), name, scope).Open(payload)
	wantReason(t, err, propagate.ReasonUnavailable)
}

func TestEveryChangedByteIsNoticed(t *testing.T) {
	s := newSealer(t, keystest.NewRing(t, name), name, scope)
	genuine := seal(t, s, start())
	check := func(what string, p *commonpb.Payload) {
		r, err := s.Open(p)
		if err == nil || r != (propagate.Record{}) {
			t.Errorf("%s: it opens as %+v, %v", what, r, err)
		}
	}
	for i := range genuine.Data {
		p := proto.CloneOf(genuine)
		p.Data[i] ^= 1
		check("data", p)
		p = proto.CloneOf(genuine)
		p.Data = p.Data[:i]
		check("shortened", p)
	}
	for key, value := range genuine.Metadata {
		for i := range value {
			p := proto.CloneOf(genuine)
			p.Metadata[key][i] ^= 1
			check(key, p)
		}
		p := proto.CloneOf(genuine)
		delete(p.Metadata, key)
		check("without "+key, p)
	}
	p := proto.CloneOf(genuine)
	p.Metadata["x"] = nil
	check("more metadata", p)
	check("nil", nil)
}

// countingKeys counts how often a key is asked for.
type countingKeys struct {
	propagate.Keys
	lookups int
}

func (c *countingKeys) Lookup(keyset string, id uint32) (tink.AEAD, error) {
	c.lookups++
	return c.Keys.Lookup(keyset, id)
}

func TestWhatIsTooLongIsRefusedBeforeAnyKeyIsTouched(t *testing.T) {
	k := &countingKeys{Keys: keystest.NewRing(t, name)}
	s := newSealer(t, k, name, scope)
	payload := seal(t, s, start())
	payload.Data = append(payload.Data, make([]byte, 1<<20)...)
	_, err := s.Open(payload)
	wantReason(t, err, propagate.ReasonMalformed)
	if k.lookups > 0 {
		t.Errorf("a key was looked up")
	}
}

func TestWhatIsNotAPrincipalIsNotSealed(t *testing.T) {
	s := newSealer(t, keystest.NewRing(t, name), name, scope)
	for name, spoil := range map[string]func(*propagate.Record){
		"nobody":    func(r *propagate.Record) { r.Principal = principal.Principal{} },
		"a space":   func(r *propagate.Record) { r.Principal.Tenant = "a b" },
		"too long":  func(r *propagate.Record) { r.Principal.Txn = strings.Repeat("x", 257) },
		"long ago":  func(r *propagate.Record) { r.Principal.AuthTime = time.Date(1950, 1, 1, 0, 0, 0, 0, time.UTC) },
		"far ahead": func(r *propagate.Record) { r.SealedAt = time.Date(12000, 1, 1, 0, 0, 0, 0, time.UTC) },
	} {
		r := start()
		spoil(&r)
		if p, err := s.Seal(r); err == nil || p != nil {
			t.Errorf("%s: sealed as %v, %v", name, p, err)
		}
	}
}

func BenchmarkSeal(b *testing.B) {
	s := newSealer(b, keystest.NewRing(b, name), name, scope)
	r := start()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Seal(r); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	s := newSealer(b, keystest.NewRing(b, name), name, scope)
	payload := seal(b, s, start())
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Open(payload); err != nil {
			b.Fatal(err)
		}
	}
}
