package cli_test

import (
	"strings"
	"testing"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/signet-temporal/signet"
	"github.com/signet-temporal/signet/e2e/stack"
	"github.com/signet-temporal/signet/labels"
	"github.com/signet-temporal/signet/tools/parts"
)

// patient says in the ward which place it was put into.
type patient struct {
	SSN  string `json:"ssn" sensitive:"phi"`
	Ward string `json:"ward"`
}

func admit(_ workflow.Context, p patient) (patient, error) {
	return patient{p.SSN, "ward-result"}, nil
}

// TestAPersonWithoutTheLabelReadsMasksAndAProgramNothing: alice may see phi, bob may not. The command line is a program, until
// whoever types says that a person reads.
func TestAPersonWithoutTheLabelReadsMasksAndAProgramNothing(t *testing.T) {
	t.Parallel()
	w := &world{Stack: stack.Start(t, stack.Options{}), program: stack.Ensure(t, parts.CLI).CLI}
	w.server = w.Server(t, stack.ServerOptions{Grants: []stack.Grant{
		{Name: "doctors", Groups: []string{"payments-oncall"}, Namespaces: []string{namespace}, Actions: []string{"decode"}, Labels: []string{"phi"}},
		{Name: "support", Groups: []string{"orders"}, Namespaces: []string{namespace}, Actions: []string{"decode"}},
	}})
	types, err := labels.NewTypes(labels.Options{})
	if err != nil {
		t.Fatal(err)
	}
	w.client = w.Client(t, namespace, signet.Options{Labels: types})
	wk := worker.New(w.client, taskQueue, worker.Options{})
	wk.RegisterWorkflowWithOptions(admit, workflow.RegisterOptions{Name: "admit"})
	if err := wk.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(wk.Stop)
	run, err := w.client.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{
		ID: workflowID, TaskQueue: taskQueue, Memo: map[string]any{"patient": patient{memoSecret, "ward-memo"}},
	}, "admit", patient{inputSecret, "ward-input"})
	if err == nil {
		err = run.Get(t.Context(), nil)
	}
	if err != nil {
		t.Fatal(err)
	}

	alice, bob := "Bearer "+w.Token(t, "alice"), "Bearer "+w.Token(t, "bob")
	commands := reading()
	commands["result"] = []string{"workflow", "result", "-w", workflowID}
	wards := map[string][]string{
		"show": {"ward-input", "ward-memo", "ward-result"}, "describe": {"ward-memo", "ward-result"}, "list": {"ward-memo"}, "result": {"ward-result"},
	}
	for name, args := range commands {
		t.Run("bob/"+name, func(t *testing.T) {
			out := w.temporal(t, bob, append(args, "--codec-header", "Signet-Accept=masks")...)
			out.prints(t, append(wards[name], "••• masked: phi")...)
			out.holdsNothing(t)
		})
		t.Run("alice/"+name, func(t *testing.T) {
			out := w.temporal(t, alice, args...)
			out.prints(t, wards[name]...)
			if strings.Contains(out.all(), "masked") || !strings.Contains(out.all(), inputSecret) && !strings.Contains(out.all(), memoSecret) {
				t.Errorf("she reads %s", out.Stdout)
			}
		})
	}
	t.Cleanup(func() { // after the commands below
		denied := 0
		for _, r := range w.server.Audit(t) {
			shown, masked := strings.Join(r.LabelsShown, " "), strings.Join(r.LabelsMasked, " ")
			if r.Subject == "u-alice" && (shown != "phi" || masked != "") || r.Subject == "u-bob" && (shown != "" || masked != "phi") {
				t.Errorf("on record is %+v", r)
			}
			if r.Decision == "deny" {
				denied++
			}
		}
		if denied == 0 {
			t.Error("no refusal is on record")
		}
	})
	for name, args := range reading() { // which end when they are refused
		t.Run("bob, as a program/"+name, func(t *testing.T) {
			t.Parallel()
			w.refuses(t, bob, args...)
		})
	}
}
