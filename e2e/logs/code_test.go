package logs_test

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
)

const taskQueue = "wards"

// code is a worker's: it has a secret in everything that it passes around, and in every error.
type code struct{ mark string }

func newCode() *code { return &code{mark: "canary" + rand.Text()} }

func (c *code) secret(place string) string { return c.mark + "-" + place }

// Well passes data through all that a workflow does every day, and nothing fails.
func (c *code) Well(ctx workflow.Context, in string) (string, error) {
	if err := workflow.SetQueryHandler(ctx, "chart", func(in string) (string, error) { return c.secret("answer"), nil }); err != nil {
		return "", err
	}
	if err := workflow.SetUpdateHandler(ctx, "amend", func(_ workflow.Context, in string) (string, error) { return c.secret("amended"), nil }); err != nil {
		return "", err
	}
	var out string
	if err := workflow.ExecuteActivity(c.options(ctx), c.Examine, in).Get(ctx, &out); err != nil {
		return "", err
	}
	local := workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{StartToCloseTimeout: time.Minute, Summary: c.secret("summary")})
	if err := workflow.ExecuteLocalActivity(local, c.Examine, in).Get(ctx, &out); err != nil {
		return "", err
	}
	if err := workflow.SideEffect(ctx, func(workflow.Context) any { return c.secret("side-effect") }).Get(&out); err != nil {
		return "", err
	}
	if err := workflow.UpsertMemo(ctx, map[string]any{"upserted": c.secret("memo")}); err != nil {
		return "", err
	}
	workflow.GetVersion(ctx, "wording", workflow.DefaultVersion, 1)
	child := workflow.WithChildOptions(ctx, workflow.ChildWorkflowOptions{Memo: map[string]any{"child": c.secret("child-memo")}})
	if err := workflow.ExecuteChildWorkflow(child, c.Child, c.secret("child-input")).Get(ctx, &out); err != nil {
		return "", err
	}
	workflow.GetSignalChannel(ctx, "discharge").Receive(ctx, &out)
	return c.secret("result"), nil
}

// Child returns.
func (c *code) Child(_ workflow.Context, in string) (string, error) { return in, nil }

// Examine heartbeats and returns, as an activity of both kinds.
func (c *code) Examine(ctx context.Context, _ string) (string, error) {
	activity.RecordHeartbeat(ctx, c.secret("heartbeat"))
	return c.secret("activity-result"), nil
}

func (c *code) options(ctx workflow.Context) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: time.Minute, Summary: c.secret("summary"), RetryPolicy: &temporal.RetryPolicy{MaximumAttempts: 1},
	})
}

// Appointment does not read from text that is no time, and says so with the text.
type Appointment struct{ At time.Time }

// Ill fails in every way that leaves the workflow open, then waits for the signal "end" and fails itself.
func (c *code) Ill(ctx workflow.Context, in string) error {
	fails := func(what string) error { return errors.New(c.secret(what)) }
	if err := workflow.SetQueryHandler(ctx, "chart", func(string) (string, error) { return "", fails("query-error") }); err != nil {
		return err
	}
	if err := workflow.SetUpdateHandlerWithOptions(ctx, "amend", func(_ workflow.Context, in string) error { return fails("update-error") },
		workflow.UpdateHandlerOptions{Validator: func(in string) error {
			if in == "reject" {
				return fails("rejection")
			}
			return nil
		}}); err != nil {
		return err
	}
	ctx = c.options(ctx)
	local := workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{StartToCloseTimeout: time.Minute, RetryPolicy: &temporal.RetryPolicy{MaximumAttempts: 1}})
	for _, a := range []any{c.Fail, c.Panic} {
		_ = workflow.ExecuteActivity(ctx, a, in).Get(ctx, nil)
		_ = workflow.ExecuteLocalActivity(local, a, in).Get(ctx, nil)
	}
	_ = workflow.ExecuteActivity(ctx, "MeetAt", c.secret("no-time")).Get(ctx, nil)
	late := workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: time.Second, RetryPolicy: &temporal.RetryPolicy{MaximumAttempts: 1}})
	_ = workflow.ExecuteActivity(late, c.Late).Get(ctx, nil)
	_ = workflow.ExecuteChildWorkflow(ctx, c.FailingChild).Get(ctx, nil)
	var at Appointment
	workflow.GetSignalChannel(ctx, "meet").ReceiveAsync(&at) // a signal that does not convert
	workflow.GetSignalChannel(ctx, "end").Receive(ctx, nil)
	return fails("workflow-error")
}

// FailingChild fails as a workflow.
func (c *code) FailingChild(workflow.Context) error { return errors.New(c.secret("child-error")) }

// Fail fails with text, details and a cause.
func (c *code) Fail(context.Context, string) error {
	cause := errors.New(c.secret("cause"))
	return temporal.NewNonRetryableApplicationError(c.secret("error"), "Sick", cause, c.secret("error-details"))
}

// Panic panics.
func (c *code) Panic(context.Context, string) error { panic(c.secret("panic")) }

// MeetAt has an argument that a text does not convert to.
func (c *code) MeetAt(context.Context, time.Time) error { return nil }

// Late fails when its time is over.
func (c *code) Late(ctx context.Context) error {
	<-ctx.Done()
	return errors.New(c.secret("late-error"))
}

// Panics is a workflow that panics: its task fails, again and again.
func (c *code) Panics(workflow.Context) error { panic(c.secret("workflow-panic")) }
