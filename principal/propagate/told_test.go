package propagate

import (
	"bytes"
	"context"
	"encoding/binary"
	"testing"
	"time"

	"github.com/tink-crypto/tink-go/v2/tink"
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"github.com/signet-temporal/signet/principal"
)

// calls stand behind the client's interceptor and remember what they were told the last call is.
type calls struct {
	interceptor.ClientOutboundInterceptorBase
	hop    any
	action client.ScheduleAction
}

func (c *calls) ExecuteWorkflow(ctx context.Context, _ *interceptor.ClientExecuteWorkflowInput) (client.WorkflowRun, error) {
	c.hop = ctx.Value(hopKey{})
	return nil, nil
}

func (c *calls) UpdateWithStartWorkflow(ctx context.Context, _ *interceptor.ClientUpdateWithStartWorkflowInput) (client.WorkflowUpdateHandle, error) {
	c.hop = ctx.Value(hopKey{})
	return nil, nil
}

func (c *calls) QueryWorkflow(ctx context.Context, _ *interceptor.ClientQueryWorkflowInput) (converter.EncodedValue, error) {
	c.hop = ctx.Value(hopKey{})
	return nil, nil
}

func (c *calls) CreateSchedule(ctx context.Context, in *interceptor.ScheduleClientCreateInput) (client.ScheduleHandle, error) {
	c.hop, c.action = ctx.Value(hopKey{}), in.Options.Action
	return nil, nil
}

func TestWhatACallIs(t *testing.T) {
	c := &calls{}
	out := sealing(t, Options{AllowAnonymousStarts: []string{"Open"}}).ClientInterceptor().InterceptClient(c)
	start := func(o client.StartWorkflowOptions, name string) func() error {
		return func() error {
			_, err := out.ExecuteWorkflow(t.Context(), &interceptor.ClientExecuteWorkflowInput{Options: &o, WorkflowType: name})
			return err
		}
	}
	query := func(name string) func() error {
		return func() error {
			_, err := out.QueryWorkflow(t.Context(), &interceptor.ClientQueryWorkflowInput{WorkflowID: "w", QueryType: name})
			return err
		}
	}
	update := func(id string) func() error {
		return func() error {
			_, err := out.UpdateWithStartWorkflow(t.Context(), &interceptor.ClientUpdateWithStartWorkflowInput{UpdateOptions: &client.UpdateWorkflowOptions{WorkflowID: id, UpdateName: "touch"}})
			return err
		}
	}
	for name, c2 := range map[string]struct {
		call func() error
		want any
	}{
		"a start":                      {start(client.StartWorkflowOptions{ID: "w"}, "Intake"), hop{kind: KindStart, target: "w", name: "Intake"}},
		"a start by cron":              {start(client.StartWorkflowOptions{ID: "w", CronSchedule: "@daily"}, "Intake"), hop{kind: KindStart, target: "w", name: "Intake", cron: true}},
		"a start of nobody's":          {start(client.StartWorkflowOptions{ID: "w"}, "Open"), hop{kind: KindStart, target: "w", name: "Open", anonymous: true}},
		"a query":                      {query("state"), hop{kind: KindMessage, target: "w", name: "state"}},
		"a query that the SDK answers": {query("__stack_trace"), hop{kind: KindMessage, target: "w", name: "__stack_trace", anonymous: true}},
		"an update-with-start":         {update("w"), hop{kind: KindStart, target: "w", message: "touch"}},
		"one that hides its id":        {update(""), nil},
	} {
		c.hop = nil
		if err := c2.call(); (err == nil) != (c2.want != nil) || c.hop != c2.want {
			t.Errorf("%s: it is %+v, %v; want %+v", name, c.hop, err, c2.want)
		}
	}
}

