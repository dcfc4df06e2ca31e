package history_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/signet-temporal/signet"
	"github.com/signet-temporal/signet/e2e/stack"
)

// updated can be updated and ends with a signal, after as many runs as it is told.
func updated(ctx workflow.Context, runs int) (set string, err error) {
	if err := workflow.SetUpdateHandler(ctx, "set", func(_ workflow.Context, to string) (string, error) {
		set = to
		return to, nil
	}); err != nil {
		return "", err
	}
	if runs > 1 {
		return "", workflow.NewContinueAsNewError(ctx, updated, runs-1)
	}
	workflow.GetSignalChannel(ctx, "end").Receive(ctx, nil)
	return set, nil
}

// callsOutside runs an activity of a worker that does not seal and returns what its failure says.
func callsOutside(ctx workflow.Context) (string, error) {
	o := workflow.ActivityOptions{TaskQueue: "outside", StartToCloseTimeout: 20 * time.Second, RetryPolicy: &temporal.RetryPolicy{MaximumAttempts: 1}}
	err := workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, o), "Outside").Get(ctx, nil)
	var app *temporal.ApplicationError
	if !errors.As(err, &app) {
		return "", errors.New("the activity did not fail with an application error")
	}
	return app.Type() + ": " + app.Message(), nil
}

func startUpdated(t *testing.T, s *stack.Stack, o signet.Options) {
	t.Helper()
	w := worker.New(s.Client(t, "payments", o), taskQueue, worker.Options{})
	w.RegisterWorkflow(updated)
	w.RegisterWorkflow(callsOutside)
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Stop)
}

func update(t *testing.T, c client.Client, id, name string) (out string, err error) {
	t.Helper()
	handle, err := c.UpdateWorkflow(t.Context(), client.UpdateWorkflowOptions{
		WorkflowID: id, UpdateName: name, Args: []any{"to"}, WaitForStage: client.WorkflowUpdateStageCompleted,
	})
	if err == nil {
		err = handle.Get(t.Context(), &out)
	}
	return out, err
}

// ends signals the workflow and wants it to end at once.
func ends(t *testing.T, c client.Client, id string) (out string) {
	t.Helper()
	if err := c.SignalWorkflow(t.Context(), id, "", "end", nil); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- c.GetWorkflow(t.Context(), id, "").Get(t.Context(), &out) }()
	select {
	case err := <-done:
		if err != nil {
			t.Errorf("workflow %s: %v", id, err)
		}
	case <-time.After(20 * time.Second):
		t.Fatalf("workflow %s is held up", id)
	}
	return out
}

