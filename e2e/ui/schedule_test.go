package ui

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"go.temporal.io/api/common/v1"
	"go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	sdkworkflow "go.temporal.io/sdk/workflow"
	"google.golang.org/protobuf/proto"

	"github.com/signet-temporal/signet/converter"
	"github.com/signet-temporal/signet/e2e/stack"
	"github.com/signet-temporal/signet/internal/wire"
	"github.com/signet-temporal/signet/principal/propagate"
)

const editedSecret = "edited-in-the-form-91be"

// A schedule's form is filled with the decoded input, and what is saved is what was typed, sealed once. A form that is
// saved without a look at the input leaves the stored payload as it is. Then comes somebody who may write and not read:
// what stands in the form in place of the input cannot be saved, see sendExplanationBack.
func TestASchedulesInputIsSealedOnceHoweverOftenItIsSaved(t *testing.T) {
	t.Parallel()
	w := newWorld(t, stack.ServerOptions{Grants: []stack.Grant{
		{Name: "orders-team", Groups: []string{"orders"}, Namespaces: []string{"orders"}, Actions: []string{"decode", "encode"}},
		{Name: "orders-writers", Groups: []string{"payments-oncall"}, Namespaces: []string{"orders"}, Actions: []string{"encode"}},
	}}, setting{})
	c := w.worker(t, "orders", func(r worker.Registry) {
		r.RegisterWorkflowWithOptions(runEcho, sdkworkflow.RegisterOptions{Name: "echo"})
	})
	for _, v := range versions() {
		t.Run(string(v), func(t *testing.T) {
			t.Parallel() // the longest of the tests
			id := "nightly-" + string(v)
			ui, b := w.uis[v][setting{}], openBrowser(t, w.server.Cert.CAFile)
			page := ui + "/namespaces/orders/schedules/" + id
			b.logIn(w.page(ui, "history"), "bob")
			b.createSchedule(w, ui, id)
			created := w.scheduled(t, "orders", id)
			w.sealedOnce(t, created, typedSecret)
			b.awaitEncodes(t, w, http.StatusOK)
			w.carryMore(t, id)
			carrying := w.scheduled(t, "orders", id)

			b.visit(w, page)
			b.awaitText(`"`+typedSecret+`"`, "Input")
			b.screenshot("schedule")
			b.trigger(t, c, id, 1, "read "+typedSecret)

			b.editSchedule(w, page, typedSecret)
			b.save(id)
			w.kept(t, v, carrying, w.scheduled(t, "orders", id))
			b.awaitEncodes(t, w, slices.Clone(sentHeaders[v])...)

			b.editSchedule(w, page, typedSecret)
			b.editInput()
			b.typeInput(editedSecret)
			b.screenshot("edited")
			b.save(id)
			edited := w.scheduled(t, "orders", id)
			w.sealedOnce(t, edited, editedSecret)
			edited.Input = carrying.Input
			w.kept(t, v, carrying, edited)
			b.awaitEncodes(t, w, append(slices.Clone(sentHeaders[v]), http.StatusOK)...)
			b.visit(w, page)
			b.trigger(t, c, id, 2, "read "+editedSecret)
			w.storedNowhere(t, typedSecret)
			w.storedNowhere(t, editedSecret)

			b = openBrowser(t, w.server.Cert.CAFile)
			b.plant(ui, w.uiTokens(t, "alice"))
			w.sendExplanationBack(t, b, v, id)
		})
	}
}

// sentHeaders: the earlier version sends the header of a schedule to be encoded, each field by itself, when the schedule
// is saved. What is sealed already must come back as it is.
var sentHeaders = map[version][]int64{ui253: {http.StatusOK, http.StatusOK}, ui258: nil}

// recordField stands in the header for the record of a principal, which is no sealed payload.
const recordField = "record"

// kept: what a schedule starts is what it was when its form was saved. The earlier version has a principal's record sealed
// over, which takes its force: the runs are refused, see docs/principal.md.
func (w *world) kept(t *testing.T, v version, before, after *workflow.NewWorkflowExecutionInfo) {
	t.Helper()
	if v == ui253 {
		record := after.GetHeader().GetFields()
		record[recordField] = w.opened(t, record[recordField])
	}
	if !proto.Equal(after, before) {
		t.Errorf("the form has made of\n%v\n%v", before, after)
	}
}

