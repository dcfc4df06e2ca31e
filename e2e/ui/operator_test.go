package ui

import (
	"slices"
	"strings"
	"testing"

	"github.com/signet-temporal/signet/e2e/stack"
)

// Titles of events in the event history; a click on one opens the event.
const (
	failedRow = `//td//p[contains(., "Activity Task Failed")]`
	signalRow = `//td//p[contains(., "Workflow Execution Signaled")]`
)

func TestOperatorWhoMaySeesPlaintext(t *testing.T) {
	t.Parallel()
	w := newWorld(t, stack.ServerOptions{}, setting{})
	for _, v := range versions() {
		t.Run(string(v), func(t *testing.T) {
			b := openBrowser(t, w.server.Cert.CAFile)
			ui := w.uis[v][setting{}]
			b.logIn(w.page(ui, "history"), "alice")
			b.awaitText(inputSecret, resultSecret, summarySecret)
			b.rendered()
			w.checkTraffic(t, b)
			b.screenshot("history")

			// The failure is decoded where a person opens its event.
			b.click(failedRow)
			b.awaitText(failureSecret, detailSecret)
			b.show(failureSecret)
			b.screenshot("failure")
			b.click(signalRow)
			b.awaitText(signalSecret)
			// So what the other tests look through, to find nothing, does hold everything.
			page := b.everything()
			for _, secret := range []string{inputSecret, resultSecret, summarySecret, signalSecret, activitySecret} {
				if !strings.Contains(page, secret) {
					t.Errorf("the page of one who may does not hold %q", secret)
				}
			}

			b.open(w.page(ui, "memo"))
			b.awaitText(memoSecret)
			b.screenshot("memo")

			for _, r := range w.decisions(t, "u-alice") {
				if r.Decision != "allow" || r.Subject != "u-alice" || r.Email != "alice@example.com" || r.Rule != "payments-oncall" ||
					r.Namespace != "payments" || r.Workflow != workflowID || r.Agent != "browser" || r.Action != "decode" {
					t.Errorf("audit has %+v", r)
				}
			}
		})
	}
}

// checkTraffic: the browser really asked for permission first, over a connection whose certificate it had checked.
func (w *world) checkTraffic(t *testing.T, b *browser) {
	t.Helper()
	b.awaitQuiet(t, "POST", w.server.URL, 3)
	preflights := b.with("OPTIONS", w.server.URL)
	if len(preflights) == 0 {
		t.Fatal("the browser sent no preflight")
	}
	for _, x := range preflights {
		if x.status != 204 || x.refused != "" {
			t.Errorf("preflight: %+v", x)
		}
		for _, name := range []string{"authorization", "authorization-extras", "content-type", "x-namespace"} {
			if !slices.Contains(x.asks, name) {
				t.Errorf("the preflight asks for %v, not for %s", x.asks, name)
			}
		}
	}
	posts := b.with("POST", w.server.URL)
	t.Logf("%d preflights, %d decodes", len(preflights), len(posts))
	for _, x := range posts {
		if x.status != 200 || !x.bearer || x.protocol != "h2" || x.issuer != "Signet test CA" || !strings.HasSuffix(x.url, "/decode?preserveStorageRefs=true") {
			t.Errorf("decode: %+v", x)
		}
	}
}

func TestOperatorWhoMayNotSeesTheExplanation(t *testing.T) {
	t.Parallel()
	w := newWorld(t, stack.ServerOptions{}, setting{})
	for _, v := range versions() {
		t.Run(string(v), func(t *testing.T) {
			b := openBrowser(t, w.server.Cert.CAFile)
			ui := w.uis[v][setting{}]
			b.logIn(w.page(ui, "history"), "bob")
			b.awaitText("You may not decode payloads of namespace", contact, "bob@example.com", "not-granted")
			b.awaitQuiet(t, "POST", w.server.URL, 3)
			b.rendered()
			b.holdsNothing()
			b.screenshot("history")

			b.click(failedRow)
			b.awaitText("Declined")
			b.awaitQuiet(t, "POST", w.server.URL, 4)
			b.holdsNothing()
			b.show("Declined")
			b.screenshot("failure")

			b.open(w.page(ui, "memo"))
			b.awaitText("ward", "You may not decode payloads of namespace")
			b.holdsNothing()
			b.screenshot("memo")

			for _, x := range b.with("POST", w.server.URL) {
				if x.status != 200 {
					t.Errorf("in explain mode the answer is a page that renders: %+v", x)
				}
			}
			for _, r := range w.decisions(t, "u-bob") {
				if r.Decision != "deny" || r.Reason != "not-granted" || r.Rule != "" || r.Namespace != "" ||
					r.Claimed == nil || r.Claimed.Namespace != "payments" || r.Claimed.Workflow != workflowID {
					t.Errorf("audit has %+v", r)
				}
			}
		})
	}
}

func TestWithoutACodecThePageShowsCiphertext(t *testing.T) {
	t.Parallel()
	w := newWorld(t, stack.ServerOptions{}, setting{withoutCodec: true})
	for _, v := range versions() {
		t.Run(string(v), func(t *testing.T) {
			b := openBrowser(t, w.server.Cert.CAFile)
			ui := w.uis[v][setting{withoutCodec: true}]
			b.logIn(w.page(ui, "history"), "alice")
			b.awaitText(w.sealedInput)
			b.awaitQuiet(t, "POST", w.server.URL, 0)
			b.rendered()
			b.holdsNothing()
			b.screenshot("history")
			b.open(w.page(ui, "memo"))
			b.awaitText("ward", w.sealedMemo)
			b.holdsNothing()
			b.screenshot("memo")
			if calls := b.with("POST", w.server.URL); len(calls) > 0 || len(w.server.Audit(t)) > 0 {
				t.Errorf("the codec server was asked: %+v", calls)
			}
		})
	}
}

func TestInStrictModeThePageShowsCiphertextAndTheUIsOwnError(t *testing.T) {
	t.Parallel()
	w := newWorld(t, stack.ServerOptions{Mode: "strict"}, setting{})
	for _, v := range versions() {
		t.Run(string(v), func(t *testing.T) {
			b := openBrowser(t, w.server.Cert.CAFile)
			ui := w.uis[v][setting{}]
			b.logIn(w.page(ui, "history"), "bob")
			b.awaitText(map[version]string{ui258: unreachable, ui253: "Data decoding failed"}[v], w.sealedInput)
			b.awaitQuiet(t, "POST", w.server.URL, 3)
			b.rendered()
			b.holdsNothing()
			b.screenshot("history")
			posts := b.with("POST", w.server.URL)
			t.Logf("%d decodes", len(posts))
			for _, x := range posts {
				if x.status != 403 || x.refused != "" {
					t.Errorf("the page must get the status: %+v", x)
				}
			}
			for _, r := range w.decisions(t, "u-bob") {
				if r.Decision != "deny" || r.Reason != "not-granted" {
					t.Errorf("audit has %+v", r)
				}
			}
		})
	}
}
