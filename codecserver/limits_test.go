package codecserver_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"weak"

	commonpb "go.temporal.io/api/common/v1"
	sdk "go.temporal.io/sdk/converter"

	"github.com/signet-temporal/signet/codecserver"
	"github.com/signet-temporal/signet/codecserver/audit"
	"github.com/signet-temporal/signet/converter"
)

// big returns a small sealed payload that expands to n bytes.
func (w *world) big(n int) *commonpb.Payload {
	w.t.Helper()
	compressing, err := converter.NewCodec(w.keys, converter.CodecOptions{Keyset: "ns/payments", Scope: "payments", CompressMin: 1})
	if err != nil {
		w.t.Fatal(err)
	}
	codec := compressing.WithSerializationContext(sdk.WorkflowSerializationContext{Namespace: "payments", WorkflowID: "order-17"})
	sealed, err := codec.Encode([]*commonpb.Payload{{Data: bytes.Repeat([]byte{'z'}, n)}})
	if err != nil {
		w.t.Fatal(err)
	}
	if len(sealed[0].Data) > n/2 {
		w.t.Fatalf("%d bytes are sealed in %d: the codec does not compress", n, len(sealed[0].Data))
	}
	return sealed[0]
}

func maxOpened(n int64) func(*codecserver.Config) {
	return func(c *codecserver.Config) { c.Limits.MaxOpened = n }
}

func TestARequestOpensNoMorePlaintextThanTheLimit(t *testing.T) {
	const size = 10_000
	w := newWorld(t, maxOpened(2*size))
	p := w.big(size)
	all := body(t, p, plain("1"), p, p, w.sealed("orders-v1"), p, p)

	out := w.send(fromUI("ann", "decode", all, "X-Namespace", "")).payloads(7)
	if len(out[0].Data) != size || len(out[2].Data) != size || string(out[1].Data) != "1" {
		t.Errorf("what is within the limit came back with %d and %d bytes, the foreign payload as %q", len(out[0].Data), len(out[2].Data), out[1].Data)
	}
	for _, i := range []int{3, 5, 6} {
		if e := explained(t, out[i], "too-large"); !strings.Contains(e.Message, "fewer") {
			t.Errorf("the explanation does not say what to do: %q", e.Message)
		}
	}
	explained(t, out[4], "not-granted") // an earlier reason stays
	if w.opens != 3 {
		t.Errorf("%d payloads were opened, want 3: the limit is known to be passed with the third", w.opens)
	}
	w.wantAudit("allow - payments-oncall payments/order-17", "allow - payments-oncall payments/order-17",
		"unreadable too-large payments-oncall payments/order-17", "deny not-granted - (orders/order-17)",
		"unreadable too-large payments-oncall (payments/order-17)", "unreadable too-large payments-oncall (payments/order-17)")

	w.opens = 0
	r := w.send(fromMachine("ann", "decode", body(t, p, p, p, p))).want(http.StatusUnprocessableEntity)
	if !strings.Contains(r.text, `"unreadable"`) || strings.Contains(r.text, "payloads") || w.opens != 3 {
		t.Errorf("a machine got %s after %d payloads were opened", r.text, w.opens)
	}
	w.wantAudit("deny request-refused payments-oncall payments/order-17", "deny request-refused payments-oncall payments/order-17",
		"unreadable too-large payments-oncall payments/order-17", "unreadable too-large payments-oncall (payments/order-17)")
}

func TestMetadataCountsAsOpenedPlaintext(t *testing.T) {
	w := newWorld(t, maxOpened(1000))
	sealed, err := w.codecs["payments"].Seal(&commonpb.Payload{Metadata: map[string][]byte{"encoding": []byte("x"), strings.Repeat("k", 500): bytes.Repeat([]byte("v"), 500)}})
	if err != nil {
		t.Fatal(err)
	}
	explained(t, w.send(fromUI("ann", "decode", body(t, sealed))).payloads(1)[0], "too-large")
}

func TestTheDefaultLimitOfOpenedPlaintextIs64MiB(t *testing.T) {
	w := newWorld(t)
	p := w.big(16 << 20)
	ps := []*commonpb.Payload{p, p, p, p, p, p, p}
	w.send(fromMachine("ann", "decode", body(t, ps[:4]...))).payloads(4)
	w.opens = 0
	w.send(fromMachine("ann", "decode", body(t, ps...))).want(http.StatusUnprocessableEntity)
	if w.opens != 5 {
		t.Errorf("%d payloads of 16 MiB were opened, want 5", w.opens)
	}
}

