package principal_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/signet-temporal/signet/principal"
	"github.com/signet-temporal/signet/principal/propagate"
)

// Seen says who was the principal at which place.
type Seen map[string]string

func who(p principal.Principal, err error) string {
	if err != nil {
		return "nobody"
	}
	return p.Subject + " of " + p.Tenant + " (" + p.Txn + ")"
}

func owner(ctx principal.Valuer) string  { return who(principal.FromContext(ctx)) }
func caller(ctx principal.Valuer) string { return who(propagate.Caller(ctx)) }

// code is what a worker runs. No workflow has arguments, so that who has no keys can start them as well.
type code struct {
	world *world
}

func (c *code) register(w worker.Worker) {
	for name, fn := range c.types() {
		w.RegisterWorkflowWithOptions(fn, workflow.RegisterOptions{Name: name})
	}
	w.RegisterActivityWithOptions(c.Who, activity.RegisterOptions{Name: "Who"})
	w.RegisterActivityWithOptions(c.SignalAsMe, activity.RegisterOptions{Name: "SignalAsMe"})
}

func (c *code) types() map[string]any {
	return map[string]any{"Works": c.Works, "Child": c.Child, "Waits": c.Waits, "Again": c.Again, "Falters": c.Falters, "Signals": c.Signals, "Abroad": c.Abroad, "Yields": c.Yields}
}

// Who is an activity that says for whom it runs.
func (c *code) Who(ctx context.Context) (string, error) { return owner(ctx), nil }

// SignalAsMe signals the workflow it belongs to from outside, for whom it runs.
func (c *code) SignalAsMe(ctx context.Context, id string) error {
	return c.world.client.SignalWorkflow(ctx, id, "", "note", "from an activity")
}

func withActivity(ctx workflow.Context) workflow.Context {
	ctx = workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{StartToCloseTimeout: within})
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: within, RetryPolicy: &temporal.RetryPolicy{MaximumAttempts: 3, InitialInterval: 100 * time.Millisecond}})
}

func (c *code) ask(ctx workflow.Context) (string, error) {
	var out string
	err := workflow.ExecuteActivity(withActivity(ctx), "Who").Get(ctx, &out)
	return out, err
}

// Works goes by every road on which a principal is handed on, and then ends.
func (c *code) Works(ctx workflow.Context) (Seen, error) {
	seen := Seen{"workflow": owner(ctx), "caller of the workflow": caller(ctx)}
	var err error
	if seen["activity"], err = c.ask(ctx); err != nil {
		return nil, err
	}
	var out string
	if err := workflow.ExecuteLocalActivity(withActivity(ctx), c.Who).Get(ctx, &out); err != nil {
		return nil, err
	}
	seen["local activity"] = out
	var child Seen
	if err := workflow.ExecuteChildWorkflow(ctx, "Child").Get(ctx, &child); err != nil {
		return nil, err
	}
	for place, who := range child {
		seen["child's "+place] = who
	}
	return seen, nil
}

// Child asks an activity, and a signal reaches it from its parent where there is one.
func (c *code) Child(ctx workflow.Context) (Seen, error) {
	asked, err := c.ask(ctx)
	return Seen{"workflow": owner(ctx), "activity": asked}, err
}

// Waits takes signals, updates and queries until it is told to end.
func (c *code) Waits(ctx workflow.Context) (Seen, error) {
	seen := Seen{"workflow": owner(ctx)}
	if err := workflow.SetUpdateHandler(ctx, "approve", func(ctx workflow.Context) (Seen, error) {
		asked, err := c.ask(ctx)
		if err != nil {
			return nil, err
		}
		mine, err := propagate.AsCaller(ctx)
		if err != nil {
			return nil, err
		}
		askedAsCaller, err := c.ask(mine)
		return Seen{"owner": owner(ctx), "caller": caller(ctx), "activity": asked, "caller's activity": askedAsCaller}, err
	}); err != nil {
		return nil, err
	}
	if err := workflow.SetUpdateHandler(ctx, "touch", func(ctx workflow.Context) (Seen, error) {
		asked, err := c.ask(ctx)
		if err != nil {
			asked = refusal(err)
		}
		return Seen{"owner": owner(ctx), "caller": caller(ctx), "activity": asked}, nil
	}); err != nil {
		return nil, err
	}
	if err := workflow.SetQueryHandler(ctx, "look", func() (string, error) { return "looked", nil }); err != nil {
		return nil, err
	}
	notes, end := 0, false
	workflow.Go(ctx, func(ctx workflow.Context) {
		for {
			var text string
			workflow.GetSignalChannel(ctx, "note").Receive(ctx, &text)
			notes++
		}
	})
	workflow.GetSignalChannel(ctx, "end").Receive(ctx, nil)
	end = true
	if err := workflow.Await(ctx, func() bool { return end && workflow.AllHandlersFinished(ctx) }); err != nil {
		return nil, err
	}
	asked, err := c.ask(ctx)
	seen["activity"], seen["notes"] = asked, fmt.Sprint(notes)
	return seen, err
}

