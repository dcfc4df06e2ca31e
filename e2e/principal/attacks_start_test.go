package principal_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/signet-temporal/signet"
	"github.com/signet-temporal/signet/e2e/stack"
	"github.com/signet-temporal/signet/principal"
	"github.com/signet-temporal/signet/principal/propagate"
)

// forged is what somebody writes who has read how others carry identities.
func forged() *commonpb.Payload {
	return &commonpb.Payload{Metadata: map[string][]byte{"encoding": []byte("json/plain")}, Data: []byte(`{"subject":"ann","tenant":"acme"}`)}
}

// changed returns a copy of a header with its bytes changed.
func changed(header *commonpb.Payload, change func([]byte) []byte) *commonpb.Payload {
	header = proto.CloneOf(header)
	header.Data = change(header.Data)
	return header
}

// ended runs a workflow for ann, to its end, and returns the header that it was started with.
func (w *world) ended(workflowType string) *commonpb.Payload {
	w.t.Helper()
	_, err := w.result(w.start(user("ann", "acme"), workflowType))
	must(w.t, err)
	return w.stolen(w.id)
}

// aStartThatIsNotGenuineFailsAtOnce: whoever can call Temporal and has no keys starts a workflow as somebody else. It
// fails within seconds, for good, and before it has done anything.
func aStartThatIsNotGenuineFailsAtOnce(t *testing.T, s *stack.Stack) {
	for name, attack := range map[string]struct {
		reason  string
		options propagate.Options
		play    func(t *testing.T, w *world) (id, runID string)
	}{
		"no header": {propagate.ReasonMissing, propagate.Options{}, func(_ *testing.T, w *world) (string, string) {
			return w.id, w.startRaw("Child", nil)
		}},
		"a plain header": {propagate.ReasonNotSealed, propagate.Options{}, func(_ *testing.T, w *world) (string, string) {
			return w.id, w.startRaw("Child", forged())
		}},
		"garbage": {propagate.ReasonNotAuthentic, propagate.Options{}, func(_ *testing.T, w *world) (string, string) {
			header := w.ended("Child")
			return w.id, w.startRaw("Child", changed(header, func(data []byte) []byte { data[20] ^= 1; return data }))
		}},
		"too long": {propagate.ReasonMalformed, propagate.Options{}, func(_ *testing.T, w *world) (string, string) {
			header := w.ended("Child")
			return w.id, w.startRaw("Child", changed(header, func(data []byte) []byte { return append(data, make([]byte, 1<<20)...) }))
		}},
		"the header of another workflow": {propagate.ReasonMisplaced, propagate.Options{}, func(_ *testing.T, w *world) (string, string) {
			header := w.ended("Child")
			w.id += "-other"
			return w.id, w.startRaw("Child", header)
		}},
		"another type": {propagate.ReasonMisplaced, propagate.Options{}, func(_ *testing.T, w *world) (string, string) {
			return w.id, w.startRaw("Works", w.ended("Child"))
		}},
		"the header of a child": {propagate.ReasonMisplaced, propagate.Options{}, func(_ *testing.T, w *world) (string, string) {
			w.ended("Works")
			var child string
			for _, e := range w.history(w.id, "") {
				if c := e.GetChildWorkflowExecutionStartedEventAttributes(); c != nil {
					child = c.GetWorkflowExecution().GetWorkflowId()
				}
			}
			header := w.stolen(child)
			w.id = child
			return child, w.startRaw("Child", header)
		}},
		"the header of an activity": {propagate.ReasonMisplaced, propagate.Options{}, func(t *testing.T, w *world) (string, string) {
			w.ended("Child")
			for _, e := range w.history(w.id, "") {
				if a := e.GetActivityTaskScheduledEventAttributes(); a != nil {
					return w.id, w.startRaw("Child", a.GetHeader().GetFields()[propagate.Header])
				}
			}
			t.Fatal("no activity was scheduled")
			return "", ""
		}},
		"the header of a run that continued": {propagate.ReasonMisplaced, propagate.Options{}, func(_ *testing.T, w *world) (string, string) {
			return w.id, w.startRaw("Again", w.ended("Again")) // of the second run
		}},
		"an old start once more": {propagate.ReasonStale, propagate.Options{StartSkew: 3 * time.Second}, func(_ *testing.T, w *world) (string, string) {
			header := w.ended("Child")
			time.Sleep(4 * time.Second)
			return w.id, w.startRaw("Child", header)
		}},
		"an old start with retries": {propagate.ReasonStale, propagate.Options{StartSkew: 3 * time.Second}, func(_ *testing.T, w *world) (string, string) {
			header := w.ended("Child")
			time.Sleep(4 * time.Second)
			return w.id, w.startRaw("Child", header, func(r *workflowservice.StartWorkflowExecutionRequest) {
				r.RetryPolicy = &commonpb.RetryPolicy{MaximumAttempts: 3}
			})
		}},
		"an old start whose first run nobody saw": {propagate.ReasonStale, propagate.Options{StartSkew: 3 * time.Second}, func(_ *testing.T, w *world) (string, string) {
			header := w.ended("Child")
			w.works.Stop() // whoever starts a workflow eagerly gets its first task, and may throw it away
			time.Sleep(4 * time.Second)
			first := w.startRaw("Child", header, func(r *workflowservice.StartWorkflowExecutionRequest) {
				r.RetryPolicy = &commonpb.RetryPolicy{MaximumAttempts: 2, InitialInterval: durationpb.New(time.Second)}
				r.WorkflowRunTimeout = durationpb.New(2 * time.Second)
			})
			stack.Eventually(w.t, within, func() error {
				if now, err := w.raw.DescribeWorkflowExecution(bounded(w.t), w.id, ""); err != nil || now.GetWorkflowExecutionInfo().GetExecution().GetRunId() == first {
					return fmt.Errorf("the first run goes on: %w", err)
				}
				return nil
			})
			w.work(w.client)
			return w.id, ""
		}},
		"a start with cron added": {propagate.ReasonCron, propagate.Options{}, func(_ *testing.T, w *world) (string, string) {
			return w.id, w.startRaw("Child", w.ended("Child"), func(r *workflowservice.StartWorkflowExecutionRequest) { r.CronSchedule = "@every 1s" })
		}},
		"of a principal that is too old": {propagate.ReasonExpired, propagate.Options{MaxAge: map[string]time.Duration{"Child": time.Hour}}, func(t *testing.T, w *world) (string, string) {
			p := user("ann", "acme")
			p.IssuedAt = time.Now().Add(-2 * time.Hour)
			return w.id, w.start(p, "Child").GetRunID()
		}},
		"of another tenant": {propagate.ReasonTenant, propagate.Options{Tenant: "acme"}, func(t *testing.T, w *world) (string, string) {
			other := s.Client(t, namespace, signet.Options{Principal: &propagate.Options{}}) // bound to no tenant
			run, err := other.ExecuteWorkflow(as(t, user("bob", "globex")), w.options(), "Child")
			must(t, err)
			return w.id, run.GetRunID()
		}},
		"sealed for another namespace": {propagate.ReasonNotAuthentic, propagate.Options{}, func(t *testing.T, w *world) (string, string) {
			abroad := s.Client(t, elsewhere, signet.Options{Principal: &propagate.Options{}})
			_, err := abroad.ExecuteWorkflow(as(t, user("ann", "acme")), w.options(), "Child")
			must(t, err)
			there := &world{Stack: s, t: t, namespace: elsewhere, raw: s.ClientWith(t, elsewhere)}
			return w.id, w.startRaw("Child", there.stolen(w.id))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, s, attack.options)
			id, runID := attack.play(t, w)
			w.wantStartRefused(id, runID)
			w.wantRefusedAs(id, attack.reason)
		})
	}
}