// awaitEncodes fails the test if the answers to what the page has sent to be sealed since it was opened are others.
func (b *browser) awaitEncodes(t *testing.T, w *world, want ...int64) {
	t.Helper()
	b.awaitQuiet(t, "POST", w.server.URL, 0)
	var got []int64
	for _, x := range b.with("POST", w.server.URL) {
		if strings.Contains(x.url, "/encode") {
			got = append(got, x.status)
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("the answers to /encode are %v, want %v", got, want)
	}
}

// createSchedule fills the form in and sends it.
func (b *browser) createSchedule(w *world, ui, id string) {
	b.t.Helper()
	b.visit(w, ui+"/namespaces/orders/schedules/create")
	for field, text := range map[string]string{"name": id, "type": "echo", "workflow-id": id, "task-queue": taskQueue} {
		b.paste(`[data-testid=schedule-`+field+`-input]`, text)
	}
	b.press("form button", "Monthly on") // what is in the cron expression does not matter: the test triggers
	b.typeInput(typedSecret)
	b.save(id)
}

// editSchedule opens the form, as the pencil on the schedule's page does, and waits for the input.
func (b *browser) editSchedule(w *world, page, shown string) {
	b.t.Helper()
	b.visit(w, page)
	b.awaitQuiet(b.t, "POST", w.server.URL, 1)
	b.forget()
	b.press(`[data-testid=edit-schedule]`, "")
	stack.Eventually(b.t, patience, func() error {
		if text := b.eval(`[...document.querySelectorAll("form .cm-content")].map(e => e.innerText).join()`); !strings.Contains(text, shown) {
			return fmt.Errorf("the form has %q as input, want %q", text, shown)
		}
		return nil
	})
}

// editInput makes the input of a schedule's form one that can be changed, which a click on "Edit" beside it does. One that
// comes while the page is still moving things about reaches nothing, and the form would then leave the input as it is.
func (b *browser) editInput() {
	b.t.Helper()
	const edit = `(() => {
		const input = document.querySelector("form .cm-content");
		if (input && input.getAttribute("contenteditable") == "true") return "open";
		[...document.querySelectorAll("form button")].filter(e => e.innerText.trim() == "Edit").forEach(e => e.click());
		return "closed";
	})()`
	stack.Eventually(b.t, patience, func() error {
		if is := b.eval(edit); is != "open" {
			return errors.New("the input cannot be edited")
		}
		return nil
	})
}

// typeInput replaces what stands in the form as the input.
func (b *browser) typeInput(secret string) {
	b.t.Helper()
	const data = `form .cm-content`
	b.do(chromedp.Focus(data, chromedp.NodeVisible), chromedp.KeyEvent("a", chromedp.KeyModifiers(chromedp.ModifierCtrl)))
	b.paste(data, `{"patient":"`+secret+`"}`)
	b.do(chromedp.Blur(data))
	b.awaitText(`"patient": "` + secret + `"`)
}

// save sends the form of a schedule, and waits for the page that comes after it.
func (b *browser) save(id string) {
	b.t.Helper()
	b.press(`[data-testid=create-schedule-button]`, "")
	stack.Eventually(b.t, patience, func() error {
		if at := b.eval(`location.pathname`); strings.HasSuffix(at, "/create") || strings.HasSuffix(at, "/edit") {
			return fmt.Errorf("the form is still open:\n%s", b.text())
		}
		return nil
	})
	b.awaitText(id)
}

// trigger runs the schedule from its page, and waits for the result of what is then its nth run.
func (b *browser) trigger(t *testing.T, c client.Client, id string, nth int, want string) {
	t.Helper()
	b.press(`#schedule-actions-menu-button`, "")
	b.press(`[data-testid=trigger-schedule]`, "")
	b.press(`dialog[open] [data-testid=confirm-modal-button]`, "Trigger")
	var run string
	stack.Eventually(t, patience, func() error {
		d, err := c.ScheduleClient().GetHandle(t.Context(), id).Describe(t.Context())
		if err == nil && len(d.Info.RecentActions) < nth {
			err = errors.New("the schedule has not run")
		}
		if err == nil {
			run = d.Info.RecentActions[nth-1].StartWorkflowResult.WorkflowID
		}
		return err
	})
	if !strings.HasPrefix(run, id+"-") {
		t.Errorf("the run is %s: without a suffix this is no test of one", run)
	}
	var got string
	if err := c.GetWorkflow(t.Context(), run, "").Get(t.Context(), &got); err != nil || got != want {
		t.Errorf("the worker got %q, %v, want %q", got, err, want)
	}
}

// scheduled returns what a schedule starts, as Temporal has stored it.
func (w *world) scheduled(t *testing.T, namespace, id string) *workflow.NewWorkflowExecutionInfo {
	t.Helper()
	answer, err := w.ClientWith(t, namespace).WorkflowService().DescribeSchedule(t.Context(), &workflowservice.DescribeScheduleRequest{Namespace: namespace, ScheduleId: id})
	if err != nil {
		t.Fatal(err)
	}
	return answer.GetSchedule().GetAction().GetStartWorkflow()
}

// carryMore adds a header and a memo to a schedule, as a client with the plugin would.
func (w *world) carryMore(t *testing.T, id string) {
	t.Helper()
	service := w.ClientWith(t, "orders").WorkflowService()
	answer, err := service.DescribeSchedule(t.Context(), &workflowservice.DescribeScheduleRequest{Namespace: "orders", ScheduleId: id})
	if err != nil {
		t.Fatal(err)
	}
	start := answer.GetSchedule().GetAction().GetStartWorkflow()
	start.Header = &common.Header{Fields: map[string]*common.Payload{
		"trace":     w.sealedFor(t, "orders", "in the header"),
		recordField: {Metadata: map[string][]byte{"encoding": []byte(propagate.Encoding)}, Data: []byte("a record")},
	}}
	start.Memo = &common.Memo{Fields: map[string]*common.Payload{"ward": w.sealedFor(t, "orders", memoSecret)}}
	_, err = service.UpdateSchedule(t.Context(), &workflowservice.UpdateScheduleRequest{
		Namespace: "orders", ScheduleId: id, Schedule: answer.GetSchedule(), ConflictToken: answer.GetConflictToken(), RequestId: "more-" + id,
	})
	if err != nil {
		t.Fatal(err)
	}
}

// sealedOnce: the input is one payload for the namespace, of no workflow (the form has none to be sealed for, and the runs
// of the schedule have ids of their own), and what is in it is not sealed again.
func (w *world) sealedOnce(t *testing.T, start *workflow.NewWorkflowExecutionInfo, secret string) {
	t.Helper()
	stored := start.GetInput().GetPayloads()
	if len(stored) != 1 || bytes.Contains(stored[0].GetData(), []byte(secret)) {
		t.Fatalf("Temporal has stored %v", stored)
	}
	outer, err := wire.Parse(stored[0].GetMetadata(), stored[0].GetData())
	if err != nil || outer.Scope != "orders" || outer.Workflow != "" || !strings.HasPrefix(outer.Key(), stack.Keyset("orders")+"/") {
		t.Errorf("the stored input is sealed as %+v, %v", outer, err)
	}
	opened := w.opened(t, stored[0])
	if got := strings.Join(strings.Fields(string(opened.GetData())), ""); string(opened.GetMetadata()["encoding"]) != "json/plain" || got != `{"patient":"`+secret+`"}` {
		t.Errorf("what was sealed is %v", opened)
	}
}

// opened returns what was sealed for the namespace orders, with one seal taken off.
func (w *world) opened(t *testing.T, p *common.Payload) *common.Payload {
	t.Helper()
	codec, err := converter.NewCodec(w.DefaultRing(t), converter.CodecOptions{Keyset: stack.Keyset("orders"), Scope: "orders"})
	if err != nil {
		t.Fatal(err)
	}
	opened, err := codec.Decode([]*common.Payload{p})
	if err != nil || len(opened) != 1 {
		t.Fatalf("%v does not open: %v", p, err)
	}
	return opened[0]
}
