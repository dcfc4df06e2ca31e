package census_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"

	"github.com/signet-temporal/signet/e2e/stack"
	"github.com/signet-temporal/signet/keys/vaultstore"
)

// answer is what the commands that ask a census print as JSON, as far as it is looked at.
type answer struct {
	Key, Retired, State string
	Steps               []struct{ From, To string }
	NotAsked            []string
	Census              []struct {
		Namespace                                 string
		Workflows, Payloads                       int64
		OpenWorkflows, ClosedWorkflows, Schedules int64
		WorkflowIDs, ScheduleIDs, HeldBy          []string
	}
}

// TestBothStepsOfADestructionAskTemporal: a compromised key is replaced, and the command says what was sealed with it. It
// is not scheduled for destruction while anything carries it, nor destroyed when something came back in the waiting period.
func TestBothStepsOfADestructionAskTemporal(t *testing.T) {
	t.Parallel() // it waits most of its time
	w := newWorld(t)
	w.Signet(t, "keyset", "policy", keyset, "--propagation-delay=1ms")
	old := w.next(t)
	old.create(t, "nightly")
	closed := old.orders(t, "closed", 2, false)
	open := old.orders(t, "open", 1, true)
	w.visible(t, 1, 2)
	id := strings.TrimPrefix(old.key, keyset+"/")
	before := w.census(t)

	// Compromised: what the command counts is what a census counts.
	var said answer
	compromised := []string{"keyset", "rotate", keyset, "--compromised=" + id, "--address=" + w.Temporal.Address}
	decodeAnswer(t, w.Signet(t, append(compromised, "--output=json")...), &said)
	if said.Retired != id || len(said.Census) != 1 {
		t.Fatalf("compromised: %+v", said)
	}
	got, want := said.Census[0], before.key(old.key)
	if got.Namespace != namespace || got.Payloads != want.Payloads || got.OpenWorkflows != 1 || got.ClosedWorkflows != 2 || got.Schedules != 1 || len(got.WorkflowIDs) != 3 {
		t.Errorf("compromised, it counted %+v, and a census %+v", got, want)
	}
	table := w.Signet(t, compromised...)
	for _, text := range []string{"was marked as compromised before", "What was sealed with it until now:", "payloads under key " + id, "1 open, 2 closed, such as ", "schedules  1, such as nightly", "needed     for 1 open workflow, 1 schedule"} {
		if !strings.Contains(table, text) {
			t.Errorf("compromised, it does not say %q:\n%s", text, table)
		}
	}
	old.stop()
	fresh := w.next(t)

	ask := []string{"--key=" + id, "--namespace=" + namespace, "--address=" + w.Temporal.Address}
	refused := func(token, says string, command ...string) answer {
		t.Helper()
		run := w.run(t, token, append(append(command, keyset), ask...)...)
		if run.Code != 3 || !strings.Contains(run.Stderr, says) || strings.Count(run.Stderr, "\n") != 1 {
			t.Errorf("%v: exit code %d, %q, want 3 and %q", command, run.Code, run.Stderr, says)
		}
		var r answer
		if strings.Contains(strings.Join(command, " "), "json") {
			decodeAnswer(t, run.Stdout, &r)
		}
		return r
	}
	custodian := w.Roles.CustodianToken
	refused(custodian, "keeps it for 1 open workflow, 1 schedule", "keyset", "disable")
	w.Signet(t, "keyset", "disable", keyset, "--key="+id) // and asks nobody
	r := refused(custodian, "keeps it for 1 open workflow, 1 schedule: move schedules with \"signet schedules reseal\", let what is open end, then ask again", "keyset", "destroy", "--schedule", "--output=json")
	if len(r.Steps) != 0 || len(r.Census) != 1 || r.Census[0].OpenWorkflows != 1 || strings.Join(r.NotAsked, " ") != elsewhere {
		t.Errorf("refused, it says %+v", r)
	}
	w.Signet(t, "keyset", "enable", keyset, "--key="+id)

	// The schedule moves, the workflow ends, and Temporal forgets them: retention takes a day at least.
	w.reseal(t, 0)
	if err := fresh.SignalWorkflow(t.Context(), open[0], "", "ship", "!"); err != nil {
		t.Fatal(err)
	}
	w.visible(t, 0, 3)
	kept := sealedIn(t, w.all, closed[0], old.key)
	refused(custodian, "removes the last of it at", "keyset", "disable")
	w.remove(t, append(closed, open...)...)
	destroy := append([]string{"keyset", "destroy", keyset}, ask...)
	stack.Eventually(t, patience, func() error {
		if run := w.run(t, custodian, append([]string{"keyset", "disable", keyset}, ask...)...); run.Code != 0 {
			return fmt.Errorf("%s", run.Stderr)
		}
		return nil
	})
	scheduled := w.Signet(t, append(destroy, "--schedule", "--wait=10ms")...)
	for _, text := range []string{"was not met in 0 workflows", "--carry-out --namespace=" + namespace, "Not asked, on the same Temporal: " + elsewhere} {
		if !strings.Contains(scheduled, text) {
			t.Errorf("it does not say %q:\n%s", text, scheduled)
		}
	}

	// In the waiting period something comes back, as a restored backup or a reset brings it.
	if _, err := w.all.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: "back", TaskQueue: "nobody"}, "Order", converter.NewRawValue(kept)); err != nil {
		t.Fatal(err)
	}
	w.visible(t, 1, 0)
	destroyer := w.destroyer(t)
	refused(destroyer, "keeps it for 1 open workflow: let what is open end, then ask again", "keyset", "destroy", "--carry-out")
	w.remove(t, "back")
	stack.Eventually(t, patience, func() error {
		run := w.run(t, destroyer, append(destroy, "--carry-out")...)
		if run.Code != 0 {
			return fmt.Errorf("%s", run.Stderr)
		}
		if !strings.Contains(run.Stdout, "is destroyed, also in earlier versions of the keyset") {
			t.Errorf("it says %s", run.Stdout)
		}
		return nil
	})
}

