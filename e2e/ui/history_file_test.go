package ui

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	cdpbrowser "github.com/chromedp/cdproto/browser"
	"github.com/chromedp/chromedp"

	"github.com/signet-temporal/signet/e2e/stack"
)

// Ways in which the Web UI writes a history into a file.
const (
	encodedFile  = "encoded"  // as Temporal has it
	decodedFile  = "decoded"  // payloads decoded, their data in base64
	readableFile = "readable" // values in the place of payloads
)

// holds is what a test wants in such a file.
type holds struct {
	secrets           bool // all of them, or none
	sealed, explained int  // payloads
}

// payloads of the workflow's history; the memo and the summary are in its first event.
const sealedPayloads = 8

// savesHistory downloads the history from the page that shows it, in each way.
func (b *browser) savesHistory(w *world, want map[string]holds) {
	b.t.Helper()
	for how, want := range want {
		b.awaitQuiet(b.t, "POST", w.server.URL, 0)
		b.forget()
		file := b.downloadHistory(how)
		b.awaitQuiet(b.t, "POST", w.server.URL, 0)
		for _, secret := range secrets {
			if strings.Contains(file, secret) != want.secrets {
				b.t.Errorf("that the %s file holds %q is %t", how, secret, !want.secrets)
			}
		}
		got := holds{want.secrets, strings.Count(file, `"encryption-context"`), strings.Count(file, `not-granted`)}
		if got != want {
			b.t.Errorf("the %s file holds %+v, want %+v:\n%s", how, got, want, file)
		}
		if asked := len(b.with("POST", w.server.URL)); (asked > 0) != (how != encodedFile) || asked > sealedPayloads {
			b.t.Errorf("the %s file took %d requests", how, asked)
		}
	}
	b.rendered()
}

// downloadHistory has the page that shows the workflow save its history, and returns the file with what is in base64 in
// it in clear behind it.
func (b *browser) downloadHistory(how string) string {
	b.t.Helper()
	dir := b.saveInto()
	b.press(`[data-testid=download]`, "Download")
	b.press(`dialog[open] [data-testid=use-`+how+`-setting-input]`, "")
	b.press(`dialog[open] [data-testid=confirm-modal-button]`, "Download")
	text := awaitFile(b.t, dir)
	var events struct{ Events []json.RawMessage }
	if err := json.Unmarshal(text, &events); err != nil || len(events.Events) < 10 {
		b.t.Errorf("the file has %d events, %v: %.300s", len(events.Events), err, text)
	}
	var whole any
	if err := json.Unmarshal(text, &whole); err != nil {
		b.t.Fatal(err)
	}
	return string(text) + "\n" + inBase64(whole)
}

// saveInto has the browser save files into a folder of their own.
func (b *browser) saveInto() string {
	b.t.Helper()
	dir := b.t.TempDir()
	if _, err := chromedp.Call(b.ctx, cdpbrowser.SetDownloadBehavior, cdpbrowser.SetDownloadBehaviorParams{Behavior: cdpbrowser.SetDownloadBehaviorBehaviorAllow, DownloadPath: dir}); err != nil {
		b.t.Fatal(err)
	}
	return dir
}

// awaitFile waits for a file of JSON in a folder.
func awaitFile(t *testing.T, dir string) []byte {
	t.Helper()
	var text []byte
	stack.Eventually(t, time.Minute, func() error {
		files, err := filepath.Glob(filepath.Join(dir, "*.json"))
		if err == nil && len(files) == 0 {
			err = os.ErrNotExist
		}
		if err != nil {
			return err
		}
		if text, err = os.ReadFile(files[0]); err == nil {
			var whole any
			err = json.Unmarshal(text, &whole)
		}
		return err
	})
	return text
}

// inBase64 is what the strings of a JSON value hold that are base64.
func inBase64(value any) string {
	switch v := value.(type) {
	case string:
		clear, err := base64.StdEncoding.DecodeString(v)
		if err != nil || v == "" {
			return ""
		}
		return string(clear) + "\n"
	case []any:
		var all strings.Builder
		for _, one := range v {
			all.WriteString(inBase64(one))
		}
		return all.String()
	case map[string]any:
		var all strings.Builder
		for _, one := range v {
			all.WriteString(inBase64(one))
		}
		return all.String()
	}
	return ""
}
