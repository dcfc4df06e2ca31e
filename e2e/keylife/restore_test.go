package keylife_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/signet-temporal/signet/keys"
)

// TestARestoreDrill loses keysets in Vault in two ways, restores them from a file, and opens what was sealed before.
func TestARestoreDrill(t *testing.T) {
	s := start(t, time.Millisecond)
	s.CreateKeyset(t, "ns/orders")
	w := newWorker(t, s)
	first := states(t, s)["primary"][0]
	old := w.seals(t, first)
	second := run(t, s, "rotate", keyset).Key
	run(t, s, "promote", keyset)
	file := filepath.Join(t.TempDir(), "backup.json")
	signet(t, s, "keyset", "backup", "--file="+file)
	text, err := os.ReadFile(file)
	if err != nil || strings.Contains(string(text), s.Roles.CustodianToken) {
		t.Fatalf("the backup: %v", err)
	}
	verify := func(code int, want string, args ...string) {
		t.Helper()
		got := execAt(t, s.Vault.Address, s.Roles.WorkerToken, append([]string{"keyset", "verify"}, args...)...)
		if got.Code != code || !strings.Contains(got.Stdout, want) {
			t.Errorf("verify %v: exit code %d, %q, %q, want %d and %q", args, got.Code, got.Stdout, got.Stderr, code, want)
		}
	}
	verify(0, "ns/payments: 2 of 2 keys open.", "--file="+file)
	verify(0, "ns/payments: 2 of 2 keys open.", keyset)

	root := root(t, s)
	if _, err := root.Logical().DeleteWithContext(t.Context(), "secret/metadata/signet/keysets/ns/payments"); err != nil {
		t.Fatal(err)
	}
	if _, err := root.Logical().DeleteWithContext(t.Context(), "secret/data/signet/keysets/ns/orders"); err != nil { // which can be undone
		t.Fatal(err)
	}
	if err := w.ring.Refresh(t.Context()); err == nil {
		t.Error("the worker has not noticed that the keyset is gone")
	}
	w.seals(t, first) // and goes on with what it has
	refused(t, s, 4, `keyset "ns/payments" does not exist`, "status", keyset)
	if out := signet(t, s, "keyset", "restore", "--file="+file, "--plan"); !strings.Contains(out, "ns/orders: restored, 1 key.\nns/payments: restored, 2 keys.") {
		t.Errorf("the plan says %q", out)
	}
	refused(t, s, 4, `keyset "ns/payments" does not exist`, "status", keyset)
	signet(t, s, "keyset", "restore", "--file="+file)
	if out := signet(t, s, "keyset", "restore", "--file="+file); strings.Count(out, "there already") != 2 {
		t.Errorf("once more: %q", out)
	}
	w.refresh(t)
	w.seals(t, second)
	started := newWorker(t, s)
	if err := started.opens(old); err != nil {
		t.Errorf("in a worker that starts now: %v", err)
	}

	// A file that was not written after the last rewrap opens nothing once its Transit version is forbidden: verify says so.
	s.VaultWrite(t, "transit/keys/signet/rotate", nil)
	signet(t, s, "keyset", "rewrap")
	s.VaultWrite(t, "transit/keys/signet/config", map[string]any{"min_decryption_version": 2})
	verify(0, "ns/payments: 2 of 2 keys open.", keyset)
	verify(1, "no longer opens the version it was wrapped with", "--file="+file)
	refused(t, s, 3, "is there and differs from the backup, so nothing was restored", "restore", "--file="+file)

	// It is not restored then, by a custodian who can open nothing.
	if _, err := root.Logical().DeleteWithContext(t.Context(), "secret/metadata/signet/keysets/ns/orders"); err != nil {
		t.Fatal(err)
	}
	refused(t, s, 3, "does not open here, so nothing was restored", "restore", "ns/orders", "--file="+file)
	refused(t, s, 4, `keyset "ns/orders" does not exist`, "status", "ns/orders")
	signet(t, s, "keyset", "restore", "ns/orders", "--file="+file, "--allow-keys-that-do-not-open")

	// A key of another keyset in the place of one is found.
	store := s.Store(t, "", s.Roles.CustodianToken)
	k, version, err := store.Fetch(t.Context(), keyset)
	if err != nil {
		t.Fatal(err)
	}
	orders, _, err := store.Fetch(t.Context(), "ns/orders")
	if err != nil {
		t.Fatal(err)
	}
	var id keys.ID
	if err := id.UnmarshalText([]byte(first)); err != nil {
		t.Fatal(err)
	}
	k.Key(id).Wrapped = orders.Keys[0].Wrapped
	if _, err := store.Replace(t.Context(), k, version); err != nil {
		t.Fatal(err)
	}
	verify(1, first+"  retired  ", keyset)
}
