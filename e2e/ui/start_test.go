package ui

import (
	"bytes"
	"errors"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/history/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/signet-temporal/signet/e2e/stack"
)

const typedSecret = "typed-into-the-form-3ac6"

// startButton sends the form that starts a workflow; it is not in the form in both versions.
const startButton = `//form//button[contains(., "Start Workflow")] | //button[@data-testid="start-workflow-button"]`

// runEcho shows that a worker has read what was typed.
func runEcho(_ workflow.Context, in intake) (string, error) { return "read " + in.Patient, nil }

func TestAWorkflowStartedFromTheUIIsSealedAndTheWorkerReadsIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t, stack.ServerOptions{}, setting{})
	c := w.worker(t, "orders", func(r worker.Registry) {
		r.RegisterWorkflowWithOptions(runEcho, workflow.RegisterOptions{Name: "echo"})
	})
	for _, v := range versions() {
		t.Run(string(v), func(t *testing.T) {
			id := "from-the-ui-" + string(v)
			ui, b := w.uis[v][setting{}], openBrowser(t, w.server.Cert.CAFile)
			b.logIn(w.page(ui, "history"), "bob")
			b.startWorkflow(w, ui, "orders", id, "echo")
			b.awaitText("Workflow started successfully")
			b.screenshot("started")
			var result string
			if err := c.GetWorkflow(t.Context(), id, "").Get(t.Context(), &result); err != nil || result != "read "+typedSecret {
				t.Fatalf("the worker got %q, %v", result, err)
			}
			started := w.firstEvent(t, "orders", id)
			input := started.GetInput().GetPayloads()
			if len(input) != 1 || string(input[0].GetMetadata()["encoding"]) != "binary/encrypted" || bytes.Contains(input[0].GetData(), []byte(typedSecret)) {
				t.Errorf("Temporal has stored the input as %v", input)
			}
			w.storedNowhere(t, typedSecret)
			for _, r := range w.decisions(t, "u-bob") {
				if r.Action == "encode" && (r.Decision != "allow" || r.Rule != "orders-team" || r.Namespace != "orders") {
					t.Errorf("audit has %+v", r)
				}
			}

			b.open(ui + "/namespaces/orders/workflows/" + url.PathEscape(id))
			b.awaitText(id, typedSecret, "read "+typedSecret)
			b.screenshot("read")
		})
	}
}

func TestWithoutAnEncodeGrantTheUIStartsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, stack.ServerOptions{}, setting{})
	for _, v := range versions() {
		t.Run(string(v), func(t *testing.T) {
			id := "never-started-" + string(v)
			ui, b := w.uis[v][setting{}], openBrowser(t, w.server.Cert.CAFile)
			b.logIn(w.page(ui, "history"), "alice")
			b.startWorkflow(w, ui, "payments", id, "intake")
			b.awaitText("Could not encode input for starting workflow")
			b.awaitQuiet(t, "POST", w.server.URL, 1)
			b.screenshot("refused")
			_, err := w.ClientWith(t, "payments").DescribeWorkflowExecution(t.Context(), id, "")
			var missing *serviceerror.NotFound
			if !errors.As(err, &missing) {
				t.Errorf("describe: %v, want that there is no such workflow", err)
			}
			w.storedNowhere(t, typedSecret)
			denied := 0
			for _, r := range w.decisions(t, "u-alice") {
				if r.Action == "encode" && r.Decision == "deny" && r.Reason == "not-granted" && r.Claimed != nil && r.Claimed.Namespace == "payments" {
					denied++
				}
			}
			if denied == 0 {
				t.Errorf("audit has no refused encode: %+v", w.server.Audit(t))
			}
		})
	}
}

// startWorkflow fills the UI's form in and sends it.
func (b *browser) startWorkflow(w *world, ui, namespace, id, kind string) {
	b.t.Helper()
	form := url.Values{"workflowId": {id}, "taskQueue": {taskQueue}, "workflowType": {kind}}
	b.visit(w, ui+"/namespaces/"+namespace+"/workflows/start-workflow?"+form.Encode())
	b.awaitText("Task Queue is Active") // it moves what stands below
	const data = `.cm-content[aria-label="Data"]`
	b.paste(data, `{"patient":"`+typedSecret+`"}`)
	// Leaving the editor formats the text, which moves the button.
	b.do(chromedp.Blur(data))
	b.awaitText(`"patient": "` + typedSecret + `"`)
	b.click(startButton)
}

// firstEvent reads how a workflow was started, as Temporal has stored it.
func (w *world) firstEvent(t *testing.T, namespace, id string) *history.WorkflowExecutionStartedEventAttributes {
	t.Helper()
	events := w.ClientWith(t, namespace).GetWorkflowHistory(t.Context(), id, "", false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	first, err := events.Next()
	if err != nil {
		t.Fatal(err)
	}
	return first.GetWorkflowExecutionStartedEventAttributes()
}

// storedNowhere reads the files of Temporal's database.
func (w *world) storedNowhere(t *testing.T, secret string) {
	t.Helper()
	named := false
	for _, file := range w.Temporal.Files() {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(data, []byte(secret)) {
			t.Errorf("%s holds %q", strings.TrimPrefix(file, w.Dir), secret)
		}
		named = named || bytes.Contains(data, []byte(workflowID))
	}
	if !named {
		t.Errorf("nothing in %v names the workflow %s: this is not what Temporal has stored", w.Temporal.Files(), workflowID)
	}
}
