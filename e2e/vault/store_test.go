package vault_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/signet-temporal/signet/keys"
	"github.com/signet-temporal/signet/keys/keystest"
	"github.com/signet-temporal/signet/keys/vaultstore"
)

// vault is a running server and a client with the root token.
type vault struct {
	*api.Client
	t *testing.T
}

func start(t *testing.T) vault {
	t.Helper()
	addr, root := startVault(t)
	v := vault{Client: client(t, addr, root), t: t}
	v.write("sys/mounts/transit", map[string]any{"type": "transit"})
	v.write("transit/keys/signet", map[string]any{"derived": true})
	return v
}

func client(t *testing.T, addr, token string) *api.Client {
	t.Helper()
	c, err := vaultstore.NewClient(vaultstore.ClientOptions{Address: addr})
	if err != nil {
		t.Fatal(err)
	}
	c.SetToken(token)
	return c
}

// write writes with the root token and returns the data of the answer.
func (v vault) write(path string, data map[string]any) map[string]any {
	v.t.Helper()
	secret, err := v.Logical().WriteWithContext(v.t.Context(), path, data)
	if err != nil {
		v.t.Fatalf("writing %s: %v", path, err)
	}
	if secret == nil {
		return nil
	}
	return secret.Data
}

// token makes a token with just that policy, and a client that holds it.
func (v vault) token(policy string) *api.Client {
	v.t.Helper()
	name := fmt.Sprintf("p%d", time.Now().UnixNano())
	v.write("sys/policies/acl/"+name, map[string]any{"policy": policy})
	secret, err := v.Auth().Token().CreateWithContext(v.t.Context(), &api.TokenCreateRequest{Policies: []string{name}, NoDefaultPolicy: true, TTL: "1h"})
	if err != nil {
		v.t.Fatal(err)
	}
	return client(v.t, v.Address(), secret.Auth.ClientToken)
}

func store(t *testing.T, c *api.Client, opts vaultstore.Options) *vaultstore.Store {
	t.Helper()
	s, err := vaultstore.New(c, opts)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func keyset(name string) *keys.Keyset {
	return &keys.Keyset{Format: 1, Name: name, Type: keys.XAES256GCM, Policy: keys.Policy{PropagationDelay: keys.Duration(time.Minute)}, Keys: []keys.Key{}}
}

func mustReplace(t *testing.T, s *vaultstore.Store, k *keys.Keyset, old keys.Version) keys.Version {
	t.Helper()
	version, err := s.Replace(t.Context(), k, old)
	if err != nil {
		t.Fatal(err)
	}
	return version
}

// wantProblem checks an error that a user sees: one line, the words that help, and Vault's answer behind it when
// there was one (status 0: none). No error holds a token.
func wantProblem(t *testing.T, err error, status int, words ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one with %q", words)
	}
	t.Logf("error: %v", err)
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("error %q does not say %q", err, word)
		}
	}
	if strings.ContainsAny(err.Error(), "\n\r\t") {
		t.Errorf("error %q has more than one line", err)
	}
	if strings.Contains(err.Error(), "hvs.") {
		t.Errorf("error %q holds a token", err)
	}
	var answer *api.ResponseError
	if got := errors.As(err, &answer); got != (status != 0) || got && answer.StatusCode != status {
		t.Errorf("error %q has answer %+v behind it, want status %d", err, answer, status)
	}
}

// planter puts any document into KV, past the store.
type planter struct {
	*vaultstore.Store
	v      vault
	prefix string
}

func (p planter) Plant(ctx context.Context, name string, doc []byte) error {
	var value any = json.RawMessage(doc)
	if !json.Valid(doc) {
		value = string(doc) // KV holds JSON only
	}
	_, err := p.v.KVv2("secret").Put(ctx, p.prefix+"/"+name, map[string]any{"keyset": value})
	return err
}

func TestStoreConformsOnARealVault(t *testing.T) {
	v := start(t)
	n := 0
	keystest.TestStore(t, func(t *testing.T) keys.Store {
		n++
		prefix := fmt.Sprintf("conformance/%d", n)
		return planter{Store: store(t, v.Client, vaultstore.Options{Prefix: prefix}), v: v, prefix: prefix}
	})
}

