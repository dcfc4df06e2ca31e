package history_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	sdk "go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/signet-temporal/signet"
	"github.com/signet-temporal/signet/e2e/stack"
)

// asked is a workflow that answers queries with errors.
type asked struct {
	mark           string
	holds, release chan struct{} // see withATask
}

// Asked waits. Its query says what it was asked for: an error with and without a type, or a panic.
func (a *asked) Asked(ctx workflow.Context) error {
	if err := workflow.SetQueryHandler(ctx, "ask", func(how string) (string, error) {
		switch how {
		case "panic":
			panic(a.mark + "-panic")
		case "typed":
			return "", temporal.NewApplicationError(a.mark+"-typed", "Type", a.mark+"-details")
		}
		return "", fmt.Errorf("asking: %w", errors.New(a.mark+"-plain"))
	}); err != nil {
		return err
	}
	for {
		var hold bool
		workflow.GetSignalChannel(ctx, "wake").Receive(ctx, &hold)
		if hold && !workflow.IsReplaying(ctx) {
			a.holds <- struct{}{}
			<-a.release
		}
	}
}

// asking is one namespace with clients for asking, and what they and the workers said on the wire.
type asking struct {
	asked
	client, raw client.Client
	dc          sdk.DataConverter // for arguments that go past the client
	wire        *traffic
	t           *testing.T
}

func newAsking(t *testing.T, s *stack.Stack, namespace, mark string, dc sdk.DataConverter, plugins ...client.Plugin) *asking {
	t.Helper()
	a := &asking{asked: asked{mark, make(chan struct{}), make(chan struct{})}, dc: dc, wire: &traffic{}, t: t, raw: s.ClientWith(t, namespace)}
	a.client = s.ClientWith(t, namespace, append([]client.Plugin{a.wire.plugin(t)}, plugins...)...)
	w := worker.New(a.client, taskQueue, worker.Options{DeadlockDetectionTimeout: time.Minute})
	w.RegisterWorkflow(a.Asked)
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Stop)
	if _, err := a.client.ExecuteWorkflow(t.Context(), startOptions("asked"), a.Asked); err != nil {
		t.Fatal(err)
	}
	return a
}

// answer asks and returns the error's text; it must be one of a failed query.
func (a *asking) answer(c client.Client, query string, args ...any) string {
	ctx, cancel := context.WithTimeout(a.t.Context(), 30*time.Second)
	defer cancel()
	_, err := c.QueryWorkflow(ctx, "asked", "", query, args...)
	var failed *serviceerror.QueryFailed
	if !errors.As(err, &failed) {
		a.t.Errorf("query %s: %T: %v", query, err, err)
		return ""
	}
	if failed.Message != err.Error() {
		a.t.Errorf("query %s: the error says %q and its message is %q", query, err, failed.Message)
	}
	return err.Error()
}

// withATask has a query answered with a workflow task. Whether one is, the server decides, and on a busy machine not always
// as we would have it: so it is asked until one was.
func (a *asking) withATask(c client.Client) (text string) {
	a.t.Helper()
	for attempt := range 5 {
		if text, with := a.beside(c, time.Duration(attempt+1)*time.Second); with {
			return text
		}
	}
	a.t.Error("no query was answered with a workflow task")
	return text
}

// beside asks while a workflow task is under way that another one has to follow, so that the question comes with that.
// One question may wait so, and nothing shows that it does; patience is how long it is given to arrive.
func (a *asking) beside(c client.Client, patience time.Duration) (text string, withTask bool) {
	a.t.Helper()
	wake := func(hold bool) {
		a.t.Helper()
		if err := a.client.SignalWorkflow(a.t.Context(), "asked", "", "wake", hold); err != nil {
			a.t.Fatal(err)
		}
	}
	before := len(a.wire.messages())
	wake(true)
	<-a.holds
	wake(false)
	argument := sdk.NewRawValue(sealed(a.t, a.dc, "typed"))
	answer := make(chan string, 1)
	go func() { answer <- a.answer(c, "ask", argument) }()
	time.Sleep(patience)
	a.release <- struct{}{}
	text = <-answer
	for _, m := range a.wire.messages()[before:] {
		if r, ok := m.body.(*workflowservice.RespondWorkflowTaskCompletedRequest); ok && len(r.GetQueryResults()) == 1 {
			return text, true
		}
	}
	return text, false
}

