package migrate_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"
	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	tinkpb "github.com/tink-crypto/tink-go/v2/proto/tink_go_proto"
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/api/proxy"
	"go.temporal.io/sdk/client"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/signet-temporal/signet"
	"github.com/signet-temporal/signet/converter"
	"github.com/signet-temporal/signet/e2e/stack"
	"github.com/signet-temporal/signet/keys"
	"github.com/signet-temporal/signet/keys/legacykeys"
)

// imported is one namespace whose old key is in its keyset, and in no configuration.
type imported struct {
	*stack.Stack
	namespace string
	codec     before
	ring      *keys.Ring
	id        string // of the legacy key
}

// TestAKeyIsImportedAndReadBackByAllUntilItIsDisabled: a history and a schedule that the sample codec and a codec with Tink
// sealed are read, with the imported key alone, by a worker and by the codec server; the keyset is rotated, the schedule
// resealed, and the old key disabled.
func TestAKeyIsImportedAndReadBackByAllUntilItIsDisabled(t *testing.T) {
	s := stack.Start(t, stack.Options{Namespaces: []string{"pay-sampled", "pay-tinked"}, PropagationDelay: time.Millisecond})
	server := s.Server(t, stack.ServerOptions{LegacyKeys: true, RefreshInterval: time.Second})
	alice := s.Token(t, "alice")

	sample := sampleCodec{"wards-2023", []byte("an old key of thirty-two letters")}
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []*imported{
		{Stack: s, namespace: "pay-sampled", codec: before{codec: sample}},
		{Stack: s, namespace: "pay-tinked", codec: before{codec: tinkCodec{primitive(t, handle), "pay-tinked"}}},
	} {
		t.Run(n.namespace, func(t *testing.T) {
			was := deploy(t, s, n.namespace, n.codec.client())
			n.begins(t, was)
			n.ring = s.Ring(t, keys.RingOptions{Keysets: []string{"ns/" + n.namespace}, RefreshInterval: time.Second})
			history := n.stored(t, was)
			if answer := server.Decode(t, alice, n.namespace, history...); answer.Status != 200 || !sealedAll(answer.Payloads) {
				t.Fatalf("before the import the codec server answers %d %s", answer.Status, answer.Body)
			}
			was.stop()

			if n.namespace == "pay-sampled" {
				file := s.WriteFile(t, "aes.b64", base64.StdEncoding.EncodeToString(sample.key)+"\n")
				n.imports(t, s.Roles.CustodianToken, "--file="+file, "--aes-key-id="+sample.keyID, "--aes-encoding=base64", "--insecure-cleartext-keys")
			} else {
				n.importsEncrypted(t, handle)
			}
			n.goesOn(t, server, alice, history)
		})
	}
}

// begins leaves an open workflow and a schedule behind.
func (n *imported) begins(t *testing.T, was process) {
	t.Helper()
	if _, err := was.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: "ward", TaskQueue: taskQueue}, Ward, "ward"); err != nil {
		t.Fatal(err)
	}
	if err := was.SignalWorkflow(t.Context(), "ward", "", "note", "old"); err != nil {
		t.Fatal(err)
	}
	n.asks(t, was, line("old"))
	action := &client.ScheduleWorkflowAction{ID: "nightly", Workflow: Nightly, Args: []any{"for nightly"}, TaskQueue: taskQueue, Memo: map[string]any{"of": "nightly"}}
	if _, err := was.ScheduleClient().Create(t.Context(), client.ScheduleOptions{ID: "nightly", Paused: true, Action: action}); err != nil {
		t.Fatal(err)
	}
}

func (n *imported) asks(t *testing.T, by process, want ...string) {
	t.Helper()
	stack.Eventually(t, patience, func() error {
		answer, err := by.QueryWorkflow(t.Context(), "ward", "", "seen", "asked")
		var got []string
		if err == nil {
			err = answer.Get(&got)
		}
		if err == nil && !slices.Equal(got, append(append([]string{"ward"}, want...), "asked")) {
			err = fmt.Errorf("it has seen %q", got)
		}
		return err
	})
}

