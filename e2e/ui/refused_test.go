package ui

import (
	"strings"
	"testing"

	"github.com/signet-temporal/signet/e2e/stack"
)

// unreachable is what both versions say when the codec server cannot be reached; the later one also when it refuses.
const unreachable = "Codec Server could not connect"

func TestWithACertificateThatTheBrowserDoesNotTrustThePageStaysSealed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, stack.ServerOptions{}, setting{})
	for _, v := range versions() {
		t.Run(string(v), func(t *testing.T) {
			b := openBrowser(t, "")
			ui := w.uis[v][setting{}]
			b.logIn(w.page(ui, "history"), "alice")
			w.staysSealed(t, b, "net::ERR_CERT_AUTHORITY_INVALID")
		})
	}
}

func TestAPageOfAnotherOriginStaysSealed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, stack.ServerOptions{}, setting{})
	for _, v := range versions() {
		t.Run(string(v), func(t *testing.T) {
			b := openBrowser(t, w.server.Cert.CAFile)
			// The same UI under another name is another origin, and not in the list.
			ui := strings.Replace(w.uis[v][setting{}], "127.0.0.1", "localhost", 1)
			b.plant(ui, w.uiTokens(t, "alice"))
			b.open(w.page(ui, "history"))
			w.staysSealed(t, b, "net::ERR_FAILED PreflightMissingAllowOriginHeader")
		})
	}
}

func (w *world) staysSealed(t *testing.T, b *browser, refused string) {
	t.Helper()
	b.awaitText(unreachable, w.sealedInput)
	b.awaitQuiet(t, "POST", w.server.URL, 3)
	b.rendered()
	b.holdsNothing()
	b.screenshot("history")
	for _, x := range b.with("POST", w.server.URL) {
		if x.status != 0 || x.refused != refused {
			t.Errorf("decode: %+v, want no answer and %s", x, refused)
		}
	}
	if records := w.server.Audit(t); len(records) > 0 {
		t.Errorf("audit has %+v", records)
	}
}
