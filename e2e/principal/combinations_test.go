package principal_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/signet-temporal/signet/e2e/stack"
	"github.com/signet-temporal/signet/principal/propagate"
)

// laps begins with 0 and continues as new with 1; with 2 it fails in every second attempt. Each run asks an activity.
func (w *world) laps(ctx workflow.Context, lap int) (string, error) {
	var out string
	options := workflow.ActivityOptions{TaskQueue: w.queue, StartToCloseTimeout: within}
	if err := workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, options), "Who").Get(ctx, &out); err != nil {
		return "", err
	}
	switch {
	case lap == 0:
		return "", workflow.NewContinueAsNewError(ctx, "Laps", 1)
	case lap == 2 && workflow.GetInfo(ctx).Attempt%2 == 1:
		return "", errors.New("once more")
	}
	return out, nil
}

// family has a child that continues as new, one that lives by a cron schedule, and one that does both: continuing ends cron.
func (w *world) family(ctx workflow.Context, _ int) (string, error) {
	var out string
	child := workflow.ChildWorkflowOptions{WorkflowID: workflow.GetInfo(ctx).WorkflowExecution.ID + "-again", TaskQueue: w.queue + ":laps",
		RetryPolicy: &temporal.RetryPolicy{MaximumAttempts: 3, InitialInterval: time.Second}}
	if err := workflow.ExecuteChildWorkflow(workflow.WithChildOptions(ctx, child), "Laps", 0).Get(ctx, &out); err != nil {
		return "", err
	}
	child.CronSchedule, child.WorkflowExecutionTimeout = "@every 1s", 6*time.Second
	child.WorkflowID = workflow.GetInfo(ctx).WorkflowExecution.ID + "-cron"
	err := workflow.ExecuteChildWorkflow(workflow.WithChildOptions(ctx, child), "Laps", 1).Get(ctx, nil)
	if !temporal.IsTimeoutError(err) {
		return "", fmt.Errorf("the child by cron ends with %w", err)
	}
	child.WorkflowID = workflow.GetInfo(ctx).WorkflowExecution.ID + "-both"
	if err := workflow.ExecuteChildWorkflow(workflow.WithChildOptions(ctx, child), "Laps", 0).Get(ctx, nil); err != nil {
		return "", err
	}
	return out, nil
}

// aPrincipalOutlivesCombinations: what each of them does alone is tried elsewhere. Runs follow one another for longer than
// a start may be under way.
func aPrincipalOutlivesCombinations(t *testing.T, s *stack.Stack) {
	for name, c := range map[string]struct {
		typ    string
		lap    int
		change func(*client.StartWorkflowOptions)
		runs   int // at least, of Laps
	}{
		"cron and continue-as-new": {"Laps", 0, func(o *client.StartWorkflowOptions) { o.CronSchedule = "@every 1s" }, 2},
		"cron and retries": {"Laps", 2, func(o *client.StartWorkflowOptions) {
			o.CronSchedule = "@every 1s"
			o.RetryPolicy = &temporal.RetryPolicy{MaximumAttempts: 3, InitialInterval: time.Second}
		}, 4},
		"children by cron and continued":  {"Family", 0, func(*client.StartWorkflowOptions) {}, 8},
		"retries of a run that continued": {"Laps", 0, func(o *client.StartWorkflowOptions) { o.RetryPolicy = &temporal.RetryPolicy{MaximumAttempts: 3} }, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, s, propagate.Options{StartSkew: 2 * time.Second})
			works := worker.New(w.client, w.queue+":laps", worker.Options{})
			works.RegisterWorkflowWithOptions(w.laps, workflow.RegisterOptions{Name: "Laps"})
			works.RegisterWorkflowWithOptions(w.family, workflow.RegisterOptions{Name: "Family"})
			must(t, works.Start())
			t.Cleanup(works.Stop)
			o := w.options()
			o.TaskQueue += ":laps"
			c.change(&o)
			_, err := w.client.ExecuteWorkflow(as(t, user("ann", "acme")), o, c.typ, c.lap)
			must(t, err)
			stack.Eventually(t, 2*within, func() error {
				w.mu.Lock()
				defer w.mu.Unlock()
				runs := 0
				for _, e := range w.events {
					if e.Reason != "" || e.Principal.Subject != "ann" {
						t.Fatalf("something was for somebody else: %+v", e)
					}
					if e.Name == "Laps" {
						runs++
					}
				}
				if runs < c.runs {
					return fmt.Errorf("%d runs", runs)
				}
				return nil
			})
			_ = w.raw.TerminateWorkflow(t.Context(), w.id, "", "") // it may have ended
		})
	}
}

