package outcomes_test

import (
	"context"
	"errors"
	"strings"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/signet-temporal/signet/converter"
)

// The lines of docs/spec/outcomes.md.
const (
	pageWorkflow       = "workflow code: input, results, signals, last result"
	pageReplay         = "markers: versions, side effects, local activities"
	pageCommands       = "workflow code: what it sends, stores or returns"
	pageFailureRead    = "failure that cannot be read"
	pageFailureSealed  = "failure that cannot be sealed"
	pageUpdateArgs     = "update: its arguments"
	pageUpdateReplay   = "update: its result, and its arguments on replay"
	pageQuery          = "query: its arguments and its answer"
	pageQueryError     = "error of a query that cannot be sealed"
	pageActivityInput  = "activity: its input, heartbeat details"
	pageActivityOutput = "activity: a result or heartbeat that cannot be sealed"
	pageLocalActivity  = "local activity: a result that cannot be sealed"
	pageCancelDetails  = "workflow: details of its cancellation"
)

// opening is every place where a worker reads a payload.
func opening() []row {
	return []row{
		{page: pageWorkflow, name: "workflow input", in: "WorkflowExecutionStartedEventAttributes",
			code: only(func(_ workflow.Context, in string) (string, error) { return in, nil }),
			away: taskFails, lost: taskFails, want: "input"},
		{page: pageWorkflow, name: "input of the next run", in: "WorkflowExecutionStartedEventAttributes", late: true,
			code: func(c *cell) code {
				return code{main: func(ctx workflow.Context, in string) (string, error) {
					if in == "next" {
						return in, nil
					}
					c.trouble()
					return "", workflow.NewContinueAsNewError(ctx, "main", "next")
				}}
			},
			away: taskFails, lost: taskFails, want: "next"},
		{page: pageWorkflow, name: "result of the last run", in: "WorkflowExecutionStartedEventAttributes", late: true, noInput: true,
			before: func(o *client.StartWorkflowOptions) { o.CronSchedule = "@every 1s" },
			code: func(c *cell) code {
				return code{main: func(ctx workflow.Context, _ string) (string, error) {
					if !workflow.HasLastCompletionResult(ctx) {
						c.trouble()
						return "first", nil
					}
					var last string
					if err := workflow.GetLastCompletionResult(ctx, &last); err != nil {
						return "", err
					}
					return "", workflow.NewContinueAsNewError(ctx, "child", last) // a cron workflow has no end of its own
				}, child: func(_ workflow.Context, in string) (string, error) { return in, nil }}
			},
			away: taskFails, lost: taskFails, want: "first"},
		{page: pageWorkflow, name: "activity result", in: "ActivityTaskCompletedEventAttributes",
			code: calls(func(context.Context) (string, error) { return "result", nil }),
			away: taskFails, lost: taskFails, want: "result"},
		{page: pageWorkflow, name: "child result", in: "ChildWorkflowExecutionCompletedEventAttributes",
			code: starts(func(workflow.Context, string) (string, error) { return "result", nil }),
			away: taskFails, lost: taskFails, want: "result"},
		{page: pageFailureRead, name: "activity failure", in: "ActivityTaskFailedEventAttributes", code: calls(failing),
			away: taskFails, lost: taskFails, foreign: goesOn("failure text withheld: it came unsealed"), want: "TEXT DETAILS"},
		{page: pageFailureRead, name: "details of an activity failure", in: "ActivityTaskFailedEventAttributes/Failure/ApplicationFailureInfo", code: calls(failing),
			away: taskFails, lost: taskFails, foreign: goesOn("TEXT"), want: "TEXT DETAILS"},
		{page: pageFailureRead, name: "child failure", in: "ChildWorkflowExecutionFailedEventAttributes",
			code: starts(func(workflow.Context, string) (string, error) { return failing(context.Background()) }),
			away: taskFails, lost: taskFails, foreign: goesOn("failure text withheld: it came unsealed"), want: "TEXT DETAILS"},
		{page: pageWorkflow, name: "signal", in: "WorkflowExecutionSignaledEventAttributes",
			code: only(func(ctx workflow.Context, _ string) (string, error) {
				return receive(ctx, "go") + " " + receive(ctx, "go"), nil
			}),
			drive: func(c *cell) func() {
				c.signal("go", "first")
				c.signal("go", "second")
				return func() {}
			},
			away: taskFails, lost: taskFails, want: "first second"},
		{page: pageReplay, name: "version marker", in: "MarkerRecordedEventAttributes",
			code: replayed(func(ctx workflow.Context) (string, error) {
				if workflow.GetVersion(ctx, "fork", workflow.DefaultVersion, 1) == workflow.DefaultVersion {
					return "the old branch", nil
				}
				return "the new branch", nil
			}),
			drive: goOn, away: taskFails, lost: taskFails, want: "the new branch"},
		{page: pageReplay, name: "side effect marker", in: "MarkerRecordedEventAttributes",
			code: replayed(func(ctx workflow.Context) (out string, err error) {
				err = workflow.SideEffect(ctx, func(workflow.Context) any { return "effect" }).Get(&out)
				return out, err
			}),
			drive: goOn, away: taskFails, lost: taskFails, want: "effect"},
		{page: pageReplay, name: "mutable side effect marker", in: "MarkerRecordedEventAttributes",
			code: replayed(func(ctx workflow.Context) (out string, err error) {
				effect := func(workflow.Context) any { return "effect" }
				err = workflow.MutableSideEffect(ctx, "id", effect, func(a, b any) bool { return a == b }).Get(&out)
				return out, err
			}),
			drive: goOn, away: taskFails, lost: taskFails, want: "effect"},
		{page: pageReplay, name: "local activity marker", in: "MarkerRecordedEventAttributes",
			code:  replayed(local(func(context.Context) (string, error) { return "measured", nil })),
			drive: goOn, away: taskFails, lost: taskFails, want: "measured"},
		{page: pageReplay, name: "failure in a local activity marker", in: "MarkerRecordedEventAttributes",
			code:  replayed(local(failing)),
			drive: goOn, away: taskFails, lost: taskFails, want: "TEXT DETAILS"},
		{page: pageUpdateArgs, name: "update arguments", in: "Message/Request/Input", code: updated,
			drive: func(c *cell) func() {
				if c.cause == away {
					return updates(c)
				}
				return updateGets((*cell).rejected)(c)
			},
			away: taskFails, lost: func(*cell) string { return "from" }, want: "to"},
		{page: pageUpdateReplay, name: "update arguments on replay", in: "WorkflowExecutionUpdateAcceptedEventAttributes", code: updated,
			drive: func(c *cell) func() {
				c.started()
				if u := <-c.update("to"); u.err != nil {
					c.t.Errorf("the update: %v", u.err)
				}
				c.signal("end", "")
				return func() {}
			},
			away: taskFails, lost: taskFails, want: "to"},
		{page: pageQuery, name: "query arguments", in: "WorkflowQuery", code: queried, drive: asks("echo", "x"), away: nothing, lost: nothing, want: "end"},
		{page: pageActivityInput, name: "activity input", in: "PollActivityTaskQueueResponse",
			code: calls(func(_ context.Context, in string) (string, error) { return in, nil }, "argument"),
			away: activityIsRetried, lost: activityFails, want: "argument"},
		{page: pageActivityInput, name: "heartbeat details", in: "PollActivityTaskQueueResponse",
			code: calls(resumes), away: activityIsRetried, lost: activityFails, want: "so far"},
	}
}

