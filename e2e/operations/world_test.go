package operations_test

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/signet-temporal/signet"
	"github.com/signet-temporal/signet/e2e/stack"
	"github.com/signet-temporal/signet/keys"
	"github.com/signet-temporal/signet/keys/vaultstore"
)

const (
	namespace = "payments"
	keyset    = "ns/" + namespace
	taskQueue = "orders"
	patience  = time.Minute
)

// Order returns its item, and waits for the signal "ship" before if it is told to.
func Order(ctx workflow.Context, item string, waits bool) (string, error) {
	if waits {
		workflow.GetSignalChannel(ctx, "ship").Receive(ctx, nil)
	}
	return item, nil
}

// preparation is what happens between two commands of the page: time passes, work is done, things are lost.
type preparation struct {
	before string // the command, without key ids
	do     func(*testing.T)
}

type world struct {
	*stack.Stack
	dir          string
	destroyer    string // token
	raw, app     client.Client
	ring         *keys.Ring
	preparations []preparation
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{Stack: stack.Start(t, stack.Options{Namespaces: []string{namespace, "orders"}, WithoutOIDC: true}), dir: t.TempDir()}
	policy, err := vaultstore.Options{}.Policy(vaultstore.RoleDestroyer)
	if err != nil {
		t.Fatal(err)
	}
	w.VaultWrite(t, "sys/policies/acl/signet-destroyer", map[string]any{"policy": policy})
	w.destroyer = w.VaultToken(t, "signet-destroyer")
	w.raw = w.ClientWith(t, namespace)
	w.preparations = []preparation{
		{"signet keyset create ns/payments", w.loseKeyset},
		{"signet keyset rotate ns/payments", w.begin},
		{"signet keyset promote ns/payments --plan", w.anHourPasses},
		{"signet keyset promote ns/payments", func(t *testing.T) {}},
		{"signet keyset promote ns/payments", func(t *testing.T) { w.Rotate(t, keyset) }},
		{"signet keyset policy ns/payments --rotate-every=720h", w.giveUp},
		{"signet keyset rotate ns/payments --compromised=#", w.work},
		{"signet keyset disable ns/payments --key=# --namespace=payments", w.anHourPasses},
		{"signet keyset disable ns/payments --key=# --namespace=payments", w.end},
		{"signet keyset destroy ns/payments --key=# --carry-out --namespace=payments", w.aWeekPasses},
		{"signet keyset restore --file=keysets-2026-11-26.json", w.loseKeyset},
		{"signet vault setup", w.policies},
		{"signet keyset restore --file=keysets-2026-11-26.json --forward", w.snapshot},
	}
	return w
}

// run runs a command of the page and returns what a terminal shows.
func (w *world) run(t *testing.T, shown, command string) []string {
	t.Helper()
	if len(w.preparations) > 0 && w.preparations[0].before == idPattern.ReplaceAllString(shown, "#") {
		w.preparations[0].do(t)
		w.preparations = w.preparations[1:]
	}
	words := strings.Fields(command)
	if words[0] == "vault" {
		w.vault(t, words[1:])
		return nil
	}
	token := w.Roles.CustodianToken
	switch {
	case strings.Contains(command, "--carry-out"):
		token = w.destroyer
	case words[1] == "schedules", words[2] == "verify":
		token = w.Roles.WorkerToken
	case words[1] == "vault":
		token = w.Vault.Token
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, stack.Program(t, words[0]), words[1:]...)
	cmd.Dir = w.dir
	cmd.Env = []string{"HOME=" + w.dir, "TZ=UTC", "GORACE=atexit_sleep_ms=10", "VAULT_ADDR=" + w.Vault.Address, "VAULT_TOKEN=" + token, "TEMPORAL_ADDRESS=" + w.Temporal.Address}
	var terminal strings.Builder
	cmd.Stdout, cmd.Stderr = &terminal, &terminal
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s: %v", command, err)
	}
	text := strings.NewReplacer(w.Temporal.Address, "localhost:7233", w.Vault.Address, "https://vault.example.com:8200").Replace(terminal.String())
	return strings.Split(strings.TrimSuffix(text, "\n"), "\n")
}

// vault does what the vault command does with "write".
func (w *world) vault(t *testing.T, words []string) {
	t.Helper()
	words = slices.DeleteFunc(words, func(word string) bool { return word == "-f" })
	data := map[string]any{}
	for _, pair := range words[2:] {
		name, value, _ := strings.Cut(pair, "=")
		data[name] = value
	}
	if words[0] != "write" {
		t.Fatalf("vault %v is not known here", words)
	}
	w.VaultWrite(t, words[1], data)
}

func (w *world) loseKeyset(t *testing.T) {
	w.VaultWrite(t, "secret/data/signet/keysets/"+keyset, map[string]any{"data": map[string]any{}}) // the versions before are there until it is deleted
	c, err := vaultstore.NewClient(vaultstore.ClientOptions{Address: w.Vault.Address})
	if err != nil {
		t.Fatal(err)
	}
	c.SetToken(w.Vault.Token)
	if _, err := c.Logical().DeleteWithContext(t.Context(), "secret/metadata/signet/keysets/"+keyset); err != nil {
		t.Fatal(err)
	}
}

// change rewrites the keyset's document.
func (w *world) change(t *testing.T, do func(*keys.Keyset)) {
	t.Helper()
	store := w.Store(t, "", w.Roles.CustodianToken)
	k, version, err := store.Fetch(t.Context(), keyset)
	if err != nil {
		t.Fatal(err)
	}
	do(k)
	if _, err := store.Replace(t.Context(), k, version); err != nil {
		t.Fatal(err)
	}
}

