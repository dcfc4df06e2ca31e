// Package companion_test uses what signet's command line adds to the temporal CLI (histories, logins) against a real
// Temporal, codec server and OpenID provider.
package companion_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/signet-temporal/signet"
	"github.com/signet-temporal/signet/e2e/stack"
)

const (
	namespace  = "payments"
	taskQueue  = "orders"
	workflowID = "order-4711"
	steps      = 60
)

// What only the right people may read.
const (
	inputSecret   = "planted-input-91d2"
	memoSecret    = "planted-memo-7be0"
	stepSecret    = "planted-step-44c1"
	failureSecret = "planted-failure-03aa"
	resultSecret  = "planted-result-fe61"
	noteSecret    = "planted-note-c58d"
)

var secrets = []string{inputSecret, memoSecret, stepSecret, failureSecret, resultSecret, noteSecret}

// Order waits for two notes, takes steps, and goes on when the last one fails.
func Order(ctx workflow.Context, _ string) (string, error) {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: time.Minute, RetryPolicy: &temporal.RetryPolicy{MaximumAttempts: 1}})
	notes := workflow.GetSignalChannel(ctx, "note")
	for range 2 {
		notes.Receive(ctx, nil)
	}
	var all []workflow.Future
	for i := range steps {
		all = append(all, workflow.ExecuteActivity(ctx, Step, fmt.Sprintf("%s %d", stepSecret, i)))
	}
	for _, f := range all {
		if err := f.Get(ctx, nil); err != nil {
			return "", err
		}
	}
	if err := workflow.ExecuteActivity(ctx, Step, "").Get(ctx, nil); err == nil {
		return "", temporal.NewApplicationError("the last step did not fail", "Test")
	}
	return resultSecret, nil
}

// Step is Order's activity.
func Step(_ context.Context, what string) (string, error) {
	if what == "" {
		return "", temporal.NewNonRetryableApplicationError(failureSecret, "Declined", nil, failureSecret)
	}
	return what, nil
}

// ran runs one Order, whose second note is sealed for another namespace if alien says so, and returns its run id.
func ran(t *testing.T, s *stack.Stack, alien bool) string {
	t.Helper()
	c := s.Client(t, namespace, signet.Options{})
	w := worker.New(c, taskQueue, worker.Options{})
	w.RegisterWorkflow(Order)
	w.RegisterActivity(Step)
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Stop)
	run, err := c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{
		ID: workflowID, TaskQueue: taskQueue, Memo: map[string]any{"ward": memoSecret}, StaticSummary: "an order",
	}, Order, inputSecret)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		from := c
		if alien && i == 1 {
			from = s.ClientWith(t, namespace, s.Plugin(t, nil, signet.Options{Keyset: stack.Keyset("orders"), Scope: "orders"}))
		}
		if err := from.SignalWorkflow(t.Context(), workflowID, "", "note", noteSecret); err != nil {
			t.Fatal(err)
		}
	}
	var result string
	if err := run.Get(t.Context(), &result); err != nil || result != resultSecret {
		t.Fatalf("the workflow ended with %q, %v", result, err)
	}
	return run.GetRunID()
}

// signetAs runs the command line with a login for the codec server, and with nothing else in its environment.
func signetAs(t *testing.T, s *stack.Stack, server *stack.Server, token string, args ...string) stack.Run {
	t.Helper()
	env := []string{"TEMPORAL_ADDRESS=" + s.Temporal.Address, "TEMPORAL_NAMESPACE=" + namespace, "TEMPORAL_CODEC_ENDPOINT=" + server.URL,
		"SIGNET_CODEC_CA=" + server.Cert.CAFile}
	if token != "" {
		env = append(env, "TEMPORAL_CODEC_AUTH=Bearer "+token)
	}
	return stack.Exec(t, env, stack.Program(t, "signet"), args...)
}
