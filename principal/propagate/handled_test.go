package propagate

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"github.com/signet-temporal/signet/keys/keystest"
	"github.com/signet-temporal/signet/principal"
)

// handlers stand behind the interceptor and remember by whom, and for whom, they were last called.
type handlers struct {
	interceptor.WorkflowInboundInterceptorBase
	calls             int
	caller, principal any
}

func (h *handlers) called(ctx workflow.Context) {
	h.calls++
	h.caller, h.principal = ctx.Value(callerKey{}), ctx.Value(principal.Key{})
}

func (h *handlers) HandleSignal(ctx workflow.Context, _ *interceptor.HandleSignalInput) error {
	h.called(ctx)
	return nil
}

func (h *handlers) HandleQuery(ctx workflow.Context, _ *interceptor.HandleQueryInput) (any, error) {
	h.called(ctx)
	return nil, nil
}

func (h *handlers) ValidateUpdate(ctx workflow.Context, _ *interceptor.UpdateInput) error {
	h.called(ctx)
	return nil
}

func (h *handlers) ExecuteUpdate(ctx workflow.Context, _ *interceptor.UpdateInput) (any, error) {
	h.called(ctx)
	return nil, nil
}

// inWorkflow runs do as a workflow of carol's.
func inWorkflow(t *testing.T, prepare func(*testsuite.TestWorkflowEnvironment), do func(workflow.Context)) {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(log.NewStructuredLogger(slog.New(slog.DiscardHandler)))
	env := suite.NewTestWorkflowEnvironment()
	prepare(env)
	env.ExecuteWorkflow(func(ctx workflow.Context) error {
		do(workflow.WithValue(ctx, principal.Key{}, carol()))
		return nil
	})
	if err := env.GetWorkflowError(); err != nil {
		t.Error(err)
	}
}

func TestWhatReachesAHandler(t *testing.T) {
	p := sealing(t, Options{AllowAnonymousMessages: []string{"open"}})
	inWorkflow(t, func(*testsuite.TestWorkflowEnvironment) {}, func(ctx workflow.Context) {
		bob := carol()
		bob.Subject = "bob"
		message := func(name string) *commonpb.Payload {
			return sealed(t, p, func(r *Record) {
				*r = Record{Principal: bob, Kind: KindMessage, SealedAt: workflow.Now(ctx), Place: PlaceOf(KindMessage, own(ctx), name)}
			})
		}
		for kind, c := range map[string]struct {
			send func(*workflowInbound, workflow.Context, string) error
			once bool
		}{
			"signal": {func(w *workflowInbound, ctx workflow.Context, name string) error {
				return w.HandleSignal(ctx, &interceptor.HandleSignalInput{SignalName: name})
			}, true},
			"query": {func(w *workflowInbound, ctx workflow.Context, name string) error {
				_, err := w.HandleQuery(ctx, &interceptor.HandleQueryInput{QueryType: name})
				return err
			}, false},
			"validation": {func(w *workflowInbound, ctx workflow.Context, name string) error {
				return w.ValidateUpdate(ctx, &interceptor.UpdateInput{Name: name})
			}, false},
			"update": {func(w *workflowInbound, ctx workflow.Context, name string) error {
				_, err := w.ExecuteUpdate(ctx, &interceptor.UpdateInput{Name: name})
				return err
			}, true},
		} {
			h := &handlers{}
			w := &workflowInbound{WorkflowInboundInterceptorBase: interceptor.WorkflowInboundInterceptorBase{Next: h}, p: p}
			send := func(name string, header *commonpb.Payload) error {
				return c.send(w, workflow.WithValue(ctx, messageKey{}, header), name)
			}
			note := message("note")
			if err := send("note", note); err != nil || h.calls != 1 || h.caller != bob || h.principal != carol() {
				t.Errorf("%s: %v, called %d times by %v for %v", kind, err, h.calls, h.caller, h.principal)
			}
			again := 2
			if c.once {
				again = 1
			}
			if err := send("note", note); h.calls != again || c.once && kind == "update" && err == nil {
				t.Errorf("%s, once more: %v, called %d times", kind, err, h.calls)
			}
			if err := send("note", nil); h.calls != again || (err == nil) != (kind == "signal") { // a signal is dropped
				t.Errorf("%s, from nobody: %v, called %d times", kind, err, h.calls)
			}
			for range 2 { // what has no header cannot be told from what was handled
				again++
				if err := send("open", nil); err != nil || h.calls != again || h.caller != principal.ErrNone || h.principal != principal.ErrNone {
					t.Errorf("%s, open to all: %v, called %d times by %v for %v", kind, err, h.calls, h.caller, h.principal)
				}
			}
			if err := c.send(w, ctx, "open"); h.calls != again || (err == nil) != (kind == "signal") {
				t.Errorf("%s, without the propagator: %v", kind, err)
			}
		}
		w := &workflowInbound{WorkflowInboundInterceptorBase: interceptor.WorkflowInboundInterceptorBase{Next: &handlers{}}, p: p}
		note := workflow.WithValue(ctx, messageKey{}, message("note"))
		_ = w.HandleSignal(note, &interceptor.HandleSignalInput{SignalName: "note"})
		if err := w.ValidateUpdate(note, &interceptor.UpdateInput{Name: "note"}); err == nil {
			t.Error("an update with the header of a signal is let in")
		}
		if _, err := w.HandleQuery(note, &interceptor.HandleQueryInput{QueryType: "note"}); err == nil {
			t.Error("a query with the header of a signal is answered")
		}
	})
}

