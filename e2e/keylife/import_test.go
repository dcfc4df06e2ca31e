package keylife_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/signet-temporal/signet/keys"
	"github.com/signet-temporal/signet/keys/keyimport"
	"github.com/signet-temporal/signet/keys/rotate"
	"github.com/signet-temporal/signet/keys/vaultstore"
)

// TestAnImportKilledAtEveryRequestAndRunAgain kills an import with SIGKILL at every request that it makes to Vault, before
// it and after it: the key is in it once, whole, or not at all, and is there after the second run. It is a custodian's,
// who cannot read a key, and two at once bring in one.
func TestAnImportKilledAtEveryRequestAndRunAgain(t *testing.T) {
	s := start(t, time.Millisecond)
	k := s.NewKiller(t)
	store := s.Store(t, "", s.Roles.CustodianToken)
	file := s.WriteFile(t, "old.key", "an old key of thirty-two letters")
	args := func(name string) []string {
		return []string{"keyset", "import", name, "--file=" + file, "--aes-key-id=old", "--aes-encoding=raw", "--insecure-cleartext-keys"}
	}
	points := 0
	for killed := true; killed; points++ {
		name := fmt.Sprintf("kill/i%d", points)
		if _, err := rotate.Create(t.Context(), store, store, name, rotate.Options{}); err != nil {
			t.Fatal(err)
		}
		killed = k.Run(t, s.Roles.CustodianToken, points, args(name)...)
		if again := execAt(t, s.Vault.Address, s.Roles.CustodianToken, args(name)...); again.Code != 0 {
			t.Errorf("killed at point %d and run again: exit code %d: %s", points, again.Code, again.Stderr)
		}
		after, _, err := store.Fetch(t.Context(), name)
		if err != nil || len(after.Keys) != 2 || !after.Keys[1].OpensLegacy() {
			t.Errorf("killed at point %d and run again, the keyset is %+v, %v", points, after, err)
		}
		if got := execAt(t, s.Vault.Address, s.Roles.WorkerToken, "keyset", "verify", name); got.Code != 0 {
			t.Errorf("killed at point %d and run again: %s%s", points, got.Stdout, got.Stderr)
		}
	}
	t.Logf("killed at %d points", points-1)
	if points < 8 {
		t.Errorf("killed at %d points, that cannot be all", points-1)
	}
	secrets := []string{"an old key of thirty-two letters", "YW4gb2xkIGtleSBvZiB0aGlydHktdHdvIGxldHRlcnM"}
	stored := fmt.Sprint(s.VaultRead(t, "secret/data/signet/keysets/kill/i0").Data)
	for _, secret := range secrets {
		if strings.Contains(stored, secret) {
			t.Error("the key stands in the document in clear")
		}
	}

	// Two at once, again and again: one key.
	for round := range 10 {
		name := fmt.Sprintf("kill/two%d", round)
		if _, err := rotate.Create(t.Context(), store, store, name, rotate.Options{}); err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 2)
		for range 2 {
			go func() {
				in, err := keyimport.AES([]byte(secrets[0]), keyimport.Raw)
				if err == nil {
					err = importAES(t, store, name, in)
				}
				done <- err
			}()
		}
		for range 2 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if after, _, err := store.Fetch(t.Context(), name); err != nil || len(after.Keys) != 2 {
			t.Errorf("two imports at once left %+v, %v", after, err)
		}
	}
}

func importAES(t *testing.T, store *vaultstore.Store, name string, in *keyimport.Keys) error {
	imports, err := in.Imports(t.Context(), store, name, keys.Retired, &keys.Legacy{Codec: keys.LegacyAESGCM, KeyID: "old"})
	if err != nil {
		return err
	}
	_, err = rotate.Change(t.Context(), store, name, func(k *keys.Keyset) (*keys.Keyset, error) { return rotate.PlanImport(k, imports, time.Now()) })
	return err
}
