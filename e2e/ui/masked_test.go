package ui

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/signet-temporal/signet"
	"github.com/signet-temporal/signet/e2e/stack"
	"github.com/signet-temporal/signet/labels"
)

// admission is what one workflow carries in every place, with the place in it.
type admission struct {
	Name  string `json:"name" sensitive:"pii"`
	SSN   string `json:"ssn" sensitive:"phi,pii"`
	Ward  string `json:"ward"`
	Visit struct {
		Day  int    `json:"day"`
		Note string `json:"note" sensitive:"phi"`
	} `json:"visit"`
}

const (
	patientName = "Ada Muster"
	patientSSN  = "078-05-1120"
	patientNote = "fever, no allergies"
	maskedSSN   = "••• masked: phi"
)

func admitted(ward string) admission {
	a := admission{Name: patientName, SSN: patientSSN, Ward: ward}
	a.Visit.Day, a.Visit.Note = 3, patientNote
	return a
}

func runAdmission(ctx workflow.Context, _ admission) (admission, error) {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: time.Minute, RetryPolicy: &temporal.RetryPolicy{MaximumAttempts: 1},
	})
	var a admission
	workflow.GetSignalChannel(ctx, "note").Receive(ctx, &a)
	_ = workflow.ExecuteActivity(ctx, "refer", admitted("ward-activity")).Get(ctx, nil) // it fails
	return admitted("ward-result"), nil
}

func refer(admission) error {
	return temporal.NewNonRetryableApplicationError("no bed", "Declined", nil, admitted("ward-detail"))
}

// wards are all places of the workflow that a page can show.
var wards = []string{"ward-input", "ward-result", "ward-activity", "ward-detail", "ward-signal", "ward-memo"}

// labelledWorld has a completed admission in payments: alice may see every label, bob pii alone. Bob may also start workflows.
func labelledWorld(t *testing.T) (*world, string) {
	t.Helper()
	w := newWorld(t, stack.ServerOptions{Grants: []stack.Grant{
		{Name: "doctors", Groups: []string{"payments-oncall"}, Namespaces: []string{"payments"}, Actions: []string{"decode"}, Labels: []string{"*"}},
		{Name: "support", Groups: []string{"orders"}, Namespaces: []string{"payments"}, Actions: []string{"decode", "encode"}, Labels: []string{"pii"}},
	}}, setting{})
	types, err := labels.NewTypes(labels.Options{})
	if err != nil {
		t.Fatal(err)
	}
	c := w.Client(t, "payments", signet.Options{Labels: types})
	wk := worker.New(c, "admissions", worker.Options{})
	wk.RegisterWorkflowWithOptions(runAdmission, workflow.RegisterOptions{Name: "admission"})
	wk.RegisterActivity(refer)
	if err := wk.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(wk.Stop)
	run, err := c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{
		ID: "admission-17", TaskQueue: "admissions", Memo: map[string]any{"patient": admitted("ward-memo")},
	}, "admission", admitted("ward-input"))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.SignalWorkflow(t.Context(), run.GetID(), "", "note", admitted("ward-signal")); err != nil {
		t.Fatal(err)
	}
	var result admission
	if err := run.Get(t.Context(), &result); err != nil || result != admitted("ward-result") {
		t.Fatalf("the workflow ended with %+v, %v", result, err)
	}
	if _, err := c.ScheduleClient().Create(t.Context(), client.ScheduleOptions{
		ID: "admissions", Spec: client.ScheduleSpec{Intervals: []client.ScheduleIntervalSpec{{Every: 1000 * time.Hour}}},
		Action: &client.ScheduleWorkflowAction{ID: "admission-17", Workflow: "admission", TaskQueue: "admissions", Args: []any{admitted("ward-schedule")}},
	}); err != nil {
		t.Fatal(err)
	}
	return w, run.GetRunID()
}

// TestTwoOperators look at the same pages of the same workflow: the one reads the social security number, the other a mask in
// its place, and the audit log says so. With SIGNET_E2E_PICTURE=<file> the picture of both is written there.
func TestTwoOperators(t *testing.T) {
	t.Parallel()
	file := os.Getenv("SIGNET_E2E_PICTURE")
	w, runID := labelledWorld(t)
	for _, v := range versions() {
		t.Run(string(v), func(t *testing.T) {
			pages := w.uis[v][setting{}] + "/namespaces/payments/workflows/admission-17/" + runID
			var pictures []image.Image
			for _, who := range []string{"alice", "bob"} {
				b := openBrowser(t, w.server.Cert.CAFile)
				b.logIn(pages+"/history", who)
				b.lookAtAdmission(t, w, pages, who)
				if file != "" && v == ui258 {
					pictures = append(pictures, b.picture(pages))
				}
				if who == "bob" {
					b.sendBack(t, w, w.uis[v][setting{}], runID)
				}
			}
			if len(pictures) > 0 {
				beside(t, file, pictures)
			}
		})
	}
	w.checkLabels(t)
}