// Again continues as new once, or runs again by cron.
func (c *code) Again(ctx workflow.Context) (Seen, error) {
	info := workflow.GetInfo(ctx)
	asked, err := c.ask(ctx)
	if err != nil {
		return nil, err
	}
	if info.CronSchedule == "" && info.ContinuedExecutionRunID == "" {
		return nil, workflow.NewContinueAsNewError(ctx, "Again")
	}
	return Seen{"workflow": owner(ctx), "activity": asked}, nil
}

// Falters fails in its first attempt.
func (c *code) Falters(ctx workflow.Context) (Seen, error) {
	asked, err := c.ask(ctx)
	if err != nil {
		return nil, err
	}
	if workflow.GetInfo(ctx).Attempt == 1 {
		return nil, temporal.NewApplicationError("once more", "Faltered")
	}
	return Seen{"workflow": owner(ctx), "activity": asked}, nil
}

// Signals signals a child of type Waits by every road, and ends it.
func (c *code) Signals(ctx workflow.Context) (Seen, error) {
	id := workflow.GetInfo(ctx).WorkflowExecution.ID + "-child"
	child := workflow.ExecuteChildWorkflow(workflow.WithChildOptions(ctx, workflow.ChildWorkflowOptions{WorkflowID: id}), "Waits")
	if err := child.SignalChildWorkflow(ctx, "note", "as a parent").Get(ctx, nil); err != nil {
		return nil, err
	}
	if err := workflow.SignalExternalWorkflow(ctx, id, "", "note", "as a stranger").Get(ctx, nil); err != nil {
		return nil, err
	}
	if err := workflow.ExecuteActivity(withActivity(ctx), "SignalAsMe", id).Get(ctx, nil); err != nil {
		return nil, err
	}
	if err := child.SignalChildWorkflow(ctx, "end", nil).Get(ctx, nil); err != nil {
		return nil, err
	}
	var seen Seen
	err := child.Get(ctx, &seen)
	return seen, err
}

// Abroad starts a child in another namespace, and says who it was there, or why it was not.
func (c *code) Abroad(ctx workflow.Context) (Seen, error) {
	//lint:ignore SA1019 where it is used it has to be heeded
	abroad := workflow.WithChildOptions(ctx, workflow.ChildWorkflowOptions{Namespace: elsewhere, WorkflowID: workflow.GetInfo(ctx).WorkflowExecution.ID,
		TaskQueue: c.world.id + "@" + elsewhere, WorkflowRunTimeout: 2 * within})
	var seen Seen
	if err := workflow.ExecuteChildWorkflow(abroad, "Child").Get(ctx, &seen); err != nil {
		return Seen{"refused": refusal(err)}, nil
	}
	return seen, nil
}

// refusal is what an application can make of a refusal: its type, or its text.
func refusal(err error) string {
	var app *temporal.ApplicationError
	if errors.As(err, &app) {
		return app.Type()
	}
	return err.Error()
}

// Yields continues as new in the context of whoever tells it to.
func (c *code) Yields(ctx workflow.Context) (Seen, error) {
	var theirs workflow.Context
	if err := workflow.SetUpdateHandler(ctx, "yield", func(ctx workflow.Context) (err error) {
		theirs, err = propagate.AsCaller(ctx)
		return err
	}); err != nil {
		return nil, err
	}
	if err := workflow.Await(ctx, func() bool { return theirs != nil }); err != nil {
		return nil, err
	}
	return nil, workflow.NewContinueAsNewError(theirs, "Child")
}
