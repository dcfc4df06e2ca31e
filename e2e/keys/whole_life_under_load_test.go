package keys_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/proxy"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/signet-temporal/signet"
	"github.com/signet-temporal/signet/converter"
	"github.com/signet-temporal/signet/e2e/stack"
	"github.com/signet-temporal/signet/internal/metricstest"
	"github.com/signet-temporal/signet/keys"
	"github.com/signet-temporal/signet/keys/vaultstore"
)

// payloadsPerSecond is how many payloads the client seals and opens, and the worker seals and opens, in every second of
// the life of a keyset. Each workflow carries many of them, so that half a dozen workflows a second are enough.
const payloadsPerSecond = 200

// fields returns a memo of thirty fields.
func fields(kind string) map[string]any {
	memo := map[string]any{}
	for n := range 30 {
		memo[fmt.Sprintf("%s-%d", kind, n)] = n
	}
	return memo
}

// Consign hands ten arguments to three activities at once, keeps a memo, and waits for the signal "ship".
func Consign(ctx workflow.Context, a, b, c, d, e, f, g, h, i, j string) (string, error) {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: time.Minute})
	var weighed []workflow.Future
	for range 3 {
		weighed = append(weighed, workflow.ExecuteActivity(ctx, Weigh, a, b, c, d, e, f, g, h, i, j))
	}
	all := 0
	for _, w := range weighed {
		var grams int
		if err := w.Get(ctx, &grams); err != nil {
			return "", err
		}
		all += grams
	}
	if err := workflow.UpsertMemo(ctx, fields("weighed")); err != nil {
		return "", err
	}
	var where string
	workflow.GetSignalChannel(ctx, "ship").Receive(ctx, &where)
	return fmt.Sprintf("%s weighs %d,%s", a, all, where), nil
}

// Weigh is Consign's activity.
func Weigh(_ context.Context, a, b, c, d, e, f, g, h, i, j string) (int, error) {
	return len(a + b + c + d + e + f + g + h + i + j), nil
}

// process is a client of its own: ring, login to Vault, connection to Temporal, metrics.
type process struct {
	client.Client
	name    string
	ring    *keys.Ring
	codec   *converter.Codec
	metrics *metricstest.Handler
	read    atomic.Int64 // payloads of histories that it opened
}