// stored returns the payloads of the ward's history, as Temporal has them.
func (n *imported) stored(t *testing.T, by process) (all []*commonpb.Payload) {
	t.Helper()
	m := &move{Stack: n.Stack, namespace: n.namespace}
	for _, event := range m.history(t, by, "ward") {
		collect := func(at *proxy.VisitPayloadsContext, ps []*commonpb.Payload) ([]*commonpb.Payload, error) {
			if _, header := at.Parent.(*commonpb.Header); !header {
				all = append(all, ps...)
			}
			return ps, nil
		}
		if err := proxy.VisitPayloads(t.Context(), event, proxy.VisitPayloadsOptions{Visitor: collect, SkipSearchAttributes: true}); err != nil {
			t.Fatal(err)
		}
	}
	all = slices.DeleteFunc(all, func(p *commonpb.Payload) bool { return !isSealed(p) })
	if len(all) < 5 {
		t.Fatalf("%d sealed payloads in the history", len(all))
	}
	return all
}

func isSealed(p *commonpb.Payload) bool {
	return strings.HasPrefix(string(p.GetMetadata()["encoding"]), "binary/encrypted") || string(p.GetMetadata()["encoding"]) == tinkEncoding
}

func sealedAll(ps []*commonpb.Payload) bool {
	return !slices.ContainsFunc(ps, func(p *commonpb.Payload) bool { return !isSealed(p) })
}

func (n *imported) signet(t *testing.T, code int, token string, args ...string) stack.Run {
	t.Helper()
	env := []string{"VAULT_ADDR=" + n.Vault.Address, "VAULT_TOKEN=" + token, "TEMPORAL_ADDRESS=" + n.Temporal.Address, "TEMPORAL_NAMESPACE=" + n.namespace}
	run := stack.Exec(t, env, stack.Program(t, "signet"), args...)
	if run.Code != code {
		t.Fatalf("signet %v: exit code %d: %s%s", args, run.Code, run.Stdout, run.Stderr)
	}
	return run
}

// imports imports with a token, twice.
func (n *imported) imports(t *testing.T, token string, args ...string) {
	t.Helper()
	args = append([]string{"keyset", "import", "ns/" + n.namespace, "--output=json"}, args...)
	var got struct {
		Keys []struct{ ID, State, Legacy, Does string }
	}
	for _, does := range []string{"imported", "there already"} {
		if err := json.Unmarshal([]byte(n.signet(t, 0, token, args...).Stdout), &got); err != nil {
			t.Fatal(err)
		}
		if len(got.Keys) != 1 || got.Keys[0].State != "retired" || got.Keys[0].Legacy == "" || got.Keys[0].Does != does {
			t.Fatalf("%s: %+v", does, got)
		}
	}
	n.id = got.Keys[0].ID
}

// importsEncrypted imports a Tink keyset that another Transit key of the same Vault has encrypted, as the KMS client of
// Tink for Vault does. The custodian needs the right to decrypt with that one, and has none for signet's.
func (n *imported) importsEncrypted(t *testing.T, handle *keyset.Handle) {
	t.Helper()
	n.VaultWrite(t, "transit/keys/wards", nil)
	material, err := proto.Marshal(insecurecleartextkeyset.KeysetMaterial(handle))
	if err != nil {
		t.Fatal(err)
	}
	wrapped := n.VaultWrite(t, "transit/encrypt/wards", map[string]any{"plaintext": base64.StdEncoding.EncodeToString(material)})
	envelope, err := protojson.Marshal(&tinkpb.EncryptedKeyset{EncryptedKeyset: []byte(wrapped.Data["ciphertext"].(string)), KeysetInfo: handle.KeysetInfo()})
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"--file=" + n.WriteFile(t, "keyset.json", string(envelope)), "--kek-transit=transit/wards", "--encoding=" + tinkEncoding, "--associated-data=" + tinkNamespace}
	denied := n.signet(t, 1, n.Roles.CustodianToken, append([]string{"keyset", "import", "ns/" + n.namespace}, args...)...)
	if !strings.Contains(denied.Stderr, `must grant "update" on path "transit/decrypt/wards"`) {
		t.Errorf("without the right to decrypt: %s", denied.Stderr)
	}
	n.VaultWrite(t, "sys/policies/acl/wards", map[string]any{"policy": `path "transit/decrypt/wards" { capabilities = ["update"] }`})
	token, err := n.client(t).Auth().Token().CreateWithContext(t.Context(), &api.TokenCreateRequest{Policies: []string{"signet-custodian", "wards"}, TTL: "1h"})
	if err != nil {
		t.Fatal(err)
	}
	n.imports(t, token.Auth.ClientToken, args...)
}

