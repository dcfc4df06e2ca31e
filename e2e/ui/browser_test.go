package ui

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"github.com/signet-temporal/signet/e2e/stack"
	"github.com/signet-temporal/signet/tools/parts"
)

// patience is how long a condition of a page may take to come true. Two slow cores need some of it.
const patience = 30 * time.Second

// browser is one Chromium with an empty profile, showing one tab. Its web security is on: CORS and certificates count.
type browser struct {
	t     *testing.T
	ctx   context.Context
	shots string // folder
	*traffic
}

// openBrowser starts Chromium, which trusts the authority in caFile; an empty one: the system's authorities alone. It
// ends with the test, and what it showed last is kept if the test has failed.
func openBrowser(t *testing.T, caFile string) *browser {
	t.Helper()
	paths := stack.Ensure(t, parts.Chromium)
	home := t.TempDir()
	if caFile != "" {
		trust(t, home, caFile)
	}
	output := &bytes.Buffer{}
	allocator, stop := chromedp.NewExecAllocator(context.WithoutCancel(t.Context()),
		chromedp.ExecPath(paths.Chromium),
		chromedp.UserDataDir(filepath.Join(home, "profile")),
		chromedp.Env("HOME="+home, "XDG_CONFIG_HOME="+home, "XDG_CACHE_HOME="+home, "LANGUAGE=en", "TZ=UTC"),
		chromedp.Flag("headless", "new"),
		chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck,
		chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true),
		chromedp.Flag("disable-dev-shm-usage", true),
		chromedp.WindowSize(1500, 1250),
		chromedp.CombinedOutput(output),
		chromedp.WSURLReadTimeout(time.Minute),
	)
	ctx, _ := chromedp.NewContext(allocator)
	b := &browser{t: t, ctx: ctx, shots: filepath.Join(paths.Root, ".parts", "screenshots"), traffic: newTraffic()}
	t.Cleanup(func() {
		if t.Failed() {
			b.screenshot("failed")
		}
		// The browser has to be gone before its folder is removed.
		closing, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		if err := chromedp.Cancel(closing); err != nil {
			t.Logf("close Chromium: %v", err)
		}
		stop()
	})
	if err := chromedp.Listen(ctx, b.event); err != nil {
		t.Fatalf("start Chromium: %v: %s", err, output)
	}
	if _, err := chromedp.Call(ctx, network.Enable, network.EnableParams{}); err != nil {
		t.Fatalf("start Chromium: %v", err)
	}
	return b
}

// in returns the same browser for a subtest.
func (b *browser) in(t *testing.T) *browser {
	c := *b
	c.t = t
	t.Cleanup(func() {
		if t.Failed() {
			c.screenshot("failed")
		}
	})
	return &c
}

// do runs steps one after the other.
func (b *browser) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		b.t.Fatalf("%v; the page says:\n%s", err, b.text())
	}
}

// open navigates to a page of the UI.
func (b *browser) open(url string) {
	b.t.Helper()
	b.do(chromedp.Navigate(url))
}

// visit opens another page of the UI when this one has its answers, and forgets them: what a page has asked for when it is
// left is never answered.
func (b *browser) visit(w *world, url string) {
	b.t.Helper()
	b.awaitQuiet(b.t, "POST", w.server.URL, 0)
	b.forget()
	b.open(url)
}

// click clicks on the first element that sel finds: a CSS selector, an XPath or a text.
func (b *browser) click(sel string) {
	b.t.Helper()
	b.do(chromedp.Click(sel, chromedp.NodeVisible))
}

// paste puts text where sel is, all at once as from the clipboard: editors add quotes and brackets to what is typed.
func (b *browser) paste(sel, text string) {
	b.t.Helper()
	b.do(chromedp.Focus(sel, chromedp.NodeVisible))
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if _, err := chromedp.Call(ctx, input.InsertText, input.InsertTextParams{Text: text}); err != nil {
		b.t.Fatalf("paste into %s: %v", sel, err)
	}
}

// eval returns the text that a JavaScript expression gives; "" while the page is being replaced.
func (b *browser) eval(js string) string {
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string](js))
	if err != nil {
		return ""
	}
	return text
}

// text is what a person reads on the page, the frames that it consists of included: one version shows summaries in them.
func (b *browser) text() string {
	return b.eval(documents + `.map(d => d.body ? d.body.innerText : "").join("\n")`)
}

// everything is all that the page holds, seen or not: the tree with its attributes, its text without the tags of syntax
// highlighting, and what stands in form fields.
func (b *browser) everything() string {
	return b.eval(documents + `.flatMap(d => [d.documentElement.outerHTML, d.documentElement.textContent,
		...[...d.querySelectorAll("input, textarea")].map(e => e.value)]).join("\n")`)
}

// documents is the page's document and those of its frames.
const documents = `[document, ...[...document.querySelectorAll("iframe")].map(f => f.contentDocument).filter(d => d)]`

// awaitText waits until a person can read each of the texts on the page.
func (b *browser) awaitText(want ...string) {
	b.t.Helper()
	stack.Eventually(b.t, patience, func() error {
		text := b.text()
		for _, w := range want {
			if !strings.Contains(text, w) {
				return fmt.Errorf("the page does not say %q but:\n%s", w, text)
			}
		}
		return nil
	})
}

// show scrolls to the last place where the page says text.
func (b *browser) show(text string) {
	b.t.Helper()
	place := fmt.Sprintf(`[...document.querySelectorAll("body *")].filter(e => e.textContent.includes(%q)).at(-1)`, text)
	if b.eval(`(e => e ? (e.scrollIntoView({block: "center"}), "yes") : "no")(`+place+`)`) != "yes" {
		b.t.Errorf("the page does not say %q", text)
	}
}

// screenshot keeps the whole page in .parts/screenshots, under the name of the test and what.
func (b *browser) screenshot(what string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	png, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	if err != nil {
		b.t.Errorf("screenshot: %v", err)
		return
	}
	name := strings.NewReplacer("/", "-", " ", "-").Replace(b.t.Name() + "-" + what)
	if err := os.MkdirAll(b.shots, 0o755); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(b.shots, name+".png"), png, 0o644); err != nil {
		b.t.Fatal(err)
	}
}
