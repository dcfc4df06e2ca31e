// Package shred_test erases tenants: with the signet program, tokens of the roles, a real Vault and a real Temporal.
package shred_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/signet-temporal/signet/e2e/stack"
	"github.com/signet-temporal/signet/keys"
	"github.com/signet-temporal/signet/keys/rotate"
	"github.com/signet-temporal/signet/keys/vaultstore"
)

const (
	under      = "ns/payments/tenants/"
	ownTransit = "signet__ns__payments__tenants__" // and the tenant
)

// startVault starts a Vault alone, with a keyset for each tenant.
func startVault(t *testing.T, tenants ...string) *stack.Stack {
	t.Helper()
	s := stack.Start(t, stack.Options{Namespaces: []string{"payments"}, OwnKeysUnder: []string{under}, WithoutOIDC: true, WithoutTemporal: true, PropagationDelay: time.Millisecond})
	for _, tenant := range tenants {
		s.CreateKeyset(t, under+tenant)
	}
	return s
}

// token makes a token with the policy that signet prints for a role, of some keysets or all, and no other.
func token(t *testing.T, s *stack.Stack, role string, keysets ...string) string {
	t.Helper()
	name := "only-" + role + "-" + strings.NewReplacer("/", "-").Replace(strings.Join(keysets, "-"))
	policy := s.Signet(t, append([]string{"vault", "policy", "--role=" + role}, keysets...)...)
	s.VaultWrite(t, "sys/policies/acl/"+name, map[string]any{"policy": policy})
	answer := s.VaultWrite(t, "auth/token/create", map[string]any{"policies": []string{name}, "no_default_policy": true, "ttl": "1h"})
	return answer.Auth.ClientToken
}

// vault speaks to Vault as its operator does.
func vault(t *testing.T, s *stack.Stack) *api.Client { return vaultAs(t, s, s.Vault.Token) }

func vaultAs(t *testing.T, s *stack.Stack, token string) *api.Client {
	t.Helper()
	c, err := vaultstore.NewClient(vaultstore.ClientOptions{Address: s.Vault.Address})
	if err != nil {
		t.Fatal(err)
	}
	c.SetToken(token)
	return c
}

// doom schedules a shredding whose waiting period is over at once.
func doom(t *testing.T, s *stack.Stack, name string) {
	t.Helper()
	store := s.Store(t, "", s.Roles.CustodianToken)
	_, err := rotate.ChangeShred(t.Context(), store, name, func(k *keys.Keyset) (*keys.Keyset, error) {
		return rotate.PlanScheduleShred(k, time.Millisecond, rotate.ShredEvidence{AllowOpenWorkflows: true}, time.Now())
	})
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(5 * time.Millisecond)
}

// must runs signet with a token and wants exit code 0.
func must(t *testing.T, s *stack.Stack, token string, args ...string) string {
	t.Helper()
	got := s.SignetAs(t, token, args...)
	if got.Code != 0 {
		t.Fatalf("signet %v: exit code %d: %s%s", args, got.Code, got.Stdout, got.Stderr)
	}
	return got.Stdout
}

// refused runs signet with a token and wants an exit code and a text.
func refused(t *testing.T, s *stack.Stack, token string, code int, text string, args ...string) stack.Run {
	t.Helper()
	got := s.SignetAs(t, token, args...)
	if got.Code != code || !strings.Contains(got.Stderr, text) || strings.Count(got.Stderr, "\n") != 1 {
		t.Errorf("signet %v: exit code %d, %q, want %d and %q", args, got.Code, got.Stderr, code, text)
	}
	return got
}

type remains struct {
	Where, What, Do string
	Opens           bool
}

// receipts is what signet shred prints as JSON.
type receipts struct {
	Asked []struct {
		Namespace       string
		Listed          int64
		ListedIDs       []string
		Began           *time.Time
		OpenWorkflows   int64
		ClosedWorkflows int64
	}
	Keysets []struct {
		Keyset, TransitKey   string
		Own                  bool
		ShredAfter, Shredded *time.Time
		Keys                 []string
		Steps                []struct{ Does string }
		Remains              []remains
	}
}

func read(t *testing.T, out string) receipts {
	t.Helper()
	var r receipts
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatalf("signet printed %q: %v", out, err)
	}
	return r
}

// gone checks with the root token that nothing of a keyset is left in Vault: no key in its document, no earlier version,
// and no Transit key.
func gone(t *testing.T, s *stack.Stack, tenant string) {
	t.Helper()
	k, _, err := s.Store(t, "", s.Vault.Token).Fetch(t.Context(), under+tenant)
	if err != nil || k.Shredded.IsZero() || slices.ContainsFunc(k.Keys, func(key keys.Key) bool { return len(key.Wrapped) > 0 || key.State != keys.Destroyed }) {
		t.Errorf("the document is %+v, %v, want it shredded", k, err)
	}
	meta := s.VaultRead(t, "secret/metadata/signet/keysets/"+under+tenant).Data
	for v, info := range meta["versions"].(map[string]any) {
		if destroyed, _ := info.(map[string]any)["destroyed"].(bool); !destroyed && v != meta["current_version"].(json.Number).String() {
			t.Errorf("version %s of the document is still there", v)
		}
	}
	if key := s.VaultRead(t, "transit/keys/"+ownTransit+tenant); key != nil {
		t.Errorf("the Transit key is still there: %v", key.Data)
	}
}

// whole checks that a tenant's keyset opens all its keys.
func whole(t *testing.T, s *stack.Stack, tenant string) {
	t.Helper()
	if got := s.SignetAs(t, s.Roles.WorkerToken, "keyset", "verify", under+tenant); got.Code != 0 {
		t.Errorf("keyset of %s: %s%s", tenant, got.Stdout, got.Stderr)
	}
}
