package outcomes_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/workflow"

	"github.com/signet-temporal/signet/converter"
)

const (
	pageClient = "client call"
	pageMemo   = "memo that cannot be sealed"
)

// call is a call of a client that takes or returns a payload. In is where the payload stands that it cannot open.
type call struct {
	page, name, in string
	do             func(context.Context, *cell) error
}

func clientCalls() []call {
	const value = "PAYLOAD"
	start := func(c *cell) client.StartWorkflowOptions {
		return client.StartWorkflowOptions{ID: c.id + ":started", TaskQueue: "nobody"}
	}
	set := func(c *cell, args ...any) client.UpdateWorkflowOptions {
		return client.UpdateWorkflowOptions{WorkflowID: c.id, UpdateName: "set", Args: args, WaitForStage: client.WorkflowUpdateStageCompleted}
	}
	return []call{
		{page: pageClient, name: "start", do: func(ctx context.Context, c *cell) error {
			_, err := c.own.ExecuteWorkflow(ctx, start(c), "main", value)
			return err
		}},
		{page: pageClient, name: "signal", do: func(ctx context.Context, c *cell) error {
			return c.own.SignalWorkflow(ctx, c.id, "", "go", value)
		}},
		{page: pageClient, name: "signal with start", do: func(ctx context.Context, c *cell) error {
			_, err := c.own.SignalWithStartWorkflow(ctx, c.id+":started", "go", value, start(c), "main")
			return err
		}},
		{page: pageClient, name: "query", do: func(ctx context.Context, c *cell) error {
			_, err := c.own.QueryWorkflow(ctx, c.id, "", "echo", value)
			return err
		}},
		{page: pageClient, name: "update", do: func(ctx context.Context, c *cell) error {
			_, err := c.own.UpdateWorkflow(ctx, set(c, value))
			return err
		}},
		{page: pageClient, name: "update with start", do: func(ctx context.Context, c *cell) error {
			o := start(c)
			o.WorkflowIDConflictPolicy = 1 // fail
			_, err := c.own.UpdateWithStartWorkflow(ctx, client.UpdateWithStartWorkflowOptions{
				StartWorkflowOperation: c.own.NewWithStartWorkflowOperation(o, "main", value), UpdateOptions: set(c, value)})
			return err
		}},
		{page: pageClient, name: "schedule", do: func(ctx context.Context, c *cell) error {
			_, err := c.own.ScheduleClient().Create(ctx, client.ScheduleOptions{ID: c.id, Paused: true,
				Action: &client.ScheduleWorkflowAction{ID: c.id + ":started", Workflow: "main", TaskQueue: "nobody", Args: []any{value}}})
			return err
		}},
		{page: pageClient, name: "heartbeat by id", do: func(ctx context.Context, c *cell) error {
			return c.own.RecordActivityHeartbeatByID(ctx, namespace, c.id, "", "activity", value)
		}},
		{page: pageClient, name: "completion by id", do: func(ctx context.Context, c *cell) error {
			return c.own.CompleteActivityByID(ctx, namespace, c.id, "", "activity", value, nil)
		}},
		{page: pageMemo, name: "memo of a start", do: func(ctx context.Context, c *cell) error {
			o := start(c)
			o.Memo = map[string]any{"note": value}
			_, err := c.own.ExecuteWorkflow(ctx, o, "main")
			return err
		}},
		{page: pageClient, name: "result of a workflow", in: "WorkflowExecutionCompletedEventAttributes", do: func(ctx context.Context, c *cell) error {
			var out string
			return c.own.GetWorkflow(ctx, c.id+":done", "").Get(ctx, &out)
		}},
		{page: pageClient, name: "answer of a query", in: "QueryWorkflowResponse", do: func(ctx context.Context, c *cell) error {
			answer, err := c.own.QueryWorkflow(ctx, c.id, "", "echo", value)
			if err != nil {
				return err
			}
			var out string
			return answer.Get(&out)
		}},
		{page: pageClient, name: "result of an update", in: "Outcome", do: func(ctx context.Context, c *cell) error {
			handle, err := c.own.UpdateWorkflow(ctx, set(c, value))
			if err != nil {
				return err
			}
			var out string
			return handle.Get(ctx, &out)
		}},
		{page: pageFailureRead, name: "failure of a workflow", in: "WorkflowExecutionFailedEventAttributes", do: func(ctx context.Context, c *cell) error {
			return c.own.GetWorkflow(ctx, c.id+":failed", "").Get(ctx, nil)
		}},
	}
}

