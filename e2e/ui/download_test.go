package ui

import (
	"strings"
	"testing"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/signet-temporal/signet/e2e/stack"
)

// largeInput does not compress to less than what is stored outside.
func largeInput() string {
	var b strings.Builder
	for i := range uint32(60_000) {
		b.WriteByte('a' + byte((i*2654435761)>>24)%26)
	}
	return inputSecret + b.String()
}

// The page has a reference where the input is, and a button with its size: a click saves the payload as a file.
func TestALargePayloadIsDownloadedFromThePage(t *testing.T) {
	t.Parallel()
	folder := stack.Folder(t.TempDir())
	w := newWorld(t, stack.ServerOptions{Storage: folder}, setting{})
	c := w.StoringClient(t, "payments", folder, 16<<10)
	wk := worker.New(c, "large", worker.Options{})
	wk.RegisterWorkflowWithOptions(func(workflow.Context, string) error { return nil }, workflow.RegisterOptions{Name: "scan"})
	if err := wk.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(wk.Stop)
	run, err := c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: "scan-1", TaskQueue: "large"}, "scan", largeInput())
	if err != nil {
		t.Fatal(err)
	}
	if err := run.Get(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	for _, v := range versions() {
		t.Run(string(v), func(t *testing.T) {
			page := w.uis[v][setting{}] + "/namespaces/payments/workflows/scan-1/" + run.GetRunID() + "/history"
			b := openBrowser(t, w.server.Cert.CAFile)
			b.logIn(page, "alice")
			b.openInput(v)
			saved := b.download()
			if !strings.Contains(saved, inputSecret) || !strings.Contains(saved, largeInput()[:1000]) {
				t.Errorf("the page saved %.300s", saved)
			}
			b.screenshot("downloaded")

			b = openBrowser(t, w.server.Cert.CAFile)
			b.logIn(page, "bob")
			b.openInput(v)
			b.click(sizeButton)
			b.awaitText("Unable to download payload file.")
			if strings.Contains(b.text(), "isn't configured") {
				t.Error("the page says that there is no storage")
			}
			b.screenshot("refused")
		})
	}
}

const sizeButton = `//button[contains(., "KB") or contains(., "kB") or contains(., "KiB")]`

// openInput opens the event with the input, where the page does not show it with its button at once.
func (b *browser) openInput(v version) {
	b.t.Helper()
	if v == ui258 {
		b.click(`//td//p[contains(., "Workflow Execution Started")]`)
	}
}

// download clicks on the size of the payload, and returns the file that the browser saves.
func (b *browser) download() string {
	b.t.Helper()
	dir := b.saveInto()
	b.click(sizeButton)
	return string(awaitFile(b.t, dir))
}
