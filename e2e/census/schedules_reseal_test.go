package census_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/protobuf/proto"

	"github.com/signet-temporal/signet/e2e/stack"
)

// resealing is the JSON of the command.
type resealing struct {
	Key       string
	Plan      bool
	Schedules []struct {
		ID, State, Problem       string
		Payloads, Left, Unsealed int
		From                     []string
	}
}

// asWorker runs the command with a worker's identity, which can open.
func (w *world) asWorker(t *testing.T, args ...string) stack.Run {
	t.Helper()
	env := []string{"VAULT_ADDR=" + w.Vault.Address, "VAULT_TOKEN=" + w.Roles.WorkerToken, "TEMPORAL_ADDRESS=" + w.Temporal.Address, "TEMPORAL_NAMESPACE=" + namespace}
	return stack.Exec(t, env, stack.Program(t, "signet"), append([]string{"schedules", "reseal"}, args...)...)
}

func (w *world) reseal(t *testing.T, code int, args ...string) resealing {
	t.Helper()
	run := w.asWorker(t, append(args, "--output=json")...)
	if run.Code != code {
		t.Fatalf("exit code %d, want %d: %s", run.Code, code, run.Stderr)
	}
	var r resealing
	if err := json.Unmarshal([]byte(run.Stdout), &r); err != nil {
		t.Fatalf("%v: %s", err, run.Stdout)
	}
	return r
}