// only is code without activities.
func only(main func(workflow.Context, string) (string, error)) func(*cell) code {
	return func(*cell) code { return code{main: main} }
}

// calls runs an activity and returns its result, or what the workflow's code can tell of its failure.
func calls(a any, args ...any) func(*cell) code {
	return func(*cell) code {
		return code{activities: map[string]any{"activity": a}, main: func(ctx workflow.Context, _ string) (string, error) {
			return callsActivity(ctx, args...)
		}}
	}
}

func callsActivity(ctx workflow.Context, args ...any) (out string, err error) {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: time.Minute, HeartbeatTimeout: time.Minute,
		RetryPolicy: &temporal.RetryPolicy{InitialInterval: 200 * time.Millisecond, MaximumInterval: 500 * time.Millisecond}})
	err = workflow.ExecuteActivity(ctx, "activity", args...).Get(ctx, &out)
	return orTold(out, err)
}

// orTold returns what can be told of a failure as if it were a result: signet's own by its type, others by their text.
func orTold(out string, err error) (string, error) {
	var app *temporal.ApplicationError
	switch {
	case err == nil:
		return out, nil
	case errors.As(err, &app) && strings.HasPrefix(app.Type(), "signet."):
		return "failed: " + app.Type(), nil
	case errors.As(err, &app):
		return told(err), nil
	}
	return "", err
}