func TestWhatTheRunBeforeSaysOfAHeader(t *testing.T) {
	refused := func(reason string) error { return failure(refuse(reason, ""), true) }
	timeout := temporal.NewTimeoutError(1, nil)
	for name, c := range map[string]struct {
		last    error
		attempt int32
		cron    string
		age     time.Duration
		allowed bool
		replays bool
		want    string
	}{
		"nothing":                            {nil, 0, "@daily", time.Hour, false, false, ""},
		"cron, refused as stale":             {refused(ReasonStale), 0, "@daily", 0, false, false, ReasonStale},
		"cron, refused and nobody says why":  {temporal.NewApplicationError("", TypeInvalid), 0, "@daily", 0, false, false, ReasonStale},
		"cron, refused for something else":   {refused(ReasonTenant), 0, "@daily", 0, false, false, ""},
		"cron, an error of the workflow":     {temporal.NewApplicationError("", "Sick"), 0, "@daily", 0, false, false, ""},
		"no cron, refused as stale":          {refused(ReasonStale), 0, "", 0, false, false, ""},
		"cron, timed out":                    {timeout, 0, "@daily", time.Hour, false, false, ReasonStale},
		"cron, timed out, fresh":             {timeout, 0, "@daily", time.Minute, false, false, ""},
		"cron, timed out, where that may be": {timeout, 0, "@daily", time.Hour, true, false, ""},
		"cron, timed out, in a replayer":     {timeout, 0, "@daily", time.Hour, false, true, ""},
		"a retry, timed out":                 {timeout, 2, "", time.Hour, false, false, ReasonStale},
		"neither cron nor a retry":           {timeout, 0, "", time.Hour, false, false, ""},
	} {
		p := sealing(t, Options{})
		p.replayer = c.replays
		prepare := func(env *testsuite.TestWorkflowEnvironment) {
			if c.last != nil {
				env.SetLastError(c.last)
			}
		}
		inWorkflow(t, prepare, func(ctx workflow.Context) {
			info := workflow.GetInfo(ctx)
			info.CronSchedule, info.Attempt = c.cron, max(c.attempt, 1) // the environment's own: it cannot be told of them
			if c.allowed {
				p.options.AllowRetriesAfterTimeout = []string{info.WorkflowType.Name}
			}
			w := &workflowInbound{p: p}
			if err := w.follows(ctx, Record{SealedAt: info.WorkflowStartTime.Add(-c.age)}); reason(err) != c.want {
				t.Errorf("%s: %v, want %q", name, err, c.want)
			}
		})
	}
}

func TestAnAnswerAboutAPrincipalHoldsForAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked, answer := 0, error(nil)
		r := newRevalidated(func(context.Context, principal.Principal) error { asked++; return answer })
		want := func(refused string, times int) {
			t.Helper()
			if err := r.check(t.Context(), carol()); reason(err) != refused || asked != times {
				t.Errorf("%v, asked %d times; want %q, %d", err, asked, refused, times)
			}
		}
		want("", 1)
		answer = ErrRevoked
		time.Sleep(verdictHolds)
		want("", 1)
		time.Sleep(time.Nanosecond)
		want(ReasonRevoked, 2)
		answer = errors.New("canary")
		want(ReasonRevoked, 2)
		time.Sleep(verdictHolds + time.Nanosecond)
		want(ReasonUnchecked, 3) // and that is asked again at once
		answer = nil
		want("", 4)
	})
}

func TestWhoWasAskedAboutIsForgottenRatherThanKeptForEver(t *testing.T) {
	r := newRevalidated(func(context.Context, principal.Principal) error { return nil })
	for n := range verdictsKept + 10 {
		r.keep(principal.Principal{AuthTime: time.Unix(int64(n), 0)}, verdict{})
	}
	if len(r.known) > verdictsKept {
		t.Errorf("%d verdicts are kept", len(r.known))
	}
}

func TestASealerNeedsKeysAndAScope(t *testing.T) {
	ring := keystest.NewRing(t, "principal/payments")
	long := string(make([]byte, maxData+1))
	for name, c := range map[string]struct {
		keys          Keys
		keyset, scope string
	}{
		"no keys": {nil, "principal/payments", "payments"}, "no keyset": {ring, "", "payments"},
		"no scope": {ring, "principal/payments", ""}, "a long scope": {ring, "principal/payments", long},
	} {
		if _, err := NewSealer(c.keys, c.keyset, c.scope); err == nil {
			t.Errorf("%s: a sealer is made", name)
		}
	}
	header := sealed(t, sealing(t, Options{}), asItIs[Record])
	header.Data[0] = 0
	if _, err := sealing(t, Options{}).sealer.Open(header); reason(err) != ReasonMalformed {
		t.Errorf("without Tink's prefix: %v", err)
	}
	header.Data[0] = 1
	header.ExternalPayloads = []*commonpb.Payload_ExternalPayloadDetails{{}}
	if _, err := sealing(t, Options{}).sealer.Open(header); reason(err) != ReasonMalformed {
		t.Errorf("with something beside it that is not authenticated: %v", err)
	}
}
