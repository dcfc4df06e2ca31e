package keylife_test

import (
	"strings"
	"testing"
	"time"

	"github.com/signet-temporal/signet/e2e/stack"
	"github.com/signet-temporal/signet/keys"
)

// TestEachRoleDoesItsWorkAndNothingMore runs every command with a token of each role, which has the policy that signet
// prints for it and no other, and opens keys with it. What a role may not do leaves the keyset as it was.
func TestEachRoleDoesItsWorkAndNothingMore(t *testing.T) {
	s := start(t, time.Millisecond)
	by := func() map[string][]string { return states(t, s) }
	first := by()["primary"][0]
	run(t, s, "rotate", keyset)
	second := run(t, s, "promote", keyset).Key
	time.Sleep(10 * time.Millisecond)

	// What only a custodian may do, and leaves things as they were: a change, and the change back.
	commands := []struct {
		name string
		args []string
		may  string // the roles that may
	}{
		{"list", []string{"list"}, "custodian auditor"},
		{"status of all", []string{"status"}, "custodian auditor"},
		{"status of one", []string{"status", keyset}, "worker server custodian destroyer auditor"},
		{"plan", []string{"rotate", keyset, "--plan"}, "worker server custodian destroyer auditor"},
		{"create", []string{"create", "ns/new"}, "custodian"},
		{"rotate", []string{"rotate", keyset}, "custodian"},
		{"rewrap", []string{"rewrap", keyset}, "custodian"},
		{"disable", []string{"disable", keyset, "--key=" + first}, "custodian destroyer"},
		{"policy", []string{"policy", keyset, "--rotate-every=720h"}, "custodian destroyer"},
		{"promote", []string{"promote", keyset}, "custodian"}, // when it is tried as the destroyer, nothing is pending
		{"destroy", []string{"destroy", keyset, "--key=" + first, "--carry-out", "--allow-destroying-a-key-in-use"}, "destroyer"},
	}
	for _, role := range []string{"worker", "server", "auditor", "custodian", "destroyer"} {
		t.Run(role, func(t *testing.T) {
			held := token(t, s, role)
			s.VaultWrite(t, "transit/keys/signet/rotate", nil) // there is something to rewrap
			for _, c := range commands {
				before := by()
				got := execAt(t, s.Vault.Address, held, append([]string{"keyset"}, c.args...)...)
				if may := strings.Contains(c.may, role); may != (got.Code == 0) {
					t.Errorf("%s: exit code %d, %q, want it allowed: %t", c.name, got.Code, got.Stderr, may)
				} else if !may && (!strings.Contains(got.Stderr, "denied permission") && got.Code != 3 || strings.Count(got.Stderr, "\n") != 1) {
					t.Errorf("%s: %q, want one line that says that permission is denied", c.name, got.Stderr)
				}
				if after := by(); got.Code != 0 && !sameStates(before, after) {
					t.Errorf("%s: refused, it left %v, was %v", c.name, after, before)
				}
			}
			store := s.Store(t, "", held)
			k, _, err := store.Fetch(t.Context(), keyset)
			if err != nil {
				t.Fatal(err)
			}
			_, err = keys.Unwrap(t.Context(), store, keyset, k.Primary().ID, k.Primary().Wrapped)
			if may := role == "worker" || role == "server"; may != (err == nil) {
				t.Errorf("opening a key: %v, want it allowed: %t", err, may)
			}
			switch role {
			case "custodian": // it has disabled the first key; the destroyer needs the schedule
				run(t, s, "destroy", keyset, "--key="+first, "--schedule", "--allow-destroying-a-key-in-use", "--wait=1ms")
			case "destroyer":
				if after := by(); len(after["destroyed"]) != 1 || len(after["retired"]) != 1 || after["retired"][0] != second {
					t.Errorf("the keys are %v", after)
				}
			}
			deniedInVault(t, s, held, role)
		})
	}
}

func sameStates(a, b map[string][]string) bool {
	for _, state := range []string{"pending", "primary", "retired", "disabled", "destroyed"} {
		if strings.Join(a[state], " ") != strings.Join(b[state], " ") {
			return false
		}
	}
	return true
}

// deniedInVault tries with the role's token what no role may do.
func deniedInVault(t *testing.T, s *stack.Stack, held, role string) {
	t.Helper()
	c := client(t, s, held)
	for _, path := range []string{
		"transit/keys/signet/rotate", "transit/keys/signet/config", "transit/keys/other", "transit/encrypt/other", "transit/decrypt/other",
		"transit/datakey/plaintext/signet", "transit/sign/signet", "secret/data/elsewhere", "secret/destroy/elsewhere",
		"secret/undelete/signet/keysets/ns/payments", "secret/delete/signet/keysets/ns/payments", "sys/policies/acl/only-" + role, "auth/token/create",
	} {
		if _, err := c.Logical().WriteWithContext(t.Context(), path, map[string]any{"plaintext": "YQ==", "context": "YQ==", "ciphertext": "vault:v1:AAAA", "versions": []int{1}, "data": map[string]any{}}); err == nil || !strings.Contains(err.Error(), "permission denied") {
			t.Errorf("the %s writes %s: %v", role, path, err)
		}
	}
	for _, path := range []string{"secret/data/signet/keysets/ns/payments", "secret/metadata/signet/keysets/ns/payments", "transit/keys/signet"} {
		if _, err := c.Logical().DeleteWithContext(t.Context(), path); err == nil || !strings.Contains(err.Error(), "permission denied") {
			t.Errorf("the %s deletes %s: %v", role, path, err)
		}
	}
	if _, err := c.Logical().ReadWithContext(t.Context(), "transit/export/encryption-key/signet"); err == nil {
		t.Errorf("the %s exports the Transit key", role)
	}
}