// TestOthersPlaintextHoldsUpNobody: whoever may write to Temporal, and holds no key, can send updates in clear. They are
// rejected, known or not, and the workflow goes on.
func TestOthersPlaintextHoldsUpNobody(t *testing.T) {
	s := stack.Start(t, stack.Options{Namespaces: []string{"payments"}, WithoutOIDC: true})
	raw, sealing := s.ClientWith(t, "payments"), s.Client(t, "payments", signet.Options{})
	startUpdated(t, s, signet.Options{})
	if _, err := sealing.ExecuteWorkflow(t.Context(), startOptions("updated"), updated, 1); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"unknown", "set"} {
		if out, err := update(t, raw, "updated", name); err == nil {
			t.Errorf("update %q in clear was taken: %q", name, out)
		}
	}
	if out, err := update(t, sealing, "updated", "set"); err != nil || out != "to" {
		t.Errorf("a sealed update: %q, %v", out, err)
	}
	if out := ends(t, sealing, "updated"); out != "to" {
		t.Errorf("the workflow returned %q", out)
	}

	// A worker elsewhere that encodes the text of its failures and does not seal it.
	plain, err := client.Dial(client.Options{
		HostPort: s.Temporal.Address, Namespace: "payments", Logger: stack.Quiet,
		FailureConverter: temporal.NewDefaultFailureConverter(temporal.DefaultFailureConverterOptions{EncodeCommonAttributes: true}),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(plain.Close)
	outside := worker.New(plain, "outside", worker.Options{})
	outside.RegisterActivityWithOptions(func() error { return temporal.NewApplicationError("FORGED", "Outside") }, activity.RegisterOptions{Name: "Outside"})
	if err := outside.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(outside.Stop)
	run, err := sealing.ExecuteWorkflow(t.Context(), startOptions("calls-outside"), callsOutside)
	if err != nil {
		t.Fatal(err)
	}
	var says string
	if err := run.Get(t.Context(), &says); err != nil || !strings.HasPrefix(says, "Outside: ") || strings.Contains(says, "FORGED") {
		t.Errorf("the failure of a worker that does not seal: %q, %v", says, err)
	}
}

// TestAMigrationMovesWhatWasStartedInClear: what docs/migration.md promises of AllowPlaintext.
func TestAMigrationMovesWhatWasStartedInClear(t *testing.T) {
	s := stack.Start(t, stack.Options{Namespaces: []string{"payments"}, WithoutOIDC: true})
	raw, sealing := s.ClientWith(t, "payments"), s.Client(t, "payments", signet.Options{AllowPlaintext: true})
	startUpdated(t, s, signet.Options{AllowPlaintext: true})

	o := startOptions("in-clear")
	o.Memo = map[string]any{"note": "a memo in clear is handed on from run to run"}
	if _, err := raw.ExecuteWorkflow(t.Context(), o, updated, 2); err != nil {
		t.Fatal(err)
	}
	if out, err := update(t, sealing, "in-clear", "set"); err != nil || out != "to" {
		t.Errorf("a sealed update of a workflow that was started in clear: %q, %v", out, err)
	}
	if _, err := update(t, raw, "in-clear", "set"); err == nil {
		t.Error("a client that does not seal has read a sealed result")
	}
	if out := ends(t, sealing, "in-clear"); out != "to" {
		t.Errorf("the workflow returned %q", out)
	}

	action := &client.ScheduleWorkflowAction{ID: "scheduled", Workflow: updated, Args: []any{1}, TaskQueue: taskQueue}
	if _, err := raw.ScheduleClient().Create(t.Context(), client.ScheduleOptions{ID: "old", Paused: true, Action: action}); err != nil {
		t.Fatal(err)
	}
	save := client.ScheduleUpdateOptions{DoUpdate: func(in client.ScheduleUpdateInput) (*client.ScheduleUpdate, error) {
		return &client.ScheduleUpdate{Schedule: &in.Description.Schedule}, nil
	}}
	if err := sealing.ScheduleClient().GetHandle(t.Context(), "old").Update(t.Context(), save); err != nil {
		t.Errorf("saving a schedule that was made in clear, during a migration: %v", err)
	}
	strict := s.Client(t, "payments", signet.Options{})
	if err := strict.ScheduleClient().GetHandle(t.Context(), "old").Update(t.Context(), save); err == nil || !strings.Contains(err.Error(), "refused to send UpdateSchedule") {
		t.Errorf("saving it after the migration: %v", err)
	}
}

// TestAClientFromAnUnguardedOneIsRefused: such a client uses the connection of the other, and with it no guard.
func TestAClientFromAnUnguardedOneIsRefused(t *testing.T) {
	s := stack.Start(t, stack.Options{Namespaces: []string{"payments"}, WithoutOIDC: true})
	o := client.Options{Namespace: "payments", Logger: stack.Quiet, Plugins: []client.Plugin{s.Plugin(t, nil, signet.Options{})}}
	if c, err := client.NewClientFromExistingWithContext(t.Context(), s.ClientWith(t, "payments"), o); err == nil || !strings.Contains(err.Error(), "no guard") {
		t.Errorf("from a client without the plugin: %v, %v", c, err)
	}
	if _, err := client.NewClientFromExistingWithContext(t.Context(), s.Client(t, "payments", signet.Options{}), o); err != nil {
		t.Errorf("from a client with the plugin: %v", err)
	}
}