// lookAtAdmission goes through the pages that show what the workflow carries.
func (b *browser) lookAtAdmission(t *testing.T, w *world, pages, who string) {
	t.Helper()
	may := who == "alice"
	seen := ""
	read := func(ward string) {
		t.Helper()
		b.awaitText(ward)
		b.awaitQuiet(t, "POST", w.server.URL, 1)
		page := b.everything()
		seen += page
		if has := strings.Contains(page, patientSSN); has != may {
			t.Errorf("%s, where it says %s: the page holds the SSN: %t", who, ward, has)
		}
		if has := strings.Contains(page, maskedSSN); has == may {
			t.Errorf("%s, where it says %s: the page holds a mask: %t", who, ward, has)
		}
		if !strings.Contains(page, patientName) {
			t.Errorf("%s does not see the name where it says %s, which both may", who, ward)
		}
	}
	b.awaitText("ward-input", "ward-result")
	read("ward-input")
	b.screenshot("history-" + who)
	b.click(failedRow)
	read("ward-detail")
	b.screenshot("failure-" + who)
	b.click(signalRow)
	read("ward-signal")
	b.open(pages + "/memo")
	read("ward-memo")
	b.screenshot("memo-" + who)
	for _, ward := range wards {
		if !strings.Contains(seen, ward) {
			t.Errorf("%s has not seen %s: nothing is shown about it", who, ward)
		}
	}
	if !may {
		for _, part := range []string{patientSSN[:6], patientSSN[4:], patientNote[:5], "allergies"} {
			if strings.Contains(seen, part) {
				t.Errorf("%q of what is masked is in a page of %s", part, who)
			}
		}
	}
}

// sendBack fills the form from the workflow that is masked, as "start workflow like this one" does, and sends it; and that of
// a schedule.
func (b *browser) sendBack(t *testing.T, w *world, ui, runID string) {
	t.Helper()
	b.awaitQuiet(t, "POST", w.server.URL, 0)
	b.forget()
	like := url.Values{"workflowId": {"admission-17"}, "runId": {runID}, "taskQueue": {"admissions"}, "workflowType": {"admission"}}
	b.open(ui + "/namespaces/payments/workflows/start-workflow?" + like.Encode())
	b.awaitText("Task Queue is Active", maskedSSN)
	b.click(startButton)
	b.awaitText("Could not encode input for starting workflow")
	b.screenshot("sent-back")
	encodes := slices.DeleteFunc(b.with("POST", w.server.URL), func(x exchange) bool { return !strings.Contains(x.url, "/encode") })
	if len(encodes) == 0 || encodes[len(encodes)-1].status != 400 {
		t.Errorf("the UI has sent %+v to be sealed, want one answer 400", encodes)
	}
	last, err := w.ClientWith(t, "payments").DescribeWorkflowExecution(t.Context(), "admission-17", "")
	if err != nil || last.GetWorkflowExecutionInfo().GetExecution().GetRunId() != runID {
		t.Errorf("the last run is %v, %v: the mask was started", last.GetWorkflowExecutionInfo().GetExecution(), err)
	}
	w.saveRefused(t, b, ui+"/namespaces/payments/schedules/admissions", maskedSSN, func() *workflowpb.NewWorkflowExecutionInfo {
		return w.scheduled(t, "payments", "admissions")
	})
	b.awaitEncodes(t, w, http.StatusBadRequest)
}

// checkLabels: who saw what is on record, and nothing of the values.
func (w *world) checkLabels(t *testing.T) {
	t.Helper()
	for subject, want := range map[string]string{"u-alice": "shown [phi pii], masked []", "u-bob": "shown [pii], masked [phi]"} {
		labelled := 0
		for _, r := range w.decisions(t, subject) {
			if r.Action == "encode" {
				t.Errorf("a mask is on record as sealed: %+v", r)
			}
			if len(r.LabelsShown)+len(r.LabelsMasked) == 0 {
				continue // the rest of the page
			}
			labelled++
			if got := fmt.Sprintf("shown %v, masked %v", r.LabelsShown, r.LabelsMasked); got != want || r.Decision != "allow" || r.Workflow != "admission-17" {
				t.Errorf("on record for %s is %s, want %s: %+v", subject, got, want, r)
			}
		}
		if labelled < 2*len(wards) { // in two versions of the UI
			t.Errorf("%d labelled payloads are on record for %s", labelled, subject)
		}
	}
	text, err := os.ReadFile(w.server.AuditFile)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{patientSSN, patientName, patientNote} {
		if bytes.Contains(text, []byte(secret)) || strings.Contains(w.server.Log(), secret) {
			t.Errorf("the audit log or the server's log holds %q", secret)
		}
	}
	if !strings.Contains(w.server.Log(), "a payload holds a mask") {
		t.Error("the server's log does not say why nothing was sealed")
	}
}

// picture is what stands beside the menu of a page that is narrow enough for two of them, with the input opened.
func (b *browser) picture(pages string) image.Image {
	b.t.Helper()
	const menu, width, height = 256, 986, 850
	b.do(chromedp.EmulateViewport(1000, 900))
	b.open(pages + "/history")
	b.awaitText("ward-input", "ward-result")
	b.eval(`(e => { while (!e.querySelector("button")) e = e.parentElement; e.querySelector("button").click(); return "" })(
		[...document.querySelectorAll("body *")].find(e => e.children.length == 0 && e.textContent.includes("ward-input")))`)
	b.awaitText(`"ward": "ward-input"`)
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	shot, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err != nil {
		b.t.Fatal(err)
	}
	page, err := png.Decode(bytes.NewReader(shot))
	if err != nil {
		b.t.Fatal(err)
	}
	b.do(chromedp.EmulateViewport(1500, 1250))
	part := image.NewRGBA(image.Rect(0, 0, width-menu, height))
	draw.Draw(part, part.Bounds(), page, image.Pt(menu, 0), draw.Src)
	return part
}

// beside writes pictures into one file, side by side.
func beside(t *testing.T, file string, pictures []image.Image) {
	t.Helper()
	const gap = 24
	size := pictures[0].Bounds().Size()
	whole := image.NewRGBA(image.Rect(0, 0, len(pictures)*(size.X+gap)-gap, size.Y))
	draw.Draw(whole, whole.Bounds(), image.NewUniform(color.Gray{0x80}), image.Point{}, draw.Src)
	for i, one := range pictures {
		draw.Draw(whole, one.Bounds().Add(image.Pt(i*(size.X+gap), 0)), one, image.Point{}, draw.Src)
	}
	var out bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&out, whole); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, out.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}
