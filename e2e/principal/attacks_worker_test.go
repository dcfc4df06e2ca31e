package principal_test

import (
	"context"
	"testing"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/signet-temporal/signet/e2e/stack"
	"github.com/signet-temporal/signet/principal/propagate"
)

// thief puts a header of somebody else into every command of a workflow.
type thief struct{ header *commonpb.Payload }

func (t thief) Inject(context.Context, workflow.HeaderWriter) error { return nil }
func (t thief) Extract(ctx context.Context, _ workflow.HeaderReader) (context.Context, error) {
	return ctx, nil
}

func (t thief) ExtractToWorkflow(ctx workflow.Context, _ workflow.HeaderReader) (workflow.Context, error) {
	return ctx, nil
}

func (t thief) InjectFromWorkflow(_ workflow.Context, w workflow.HeaderWriter) error {
	if t.header != nil {
		w.Set(propagate.Header, t.header)
	}
	return nil
}

// crafted returns a genuine header of ann's, as it was sealed for a hop some time ago.
func (w *world) crafted(kind propagate.Kind, target, name string, age time.Duration) *commonpb.Payload {
	w.t.Helper()
	sealer, err := propagate.NewSealer(w.ring(), keyset(w.namespace), w.namespace)
	must(w.t, err)
	header, err := sealer.Seal(propagate.Record{Principal: user("ann", "acme"), Kind: kind, SealedAt: time.Now().Add(-age), Place: propagate.PlaceOf(kind, target, name)})
	must(w.t, err)
	return header
}

// rogue runs a workflow of the world's id on a worker without keys, which commands something of the true worker.
func (w *world) rogue(header *commonpb.Payload, command func(workflow.Context) error) {
	w.t.Helper()
	plugin, err := temporal.NewSimplePlugin(temporal.SimplePluginOptions{Name: "thief", ContextPropagators: []workflow.ContextPropagator{thief{header}}})
	must(w.t, err)
	c := w.ClientWith(w.t, w.namespace, plugin)
	works := worker.New(c, w.queue+":rogue", worker.Options{})
	works.RegisterWorkflowWithOptions(command, workflow.RegisterOptions{Name: "Rogue"})
	must(w.t, works.Start())
	w.t.Cleanup(works.Stop)
	_, err = c.ExecuteWorkflow(bounded(w.t), client.StartWorkflowOptions{ID: w.id, TaskQueue: w.queue + ":rogue"}, "Rogue")
	must(w.t, err)
}

