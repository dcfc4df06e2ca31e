package ui

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/signet-temporal/signet/e2e/stack"
	"github.com/signet-temporal/signet/tools/parts"
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
			b.savesHistory(w, map[string]holds{encodedFile: {sealed: sealedPayloads}, decodedFile: {secrets: true}, readableFile: {secrets: true}})

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
			b.savesHistory(w, map[string]holds{decodedFile: {explained: sealedPayloads}, readableFile: {explained: sealedPayloads}})

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

// In strict mode the Web UI gets the status, and says nothing about the cause, unless it is told what to say.
func TestInStrictModeThePageShowsCiphertextAndTheUIsOwnError(t *testing.T) {
	t.Parallel()
	const sentence = "Ask #payments-oncall, or open the self-test."
	told := setting{sentence: sentence}
	w := newWorld(t, stack.ServerOptions{Mode: "strict"}, setting{}, told)
	alice := w.uiTokens(t, "alice")
	inPlace := map[version][]string{ui253: {"Data decoding failed"}} // beside the banner
	for _, v := range versions() {
		t.Run(string(v), func(t *testing.T) {
			b := openBrowser(t, w.server.Cert.CAFile)
			b.logIn(w.page(w.uis[v][setting{}], "history"), "bob")
			w.refused(t, b, 403, append(inPlace[v], unreachable)...)
			b.savesHistory(w, map[string]holds{decodedFile: {sealed: sealedPayloads}, readableFile: {sealed: sealedPayloads}})
			for _, r := range w.decisions(t, "u-bob") {
				if r.Decision != "deny" || r.Reason != "not-granted" {
					t.Errorf("audit has %+v", r)
				}
			}

			b = openBrowser(t, w.server.Cert.CAFile)
			b.plant(w.uis[v][told], parts.Tokens{Access: unsigned(t, alice.Access), ID: alice.ID})
			b.open(w.page(w.uis[v][told], "history"))
			w.refused(t, b, 401, append(inPlace[v], sentence)...)
			for _, r := range w.decisions(t, "") {
				if r.Decision != "deny" || r.Reason != "bad-signature" {
					t.Errorf("audit has %+v", r)
				}
			}
		})
	}
}

// refused: the history page renders with ciphertext and what the UI says, and each of its requests had the status.
func (w *world) refused(t *testing.T, b *browser, status int64, says ...string) {
	t.Helper()
	b.awaitText(append(says, w.sealedInput)...)
	b.awaitQuiet(t, "POST", w.server.URL, 3)
	b.rendered()
	b.holdsNothing()
	b.screenshot(fmt.Sprint("history-", status))
	posts := b.with("POST", w.server.URL)
	t.Logf("%d decodes", len(posts))
	for _, x := range posts {
		if x.status != status || x.refused != "" {
			t.Errorf("the page must get the status: %+v", x)
		}
	}
}
