package companion_test

import (
	"strings"
	"testing"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	"github.com/signet-temporal/signet"
	"github.com/signet-temporal/signet/e2e/stack"
	"github.com/signet-temporal/signet/labels"
)

type patient struct {
	SSN  string `json:"ssn" sensitive:"phi"`
	Ward string `json:"ward"`
}

// TestAHistoryIsReadWithMasks: who lacks a label reads the rest of a history, and is told that it is not all. A program with
// the same login, which does not say that it knows masks, gets nothing.
func TestAHistoryIsReadWithMasks(t *testing.T) {
	s := stack.Start(t, stack.Options{})
	server := s.Server(t, stack.ServerOptions{Grants: []stack.Grant{
		{Name: "doctors", Groups: []string{"payments-oncall"}, Namespaces: []string{namespace}, Actions: []string{"decode"}, Labels: []string{"phi"}},
		{Name: "support", Groups: []string{"orders"}, Namespaces: []string{namespace}, Actions: []string{"decode"}},
	}})
	types, err := labels.NewTypes(labels.Options{})
	if err != nil {
		t.Fatal(err)
	}
	c := s.Client(t, namespace, signet.Options{Labels: types})
	run, err := c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{
		ID: workflowID, TaskQueue: "nobody", Memo: map[string]any{"patient": patient{inputSecret, "7B"}},
	}, "Admission", patient{inputSecret, "7A"})
	if err != nil {
		t.Fatal(err)
	}
	alice, bob := s.Token(t, "alice"), s.Token(t, "bob")

	show := []string{"history", "show", workflowID, "--run-id=" + run.GetRunID()}
	if got := signetAs(t, s, server, alice, show...); got.Code != 0 || strings.Count(got.Stdout, inputSecret) != 2 || strings.Contains(got.Stdout, "masked") {
		t.Errorf("alice reads, with code %d: %s%s", got.Code, got.Stdout, got.Stderr)
	}
	got := signetAs(t, s, server, bob, show...)
	if got.Code != 5 || strings.Contains(got.Stdout+got.Stderr, inputSecret) || !strings.Contains(got.Stderr, "something is masked in 2 payloads") ||
		!strings.Contains(got.Stdout, `{"ssn":"••• masked: phi","ward":"7A"}`) || !strings.Contains(got.Stdout, `{"ssn":"••• masked: phi","ward":"7B"}`) {
		t.Errorf("bob reads, with code %d: %s%s", got.Code, got.Stdout, got.Stderr)
	}

	events := s.ClientWith(t, namespace).GetWorkflowHistory(t.Context(), workflowID, run.GetRunID(), false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	first, err := events.Next()
	if err != nil {
		t.Fatal(err)
	}
	sealed := first.GetWorkflowExecutionStartedEventAttributes().GetInput().GetPayloads()
	for token, want := range map[string]int{alice: 200, bob: 403} {
		if answer := server.Decode(t, token, namespace, sealed...); answer.Status != want || want != 200 && !strings.Contains(answer.Body, `"error":"masked"`) {
			t.Errorf("a program gets %d %s, want %d", answer.Status, answer.Body, want)
		}
	}
	for _, r := range server.Audit(t) {
		shown, masked := strings.Join(r.LabelsShown, " "), strings.Join(r.LabelsMasked, " ")
		if r.Subject == "u-alice" && (shown != "phi" || masked != "") || r.Subject == "u-bob" && (shown != "" || masked != "phi") {
			t.Errorf("on record is %+v", r)
		}
	}
}