// whatAWorkerWithoutKeysCommandsIsRefused: whoever may start a workflow under the id of one of ann's and answer its tasks
// can give orders to her workers, and has her old headers to do so.
func whatAWorkerWithoutKeysCommandsIsRefused(t *testing.T, s *stack.Stack) {
	activity := func(w *world) func(workflow.Context) error {
		return func(ctx workflow.Context) error {
			ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{TaskQueue: w.queue, StartToCloseTimeout: within})
			return workflow.ExecuteActivity(ctx, "Who").Get(ctx, nil)
		}
	}
	child := func(w *world) func(workflow.Context) error {
		return func(ctx workflow.Context) error {
			ctx = workflow.WithChildOptions(ctx, workflow.ChildWorkflowOptions{TaskQueue: w.queue, WorkflowID: w.id + "-child"})
			return workflow.ExecuteChildWorkflow(ctx, "Child").Get(ctx, nil)
		}
	}
	goesOn := func(w *world) func(workflow.Context) error {
		return func(ctx workflow.Context) error {
			return workflow.NewContinueAsNewError(workflow.WithWorkflowTaskQueue(ctx, w.queue), "Child")
		}
	}
	for name, attack := range map[string]struct {
		reason  string
		at      string // what is refused has that name
		header  func(w *world) *commonpb.Payload
		command func(w *world) func(workflow.Context) error
	}{
		"an activity without a header":          {propagate.ReasonMissing, "Who", func(*world) *commonpb.Payload { return nil }, activity},
		"an activity with a plain header":       {propagate.ReasonNotSealed, "Who", func(*world) *commonpb.Payload { return forged() }, activity},
		"an activity of another workflow":       {propagate.ReasonMisplaced, "Who", func(w *world) *commonpb.Payload { return w.crafted(propagate.KindActivity, "other", "Who", 0) }, activity},
		"an activity of another type":           {propagate.ReasonMisplaced, "Who", func(w *world) *commonpb.Payload { return w.crafted(propagate.KindActivity, w.id, "Other", 0) }, activity},
		"an activity with the start's header":   {propagate.ReasonMisplaced, "Who", func(w *world) *commonpb.Payload { return w.crafted(propagate.KindStart, w.id, "Who", 0) }, activity},
		"an activity once more, an hour later":  {propagate.ReasonStale, "Who", func(w *world) *commonpb.Payload { return w.crafted(propagate.KindActivity, w.id, "Who", time.Hour) }, activity},
		"a child without a header":              {propagate.ReasonMissing, "Child", func(*world) *commonpb.Payload { return nil }, child},
		"a child of another workflow":           {propagate.ReasonMisplaced, "Child", func(w *world) *commonpb.Payload { return w.crafted(propagate.KindChild, "other", "Child", 0) }, child},
		"a child with a start's header":         {propagate.ReasonMisplaced, "Child", func(w *world) *commonpb.Payload { return w.crafted(propagate.KindStart, w.id+"-child", "Child", 0) }, child},
		"a child once more, an hour later":      {propagate.ReasonStale, "Child", func(w *world) *commonpb.Payload { return w.crafted(propagate.KindChild, w.id, "Child", time.Hour) }, child},
		"it continues with an old start":        {propagate.ReasonMisplaced, "Child", func(w *world) *commonpb.Payload { return w.crafted(propagate.KindStart, w.id, "Child", time.Hour) }, goesOn},
		"it continues once more, an hour later": {propagate.ReasonStale, "Child", func(w *world) *commonpb.Payload { return w.crafted(propagate.KindContinued, w.id, "", time.Hour) }, goesOn},
		"it continues as another workflow did":  {propagate.ReasonMisplaced, "Child", func(w *world) *commonpb.Payload { return w.crafted(propagate.KindContinued, "other", "", 0) }, goesOn},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, s, propagate.Options{})
			w.rogue(attack.header(w), attack.command(w))
			w.wantRefused(attack.at, attack.reason)
			stack.Eventually(t, within, func() error { // the rogue's own workflow hears of it, for good
				for _, e := range w.history(w.id, "") {
					for _, f := range []string{e.GetActivityTaskFailedEventAttributes().GetFailure().GetApplicationFailureInfo().GetType(),
						e.GetChildWorkflowExecutionFailedEventAttributes().GetFailure().GetCause().GetApplicationFailureInfo().GetType(),
						e.GetChildWorkflowExecutionFailedEventAttributes().GetFailure().GetApplicationFailureInfo().GetType(),
						e.GetWorkflowExecutionFailedEventAttributes().GetFailure().GetApplicationFailureInfo().GetType()} {
						if f == propagate.TypeInvalid {
							return nil
						}
					}
				}
				return context.DeadlineExceeded
			})
			if n := w.accepted(attack.at); n != 0 {
				t.Errorf("%d were accepted", n)
			}
		})
	}

	t.Run("what ann's own workflow has just sealed is taken", func(t *testing.T) { // so that the rest shows something
		t.Parallel()
		w := newWorld(t, s, propagate.Options{})
		w.rogue(w.crafted(propagate.KindActivity, w.id, "Who", 0), activity(w))
		stack.Eventually(t, within, func() error {
			if w.accepted("Who") != 1 {
				return context.DeadlineExceeded
			}
			return nil
		})
	})
}