// held counts the opened payloads that are still in memory: when another is opened, and when the record is written.
type held struct {
	codecserver.Codec
	codecserver.Audit
	opened            []weak.Pointer[commonpb.Payload]
	opening, auditing int // the most at either time
}

func (h *held) alive() int {
	runtime.GC()
	n := 0
	for _, p := range h.opened {
		if p.Value() != nil {
			n++
		}
	}
	return n
}

func (h *held) Open(p *commonpb.Payload) (*commonpb.Payload, error) {
	h.opening = max(h.opening, h.alive())
	out, err := h.Codec.Open(p)
	if err == nil {
		h.opened = append(h.opened, weak.Make(out))
	}
	return out, err
}

func (h *held) Write(ctx context.Context, r ...audit.Record) error {
	h.auditing = max(h.auditing, h.alive())
	return h.Audit.Write(ctx, r...)
}

func TestARequestThatIsRefusedDoesNotHoldWhatItOpened(t *testing.T) {
	h := &held{}
	w := newWorld(t, maxOpened(25_000), func(c *codecserver.Config) {
		h.Codec, h.Audit = c.Namespaces[0].Codec, c.Audit
		c.Namespaces[0].Codec, c.Audit = h, h
	})
	p, bad := w.big(1000), w.big(1000)
	bad.Data[len(bad.Data)-1] ^= 1

	w.send(fromMachine("ann", "decode", body(t, p, p))).payloads(2)
	if h.auditing != 2 {
		t.Fatalf("the count is wrong: %d payloads are held when two are answered", h.auditing)
	}
	*h = held{Codec: h.Codec, Audit: h.Audit}
	w.send(fromMachine("ann", "decode", body(t, bad, p, p, p, p))).want(http.StatusUnprocessableEntity)
	if len(h.opened) != 4 || h.opening > 1 || h.auditing != 0 {
		t.Errorf("after one that does not open: %d opened, %d of them held while others were opened, %d when the record was written", len(h.opened), h.opening, h.auditing)
	}
	*h = held{Codec: h.Codec, Audit: h.Audit}
	w.send(fromMachine("ann", "decode", body(t, p, w.big(30_000), p))).want(http.StatusUnprocessableEntity)
	if len(h.opened) != 2 || h.auditing != 0 {
		t.Errorf("after one too large: %d opened, %d held when the record was written", len(h.opened), h.auditing)
	}
}

// tap counts what is read of a body.
type tap struct {
	io.Reader
	n int
}

func (r *tap) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	r.n += n
	return n, err
}
func (*tap) Close() error { return nil }

func TestAStrangerIsExplainedNothingBeyond256KiB(t *testing.T) {
	w := newWorld(t)
	text := func(n int) string {
		return fmt.Sprintf(`{"payloads":[%s],"x":"%s"}`, `{"metadata":{"encoding":"anNvbi9wbGFpbg=="},"data":"MQ=="}`, strings.Repeat("A", n))
	}
	w.send(fromUI("expired-token", "decode", text(200<<10))).payloads(1)
	w.wantAudit("deny expired-token - /")

	r := httptestRequest(t, fromUI("expired-token", "decode", ""))
	read := &tap{Reader: strings.NewReader(text(4 << 20))}
	r.Body, r.ContentLength = read, -1
	got := w.do(r).want(http.StatusUnauthorized)
	if strings.Contains(got.text, "payloads") || got.Header.Get("Access-Control-Allow-Origin") != ui || got.Header.Get("WWW-Authenticate") != "Bearer" {
		t.Errorf("answer %v %s", got.Header, got.text)
	}
	if read.n > 256<<10+1 { // one more says that there is more
		t.Errorf("%d bytes of a stranger's body were read", read.n)
	}
	recs := w.wantAudit("deny expired-token - /")
	if recs[0].Payloads != 0 {
		t.Errorf("record %s", recs[0].raw)
	}
	w.send(fromUI("ann", "decode", text(4<<20))).payloads(1) // who is known has the whole limit
}

func TestWhatAStrangerWritesIntoThePathCannotSteerATerminal(t *testing.T) {
	w := newWorld(t)
	a := fromUI("ann", "decode", "{}")
	a.path = "/%C2%9B31m%7F%E2%80%AEx"
	w.send(a).want(http.StatusNotFound)
	if strings.ContainsAny(w.log.String(), "\u009b\u007f\u202e") || !strings.Contains(w.log.String(), `31m`) {
		t.Errorf("the log holds %q", w.log)
	}
}
