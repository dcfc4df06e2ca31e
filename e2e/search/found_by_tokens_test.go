// Package search_test finds workflows by values that Temporal has never seen.
package search_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/signet-temporal/signet"
	"github.com/signet-temporal/signet/converter"
	"github.com/signet-temporal/signet/e2e/stack"
	"github.com/signet-temporal/signet/keys"
)

const (
	attribute = "PatientSSN"
	searches  = "search/payments"
	ssn       = "078051120"
	otherSSN  = "219099999"
	patience  = 30 * time.Second
)

// world is a stack with search keys, a signet-server that makes tokens, and a client that stores them.
type world struct {
	*stack.Stack
	*testing.T
	server *stack.Server
	ring   *keys.Ring
	tokens *converter.SearchTokens
	client client.Client
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{T: t, Stack: stack.Start(t, stack.Options{Namespaces: []string{"payments"}, PropagationDelay: time.Second})}
	w.Signet(t, "keyset", "create", searches, "--type=HMAC_SHA256_PRF", "--propagation-delay=1s")
	w.server = w.Server(t, stack.ServerOptions{SearchKeyset: searches, RefreshInterval: time.Second, Grants: []stack.Grant{
		{Name: "front-desk", Groups: []string{"payments-oncall"}, Namespaces: []string{"payments"}, Actions: []string{"search"}},
	}})
	w.ring = w.Ring(t, keys.RingOptions{Keysets: []string{stack.Keyset("payments"), searches}})
	var err error
	if w.tokens, err = converter.NewSearchTokens(w.ring, converter.SearchTokenOptions{Keyset: searches, Scope: "payments"}); err != nil {
		t.Fatal(err)
	}
	w.client = w.ClientWith(t, "payments", w.Plugin(t, w.ring, signet.Options{}))
	_, err = w.client.OperatorService().AddSearchAttributes(t.Context(), &operatorservice.AddSearchAttributesRequest{
		Namespace: "payments", SearchAttributes: map[string]enumspb.IndexedValueType{attribute: enumspb.INDEXED_VALUE_TYPE_KEYWORD}})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// admit starts a workflow with the token of the value, and the value in its input, sealed. It returns the token.
func (w *world) admit(id, value string) string {
	w.Helper()
	token, err := w.tokens.SearchToken(attribute, value)
	if err != nil {
		w.Fatal(err)
	}
	key := temporal.NewSearchAttributeKeyKeyword(attribute)
	stack.Eventually(w.T, patience, func() error { // the server has to hear of a new attribute
		_, err := w.client.ExecuteWorkflow(w.Context(), client.StartWorkflowOptions{
			ID: id, TaskQueue: "nobody", TypedSearchAttributes: temporal.NewSearchAttributes(key.ValueSet(token)),
		}, "admission", value)
		return err
	})
	return token
}

// found waits until a list of workflows by the query is ids.
func (w *world) found(query string, ids ...string) {
	w.Helper()
	stack.Eventually(w.T, patience, func() error {
		answer, err := w.client.ListWorkflow(w.Context(), &workflowservice.ListWorkflowExecutionsRequest{Namespace: "payments", Query: query})
		if err != nil {
			return err
		}
		var got []string
		for _, e := range answer.GetExecutions() {
			got = append(got, e.GetExecution().GetWorkflowId())
		}
		slices.Sort(got)
		if !slices.Equal(got, ids) {
			return fmt.Errorf("%s finds %v, want %v", query, got, ids)
		}
		return nil
	})
}

// ask is the query of `signet search-token`, to whom the value is piped.
func (w *world) ask(value string) string {
	w.Helper()
	cmd := exec.CommandContext(w.Context(), stack.Program(w.T, "signet"), "search-token", "--namespace=payments", "--attribute="+attribute, "--query")
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + w.TempDir(), "VAULT_ADDR=" + w.Vault.Address, "VAULT_TOKEN=" + w.Roles.WorkerToken}
	cmd.Stdin = strings.NewReader(value + "\n")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		w.Fatalf("signet search-token: %v: %s", err, &stderr)
	}
	return strings.TrimSpace(string(out))
}