// anOldCronStartRunsNever: the first run is refused as stale, and cron goes on with the same header: those runs are refused
// as well.
func anOldCronStartRunsNever(t *testing.T, s *stack.Stack) {
	w := newWorld(t, s, propagate.Options{StartSkew: 3 * time.Second})
	o := w.options()
	o.CronSchedule = "@every 1s"
	_, err := w.client.ExecuteWorkflow(as(t, user("ann", "acme")), o, "Child")
	must(t, err)
	header := w.stolen(w.id)
	stack.Eventually(t, within, func() error {
		if w.accepted("Child") == 0 {
			return context.DeadlineExceeded
		}
		return nil
	})
	must(t, w.raw.TerminateWorkflow(t.Context(), w.id, "", ""))
	time.Sleep(4 * time.Second)
	before := w.accepted("Child")
	w.startRaw("Child", header, func(r *workflowservice.StartWorkflowExecutionRequest) { r.CronSchedule = o.CronSchedule })
	stack.Eventually(t, within, func() error {
		if w.times("Child", propagate.ReasonStale) < 3 {
			return context.DeadlineExceeded
		}
		return nil
	})
	must(t, w.raw.TerminateWorkflow(t.Context(), w.id, "", ""))
	if n := w.accepted("Child"); n != before {
		t.Errorf("%d runs were accepted", n-before)
	}
}

// times counts how often what has that name was refused for a reason.
func (l *log) times(name, reason string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.events {
		if e.Name == name && e.Reason == reason {
			n++
		}
	}
	return n
}

// aStandaloneActivityThatIsNotGenuineIsRefused: what belongs to no workflow is started by whoever can.
func aStandaloneActivityThatIsNotGenuineIsRefused(t *testing.T, s *stack.Stack) {
	for name, attack := range map[string]struct {
		reason string
		header func(w *world) *commonpb.Payload
	}{
		"without a header":         {propagate.ReasonMissing, func(*world) *commonpb.Payload { return nil }},
		"with a plain header":      {propagate.ReasonNotSealed, func(*world) *commonpb.Payload { return forged() }},
		"another activity's":       {propagate.ReasonMisplaced, func(w *world) *commonpb.Payload { return w.crafted(propagate.KindStandalone, "other", "Who", 0) }},
		"a workflow's activity's":  {propagate.ReasonMisplaced, func(w *world) *commonpb.Payload { return w.crafted(propagate.KindActivity, w.id, "Who", 0) }},
		"once more, an hour later": {propagate.ReasonStale, func(w *world) *commonpb.Payload { return w.crafted(propagate.KindStandalone, w.id, "Who", time.Hour) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, s, propagate.Options{AllowAnonymousStarts: []string{"Child"}})
			plugin, err := temporal.NewSimplePlugin(temporal.SimplePluginOptions{Name: "thief", ContextPropagators: []workflow.ContextPropagator{starter{thief{attack.header(w)}}}})
			must(t, err)
			c := s.ClientWith(t, namespace, plugin)
			_, err = c.ExecuteActivity(bounded(t), client.StartActivityOptions{ID: w.id, TaskQueue: w.queue, ScheduleToCloseTimeout: within}, "Who")
			must(t, err)
			w.wantRefused("Who", attack.reason)
			stack.Eventually(t, within, func() error {
				d, err := w.raw.WorkflowService().DescribeActivityExecution(t.Context(), &workflowservice.DescribeActivityExecutionRequest{Namespace: namespace, ActivityId: w.id})
				if err != nil || d.GetInfo().GetStatus() != enumspb.ACTIVITY_EXECUTION_STATUS_FAILED {
					return context.DeadlineExceeded
				}
				return nil
			})
			if w.accepted("Who") != 0 {
				t.Error("it was accepted")
			}
		})
	}
}

// starter is a thief who starts things from outside.
type starter struct{ thief }

func (s starter) Inject(_ context.Context, w workflow.HeaderWriter) error {
	if s.header != nil {
		w.Set(propagate.Header, s.header)
	}
	return nil
}
