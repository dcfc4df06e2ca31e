package logs_test

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	sdk "go.temporal.io/sdk/converter"

	"github.com/signet-temporal/signet"
	"github.com/signet-temporal/signet/e2e/stack"
)

// well is the day on which nothing fails.
func (h *hospital) well(t *testing.T) {
	t.Helper()
	run := h.start(t, h.worker, "well", h.Well, h.secret("input"))
	answer, err := h.worker.QueryWorkflow(t.Context(), "well", "", "chart", h.secret("question"))
	must(t, err)
	var got string
	must(t, answer.Get(&got))
	update, err := h.worker.UpdateWorkflow(t.Context(), client.UpdateWorkflowOptions{
		WorkflowID: "well", UpdateName: "amend", Args: []any{h.secret("amendment")}, WaitForStage: client.WorkflowUpdateStageCompleted,
	})
	must(t, err)
	must(t, update.Get(t.Context(), &got))
	must(t, h.worker.SignalWorkflow(t.Context(), "well", "", "discharge", h.secret("signal")))
	must(t, run.Get(t.Context(), &got))
	if got != h.secret("result") {
		t.Fatalf("the workflow returned %q", got)
	}
}

// ill is application code that fails, with secrets in its errors.
func (h *hospital) ill(t *testing.T) {
	t.Helper()
	ctx := t.Context()
	options := client.StartWorkflowOptions{ID: "ill", TaskQueue: taskQueue}
	run, err := h.worker.SignalWithStartWorkflow(ctx, "ill", "meet", map[string]string{"At": h.secret("no-time")}, options, h.Ill, h.secret("input"))
	must(t, err)
	if _, err := h.worker.QueryWorkflow(ctx, "ill", "", "chart", h.secret("question")); err == nil {
		t.Error("the query did not fail")
	}
	for _, arg := range []string{"reject", h.secret("amendment")} {
		update, err := h.worker.UpdateWorkflow(ctx, client.UpdateWorkflowOptions{WorkflowID: "ill", UpdateName: "amend", Args: []any{arg}, WaitForStage: client.WorkflowUpdateStageCompleted})
		must(t, err)
		if err := update.Get(ctx, nil); err == nil {
			t.Errorf("the update %q did not fail", arg)
		}
	}
	must(t, h.worker.SignalWorkflow(ctx, "ill", "", "end", nil))
	if err := run.Get(ctx, nil); err == nil || !strings.Contains(err.Error(), h.secret("workflow-error")) {
		t.Errorf("the workflow ended with %v", err)
	}
	h.start(t, h.worker, "panics", h.Panics)
	h.taskFails(t, "panics", "canary")
}

// troubled is trouble of the keys and of whoever writes to Temporal.
func (h *hospital) troubled(t *testing.T) (tampered *commonpb.Payload) {
	t.Helper()
	ctx := t.Context()
	// Plaintext, and a payload that was changed.
	h.start(t, h.raw, "in-clear", "Well", h.secret("in-clear"))
	h.taskFails(t, "in-clear", "payload is not sealed")
	tampered = h.sealed(t, "tampered")
	tampered.Data[len(tampered.Data)-1] ^= 1
	h.start(t, h.raw, "tampered", "Well", sdk.NewRawValue(tampered))
	h.taskFails(t, "tampered", "payload is not authentic")
	// A request that the guard refuses.
	plain, err := sdk.GetDefaultDataConverter().ToPayload(h.secret("guarded"))
	must(t, err)
	_, err = h.worker.WorkflowService().StartWorkflowExecution(ctx, &workflowservice.StartWorkflowExecutionRequest{
		Namespace: "payments", WorkflowId: "guarded", WorkflowType: &commonpb.WorkflowType{Name: "Well"},
		Input: &commonpb.Payloads{Payloads: []*commonpb.Payload{plain}}})
	if err == nil || !strings.Contains(err.Error(), "refused to send") {
		t.Errorf("the guard says %v", err)
	}
	// Vault is away, and a key is used meanwhile that the worker does not have.
	h.proxy.Cut()
	if err := h.ring.Refresh(ctx); err == nil {
		t.Error("refreshed without Vault")
	}
	h.Rotate(t, "ns/payments")
	h.Promote(t, "ns/payments", "--force")
	must(t, h.fresh.Refresh(ctx))
	sender := h.ClientWith(t, "payments", h.Plugin(t, h.fresh, signet.Options{}))
	run := h.start(t, sender, "key-away", h.Well, h.secret("input"))
	h.taskFails(t, "key-away", "key is not available")
	stack.Eventually(t, 20*time.Second, func() error {
		for _, want := range []string{"keyset refresh failed", "a payload needs a key that does not open here"} {
			if !bytes.Contains(h.ringLog.bytes(), []byte(want)) {
				return fmt.Errorf("the ring has not logged %q", want)
			}
		}
		return nil
	})
	h.proxy.Mend()
	must(t, sender.SignalWorkflow(ctx, "key-away", "", "discharge", h.secret("signal")))
	must(t, run.Get(ctx, nil))
	return tampered
}

