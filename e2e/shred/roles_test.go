package shred_test

import (
	"bytes"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"

	"github.com/signet-temporal/signet/e2e/stack"
)

// TestTheShredderShredsAndNothingMore: its token has the policy that signet prints, for one tenant or for all.
func TestTheShredderShredsAndNothingMore(t *testing.T) {
	s := startVault(t, "acme", "bravo", "coyote")
	doom(t, s, under+"acme")
	doom(t, s, under+"bravo")
	args := func(tenant string) []string {
		return []string{"shred", under + tenant, "--carry-out", "--allow-open-workflows"}
	}
	// Nobody else can, and who cannot has changed nothing.
	for _, role := range []string{"worker", "server", "custodian", "destroyer", "auditor"} {
		refused(t, s, token(t, s, role), 1, "denied permission", args("acme")...)
		if key := s.VaultRead(t, "transit/keys/"+ownTransit+"acme"); key == nil || key.Data["deletion_allowed"] != false {
			t.Fatalf("the %s has left the Transit key as %v", role, key)
		}
	}
	for _, test := range []struct {
		name     string
		keysets  []string
		can, not string
	}{
		{"of one tenant", []string{under + "acme"}, "acme", "bravo"},
		{"of all tenants", nil, "bravo", "../../payments"},
	} {
		t.Run(test.name, func(t *testing.T) {
			held := token(t, s, "shredder", test.keysets...)
			beyondTheShredder(t, s, held, test.can)
			if test.name == "of one tenant" {
				refused(t, s, held, 1, "denied permission", args(test.not)...)
				whole(t, s, "coyote")
			}
			must(t, s, held, args(test.can)...)
			gone(t, s, test.can)
		})
	}
	whole(t, s, "coyote")
}

// beyondTheShredder tries with the shredder's token what is not its work.
func beyondTheShredder(t *testing.T, s *stack.Stack, held, tenant string) {
	t.Helper()
	c, own := vaultAs(t, s, held), ownTransit+tenant
	anything := map[string]any{"plaintext": "YQ==", "context": "YQ==", "ciphertext": "vault:v1:AAAA", "versions": []int{1}, "data": map[string]any{}}
	denied := func(what string, err error) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), "permission denied") {
			t.Errorf("%s: %v, want permission denied", what, err)
		}
	}
	for path, body := range map[string]map[string]any{
		"transit/decrypt/" + own: nil, "transit/encrypt/" + own: nil, "transit/rewrap/" + own: nil, "transit/datakey/plaintext/" + own: nil,
		"transit/decrypt/signet": nil, "transit/encrypt/signet": nil, "transit/keys/signet/config": {"deletion_allowed": true}, "transit/keys/signet/rotate": nil,
		"transit/keys/" + own + "/config": {"exportable": true, "deletion_allowed": true}, "transit/keys/" + own + "/trim": {"min_available_version": 1},
		"transit/keys/" + own: {"derived": true}, "transit/restore/" + own: {"backup": "x"},
		"secret/data/signet/keysets/ns/payments": nil, "secret/data/elsewhere": nil, "secret/destroy/signet/keysets/ns/payments": nil,
		"secret/undelete/signet/keysets/" + under + tenant: nil, "secret/metadata/signet/keysets/" + under + tenant: nil, "auth/token/create": nil,
	} {
		if body == nil {
			body = anything
		}
		_, err := c.Logical().WriteWithContext(t.Context(), path, body)
		denied("writing "+path, err)
	}
	for _, path := range []string{"secret/metadata/signet/keysets/" + under + tenant, "secret/data/signet/keysets/" + under + tenant, "transit/keys/signet", "transit/keys/other", "secret/metadata/signet/keysets/ns/payments"} {
		_, err := c.Logical().DeleteWithContext(t.Context(), path)
		denied("deleting "+path, err)
	}
	for _, path := range []string{"transit/export/encryption-key/" + own, "transit/backup/" + own, "secret/data/signet/keysets/ns/payments", "transit/keys/signet"} {
		_, err := c.Logical().ReadWithContext(t.Context(), path)
		denied("reading "+path, err)
	}
}

