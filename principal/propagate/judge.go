package propagate

import (
	"slices"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/workflow"

	"github.com/signet-temporal/signet/internal/wire"
	"github.com/signet-temporal/signet/principal"
)

// What is judged here is a function of a header and of what the server says of the run, so that a replay judges alike.

// arrival is what came in a header, once it is open.
type arrival struct {
	record Record
	err    error // an *Error, or principal.ErrNone where that is allowed
}

// open opens a header. anonymous: it may be missing.
func (p *Propagator) open(header *commonpb.Payload, anonymous bool) arrival {
	if header == nil && anonymous {
		return arrival{err: principal.ErrNone}
	}
	if header == nil {
		return arrival{err: refuse(ReasonMissing, "start and call with a client that has signet's plugin and a principal in the context")}
	}
	record, err := p.sealer.Open(header)
	return arrival{record, err}
}

// judge lets err stand in an arrival that had none.
func (a arrival) judge(what ...error) arrival {
	for _, err := range what {
		if a.err == nil {
			a.err = err
		}
	}
	return a
}

// owner judges for whom a run of a workflow is.
func (p *Propagator) owner(header *commonpb.Payload, info *workflow.Info) arrival {
	if p.replayer && p.options.InsecureReplayWithoutKeys {
		return arrival{record: Record{Principal: principal.Principal{Kind: principal.KindService, Subject: "unverified-replay", Tenant: p.options.Tenant, IssuedAt: info.WorkflowStartTime}}}
	}
	a := p.open(header, slices.Contains(p.options.AllowAnonymousStarts, info.WorkflowType.Name))
	if a.err != nil {
		return a
	}
	who := a.record.Principal
	return a.judge(
		p.begins(a.record, info),
		p.options.ofTenant(who),
		p.options.scheduled(who, a.record.Kind),
		p.options.fresh(who, info.WorkflowType.Name, info.WorkflowStartTime),
	)
}

// begins judges whether a record is for the run that info describes. What a client cannot set says what kind of run it is:
// the parent, the run before it, and the attempt.
func (p *Propagator) begins(r Record, info *workflow.Info) error {
	id, name := info.WorkflowExecution.ID, info.WorkflowType.Name
	follows := info.ContinuedExecutionRunID != ""
	copied := follows && (info.Attempt > 1 || info.CronSchedule != "") // by the server, from the run before
	fresh := true
	var want Place
	switch r.Kind {
	case KindStart:
		if follows && !copied {
			return refuse(ReasonMisplaced, "it is for a first run, and this one continues another")
		}
		if r.Message != (Place{}) && r.Place == PlaceOf(KindStart, id, "") {
			name = "" // update-with-start does not tell the client's interceptors the type
		}
		want, fresh = PlaceOf(KindStart, id, name), copied || within(p.options.StartSkew, info.WorkflowStartTime, r.SealedAt)
	case KindSchedule:
		want = PlaceOf(KindSchedule, wire.Unscheduled(id), name)
	case KindContinued:
		if !follows {
			return refuse(ReasonMisplaced, "it is for a run that continues another, and this one does not")
		}
		want, fresh = PlaceOf(KindContinued, id, ""), copied || p.justIssued(r, info.WorkflowStartTime)
	case KindChild:
		return p.child(r, info, copied)
	default:
		return refuse(ReasonMisplaced, "a header of kind "+r.Kind.String()+" starts no workflow")
	}
	switch {
	case r.Kind != KindContinued && info.ParentWorkflowExecution != nil:
		return refuse(ReasonMisplaced, "it is not for a child workflow")
	case r.Place != want && !p.unknown(info):
		return refuse(ReasonMisplaced, "it is for another workflow or workflow type")
	case r.Cron != (info.CronSchedule != ""):
		return refuse(ReasonCron, "the cron schedule is not as it was when the start was sealed")
	case !fresh:
		return refuse(ReasonStale, "the start was sealed too long ago: start again, and compare the clocks")
	}
	return nil
}