// run runs signet with a token for Vault.
func (w *world) run(t *testing.T, token string, args ...string) stack.Run {
	t.Helper()
	return stack.Exec(t, []string{"VAULT_ADDR=" + w.Vault.Address, "VAULT_TOKEN=" + token}, stack.Program(t, "signet"), args...)
}

// destroyer is the token of the role that may destroy.
func (w *world) destroyer(t *testing.T) string {
	t.Helper()
	policy, err := vaultstore.Options{}.Policy(vaultstore.RoleDestroyer)
	if err != nil {
		t.Fatal(err)
	}
	w.VaultWrite(t, "sys/policies/acl/signet-destroyer", map[string]any{"policy": policy})
	return w.VaultToken(t, "signet-destroyer")
}

// remove deletes workflows with their histories.
func (w *world) remove(t *testing.T, ids ...string) {
	t.Helper()
	for _, id := range ids {
		if _, err := w.all.WorkflowService().DeleteWorkflowExecution(t.Context(), &workflowservice.DeleteWorkflowExecutionRequest{Namespace: namespace, WorkflowExecution: &commonpb.WorkflowExecution{WorkflowId: id}}); err != nil {
			t.Fatal(err)
		}
	}
}

// sealedIn returns the first argument of a workflow as it is stored.
func sealedIn(t *testing.T, c client.Client, id, key string) *commonpb.Payload {
	t.Helper()
	event, err := c.GetWorkflowHistory(t.Context(), id, "", false, 0).Next()
	if err != nil {
		t.Fatal(err)
	}
	p := event.GetWorkflowExecutionStartedEventAttributes().GetInput().GetPayloads()[0]
	if got := string(p.GetMetadata()["encryption-key-id"]); got != key {
		t.Fatalf("%s has its argument under %s, want %s", id, got, key)
	}
	return p
}

func decodeAnswer(t *testing.T, text string, to *answer) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), to); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
}