// request asks the endpoint as user; "" is nobody.
func (w *world) request(user, value string) (status int, query string) {
	w.Helper()
	question, err := json.Marshal(map[string]string{"attribute": attribute, "value": value})
	if err != nil {
		w.Fatal(err)
	}
	r, err := http.NewRequestWithContext(w.Context(), http.MethodPost, w.server.URL+"/search-token", bytes.NewReader(question))
	if err != nil {
		w.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Namespace", "payments")
	if user != "" {
		r.Header.Set("Authorization", "Bearer "+w.Token(w.T, user))
	}
	res, err := w.server.HTTP.Do(r)
	if err != nil {
		w.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		w.Fatal(err)
	}
	var answer struct{ Query string }
	if res.StatusCode == http.StatusOK && json.Unmarshal(text, &answer) != nil {
		w.Fatalf("the answer is %s", text)
	}
	if strings.Contains(string(text), value) {
		w.Errorf("the answer holds the value: %s", text)
	}
	return res.StatusCode, answer.Query
}

// both waits until the endpoint, whose server reads the keys every second, asks for the same as the command, and returns it.
func (w *world) both(value string) (query string) {
	w.Helper()
	query = w.ask(value)
	stack.Eventually(w.T, patience, func() error {
		if status, got := w.request("alice", value); status != http.StatusOK || got != query {
			return fmt.Errorf("the endpoint says %d %s, the command %s", status, got, query)
		}
		return nil
	})
	return query
}

// TestAWorkflowIsFoundByAValueThatTemporalHasNotSeen, by the command and by the endpoint, and stays so when the keys rotate.
func TestAWorkflowIsFoundByAValueThatTemporalHasNotSeen(t *testing.T) {
	w := newWorld(t)
	first := w.admit("ada-1", ssn)
	if again := w.admit("ada-2", ssn); again != first {
		t.Errorf("tokens of one value are %s and %s", first, again)
	}
	w.admit("ben-1", otherSSN)
	if err := w.client.TerminateWorkflow(t.Context(), "ada-1", "", "a closed one has to be found as well"); err != nil {
		t.Fatal(err)
	}
	w.found(w.both(ssn), "ada-1", "ada-2")
	w.found(w.both(otherSSN), "ben-1")
	w.found(w.both("000000000"))

	// A key that is pending is searched with already: some writer may have promoted it.
	w.Rotate(t, searches)
	if query := w.both(ssn); strings.Count(query, "', '") != 1 {
		t.Errorf("with a pending key the query is %s", query)
	}
	w.Promote(t, searches, "--force")
	if err := w.ring.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if second := w.admit("ada-3", ssn); second == first {
		t.Errorf("the new key makes the same token %s", second)
	}
	w.found(w.both(ssn), "ada-1", "ada-2", "ada-3")
	w.found(w.both(otherSSN), "ben-1")
	w.found(fmt.Sprintf("%s = '%s'", attribute, first), "ada-1", "ada-2") // so it does take both tokens

	w.checkRecords()
	w.storedNowhere()
}

// checkRecords: searches are under policy and on record, without values and tokens.
func (w *world) checkRecords() {
	w.Helper()
	for user, want := range map[string]int{"bob": http.StatusForbidden, "": http.StatusUnauthorized} {
		if status, query := w.request(user, ssn); status != want || query != "" {
			w.Errorf("%q gets %d %s", user, status, query)
		}
	}
	denied := 0
	for _, r := range w.server.Audit(w.T) {
		switch {
		case r.Action != "search":
			w.Errorf("on record is %+v", r)
		case r.Subject == "u-alice":
			if r.Decision != "allow" || r.Rule != "front-desk" || r.Namespace != "payments" || r.Attribute != attribute {
				w.Errorf("on record is %+v", r)
			}
		default:
			denied++
			if r.Decision != "deny" || r.Reason != map[string]string{"u-bob": "not-granted", "": "missing-token"}[r.Subject] {
				w.Errorf("on record is %+v", r)
			}
		}
	}
	if denied != 2 {
		w.Errorf("%d refusals are on record", denied)
	}
	text, err := os.ReadFile(w.server.AuditFile)
	if err != nil {
		w.Fatal(err)
	}
	token, err := w.tokens.SearchToken(attribute, ssn)
	if err != nil {
		w.Fatal(err)
	}
	for _, secret := range []string{ssn, otherSSN, token} {
		if strings.Contains(string(text)+w.server.Log(), secret) {
			w.Errorf("the audit log or the server's log holds %q", secret)
		}
	}
}

// storedNowhere reads the files of Temporal's database.
func (w *world) storedNowhere() {
	w.Helper()
	var all []byte
	for _, file := range w.Temporal.Files() {
		text, err := os.ReadFile(file)
		if err != nil {
			w.Fatal(err)
		}
		all = append(all, text...)
	}
	if !bytes.Contains(all, []byte("ada-3")) {
		w.Error("nothing names the workflow: this is not what Temporal has stored")
	}
	for _, secret := range []string{ssn, otherSSN} {
		if bytes.Contains(all, []byte(secret)) {
			w.Errorf("Temporal has stored %q", secret)
		}
	}
}