func TestKEKConformsOnARealVault(t *testing.T) {
	v := start(t)
	keystest.TestKEK(t, func(t *testing.T) keys.KEK { return store(t, v.Client, vaultstore.Options{}) })
}

func TestTheDocumentIsReadableInVault(t *testing.T) {
	v := start(t)
	mustReplace(t, store(t, v.Client, vaultstore.Options{}), keyset("ns/payments"), "")
	secret, err := v.KVv2("secret").Get(t.Context(), "signet/keysets/ns/payments")
	if err != nil {
		t.Fatal(err)
	}
	doc, _ := secret.Data["keyset"].(map[string]any)
	if len(secret.Data) != 1 || doc["name"] != "ns/payments" || doc["type"] != "XAES_256_GCM" {
		t.Errorf("the secret's data is %v, want one field keyset with the document in it", secret.Data)
	}
}

func TestAKeysetCanBeCreatedAgainAfterItWasDeletedInAnyWay(t *testing.T) {
	v := start(t)
	s := store(t, v.Client, vaultstore.Options{})
	kv := v.KVv2("secret")
	for name, remove := range map[string]func(path string) error{
		"deleted":          func(path string) error { return kv.Delete(t.Context(), path) },
		"destroyed":        func(path string) error { return kv.Destroy(t.Context(), path, []int{1}) },
		"metadata deleted": func(path string) error { return kv.DeleteMetadata(t.Context(), path) },
	} {
		t.Run(name, func(t *testing.T) {
			k := keyset("ns/" + strings.ReplaceAll(name, " ", "-"))
			old := mustReplace(t, s, k, "")
			if err := remove("signet/keysets/" + k.Name); err != nil {
				t.Fatal(err)
			}
			if _, _, err := s.Fetch(t.Context(), k.Name); !errors.Is(err, keys.ErrNotFound) {
				t.Errorf("Fetch = %v, want ErrNotFound", err)
			}
			if list, err := s.List(t.Context()); err != nil || len(list) != 0 {
				t.Errorf("List = %q, %v, want none", list, err)
			}
			if _, err := s.Replace(t.Context(), k, old); !errors.Is(err, keys.ErrConflict) {
				t.Errorf("Replace at the version before it was %s = %v, want ErrConflict", name, err)
			}
			created := mustReplace(t, s, k, "")
			if _, err := s.Replace(t.Context(), k, old); !errors.Is(err, keys.ErrConflict) {
				t.Errorf("Replace at the version of the keyset that was there before = %v, want ErrConflict", err)
			}
			if _, err := s.Replace(t.Context(), k, ""); !errors.Is(err, keys.ErrConflict) {
				t.Errorf("creating it twice = %v, want ErrConflict", err)
			}
			if _, got, err := s.Fetch(t.Context(), k.Name); err != nil || got != created {
				t.Errorf("Fetch has version %q, %v, want %q", got, err, created)
			}
			if err := remove("signet/keysets/" + k.Name); err != nil {
				t.Fatal(err)
			}
			if name == "destroyed" {
				if err := kv.Destroy(t.Context(), "signet/keysets/"+k.Name, []int{2}); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func TestAnyoneElsesSecretUnderThePrefixIsAnErrorAndNotAKeyset(t *testing.T) {
	v := start(t)
	v.write("secret/data/signet/keysets/notes", map[string]any{"data": map[string]any{"hello": "world"}})
	_, _, err := store(t, v.Client, vaultstore.Options{}).Fetch(t.Context(), "notes")
	wantProblem(t, err, 0, `"secret/data/signet/keysets/notes"`, `no field "keyset"`)
}

func TestATransitKeyThatIsNotDerivedIsRefused(t *testing.T) {
	v := start(t)
	v.write("transit/keys/plain", nil)
	opts := vaultstore.Options{TransitKey: "plain"}
	_, err := store(t, v.Client, opts).EncryptWithContext(t.Context(), []byte("key"), []byte("ns/a"))
	wantProblem(t, err, 0, `"plain" is not derived`, "derived=true")

	// A worker cannot read the key: what somebody else wrapped with it must not open either.
	wrapped := v.write("transit/encrypt/plain", map[string]any{"plaintext": "a2V5", "context": "bnMvYQ=="})["ciphertext"].(string)
	policy, err := opts.WorkerPolicy()
	if err != nil {
		t.Fatal(err)
	}
	worker := store(t, v.token(policy), opts)
	for range 2 { // the verdict is not forgotten
		out, err := worker.DecryptWithContext(t.Context(), []byte(wrapped), []byte("ns/a"))
		wantProblem(t, err, 0, `"plain" is not derived`)
		if out != nil {
			t.Error("a plaintext came with the error")
		}
	}
	v.write("transit/keys/pair", map[string]any{"type": "rsa-2048"})
	_, err = store(t, v.Client, vaultstore.Options{TransitKey: "pair"}).EncryptWithContext(t.Context(), []byte("key"), []byte("ns/a"))
	wantProblem(t, err, 0, `"pair" is not derived`)
	v.write("transit/keys/same", map[string]any{"derived": true, "convergent_encryption": true})
	_, err = store(t, v.Client, vaultstore.Options{TransitKey: "same"}).EncryptWithContext(t.Context(), []byte("key"), []byte("ns/a"))
	wantProblem(t, err, 0, `"same" uses convergent encryption`)
}

func TestAMissingTransitKeyIsNotCreated(t *testing.T) {
	v := start(t)
	s := store(t, v.Client, vaultstore.Options{TransitKey: "absent"})
	_, err := s.EncryptWithContext(t.Context(), []byte("key"), []byte("ns/a"))
	wantProblem(t, err, 404, "create it with: vault write -f transit/keys/absent derived=true")
	_, err = s.DecryptWithContext(t.Context(), []byte("vault:v1:AAAA"), []byte("ns/a"))
	wantProblem(t, err, 400, "create it with: vault write -f transit/keys/absent derived=true")
	if key, err := v.Logical().ReadWithContext(t.Context(), "transit/keys/absent"); err != nil || key != nil {
		t.Errorf("the key was created: %v, %v", key, err)
	}
}

func TestARotatedTransitKeyStillOpensAndARaisedMinimumIsExplained(t *testing.T) {
	v := start(t)
	s := store(t, v.Client, vaultstore.Options{})
	wrapped, err := s.EncryptWithContext(t.Context(), []byte("key"), []byte("ns/a"))
	if err != nil {
		t.Fatal(err)
	}
	v.write("transit/keys/signet/rotate", nil)
	if out, err := s.DecryptWithContext(t.Context(), wrapped, []byte("ns/a")); err != nil || string(out) != "key" {
		t.Fatalf("after rotation: %q, %v", out, err)
	}
	v.write("transit/keys/signet/config", map[string]any{"min_decryption_version": 2})
	_, err = s.DecryptWithContext(t.Context(), wrapped, []byte("ns/a"))
	wantProblem(t, err, 400, "min_decryption_version")
}

func TestRewrappingUnderARealVaultOpensUnderTheSameNameOnly(t *testing.T) {
	v := start(t)
	s := store(t, v.Client, vaultstore.Options{})
	wrapped, err := s.EncryptWithContext(t.Context(), []byte("key"), []byte("ns/a"))
	if err != nil {
		t.Fatal(err)
	}
	v.write("transit/keys/signet/rotate", nil)
	if _, err := s.RewrapWithContext(t.Context(), wrapped, []byte("ns/b")); err == nil {
		t.Error("rewrapped under another keyset's name")
	}
	anew, err := s.RewrapWithContext(t.Context(), wrapped, []byte("ns/a"))
	if err != nil || s.VersionOf(anew) != 2 || s.VersionOf(wrapped) != 1 {
		t.Fatalf("rewrapped: %q, %v, want version 2", anew, err)
	}
	v.write("transit/keys/signet/config", map[string]any{"min_decryption_version": 2})
	if latest, oldest, err := s.Versions(t.Context()); err != nil || latest != 2 || oldest != 2 {
		t.Errorf("Versions = %d, %d, %v, want 2 and 2", latest, oldest, err)
	}
	if out, err := s.DecryptWithContext(t.Context(), anew, []byte("ns/a")); err != nil || string(out) != "key" {
		t.Errorf("opened: %q, %v", out, err)
	}
	_, err = s.RewrapWithContext(t.Context(), wrapped, []byte("ns/a"))
	wantProblem(t, err, 400, "no longer opens the version")
}

func TestForgettingLeavesNothingOfEarlierVersionsInVault(t *testing.T) {
	v := start(t)
	s := store(t, v.Client, vaultstore.Options{})
	k := keyset("ns/a")
	version := mustReplace(t, s, k, "")
	for range 14 { // KV keeps ten
		k.Policy.PropagationDelay += keys.Duration(time.Second)
		version = mustReplace(t, s, k, version)
	}
	for range 2 {
		if err := s.Forget(t.Context(), k.Name); err != nil {
			t.Fatal(err)
		}
	}
	meta, err := v.KVv2("secret").GetMetadata(t.Context(), "signet/keysets/ns/a")
	if err != nil {
		t.Fatal(err)
	}
	for n, version := range meta.Versions {
		if version.Destroyed != (n != "15") {
			t.Errorf("version %s is destroyed: %t", n, version.Destroyed)
		}
	}
	if len(meta.Versions) != 10 {
		t.Errorf("KV lists %d versions, want 10", len(meta.Versions))
	}
	if _, got, err := s.Fetch(t.Context(), k.Name); err != nil || got != version {
		t.Errorf("Fetch has version %q, %v, want %q", got, err, version)
	}
}

func TestAWorkerReadsAndUnwrapsAndNothingMore(t *testing.T) {
	v := start(t)
	root := store(t, v.Client, vaultstore.Options{})
	version := keyset("ns/payments")
	id, wrapped, err := keys.Generate(t.Context(), root, "ns/payments", keys.XAES256GCM)
	if err != nil {
		t.Fatal(err)
	}
	version.Keys = []keys.Key{{ID: id, State: keys.Primary, Created: time.Now().UTC(), Wrapped: wrapped}}
	old := mustReplace(t, root, version, "")

	policy, err := vaultstore.Options{}.WorkerPolicy()
	if err != nil {
		t.Fatal(err)
	}
	c := v.token(policy)
	worker := store(t, c, vaultstore.Options{})
	got, _, err := worker.Fetch(t.Context(), "ns/payments")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := keys.Unwrap(t.Context(), worker, got.Name, got.Keys[0].ID, got.Keys[0].Wrapped); err != nil {
		t.Fatal(err)
	}
	if _, _, err := worker.Fetch(t.Context(), "ns/none"); !errors.Is(err, keys.ErrNotFound) {
		t.Errorf("a missing keyset = %v, want ErrNotFound", err)
	}
	_, err = worker.Replace(t.Context(), version, old)
	wantProblem(t, err, 403, `must grant "update" on path "secret/data/signet/keysets/ns/payments"`)
	_, err = worker.Replace(t.Context(), keyset("ns/new"), "")
	wantProblem(t, err, 403, `must grant "create" on path "secret/data/signet/keysets/ns/new"`)
	_, err = worker.List(t.Context())
	wantProblem(t, err, 403, `must grant "list" on path "secret/metadata/signet/keysets/"`)
	_, err = worker.EncryptWithContext(t.Context(), []byte("key"), []byte("ns/payments"))
	wantProblem(t, err, 403, `grants "read" on path "transit/keys/signet"`)
	wantDenied(t, c, "transit/encrypt/signet", "transit/rewrap/signet", "transit/datakey/plaintext/signet", "transit/keys/signet/rotate",
		"transit/keys/other", "secret/data/elsewhere", "secret/destroy/signet/keysets/ns/payments")
	if _, err := c.Logical().ReadWithContext(t.Context(), "transit/export/encryption-key/signet"); err == nil {
		t.Error("a worker may export the Transit key")
	}
}

func TestACustodianCreatesAndRotatesAndCannotUnwrap(t *testing.T) {
	v := start(t)
	policy, err := vaultstore.Options{}.CustodianPolicy()
	if err != nil {
		t.Fatal(err)
	}
	c := v.token(policy)
	custodian := store(t, c, vaultstore.Options{})
	k := keyset("ns/payments")
	created := mustReplace(t, custodian, k, "")
	id, wrapped, err := keys.Generate(t.Context(), custodian, k.Name, k.Type)
	if err != nil {
		t.Fatal(err)
	}
	k.Keys = []keys.Key{{ID: id, State: keys.Pending, Created: time.Now().UTC(), Wrapped: wrapped}}
	added := mustReplace(t, custodian, k, created)
	k.Keys[0].State = keys.Primary
	mustReplace(t, custodian, k, added)
	if list, err := custodian.List(t.Context()); err != nil || len(list) != 1 || list[0] != k.Name {
		t.Errorf("List = %q, %v, want only %q", list, err, k.Name)
	}
	_, err = custodian.DecryptWithContext(t.Context(), wrapped, []byte(k.Name))
	wantProblem(t, err, 403, `"update" on path "transit/decrypt/signet"`)
	if _, err := keys.Unwrap(t.Context(), custodian, k.Name, id, wrapped); err == nil {
		t.Error("a custodian opened a key")
	}
	wantDenied(t, c, "transit/decrypt/signet", "transit/encrypt/missing", "transit/keys/signet/config", "transit/datakey/plaintext/signet",
		"transit/export/encryption-key/signet", "transit/keys/signet/rotate", "secret/data/elsewhere", "secret/destroy/elsewhere",
		"secret/undelete/signet/keysets/ns/payments")
	rewrapped, err := custodian.RewrapWithContext(t.Context(), []byte("vault:v1:AAAA"), []byte(k.Name))
	wantProblem(t, err, 400)
	if rewrapped != nil {
		t.Error("bytes came beside the error")
	}
	wantProblem(t, custodian.Forget(t.Context(), k.Name), 403, `must grant "update" on path "secret/destroy/signet/keysets/ns/payments"`)
	if key, err := v.Logical().ReadWithContext(t.Context(), "transit/keys/missing"); err != nil || key != nil {
		t.Errorf("the custodian made a Transit key: %v, %v", key, err)
	}
	if _, err := c.Logical().DeleteWithContext(t.Context(), "secret/metadata/signet/keysets/ns/payments"); err == nil {
		t.Error("a custodian deleted a keyset with all its versions")
	}
}

func TestPoliciesNameTheConfiguredPlaces(t *testing.T) {
	v := start(t)
	v.write("sys/mounts/team/kv", map[string]any{"type": "kv", "options": map[string]any{"version": "2"}})
	v.write("sys/mounts/team/transit", map[string]any{"type": "transit"})
	v.write("team/transit/keys/k1", map[string]any{"derived": true})
	opts := vaultstore.Options{KVMount: "team/kv", Prefix: "a/b", TransitMount: "team/transit", TransitKey: "k1"}
	custodianPolicy, err := opts.CustodianPolicy()
	if err != nil {
		t.Fatal(err)
	}
	workerPolicy, err := opts.WorkerPolicy()
	if err != nil {
		t.Fatal(err)
	}
	custodian, worker := store(t, v.token(custodianPolicy), opts), store(t, v.token(workerPolicy), opts)
	mustReplace(t, custodian, keyset("ns/x"), "")
	wrapped, err := custodian.EncryptWithContext(t.Context(), []byte("key"), []byte("ns/x"))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := worker.Fetch(t.Context(), "ns/x"); err != nil {
		t.Error(err)
	}
	if out, err := worker.DecryptWithContext(t.Context(), wrapped, []byte("ns/x")); err != nil || string(out) != "key" {
		t.Errorf("Decrypt = %q, %v", out, err)
	}
	if list, err := custodian.List(t.Context()); err != nil || len(list) != 1 {
		t.Errorf("List = %q, %v", list, err)
	}
}

func wantDenied(t *testing.T, c *api.Client, paths ...string) {
	t.Helper()
	for _, path := range paths {
		_, err := c.Logical().WriteWithContext(t.Context(), path, map[string]any{"plaintext": "YQ==", "context": "YQ==", "ciphertext": "vault:v1:AAAA", "data": map[string]any{}})
		var answer *api.ResponseError
		if !errors.As(err, &answer) || answer.StatusCode != 403 {
			t.Errorf("writing %s = %v, want 403", path, err)
		}
	}
}
