// Package ui drives the real Web UI in a real browser, in two of its versions, against signet-server. There is nothing
// here but tests. What the browser showed lies in .parts/screenshots afterwards, by the name of the test.
package ui

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/signet-temporal/signet"
	"github.com/signet-temporal/signet/e2e/stack"
	"github.com/signet-temporal/signet/tools/parts"
)

// What the workflow carries and only the right people may read.
const (
	inputSecret    = "planted-input-7c1e"
	resultSecret   = "planted-result-52ab"
	memoSecret     = "planted-memo-90fd"
	summarySecret  = "planted-summary-13c8"
	signalSecret   = "planted-signal-6b04"
	activitySecret = "planted-activity-e2d9"
	failureSecret  = "planted-failure-48a7"
	detailSecret   = "planted-detail-0f35"
)

var secrets = []string{inputSecret, resultSecret, memoSecret, summarySecret, signalSecret, activitySecret, failureSecret, detailSecret}

const (
	taskQueue  = "intake"
	workflowID = "intake-4711"
	contact    = "Ask #payments-oncall for access."
)

type intake struct {
	Patient string `json:"patient"`
}

// runIntake has a signal, an activity that fails for good, and a result.
func runIntake(ctx workflow.Context, _ intake) (string, error) {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: time.Minute,
		RetryPolicy:         &temporal.RetryPolicy{MaximumAttempts: 1},
	})
	var note string
	workflow.GetSignalChannel(ctx, "note").Receive(ctx, &note)
	if err := workflow.ExecuteActivity(ctx, decline, activitySecret).Get(ctx, nil); err == nil {
		return "", errors.New("the activity did not fail")
	}
	return resultSecret, nil
}

func decline(string) error {
	return temporal.NewNonRetryableApplicationError(failureSecret, "Declined", nil, detailSecret)
}

// version is a version of the Web UI.
type version string

const (
	ui258 version = "v2.58.0" // a failed decode shows ciphertext and one banner
	ui253 version = "v2.53.3" // a failed decode shows an error in place
)

func versions() []version { return []version{ui258, ui253} }

// setting is what a Web UI server is told.
type setting struct {
	withoutCodec bool
	withoutLogin bool
	otherIssuer  bool // people log in at an OpenID provider that signet-server does not know
	cookies      bool // people log in to signet-server, and the Web UI has browsers send its cookie

	sentence string // what it says when the codec server refuses
}

// world is a stack with a signet-server, and in the namespace payments one completed workflow, sealed throughout.
type world struct {
	*stack.Stack
	server *stack.Server
	asked  stack.ServerOptions // of the server
	runID  string
	uis    map[version]map[setting]string // addresses of Web UI servers

	sealedInput, sealedMemo string // the data of these payloads in Temporal, in base64: what a page shows of ciphertext
}

// newWorld starts everything, with a Web UI of each version for each of the settings.
func newWorld(t *testing.T, o stack.ServerOptions, settings ...setting) *world {
	t.Helper()
	var parted stack.Options
	if o.Login != nil {
		parted.Keysets = []string{stack.LoginKeyset}
	}
	w := &world{Stack: stack.Start(t, parted), uis: map[version]map[setting]string{}}
	var err error
	// The Web UIs want to know the server's address, and the server the origins of the Web UIs.
	if o.Port, err = parts.FreePort(); err != nil {
		t.Fatal(err)
	}
	for _, v := range versions() {
		w.uis[v] = map[setting]string{}
		for _, s := range settings {
			codec := fmt.Sprintf("https://127.0.0.1:%d", o.Port)
			if s.cookies {
				codec = o.Login.URL
			}
			w.uis[v][s] = w.startUI(t, v, s, codec)
			if s.cookies { // on the same site as the codec server, which knows both of its names
				o.Origins = append(o.Origins, w.uis[v][s])
				w.uis[v][s] = strings.Replace(w.uis[v][s], "127.0.0.1", "localhost", 1)
			}
			o.Origins = append(o.Origins, w.uis[v][s])
		}
	}
	o.Contact = contact
	w.server, w.asked = w.Server(t, o), o
	c := w.worker(t, "payments", func(r worker.Registry) {
		r.RegisterWorkflowWithOptions(runIntake, workflow.RegisterOptions{Name: "intake"})
		r.RegisterActivity(decline)
	})
	run, err := c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{
		ID: workflowID, TaskQueue: taskQueue, Memo: map[string]any{"ward": memoSecret}, StaticSummary: summarySecret,
	}, "intake", intake{Patient: inputSecret})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.SignalWorkflow(t.Context(), workflowID, "", "note", signalSecret); err != nil {
		t.Fatal(err)
	}
	var result string
	if err := run.Get(t.Context(), &result); err != nil || result != resultSecret {
		t.Fatalf("the workflow ended with %q, %v", result, err)
	}
	w.runID = run.GetRunID()
	w.sealedInput = base64.StdEncoding.EncodeToString(w.firstEvent(t, "payments", workflowID).GetInput().GetPayloads()[0].GetData())
	w.sealedMemo = base64.StdEncoding.EncodeToString(w.firstEvent(t, "payments", workflowID).GetMemo().GetFields()["ward"].GetData())
	return w
}

