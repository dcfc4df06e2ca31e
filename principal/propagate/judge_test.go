package propagate

import (
	"context"
	"errors"
	"testing"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/workflow"

	"github.com/signet-temporal/signet/keys/keystest"
	"github.com/signet-temporal/signet/principal"
)

// What judges is tried here at its edges; e2e/principal plays the same against a real server.

var morning = time.Date(2026, 11, 26, 8, 0, 0, 0, time.UTC)

func carol() principal.Principal {
	return principal.Principal{Kind: principal.KindUser, Issuer: "https://idp", Subject: "carol", Tenant: "acme", IssuedAt: morning}
}

func judging(t *testing.T, o Options) *Propagator {
	t.Helper()
	o.Scope = "payments"
	o, err := o.check()
	if err != nil {
		t.Fatal(err)
	}
	return &Propagator{options: o, memory: newRevalidated(o.Revalidate)}
}

func reason(err error) string {
	if err == nil {
		return ""
	}
	return reasonOf(err)
}

func TestWhichRunsAHeaderBegins(t *testing.T) {
	info := func(change func(*workflow.Info)) *workflow.Info {
		i := &workflow.Info{Namespace: "payments", Attempt: 1, WorkflowStartTime: morning}
		i.WorkflowExecution.ID, i.WorkflowType.Name = "intake-1", "Intake"
		change(i)
		return i
	}
	asIs := func(*workflow.Info) {}
	start := Record{Principal: carol(), Kind: KindStart, SealedAt: morning, Place: PlaceOf(KindStart, "intake-1", "Intake")}
	of := func(change func(*Record)) Record {
		r := start
		change(&r)
		return r
	}
	child := of(func(r *Record) { r.Kind, r.Place = KindChild, PlaceOf(KindChild, "parent", "Intake") })
	parent := func(namespace string) func(*workflow.Info) {
		return func(i *workflow.Info) {
			i.ParentWorkflowExecution, i.ParentWorkflowNamespace = &workflow.Execution{ID: "parent"}, namespace
		}
	}
	continued := of(func(r *Record) {
		r.Kind, r.Place, r.SealedAt = KindContinued, PlaceOf(KindContinued, "intake-1", ""), morning.Add(-time.Second)
	})
	schedule := of(func(r *Record) {
		r.Kind, r.Place, r.SealedAt = KindSchedule, PlaceOf(KindSchedule, "intake", "Intake"), morning.Add(-time.Hour)
	})
	for name, c := range map[string]struct {
		record Record
		info   *workflow.Info
		want   string
	}{
		"its own":                      {start, info(asIs), ""},
		"at the end of the skew":       {of(func(r *Record) { r.SealedAt = morning.Add(-5 * time.Minute) }), info(asIs), ""},
		"after the skew":               {of(func(r *Record) { r.SealedAt = morning.Add(-5*time.Minute - time.Second) }), info(asIs), ReasonStale},
		"a clock that is ahead":        {of(func(r *Record) { r.SealedAt = morning.Add(5*time.Minute + time.Second) }), info(asIs), ReasonStale},
		"a retry, later":               {of(func(r *Record) { r.SealedAt = morning.Add(-time.Hour) }), info(func(i *workflow.Info) { i.Attempt, i.ContinuedExecutionRunID = 2, "before" }), ""},
		"a cron run, later":            {of(func(r *Record) { r.SealedAt, r.Cron = morning.Add(-time.Hour), true }), info(func(i *workflow.Info) { i.CronSchedule, i.ContinuedExecutionRunID = "@daily", "before" }), ""},
		"cron added":                   {start, info(func(i *workflow.Info) { i.CronSchedule = "@daily" }), ReasonCron},
		"cron added to a later run":    {start, info(func(i *workflow.Info) { i.CronSchedule, i.ContinuedExecutionRunID = "@daily", "before" }), ReasonCron},
		"cron taken away":              {of(func(r *Record) { r.Cron = true }), info(asIs), ReasonCron},
		"another id":                   {start, info(func(i *workflow.Info) { i.WorkflowExecution.ID = "intake-2" }), ReasonMisplaced},
		"another type":                 {start, info(func(i *workflow.Info) { i.WorkflowType.Name = "Other" }), ReasonMisplaced},
		"a start for a child":          {start, info(parent("payments")), ReasonMisplaced},
		"with a message":               {of(func(r *Record) { r.Message, r.Place = Place{1}, PlaceOf(KindStart, "intake-1", "") }), info(asIs), ""},
		"with a message, its type":     {of(func(r *Record) { r.Message = Place{1} }), info(asIs), ""},
		"with a message, another type": {of(func(r *Record) { r.Message = Place{1} }), info(func(i *workflow.Info) { i.WorkflowType.Name = "Other" }), ReasonMisplaced},
		"a child":                      {child, info(parent("payments")), ""},
		"a child from elsewhere":       {child, info(parent("clinic")), ReasonNamespace},
		"a child from where it may":    {child, info(parent("friends")), ""},
		"a child without a parent":     {child, info(asIs), ReasonMisplaced},
		"continued":                    {continued, info(func(i *workflow.Info) { i.ContinuedExecutionRunID = "before" }), ""},
		"continued, long ago": {of(func(r *Record) {
			r.Kind, r.Place, r.SealedAt = KindContinued, PlaceOf(KindContinued, "intake-1", ""), morning.Add(-time.Hour)
		}), info(func(i *workflow.Info) { i.ContinuedExecutionRunID = "before" }), ReasonStale},
		"continued, then retried": {of(func(r *Record) {
			r.Kind, r.Place, r.SealedAt = KindContinued, PlaceOf(KindContinued, "intake-1", ""), morning.Add(-time.Hour)
		}), info(func(i *workflow.Info) { i.Attempt, i.ContinuedExecutionRunID = 2, "before" }), ""},
		"a start for a continued run": {start, info(func(i *workflow.Info) { i.ContinuedExecutionRunID = "before" }), ReasonMisplaced},
		"a child, long ago": {of(func(r *Record) {
			r.Kind, r.Place, r.SealedAt = KindChild, PlaceOf(KindChild, "parent", "Intake"), morning.Add(-time.Hour)
		}), info(parent("payments")), ReasonStale},
		"continued, without a before":  {continued, info(asIs), ReasonMisplaced},
		"a schedule's run":             {schedule, info(func(i *workflow.Info) { i.WorkflowExecution.ID = "intake-2026-11-26T08:00:00Z" }), ""},
		"a schedule's run, other type": {schedule, info(func(i *workflow.Info) { i.WorkflowExecution.ID, i.WorkflowType.Name = "intake", "Other" }), ReasonMisplaced},
		"a schedule by hand":           {schedule, info(func(i *workflow.Info) { i.WorkflowExecution.ID = "intake" }), ""},
		"a schedule of a longer name":  {schedule, info(asIs), ReasonMisplaced},
		"a schedule's run with cron":   {schedule, info(func(i *workflow.Info) { i.WorkflowExecution.ID, i.CronSchedule = "intake", "@daily" }), ReasonCron},
		"an activity's":                {of(func(r *Record) { r.Kind = KindActivity }), info(asIs), ReasonMisplaced},
		"a message's":                  {of(func(r *Record) { r.Kind = KindMessage }), info(asIs), ReasonMisplaced},
		"the replayer's made-up id":    {start, info(func(i *workflow.Info) { i.WorkflowExecution.ID = "ReplayId" }), ReasonMisplaced},
	} {
		p := judging(t, Options{AcceptParentsFrom: []string{"friends"}})
		if got := reason(p.begins(c.record, c.info)); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	p := judging(t, Options{}).Replayer()
	for name, i := range map[string]*workflow.Info{
		"without its id": info(func(i *workflow.Info) { i.Namespace, i.WorkflowExecution.ID = "ReplayNamespace", "ReplayId" }),
		"with its id":    info(func(i *workflow.Info) { i.Namespace = "ReplayNamespace" }),
	} {
		if err := p.begins(start, i); err != nil {
			t.Errorf("a replayer %s: %v", name, err)
		}
	}
	if err := p.begins(child, info(parent("payments"))); err != nil {
		t.Errorf("a replayer: a child: %v", err)
	}
}

func TestAReplayerThatDoesNotKnowTheWorkflowStillTellsHeadersOfMessagesFromOthers(t *testing.T) {
	p, err := New(keystest.NewRing(t, "principal/payments"), Options{Scope: "payments"})
	if err != nil {
		t.Fatal(err)
	}
	info := &workflow.Info{Namespace: "ReplayNamespace", WorkflowStartTime: morning}
	info.WorkflowExecution.ID = "ReplayId"
	for kind, want := range map[Kind]string{KindMessage: "", KindActivity: ReasonMisplaced, KindSchedule: ReasonMisplaced} {
		header, err := p.sealer.Seal(Record{Principal: carol(), Kind: kind, SealedAt: morning, Place: PlaceOf(kind, "intake-1", "note")})
		if err != nil {
			t.Fatal(err)
		}
		if a := p.Replayer().sender(header, "note", info, carol(), true); reason(a.err) != want {
			t.Errorf("%s: %v, want %q", kind, a.err, want)
		}
	}
}

func TestWhomAnActivityRunsFor(t *testing.T) {
	p := judging(t, Options{AllowAnonymousStarts: []string{"Open"}})
	var info activity.Info
	info.WorkflowExecution.ID, info.WorkflowType = "w", &workflow.Type{Name: "Open"}
	if a := p.performer(nil, info); a.err != principal.ErrNone { //nolint:errorlint // no *Error
		t.Errorf("of a workflow that may run for nobody: %v", a.err)
	}
	info.WorkflowType = &workflow.Type{Name: "Closed"}
	if a := p.performer(nil, info); reason(a.err) != ReasonMissing || !errors.Is(a.err, principal.ErrNone) {
		t.Errorf("of another: %v", a.err)
	}
	if a := p.performer(nil, activity.Info{WorkflowType: &workflow.Type{Name: "Open"}}); a.err == principal.ErrNone { //nolint:errorlint // one that was refused matches as well
		t.Errorf("of no workflow: %v", a.err)
	}
}

func TestAnActivityIsSealedShortlyBeforeItIsScheduled(t *testing.T) {
	p, err := New(keystest.NewRing(t, "principal/payments"), Options{Scope: "payments", StartSkew: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	for age, want := range map[time.Duration]string{0: "", 5 * time.Minute: "", 5*time.Minute + time.Second: ReasonStale} {
		header, err := p.sealer.Seal(Record{Principal: carol(), Kind: KindActivity, SealedAt: morning, Place: PlaceOf(KindActivity, "w", "Charge")})
		if err != nil {
			t.Fatal(err)
		}
		info := activity.Info{WorkflowType: &workflow.Type{Name: "Billing"}, ActivityType: activity.Type{Name: "Charge"}, ScheduledTime: morning.Add(age)}
		info.WorkflowExecution.ID = "w"
		if a := p.performer(header, info); reason(a.err) != want {
			t.Errorf("after %s: %v, want %q", age, a.err, want)
		}
		info.ActivityType.Name = "Refund"
		if a := p.performer(header, info); reason(a.err) != ReasonMisplaced {
			t.Errorf("another activity: %v", a.err)
		}
	}
}

func TestAStandaloneActivityIsSealedShortlyBeforeItIsFirstScheduledAtEveryAttempt(t *testing.T) {
	p, err := New(keystest.NewRing(t, "principal/payments"), Options{Scope: "payments"})
	if err != nil {
		t.Fatal(err)
	}
	header, err := p.sealer.Seal(Record{Principal: carol(), Kind: KindStandalone, SealedAt: morning, Place: PlaceOf(KindStandalone, "charge-1", "Charge")})
	if err != nil {
		t.Fatal(err)
	}
	for attempt := range int32(3) {
		info := activity.Info{ActivityID: "charge-1", ActivityType: activity.Type{Name: "Charge"}, Attempt: attempt + 1}
		for age, want := range map[time.Duration]string{time.Minute: "", time.Hour: ReasonStale} {
			info.ScheduledTime = morning.Add(age)
			if a := p.performer(header, info); reason(a.err) != want {
				t.Errorf("attempt %d, after %s: %v, want %q", attempt+1, age, a.err, want)
			}
		}
	}
}

func TestAnAnswerAboutAPrincipalHoldsForEveryTokenOfTheSameSomebody(t *testing.T) {
	asked := 0
	r := newRevalidated(func(context.Context, principal.Principal) error { asked++; return nil })
	later := carol()
	later.IssuedAt, later.Txn = morning.Add(time.Hour), "t-2"
	for _, p := range []principal.Principal{carol(), later, carol()} {
		if err := r.check(t.Context(), p); err != nil {
			t.Error(err)
		}
	}
	other := carol()
	other.Tenant = "globex"
	if err := r.check(t.Context(), other); err != nil || asked != 2 {
		t.Errorf("%v, asked %d times, want 2", err, asked)
	}
}

func TestOptionsThatCannotBeMeantAreRefused(t *testing.T) {
	for name, o := range map[string]Options{
		"no scope":      {},
		"negative skew": {Scope: "s", StartSkew: -1},
		"policy":        {Scope: "s", Messages: 7},
		"age":           {Scope: "s", MaxAge: map[string]time.Duration{"": 0}},
	} {
		if _, err := New(nil, o); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func nightly() {}

type cleaner struct{}

func (*cleaner) Weekly() {}

func TestAScheduleMayNameItsWorkflowByAFunction(t *testing.T) {
	for want, given := range map[string]any{"Monthly": "Monthly", "nightly": nightly, "Weekly": (*cleaner)(nil).Weekly, "": 7} {
		if got := typeName(given); got != want {
			t.Errorf("%v is named %q, want %q", given, got, want)
		}
	}
	if typeName(nil) != "" {
		t.Error("nothing has a name")
	}
}
