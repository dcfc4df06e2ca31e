package ui

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	sdk "go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/signet-temporal/signet"
	"github.com/signet-temporal/signet/converter"
	"github.com/signet-temporal/signet/e2e/stack"
)

const (
	longID        = "long-4711"
	foreignSecret = "planted-foreign-77ab"
	mixedID       = "mixed-4711"
	steps         = 66 // three rows each
)

// sealedFor returns a payload as a worker of the namespace seals it.
func (w *world) sealedFor(t *testing.T, namespace, text string) *common.Payload {
	t.Helper()
	codec, err := converter.NewCodec(w.DefaultRing(t), converter.CodecOptions{Keyset: stack.Keyset(namespace), Scope: namespace})
	if err != nil {
		t.Fatal(err)
	}
	dc, err := converter.NewDataConverter(nil, codec)
	if err != nil {
		t.Fatal(err)
	}
	bound := sdk.WithDataConverterSerializationContext(dc, sdk.WorkflowSerializationContext{Namespace: namespace, WorkflowID: mixedID})
	ps, err := bound.ToPayloads(text)
	if err != nil {
		t.Fatal(err)
	}
	return ps.GetPayloads()[0]
}

// mixedWorkflow has one argument of its own namespace and one of another. No worker takes it on.
func (w *world) mixedWorkflow(t *testing.T) string {
	t.Helper()
	run, err := w.ClientWith(t, "payments").ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: mixedID, TaskQueue: "nobody"}, "mixed",
		sdk.NewRawValue(w.sealedFor(t, "payments", inputSecret)), sdk.NewRawValue(w.sealedFor(t, "orders", foreignSecret)))
	if err != nil {
		t.Fatal(err)
	}
	return run.GetRunID()
}

func step(i int) string { return fmt.Sprintf("%s-%03d", activitySecret, i) }

// longWorkflow has run all its activities, which makes some 200 rows with a payload in most of them.
func (w *world) longWorkflow(t *testing.T) string {
	t.Helper()
	c := w.Client(t, "payments", signet.Options{})
	wk := worker.New(c, "long", worker.Options{})
	wk.RegisterWorkflowWithOptions(func(ctx workflow.Context) error {
		ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: time.Minute})
		var running []workflow.Future
		for i := range steps {
			running = append(running, workflow.ExecuteActivity(ctx, "echo", step(i)))
		}
		for _, f := range running {
			if err := f.Get(ctx, nil); err != nil {
				return err
			}
		}
		return nil
	}, workflow.RegisterOptions{Name: "long"})
	wk.RegisterActivityWithOptions(func(in string) (string, error) { return in, nil }, activity.RegisterOptions{Name: "echo"})
	if err := wk.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(wk.Stop)
	run, err := c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: longID, TaskQueue: "long"}, "long")
	if err != nil {
		t.Fatal(err)
	}
	if err := run.Get(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	return run.GetRunID()
}

// TestALongPageDecodesAndOneForeignPayloadIsExplained: the values of every activity of a history of 200 events decode
// as a person goes through it, with the limits that a server has by default; and on a page with one payload of a namespace that is closed to the caller, that one is explained beside
// the others.
func TestALongPageDecodesAndOneForeignPayloadIsExplained(t *testing.T) {
	t.Parallel()
	w := newWorld(t, stack.ServerOptions{}, setting{})
	long, mixed := w.longWorkflow(t), w.mixedWorkflow(t)
	for _, v := range versions() {
		t.Run(string(v), func(t *testing.T) {
			b := openBrowser(t, w.server.Cert.CAFile)
			at := w.uis[v][setting{}] + "/namespaces/payments/workflows/%s/%s/history?sort=ascending&per-page=250"
			b.logIn(fmt.Sprintf(at, longID, long), "alice")
			b.awaitText(step(0))
			b.awaitQuiet(t, "POST", w.server.URL, steps/2)
			w.allDecoded(t, b)

			b.forget()
			b.open(fmt.Sprintf(at, mixedID, mixed))
			b.awaitText(inputSecret, "Look at this payload in namespace orders", "namespace-mismatch")
			b.awaitQuiet(t, "POST", w.server.URL, 1)
			b.screenshot("mixed")
			if text := b.everything(); strings.Contains(text, foreignSecret) {
				t.Error("the page holds what is sealed for the other namespace")
			}
			denied := 0
			for _, r := range w.decisions(t, "u-alice") {
				if r.Decision == "allow" {
					continue
				}
				denied++
				if r.Reason != "namespace-mismatch" || r.Claimed == nil || r.Claimed.Namespace != "orders" {
					t.Errorf("audit has %+v", r)
				}
			}
			if denied == 0 {
				t.Error("audit has no refusal of the foreign payload")
			}
		})
	}
}

// allDecoded: the history shows what every activity was given, page after page.
func (w *world) allDecoded(t *testing.T, b *browser) {
	t.Helper()
	seen := map[int]bool{}
	stack.Eventually(t, patience, func() error {
		text := b.everything()
		for i := range steps {
			if strings.Contains(text, step(i)) {
				seen[i] = true
			}
		}
		if len(seen) < steps {
			names := b.eval(nextPage)
			return fmt.Errorf("%d of %d activities are decoded; buttons: %s", len(seen), steps, names)
		}
		return nil
	})
	b.awaitQuiet(t, "POST", w.server.URL, steps)
	posts := b.with("POST", w.server.URL)
	t.Logf("%d requests", len(posts))
	for _, x := range posts {
		if x.status != 200 || x.refused != "" {
			t.Errorf("decode: %+v", x)
		}
	}
	for _, r := range w.decisions(t, "u-alice") {
		if r.Reason == "rate-limited" {
			t.Errorf("the page met the limits: %+v", r)
		}
	}
}

// nextPage scrolls to the end of the page, and asks for the next one where there is one.
const nextPage = `(() => {
	window.scrollTo(0, document.body.scrollHeight);
	document.querySelectorAll("main, #content, [class*=overflow]").forEach(e => e.scrollTo(0, e.scrollHeight));
	const all = [...document.querySelectorAll("button")];
	const next = all.find(e => /next/i.test((e.getAttribute("aria-label") || "") + (e.dataset.testid || "")) && !e.disabled);
	if (next) next.click();
	return all.map(e => e.getAttribute("aria-label") || e.dataset.testid || e.innerText).join(" | ");
})()`
