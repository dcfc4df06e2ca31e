package keylife_test

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/signet-temporal/signet/keys"
)

// TestAPolicyForOneKeysetReachesNoOther: a worker of one namespace neither reads the keyset of another nor unwraps a key
// of it that came to it in another way, not even in a batch; nor does a custodian of one change or wrap for another.
func TestAPolicyForOneKeysetReachesNoOther(t *testing.T) {
	s := start(t, time.Millisecond)
	s.CreateKeyset(t, "ns/orders")
	root := s.Store(t, "", s.Vault.Token)
	orders, _, err := root.Fetch(t.Context(), "ns/orders")
	if err != nil {
		t.Fatal(err)
	}
	ciphertext, err := keys.Ciphertext(orders.Keys[0].Wrapped)
	if err != nil {
		t.Fatal(err)
	}
	narrow := func(role string) string {
		s.VaultWrite(t, "sys/policies/acl/narrow-"+role, map[string]any{"policy": signet(t, s, "vault", "policy", "--role="+role, keyset)})
		answer := s.VaultWrite(t, "auth/token/create", map[string]any{"policies": []string{"narrow-" + role}, "no_default_policy": true, "ttl": "1h"})
		return answer.Auth.ClientToken
	}
	denied := func(what string, err error) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), "permission denied") && !strings.Contains(err.Error(), "denied permission") {
			t.Errorf("%s: %v, want permission denied", what, err)
		}
	}
	b64 := func(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }

	held := narrow("worker")
	worker := s.Store(t, "", held)
	ring, err := keys.NewRing(t.Context(), worker, worker, keys.RingOptions{Keysets: []string{keyset}})
	if err != nil {
		t.Fatalf("the worker of %s cannot load its keys: %v", keyset, err)
	}
	if _, _, err := ring.Primary(keyset); err != nil {
		t.Error(err)
	}
	_ = ring.Close() // always nil
	_, _, err = worker.Fetch(t.Context(), "ns/orders")
	denied("reading the other keyset", err)
	_, err = worker.DecryptWithContext(t.Context(), ciphertext, []byte("ns/orders"))
	denied("unwrapping its key", err)
	c := client(t, s, held)
	_, err = c.Logical().WriteWithContext(t.Context(), "transit/decrypt/signet", map[string]any{
		"batch_input": []map[string]any{{"ciphertext": string(ciphertext), "context": b64("ns/orders")}},
	})
	denied("unwrapping it in a batch", err)
	_, err = c.Logical().WriteWithContext(t.Context(), "transit/decrypt/signet", map[string]any{
		"ciphertext": string(ciphertext), "context": b64(keyset), "batch_input": []map[string]any{{"ciphertext": string(ciphertext), "context": b64("ns/orders")}},
	})
	denied("unwrapping it in a batch beside its own", err)

	held = narrow("custodian")
	custodian := s.Store(t, "", held)
	for _, args := range [][]string{{"rotate", keyset}, {"promote", keyset}, {"status", keyset}} {
		if got := execAt(t, s.Vault.Address, held, append([]string{"keyset"}, args...)...); got.Code != 0 {
			t.Errorf("the custodian of %s: %v: %s", keyset, args, got.Stderr)
		}
	}
	s.VaultWrite(t, "transit/keys/signet/rotate", nil)
	if got := execAt(t, s.Vault.Address, held, "keyset", "rewrap", keyset); got.Code != 0 {
		t.Errorf("the custodian of %s: rewrap: %s", keyset, got.Stderr)
	}
	if got := execAt(t, s.Vault.Address, held, "keyset", "rotate", "ns/orders"); got.Code != 1 || !strings.Contains(got.Stderr, "denied permission") {
		t.Errorf("the custodian of %s rotates the other keyset: exit code %d, %s", keyset, got.Code, got.Stderr)
	}
	_, err = custodian.EncryptWithContext(t.Context(), []byte("key"), []byte("ns/orders"))
	denied("wrapping for the other keyset", err)
	_, err = custodian.RewrapWithContext(t.Context(), ciphertext, []byte("ns/orders"))
	denied("rewrapping its key", err)
	// What there is besides is not for them; what they name is, and what others have is said to be denied, not missing.
	for role, token := range map[string]string{"worker": narrow("worker"), "custodian": held, "auditor": narrow("auditor"), "server": narrow("server")} {
		for _, command := range []string{"list", "status", "verify"} {
			got := execAt(t, s.Vault.Address, token, "keyset", command)
			if got.Code != 1 || !strings.Contains(got.Stderr, `must grant "list"`) || !strings.Contains(got.Stderr, "name these") {
				t.Errorf("the %s of %s: %s of all: exit code %d, %s", role, keyset, command, got.Code, got.Stderr)
			}
		}
		got := execAt(t, s.Vault.Address, token, "keyset", "list", keyset)
		if got.Code != 0 || !strings.Contains(got.Stdout, keyset) || strings.Contains(got.Stdout, "ns/orders") {
			t.Errorf("the %s of %s lists it: exit code %d, %s%s", role, keyset, got.Code, got.Stdout, got.Stderr)
		}
		got = execAt(t, s.Vault.Address, token, "keyset", "list", keyset, "ns/orders")
		if got.Code != 1 || !strings.Contains(got.Stdout, keyset+" ") || !strings.Contains(got.Stdout, "denied permission") {
			t.Errorf("the %s of %s lists it and another: exit code %d, %s%s", role, keyset, got.Code, got.Stdout, got.Stderr)
		}
		for _, folder := range []string{"", "ns/", "ns/payments/", "ns/payments"} {
			if answer, err := client(t, s, token).Logical().ListWithContext(t.Context(), "secret/metadata/signet/keysets/"+folder); err == nil {
				t.Errorf("the %s of %s may list %q: %v", role, keyset, folder, answer)
			}
		}
	}
}