// TestTheErrorOfAQueryIsSealed asks in every way that fails, in a sealed namespace and in one in clear. Who has the keys
// reads the same in both; who has none, and who listens, reads that it is sealed.
func TestTheErrorOfAQueryIsSealed(t *testing.T) {
	s := stack.Start(t, stack.Options{Namespaces: []string{"payments", "clear"}, WithoutOIDC: true})
	held := &faulty{Ring: s.DefaultRing(t)}
	mark := newScenario().mark
	ours := newAsking(t, s, "payments", mark, converterOf(t, held, "payments", "asked"), s.Plugin(t, held, signet.Options{}))
	control := newAsking(t, s, "clear", mark, sdk.GetDefaultDataConverter())
	const sentence = "text of this query's error is sealed"

	got, want := ours.withATask(ours.client), control.withATask(control.client)
	if got != want || !strings.Contains(got, mark+"-typed (type: Type") {
		t.Errorf("answered with a workflow task, the error is %q, in clear it is %q", got, want)
	}
	if got := ours.withATask(ours.raw); !strings.Contains(got, sentence) {
		t.Errorf("answered with a workflow task, without keys the error is %q", got)
	}
	for _, q := range []struct{ query, how, says string }{
		{"ask", "plain", "asking: " + mark + "-plain"},
		{"ask", "typed", mark + "-typed (type: Type, retryable: true)"},
		{"ask", "panic", mark + "-panic"},
		{"nobody-knows", "", "unknown queryType nobody-knows"},
	} {
		got, want := ours.answer(ours.client, q.query, q.how), control.answer(control.client, q.query, q.how)
		got, _, _ = strings.Cut(got, "stack trace") // of a panic: with addresses
		want, _, _ = strings.Cut(want, "stack trace")
		if got != want || !strings.Contains(got, q.says) {
			t.Errorf("query %s %s: the error is %q, in clear it is %q", q.query, q.how, got, want)
		}
		argument := sdk.NewRawValue(sealed(t, ours.dc, q.how))
		if got := ours.answer(ours.raw, q.query, argument); !strings.Contains(got, sentence) {
			t.Errorf("query %s %s: without keys the error is %q", q.query, q.how, got)
		}
	}
	lacksAKeyWhileAnswering(t, ours, held)

	if leaks := ours.wire.evidence(t).holding(mark); leaks != nil {
		t.Errorf("the text of an error is in clear in the %q", leaks)
	}
	for _, where := range []string{"request of RespondQueryTaskCompleted", "request of RespondWorkflowTaskCompleted", "error of QueryWorkflow"} {
		if !slices.Contains(control.wire.evidence(t).holding(mark), where) {
			t.Errorf("the control does not show it in the %s: the test would not see it leak", where)
		}
	}
}

// lacksAKeyWhileAnswering: where the key to seal is missing for a moment, the text is withheld and the query fails.
func lacksAKeyWhileAnswering(t *testing.T, a *asking, held *faulty) {
	t.Helper()
	argument := sdk.NewRawValue(sealed(t, a.dc, "plain"))
	held.refuses.Store(true)
	defer held.refuses.Store(false)
	if got := a.answer(a.raw, "ask", argument); !strings.Contains(got, "is sealed") {
		t.Errorf("without a key to seal, a caller without keys reads %q", got)
	}
	if got := a.answer(a.client, "nobody-knows"); !strings.Contains(got, "withheld") || !strings.Contains(got, "key-unavailable") {
		t.Errorf("without a key to seal, the query fails with %q", got)
	}
}
