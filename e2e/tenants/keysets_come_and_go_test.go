package tenants_test

import (
	"errors"
	"flag"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/workflowservice/v1"

	"github.com/signet-temporal/signet"
	"github.com/signet-temporal/signet/e2e/stack"
	"github.com/signet-temporal/signet/keys"
)

var tenants = flag.Int("tenants", 200, "tenants whose keysets come from a real Vault; docs/tenants.md has the figures of 10,000")

// TestTenantsComeColdFromVault: one read and one decryption for each, whoever asks and however many at once. With -v it
// prints the figures.
func TestTenantsComeColdFromVault(t *testing.T) {
	n := *tenants
	w := &world{Stack: stack.Start(t, stack.Options{Namespaces: []string{"payments"}, WithoutOIDC: true, WithoutTemporal: true})}
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("t%d", i)
	}
	w.createTenants(t, append(names, "burst")...)
	vault := w.Proxy(t)
	ring := w.RingAt(t, vault.Address, keys.RingOptions{RefreshInterval: time.Hour, Tenants: keys.Tenants{Under: under, Max: n + 10}})

	before := len(vault.Requests())
	var burst sync.WaitGroup
	for range 64 {
		burst.Go(func() { firstUse(t, ring, "tenant/burst") })
	}
	burst.Wait()
	if got := vault.Requests()[before:]; len(got) != 2 || !strings.HasSuffix(got[0], "/keysets/tenant/burst") || !strings.HasSuffix(got[1], "/decrypt/signet") {
		t.Errorf("64 goroutines, cold, made the requests %v, want one reading and one decryption", got)
	}

	before = len(vault.Requests())
	waits, empty, began := make([]time.Duration, n), heap(), time.Now()
	for i, name := range names {
		waits[i] = firstUse(t, ring, under+name)
	}
	took, each := time.Since(began), (heap()-empty)/int64(n)
	if got := len(vault.Requests()) - before; got != 2*n {
		t.Errorf("%d tenants made %d requests, want %d", n, got, 2*n)
	}
	slices.Sort(waits)
	t.Logf("first use of %d keysets, one after the other, in %s: p50 %s, p99 %s, longest %s; %d requests; %d bytes each, with the proxy's notes", n, took.Round(time.Millisecond),
		waits[n/2].Round(time.Microsecond), waits[n*99/100].Round(time.Microsecond), waits[n-1].Round(time.Microsecond), 2*n, each)
	if n >= 1000 && each > 8<<10 {
		t.Errorf("a keyset takes %d bytes of memory, want at most 8 KiB", each)
	}

	// Refreshing reads each document again and decrypts nothing.
	before = len(vault.Requests())
	if err := ring.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := len(vault.Requests()) - before; got != n+2 { // and those of "burst" and of the namespace
		t.Errorf("refreshing made %d requests", got)
	}
	// A name that a payload made up is asked for once, and no other name at all.
	before = len(vault.Requests())
	stack.Eventually(t, 10*time.Second, func() error {
		if _, err := ring.Lookup("tenant/made-up", 1); !errors.Is(err, keys.ErrNotFound) {
			return err
		}
		return nil
	})
	for range 10 { // within the five seconds in which the answer is known
		_, err := ring.Lookup("tenant/made-up", 1)
		if !errors.Is(err, keys.ErrUnavailable) || !errors.Is(err, keys.ErrNotFound) {
			t.Errorf("a keyset that does not exist: %v", err)
		}
		if _, err := ring.Lookup("ns/made-up", 1); !errors.Is(err, keys.ErrUnavailable) || errors.Is(err, keys.ErrNotFound) {
			t.Errorf("a keyset that is no tenant's: %v", err)
		}
	}
	if got := vault.Requests()[before:]; len(got) != 1 {
		t.Errorf("names that were made up made the requests %v", got)
	}

	// Vault is away: what is held works, what is not says so at once.
	vault.Cut()
	began = time.Now()
	for _, name := range names {
		if _, _, err := ring.Primary(under + name); err != nil {
			t.Errorf("held, and yet: %v", err)
		}
	}
	if _, _, err := ring.Primary("tenant/other"); !errors.Is(err, keys.ErrUnavailable) {
		t.Errorf("not held while Vault is away: %v", err)
	}
	if took = time.Since(began); took > 5*time.Second { // the wait is bounded at 250 ms; the machine is busy
		t.Errorf("while Vault is away that took %s", took)
	}
	vault.Mend()
	stack.Eventually(t, 10*time.Second, func() error {
		_, _, err := ring.Primary("tenant/other")
		if !errors.Is(err, keys.ErrNotFound) {
			return fmt.Errorf("Vault is back, and yet: %v", err)
		}
		return nil
	})
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// firstUse uses a keyset, and again where the machine is too busy to have it in time, as Temporal does.
func firstUse(t *testing.T, ring *keys.Ring, name string) time.Duration {
	t.Helper()
	began := time.Now()
	_, _, err := ring.Primary(name)
	for errors.Is(err, keys.ErrUnavailable) && !errors.Is(err, keys.ErrNotFound) && time.Since(began) < 20*time.Second {
		time.Sleep(10 * time.Millisecond)
		_, _, err = ring.Primary(name)
	}
	if err != nil {
		t.Error(err)
	}
	return time.Since(began)
}

