package tenants_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/signet-temporal/signet"
	"github.com/signet-temporal/signet/converter"
	"github.com/signet-temporal/signet/keys"
	"github.com/signet-temporal/signet/principal"
	"github.com/signet-temporal/signet/principal/propagate"
)

// TestAPrincipalMeetsItsTenantsKeyset: the principal's tenant and the workflow's must be the same, in the call that starts
// it and in its code, or nothing is sealed. A service of no tenant works for all of them.
func TestAPrincipalMeetsItsTenantsKeyset(t *testing.T) {
	o := signet.Options{
		Keyset:    "ns/payments",
		Principal: &propagate.Options{Keyset: "principal/payments"},
	}
	w := newWorld(t, o, keys.RingOptions{Keysets: []string{"ns/payments", "principal/payments"}}, "acme", "bravo")
	as := func(tenant string) context.Context {
		return principal.NewContext(t.Context(), principal.Principal{
			Kind: principal.KindUser, Issuer: "https://idp.example", Subject: "alice", Tenant: tenant, IssuedAt: time.Now(),
		})
	}
	for _, test := range []struct {
		tenant, id string
		mismatch   bool
	}{{"acme", "acme/own", false}, {"acme", "bravo/other", true}, {"acme", "nobodys", true}, {"bravo", "bravo/own", false}} {
		run, err := w.client.ExecuteWorkflow(as(test.tenant), w.options(test.id), Part, "tea", false)
		if errors.Is(err, converter.ErrTenantMismatch) != test.mismatch {
			t.Errorf("%s starts %s: %v", test.tenant, test.id, err)
		}
		if err == nil {
			if got := get[string](t, run); got != "part of tea" {
				t.Errorf("%s returns %q", test.id, got)
			}
			sealedUnder(t, test.id, w.history(t, test.id, ""), under+test.tenant, 2)
		}
	}
	nightly := principal.NewContext(t.Context(), principal.Service("billing", ""))
	for _, id := range []string{"acme/billing", "bravo/billing"} {
		run, err := w.client.ExecuteWorkflow(nightly, w.options(id), Part, "tea", false)
		if err != nil {
			t.Fatal(err)
		}
		get[string](t, run)
	}
	if _, err := w.client.ExecuteWorkflow(as("acme"), w.options("acme/sends"), Sends, "bravo/own", "tea"); err != nil {
		t.Fatal(err)
	}
	if why := w.taskFails(t, "acme/sends"); !strings.Contains(why, "tenants disagree") {
		t.Errorf("workflow code that works for acme signals bravo: %q", why)
	}
}