// TestClientCallsGetErrorsAndNeverPanic: in a process that runs a worker a client call gets an error that says what is
// wrong, at once and never as a panic, whether a goroutine of the application makes it, one that workflow code has
// started, or an activity.
func TestClientCallsGetErrorsAndNeverPanic(t *testing.T) {
	g := newStage(t)
	for _, call := range clientCalls() {
		for _, why := range (row{in: call.in}).causes() {
			t.Run(call.name+"/"+string(why), func(t *testing.T) {
				t.Parallel()
				g.cell(t, call.in, why).makes(call)
			})
		}
	}
}

func (c *cell) makes(k call) {
	c.t.Helper()
	// The workflow belongs to a worker in no trouble; another one in the troubled process makes the calls.
	calm := &cell{stage: c.stage, t: c.t, id: c.id, own: c.sealing}
	calm.work(code{main: func(ctx workflow.Context, end string) (string, error) {
		switch end {
		case "done":
			return "result", nil
		case "failed":
			return failing(context.Background())
		}
		if err := workflow.SetQueryHandler(ctx, "echo", func(x string) (string, error) { return x, nil }); err != nil {
			return "", err
		}
		err := workflow.SetUpdateHandler(ctx, "set", func(_ workflow.Context, to string) (string, error) { return to, nil })
		receive(ctx, "end")
		return "", err
	}})
	for _, end := range []string{"", ":done", ":failed"} {
		o := c.options()
		o.ID += end
		_, err := c.sealing.ExecuteWorkflow(c.t.Context(), o, "main", strings.TrimPrefix(end, ":"))
		must(c.t, err)
	}
	calm.started()

	got := make(chan error, 1)
	attempt := func(ctx context.Context) {
		defer func() {
			if p := recover(); p != nil {
				got <- fmt.Errorf("panic: %v", p)
			}
		}()
		got <- k.do(ctx, c)
	}
	check := func(where string) {
		c.t.Helper()
		select {
		case err := <-got:
			c.refused(k, where, err)
		case <-time.After(quick):
			c.t.Errorf("%s: no answer", where)
		}
	}
	makers := &cell{stage: c.stage, t: c.t, id: c.id + ":makers", own: c.own}
	makers.work(code{
		main: func(ctx workflow.Context, where string) (string, error) {
			if where == "activity" {
				_, err := callsActivity(ctx)
				return "", err
			}
			go attempt(c.t.Context()) // workflow code must not; an application's libraries do
			return "", nil
		},
		activities: map[string]any{"activity": func(ctx context.Context) error { attempt(ctx); return nil }},
	})
	c.trouble()
	go attempt(c.t.Context())
	check("a goroutine of the application")
	for _, where := range []string{"activity", "goroutine"} {
		o := makers.options()
		o.ID += ":" + where
		o.WorkflowTaskTimeout = 0
		_, err := c.sealing.ExecuteWorkflow(c.t.Context(), o, "main", where)
		must(c.t, err)
		check(where)
	}
	c.mend()
}

// refused wants the error that the page promises.
func (c *cell) refused(k call, where string, err error) {
	c.t.Helper()
	var typed *converter.Error
	switch {
	case err != nil && strings.HasPrefix(err.Error(), "panic"):
		c.t.Errorf("%s: %v", where, err)
	case k.page == pageMemo:
		if err == nil || !strings.Contains(err.Error(), "not sealed") {
			c.t.Errorf("%s: %v; want the guard's refusal", where, err)
		}
	case k.page == pageFailureRead && c.cause == foreign:
		if err == nil || !strings.Contains(err.Error(), "it came unsealed") {
			c.t.Errorf("%s: %v", where, err)
		}
	case k.page == pageFailureRead:
		c.says(where, err)
	case !errors.As(err, &typed) || !errors.Is(err, c.cause.kind()):
		c.t.Errorf("%s: %v; want a *converter.Error of kind %q", where, err, c.cause.kind())
	}
}
