package migrate_test

import (
	"errors"
	"testing"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	sdk "go.temporal.io/sdk/converter"

	"github.com/signet-temporal/signet/converter"
	"github.com/signet-temporal/signet/e2e/stack"
)

// What the server starts again and again from what was stored once does not move by itself.

// schedules makes some, paused, before the migration.
func (m *move) schedules(t *testing.T, by process) {
	t.Helper()
	for _, id := range []string{"sealed anew", "forgotten", "never saved"} {
		action := &client.ScheduleWorkflowAction{
			ID: id, Workflow: Nightly, Args: []any{"for " + id}, TaskQueue: taskQueue,
			Memo: map[string]any{"of": id}, StaticSummary: "summary of " + id,
		}
		if _, err := by.ScheduleClient().Create(t.Context(), client.ScheduleOptions{ID: id, Paused: true, Action: action}); err != nil {
			t.Fatal(err)
		}
	}
}

// cron starts a workflow that the server starts again every second.
func (m *move) cron(t *testing.T, by process) {
	t.Helper()
	o := client.StartWorkflowOptions{ID: "cron", TaskQueue: taskQueue, CronSchedule: "@every 1s"}
	if _, err := by.ExecuteWorkflow(t.Context(), o, Nightly, "cron"); err != nil {
		t.Fatal(err)
	}
}

// cronKeepsItsInput: the server copies the first run's input from run to run, so that such a workflow never moves by itself.
func (m *move) cronKeepsItsInput(t *testing.T, by process) {
	t.Helper()
	first := m.history(t, by, "cron")[0].GetWorkflowExecutionStartedEventAttributes()
	if first.GetContinuedExecutionRunId() == "" {
		t.Error("the cron workflow has not been started again")
	}
	for _, p := range first.GetInput().GetPayloads() {
		if _, ours := p.GetMetadata()["encryption-context"]; ours {
			t.Error("the input of a cron workflow was sealed by itself: docs/migration.md says otherwise")
		}
	}
	if err := by.TerminateWorkflow(t.Context(), "cron", "", "started anew by a sealing client"); err != nil {
		t.Fatal(err)
	}
}

// reseal saves one schedule with its arguments sealed, as the page shows; both can still be saved as they are.
func (m *move) reseal(t *testing.T, by process) {
	t.Helper()
	for _, id := range []string{"sealed anew", "forgotten"} {
		if err := save(t, by, id); err != nil {
			t.Errorf("saving schedule %q as it is: %v", id, err)
		}
		m.triggered(t, by, id)
	}
	if err := by.ScheduleClient().GetHandle(t.Context(), "sealed anew").Update(t.Context(), resealing(m.codecFor(t))); err != nil {
		t.Fatal(err)
	}
	m.triggered(t, by, "sealed anew")
}

// codecFor opens what a process of the second step opens.
func (m *move) codecFor(t *testing.T) *converter.Codec {
	t.Helper()
	codec, err := converter.NewCodec(m.DefaultRing(t), converter.CodecOptions{
		Keyset: stack.Keyset(m.namespace), Scope: m.namespace, Legacy: m.legacy, AllowPlaintext: m.codec == nil,
	})
	if err != nil {
		t.Fatal(err)
	}
	return codec
}

// resealing is the page's code.
func resealing(codec *converter.Codec) client.ScheduleUpdateOptions {
	open := func(stored any) (any, error) {
		p, err := codec.Open(stored.(*commonpb.Payload))
		return sdk.NewRawValue(p), err // the client seals it
	}
	return client.ScheduleUpdateOptions{DoUpdate: func(in client.ScheduleUpdateInput) (*client.ScheduleUpdate, error) {
		schedule := in.Description.Schedule
		action := schedule.Action.(*client.ScheduleWorkflowAction)
		var err error
		for i := range action.Args {
			if action.Args[i], err = open(action.Args[i]); err != nil {
				return nil, err
			}
		}
		for key := range action.Memo {
			if action.Memo[key], err = open(action.Memo[key]); err != nil {
				return nil, err
			}
		}
		return &client.ScheduleUpdate{Schedule: &schedule}, nil
	}}
}

func save(t *testing.T, by process, id string) error {
	t.Helper()
	return by.ScheduleClient().GetHandle(t.Context(), id).Update(t.Context(), client.ScheduleUpdateOptions{
		DoUpdate: func(in client.ScheduleUpdateInput) (*client.ScheduleUpdate, error) {
			return &client.ScheduleUpdate{Schedule: &in.Description.Schedule}, nil
		},
	})
}

func describe(t *testing.T, by process, id string) error {
	t.Helper()
	_, err := by.ScheduleClient().GetHandle(t.Context(), id).Describe(t.Context())
	return err
}

// trigger starts a schedule's workflow and returns its id.
func (m *move) trigger(t *testing.T, by process, id string) (workflowID string) {
	t.Helper()
	handle := by.ScheduleClient().GetHandle(t.Context(), id)
	done := func() (n int) {
		d, err := handle.Describe(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if n = d.Info.NumActions; n > 0 {
			workflowID = d.Info.RecentActions[len(d.Info.RecentActions)-1].StartWorkflowResult.WorkflowID
		}
		return n
	}
	before := done()
	if err := handle.Trigger(t.Context(), client.ScheduleTriggerOptions{Overlap: enumspb.SCHEDULE_OVERLAP_POLICY_ALLOW_ALL}); err != nil {
		t.Fatal(err)
	}
	stack.Eventually(t, patience, func() error {
		if done() == before {
			return errors.New("the schedule has started nothing")
		}
		return nil
	})
	return workflowID
}

func (m *move) triggered(t *testing.T, by process, id string) {
	t.Helper()
	var got string
	if err := by.GetWorkflow(t.Context(), m.trigger(t, by, id), "").Get(t.Context(), &got); err != nil || got != "for "+id {
		t.Errorf("schedule %q ran and returned %q, %v", id, got, err)
	}
}