// TestTheCustodianMakesTransitKeysOfTenantsAndSetsNothingOfThem: a new tenant needs nobody else.
func TestTheCustodianMakesTransitKeysOfTenantsAndSetsNothingOfThem(t *testing.T) {
	s := startVault(t)
	for _, test := range []struct {
		tenant  string
		keysets []string
	}{{"acme", nil}, {"bravo_eu.x", []string{under + "bravo_eu.x"}}} {
		held := token(t, s, "custodian", test.keysets...)
		name, own := under+test.tenant, ownTransit+strings.ReplaceAll(test.tenant, "_", "_u")
		out := must(t, s, held, "keyset", "create", name, "--propagation-delay=1ms")
		if !strings.Contains(out, "Transit key "+own+" wraps it alone") {
			t.Errorf("create says %s", out)
		}
		must(t, s, held, "keyset", "rotate", name)
		must(t, s, held, "keyset", "promote", name)
		s.VaultWrite(t, "transit/keys/"+own+"/rotate", nil)
		if out := must(t, s, held, "keyset", "status", name); !strings.Contains(out, "Transit key of its own: "+own+", at version 2, and 2 keys are wrapped by an older one: signet keyset rewrap "+name) {
			t.Errorf("status says %s", out)
		}
		must(t, s, held, "keyset", "rewrap", name)
		if out := must(t, s, held, "keyset", "status", name); !strings.Contains(out, "No key needs a version before 2") {
			t.Errorf("status says %s", out)
		}
		key := s.VaultRead(t, "transit/keys/"+own).Data
		if key["derived"] != true || key["deletion_allowed"] != false || key["exportable"] != false {
			t.Errorf("the Transit key is %v", key)
		}
		whole(t, s, test.tenant)
		c := vaultAs(t, s, held)
		for path, body := range map[string]map[string]any{
			"transit/keys/" + own + "/config": {"deletion_allowed": true}, "transit/keys/" + own + "/trim": {"min_available_version": 1},
			"transit/keys/" + own + "x": {"exportable": true}, "transit/decrypt/" + own: {"ciphertext": "vault:v1:AAAA", "context": "YQ=="},
			"transit/keys/other": {"derived": true},
		} {
			if _, err := c.Logical().WriteWithContext(t.Context(), path, body); err == nil || !strings.Contains(err.Error(), "permission denied") {
				t.Errorf("the custodian writes %s: %v", path, err)
			}
		}
		if _, err := c.Logical().DeleteWithContext(t.Context(), "transit/keys/"+own); err == nil || !strings.Contains(err.Error(), "permission denied") {
			t.Errorf("the custodian deletes the Transit key: %v", err)
		}
	}
	// A keyset that begins with a key made elsewhere has its own Transit key as well.
	foreign := s.WriteFile(t, "foreign.json", foreignKeyset(t))
	must(t, s, s.Roles.CustodianToken, "keyset", "import", under+"imported", "--file="+foreign, "--as=primary", "--insecure-cleartext-keys")
	whole(t, s, "imported")
	if key := s.VaultRead(t, "transit/keys/"+ownTransit+"imported"); key == nil {
		t.Error("an imported keyset has no Transit key of its own")
	}
	// Setting up sees that nothing lies there under the shared key, and writes policies that know.
	must(t, s, s.Vault.Token, "vault", "setup", "--own-keys-under="+under)
	refused(t, s, s.Vault.Token, 1, `keyset "ns/payments" is wrapped by the shared Transit key`, "vault", "setup", "--own-keys-under=ns/")
	// A program that was not told says so, whatever it does.
	env := []string{"VAULT_ADDR=" + s.Vault.Address, "VAULT_TOKEN=" + s.Roles.CustodianToken}
	for _, args := range [][]string{{"keyset", "rotate", under + "acme"}, {"keyset", "status", under + "acme"}, {"shred", under + "acme", "--schedule", "--allow-open-workflows"}} {
		got := stack.Exec(t, env, stack.Program(t, "signet"), args...)
		if got.Code != 1 || !strings.Contains(got.Stderr, "is wrapped by a Transit key of its own: name what its name begins with in ownKeysUnder (--own-keys-under)") {
			t.Errorf("%v: exit code %d, %s", args, got.Code, got.Stderr)
		}
	}
}

// foreignKeyset is a Tink keyset in clear.
func foreignKeyset(t *testing.T) string {
	t.Helper()
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if err := insecurecleartextkeyset.Write(handle, keyset.NewJSONWriter(&text)); err != nil {
		t.Fatal(err)
	}
	return text.String()
}

// TestAKeysetThatSharesItsTransitKeyIsShreddedAsFarAsThatGoes: the Transit key stays for the others, and the receipt says
// that a backup of KV goes on opening, which is so.
func TestAKeysetThatSharesItsTransitKeyIsShreddedAsFarAsThatGoes(t *testing.T) {
	s := startVault(t, "acme")
	s.CreateKeyset(t, "ns/other")
	file := filepath.Join(s.Dir, "before.json")
	must(t, s, s.Roles.CustodianToken, "keyset", "backup", "--file="+file)
	doom(t, s, "ns/payments")
	held := token(t, s, "shredder", "ns/payments")
	if plan := must(t, s, held, "shred", "ns/payments", "--carry-out", "--allow-open-workflows", "--plan"); !strings.Contains(plan, "Transit key signet stays, since other keysets share it: backups of KV go on opening") {
		t.Errorf("the plan is %s", plan)
	}
	r := read(t, must(t, s, held, "shred", "ns/payments", "--carry-out", "--allow-open-workflows", "--output=json")).Keysets[0]
	if r.Own || r.TransitKey != "signet" || r.Shredded == nil {
		t.Errorf("the receipt is %+v", r)
	}
	said := slices.ContainsFunc(r.Remains, func(left remains) bool {
		return left.Opens && strings.Contains(left.Where, "backups of KV alone") && strings.Contains(left.What, "it is not deleted")
	})
	if !said {
		t.Errorf("the receipt does not say that backups of KV open: %+v", r.Remains)
	}
	if out := must(t, s, held, "shred", "ns/payments", "--carry-out"); !strings.Contains(out, "  stays    Transit key signet, which other keysets share\n") {
		t.Errorf("once more: %s", out)
	}
	must(t, s, s.Roles.WorkerToken, "keyset", "verify", "ns/other", under+"acme")
	if out := must(t, s, s.Roles.WorkerToken, "keyset", "verify", "ns/payments"); !strings.Contains(out, "ns/payments: shredded") {
		t.Errorf("verify says %s", out)
	}
	must(t, s, s.Roles.WorkerToken, "keyset", "verify", "--file="+file, "ns/payments") // as the receipt says
}
