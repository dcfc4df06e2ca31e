package propagate

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/signet-temporal/signet/principal"
)

// Options of a [Propagator]. The zero value is the strict one: every workflow, activity and message needs a principal,
// messages come from the workflow's own tenant, schedules run for services, and nothing crosses namespaces.
//
// What is decided in workflow code is decided again at every replay, so clients and workers of one namespace need the same
// options, and a stricter policy applies to workflows that are open already.
type Options struct {
	// Scope is authenticated with every header; "" means signet.Options.Scope, or else the namespace.
	Scope string
	// Keyset is the name of the keyset that seals and opens; "" means "principal/" and the scope. Give it to nothing else.
	Keyset string
	// Tenant binds this client or worker to one tenant: a principal of another one is neither sealed nor accepted. Set it
	// where Keyset is a tenant's own. "" binds to none.
	Tenant string

	// AllowAnonymousStarts are the types of workflows that may run without a principal. Their activities run without one
	// as well. An activity cannot tell such a workflow from one whose headers were taken away.
	AllowAnonymousStarts []string
	// AllowAnonymousMessages are the names of signals, updates and queries that need no principal, for the Web UI and the
	// CLI. What they do in a workflow is done for nobody.
	AllowAnonymousMessages []string
	// AllowRetriesAfterTimeout are the types of workflows that are run again, by retry policy or cron, also when a run has
	// timed out and StartSkew is over. No worker may have judged that run, so whoever may start workflows could have an old
	// start run once more; all other types are refused then.
	AllowRetriesAfterTimeout []string
	// Messages says who else may send signals, updates and queries to a workflow.
	Messages MessagePolicy
	// Schedules says for whom schedules may run.
	Schedules SchedulePolicy
	// StartSkew is how long a sealed start may be under way, and how far clocks may differ; 0 means 5 minutes.
	StartSkew time.Duration
	// MaxAge is how old a principal may be when a run of a workflow begins, by workflow type; the entry "" is for all other
	// types. Without an entry a principal does not age.
	MaxAge map[string]time.Duration

	// OtherNamespaces are where this namespace's workflows may start children and send signals, with what seals there. The
	// ring must hold these keysets.
	OtherNamespaces map[string]Namespace
	// AcceptParentsFrom are other namespaces whose workflows may start children here.
	AcceptParentsFrom []string

	// Revalidate is asked before an activity runs, at most once a minute for one principal. [ErrRevoked] refuses the
	// activity for good; any other error refuses this attempt. Nil: nobody is asked.
	Revalidate func(context.Context, principal.Principal) error
	// Observe is told of every principal that was accepted or refused where it arrived, once: not again when a workflow is
	// replayed. It is called on workflow goroutines, so it must not block. Nil: nobody is told.
	Observe func(Event)

	// InsecureReplayWithoutKeys lets a replayer, and nothing else, replay without the principal keyset: nothing is opened
	// or judged, and every workflow is taken to run for the service "unverified-replay". Workflow code that looks at its
	// principal, and a history in which a message was refused, then replay differently than they ran.
	InsecureReplayWithoutKeys bool
}

// MessagePolicy says who may send signals, updates and queries to a workflow.
type MessagePolicy int

// The policies for messages.
const (
	MessagesSameTenant    MessagePolicy = iota // any principal of the owner's tenant
	MessagesSamePrincipal                      // the owner alone
	MessagesAny                                // any principal
)

// SchedulePolicy says for whom schedules may run.
type SchedulePolicy int

// The policies for schedules.
const (
	// SchedulesService: a schedule runs for a service, such as principal.Service("nightly-billing", "acme").
	SchedulesService SchedulePolicy = iota
	// SchedulesCreator: a schedule may also run for the user who created or last edited it, for as long as it exists.
	SchedulesCreator
)

// Namespace is what seals for another namespace: its own Scope and Keyset.
type Namespace struct {
	Scope  string // "" means the namespace's name
	Keyset string // "" means "principal/" and the scope
}

