package codecserver_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strconv"
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
// Compare cpu-µs/op of one run. "mixed" is a page of which every payload is of another workflow: nothing is found out once
// for all of them.
func BenchmarkDecode(b *testing.B) {
	for _, c := range []struct {
		payloads, size int
		mixed          string
	}{{1, 1 << 10, ""}, {50, 1 << 10, ""}, {50, 1 << 10, "-mixed"}, {50, 64 << 10, ""}} {
		w := newWorld(b, func(c *codecserver.Config) {
			c.Audit, c.Logger = audit.New(io.Discard), nil
			c.Limits.PayloadBurst, c.Limits.PayloadsPerSecond = 1<<40, 1<<40
		})
		sealed := make([]*commonpb.Payload, c.payloads)
		for i := range sealed {
			workflow := "order-17"
			if c.mixed != "" {
				workflow += strconv.Itoa(i)
			}
			sealed[i] = w.sealedOf(c.size, workflow)
		}
		text := []byte(body(b, sealed...))
		for _, handler := range []struct {
			name string
			http.Handler
		}{{"signet", w}, {"sdk", sdk.NewPayloadCodecHTTPHandler(w.codecs["payments"])}} {
			b.Run(fmt.Sprintf("%dx%dKiB%s/%s", c.payloads, c.size>>10, c.mixed, handler.name), func(b *testing.B) {
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

// sealedOf seals size bytes for a workflow of payments.
func (w *world) sealedOf(size int, workflow string) *commonpb.Payload {
	w.t.Helper()
	codec := w.codecs["payments"].WithSerializationContext(sdk.WorkflowSerializationContext{Namespace: "payments", WorkflowID: workflow})
	sealed, err := codec.Encode([]*commonpb.Payload{plain(`"` + strings.Repeat("x", size-2) + `"`)})
	if err != nil {
		w.t.Fatal(err)
	}
	return sealed[0]
}

// TestAPageIsDecodedInLittleMoreMemoryThanItHolds: what a request needs beside its plaintext is that of earlier ones.
func TestAPageIsDecodedInLittleMoreMemoryThanItHolds(t *testing.T) {
	w := newWorld(t, func(c *codecserver.Config) {
		c.Audit, c.Logger = audit.New(io.Discard), nil
		c.Limits.PayloadBurst = 1 << 40
	})
	const payloads, size, rounds = 50, 64 << 10, 20
	text := body(t, slices.Repeat([]*commonpb.Payload{w.sealedOf(size, "order-17")}, payloads)...)
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

// TestAPageMakesFewAllocations holds the budget for 50 x 1 KiB: what Tink makes to open a payload, the opened payload with
// its map, and the workflow id; and for the request as a whole what is not counted by payloads.
func TestAPageMakesFewAllocations(t *testing.T) {
	w := newWorld(t, func(c *codecserver.Config) {
		c.Audit, c.Logger = audit.New(io.Discard), nil
		c.Limits.PayloadBurst = 1 << 40
	})
	const payloads = 50
	sealed := w.sealedOf(1<<10, "order-17")
	key := w.keys.aeads["ns/payments"]
	associated := []byte("x")
	ciphertext, err := key.Encrypt(sealed.Data, associated)
	if err != nil {
		t.Fatal(err)
	}
	tink := leastAllocs(func() { _, _ = key.Decrypt(ciphertext, associated) })
	text := body(t, slices.Repeat([]*commonpb.Payload{sealed}, payloads)...)
	all := leastAllocs(func() {
		answer := &discarded{header: http.Header{}}
		w.ServeHTTP(answer, httptestRequest(t, fromUI("ann", "decode", text)))
		if answer.status != http.StatusOK {
			t.Error(answer.status)
		}
	})
	t.Logf("%v allocations for %d payloads, %v of them Tink's", all, payloads, tink*payloads)
	if above := all - (tink+4)*payloads; above > 100 {
		t.Errorf("%v allocations for %d payloads, Tink's are %v: %v more than four for each payload, want 100 at most", all, payloads, tink*payloads, above)
	}
}

// leastAllocs is how many allocations do makes where every pool has what it was given: under the race detector a pool
// forgets a quarter of that.
func leastAllocs(do func()) float64 {
	least := testing.AllocsPerRun(1, do)
	for range 50 {
		least = min(least, testing.AllocsPerRun(1, do))
	}
	return least
}