func (p *Propagator) child(r Record, info *workflow.Info, copied bool) error {
	parent := info.ParentWorkflowExecution
	switch {
	case parent == nil || r.Place != PlaceOf(KindChild, parent.ID, info.WorkflowType.Name):
		return refuse(ReasonMisplaced, "it is for a child of another workflow, or of another type")
	case !p.replayer && info.ParentWorkflowNamespace != info.Namespace && !slices.Contains(p.options.AcceptParentsFrom, info.ParentWorkflowNamespace):
		return refuse(ReasonNamespace, "Options.AcceptParentsFrom does not name the parent's namespace")
	case r.Cron != (info.CronSchedule != ""):
		return refuse(ReasonCron, "the cron schedule is not as it was when the start was sealed")
	case !copied && !p.justIssued(r, info.WorkflowStartTime):
		return refuse(ReasonStale, "its parent sealed it too long ago")
	}
	return nil
}

// justIssued: a workflow sealed r shortly before the server acted on it. A workflow task may take its time, so a StartSkew
// that is shorter than the default does not count here.
func (p *Propagator) justIssued(r Record, acted time.Time) bool {
	return within(max(p.options.StartSkew, defaultStartSkew), acted, r.SealedAt)
}

// unknown: a replayer that was not told which workflow a history is of makes an id up (sdk internal/internal_worker.go).
// Places cannot be compared there.
func (p *Propagator) unknown(info *workflow.Info) bool {
	return p.replayer && info.WorkflowExecution.ID == "ReplayId"
}

// sender judges who sent a message to the workflow of info. It does not remember the message.
func (p *Propagator) sender(header *commonpb.Payload, name string, info *workflow.Info, owner principal.Principal, owned bool) arrival {
	if p.replayer && p.options.InsecureReplayWithoutKeys {
		return arrival{record: Record{Kind: KindMessage, Principal: owner}}
	}
	a := p.open(header, slices.Contains(p.options.AllowAnonymousMessages, name))
	if a.err != nil {
		return a
	}
	r, place := a.record, a.record.Place
	if r.Kind == KindStart {
		place = r.Message
	} else if r.Kind != KindMessage {
		return a.judge(refuse(ReasonMisplaced, "a header of kind "+r.Kind.String()+" is no message"))
	}
	if place != PlaceOf(KindMessage, info.WorkflowExecution.ID, name) && !p.unknown(info) {
		return a.judge(refuse(ReasonMisplaced, "it is for another workflow, or of another name"))
	}
	if info.WorkflowStartTime.Sub(r.SealedAt) > p.options.StartSkew {
		return a.judge(refuse(ReasonStale, "it was sealed long before this run began"))
	}
	return a.judge(p.options.ofTenant(r.Principal), p.options.mayMessage(r.Principal, owner, owned))
}

// performer judges for whom an activity runs.
func (p *Propagator) performer(header *commonpb.Payload, info activity.Info) arrival {
	standalone := info.WorkflowExecution.ID == ""
	a := p.open(header, !standalone && info.WorkflowType != nil && slices.Contains(p.options.AllowAnonymousStarts, info.WorkflowType.Name))
	if a.err != nil {
		return a
	}
	kind, id := KindActivity, info.WorkflowExecution.ID
	if standalone {
		kind, id = KindStandalone, info.ActivityID
	}
	r := a.record
	switch {
	case r.Kind != kind || r.Place != PlaceOf(kind, id, info.ActivityType.Name):
		return a.judge(refuse(ReasonMisplaced, "it is for another activity, or for none"))
	case !standalone && !info.IsLocalActivity && !p.justIssued(r, info.ScheduledTime):
		return a.judge(refuse(ReasonStale, "its workflow sealed it too long before it was scheduled"))
	case standalone && !within(p.options.StartSkew, info.ScheduledTime, r.SealedAt):
		// ScheduledTime is the first one, at every attempt.
		return a.judge(refuse(ReasonStale, "the activity's start was sealed too long ago"))
	}
	return a.judge(p.options.ofTenant(r.Principal))
}

func within(skew time.Duration, a, b time.Time) bool { return a.Sub(b).Abs() <= skew }
