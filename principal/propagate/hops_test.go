package propagate

import (
	"context"
	"testing"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/workflow"

	"github.com/signet-temporal/signet/keys/keystest"
	"github.com/signet-temporal/signet/principal"
)

// Each check in front of a workflow, message and activity is tried here with a genuine header that it alone refuses.

func sealing(t *testing.T, o Options) *Propagator {
	t.Helper()
	o.Scope = "payments"
	p, err := New(keystest.NewRing(t, "principal/payments"), o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func sealed(t *testing.T, p *Propagator, change func(*Record)) *commonpb.Payload {
	t.Helper()
	r := Record{Principal: carol(), Kind: KindStart, SealedAt: morning, Place: PlaceOf(KindStart, "intake-1", "Intake")}
	change(&r)
	header, err := p.sealer.Seal(r)
	if err != nil {
		t.Fatal(err)
	}
	return header
}

func intake(change func(*workflow.Info)) *workflow.Info {
	i := &workflow.Info{Namespace: "payments", Attempt: 1, WorkflowStartTime: morning}
	i.WorkflowExecution.ID, i.WorkflowType.Name = "intake-1", "Intake"
	change(i)
	return i
}

func asItIs[T any](*T) {}

func TestWhomAWorkflowRunsFor(t *testing.T) {
	scheduled := func(r *Record) { r.Kind, r.Place = KindSchedule, PlaceOf(KindSchedule, "intake-1", "Intake") }
	for name, c := range map[string]struct {
		o      Options
		record func(*Record)
		info   func(*workflow.Info)
		want   string
	}{
		"its own":            {Options{}, asItIs[Record], asItIs[workflow.Info], ""},
		"of another id":      {Options{}, asItIs[Record], func(i *workflow.Info) { i.WorkflowExecution.ID = "intake-2" }, ReasonMisplaced},
		"of this tenant":     {Options{Tenant: "acme"}, asItIs[Record], asItIs[workflow.Info], ""},
		"of another tenant":  {Options{Tenant: "globex"}, asItIs[Record], asItIs[workflow.Info], ReasonTenant},
		"a user's schedule":  {Options{}, scheduled, asItIs[workflow.Info], ReasonSchedules},
		"where users may":    {Options{Schedules: SchedulesCreator}, scheduled, asItIs[workflow.Info], ""},
		"at its age":         {Options{MaxAge: map[string]time.Duration{"Intake": time.Hour}}, func(r *Record) { r.Principal.IssuedAt = morning.Add(-time.Hour) }, asItIs[workflow.Info], ""},
		"too old":            {Options{MaxAge: map[string]time.Duration{"Intake": time.Hour}}, func(r *Record) { r.Principal.IssuedAt = morning.Add(-time.Hour - time.Second) }, asItIs[workflow.Info], ReasonExpired},
		"too old for others": {Options{MaxAge: map[string]time.Duration{"": time.Hour, "Intake": 3 * time.Hour}}, func(r *Record) { r.Principal.IssuedAt = morning.Add(-2 * time.Hour) }, asItIs[workflow.Info], ""},
		"too old, as all":    {Options{MaxAge: map[string]time.Duration{"": time.Hour}}, func(r *Record) { r.Principal.IssuedAt = morning.Add(-2 * time.Hour) }, asItIs[workflow.Info], ReasonExpired},
		"not for a replayer": {Options{InsecureReplayWithoutKeys: true}, asItIs[Record], func(i *workflow.Info) { i.WorkflowExecution.ID = "intake-2" }, ReasonMisplaced},
	} {
		p := sealing(t, c.o)
		if a := p.owner(sealed(t, p, c.record), intake(c.info)); reason(a.err) != c.want {
			t.Errorf("%s: %v, want %q", name, a.err, c.want)
		}
	}
	if a := sealing(t, Options{InsecureReplayWithoutKeys: true}).Replayer().owner(nil, intake(asItIs[workflow.Info])); a.err != nil || a.record.Principal.Subject != "unverified-replay" {
		t.Errorf("a replayer without keys: %+v", a)
	}
}

func TestWhichChildrenAHeaderBegins(t *testing.T) {
	of := func(i *workflow.Info) {
		i.ParentWorkflowExecution, i.ParentWorkflowNamespace = &workflow.Execution{ID: "parent"}, "payments"
	}
	for name, c := range map[string]struct {
		age    time.Duration
		change func(*workflow.Info)
		want   string
	}{
		"its own":             {0, func(*workflow.Info) {}, ""},
		"of another parent":   {0, func(i *workflow.Info) { i.ParentWorkflowExecution.ID = "other" }, ReasonMisplaced},
		"of another type":     {0, func(i *workflow.Info) { i.WorkflowType.Name = "Other" }, ReasonMisplaced},
		"with cron":           {0, func(i *workflow.Info) { i.CronSchedule = "@daily" }, ReasonCron},
		"a retry, much later": {time.Hour, func(i *workflow.Info) { i.Attempt, i.ContinuedExecutionRunID = 2, "before" }, ""},
	} {
		r := Record{Principal: carol(), Kind: KindChild, SealedAt: morning.Add(-c.age), Place: PlaceOf(KindChild, "parent", "Intake")}
		if err := judging(t, Options{}).begins(r, intake(func(i *workflow.Info) { of(i); c.change(i) })); reason(err) != c.want {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	r := Record{Principal: carol(), Kind: KindChild, SealedAt: morning, Place: PlaceOf(KindChild, "parent", "Intake")}
	replayed := intake(func(i *workflow.Info) { of(i); i.Namespace = "ReplayNamespace" })
	if err := judging(t, Options{}).Replayer().begins(r, replayed); err != nil {
		t.Errorf("a replayer knows no namespace: %v", err)
	}
	bare := Record{Principal: carol(), Kind: KindStart, SealedAt: morning, Place: PlaceOf(KindStart, "intake-1", "")}
	if err := judging(t, Options{}).begins(bare, intake(asItIs[workflow.Info])); reason(err) != ReasonMisplaced {
		t.Errorf("a start of no type, without a message: %v", err)
	}
}

func TestWhoSendsAMessage(t *testing.T) {
	message := func(r *Record) { r.Kind, r.Place = KindMessage, PlaceOf(KindMessage, "intake-1", "note") }
	by := func(change func(*principal.Principal)) func(*Record) {
		return func(r *Record) { message(r); change(&r.Principal) }
	}
	bob := by(func(p *principal.Principal) { p.Subject = "bob" })
	stranger := by(func(p *principal.Principal) { p.Tenant = "globex" })
	started := func(target, name string) func(*Record) {
		return func(r *Record) { r.Message = PlaceOf(KindMessage, target, name) }
	}
	for name, c := range map[string]struct {
		o      Options
		record func(*Record)
		owned  bool
		want   string
	}{
		"the owner":                           {Options{}, message, true, ""},
		"a colleague":                         {Options{}, bob, true, ""},
		"of another tenant":                   {Options{}, stranger, true, ReasonMessages},
		"of another tenant, any":              {Options{Messages: MessagesAny}, stranger, true, ""},
		"any, to nobody":                      {Options{Messages: MessagesAny}, message, false, ""},
		"of a tenant that is not ours":        {Options{Messages: MessagesAny, Tenant: "acme"}, stranger, true, ReasonTenant},
		"the owner alone":                     {Options{Messages: MessagesSamePrincipal}, message, true, ""},
		"a colleague, the owner alone":        {Options{Messages: MessagesSamePrincipal}, bob, true, ReasonMessages},
		"to nobody":                           {Options{}, message, false, ReasonMessages},
		"to nobody, the owner alone":          {Options{Messages: MessagesSamePrincipal}, message, false, ReasonMessages},
		"to another workflow":                 {Options{}, func(r *Record) { r.Kind, r.Place = KindMessage, PlaceOf(KindMessage, "intake-2", "note") }, true, ReasonMisplaced},
		"of another name":                     {Options{}, func(r *Record) { r.Kind, r.Place = KindMessage, PlaceOf(KindMessage, "intake-1", "pay") }, true, ReasonMisplaced},
		"of a start":                          {Options{}, started("intake-1", "note"), true, ""},
		"of a start, of another name":         {Options{}, started("intake-1", "pay"), true, ReasonMisplaced},
		"of a start without a message":        {Options{}, asItIs[Record], true, ReasonMisplaced},
		"an activity's":                       {Options{}, func(r *Record) { r.Kind, r.Place = KindActivity, PlaceOf(KindMessage, "intake-1", "note") }, true, ReasonMisplaced},
		"as long before the run as it may":    {Options{}, func(r *Record) { message(r); r.SealedAt = morning.Add(-5 * time.Minute) }, true, ""},
		"long before the run":                 {Options{}, func(r *Record) { message(r); r.SealedAt = morning.Add(-5*time.Minute - time.Second) }, true, ReasonStale},
		"a worker that may replay insecurely": {Options{InsecureReplayWithoutKeys: true}, stranger, true, ReasonMessages},
	} {
		p := sealing(t, c.o)
		owner := carol()
		if !c.owned {
			owner = principal.Principal{}
			if c.want == ReasonMessages { // a sender who equals nobody in what is compared
				owner = carol()
			}
		}
		if a := p.sender(sealed(t, p, c.record), "note", intake(asItIs[workflow.Info]), owner, c.owned); reason(a.err) != c.want {
			t.Errorf("%s: %v, want %q", name, a.err, c.want)
		}
	}
}

func TestWhichActivitiesAHeaderIsFor(t *testing.T) {
	ofActivity := func(r *Record) { r.Kind, r.Place = KindActivity, PlaceOf(KindActivity, "intake-1", "Charge") }
	for name, c := range map[string]struct {
		o      Options
		record func(*Record)
		info   func(*activity.Info)
		want   string
	}{
		"its own":              {Options{}, ofActivity, asItIs[activity.Info], ""},
		"of another workflow":  {Options{}, ofActivity, func(i *activity.Info) { i.WorkflowExecution.ID = "intake-2" }, ReasonMisplaced},
		"of another tenant":    {Options{Tenant: "globex"}, ofActivity, asItIs[activity.Info], ReasonTenant},
		"of another kind":      {Options{}, func(r *Record) { r.Kind, r.Place = KindMessage, PlaceOf(KindActivity, "intake-1", "Charge") }, asItIs[activity.Info], ReasonMisplaced},
		"much later":           {Options{}, ofActivity, func(i *activity.Info) { i.ScheduledTime = morning.Add(time.Hour) }, ReasonStale},
		"much later, if local": {Options{}, ofActivity, func(i *activity.Info) { i.ScheduledTime, i.IsLocalActivity = morning.Add(time.Hour), true }, ""},
	} {
		p := sealing(t, c.o)
		info := activity.Info{WorkflowType: &workflow.Type{Name: "Intake"}, ActivityType: activity.Type{Name: "Charge"}, ScheduledTime: morning}
		info.WorkflowExecution.ID = "intake-1"
		c.info(&info)
		if a := p.performer(sealed(t, p, c.record), info); reason(a.err) != c.want {
			t.Errorf("%s: %v, want %q", name, a.err, c.want)
		}
	}
}

func TestWhatMayBeSealed(t *testing.T) {
	ctx := func(p principal.Principal, h hop) context.Context {
		return with(principal.NewContext(t.Context(), p), h)
	}
	spoiled := carol()
	spoiled.Subject = "carol smith"
	start := hop{kind: KindStart, target: "intake-1", name: "Intake"}
	refused := with(context.WithValue(t.Context(), principal.Key{}, error(refuse(ReasonMissing, ""))), hop{kind: KindStart, anonymous: true})
	for name, c := range map[string]struct {
		o    Options
		ctx  context.Context
		want string
	}{
		"a start":                              {Options{}, ctx(carol(), start), ""},
		"of another tenant":                    {Options{Tenant: "globex"}, ctx(carol(), start), ReasonTenant},
		"a user's schedule":                    {Options{}, ctx(carol(), scheduleHop("nightly", "Bill")), ReasonSchedules},
		"a name with a space":                  {Options{}, ctx(spoiled, start), ReasonMalformed},
		"to a namespace that is not named":     {Options{}, ctx(carol(), hop{kind: KindChild, namespace: "clinic"}), ReasonNamespace},
		"nobody":                               {Options{}, with(t.Context(), start), ReasonMissing},
		"nobody, where that may be":            {Options{}, with(t.Context(), hop{kind: KindStart, anonymous: true}), ""},
		"who was refused, where nobody may be": {Options{}, refused, ReasonMissing},
	} {
		if _, _, _, err := sealing(t, c.o).record(c.ctx, morning); reason(err) != c.want {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	if _, _, _, err := sealing(t, Options{}).record(principal.NewContext(t.Context(), carol()), morning); err != errNoHop { //nolint:errorlint // this one
		t.Errorf("for nothing that was said: %v", err)
	}
}

func TestAClientIsWiredWithThePropagatorAndBothInterceptors(t *testing.T) {
	p := sealing(t, Options{})
	propagators := []workflow.ContextPropagator{p}
	all := []interceptor.ClientInterceptor{p.ClientInterceptor(), p.WorkerInterceptor().(interceptor.ClientInterceptor)}
	for name, c := range map[string]struct {
		o    client.Options
		want bool
	}{
		"all":                   {client.Options{ContextPropagators: propagators, Interceptors: all}, true},
		"no propagator":         {client.Options{Interceptors: all}, false},
		"no client interceptor": {client.Options{ContextPropagators: propagators, Interceptors: all[1:]}, false},
		"no worker interceptor": {client.Options{ContextPropagators: propagators, Interceptors: all[:1]}, false},
	} {
		if Wired(c.o) != c.want {
			t.Errorf("%s: want %t", name, c.want)
		}
	}
}
