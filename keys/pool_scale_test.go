package keys_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/signet-temporal/signet/keys"
	"github.com/signet-temporal/signet/keys/keystest"
)

// TestTenThousandTenantsInOneProcess uses the keysets of ten thousand tenants for the first time, from 64 goroutines and
// over a store whose two calls take a millisecond each, as Vault's do nearby. With -v it prints the figures.
func TestTenThousandTenantsInOneProcess(t *testing.T) {
	const n = 10_000
	store, kek := &slowStore{Store: new(keystest.Store)}, keystest.NewKEK(t)
	for i := range n + 500 {
		keystest.NewKeyset(t, store, kek, tenantName(i), keys.XAES256GCM)
	}
	store.slow(time.Millisecond)
	ring, err := keys.NewRing(t.Context(), store, slowKEK{kek}, keys.RingOptions{
		RefreshInterval: time.Hour, Tenants: keys.Tenants{Under: "tenant/", Max: 2 * n},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer ring.Close()
	var late atomic.Int64
	use := func(i int) time.Duration {
		began := time.Now()
		_, _, err := ring.Primary(tenantName(i))
		for errors.Is(err, keys.ErrUnavailable) { // a machine that is busy with other tests: Temporal tries again, too
			late.Add(1)
			time.Sleep(10 * time.Millisecond)
			_, _, err = ring.Primary(tenantName(i))
		}
		if err != nil {
			t.Errorf("%s: %v", tenantName(i), err)
		}
		return time.Since(began)
	}
	alone := make([]time.Duration, 500)
	for i := range alone {
		alone[i] = use(n + i)
	}
	goroutines, before, fetches, unwraps := runtime.NumGoroutine(), heap(), store.Calls().Fetch, kek.Unwraps()
	waits := make([]time.Duration, n)
	var all sync.WaitGroup
	begun := time.Now()
	for g := range 64 {
		all.Go(func() {
			for i := g; i < n; i += 64 {
				waits[i] = use(i)
			}
		})
	}
	all.Wait()
	took := time.Since(begun)
	if got := store.Calls().Fetch - fetches; got != n {
		t.Errorf("%d reads for %d tenants", got, n)
	}
	if got := kek.Unwraps() - unwraps; got != n {
		t.Errorf("%d keys unwrapped for %d tenants", got, n)
	}
	each := (heap() - before) / n
	if each > 8<<10 {
		t.Errorf("a keyset takes %d bytes of memory, want at most 8 KiB", each)
	}
	if more := runtime.NumGoroutine() - goroutines; more > 5 {
		t.Errorf("%d goroutines more for %d tenants", more, n)
	}
	slices.Sort(waits)
	slices.Sort(alone)
	t.Logf("one at a time: first use p50 %s, p99 %s", alone[250].Round(time.Microsecond), alone[495].Round(time.Microsecond))
	t.Logf("64 at a time, %d tenants in %s: first use p50 %s, p99 %s, longest %s; %d tries not within 250ms; %d bytes each", n, took.Round(time.Millisecond),
		waits[n/2].Round(time.Microsecond), waits[n*99/100].Round(time.Microsecond), waits[n-1].Round(time.Microsecond), late.Load(), each)
	if n := leastAllocs(func() { _, _, _ = ring.Primary("tenant/t77") }); n != 0 {
		t.Errorf("Primary allocates %v times", n)
	}
	id, _, _ := ring.Primary("tenant/t77")
	if n := leastAllocs(func() { _, _ = ring.Lookup("tenant/t77", id) }); n != 0 {
		t.Errorf("Lookup allocates %v times", n)
	}
}

func leastAllocs(do func()) float64 { return testing.AllocsPerRun(100, do) }

// slowKEK is a key-encryption key a millisecond away.
type slowKEK struct{ *keystest.KEK }

func (k slowKEK) DecryptWithContext(ctx context.Context, ciphertext, associatedData []byte) ([]byte, error) {
	time.Sleep(time.Millisecond)
	return k.KEK.DecryptWithContext(ctx, ciphertext, associatedData)
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkTenant is what finding one of ten thousand keysets costs, beside one that was named when the ring was made.
func BenchmarkTenant(b *testing.B) {
	store, kek := new(keystest.Store), keystest.NewKEK(b)
	keystest.NewKeyset(b, store, kek, name, keys.XAES256GCM)
	names := make([]string, 10_000)
	for i := range names {
		names[i] = tenantName(i)
		keystest.NewKeyset(b, store, kek, names[i], keys.XAES256GCM)
	}
	ring, err := keys.NewRing(b.Context(), store, kek, keys.RingOptions{Keysets: []string{name}, Tenants: keys.Tenants{Under: "tenant/"}})
	if err == nil {
		err = ring.Preload(b.Context(), names...)
	}
	if err != nil {
		b.Fatal(err)
	}
	defer ring.Close()
	for what, of := range map[string][]string{"named": {name}, "tenants": names} {
		b.Run(what, func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for i := 0; pb.Next(); i++ {
					if _, _, err := ring.Primary(of[i*7919%len(of)]); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}

// TestMadeUpNamesFillNothing: a flood of names that do not exist, as a payload could carry them where no workflow is
// known, costs the store one read each and the process nothing that lasts.
func TestMadeUpNamesFillNothing(t *testing.T) {
	log, began := new(logged), time.Now()
	absent := fmt.Errorf("no such keyset: %w", keys.ErrNotFound)
	ring, err := keys.NewRing(t.Context(), fetchFunc(func(context.Context, string) (*keys.Keyset, keys.Version, error) {
		return nil, "", absent
	}), keystest.NewKEK(t), keys.RingOptions{Tenants: keys.Tenants{Under: "tenant/"}, Logger: slog.New(slog.NewTextHandler(log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	defer ring.Close()
	before := heap()
	for i := range 10_000 {
		if _, err := ring.Lookup(tenantName(i), 1); !errors.Is(err, keys.ErrNotFound) {
			t.Fatal(err)
		}
	}
	if more := int64(heap()) - int64(before); more > 1<<20 {
		t.Errorf("10000 made-up names left %d bytes behind", more)
	}
	if lines := strings.Count(log.String(), "\n"); lines == 0 || lines > 1+int(time.Since(began)/time.Second) {
		t.Errorf("they wrote %d lines into the log in %s, want one in a second", lines, time.Since(began))
	}
}
