package ui

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"go.temporal.io/api/common/v1"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/signet-temporal/signet/e2e/stack"
)

// runDesk ends with what a signal and an update brought it.
func runDesk(ctx workflow.Context) (string, error) {
	var signaled, updated intake
	err := workflow.SetUpdateHandler(ctx, "amend", func(_ workflow.Context, in intake) error {
		updated = in
		return nil
	})
	if err != nil {
		return "", err
	}
	workflow.GetSignalChannel(ctx, "note").Receive(ctx, &signaled)
	err = workflow.Await(ctx, func() bool { return updated.Patient != "" && workflow.AllHandlersFinished(ctx) })
	return "read " + signaled.Patient + " and " + updated.Patient, err
}

// What is typed into the forms for a signal and an update goes through /encode once: Temporal stores ciphertext, and
// the worker, which opens one seal, reads what was typed.
func TestSignalsAndUpdatesFromTheUIAreSealedOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, stack.ServerOptions{}, setting{})
	c := w.worker(t, "orders", func(r worker.Registry) {
		r.RegisterWorkflowWithOptions(runDesk, workflow.RegisterOptions{Name: "desk"})
	})
	for _, v := range versions() {
		t.Run(string(v), func(t *testing.T) {
			id := "desk-" + string(v)
			run, err := c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: id, TaskQueue: taskQueue, WorkflowExecutionTimeout: 5 * time.Minute}, "desk")
			if err != nil {
				t.Fatal(err)
			}
			b, before := openBrowser(t, w.server.Cert.CAFile), len(w.encodes(t))
			b.logIn(fmt.Sprintf("%s/namespaces/orders/workflows/%s/%s/history", w.uis[v][setting{}], id, run.GetRunID()), "bob")
			b.send("Signal", "note")
			b.awaitText("Workflow Execution Signaled")
			b.send("Update", "amend")
			var result string
			if err := run.Get(t.Context(), &result); err != nil || result != "read "+typedSecret+" and "+typedSecret {
				t.Fatalf("the worker got %q, %v", result, err)
			}
			w.storedNowhere(t, typedSecret)
			inputs := w.writtenInto(t, "orders", id)
			if len(inputs) != 2 {
				t.Fatalf("the history has %d inputs of signals and updates", len(inputs))
			}
			for _, p := range inputs {
				if string(p.GetMetadata()["encoding"]) != "binary/encrypted" || bytes.Contains(p.GetData(), []byte(typedSecret)) {
					t.Errorf("Temporal has stored %v", p)
				}
			}
			if n := len(w.encodes(t)) - before; n != 2 {
				t.Errorf("%d encodes on record, want one for each form", n)
			}
			b.awaitText(typedSecret)
			b.screenshot("read")
		})
	}
}

// send fills in the form for a signal or an update of the workflow that the page shows, and sends it. The page has its menu
// and forms twice, for wide windows and for narrow ones.
func (b *browser) send(kind, name string) {
	b.t.Helper()
	b.press(`button[aria-controls="workflow-actions"]`, "More Actions")
	b.press(`[role=menuitem]`, map[string]string{"Signal": "Send a Signal", "Update": "Send an Update"}[kind])
	b.press(`dialog[open] button[aria-haspopup]`, "")
	b.press(`dialog[open] [role=option]`, name)
	data := `dialog[open] .cm-content`
	b.paste(data, `{"patient":"`+typedSecret+`"}`)
	b.do(chromedp.Blur(data))
	b.awaitText(`"patient": "` + typedSecret + `"`)
	b.press(`dialog[open] [data-testid=confirm-modal-button]`, "")
	stack.Eventually(b.t, patience, func() error {
		if b.eval(`String(document.querySelector('dialog[open]') === null)`) != "true" {
			return fmt.Errorf("the form is still open:\n%s", b.text())
		}
		return nil
	})
}

// press waits for an element that can be seen and has text among those that a CSS selector finds, and clicks on it.
func (b *browser) press(sel, text string) {
	b.t.Helper()
	stack.Eventually(b.t, patience, func() error {
		if b.eval(fmt.Sprintf(`(e => e ? (e.click(), "yes") : "no")([...document.querySelectorAll(%q)].find(e => !e.disabled && e.getBoundingClientRect().width > 0 && e.textContent.includes(%q)))`, sel, text)) != "yes" {
			return fmt.Errorf("there is no %q to click on:\n%s", text, b.text())
		}
		return nil
	})
}

// writtenInto returns the inputs of a workflow's signals and updates, as Temporal has stored them.
func (w *world) writtenInto(t *testing.T, namespace, id string) []*common.Payload {
	t.Helper()
	var inputs []*common.Payload
	events := w.ClientWith(t, namespace).GetWorkflowHistory(t.Context(), id, "", false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		event, err := events.Next()
		if err != nil {
			t.Fatal(err)
		}
		inputs = append(inputs, event.GetWorkflowExecutionSignaledEventAttributes().GetInput().GetPayloads()...)
		inputs = append(inputs, event.GetWorkflowExecutionUpdateAcceptedEventAttributes().GetAcceptedRequest().GetInput().GetArgs().GetPayloads()...)
	}
	return inputs
}

// encodes are the records of what Bob had sealed.
func (w *world) encodes(t *testing.T) []stack.AuditRecord {
	t.Helper()
	return slices.DeleteFunc(w.server.Audit(t), func(r stack.AuditRecord) bool {
		return r.Subject != "u-bob" || r.Action != "encode" || r.Decision != "allow" || r.Rule != "orders-team" || r.Namespace != "orders"
	})
}