// wantRefusedAs wants the start of a workflow refused for one reason.
func (w *world) wantRefusedAs(id, reason string) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.events {
		if e.WorkflowID == id && e.Reason == reason {
			return
		}
	}
	w.t.Errorf("%s was not refused as %s: %v", id, reason, w.events)
}

// aStartWhoseKeyIsNotThereWaitsForItForAWhile: the key may be a new one that has not arrived yet.
func aStartWhoseKeyIsNotThereWaitsForItForAWhile(t *testing.T, s *stack.Stack) {
	w := newWorld(t, s, propagate.Options{StartSkew: 3 * time.Second})
	header := w.ended("Child")
	unknown := proto.CloneOf(header)
	unknown.Metadata["encryption-key-id"] = []byte(keyset(namespace) + "/00000001")
	copy(unknown.Data[1:], []byte{0, 0, 0, 1})
	// The SDK answers only the first attempt of a task; the others have to time out.
	run := w.startRaw("Child", unknown, func(r *workflowservice.StartWorkflowExecutionRequest) {
		r.WorkflowTaskTimeout = durationpb.New(time.Second)
	})
	stack.Eventually(t, within, func() error {
		for _, e := range w.history(w.id, run) {
			if f := e.GetWorkflowExecutionFailedEventAttributes(); f != nil && f.GetFailure().GetApplicationFailureInfo().GetType() == propagate.TypeInvalid {
				return nil
			}
			if e.GetActivityTaskScheduledEventAttributes() != nil {
				t.Fatal("the workflow runs")
			}
		}
		return context.DeadlineExceeded
	})
	if failed := w.history(w.id, run); failed[3].GetEventType() != enumspb.EVENT_TYPE_WORKFLOW_TASK_FAILED {
		t.Errorf("it did not wait: %v", failed)
	}
}

