package keys_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"github.com/signet-temporal/signet"
	"github.com/signet-temporal/signet/converter"
	"github.com/signet-temporal/signet/e2e/stack"
	"github.com/signet-temporal/signet/keys"
	"github.com/signet-temporal/signet/keys/vaultstore"
)

// TestTheWholeLifeOfAKeysetUnderLoad takes a key from its creation to its destruction, by rotation, promotion, a
// rotation of the Transit key with rewrap, and another rotation by policy, while workflows start, are signalled and end
// without pause, and two processes seal and open 200 payloads a second for each other. No workflow, no workflow task and
// no payload fails, and what was not deleted on purpose opens at the end.
func TestTheWholeLifeOfAKeysetUnderLoad(t *testing.T) {
	s := stack.Start(t, stack.Options{Namespaces: []string{"payments"}, WithoutOIDC: true, PropagationDelay: rotationDelay})
	var rings []*keys.Ring
	for range 2 {
		ring := s.Ring(t, keys.RingOptions{RefreshInterval: time.Second})
		rings = append(rings, ring)
		startWorker(t, s.ClientWith(t, "payments", s.Plugin(t, ring, signet.Options{})))
	}
	c := s.ClientWith(t, "payments", s.Plugin(t, rings[0], signet.Options{}))
	raw := s.ClientWith(t, "payments")
	first := rings[0].Status()[0].Primary.String()
	l := &load{client: c}
	begun := time.Now()
	l.run(t, 4)
	p := startPulse(t, rings)
	time.Sleep(time.Second)

	second := s.Rotate(t, "ns/payments")
	time.Sleep(rotationDelay)
	s.Promote(t, "ns/payments", "--key="+second)
	for _, ring := range rings {
		sealsWith(t, ring, "ns/payments", second, 10*time.Second)
	}

	s.VaultWrite(t, "transit/keys/signet/rotate", nil)
	s.Signet(t, "keyset", "rewrap")
	if status := s.Signet(t, "keyset", "status"); !strings.Contains(status, "No key needs a version before 2") {
		t.Fatalf("after rewrap, status says\n%s", status)
	}
	s.VaultWrite(t, "transit/keys/signet/config", map[string]any{"min_decryption_version": 2})

	// What was started under the first key has ended by now. It is deleted, as retention does: then nothing carries it.
	time.Sleep(2 * time.Second)
	gone := deleteWhatCarries(t, s, raw, l.ids(), first)
	s.Signet(t, "keyset", "disable", "ns/payments", "--key="+first)
	time.Sleep(rotationDelay) // what still needed it would fail now
	s.Signet(t, "keyset", "destroy", "ns/payments", "--key="+first, "--schedule", "--allow-destroying-a-key-in-use", "--wait="+rotationDelay.String())
	time.Sleep(rotationDelay)
	destroy(t, s, first)

	s.Signet(t, "keyset", "policy", "ns/payments", "--rotate-every=5s")
	third := ""
	stack.Eventually(t, 30*time.Second, func() error {
		s.Signet(t, "keyset", "rotate", "--auto")
		if third = rings[0].Status()[0].Primary.String(); third != second {
			return nil
		}
		return fmt.Errorf("the policy has promoted no key")
	})
	sealsWith(t, rings[1], "ns/payments", third, 10*time.Second)
	time.Sleep(time.Second)
	count := l.end()
	took := time.Since(begun)
	passed := p.end()
	if rate := passed / int(took.Seconds()); rate < payloadsPerSecond*9/10 {
		t.Errorf("%d payloads a second passed between the processes, want %d", rate, payloadsPerSecond)
	}
	t.Logf("%d payloads passed between two processes, %d a second", passed, passed/int(took.Seconds()))

	r := &reader{raw: raw, used: map[string]int{}}
	for _, id := range l.ids() {
		if !gone[id] {
			r.read(t, id)
		}
	}
	t.Logf("%d workflows in %s, %d of them deleted on purpose; payloads that are left by key: %v; workflow tasks failed: %d",
		count, took.Round(time.Second), len(gone), r.used, r.failed)
	if r.failed > 0 {
		t.Errorf("%d workflow tasks failed and were retried", r.failed)
	}
	if r.used[first] > 0 || r.used[second] == 0 || r.used[third] == 0 || len(gone) == 0 {
		t.Errorf("payloads by key: %v, want none with %s and some with %s and %s", r.used, first, second, third)
	}
	r.opens(t, s, s.Ring(t, keys.RingOptions{})) // in a process that starts now
}

