package ui

import (
	"testing"

	"github.com/signet-temporal/signet/e2e/stack"
)

// While the codec server is down the page works, shows ciphertext and says so; when the server is back, a reload reads.
func TestWhileTheCodecServerIsDownThePageSaysSo(t *testing.T) {
	t.Parallel()
	w := newWorld(t, stack.ServerOptions{}, setting{})
	whole := t // the server lives longer than a version's test
	for _, v := range versions() {
		t.Run(string(v), func(t *testing.T) {
			b := openBrowser(t, w.server.Cert.CAFile)
			page := w.page(w.uis[v][setting{}], "history")
			b.logIn(page, "alice")
			b.awaitText(inputSecret, resultSecret)
			b.awaitQuiet(t, "POST", w.server.URL, 3)
			before := len(w.server.Audit(t))

			if code := w.server.Stop(); code != 0 {
				t.Fatalf("signet-server ended with code %d", code)
			}
			b.forget()
			b.open(page)
			b.awaitText(unreachable, w.sealedInput)
			b.awaitQuiet(t, "POST", w.server.URL, 3)
			b.rendered()
			b.holdsNothing()
			b.screenshot("down")
			for _, x := range b.with("POST", w.server.URL) {
				if x.status != 0 || x.refused != "net::ERR_CONNECTION_REFUSED" {
					t.Errorf("decode: %+v, want no answer and a connection that is refused", x)
				}
			}
			b.click(failedRow)
			b.awaitText("Declined")
			b.holdsNothing()

			w.server.Restart(whole)
			if after := len(w.server.Audit(t)); after != before {
				t.Errorf("the audit log had %d records and has %d", before, after)
			}
			b.open(page)
			b.awaitText(inputSecret, resultSecret)
			b.screenshot("back")
		})
	}
}
