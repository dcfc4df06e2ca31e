package census_test

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"go.temporal.io/sdk/client"

	"github.com/signet-temporal/signet/e2e/stack"
)

// What one order carries, written out here and not taken from the code that counts: its two arguments and its memo in the
// start event, argument and result of the activity, and the memo once more as it is now.
const (
	orderWaits  = 2 + 1 + 1 + 1
	orderEnds   = orderWaits + 1 // and its result
	orderSignal = 1
)

// TestACensusIsExact makes workflows under three keys, one after another, and a schedule, and lets one activity beat. Some
// workflows begin under the first key and end under the third.
func TestACensusIsExact(t *testing.T) {
	t.Parallel() // it waits most of its time
	w := newWorld(t)
	began := time.Now()

	first := w.next(t)
	first.orders(t, "first", 7, false)
	open := first.orders(t, "open", 3, true)
	spans := first.orders(t, "spans", 2, true)
	action := &client.ScheduleWorkflowAction{ID: "nightly", Workflow: Order, Args: []any{"n", false}, TaskQueue: taskQueue, Memo: map[string]any{"of": "nightly"}, StaticSummary: "every night"}
	if _, err := first.ScheduleClient().Create(t.Context(), client.ScheduleOptions{ID: "nightly", Paused: true, Action: action, Memo: map[string]any{"about": "it"}}); err != nil {
		t.Fatal(err)
	}
	const schedulePayloads = 2 + 1 + 1 + 1
	first.stop()

	second := w.next(t)
	second.orders(t, "second", 5, false)
	second.stop()

	third := w.next(t)
	for _, id := range spans {
		if err := third.SignalWorkflow(t.Context(), id, "", "ship", " to Ulm"); err != nil {
			t.Fatal(err)
		}
		if err := third.GetWorkflow(t.Context(), id, "").Get(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := third.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: "watch", TaskQueue: taskQueue}, Watch); err != nil {
		t.Fatal(err)
	}
	stack.Eventually(t, patience, func() error {
		d, err := third.DescribeWorkflowExecution(t.Context(), "watch", "")
		if err == nil && (len(d.GetPendingActivities()) != 1 || d.GetPendingActivities()[0].GetHeartbeatDetails() == nil) {
			err = fmt.Errorf("no heartbeat")
		}
		return err
	})
	w.visible(t, 4, 14)

	r := w.census(t)
	if r.OpenWorkflows != 4 || r.ClosedWorkflows != 14 || r.Schedules != 1 || r.Unsealed != 0 || r.Malformed != 0 || r.ClosedMeanwhile != 0 || len(r.Keys) != 3 || r.Retention != "24h0m0s" {
		t.Errorf("the census says %+v", r)
	}
	for _, want := range []struct {
		key                       string
		history, memo             int64
		pending, schedule         int64
		open, closed, schedules   int64
		heldBy                    string
		sampleWorkflow, sampleSet []string
	}{
		{w.keys[0], 7*orderEnds + (3+2)*orderWaits, 7 + 3 + 2, 0, schedulePayloads, 3, 7 + 2, 1, "[3 open workflows 1 schedule]", open, []string{"nightly"}},
		{w.keys[1], 5 * orderEnds, 5, 0, 0, 0, 5, 0, "[]", nil, []string{}},
		{w.keys[2], 2 * (orderSignal + 1), 0, 1, 0, 1, 2, 0, "[1 open workflow]", []string{"watch"}, []string{}},
	} {
		k := r.key(want.key)
		places := map[string]int64{"history": want.history, "memo": want.memo, "pending": want.pending, "schedule": want.schedule, "header": 0, "activity": 0, "operation": 0}
		if !maps.Equal(k.Places, places) {
			t.Errorf("%s: %v, want %v", want.key, k.Places, places)
		}
		if k.OpenWorkflows != want.open || k.ClosedWorkflows != want.closed || k.Schedules != want.schedules || fmt.Sprint(k.HeldBy) != want.heldBy {
			t.Errorf("%s: %+v", want.key, k)
		}
		if k.OldestUse.Before(began) || k.NewestUse.After(r.Began) || k.NewestUse.Before(k.OldestUse) {
			t.Errorf("%s: used from %s to %s", want.key, k.OldestUse, k.NewestUse)
		}
		for _, id := range want.sampleWorkflow { // open ones come first
			if !slices.Contains(k.WorkflowIDs, id) {
				t.Errorf("%s: samples %s without %s", want.key, k.WorkflowIDs, id)
			}
		}
		if !reflect.DeepEqual(k.ScheduleIDs, want.sampleSet) {
			t.Errorf("%s: schedules %s", want.key, k.ScheduleIDs)
		}
	}
	table := stack.Exec(t, nil, stack.Program(t, "signet"), "census", "--address="+w.Temporal.Address, "--namespace="+namespace)
	for _, line := range []string{"payments  4 open and 14 closed workflows, 1 schedule, retention 24h\n", "\n" + w.keys[0] + "  84 payloads\n", "needed     for 3 open workflows, 1 schedule\n"} {
		if table.Code != 0 || !strings.Contains(table.Stdout, line) {
			t.Errorf("exit code %d, %swithout %q in %s", table.Code, table.Stderr, line, table.Stdout)
		}
	}
	t.Logf("\n%s", table.Stdout)
	second24 := r.key(w.keys[1])
	if until := second24.NeededUntil; until.Before(second24.NewestUse.Add(24*time.Hour-time.Second)) || until.After(r.Began.Add(24*time.Hour)) {
		t.Errorf("the second key is needed until %s, it was used until %s", until, second24.NewestUse)
	}
}