// operators use the codec server and the CLI, rightly and wrongly.
func (h *hospital) operators(t *testing.T, tampered *commonpb.Payload) (servers []*stack.Server) {
	t.Helper()
	good, p := h.sealed(t, "well"), "payments"
	plain, err := sdk.GetDefaultDataConverter().ToPayload(h.secret("posted"))
	must(t, err)
	alice, bob := h.Login(t, h.OIDC, "alice", stack.OpsClient, stack.Audience), h.Token(t, "bob")
	parts := strings.Split(alice.Access, ".")
	tokens := map[string]string{
		"alice": alice.Access, "alice's ID token": alice.ID, "bob": bob,
		"of another audience": h.Login(t, h.OIDC, "alice", stack.OpsClient, "another-service").Access,
		"with bob's claims":   parts[0] + "." + strings.Split(bob, ".")[1] + "." + parts[2],
		"unsigned":            "eyJhbGciOiJub25lIn0." + parts[1] + ".",
		"no token":            "let-me-in-" + rand.Text(),
	}
	for what, token := range tokens {
		h.secrets.addToken("token "+what, token)
	}
	h.secrets.add("alice's address", []byte("alice@example.com"))
	for _, mode := range []string{"explain", "strict"} {
		server := h.Server(t, stack.ServerOptions{Mode: mode, RefreshInterval: time.Second})
		servers = append(servers, server)
		if opened := server.Decode(t, alice.Access, p, good); opened.Status != http.StatusOK || !strings.Contains(string(opened.Payloads[0].GetData()), h.secret("well")) {
			t.Errorf("alice gets %d %s", opened.Status, opened.Body)
		}
		for what, token := range tokens {
			for _, payload := range []*commonpb.Payload{good, tampered, plain} {
				answer := server.Decode(t, token, p, payload)
				if what != "alice" && payload == good && answer.Status == http.StatusOK {
					t.Errorf("a token %s gets %s", what, answer.Body)
				}
				server.Codec(t, stack.CodecRequest{Action: "/encode", Token: token, Namespace: "orders", Payloads: []*commonpb.Payload{payload}})
			}
		}
		h.garbage(t, server, alice.Access)
	}
	h.cli(t, "keyset", "status")
	h.cli(t, "keyset", "rotate", "ns/payments")
	h.cli(t, "keyset", "rotate", "ns/payments")
	h.cli(t, "keyset", "rotate", "--auto", "--plan", "--output=json")
	h.cli(t, "keyset", "promote", "ns/payments", "--force", "--plan")
	h.cli(t, "keyset", "rewrap", "ns/payments", "--output=json")
	h.cli(t, "keyset", "disable", "ns/payments", "--key=00000001")
	h.cli(t, "keyset", "list", "--output=json")
	h.cli(t, "vault", "setup")
	h.cli(t, "keyset", "status", "ns/payments", "--output=json")
	for _, payload := range []*commonpb.Payload{good, tampered, plain} {
		text, err := json.Marshal(payload)
		must(t, err)
		h.cli(t, "payload", "inspect", h.WriteFile(t, "payload.json", string(text)))
	}
	stranger := "hvs." + rand.Text()
	h.secrets.add("a Vault token that is none", []byte(stranger))
	run := stack.Exec(t, []string{"VAULT_ADDR=" + h.Vault.Address, "VAULT_TOKEN=" + stranger}, stack.Program(t, "signet"), "keyset", "status")
	fmt.Fprint(&h.commands, run.Stdout, run.Stderr)
	return servers
}

// garbage is a body that is no request, with a secret in it.
func (h *hospital) garbage(t *testing.T, server *stack.Server, token string) {
	t.Helper()
	for _, body := range []string{h.secret("garbage"), `{"payloads":[{"metadata":{"` + h.secret("key") + `":"AA=="},"data":"` + h.secret("data") + `"}]}`} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/decode", strings.NewReader(body))
		must(t, err)
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Authorization", "Bearer "+token)
		res, err := server.HTTP.Do(req)
		must(t, err)
		must(t, res.Body.Close())
	}
}