// worker starts a worker that seals, and returns its client.
func (w *world) worker(t *testing.T, namespace string, register func(worker.Registry)) client.Client {
	t.Helper()
	c := w.Client(t, namespace, signet.Options{})
	wk := worker.New(c, taskQueue, worker.Options{})
	register(wk)
	if err := wk.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(wk.Stop)
	return c
}

// startUI starts the server of a Web UI and returns its address.
func (w *world) startUI(t *testing.T, v version, s setting, codec string) string {
	t.Helper()
	paths := stack.Ensure(t, parts.TemporalServer, parts.UI258, parts.UI253)
	config := parts.UIConfig{
		Temporal: w.Temporal.Address, DefaultNamespace: "payments",
		Assets: map[version]string{ui258: paths.UI258, ui253: paths.UI253}[v],
	}
	if !s.withoutCodec {
		config.Codec = parts.UICodec{Endpoint: codec, PassAccessToken: !s.cookies, IncludeCredentials: s.cookies, DefaultErrorMessage: s.sentence}
	}
	provider := w.OIDC
	if s.otherIssuer {
		provider = w.StartOIDC(t)
	}
	if !s.withoutLogin {
		config.Auth = &parts.UIAuth{
			ProviderURL: provider.Issuer, ClientID: stack.UIClient, ClientSecret: stack.UISecret,
			Scopes:  []string{"openid", "profile", "email", "offline_access"},
			Options: map[string]string{"audience": stack.Audience},
		}
	}
	ui, err := parts.StartUI(t.Context(), parts.UIOptions{Program: paths.Temporal, Config: config})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := ui.Stop(); err != nil {
			t.Error(err)
		}
	})
	return ui.URL
}

// page is the address of a tab of the workflow, such as history.
func (w *world) page(ui, tab string) string {
	return fmt.Sprintf("%s/namespaces/payments/workflows/%s/%s/%s", ui, url.PathEscape(workflowID), w.runID, tab)
}

// logIn opens a page and logs in on the way, as a person does.
func (b *browser) logIn(page, user string) {
	b.t.Helper()
	b.open(page)
	b.click(`//button[contains(., "Continue to SSO")]`)
	b.click("#username")
	b.paste("#username", user)
	b.paste("#password", user+"-password")
	b.click("#login")
	b.awaitText("Event History")
}

// holdsNothing fails the test if any secret is anywhere in the page.
func (b *browser) holdsNothing() {
	b.t.Helper()
	page := b.everything()
	if !strings.Contains(page, workflowID) {
		b.t.Errorf("the page does not even name the workflow:\n%s", b.text())
	}
	for _, secret := range secrets {
		if strings.Contains(page, secret) {
			b.t.Errorf("the page holds %q:\n%s", secret, b.text())
		}
	}
}

// rendered fails the test if the rest of the workflow's history page is not there.
func (b *browser) rendered() {
	b.t.Helper()
	b.awaitText(workflowID, "intake", "Workflow Execution Started", "Activity Task Failed", "Workflow Execution Signaled", "note")
}

// decisions returns the audit records of a subject, "" for strangers, and fails the test if there is none.
func (w *world) decisions(t *testing.T, subject string) []stack.AuditRecord {
	t.Helper()
	records := slices.DeleteFunc(w.server.Audit(t), func(r stack.AuditRecord) bool { return r.Subject != subject })
	if len(records) == 0 {
		t.Errorf("the audit log has no record of %q", subject)
	}
	return records
}