// whatRemainsIsWhatTheThreatModelSays: so that the page does not promise more than there is.
func whatRemainsIsWhatTheThreatModelSays(t *testing.T, s *stack.Stack) {
	t.Run("another type, with the header of an update-with-start, within the skew", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, s, propagate.Options{StartSkew: 15 * time.Second})
		o := w.options()
		o.WorkflowIDConflictPolicy = 2 // use the existing one
		_, err := w.client.UpdateWithStartWorkflow(as(t, user("ann", "acme")), client.UpdateWithStartWorkflowOptions{
			StartWorkflowOperation: w.client.NewWithStartWorkflowOperation(o, "Waits"),
			UpdateOptions:          client.UpdateWorkflowOptions{WorkflowID: w.id, UpdateName: "touch", WaitForStage: client.WorkflowUpdateStageCompleted},
		})
		must(t, err)
		sealed := time.Now() // or a little before
		header := w.stolen(w.id)
		// The message in it is handled once in that run.
		if outcome, err := w.updateRaw("touch", header); err != nil || outcome.GetFailure() == nil {
			t.Errorf("the update once more ends with %v, %v", outcome, err)
		}
		w.wantRefused("touch", propagate.ReasonReplayed)
		must(t, w.raw.TerminateWorkflow(t.Context(), w.id, "", ""))
		// Another id, a schedule or cron: no.
		other := w.at(w.id + "-other")
		other.wantStartRefused(other.id, other.startRaw("Child", header))
		other = w.at(w.id)
		other.wantStartRefused(w.id, other.startRaw("Child", header, func(r *workflowservice.StartWorkflowExecutionRequest) { r.CronSchedule = "@every 5s" }))
		must(t, w.raw.TerminateWorkflow(t.Context(), w.id, "", ""))
		// The same id: yes, until the skew is over.
		w.wantResult(w.client.GetWorkflow(t.Context(), w.id, w.startRaw("Child", header)), Seen{"workflow": ann, "activity": ann})
		time.Sleep(time.Until(sealed.Add(16 * time.Second)))
		w.wantStartRefused(w.id, w.startRaw("Child", header))
	})
	for name, again := range map[string]func(*workflowservice.StartWorkflowExecutionRequest){
		"an old start with retries, whose first run somebody else fails": func(r *workflowservice.StartWorkflowExecutionRequest) {
			r.RetryPolicy = &commonpb.RetryPolicy{MaximumAttempts: 2, InitialInterval: durationpb.New(3 * time.Second)}
		},
		"an old start by cron, whose first run somebody else brings to its end": func(r *workflowservice.StartWorkflowExecutionRequest) { r.CronSchedule = "@every 3s" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, s, propagate.Options{StartSkew: 2 * time.Second})
			o := w.options()
			probe := &workflowservice.StartWorkflowExecutionRequest{}
			again(probe)
			o.CronSchedule = probe.GetCronSchedule()
			_, err := w.client.ExecuteWorkflow(as(t, user("ann", "acme")), o, "Child")
			must(t, err)
			header := w.stolen(w.id)
			stack.Eventually(t, within, func() error {
				if w.accepted("Child") == 0 {
					return context.DeadlineExceeded
				}
				return nil
			})
			_ = w.raw.TerminateWorkflow(t.Context(), w.id, "", "") // it may have ended
			w.works.Stop()
			time.Sleep(3 * time.Second)
			before := w.accepted("Child")
			// Whoever may answer tasks answers the first one, without keys.
			rogue := worker.New(w.raw, w.queue, worker.Options{})
			rogue.RegisterWorkflowWithOptions(func(workflow.Context) error {
				if probe.GetCronSchedule() == "" {
					return errors.New("once more")
				}
				return nil
			}, workflow.RegisterOptions{Name: "Child"})
			must(t, rogue.Start())
			first := w.startRaw("Child", header, again)
			stack.Eventually(t, within, func() error {
				if now, err := w.raw.DescribeWorkflowExecution(bounded(t), w.id, ""); err != nil || now.GetWorkflowExecutionInfo().GetExecution().GetRunId() == first {
					return fmt.Errorf("the first run goes on: %w", err)
				}
				return nil
			})
			rogue.Stop()
			w.work(w.client)
			stack.Eventually(t, within, func() error {
				if w.accepted("Child") == before {
					return fmt.Errorf("not accepted, refused for %v", w.refused("Child"))
				}
				return nil
			})
			if slices.Contains(w.refused("Child"), propagate.ReasonStale) {
				t.Error("a run was refused as stale")
			}
			_ = w.raw.TerminateWorkflow(t.Context(), w.id, "", "")
		})
	}
}