func (n *imported) client(t *testing.T) *api.Client {
	t.Helper()
	config := api.DefaultConfig()
	config.Address = n.Vault.Address
	c, err := api.NewClient(config)
	if err != nil {
		t.Fatal(err)
	}
	c.SetToken(n.Vault.Token)
	return c
}

// goesOn reads with the imported key, in a process that has no key in its configuration.
func (n *imported) goesOn(t *testing.T, server *stack.Server, alice string, history []*commonpb.Payload) {
	decoder, err := legacykeys.New(n.ring, "ns/"+n.namespace)
	if err != nil {
		t.Fatal(err)
	}
	now := deploy(t, n.Stack, n.namespace, client.Options{Plugins: []client.Plugin{n.Plugin(t, n.ring, signet.Options{Legacy: []converter.Legacy{decoder}})}})
	if err := now.SignalWorkflow(t.Context(), "ward", "", "note", "new"); err != nil {
		t.Fatal(err)
	}
	n.asks(t, now, line("old"), line("new"))

	stack.Eventually(t, patience, func() error {
		answer := server.Decode(t, alice, n.namespace, history...)
		for i, p := range answer.Payloads {
			if isSealed(p) || len(p.GetData()) == 0 {
				return fmt.Errorf("payload %d is %v", i, p)
			}
		}
		if answer.Status != 200 {
			return fmt.Errorf("status %d: %s", answer.Status, answer.Body)
		}
		return nil
	})
	if answer := server.Decode(t, n.Token(t, "bob"), n.namespace, history...); answer.Status != 403 {
		t.Errorf("bob is answered %d %s", answer.Status, answer.Body)
	}

	// Rotated, and the schedule moved to the new primary key: it holds nothing of the old codec any more.
	n.signet(t, 0, n.Roles.CustodianToken, "keyset", "rotate", "ns/"+n.namespace)
	n.signet(t, 0, n.Roles.CustodianToken, "keyset", "promote", "ns/"+n.namespace)
	key := n.reseal(t, "to reseal", 2, "--plan")
	n.reseal(t, "resealed", 2)
	n.reseal(t, "current", 0)
	if !strings.HasSuffix(key, "/"+n.id) {
		t.Errorf("the schedule was sealed under %q, want %s", key, n.id)
	}
	m := &move{Stack: n.Stack, namespace: n.namespace}
	m.triggered(t, now, "nightly")

	// Disabled: what it sealed does not open, and nothing is lost; the schedule does not need it any more.
	n.signet(t, 0, n.Roles.CustodianToken, "keyset", "disable", "ns/"+n.namespace, "--key="+n.id)
	stack.Eventually(t, patience, func() error {
		if answer := server.Decode(t, alice, n.namespace, history...); answer.Status != 503 || strings.Contains(answer.Body, "ward") {
			return fmt.Errorf("the codec server answers %d %s", answer.Status, answer.Body)
		}
		_, err := decoder.Open(history[0])
		if err == nil || !strings.Contains(err.Error(), "is disabled: enable it again") {
			return fmt.Errorf("the decoder says %v", err)
		}
		return nil
	})
	m.triggered(t, now, "nightly")
	n.signet(t, 0, n.Roles.CustodianToken, "keyset", "enable", "ns/"+n.namespace, "--key="+n.id)
	if err := now.SignalWorkflow(t.Context(), "ward", "", "note", "end"); err != nil {
		t.Fatal(err)
	}
	var seen []string
	if err := now.GetWorkflow(t.Context(), "ward", "").Get(t.Context(), &seen); err != nil || len(seen) != 3 {
		t.Errorf("the ward returned %q, %v", seen, err)
	}
}

// reseal reseals the schedule and returns the key that it was sealed under.
func (n *imported) reseal(t *testing.T, state string, payloads int, args ...string) (from string) {
	t.Helper()
	run := n.signet(t, 0, n.Roles.WorkerToken, append([]string{"schedules", "reseal", "nightly", "--legacy-keys", "--output=json"}, args...)...)
	var got struct {
		Schedules []struct {
			State    string
			Payloads int
			From     []string
		}
	}
	if err := json.Unmarshal([]byte(run.Stdout), &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Schedules) != 1 || got.Schedules[0].State != state || got.Schedules[0].Payloads != payloads {
		t.Fatalf("reseal %v: %s", args, run.Stdout)
	}
	return strings.Join(got.Schedules[0].From, " ")
}