const payloadsPerSecond = 200

// pulse seals a payload in one process and opens it in the other, so many times a second, in both directions.
type pulse struct {
	once       sync.Once
	stop, done chan struct{}
	passed     int
}

func startPulse(t *testing.T, rings []*keys.Ring) *pulse {
	t.Helper()
	var codecs []*converter.Codec
	for _, ring := range rings {
		codec, err := converter.NewCodec(ring, converter.CodecOptions{Keyset: "ns/payments", Scope: "payments"})
		if err != nil {
			t.Fatal(err)
		}
		codecs = append(codecs, codec)
	}
	p := &pulse{stop: make(chan struct{}), done: make(chan struct{})}
	t.Cleanup(func() { p.end() })
	go func() {
		defer close(p.done)
		for begun := time.Now(); ; p.passed++ {
			due := begun.Add(time.Duration(p.passed) * time.Second / payloadsPerSecond) // a beat that is late is made up for
			select {
			case <-p.stop:
				return
			case <-time.After(time.Until(due)):
			}
			from, to := codecs[p.passed%2], codecs[(p.passed+1)%2]
			sealed, err := from.Encode([]*commonpb.Payload{{Metadata: map[string][]byte{"encoding": []byte("json/plain")}, Data: []byte(`"beat"`)}})
			if err == nil {
				_, err = to.Decode(sealed)
			}
			if err != nil {
				t.Errorf("payload %d: %v", p.passed, err)
			}
		}
	}()
	return p
}

func (p *pulse) end() int {
	p.once.Do(func() { close(p.stop) })
	<-p.done
	return p.passed
}

// deleteWhatCarries deletes the workflows whose history carries the key, after every payload of them was opened, and
// returns their ids.
func deleteWhatCarries(t *testing.T, s *stack.Stack, raw client.Client, ids []string, key string) map[string]bool {
	t.Helper()
	gone := map[string]bool{}
	all := &reader{raw: raw, used: map[string]int{}}
	for _, id := range ids {
		before := all.used[key]
		all.read(t, id)
		if all.used[key] == before {
			continue
		}
		gone[id] = true
		_, err := raw.WorkflowService().DeleteWorkflowExecution(t.Context(), &workflowservice.DeleteWorkflowExecutionRequest{
			Namespace: "payments", WorkflowExecution: &commonpb.WorkflowExecution{WorkflowId: id},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if all.failed > 0 {
		t.Errorf("%d workflow tasks failed", all.failed)
	}
	all.opens(t, s, s.Ring(t, keys.RingOptions{}))
	return gone
}

// destroy carries the scheduled destruction out, with the role that may.
func destroy(t *testing.T, s *stack.Stack, key string) {
	t.Helper()
	policy, err := vaultstore.Options{}.Policy(vaultstore.RoleDestroyer)
	if err != nil {
		t.Fatal(err)
	}
	s.VaultWrite(t, "sys/policies/acl/signet-destroyer", map[string]any{"policy": policy})
	env := []string{"VAULT_ADDR=" + s.Vault.Address, "VAULT_TOKEN=" + s.VaultToken(t, "signet-destroyer")}
	if run := stack.Exec(t, env, stack.Program(t, "signet"), "keyset", "destroy", "ns/payments", "--key="+key, "--carry-out", "--allow-destroying-a-key-in-use"); run.Code != 0 {
		t.Fatalf("destroy: exit code %d: %s", run.Code, run.Stderr)
	}
}