func (w *world) describe(t *testing.T, id string) *workflowservice.DescribeScheduleResponse {
	t.Helper()
	d, err := w.all.WorkflowService().DescribeSchedule(t.Context(), &workflowservice.DescribeScheduleRequest{Namespace: namespace, ScheduleId: id})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// create makes a schedule in which nothing is left at its default.
func (e era) create(t *testing.T, id string) {
	t.Helper()
	action := &client.ScheduleWorkflowAction{ID: id, Workflow: Order, Args: []any{"for " + id, false}, TaskQueue: taskQueue, Memo: map[string]any{"of": id}, StaticSummary: "every night"}
	o := client.ScheduleOptions{ID: id, Action: action, Paused: true, Note: "by hand", RemainingActions: 7, CatchupWindow: time.Hour, PauseOnFailure: true,
		Overlap: enumspb.SCHEDULE_OVERLAP_POLICY_BUFFER_ONE, Spec: client.ScheduleSpec{
			CronExpressions: []string{"30 2 * * *"}, Jitter: time.Minute, TimeZoneName: "Europe/Berlin",
			Intervals: []client.ScheduleIntervalSpec{{Every: 36 * time.Hour, Offset: time.Hour}},
		}}
	if _, err := e.ScheduleClient().Create(t.Context(), o); err != nil {
		t.Fatal(err)
	}
}

// header puts a header into a schedule, as an interceptor does.
func (w *world) header(t *testing.T, id string, value *commonpb.Payload) {
	t.Helper()
	d := w.describe(t, id)
	d.GetSchedule().GetAction().GetStartWorkflow().Header = &commonpb.Header{Fields: map[string]*commonpb.Payload{"by": value}}
	if _, err := w.all.WorkflowService().UpdateSchedule(t.Context(), &workflowservice.UpdateScheduleRequest{Namespace: namespace, ScheduleId: id, Schedule: d.GetSchedule()}); err != nil {
		t.Fatal(err)
	}
	stack.Eventually(t, patience, func() error {
		if w.describe(t, id).GetSchedule().GetAction().GetStartWorkflow().GetHeader() == nil {
			return errors.New("no header yet")
		}
		return nil
	})
}

// blank takes out of every payload what the command may change, and returns their keys. What they are bound to stays.
func blank(d *workflowservice.DescribeScheduleResponse) (keys []string) {
	action := d.GetSchedule().GetAction().GetStartWorkflow()
	take := func(p *commonpb.Payload) {
		if p != nil {
			keys = append(keys, string(p.GetMetadata()["encryption-key-id"]))
			p.Data = nil
			delete(p.Metadata, "encryption-key-id")
		}
	}
	for _, p := range action.GetInput().GetPayloads() {
		take(p)
	}
	for _, p := range action.GetMemo().GetFields() {
		take(p)
	}
	take(action.GetUserMetadata().GetSummary())
	d.Info.UpdateTime, d.ConflictToken = nil, nil
	return keys
}

// TestASchedulesArgumentsMoveToThePrimaryKeyAndNothingElseChanges plans, does it, does it again, and runs the schedule.
// After that a census finds the old key in what cannot be moved and nowhere else.
func TestASchedulesArgumentsMoveToThePrimaryKeyAndNothingElseChanges(t *testing.T) {
	t.Parallel() // it waits most of its time
	w := newWorld(t)
	old := w.next(t)
	old.create(t, "nightly")
	old.create(t, "pinned")
	w.header(t, "pinned", w.describe(t, "pinned").GetSchedule().GetAction().GetStartWorkflow().GetInput().GetPayloads()[0])
	w.header(t, "nightly", &commonpb.Payload{Metadata: map[string][]byte{"encoding": []byte("json/plain")}, Data: []byte(`"trace"`)})
	old.stop()
	fresh := w.next(t)
	fresh.create(t, "current")
	stack.Eventually(t, patience, func() error { // until all three are listed
		if n := len(w.reseal(t, 0, "--plan").Schedules); n != 3 {
			return errors.New("not all are listed")
		}
		return nil
	})
	before := map[string]*workflowservice.DescribeScheduleResponse{}
	for _, id := range []string{"current", "nightly", "pinned"} {
		before[id] = w.describe(t, id)
	}

	check := func(r resealing, plan bool, states ...string) {
		t.Helper()
		if r.Plan != plan || keyset+"/"+r.Key != fresh.key || len(r.Schedules) != 3 {
			t.Fatalf("the command says %+v", r)
		}
		for i, s := range r.Schedules { // sorted by id
			moved := 0
			if states[i] != "current" {
				moved = 4
			}
			left, unsealed := 0, 0
			switch s.ID {
			case "pinned":
				left = 1
			case "nightly":
				unsealed = 1
			}
			if s.State != states[i] || s.Payloads != moved || s.Left != left || s.Unsealed != unsealed || moved > 0 && !slices.Equal(s.From, []string{old.key}) {
				t.Errorf("%+v, want state %s", s, states[i])
			}
		}
	}
	check(w.reseal(t, 0, "--plan"), true, "current", "to reseal", "to reseal")
	for id, d := range before {
		if !proto.Equal(w.describe(t, id).GetSchedule(), d.GetSchedule()) {
			t.Errorf("--plan has changed schedule %s", id)
		}
	}
	if table := w.asWorker(t, "--plan"); table.Code != 0 || !strings.Contains(table.Stdout, "\nnightly   to reseal  4         "+old.key+"  0     1\n") {
		t.Errorf("exit code %d, %s%s", table.Code, table.Stderr, table.Stdout)
	} else {
		t.Logf("\n%s", table.Stdout)
	}
	check(w.reseal(t, 0), false, "current", "resealed", "resealed")
	check(w.reseal(t, 0), false, "current", "current", "current")

	for id, d := range before {
		after := w.describe(t, id)
		blank(d)
		if keys := blank(after); len(keys) != 4 || slices.ContainsFunc(keys, func(key string) bool { return key != fresh.key }) {
			t.Errorf("%s has payloads under %s, want four under %s", id, keys, fresh.key)
		}
		if !proto.Equal(after, d) {
			t.Errorf("schedule %s has changed elsewhere\n got %v\nwant %v", id, after, d)
		}
	}

	// Its workflow opens what was sealed anew, and so does the application's own client.
	handle := fresh.ScheduleClient().GetHandle(t.Context(), "nightly")
	if err := handle.Trigger(t.Context(), client.ScheduleTriggerOptions{Overlap: enumspb.SCHEDULE_OVERLAP_POLICY_ALLOW_ALL}); err != nil {
		t.Fatal(err)
	}
	stack.Eventually(t, patience, func() error {
		d, err := handle.Describe(t.Context())
		if err != nil || len(d.Info.RecentActions) == 0 {
			return errors.Join(err, errors.New("it has started nothing"))
		}
		var got string
		err = fresh.GetWorkflow(t.Context(), d.Info.RecentActions[0].StartWorkflowResult.WorkflowID, "").Get(t.Context(), &got)
		if err == nil && got != "packed for nightly" {
			t.Errorf("it returned %q", got)
		}
		return err
	})
	if k := w.census(t).key(old.key); k.Payloads != 1 || k.Places["header"] != 1 || !slices.Equal(k.ScheduleIDs, []string{"pinned"}) {
		t.Errorf("under the old key the census finds %+v", k)
	}
}

// TestAScheduleThatDoesNotOpenIsLeftAsItIs: one is damaged, one is of another scope; the third is sealed anew all the same.
func TestAScheduleThatDoesNotOpenIsLeftAsItIs(t *testing.T) {
	t.Parallel() // it waits most of its time
	w := newWorld(t)
	old := w.next(t)
	for _, id := range []string{"damaged", "whole"} {
		old.create(t, id)
	}
	d := w.describe(t, "damaged")
	data := d.GetSchedule().GetAction().GetStartWorkflow().GetInput().GetPayloads()[1].GetData()
	data[len(data)-1] ^= 1
	if _, err := w.all.WorkflowService().UpdateSchedule(t.Context(), &workflowservice.UpdateScheduleRequest{Namespace: namespace, ScheduleId: "damaged", Schedule: d.GetSchedule()}); err != nil {
		t.Fatal(err)
	}
	stack.Eventually(t, patience, func() error {
		if !proto.Equal(w.describe(t, "damaged").GetSchedule().GetAction(), d.GetSchedule().GetAction()) {
			return errors.New("not damaged yet")
		}
		return nil
	})
	old.stop()
	w.next(t)
	r := w.reseal(t, 1, "damaged", "whole", "none")
	for i, want := range []struct{ state, problem string }{{"failed", "not authentic"}, {"resealed", ""}, {"failed", "reading it"}} {
		if s := r.Schedules[i]; s.State != want.state || !strings.Contains(s.Problem, want.problem) || (want.problem == "") != (s.Problem == "") {
			t.Errorf("%+v, want %+v", s, want)
		}
	}
	if !proto.Equal(w.describe(t, "damaged").GetSchedule().GetAction(), d.GetSchedule().GetAction()) {
		t.Error("the damaged one was changed")
	}
	// A custodian can change keys and open nothing.
	run := w.SignetRun(t, "schedules", "reseal", "whole", "--address="+w.Temporal.Address, "--namespace="+namespace)
	if run.Code != 1 || run.Stdout != "" || strings.Count(run.Stderr, "\n") != 1 {
		t.Errorf("with a custodian's token: exit code %d, %s%s", run.Code, run.Stdout, run.Stderr)
	}
	t.Logf("with a custodian's token: %s", run.Stderr)
}
