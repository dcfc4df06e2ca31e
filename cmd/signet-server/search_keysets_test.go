package main

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/signet-temporal/signet/codecserver"
	"github.com/signet-temporal/signet/keys"
	"github.com/signet-temporal/signet/keys/filestore"
	"github.com/signet-temporal/signet/keys/rotate"
)

// TestATenantInAQuestionLeadsToNoOtherKeyset: a caller chooses the name of the tenant, which is part of a keyset's. It must
// not lead to one of another namespace that happens to be called so.
func TestATenantInAQuestionLeadsToNoOtherKeyset(t *testing.T) {
	store, err := filestore.OpenOrCreate(filepath.Join(t.TempDir(), "keys"))
	if err != nil {
		t.Fatal(err)
	}
	names := []string{"search/payments", "acme/search", "tenant/acme/search", "tenant/x/acme/search"}
	for _, name := range names {
		if _, err := rotate.Create(t.Context(), store, store, name, rotate.Options{Type: keys.HMACSHA256PRF, PropagationDelay: time.Minute}); err != nil {
			t.Fatal(err)
		}
	}
	ring, err := keys.NewRing(t.Context(), store, store, keys.RingOptions{Keysets: names})
	if err != nil {
		t.Fatal(err)
	}
	defer ring.Close()
	c := &loaded{}
	c.Namespaces = []namespaceConfig{
		{Name: "payments", Scope: "payments", Search: searchConfig{Keyset: "search/payments"}},
		{Name: "orders", Scope: "orders", Search: searchConfig{Tenants: true}},
		{Name: "plain", Scope: "plain"},
	}
	tokens, err := c.searches(ring)
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range []struct {
		scope, tenant string
		found         bool
	}{
		{"payments", "", true},
		{"payments", "acme", false},
		{"payments", "tenant", false},
		{"orders", "", false},
		{"orders", "acme", true},
		{"orders", "bravo", false},
		{"orders", "..", false},
		{"orders", "acme ", false},
		{"plain", "", false},
		{"plain", "acme", false},
		{"elsewhere", "acme", false},
	} {
		got, err := tokens.SearchTokens(q.scope, q.tenant, "PatientSSN", "4711")
		if (len(got) > 0) != q.found || !q.found && !errors.Is(err, codecserver.ErrNoSearchKeys) && !errors.Is(err, keys.ErrUnavailable) {
			t.Errorf("%+v: %q, %v", q, got, err)
		}
	}
}