// aClientDoesNotSealForWhoeverItMayNot: the mistake is seen where it is made, before anything reaches Temporal.
func aClientDoesNotSealForWhoeverItMayNot(t *testing.T, s *stack.Stack) {
	bound := s.Client(t, namespace, signet.Options{Principal: &propagate.Options{Tenant: "acme"}})
	o := client.StartWorkflowOptions{ID: "never", TaskQueue: "none"}
	schedule := client.ScheduleOptions{ID: "never", Action: &client.ScheduleWorkflowAction{ID: "never", Workflow: "Child", TaskQueue: "none"}}
	for name, call := range map[string]func() error{
		"nobody": func() error {
			_, err := bound.ExecuteWorkflow(bounded(t), o, "Child")
			return err
		},
		"another tenant": func() error {
			_, err := bound.ExecuteWorkflow(as(t, user("bob", "globex")), o, "Child")
			return err
		},
		"nobody's signal": func() error { return bound.SignalWorkflow(bounded(t), "never", "", "note", nil) },
		"nobody's query": func() error {
			_, err := bound.QueryWorkflow(bounded(t), "never", "", "look")
			return err
		},
		"nobody's update": func() error {
			_, err := bound.UpdateWorkflow(bounded(t), client.UpdateWorkflowOptions{WorkflowID: "never", UpdateName: "touch", WaitForStage: client.WorkflowUpdateStageAccepted})
			return err
		},
		"a user's schedule": func() error {
			_, err := bound.ScheduleClient().Create(as(t, user("ann", "acme")), schedule)
			return err
		},
		"half a principal": func() error {
			_, err := bound.ExecuteWorkflow(as(t, principal.Principal{Kind: principal.KindUser, Subject: "ann", Tenant: "acme"}), o, "Child")
			return err
		},
	} {
		err := call()
		var refused *propagate.Error
		if !errors.As(err, &refused) {
			t.Errorf("%s: %v, want it refused", name, err)
		}
	}
	if _, err := s.ClientWith(t, namespace).DescribeWorkflow(t.Context(), "never", ""); err == nil {
		t.Error("a workflow was started")
	}
}

// anonymousStartsAreForTheTypesThatOptionsName: such a workflow and its activities run for nobody, and not for the last
// somebody.
func anonymousStartsAreForTheTypesThatOptionsName(t *testing.T, s *stack.Stack) {
	w := newWorld(t, s, propagate.Options{AllowAnonymousStarts: []string{"Child", "Works"}})
	w.startRaw("Works", nil)
	w.wantResult(w.reading(w.id), Seen{"workflow": "nobody", "caller of the workflow": "nobody", "activity": "nobody", "local activity": "nobody",
		"child's workflow": "nobody", "child's activity": "nobody"})
	w.id += "-again"
	w.wantStartRefused(w.id, w.startRaw("Again", nil))
	w.id += "-forged"
	w.wantStartRefused(w.id, w.startRaw("Child", forged()))
}

// reading returns the run of a workflow that was started without the plugin, read with it.
func (w *world) reading(id string) client.WorkflowRun {
	return w.client.GetWorkflow(w.t.Context(), id, "")
}

// cronRunsForWhoeverStartedIt: run after run, long after a start could be under way.
func cronRunsForWhoeverStartedIt(t *testing.T, s *stack.Stack) {
	w := newWorld(t, s, propagate.Options{StartSkew: 3 * time.Second})
	o := w.options()
	o.CronSchedule = "@every 1s"
	_, err := w.client.ExecuteWorkflow(as(t, user("ann", "acme")), o, "Again")
	must(t, err)
	stack.Eventually(t, within, func() error {
		w.mu.Lock()
		defer w.mu.Unlock()
		runs := 0
		for _, e := range w.events {
			if e.Reason != "" || e.Principal.Subject != "ann" {
				t.Fatalf("a run was for somebody else: %+v", e)
			}
			if e.Kind == propagate.KindStart {
				runs++
			}
		}
		if runs < 4 {
			return context.DeadlineExceeded
		}
		return nil
	})
	must(t, w.raw.TerminateWorkflow(t.Context(), w.id, "", ""))
}

// whoMayActNoLongerIsStoppedAtTheNextActivity: Options.Revalidate knows who left.
func whoMayActNoLongerIsStoppedAtTheNextActivity(t *testing.T, s *stack.Stack) {
	asked := map[string]int{}
	o := propagate.Options{Revalidate: func(_ context.Context, p principal.Principal) error {
		asked[p.Subject]++
		switch {
		case p.Subject == "mallory":
			return propagate.ErrRevoked
		case asked[p.Subject] == 1:
			return context.DeadlineExceeded // the directory is away for a moment
		}
		return nil
	}}
	w := newWorld(t, s, o)
	w.wantResult(w.start(user("ann", "acme"), "Child"), Seen{"workflow": ann, "activity": ann})
	if asked["ann"] != 2 {
		t.Errorf("it was asked %d times about ann, want 2: once in vain", asked["ann"])
	}
	w.id += "-mallory"
	_, err := w.result(w.start(user("mallory", "acme"), "Child"))
	var app *temporal.ApplicationError
	if !errors.As(err, &app) || app.Type() != propagate.TypeInvalid || !app.NonRetryable() {
		t.Errorf("mallory's workflow ends with %v", err)
	}
	if asked["mallory"] != 1 {
		t.Errorf("it was asked %d times about mallory, want once: the answer holds for a minute and is final", asked["mallory"])
	}
}