func TestAScheduleGetsAnIDInACopyOfWhatTheCallerGave(t *testing.T) {
	c := &calls{}
	out := sealing(t, Options{}).ClientInterceptor().InterceptClient(c)
	given := &client.ScheduleWorkflowAction{Workflow: "Bill"}
	in := &interceptor.ScheduleClientCreateInput{Options: &client.ScheduleOptions{Action: given}}
	if _, err := out.CreateSchedule(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	sent := c.action.(*client.ScheduleWorkflowAction)
	if given.ID != "" || in.Options.Action != client.ScheduleAction(given) || len(sent.ID) != 32 || c.hop != scheduleHop(sent.ID, "Bill") {
		t.Errorf("given %+v, sent %+v, for %+v", given, sent, c.hop)
	}
}

// commands stand behind the workflow's interceptor.
type commands struct {
	interceptor.WorkflowOutboundInterceptorBase
	hop any
}

func (c *commands) ExecuteChildWorkflow(ctx workflow.Context, _ string, _ ...any) workflow.ChildWorkflowFuture {
	c.hop = ctx.Value(hopKey{})
	return nil
}

func TestWhatAChildIs(t *testing.T) {
	inWorkflow(t, func(*testsuite.TestWorkflowEnvironment) {}, func(ctx workflow.Context) {
		c := &commands{}
		out := &workflowOutbound{WorkflowOutboundInterceptorBase: interceptor.WorkflowOutboundInterceptorBase{Next: c}}
		plain := hop{kind: KindChild, target: own(ctx), name: "Child", anonymous: true}
		cron, away := plain, plain
		cron.cron, away.namespace = true, "clinic"
		for name, o := range map[string]struct {
			options workflow.ChildWorkflowOptions
			want    hop
		}{
			"plain":   {workflow.ChildWorkflowOptions{}, plain},
			"by cron": {workflow.ChildWorkflowOptions{CronSchedule: "@daily"}, cron},
			//lint:ignore SA1019 where it is used it has to be heeded
			"in its own, by name": {workflow.ChildWorkflowOptions{Namespace: workflow.GetInfo(ctx).Namespace}, plain},
			//lint:ignore SA1019 where it is used it has to be heeded
			"in another": {workflow.ChildWorkflowOptions{Namespace: "clinic"}, away},
		} {
			if out.ExecuteChildWorkflow(workflow.WithChildOptions(ctx, o.options), "Child"); c.hop != o.want {
				t.Errorf("%s: it is %+v, want %+v", name, c.hop, o.want)
			}
		}
	})
}

// gone are keys that are not there, for now or for good.
type gone struct {
	Keys
	permanent bool
}

func (g gone) Error() string                             { return "no key" }
func (g gone) Permanent() bool                           { return g.permanent }
func (g gone) Primary(string) (uint32, tink.AEAD, error) { return 0, nil, g }

// written is a header that is being written.
type written map[string]*commonpb.Payload

func (w written) Set(name string, p *commonpb.Payload) { w[name] = p }

func TestAMissingKeyFailsTheWorkflowTaskAndNotTheWorkflow(t *testing.T) {
	for _, permanent := range []bool{false, true} {
		p, err := New(gone{permanent: permanent}, Options{Scope: "payments", InsecureReplayWithoutKeys: true})
		if err != nil {
			t.Fatal(err)
		}
		want := map[bool]string{false: ReasonUnavailable, true: ReasonDestroyed}[permanent]
		if err := p.Ready(); reason(err) != want {
			t.Errorf("it is ready: %v, want %q", err, want)
		}
		inWorkflow(t, func(*testsuite.TestWorkflowEnvironment) {}, func(ctx workflow.Context) {
			ctx = hopFrom(ctx, KindActivity, own(ctx), "Charge")
			func() {
				defer func() {
					if err, _ := recover().(error); reason(err) != want {
						t.Errorf("it panics with %v, want %q", err, want)
					}
				}()
				t.Errorf("it returns %v", p.InjectFromWorkflow(ctx, written{}))
			}()
			if err := p.Replayer().InjectFromWorkflow(ctx, written{}); err != nil {
				t.Errorf("a replayer without keys: %v", err)
			}
		})
	}
}

func TestOnlyWhatMayBeGoodLaterIsRetried(t *testing.T) {
	for _, later := range []string{ReasonUnavailable, ReasonUnchecked} {
		if refuse(later, "").Permanent() {
			t.Errorf("%s is for good", later)
		}
	}
	if !refuse(ReasonStale, "").Permanent() {
		t.Error("a stale one is not for good")
	}
}

func TestARecordWithNumbersThatCannotBeMeantDoesNotParse(t *testing.T) {
	good, err := Record{Principal: carol(), Kind: KindStart, SealedAt: morning, Place: Place{1}}.append(nil)
	if err != nil {
		t.Fatal(err)
	}
	rest := good[2+len(binary.AppendUvarint(nil, uint64(morning.Unix()))):] // #nosec G115 -- after 1970
	with := func(sealed uint64, rest []byte) []byte {
		return append(binary.AppendUvarint([]byte{good[0], good[1]}, sealed), rest...)
	}
	if _, err := parseRecord(with(uint64(morning.Unix()), rest)); err != nil { // #nosec G115 -- after 1970
		t.Fatal(err)
	}
	for name, bad := range map[string][]byte{
		"sealed after 9999":   with(maxSeconds+1, rest),
		"a number of 64 bits": with(1<<64-1, rest),
		"a text of 64 bits":   binary.AppendUvarint(bytes.Clone(good[:len(good)-1]), 1<<64-1),
	} {
		if r, err := parseRecord(bad); err == nil {
			t.Errorf("%s: it parses as %+v", name, r)
		}
	}
}

func TestOptionsThatAreChangedLaterDoNotCount(t *testing.T) {
	age := map[string]time.Duration{"": time.Hour}
	p := judging(t, Options{MaxAge: age})
	age[""] = 100 * time.Hour
	if err := p.options.fresh(carol(), "Intake", morning.Add(2*time.Hour)); reason(err) != ReasonExpired {
		t.Errorf("an old principal: %v", err)
	}
	for name, o := range map[string]Options{"messages": {Scope: "s", Messages: -1}, "schedules": {Scope: "s", Schedules: 2}, "no schedules": {Scope: "s", Schedules: -1}} {
		if _, err := o.check(); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func (c *commands) NewContinueAsNewError(ctx workflow.Context, _ any, _ ...any) error {
	c.hop = ctx.Value(principal.Key{})
	return nil
}

func TestAWorkflowDoesNotChangeHandsWhenItContinues(t *testing.T) {
	inWorkflow(t, func(*testsuite.TestWorkflowEnvironment) {}, func(ctx workflow.Context) {
		c := &commands{}
		out := &workflowOutbound{WorkflowOutboundInterceptorBase: interceptor.WorkflowOutboundInterceptorBase{Next: c}}
		bob := carol()
		bob.Subject = "bob"
		ctx = workflow.WithValue(ctx, startedKey{}, &started{arrival{record: Record{Principal: carol()}}})
		if _ = out.NewContinueAsNewError(workflow.WithValue(ctx, principal.Key{}, bob), "Intake"); c.hop != carol() {
			t.Errorf("it goes on for %v", c.hop)
		}
	})
}
