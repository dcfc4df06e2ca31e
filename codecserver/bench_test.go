package codecserver_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	sdk "go.temporal.io/sdk/converter"

	"github.com/signet-temporal/signet/codecserver"
	"github.com/signet-temporal/signet/codecserver/audit"
)

// cpu is the CPU time that this process has used.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// discarded is an answer that is counted and not kept, as one that has gone to a socket.
type discarded struct {
	header        http.Header
	status, bytes int
}

func (d *discarded) Header() http.Header         { return d.header }
func (d *discarded) WriteHeader(status int)      { d.status = status }
func (d *discarded) Write(p []byte) (int, error) { d.bytes += len(p); return len(p), nil }

// BenchmarkDecode is the handler, with policy and audit records, beside the SDK's handler that runs the same codec.
// Compare cpu-µs/op of one run.
func BenchmarkDecode(b *testing.B) {
	for _, c := range []struct{ payloads, size int }{{1, 1 << 10}, {50, 1 << 10}, {50, 64 << 10}} {
		w := newWorld(b, func(c *codecserver.Config) {
			c.Audit, c.Logger = audit.New(io.Discard), nil
			c.Limits.PayloadBurst, c.Limits.PayloadsPerSecond = 1<<40, 1<<40
		})
		p := &commonpb.Payload{Metadata: map[string][]byte{"encoding": []byte("json/plain")}, Data: []byte(`"` + strings.Repeat("x", c.size-2) + `"`)}
		codec := w.codecs["payments"].WithSerializationContext(sdk.WorkflowSerializationContext{Namespace: "payments", WorkflowID: "order-17"})
		sealed, err := codec.Encode([]*commonpb.Payload{p})
		if err != nil {
			b.Fatal(err)
		}
		text := []byte(body(b, slices.Repeat(sealed, c.payloads)...))
		for _, handler := range []struct {
			name string
			http.Handler
		}{{"signet", w}, {"sdk", sdk.NewPayloadCodecHTTPHandler(w.codecs["payments"])}} {
			b.Run(fmt.Sprintf("%dx%dKiB/%s", c.payloads, c.size>>10, handler.name), func(b *testing.B) {
				b.ReportAllocs()
				began := cpu(b)
				for b.Loop() {
					r := httptest.NewRequest(http.MethodPost, "/decode", bytes.NewReader(text))
					r.Header.Set("Content-Type", "application/json")
					r.Header.Set("X-Namespace", "payments")
					r.Header.Set("Authorization", "Bearer ann")
					answer := &discarded{header: http.Header{}}
					handler.ServeHTTP(answer, r)
					if answer.status > http.StatusOK || answer.bytes == 0 {
						b.Fatal(answer.status)
					}
				}
				b.ReportMetric(float64((cpu(b)-began).Microseconds())/float64(b.N), "cpu-µs/op")
			})
		}
	}
}

// TestAPageIsDecodedInLittleMoreMemoryThanItHolds: what a request needs beside its plaintext is that of earlier ones.
func TestAPageIsDecodedInLittleMoreMemoryThanItHolds(t *testing.T) {
	w := newWorld(t, func(c *codecserver.Config) {
		c.Audit, c.Logger = audit.New(io.Discard), nil
		c.Limits.PayloadBurst = 1 << 40
	})
	const payloads, size, rounds = 50, 64 << 10, 20
	codec := w.codecs["payments"].WithSerializationContext(sdk.WorkflowSerializationContext{Namespace: "payments", WorkflowID: "order-17"})
	sealed, err := codec.Encode([]*commonpb.Payload{plain(`"` + strings.Repeat("x", size) + `"`)})
	if err != nil {
		t.Fatal(err)
	}
	text := body(t, slices.Repeat(sealed, payloads)...)
	var before, after runtime.MemStats
	for i := range rounds + 1 {
		if i == 1 { // the first makes the memory that the others use
			runtime.ReadMemStats(&before)
		}
		answer := &discarded{header: http.Header{}}
		w.ServeHTTP(answer, httptestRequest(t, fromUI("ann", "decode", text)))
		if answer.status != http.StatusOK || answer.bytes < payloads*size {
			t.Fatal(answer)
		}
	}
	runtime.ReadMemStats(&after)
	// 2.8 times, one for the plaintext and one and a third for the answer, and 8 times without; under the race detector a pool forgets a quarter of what it is given.
	if each := float64(after.TotalAlloc-before.TotalAlloc) / rounds / (payloads * size); each > 6 {
		t.Errorf("each page allocates %.1f times what it holds", each)
	} else {
		t.Logf("each page allocates %.1f times what it holds", each)
	}
}