// starts runs a child workflow.
func starts(child func(workflow.Context, string) (string, error)) func(*cell) code {
	return func(*cell) code { return code{child: child, main: startsChild} }
}

func startsChild(ctx workflow.Context, _ string) (out string, err error) {
	ctx = workflow.WithChildOptions(ctx, workflow.ChildWorkflowOptions{WorkflowTaskTimeout: time.Second})
	err = workflow.ExecuteChildWorkflow(ctx, "child", "argument").Get(ctx, &out)
	return orTold(out, err)
}

func failing(context.Context) (string, error) {
	return "", temporal.NewNonRetryableApplicationError("TEXT", "Failed", nil, "DETAILS")
}

// resumes heartbeats and fails, and goes on from there in the next attempt.
func resumes(ctx context.Context) (string, error) {
	if activity.GetInfo(ctx).Attempt == 1 {
		activity.RecordHeartbeat(ctx, "so far")
		return "", errors.New("provoked by the test")
	}
	var left string
	err := activity.GetHeartbeatDetails(ctx, &left)
	var typed *converter.Error
	if err != nil && !errors.As(err, &typed) {
		return "", temporal.NewNonRetryableApplicationError("not one of signet's: "+err.Error(), "Untyped", nil)
	}
	return left, err
}

func receive(ctx workflow.Context, name string) (text string) {
	workflow.GetSignalChannel(ctx, name).Receive(ctx, &text)
	return text
}

// replayed runs first, and again from the history when a signal comes.
func replayed(first func(workflow.Context) (string, error)) func(*cell) code {
	return only(func(ctx workflow.Context, _ string) (string, error) {
		out, err := first(ctx)
		receive(ctx, "end")
		return orTold(out, err)
	})
}

func goOn(c *cell) func() {
	c.started()
	c.signal("end", "")
	return func() {}
}

func local(a func(context.Context) (string, error)) func(workflow.Context) (string, error) {
	return func(ctx workflow.Context) (out string, err error) {
		ctx = workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{StartToCloseTimeout: time.Minute,
			RetryPolicy: &temporal.RetryPolicy{InitialInterval: 100 * time.Millisecond, BackoffCoefficient: 1}})
		err = workflow.ExecuteLocalActivity(ctx, a).Get(ctx, &out)
		return out, err
	}
}

// updated returns what the update has set.
func updated(*cell) code {
	return code{main: func(ctx workflow.Context, _ string) (set string, err error) {
		set = "from"
		err = workflow.SetUpdateHandler(ctx, "set", func(_ workflow.Context, to string) (string, error) {
			was := set
			set = to
			return "was " + was, nil
		})
		receive(ctx, "end")
		return set, err
	}}
}

// rejected wants an update that was refused, and no word of it in the history.
func (c *cell) rejected(err error) {
	c.t.Helper()
	c.says("the update", err)
	for _, e := range c.history("") {
		if e.GetWorkflowExecutionUpdateAcceptedEventAttributes() != nil {
			c.t.Error("the update was accepted")
		}
	}
}

func queried(*cell) code {
	return code{main: func(ctx workflow.Context, _ string) (string, error) {
		err := workflow.SetQueryHandler(ctx, "echo", func(x string) (string, error) { return x, nil })
		receive(ctx, "end")
		return "end", err
	}}
}
