package keys_test

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/signet-temporal/signet"
	"github.com/signet-temporal/signet/e2e/stack"
	"github.com/signet-temporal/signet/keys"
	"github.com/signet-temporal/signet/keys/vaultstore"
	"github.com/signet-temporal/signet/tools/parts"
)

// TestVaultIsLostAndRestoredAndWorkflowsGoOn is the drill of docs/operations.md: a snapshot of Vault, a rotation after it,
// and a backup of the keysets after that. Then Vault is gone with its data. A new one takes the snapshot, which knows
// nothing of the rotation, and the backup brings the keyset forward. Workflows that were open before go on under both
// keys, those that run meanwhile do not notice, and no workflow task fails.
func TestVaultIsLostAndRestoredAndWorkflowsGoOn(t *testing.T) {
	s := stack.Start(t, stack.Options{Namespaces: []string{"payments"}, WithoutOIDC: true, KeepVault: true, PropagationDelay: time.Second})
	ring := s.Ring(t, keys.RingOptions{RefreshInterval: time.Second})
	c := s.ClientWith(t, "payments", s.Plugin(t, ring, signet.Options{}))
	startWorker(t, c)
	first := ring.Status()[0].Primary.String()
	before := start(t, c, "before-the-snapshot", true)

	snapshot, file := filepath.Join(s.Dir, "vault.snap"), filepath.Join(s.Dir, "keysets.json")
	f, err := os.Create(snapshot)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := operator(t, s).RaftSnapshotWithContext(t.Context(), f); err != nil { // vault operator raft snapshot save
		t.Fatal(err)
	}
	second := s.Rotate(t, "ns/payments")
	stack.Eventually(t, 30*time.Second, func() error {
		if run := s.SignetRun(t, "keyset", "promote", "ns/payments", "--key="+second); run.Code != 0 {
			return errors.New(run.Stderr)
		}
		return nil
	})
	sealsWith(t, ring, "ns/payments", second, 30*time.Second)
	after := start(t, c, "after-the-snapshot", true)
	s.Signet(t, "keyset", "backup", "--file="+file)

	// Vault is lost, with everything in it.
	lost := *s.Vault
	if err := s.Vault.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(s.Dir, "vault")); err != nil {
		t.Fatal(err)
	}
	goesOn(t, c, start(t, c, "while-it-is-lost", true), "loss")

	// A new one, empty, at the same address: what it answers to strangers changes nothing for processes that run.
	s.Vault = startVaultAt(t, s, lost.Address)
	goesOn(t, c, start(t, c, "while-it-is-empty", true), "emptiness")
	if _, err := f.Seek(0, 0); err != nil {
		t.Fatal(err)
	}
	if err := operator(t, s).RaftSnapshotRestoreWithContext(t.Context(), f, true); err != nil { // vault operator raft snapshot restore -force
		t.Fatal(err)
	}
	s.Vault.Token, s.Vault.UnsealKey = lost.Token, lost.UnsealKey // those of the snapshot
	stack.Eventually(t, 30*time.Second, func() error { return s.Vault.Unseal(t.Context()) })
	stack.Eventually(t, 30*time.Second, func() error {
		if run := s.SignetRun(t, "keyset", "status", "ns/payments"); run.Code != 0 || strings.Contains(run.Stdout, second) {
			return fmt.Errorf("exit code %d: %s%s", run.Code, run.Stdout, run.Stderr)
		}
		return nil
	})
	setup := func(token string) string {
		t.Helper()
		run := stack.Exec(t, []string{"VAULT_ADDR=" + s.Vault.Address, "VAULT_TOKEN=" + token}, stack.Program(t, "signet"), "vault", "setup")
		if run.Code != 0 {
			t.Fatal(run.Stderr)
		}
		return run.Stdout
	}
	setup(lost.Token)
	if again := setup(lost.Token); again != "Vault is prepared: nothing is to be done.\n" {
		t.Errorf("setup, again: %s", again)
	}

	// The backup opens under the Transit key of the snapshot, is not taken for what is there, and brings it forward.
	asWorker := func(args ...string) stack.Run {
		t.Helper()
		return stack.Exec(t, []string{"VAULT_ADDR=" + s.Vault.Address, "VAULT_TOKEN=" + s.Roles.WorkerToken}, stack.Program(t, "signet"), append([]string{"keyset", "verify"}, args...)...)
	}
	if run := asWorker("--file=" + file); run.Stdout != "ns/payments: 2 of 2 keys open.\n" {
		t.Errorf("verify: exit code %d, %s%s", run.Code, run.Stdout, run.Stderr)
	}
	if run := s.SignetRun(t, "keyset", "restore", "--file="+file); run.Code != 3 || !strings.Contains(run.Stderr, "take --forward if Vault was restored from an older snapshot") {
		t.Errorf("restore: exit code %d, %s", run.Code, run.Stderr)
	}
	if out := s.Signet(t, "keyset", "restore", "--file="+file, "--forward"); !strings.HasPrefix(out, "ns/payments: brought forward, 2 keys.\n") || strings.Count(out, "\n") != 3 {
		t.Errorf("restore --forward: %s", out)
	}
	if run := asWorker("ns/payments"); run.Stdout != "ns/payments: 2 of 2 keys open.\n" {
		t.Errorf("verify: exit code %d, %s%s", run.Code, run.Stdout, run.Stderr)
	}

	// Everything goes on, in processes that ran all the time and in those that start now.
	stack.Eventually(t, time.Minute, func() error {
		if status := ring.Status()[0]; status.Error != "" || status.Primary.String() != second {
			return fmt.Errorf("primary key %s, last refresh: %q", status.Primary, status.Error)
		}
		return nil
	})
	ship(t, c, before)
	ship(t, c, after)
	r := &reader{raw: s.ClientWith(t, "payments"), used: map[string]int{}}
	for _, id := range []string{"before-the-snapshot", "after-the-snapshot", "while-it-is-lost", "while-it-is-empty"} {
		r.read(t, id)
	}
	if r.failed > 0 || r.used[first] == 0 || r.used[second] == 0 {
		t.Errorf("%d workflow tasks failed; payloads by key: %v", r.failed, r.used)
	}
	r.opens(t, s, s.Ring(t, keys.RingOptions{}))
	third := s.Rotate(t, "ns/payments")
	s.Promote(t, "ns/payments", "--key="+third, "--force")
	sealsWith(t, ring, "ns/payments", third, 30*time.Second)
}

// operator is the client of whoever operates Vault.
func operator(t *testing.T, s *stack.Stack) *api.Sys {
	t.Helper()
	client, err := vaultstore.NewClient(vaultstore.ClientOptions{Address: s.Vault.Address})
	if err != nil {
		t.Fatal(err)
	}
	client.SetToken(s.Vault.Token)
	return client.Sys()
}

// startVaultAt starts a new Vault, which knows nothing, at the address of a former one.
func startVaultAt(t *testing.T, s *stack.Stack, address string) *parts.Vault {
	t.Helper()
	at, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(at.Port())
	if err != nil {
		t.Fatal(err)
	}
	v, err := parts.StartVault(t.Context(), parts.VaultOptions{Program: s.Paths.Vault, Dir: filepath.Join(s.Dir, "new-vault"), Port: port})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := v.Stop(); err != nil {
			t.Error(err)
		}
	})
	return v
}