func (w *world) anHourPasses(t *testing.T) {
	w.change(t, func(k *keys.Keyset) {
		for i := range k.Keys {
			for _, at := range []*time.Time{&k.Keys[i].Created, &k.Keys[i].Promoted, &k.Keys[i].Retired} {
				if !at.IsZero() {
					*at = at.Add(-time.Hour)
				}
			}
		}
	})
}

func (w *world) aWeekPasses(t *testing.T) {
	w.change(t, func(k *keys.Keyset) {
		for i := range k.Keys {
			if !k.Keys[i].DestroyAfter.IsZero() {
				k.Keys[i].DestroyAfter = time.Now()
			}
		}
	})
}

// giveUp retires the pending key.
func (w *world) giveUp(t *testing.T) {
	w.change(t, func(k *keys.Keyset) {
		k.Keys = slices.DeleteFunc(k.Keys, func(key keys.Key) bool { return key.State == keys.Pending })
	})
}

// snapshot puts the keyset into a state that it had before: without its newest key.
func (w *world) snapshot(t *testing.T) {
	w.change(t, func(k *keys.Keyset) {
		last := k.Primary().ID
		k.Keys = slices.DeleteFunc(k.Keys, func(key keys.Key) bool { return key.ID == last })
		key := &k.Keys[len(k.Keys)-1]
		key.State, key.Retired, key.Compromised = keys.Primary, time.Time{}, time.Time{}
	})
}

// policies writes those of all roles but one, which is younger than the snapshot.
func (w *world) policies(t *testing.T) {
	for _, role := range vaultstore.Roles() {
		policy, err := vaultstore.Options{}.Policy(role)
		if err != nil {
			t.Fatal(err)
		}
		if role != vaultstore.RoleAuditor {
			w.VaultWrite(t, "sys/policies/acl/signet-"+string(role), map[string]any{"policy": policy})
		}
	}
}

// begin starts an application: a worker, workflows, a schedule.
func (w *world) begin(t *testing.T) {
	t.Helper()
	w.ring = w.Ring(t, keys.RingOptions{RefreshInterval: time.Second})
	w.app = w.ClientWith(t, namespace, w.Plugin(t, w.ring, signet.Options{}))
	worker := worker.New(w.app, taskQueue, worker.Options{})
	worker.RegisterWorkflow(Order)
	if err := worker.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(worker.Stop)
	w.order(t, "order-1", false)
	w.order(t, "order-2", false)
	w.order(t, "order-3", true)
	if _, err := w.app.ScheduleClient().Create(t.Context(), client.ScheduleOptions{ID: "nightly", Paused: true, Action: &client.ScheduleWorkflowAction{ID: "nightly", Workflow: Order, Args: []any{"tea", false}, TaskQueue: taskQueue}}); err != nil {
		t.Fatal(err)
	}
}

func (w *world) order(t *testing.T, id string, waits bool) {
	t.Helper()
	run, err := w.app.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: id, TaskQueue: taskQueue}, Order, "tea", waits)
	if err == nil && !waits {
		err = run.Get(t.Context(), nil)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// work has the primary key seal something.
func (w *world) work(t *testing.T) {
	t.Helper()
	store := w.Store(t, "", w.Roles.CustodianToken)
	k, _, err := store.Fetch(t.Context(), keyset)
	if err != nil {
		t.Fatal(err)
	}
	stack.Eventually(t, patience, func() error {
		for _, status := range w.ring.Status() {
			if status.Name == keyset && status.Primary != k.Primary().ID {
				return fmt.Errorf("the ring seals with %s", status.Primary)
			}
		}
		return nil
	})
	w.order(t, "order-4", false)
	w.listed(t, 1, 3)
}

// listed waits until Temporal lists as many workflows and the schedule.
func (w *world) listed(t *testing.T, open, closed int64) {
	t.Helper()
	for query, want := range map[string]int64{"ExecutionStatus = 'Running'": open, "ExecutionStatus != 'Running'": closed} {
		stack.Eventually(t, patience, func() error {
			count, err := w.raw.CountWorkflow(t.Context(), &workflowservice.CountWorkflowExecutionsRequest{Namespace: namespace, Query: query})
			if err == nil && count.GetCount() != want {
				err = fmt.Errorf("%d workflows with %s, want %d", count.GetCount(), query, want)
			}
			return err
		})
	}
	stack.Eventually(t, patience, func() error {
		list, err := w.raw.WorkflowService().ListSchedules(t.Context(), &workflowservice.ListSchedulesRequest{Namespace: namespace})
		if err == nil && len(list.GetSchedules()) != 1 {
			err = fmt.Errorf("%d schedules", len(list.GetSchedules()))
		}
		return err
	})
}

// end lets the open workflow end, and Temporal forget what is closed, as retention does.
func (w *world) end(t *testing.T) {
	t.Helper()
	if err := w.app.SignalWorkflow(t.Context(), "order-3", "", "ship", nil); err != nil {
		t.Fatal(err)
	}
	if err := w.app.GetWorkflow(t.Context(), "order-3", "").Get(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	for n := range 3 {
		if _, err := w.raw.WorkflowService().DeleteWorkflowExecution(t.Context(), &workflowservice.DeleteWorkflowExecutionRequest{
			Namespace: namespace, WorkflowExecution: &commonpb.WorkflowExecution{WorkflowId: fmt.Sprintf("order-%d", n+1)},
		}); err != nil {
			t.Fatal(err)
		}
	}
	w.listed(t, 0, 1)
}
