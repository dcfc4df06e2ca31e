package keys_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	"github.com/signet-temporal/signet"
	"github.com/signet-temporal/signet/e2e/stack"
	"github.com/signet-temporal/signet/keys"
)

// TestVaultStopsAndWorkflowsGoOn: running workflows go on and new ones start while Vault is stopped, hangs, has crashed
// or is sealed. When it is back the ring refreshes again and takes over a key that was promoted meanwhile.
func TestVaultStopsAndWorkflowsGoOn(t *testing.T) {
	s := stack.Start(t, stack.Options{Namespaces: []string{"payments"}, WithoutOIDC: true, KeepVault: true, PropagationDelay: time.Millisecond})
	ring := s.Ring(t, keys.RingOptions{RefreshInterval: time.Second})
	c := s.ClientWith(t, "payments", s.Plugin(t, ring, signet.Options{}))
	startWorker(t, c)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, outage := range []struct {
		name       string
		begin, end func()
	}{
		{"stopped", func() { must(s.Vault.Stop()) }, func() { must(s.Vault.Restart(t.Context())) }},
		{"crashed", s.Vault.Kill, func() { must(s.Vault.Restart(t.Context())) }},
		{"sealed", func() { must(s.Vault.Seal(t.Context())) }, func() { must(s.Vault.Unseal(t.Context())) }},
		{"hangs", func() { must(s.Vault.Pause()) }, func() { must(s.Vault.Resume()) }},
	} {
		t.Run(outage.name, func(t *testing.T) {
			before := start(t, c, "before-"+outage.name, true)
			outage.begin()
			begun := time.Now()
			limit := 5 * time.Second
			if outage.name == "hangs" {
				limit = 15 * time.Second // a call's own timeout is 10 s
			}
			stack.Eventually(t, limit, func() error {
				if ring.Status()[0].Error == "" {
					return fmt.Errorf("the ring has not noticed that Vault is away")
				}
				return nil
			})
			t.Logf("noticed after %s: %s", time.Since(begun).Round(100*time.Millisecond), ring.Status()[0].Error)
			goesOn(t, c, before, outage.name)

			outage.end()
			mended := time.Now()
			stack.Eventually(t, 10*time.Second, func() error { // an active node needs a moment after unsealing
				run := s.SignetRun(t, "keyset", "status", "ns/payments")
				if run.Code != 0 {
					return fmt.Errorf("keyset status: %s", run.Stderr)
				}
				return nil
			})
			s.Rotate(t, "ns/payments")
			promoted := s.Promote(t, "ns/payments")
			sealsWith(t, ring, "ns/payments", promoted, 30*time.Second)
			t.Logf("sealing with the key promoted since, %s after Vault is back", time.Since(mended).Round(100*time.Millisecond))
			if why := ring.Status()[0].Error; why != "" {
				t.Errorf("after a good refresh the ring still says %q", why)
			}
			run := start(t, c, "after-"+outage.name, false)
			returns(t, run, "packed after-"+outage.name)
			first, err := c.GetWorkflowHistory(t.Context(), run.GetID(), "", false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT).Next()
			must(err)
			if key := keyOf(t, first.GetWorkflowExecutionStartedEventAttributes().GetInput().GetPayloads()[0], "ns/payments"); key != promoted {
				t.Errorf("a workflow started after the outage is sealed with %s, want %s", key, promoted)
			}
		})
	}
}

// goesOn does everything that an application does while Vault is away.
func goesOn(t *testing.T, c client.Client, before client.WorkflowRun, name string) {
	t.Helper()
	begun := time.Now()
	for n := range 3 {
		run := start(t, c, fmt.Sprintf("during-%s-%d", name, n), true)
		ship(t, c, run)
	}
	ship(t, c, before)
	if took := time.Since(begun); took > 10*time.Second {
		t.Errorf("four workflows took %s", took)
	}
}

// TestAWorkerThatStartsWithoutVaultSaysSo: keys are in memory or the process does not start. It waits for Vault for as
// long as it is told to and then says in one line what is wrong.
func TestAWorkerThatStartsWithoutVaultSaysSo(t *testing.T) {
	s := stack.Start(t, stack.Options{Namespaces: []string{"payments"}, WithoutOIDC: true, WithoutTemporal: true, KeepVault: true})
	store := s.Store(t, "", s.Roles.WorkerToken)
	if err := s.Vault.Seal(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := contextFor(t, 3*time.Second)
	defer cancel()
	_, err := keys.NewRing(ctx, store, store, keys.RingOptions{Keysets: []string{"ns/payments"}})
	if err == nil || !strings.Contains(err.Error(), "sealed") || strings.Contains(err.Error(), "\n") {
		t.Errorf("over a sealed Vault, NewRing returns %v", err)
	}
	t.Logf("%v", err)

	// Vault comes while the worker waits.
	unsealed := make(chan error, 1)
	go func() {
		time.Sleep(time.Second)
		unsealed <- s.Vault.Unseal(t.Context())
	}()
	ctx, cancel = contextFor(t, 20*time.Second)
	defer cancel()
	ring, err := keys.NewRing(ctx, store, store, keys.RingOptions{Keysets: []string{"ns/payments"}})
	if err != nil {
		t.Fatalf("Vault was unsealed while NewRing waited: %v", err)
	}
	_ = ring.Close() // always nil
	if err := <-unsealed; err != nil {
		t.Fatal(err)
	}
}