// TestNothingSecretIsLogged: in good days and bad ones, the logs of ring, plugin, codec server and CLI hold no payload,
// token, claim or key. The SDK's worker logs errors of the application's code, in exactly the lines that
// docs/threat-model.md names, and with the recipe given there it does not.
func TestNothingSecretIsLogged(t *testing.T) {
	h := open(t)
	stop := standard(t)
	h.well(t)
	quiet := h.sdkLog.bytes()
	h.ill(t)
	tampered := h.troubled(t)
	servers := h.operators(t, tampered)
	must(t, h.Vault.Seal(t.Context())) // the server's ring cannot refresh any more
	stack.Eventually(t, 20*time.Second, func() error {
		if !strings.Contains(servers[0].Log(), "keyset refresh failed") {
			return errors.New("the server has not noticed that Vault is sealed")
		}
		return nil
	})
	must(t, h.Vault.Unseal(t.Context()))
	h.secrets.addKeys(t, h.Stack, "ns/payments")
	if n := len(h.secrets); n < 15 {
		t.Errorf("only %d secrets are looked for", n)
	}

	logs := map[string][]byte{
		"the ring": h.ringLog.bytes(), "slog's default": h.slogLog.bytes(), "the CLI": h.commands.bytes(), "standard output": stop(),
		"the SDK, when all is well": quiet, "the SDK, with the recipe": h.safeLog.bytes(),
	}
	for _, server := range servers {
		logs["signet-server "+server.ConfigFile] = []byte(server.Log())
	}
	token := regexp.MustCompile(`\bhv[sbr]\.[A-Za-z0-9_-]{20}|\beyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}`) // tokens that this test does not know
	for _, name := range slices.Sorted(maps.Keys(logs)) {
		for line := range bytes.Lines(logs[name]) {
			if shown := h.secrets.shown(line); shown != nil || token.Match(line) {
				t.Errorf("%s logs %q: %.400s", name, shown, line)
			}
		}
		t.Logf("%s: %d bytes", name, len(logs[name]))
	}
	h.namedInTheDocumentation(t)
}

// namedInTheDocumentation compares the SDK's lines that hold a secret with those that docs/threat-model.md lists.
func (h *hospital) namedInTheDocumentation(t *testing.T) {
	t.Helper()
	found := map[string]bool{}
	for lines := bufio.NewScanner(bytes.NewReader(h.sdkLog.bytes())); lines.Scan(); {
		var line map[string]any
		must(t, json.Unmarshal(lines.Bytes(), &line))
		for key, value := range line {
			if shown := h.secrets.shown([]byte(fmt.Sprint(value))); shown != nil {
				message := strings.Replace(fmt.Sprint(line["msg"]), "channel meet.", "channel …", 1)
				found[message+": "+key] = true
				// Of the workflows that do not fail by themselves nothing may show, in signet's own errors either.
				if id := line["WorkflowID"]; id != "ill" && id != "panics" || !slices.Equal(shown, []string{"payload"}) {
					t.Errorf("the SDK logs %q: %.600s", shown, lines.Bytes())
				}
			}
		}
	}
	page, err := os.ReadFile("../../docs/threat-model.md")
	must(t, err)
	source, err := os.ReadFile("world_test.go")
	must(t, err)
	_, recipe, _ := bytes.Cut(source, []byte("\nfunc withoutErrors("))
	recipe, _, _ = bytes.Cut(recipe, []byte("\n}\n"))
	if !bytes.Contains(page, append([]byte("\nfunc withoutErrors("), recipe...)) {
		t.Error("the documentation does not show the recipe as it stands here")
	}
	_, page, _ = bytes.Cut(page, []byte("## Logs of your workers"))
	page, _, _ = bytes.Cut(page, []byte("\n## "))
	named := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\| `([^`]+)`").FindAllSubmatch(page, -1) {
		named[fmt.Sprintf("%s: %s", m[1], m[2])] = true
	}
	if !maps.Equal(found, named) {
		t.Errorf("the SDK shows secrets in\n%s\nthe documentation names\n%s",
			strings.Join(slices.Sorted(maps.Keys(found)), "\n"), strings.Join(slices.Sorted(maps.Keys(named)), "\n"))
	}
}
