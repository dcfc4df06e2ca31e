package outcomes_test

import (
	"context"
	"errors"
	"strings"
	"time"

	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
)

// sealing is every place where a worker writes a payload. The code says itself when the trouble begins, so that it is
// this payload that cannot be sealed and no other.
func sealing() []row {
	rows := []row{
		{page: pageCommands, name: "activity arguments",
			code: troubled(func(ctx workflow.Context) (string, error) { return callsActivity(ctx, "argument") }), want: "argument"},
		{page: pageCommands, name: "child arguments",
			code: troubled(func(ctx workflow.Context) (string, error) { return startsChild(ctx, "") }), want: "argument"},
		{page: pageCommands, name: "memo of a child",
			code: troubled(func(ctx workflow.Context) (out string, err error) {
				ctx = workflow.WithChildOptions(ctx, workflow.ChildWorkflowOptions{WorkflowTaskTimeout: time.Second, Memo: map[string]any{"note": "memo"}})
				err = workflow.ExecuteChildWorkflow(ctx, "child").Get(ctx, &out)
				return "ended", err
			}), want: "ended"},
		{page: pageCommands, name: "signal to another workflow",
			code: func(c *cell) code {
				return code{main: func(ctx workflow.Context, _ string) (out string, err error) {
					child := workflow.ExecuteChildWorkflow(ctx, "child")
					if err := child.GetChildWorkflowExecution().Get(ctx, nil); err != nil {
						return "", err
					}
					c.trouble()
					if err := child.SignalChildWorkflow(ctx, "go", "heard").Get(ctx, nil); err != nil {
						return "", err
					}
					err = child.Get(ctx, &out)
					return out, err
				}, child: func(ctx workflow.Context, _ string) (string, error) { return receive(ctx, "go"), nil }}
			}, want: "heard"},
		{page: pageCommands, name: "arguments of the next run",
			code: func(c *cell) code {
				return code{main: func(ctx workflow.Context, in string) (string, error) {
					if in == "next" {
						return in, nil
					}
					c.trouble()
					return "", workflow.NewContinueAsNewError(ctx, "main", "next")
				}}
			}, want: "next"},
		{page: pageCommands, name: "side effect",
			code: troubled(func(ctx workflow.Context) (out string, err error) {
				err = workflow.SideEffect(ctx, func(workflow.Context) any { return "effect" }).Get(&out)
				return out, err
			}), want: "effect"},
		{page: pageCommands, name: "mutable side effect",
			code: troubled(func(ctx workflow.Context) (out string, err error) {
				effect := func(workflow.Context) any { return "effect" }
				err = workflow.MutableSideEffect(ctx, "id", effect, func(a, b any) bool { return a == b }).Get(&out)
				return out, err
			}), want: "effect"},
		{page: pageCommands, name: "version",
			code: troubled(func(ctx workflow.Context) (string, error) {
				if workflow.GetVersion(ctx, "fork", workflow.DefaultVersion, 1) == workflow.DefaultVersion {
					return "the old branch", nil
				}
				return "the new branch", nil
			}), want: "the new branch"},
		{page: pageCommands, name: "summary of a timer",
			code: troubled(func(ctx workflow.Context) (string, error) {
				return "rung", workflow.NewTimerWithOptions(ctx, time.Millisecond, workflow.TimerOptions{Summary: "summary"}).Get(ctx, nil)
			}), want: "rung"},
		{page: pageCommands, name: "summary of an activity",
			code: troubled(func(ctx workflow.Context) (string, error) {
				ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: time.Minute, Summary: "summary"})
				return "done", workflow.ExecuteActivity(ctx, "nothing").Get(ctx, nil)
			}), want: "done"},
		{page: pageCommands, name: "summary of a local activity",
			code: troubled(func(ctx workflow.Context) (string, error) {
				ctx = workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{StartToCloseTimeout: time.Minute, Summary: "summary"})
				return "done", workflow.ExecuteLocalActivity(ctx, func(context.Context) error { return nil }).Get(ctx, nil)
			}), want: "done"},
		{page: pageCommands, name: "memo",
			code: troubled(func(ctx workflow.Context) (string, error) {
				return "upserted", workflow.UpsertMemo(ctx, map[string]any{"note": "memo"})
			}), want: "upserted"},
		{page: pageCommands, name: "workflow result",
			code: troubled(func(workflow.Context) (string, error) { return "result", nil }), want: "result"},
		{page: pageCommands, name: "marker of a local activity",
			code: func(c *cell) code {
				return code{main: func(ctx workflow.Context, _ string) (string, error) {
					ctx = workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{StartToCloseTimeout: time.Minute})
					return "done", workflow.ExecuteLocalActivity(ctx, func(context.Context) error { c.trouble(); return nil }).Get(ctx, nil)
				}}
			}, want: "done"},
		{page: pageCommands, name: "failure of a local activity",
			code: func(c *cell) code {
				return code{main: func(ctx workflow.Context, _ string) (string, error) {
					ctx = workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{StartToCloseTimeout: time.Minute})
					return orTold("", workflow.ExecuteLocalActivity(ctx, func(ctx context.Context) error {
						c.trouble()
						_, err := failing(ctx)
						return err
					}).Get(ctx, nil))
				}}
			}, want: "TEXT DETAILS"},
		{page: pageUpdateReplay, name: "update result",
			code: updating(func(c *cell, was string) (string, error) { c.trouble(); return "was " + was, nil }), drive: updates, want: "to"},
	}
	for i := range rows { // all of them are in workflow code
		rows[i].away, rows[i].lost = taskFails, taskFails
	}
	return append(rows, []row{
		{page: pageCancelDetails, name: "details of a cancellation",
			code: troubled(func(workflow.Context) (string, error) { return "", temporal.NewCanceledError("DETAILS") }),
			away: taskTimesOut, lost: taskTimesOut, want: "canceled: DETAILS <nil>"},
		{page: pageFailureSealed, name: "workflow failure",
			code: troubled(func(workflow.Context) (string, error) { return failing(context.Background()) }),
			away: workflowFails, lost: workflowFails},
		{page: pageFailureSealed, name: "update failure",
			code:  updating(func(c *cell, _ string) (string, error) { c.trouble(); return failing(context.Background()) }),
			drive: updateGets((*cell).withheld), away: nothing, lost: nothing, want: "to"},
		{page: pageFailureSealed, name: "activity failure that cannot be sealed",
			code: func(c *cell) code {
				return code{
					main: func(ctx workflow.Context, _ string) (string, error) {
						_, err := callsActivity(ctx)
						return orTold("done", err)
					},
					activities: map[string]any{"activity": func(context.Context) error {
						if c.trouble(); !c.held.refuses.Load() {
							return nil
						}
						return temporal.NewApplicationError("TEXT", "Failed", "DETAILS")
					}},
				}
			},
			away: activityIsRetried, lost: activityIsRetried, want: "done"},
		{page: pageQuery, name: "answer of a query",
			code: func(c *cell) code {
				return code{main: func(ctx workflow.Context, _ string) (string, error) {
					err := workflow.SetQueryHandler(ctx, "echo", func(x string) (string, error) { c.trouble(); return x, nil })
					receive(ctx, "end")
					return "end", err
				}}
			},
			drive: asks("echo", "x"), away: nothing, lost: nothing, want: "end"},
		{page: pageQuery, name: "answer of the SDK's own query",
			code: queried, drive: func(c *cell) func() {
				c.started()
				c.trouble()
				return asks("__stack_trace")(c)
			}, away: nothing, lost: nothing, want: "end"},
		{page: pageQueryError, name: "failure of a query",
			code: func(c *cell) code {
				return code{main: func(ctx workflow.Context, _ string) (string, error) {
					err := workflow.SetQueryHandler(ctx, "echo", func(x string) (string, error) {
						if c.trouble(); c.held.refuses.Load() {
							return "", errors.New("TEXT")
						}
						return x, nil
					})
					receive(ctx, "end")
					return "end", err
				}}
			},
			drive: asksInVain, away: nothing, lost: nothing, want: "end"},
		{page: pageActivityOutput, name: "activity result that cannot be sealed",
			code: func(c *cell) code {
				return calls(func(context.Context) (string, error) { c.trouble(); return "result", nil })(c)
			},
			away: activityIsRetried, lost: activityFails, want: "result"},
		{page: pageActivityOutput, name: "heartbeat",
			code: func(c *cell) code {
				return calls(func(ctx context.Context) (string, error) {
					c.trouble()
					activity.RecordHeartbeat(ctx, "so far")
					return "done", nil
				})(c)
			},
			away: activityIsRetried, lost: activityIsRetried, want: "done"},
		{page: pageLocalActivity, name: "local activity result that cannot be sealed",
			before: func(o *client.StartWorkflowOptions) { o.WorkflowTaskTimeout = 10 * time.Second },
			code: func(c *cell) code {
				return code{main: func(ctx workflow.Context, _ string) (string, error) {
					return orTold(local(func(context.Context) (string, error) { c.trouble(); return "measured", nil })(ctx))
				}}
			},
			away: staysOpen, lost: staysOpen, want: "measured"},
	}...)
}

