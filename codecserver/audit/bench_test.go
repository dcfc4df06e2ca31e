package audit_test

import (
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/signet-temporal/signet/codecserver/audit"
)

// record is one as a request of the Web UI leaves it.
var record = audit.Record{
	RequestID: "RQWZJ3ZQ5R2VXJ5D3T7O2N4Q5A", Action: "decode", Decision: audit.Allow, Rule: "payments-oncall",
	Issuer: "https://login.example.com", Subject: "u-17", Email: "ann@example.com", Payload: 1, Payloads: 1,
	Item:   audit.Item{Namespace: "payments", Workflow: "order-4711", Key: "ns/payments/0000002a"},
	Client: "192.0.2.1", Agent: "browser",
}

// BenchmarkFile is the log beside a file that gets one write and one fsync for every request, with 1 and 64 requests at
// the same time, on the disk of the temporary directory.
func BenchmarkFile(b *testing.B) {
	for _, clients := range []struct {
		name string
		n    int
	}{{"1", 1}, {"64", 64}} {
		b.Run("clients="+clients.name+"/shared", func(b *testing.B) {
			l, err := audit.OpenFile(filepath.Join(b.TempDir(), "audit.jsonl"), audit.FileOptions{})
			if err != nil {
				b.Fatal(err)
			}
			defer l.Close()
			together(b, clients.n, func() error { return l.Write(b.Context(), record) })
		})
		b.Run("clients="+clients.name+"/unshared", func(b *testing.B) {
			f, err := os.Create(filepath.Join(b.TempDir(), "unshared"))
			if err != nil {
				b.Fatal(err)
			}
			defer f.Close()
			line := make([]byte, 600)
			var mu sync.Mutex
			together(b, clients.n, func() error {
				mu.Lock()
				defer mu.Unlock()
				if _, err := f.Write(line); err != nil {
					return err
				}
				return f.Sync()
			})
		})
	}
}

// together does b.N requests, n at a time, and reports how many there are in a second.
func together(b *testing.B, n int, request func() error) {
	b.Helper()
	todo := make(chan struct{})
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			for range todo {
				if err := request(); err != nil {
					b.Error(err)
				}
			}
		})
	}
	b.ResetTimer()
	for range b.N {
		todo <- struct{}{}
	}
	close(todo)
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
}
