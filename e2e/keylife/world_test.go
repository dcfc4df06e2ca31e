// Package keylife_test plays the life of keysets with the signet program, the custodian's token and a real Vault.
package keylife_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"
	commonpb "go.temporal.io/api/common/v1"

	"github.com/signet-temporal/signet/converter"
	"github.com/signet-temporal/signet/e2e/stack"
	"github.com/signet-temporal/signet/keys"
	"github.com/signet-temporal/signet/keys/vaultstore"
)

const keyset = "ns/payments"

func start(t *testing.T, delay time.Duration) *stack.Stack {
	t.Helper()
	return stack.Start(t, stack.Options{Namespaces: []string{"payments"}, WithoutOIDC: true, WithoutTemporal: true, PropagationDelay: delay})
}

// token makes a token with the policy that signet prints for a role, and no other.
func token(t *testing.T, s *stack.Stack, role string) string {
	t.Helper()
	s.VaultWrite(t, "sys/policies/acl/only-"+role, map[string]any{"policy": signet(t, s, "vault", "policy", "--role="+role)})
	answer := s.VaultWrite(t, "auth/token/create", map[string]any{"policies": []string{"only-" + role}, "no_default_policy": true, "ttl": "1h"})
	return answer.Auth.ClientToken
}

// exec runs signet as the custodian.
func exec(t *testing.T, s *stack.Stack, args ...string) stack.Run {
	t.Helper()
	return execAt(t, s.Vault.Address, s.Roles.CustodianToken, args...)
}

func execAt(t *testing.T, address, token string, args ...string) stack.Run {
	t.Helper()
	return stack.Exec(t, []string{"VAULT_ADDR=" + address, "VAULT_TOKEN=" + token}, stack.Program(t, "signet"), args...)
}

// signet runs a command that must succeed, and returns what it printed.
func signet(t *testing.T, s *stack.Stack, args ...string) string {
	t.Helper()
	got := exec(t, s, args...)
	if got.Code != 0 {
		t.Fatalf("signet %v: exit code %d: %s", args, got.Code, got.Stderr)
	}
	return got.Stdout
}

// client speaks to Vault with a token, past signet.
func client(t *testing.T, s *stack.Stack, token string) *api.Client {
	t.Helper()
	c, err := vaultstore.NewClient(vaultstore.ClientOptions{Address: s.Vault.Address})
	if err != nil {
		t.Fatal(err)
	}
	c.SetToken(token)
	return c
}

func root(t *testing.T, s *stack.Stack) *api.Client {
	t.Helper()
	return client(t, s, s.Vault.Token)
}

// change is what the changing commands print as JSON.
type change struct {
	Keyset, Key, State string
	Steps              []struct{ Key, From, To, Does string }
}

// run runs a command of signet keyset that must succeed, and returns what it printed.
func run(t *testing.T, s *stack.Stack, args ...string) change {
	t.Helper()
	var c change
	decode(t, signet(t, s, append(append([]string{"keyset"}, args...), "--output=json")...), &c)
	return c
}

// carryOut destroys a key as the destroyer: the custodian may not.
func carryOut(t *testing.T, s *stack.Stack, key string) stack.Run {
	t.Helper()
	return execAt(t, s.Vault.Address, token(t, s, "destroyer"), "keyset", "destroy", keyset, "--key="+key, "--carry-out", "--allow-destroying-a-key-in-use", "--output=json")
}

func decode(t *testing.T, out string, to any) {
	t.Helper()
	if err := json.Unmarshal([]byte(out), to); err != nil {
		t.Fatalf("signet printed %q: %v", out, err)
	}
}

// refused runs a command that must be refused with an exit code and a text.
func refused(t *testing.T, s *stack.Stack, code int, text string, args ...string) {
	t.Helper()
	got := exec(t, s, append([]string{"keyset"}, args...)...)
	if got.Code != code || !strings.Contains(got.Stderr, text) || strings.Count(got.Stderr, "\n") != 1 {
		t.Errorf("signet keyset %v: exit code %d, %q, want %d and %q", args, got.Code, got.Stderr, code, text)
	}
}

// status is what signet keyset status prints as JSON.
type status struct {
	Keysets []struct {
		Name string
		Keys []struct {
			ID, State               string
			WrappedBy               int
			Compromised, Rewrapped  time.Time
			DestroyAfter, Destroyed time.Time
		}
	}
	KEK struct{ Latest, Oldest, LowestInUse, Lagging int }
}

func look(t *testing.T, s *stack.Stack, names ...string) status {
	t.Helper()
	var st status
	decode(t, signet(t, s, append([]string{"keyset", "status", "--output=json"}, names...)...), &st)
	return st
}

// states returns the keys of the keyset by state.
func states(t *testing.T, s *stack.Stack) map[string][]string {
	t.Helper()
	by := map[string][]string{}
	for _, key := range look(t, s, keyset).Keysets[0].Keys {
		by[key.State] = append(by[key.State], key.ID)
	}
	return by
}

// worker is a process that seals and opens: a ring with the worker's token, and the codec over it.
type worker struct {
	ring  *keys.Ring
	codec *converter.Codec
}

func newWorker(t *testing.T, s *stack.Stack) worker {
	t.Helper()
	ring := s.Ring(t, keys.RingOptions{RefreshInterval: time.Hour}) // it refreshes when the test says so
	codec, err := converter.NewCodec(ring, converter.CodecOptions{Keyset: keyset, Scope: "payments"})
	if err != nil {
		t.Fatal(err)
	}
	return worker{ring, codec}
}

func (w worker) refresh(t *testing.T) {
	t.Helper()
	if err := w.ring.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// seals seals a payload and wants it under a key.
func (w worker) seals(t *testing.T, key string) []*commonpb.Payload {
	t.Helper()
	sealed, err := w.codec.Encode([]*commonpb.Payload{{Metadata: map[string][]byte{"encoding": []byte("json/plain")}, Data: []byte(`"hello"`)}})
	if err != nil {
		t.Fatal(err)
	}
	if got := string(sealed[0].GetMetadata()["encryption-key-id"]); got != keyset+"/"+key {
		t.Fatalf("sealed with %s, want key %s", got, key)
	}
	return sealed
}

func (w worker) opens(sealed []*commonpb.Payload) error {
	opened, err := w.codec.Decode(sealed)
	if err == nil && string(opened[0].GetData()) != `"hello"` {
		err = fmt.Errorf("opened as %q", opened[0].GetData())
	}
	return err
}