// Event is one principal that arrived.
type Event struct {
	Kind       Kind   // of the hop
	Namespace  string // of the worker
	WorkflowID string // or the id of a standalone activity
	Name       string // of the workflow type, activity type or message
	Reason     string // why it was refused: a Reason… word; "" if it was accepted
	// Principal is who it is, if the header was genuine, also when it was refused. Zero where there is none.
	Principal principal.Principal
}

const defaultStartSkew = 5 * time.Minute

// check fills in defaults, and copies what the caller could change later.
func (o Options) check() (Options, error) {
	if o.Scope == "" {
		return o, errors.New("propagate: no scope: set Options.Scope to the namespace")
	}
	if o.Keyset == "" {
		o.Keyset = "principal/" + o.Scope
	}
	if o.StartSkew == 0 {
		o.StartSkew = defaultStartSkew
	}
	if o.StartSkew < 0 {
		return o, errors.New("propagate: Options.StartSkew is negative: use 0 for the default")
	}
	if o.Messages < MessagesSameTenant || o.Messages > MessagesAny || o.Schedules < SchedulesService || o.Schedules > SchedulesCreator {
		return o, errors.New("propagate: Options.Messages or Options.Schedules is not one of the policies")
	}
	for name, age := range o.MaxAge {
		if age <= 0 {
			return o, fmt.Errorf("propagate: Options.MaxAge of %q is not positive: leave the entry out for no limit", name)
		}
	}
	o.AllowAnonymousStarts, o.AllowAnonymousMessages = slices.Clone(o.AllowAnonymousStarts), slices.Clone(o.AllowAnonymousMessages)
	o.AllowRetriesAfterTimeout = slices.Clone(o.AllowRetriesAfterTimeout)
	o.AcceptParentsFrom = slices.Clone(o.AcceptParentsFrom)
	o.MaxAge, o.OtherNamespaces = maps.Clone(o.MaxAge), maps.Clone(o.OtherNamespaces)
	return o, nil
}

// maySeal judges a principal where it leaves.
func (o Options) maySeal(p principal.Principal, kind Kind) error {
	if err := p.Check(); err != nil {
		return &Error{reason: ReasonMalformed, cause: err}
	}
	if err := o.ofTenant(p); err != nil {
		return err
	}
	return o.scheduled(p, kind)
}

func (o Options) ofTenant(p principal.Principal) error {
	if o.Tenant != "" && p.Tenant != o.Tenant {
		return refuse(ReasonTenant, fmt.Sprintf("this process is bound to the tenant %q", o.Tenant))
	}
	return nil
}

func (o Options) scheduled(p principal.Principal, kind Kind) error {
	if kind == KindSchedule && o.Schedules == SchedulesService && p.Kind != principal.KindService {
		return refuse(ReasonSchedules, "a schedule runs for a service: create and edit it with principal.Service(name, tenant) in the context")
	}
	return nil
}

// mayMessage judges the sender of a message against the owner of the workflow. A workflow that runs for nobody takes
// messages from nobody but where any principal will do.
func (o Options) mayMessage(sender, owner principal.Principal, owned bool) error {
	allowed := false
	switch o.Messages {
	case MessagesSameTenant:
		allowed = owned && sender.Tenant == owner.Tenant
	case MessagesSamePrincipal:
		allowed = owned && sender.Same(owner)
	case MessagesAny:
		allowed = true
	}
	if !allowed {
		return refuse(ReasonMessages, "Options.Messages does not let this sender reach this workflow")
	}
	return nil
}

// fresh judges the age of a principal when a run begins.
func (o Options) fresh(p principal.Principal, workflowType string, start time.Time) error {
	limit, ok := o.MaxAge[workflowType]
	if !ok {
		limit, ok = o.MaxAge[""]
	}
	if ok && start.Sub(p.IssuedAt) > limit {
		return refuse(ReasonExpired, fmt.Sprintf("it was issued more than %s before this run began", limit))
	}
	return nil
}