// troubled is code in trouble from here on, at every replay until it is mended.
func troubled(rest func(workflow.Context) (string, error)) func(*cell) code {
	return func(c *cell) code {
		return code{
			main:  func(ctx workflow.Context, _ string) (string, error) { c.trouble(); return rest(ctx) },
			child: func(_ workflow.Context, in string) (string, error) { return in, nil },
			activities: map[string]any{
				"activity": func(_ context.Context, in string) (string, error) { return in, nil },
				"nothing":  func(context.Context) error { return nil },
			},
		}
	}
}

// updating is updated with a handler that ends in trouble.
func updating(ends func(c *cell, was string) (string, error)) func(*cell) code {
	return func(c *cell) code {
		return code{main: func(ctx workflow.Context, _ string) (set string, err error) {
			set = "from"
			err = workflow.SetUpdateHandler(ctx, "set", func(_ workflow.Context, to string) (string, error) {
				was := set
				set = to
				return ends(c, was)
			})
			receive(ctx, "end")
			return set, err
		}}
	}
}

const sealFailed = "failure text withheld: it cannot be sealed"

// withheld wants a failure that says why it says nothing, and keeps its type.
func (c *cell) withheld(err error) {
	c.t.Helper()
	c.says("the failure", err)
	var app *temporal.ApplicationError
	if !errors.As(err, &app) || app.Type() != "Failed" || !app.NonRetryable() || app.HasDetails() {
		c.t.Errorf("the failure is %v, want one of the application's type, not to be retried, without details", err)
	}
}

// workflowFails: a workflow that fails does so, and its failure says that the text is missing.
func workflowFails(c *cell) string {
	c.t.Helper()
	e := c.await(quick, "the workflow fails", func(e *historypb.HistoryEvent) bool { return e.GetWorkflowExecutionFailedEventAttributes() != nil })
	c.withheld(c.failures.FailureToError(e.GetWorkflowExecutionFailedEventAttributes().GetFailure()))
	c.noTaskFailed()
	return sealFailed + " (" + c.cause.reason() + ")"
}

// staysOpen: the local activity is tried again, inside the workflow task; nothing fails.
func staysOpen(c *cell) string {
	c.t.Helper()
	time.Sleep(time.Second)
	c.noTaskFailed()
	c.open()
	return ""
}

// asksInVain is [asks] of a query that fails: neither its text nor anything in clear arrives, but why.
func asksInVain(c *cell) func() {
	c.t.Helper()
	c.started()
	_, err := c.query("echo", "x")
	if err == nil || !strings.Contains(err.Error(), "cannot be sealed (key-") || strings.Contains(err.Error(), "TEXT") {
		c.t.Errorf("the query gets: %v, want to read why its text is withheld", err)
	}
	c.noTaskFailed()
	return func() { c.signal("end", "") }
}