func newProcess(t *testing.T, s *stack.Stack, name string) *process {
	t.Helper()
	p := &process{name: name, ring: s.Ring(t, keys.RingOptions{RefreshInterval: time.Second}), metrics: metricstest.New()}
	var err error
	p.Client, err = client.Dial(client.Options{
		HostPort: s.Temporal.Address, Namespace: "payments", Plugins: []client.Plugin{s.Plugin(t, p.ring, signet.Options{})}, MetricsHandler: p.metrics, Logger: stack.Quiet,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	if p.codec, err = converter.NewCodec(p.ring, converter.CodecOptions{Keyset: "ns/payments", Scope: "payments"}); err != nil {
		t.Fatal(err)
	}
	return p
}

// opens opens every payload in the history of a workflow, as people who look at it do.
func (p *process) opens(ctx context.Context, id string) error {
	for events := p.GetWorkflowHistory(ctx, id, "", false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT); events.HasNext(); {
		event, err := events.Next()
		if err != nil {
			return err
		}
		err = proxy.VisitPayloads(ctx, event, proxy.VisitPayloadsOptions{SkipSearchAttributes: true,
			Visitor: func(_ *proxy.VisitPayloadsContext, sealed []*commonpb.Payload) ([]*commonpb.Payload, error) {
				opened, err := p.codec.Decode(sealed)
				p.read.Add(int64(len(opened)))
				return sealed, err
			}})
		if err != nil {
			return fmt.Errorf("reading event %d: %w", event.GetEventId(), err)
		}
	}
	return nil
}

// count is what the plugin of a process has counted under a name.
func (p *process) count(name string) (n float64) {
	for _, value := range p.metrics.All(name) {
		n += value
	}
	return n
}

// pace is the payloads that each of the processes has sealed and opened at a time.
type pace struct {
	at             time.Time
	all            []*process
	sealed, opened []float64
}

func paceOf(all ...*process) pace {
	now := pace{at: time.Now(), all: all}
	for _, p := range all {
		now.sealed = append(now.sealed, p.count("signet_payloads_sealed"))
		now.opened = append(now.opened, p.count("signet_payloads_opened")+float64(p.read.Load()))
	}
	return now
}

// since wants the rate of each process from before on to be that of the promise.
func (now pace) since(t *testing.T, before pace, what string) pace {
	t.Helper()
	seconds := now.at.Sub(before.at).Seconds()
	line := fmt.Sprintf("%-28s %5.1f s:", what, seconds)
	for i, p := range now.all {
		sealed, opened := (now.sealed[i]-before.sealed[i])/seconds, (now.opened[i]-before.opened[i])/seconds
		line += fmt.Sprintf("  the %s sealed %.0f and opened %.0f a second", p.name, sealed, opened)
		if sealed < payloadsPerSecond || opened < payloadsPerSecond {
			t.Errorf("%s: the %s sealed %.0f and opened %.0f payloads a second, want %d of each", what, p.name, sealed, opened, payloadsPerSecond)
		}
	}
	t.Log(line)
	return now
}

// TestTheWholeLifeOfAKeysetUnderLoad takes a key from its creation to its destruction, with the CLI as its own process:
// rotation, promotion, which retires it, rewrap after a rotation of the Transit key, census, destruction in two steps, and
// another rotation by policy. Meanwhile a client starts and signals workflows and a worker runs them, each with a ring,
// a login and a connection of its own; the metrics of their plugins say how many payloads they seal and open, and the
// client opens the history of each workflow when it has ended. No workflow, no workflow task and no payload fails, and what was not deleted on purpose opens at the end.
func TestTheWholeLifeOfAKeysetUnderLoad(t *testing.T) {
	s := stack.Start(t, stack.Options{Namespaces: []string{"payments"}, WithoutOIDC: true, PropagationDelay: rotationDelay})
	_ = stack.Program(t, "signet") // building it is no part of the life
	c, worked := newProcess(t, s, "client"), newProcess(t, s, "worker")
	w := worker.New(worked.Client, taskQueue, worker.Options{})
	w.RegisterWorkflow(Consign)
	w.RegisterActivity(Weigh)
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Stop)
	raw := s.ClientWith(t, "payments")
	first := c.ring.Status()[0].Primary.String()
	l := &load{client: c.Client, read: c.opens, start: func(ctx context.Context, id string) (string, error) {
		_, err := c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: id, TaskQueue: taskQueue, Memo: fields("of")}, Consign, id, "b", "c", "d", "e", "f", "g", "h", "i", "j")
		return fmt.Sprintf("%s weighs %d, to Ulm", id, 3*(len(id)+9)), err
	}}
	begun := paceOf(c, worked)
	l.run(t, 8)
	time.Sleep(2 * time.Second)
	last := paceOf(c, worked).since(t, begun, "under the first key")

	second := s.Rotate(t, "ns/payments")
	time.Sleep(rotationDelay)
	s.Promote(t, "ns/payments", "--key="+second)
	for _, p := range []*process{c, worked} {
		sealsWith(t, p.ring, "ns/payments", second, 10*time.Second)
	}
	last = paceOf(c, worked).since(t, last, "rotate, promote")

	s.VaultWrite(t, "transit/keys/signet/rotate", nil)
	s.Signet(t, "keyset", "rewrap")
	if status := s.Signet(t, "keyset", "status"); !strings.Contains(status, "No key needs a version before 2") {
		t.Fatalf("after rewrap, status says\n%s", status)
	}
	s.VaultWrite(t, "transit/keys/signet/config", map[string]any{"min_decryption_version": 2})
	time.Sleep(2 * time.Second) // what was started under the first key ends
	last = paceOf(c, worked).since(t, last, "rewrap")

	// A census finds what the first key sealed. It is deleted, as retention does a day later, and then nothing carries it.
	asked := []string{"--key=" + first, "--namespace=payments", "--address=" + s.Temporal.Address, "--rate=1000"}
	disable := append([]string{"keyset", "disable", "ns/payments"}, asked...)
	if run := s.SignetRun(t, disable...); run.Code != 3 || !strings.Contains(run.Stderr, "removes the last of it at") || !strings.Contains(run.Stdout, "Ask again after") {
		t.Fatalf("disable, of a key in use: exit code %d, %s%s", run.Code, run.Stdout, run.Stderr)
	}
	gone := deleteWhatCarries(t, s, raw, l.ids(), first)
	stack.Eventually(t, time.Minute, func() error { // Temporal takes seconds to delete, and longer under load
		if run := s.SignetRun(t, disable...); run.Code != 0 {
			return errors.New(run.Stderr)
		}
		return nil
	})
	last = paceOf(c, worked).since(t, last, "census, disable")
	destroy := append([]string{"keyset", "destroy", "ns/payments"}, asked...)
	s.Signet(t, append(destroy, "--schedule", "--wait="+rotationDelay.String())...)
	time.Sleep(rotationDelay) // what still needed it would fail now
	asDestroyer(t, s, append(destroy, "--carry-out")...)
	last = paceOf(c, worked).since(t, last, "census, destroy in two steps")

	s.Signet(t, "keyset", "policy", "ns/payments", "--rotate-every=4s")
	third := ""
	stack.Eventually(t, 30*time.Second, func() error {
		s.Signet(t, "keyset", "rotate", "--auto")
		if third = c.ring.Status()[0].Primary.String(); third != second {
			return nil
		}
		return fmt.Errorf("the policy has promoted no key")
	})
	sealsWith(t, worked.ring, "ns/payments", third, 10*time.Second)
	time.Sleep(time.Second)
	end := paceOf(c, worked).since(t, last, "rotate --auto")
	count := l.end()
	end.since(t, begun, "the whole life")
	for _, p := range []*process{c, worked} {
		if refused := p.count("signet_payloads_refused"); refused > 0 {
			t.Errorf("%.0f payloads were refused: %v", refused, p.metrics.All("signet_payloads_refused"))
		}
	}

	r := &reader{raw: raw, used: map[string]int{}}
	for _, id := range l.ids() {
		if !gone[id] {
			r.read(t, id)
		}
	}
	t.Logf("%d workflows, none of them failed, %d of them deleted on purpose; payloads that are left by key: %v; workflow tasks failed: %d", count, len(gone), r.used, r.failed)
	if r.failed > 0 {
		t.Errorf("%d workflow tasks failed and were retried", r.failed)
	}
	if r.used[first] > 0 || r.used[second] == 0 || r.used[third] == 0 || len(gone) == 0 {
		t.Errorf("payloads by key: %v, want none with %s and some with %s and %s", r.used, first, second, third)
	}
	for id := range r.histories { // all payloads are opened, and some histories replayed
		if len(r.histories) > replayed {
			delete(r.histories, id)
		}
	}
	r.opens(t, s, s.Ring(t, keys.RingOptions{})) // in a process that starts now
}

// replayed is how many histories are replayed at the end.
const replayed = 30

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
	all.histories = nil // they are not replayed
	all.opens(t, s, s.Ring(t, keys.RingOptions{}))
	return gone
}

// asDestroyer runs signet with the role that may destroy.
func asDestroyer(t *testing.T, s *stack.Stack, args ...string) {
	t.Helper()
	policy, err := vaultstore.Options{}.Policy(vaultstore.RoleDestroyer)
	if err != nil {
		t.Fatal(err)
	}
	s.VaultWrite(t, "sys/policies/acl/signet-destroyer", map[string]any{"policy": policy})
	env := []string{"VAULT_ADDR=" + s.Vault.Address, "VAULT_TOKEN=" + s.VaultToken(t, "signet-destroyer")}
	if run := stack.Exec(t, env, stack.Program(t, "signet"), args...); run.Code != 0 {
		t.Fatalf("signet %v as the destroyer: exit code %d: %s", args, run.Code, run.Stderr)
	}
}