// TestADeletedKeysetStopsItsTenantAlone: a tenant's keyset is deleted in Vault, as whoever erases a tenant does. At the next
// refresh nothing of that tenant opens any more, in the worker or in a client; the other tenant's workflows go on. The
// tenant's workflows stay open, and go on when the keyset is restored.
func TestADeletedKeysetStopsItsTenantAlone(t *testing.T) {
	w := newWorld(t, signet.Options{Keyset: "ns/payments"}, keys.RingOptions{RefreshInterval: time.Second}, "acme", "bravo")
	ended := w.start(t, "acme/ended", Part, "tea", false)
	get[string](t, ended)
	for _, tenant := range []string{"acme", "bravo"} {
		w.start(t, tenant+"/order-1", Order, "tea", 0)
	}
	stack.Eventually(t, 20*time.Second, func() error { // both wait for their signal
		for _, tenant := range []string{"acme", "bravo"} {
			if !slices.ContainsFunc(w.history(t, tenant+"/order-1", "").GetEvents(), func(event *historypb.HistoryEvent) bool {
				return event.GetChildWorkflowExecutionCompletedEventAttributes() != nil
			}) {
				return fmt.Errorf("%s's child has not ended", tenant)
			}
		}
		return nil
	})
	w.VaultWrite(t, "secret/delete/signet/keysets/tenant/acme", map[string]any{"versions": []int{1}})
	stack.Eventually(t, 10*time.Second, func() error {
		for _, s := range w.ring.Status() {
			if s.Name == "tenant/acme" {
				return errors.New("the ring still holds the keyset that was deleted")
			}
		}
		return nil
	})

	var out string
	again := w.client.GetWorkflow(t.Context(), "acme/ended", "")
	if err := again.Get(t.Context(), &out); err == nil || out != "" || !strings.Contains(err.Error(), `there is no keyset "tenant/acme"`) {
		t.Errorf("a result of the erased tenant: %q, %v", out, err)
	}
	if err := w.client.SignalWorkflow(t.Context(), "acme/order-1", "", "ship", "Ulm"); !errors.Is(err, keys.ErrNotFound) {
		t.Errorf("a signal to the erased tenant: %v", err)
	}
	// bravo goes on to its end: its failure is that of its own code.
	if err := w.client.SignalWorkflow(t.Context(), "bravo/order-1", "", "ship", "Ulm"); err != nil {
		t.Fatal(err)
	}
	if err := w.client.GetWorkflow(t.Context(), "bravo/order-1", "").Get(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "cannot pack broken tea to Ulm") {
		t.Errorf("bravo's workflow ends with %v", err)
	}
	// A signal without a value reaches acme's workflow, and the next thing that its code does needs the key.
	if _, err := w.raw.WorkflowService().SignalWorkflowExecution(t.Context(), &workflowservice.SignalWorkflowExecutionRequest{
		Namespace: "payments", WorkflowExecution: &commonpb.WorkflowExecution{WorkflowId: "acme/order-1"}, SignalName: "ship",
	}); err != nil {
		t.Fatal(err)
	}
	if why := w.taskFails(t, "acme/order-1"); !strings.Contains(why, `there is no keyset "tenant/acme"`) {
		t.Errorf("the task of the erased tenant fails with %q", why)
	}

	w.VaultWrite(t, "secret/undelete/signet/keysets/tenant/acme", map[string]any{"versions": []int{1}})
	stack.Eventually(t, 20*time.Second, func() error { return again.Get(t.Context(), &out) })
	if out != "part of tea" {
		t.Errorf("restored, it reads %q", out)
	}
	if err := w.client.GetWorkflow(t.Context(), "acme/order-1", "").Get(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "cannot pack broken tea") {
		t.Errorf("restored, the workflow ends with %v", err)
	}
}
