package ui

import (
	"net/http"
	"slices"
	"testing"

	"go.temporal.io/api/workflow/v1"
	"google.golang.org/protobuf/proto"
)

// sendExplanationBack: who may not decode reads an explanation in place of the input, in the form as well. There is no way
// to have it sealed in place of the data, whether the form is a schedule's or that of "start workflow like this one".
func (w *world) sendExplanationBack(t *testing.T, b *browser, v version, id string) {
	t.Helper()
	const explained = "You may not decode payloads of namespace orders"
	orders, before := w.uis[v][setting{}]+"/namespaces/orders", w.scheduled(t, "orders", id)
	page := orders + "/schedules/" + id
	unchanged := func() {
		t.Helper()
		if after := w.scheduled(t, "orders", id); !proto.Equal(after, before) {
			t.Errorf("the schedule had\n%v\nand has\n%v", before, after)
		}
	}
	b.visit(w, page)
	b.awaitText(explained, contact)
	b.screenshot("explained")
	b.editSchedule(w, page, explained)
	b.save(id)
	unchanged()
	b.awaitEncodes(t, w, slices.Clone(sentHeaders[v])...)

	w.saveRefused(t, b, page, explained, func() *workflow.NewWorkflowExecutionInfo { return w.scheduled(t, "orders", id) })
	b.awaitEncodes(t, w, append(slices.Clone(sentHeaders[v]), http.StatusBadRequest)...)

	// Who types something else in its place may: it is data.
	b.editSchedule(w, page, explained)
	b.editInput()
	b.typeInput(typedSecret)
	b.save(id)
	w.sealedOnce(t, w.scheduled(t, "orders", id), typedSecret)

	run := w.lastRun(t, id)
	runID := w.runOf(t, run) // the form proposes the same id
	b.visit(w, orders+"/workflows/"+run)
	b.awaitText(explained)
	b.awaitQuiet(t, "POST", w.server.URL, 1)
	b.forget()
	b.press(`button[aria-controls="workflow-actions"]`, "More Actions")
	b.press(`[role=menuitem]`, "Start Workflow Like This One")
	b.awaitText("Task Queue is Active", explained)
	b.click(startButton)
	b.awaitText("Could not encode input for starting workflow")
	b.screenshot("not-started")
	b.awaitEncodes(t, w, http.StatusBadRequest)
	if after := w.runOf(t, run); after != runID {
		t.Errorf("the last run of %s is %s: the explanation was started", run, after)
	}
}

// runOf returns the last run of a workflow of orders.
func (w *world) runOf(t *testing.T, id string) string {
	t.Helper()
	d, err := w.ClientWith(t, "orders").DescribeWorkflowExecution(t.Context(), id, "")
	if err != nil {
		t.Fatal(err)
	}
	return d.GetWorkflowExecutionInfo().GetExecution().GetRunId()
}

// saveRefused edits the input of a schedule and saves it as it is shown: the UI says that it cannot, and nothing changes.
func (w *world) saveRefused(t *testing.T, b *browser, page, shown string, stored func() *workflow.NewWorkflowExecutionInfo) {
	t.Helper()
	before := stored()
	b.editSchedule(w, page, shown)
	b.editInput()
	b.press(`[data-testid=create-schedule-button]`, "Save")
	b.awaitText("Codec Server failed to encode")
	b.show("Codec Server failed to encode")
	b.screenshot("not-saved")
	if after := stored(); !proto.Equal(after, before) {
		t.Errorf("the schedule had\n%v\nand has\n%v", before, after)
	}
}

// lastRun returns the id of the workflow that the schedule has started last.
func (w *world) lastRun(t *testing.T, id string) string {
	t.Helper()
	d, err := w.ClientWith(t, "orders").ScheduleClient().GetHandle(t.Context(), id).Describe(t.Context())
	if err != nil || len(d.Info.RecentActions) == 0 {
		t.Fatalf("the schedule has not run: %v", err)
	}
	return d.Info.RecentActions[len(d.Info.RecentActions)-1].StartWorkflowResult.WorkflowID
}
