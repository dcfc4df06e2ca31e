package principal_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nexus-rpc/sdk-go/nexus"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	nexuspb "go.temporal.io/api/nexus/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/signet-temporal/signet"
	"github.com/signet-temporal/signet/e2e/stack"
	"github.com/signet-temporal/signet/keys"
	"github.com/signet-temporal/signet/principal"
	"github.com/signet-temporal/signet/principal/propagate"
)

func (w *world) ring() *keys.Ring { return w.DefaultRing(w.t) }

// schedule creates a schedule that never runs by itself.
func (w *world) schedule(c client.Client, p principal.Principal) client.ScheduleHandle {
	w.t.Helper()
	h, err := c.ScheduleClient().Create(as(w.t, p), client.ScheduleOptions{ID: w.id,
		Spec:   client.ScheduleSpec{Intervals: []client.ScheduleIntervalSpec{{Every: 1000 * time.Hour}}},
		Action: &client.ScheduleWorkflowAction{ID: w.id, Workflow: "Child", TaskQueue: w.queue}})
	must(w.t, err)
	w.t.Cleanup(func() { _ = h.Delete(context.WithoutCancel(w.t.Context())) })
	return h
}

// triggered runs a schedule now and returns the id of the workflow that it starts.
func (w *world) triggered(h client.ScheduleHandle) (id string) {
	w.t.Helper()
	d, err := h.Describe(w.t.Context())
	must(w.t, err)
	before := d.Info.NumActions
	must(w.t, h.Trigger(w.t.Context(), client.ScheduleTriggerOptions{Overlap: enumspb.SCHEDULE_OVERLAP_POLICY_ALLOW_ALL}))
	stack.Eventually(w.t, within, func() error {
		d, err := h.Describe(w.t.Context())
		if err != nil || d.Info.NumActions == before || len(d.Info.RecentActions) == 0 {
			return fmt.Errorf("the schedule has not run: %v", err)
		}
		id = d.Info.RecentActions[len(d.Info.RecentActions)-1].StartWorkflowResult.WorkflowID
		return nil
	})
	if !strings.HasPrefix(id, w.id+"-") {
		w.t.Fatalf("the schedule started %s", id)
	}
	return id
}

// edit changes a schedule's note, as whoever is in ctx.
func edit(ctx context.Context, h client.ScheduleHandle) error {
	return h.Update(ctx, client.ScheduleUpdateOptions{DoUpdate: func(in client.ScheduleUpdateInput) (*client.ScheduleUpdate, error) {
		in.Description.Schedule.State.Note = "edited"
		return &client.ScheduleUpdate{Schedule: &in.Description.Schedule}, nil
	}})
}

// aScheduleRunsForAServiceAndForWhoeverEditedItLast: a trigger of somebody else changes nothing, an edit does.
func aScheduleRunsForAServiceAndForWhoeverEditedItLast(t *testing.T, s *stack.Stack) {
	w := newWorld(t, s, propagate.Options{StartSkew: 3 * time.Second})
	nightly := principal.Service("nightly", "acme")
	h := w.schedule(w.client, nightly)
	time.Sleep(4 * time.Second) // no run of a schedule is as fresh as a start
	w.wantResult(w.reading(w.triggered(h)), Seen{"workflow": who(nightly, nil), "activity": who(nightly, nil)})

	if err := edit(as(t, nightly), h); err == nil || !strings.Contains(err.Error(), "ForSchedule") {
		t.Errorf("an edit that says nothing of its schedule: %v", err)
	}
	var refused *propagate.Error
	if err := edit(propagate.ForSchedule(as(t, user("bob", "acme")), w.id, "Child"), h); !errors.As(err, &refused) || refused.Reason() != propagate.ReasonSchedules {
		t.Errorf("bob's edit: %v", err)
	}
	weekly := principal.Service("weekly", "acme")
	must(t, edit(propagate.ForSchedule(as(t, weekly), w.id, w.code.Child), h))
	time.Sleep(time.Second) // ids of runs tell seconds
	id := w.triggered(h)
	w.wantResult(w.reading(id), Seen{"workflow": who(weekly, nil), "activity": who(weekly, nil)})

	// What remains: whoever may start workflows can have one more run of it, and of nothing else.
	again := w.at(w.id + "-2026-11-21T20:05:25Z")
	again.startRaw("Child", w.stolen(id))
	again.wantResult(again.reading(again.id), Seen{"workflow": who(weekly, nil), "activity": who(weekly, nil)})
	other := w.at(w.id + "-2026-11-22T20:05:25Z")
	other.wantStartRefused(other.id, other.startRaw("Again", w.stolen(id)))
}

// aScheduleThatWasMeddledWithStartsNothing: its runs are refused, and the workflows that they start are not wedged.
func aScheduleThatWasMeddledWithStartsNothing(t *testing.T, s *stack.Stack) {
	replace := func(t *testing.T, w *world, change func(*workflowservice.UpdateScheduleRequest)) {
		t.Helper()
		d, err := w.raw.WorkflowService().DescribeSchedule(t.Context(), &workflowservice.DescribeScheduleRequest{Namespace: namespace, ScheduleId: w.id})
		must(t, err)
		req := &workflowservice.UpdateScheduleRequest{Namespace: namespace, ScheduleId: w.id, Schedule: d.GetSchedule(), RequestId: "r"}
		change(req)
		_, err = w.raw.WorkflowService().UpdateSchedule(t.Context(), req)
		must(t, err)
	}
	for name, c := range map[string]struct {
		reason string
		meddle func(t *testing.T, w *world) client.ScheduleHandle
	}{
		"created by a user, where the client allows it": {propagate.ReasonSchedules, func(t *testing.T, w *world) client.ScheduleHandle {
			lax := s.Client(t, namespace, signet.Options{Principal: &propagate.Options{Schedules: propagate.SchedulesCreator}})
			return w.schedule(lax, user("ann", "acme"))
		}},
		"saved without its header": {propagate.ReasonMissing, func(t *testing.T, w *world) client.ScheduleHandle {
			h := w.schedule(w.client, principal.Service("nightly", "acme"))
			replace(t, w, func(r *workflowservice.UpdateScheduleRequest) {
				r.GetSchedule().GetAction().GetStartWorkflow().Header = nil
			})
			return h
		}},
		"with the header of another schedule": {propagate.ReasonMisplaced, func(t *testing.T, w *world) client.ScheduleHandle {
			other := w.at("another-" + w.id)
			other.schedule(w.client, principal.Service("nightly", "acme"))
			d, err := w.raw.WorkflowService().DescribeSchedule(t.Context(), &workflowservice.DescribeScheduleRequest{Namespace: namespace, ScheduleId: other.id})
			must(t, err)
			h := w.schedule(w.client, principal.Service("weekly", "acme"))
			replace(t, w, func(r *workflowservice.UpdateScheduleRequest) {
				r.GetSchedule().GetAction().GetStartWorkflow().Header = d.GetSchedule().GetAction().GetStartWorkflow().GetHeader()
			})
			return h
		}},
		"with the header of a start": {propagate.ReasonMisplaced, func(t *testing.T, w *world) client.ScheduleHandle {
			header := w.ended("Child")
			h := w.schedule(w.client, principal.Service("weekly", "acme"))
			replace(t, w, func(r *workflowservice.UpdateScheduleRequest) {
				r.GetSchedule().GetAction().GetStartWorkflow().Header = fields(header)
			})
			return h
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, s, propagate.Options{})
			id := w.triggered(c.meddle(t, w))
			w.wantStartRefused(id, "")
			w.wantRefusedAs(id, c.reason)
		})
	}
}

// whoResetsAWorkflowDoesNotBecomeItsOwner: neither does the reset need a principal. The right to reset is the right to run
// again for whoever started it.
func whoResetsAWorkflowDoesNotBecomeItsOwner(t *testing.T, s *stack.Stack) {
	w := newWorld(t, s, propagate.Options{StartSkew: 3 * time.Second})
	w.start(user("ann", "acme"), "Waits")
	must(t, w.client.SignalWorkflow(as(t, user("ann", "acme")), w.id, "", "note", "kept"))
	w.signalRaw("note", nil)
	must(t, w.client.SignalWorkflow(as(t, user("ann", "acme")), w.id, "", "end", nil))
	_, err := w.result(w.reading(w.id))
	must(t, err)
	time.Sleep(4 * time.Second)
	answer, err := w.raw.WorkflowService().ResetWorkflowExecution(t.Context(), &workflowservice.ResetWorkflowExecutionRequest{
		Namespace: namespace, WorkflowExecution: &commonpb.WorkflowExecution{WorkflowId: w.id}, WorkflowTaskFinishEventId: 4, RequestId: "r", Reason: "bob wants it"})
	must(t, err)
	w.wantResult(w.client.GetWorkflow(t.Context(), w.id, answer.GetRunId()), Seen{"workflow": ann, "activity": ann, "notes": "1"})
}

// aKeyIsRotatedWhileWorkflowsRun: what is open stays open, what is new is sealed under the new key, and a worker that has
// not read it yet reads it then.
func aKeyIsRotatedWhileWorkflowsRun(t *testing.T, s *stack.Stack) {
	w := newWorld(t, s, propagate.Options{Keyset: rotated})
	w.start(user("ann", "acme"), "Waits")
	old := w.stolen(w.id)
	id := s.Rotate(t, rotated)
	if out := s.SignetRun(t, "keyset", "promote", rotated, "--force"); out.Code != 0 {
		t.Fatalf("the key was not promoted: %s", out.Stderr)
	}
	// A process that starts now seals under the new key at once; the worker has a ring from before.
	fresh := s.ClientWith(t, namespace, s.Plugin(t, s.Ring(t, keys.RingOptions{}), signet.Options{Principal: &propagate.Options{Keyset: rotated}}))
	must(t, fresh.SignalWorkflow(as(t, user("ann", "acme")), w.id, "", "note", "under the new key"))
	w.end("1")
	if got := string(w.stolenSignal(w.id, "note").GetMetadata()["encryption-key-id"]); got != rotated+"/"+fmt.Sprint(id) || got == string(old.GetMetadata()["encryption-key-id"]) {
		t.Errorf("the signal is sealed under %s, the new key is %v", got, id)
	}
	o := w.options()
	o.ID += "-new"
	run, err := fresh.ExecuteWorkflow(as(t, user("ann", "acme")), o, "Child")
	must(t, err)
	w.wantResult(run, Seen{"workflow": ann, "activity": ann})
}

// otherNamespacesAreClosedUnlessBothSidesOpenThem: a child elsewhere is refused where it would be started, and where it
// would run.
func otherNamespacesAreClosedUnlessBothSidesOpenThem(t *testing.T, s *stack.Stack) {
	there := map[string]propagate.Namespace{elsewhere: {}}
	here := []string{namespace}
	for name, c := range map[string]struct {
		from, to propagate.Options
		want     Seen
		reason   string
	}{
		"both open":          {propagate.Options{OtherNamespaces: there}, propagate.Options{AcceptParentsFrom: here}, Seen{"workflow": ann, "activity": ann}, ""},
		"closed to leave":    {propagate.Options{}, propagate.Options{AcceptParentsFrom: here}, Seen{"refused": "here"}, ""},
		"closed to enter":    {propagate.Options{OtherNamespaces: there}, propagate.Options{}, Seen{"refused": propagate.TypeInvalid}, propagate.ReasonNamespace},
		"sealed for nowhere": {propagate.Options{OtherNamespaces: map[string]propagate.Namespace{elsewhere: {Scope: namespace}}}, propagate.Options{AcceptParentsFrom: here}, Seen{"refused": propagate.TypeInvalid}, propagate.ReasonNotAuthentic},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, s, c.from)
			abroad := newWorldIn(t, s, elsewhere, c.to)
			seen, err := w.result(w.start(user("ann", "acme"), "Abroad"))
			must(t, err)
			if c.want["refused"] == "here" {
				if !strings.Contains(seen["refused"], "OtherNamespaces") {
					t.Errorf("it saw %v", seen)
				}
				for _, e := range w.history(w.id, "") {
					if e.GetStartChildWorkflowExecutionInitiatedEventAttributes() != nil {
						t.Error("the child was asked for")
					}
				}
			} else if fmt.Sprint(seen) != fmt.Sprint(c.want) {
				t.Errorf("it saw %v, want %v", seen, c.want)
			}
			if c.reason != "" {
				abroad.wantRefusedAs(w.id, c.reason)
			}
			w.noTaskFailed(w.id)
		})
	}
}

// nexusOperationsCarryNoPrincipal: the handler has to say for whom it starts what it starts.
func nexusOperationsCarryNoPrincipal(t *testing.T, s *stack.Stack) {
	w := newWorld(t, s, propagate.Options{})
	w.id = "nexus-carries-none"
	_, err := w.raw.OperatorService().CreateNexusEndpoint(t.Context(), &operatorservice.CreateNexusEndpointRequest{Spec: &nexuspb.EndpointSpec{
		Name: w.id, Target: &nexuspb.EndpointTarget{Variant: &nexuspb.EndpointTarget_Worker_{Worker: &nexuspb.EndpointTarget_Worker{Namespace: namespace, TaskQueue: w.id}}}}})
	must(t, err)
	service := nexus.NewService("service")
	must(t, service.Register(nexus.NewSyncOperation("who", func(ctx context.Context, _ string, _ nexus.StartOperationOptions) (Seen, error) {
		o := w.options()
		o.ID += "-started"
		_, err := w.client.ExecuteWorkflow(ctx, o, "Child")
		var refused *propagate.Error
		if !errors.As(err, &refused) {
			return nil, fmt.Errorf("it starts a workflow for whom? %w", err)
		}
		return Seen{"handler": owner(ctx), "what it starts": refused.Reason()}, nil
	})))
	works := worker.New(w.client, w.id, worker.Options{})
	works.RegisterNexusService(service)
	works.RegisterWorkflowWithOptions(func(ctx workflow.Context) (seen Seen, err error) {
		err = workflow.NewNexusClient(w.id, "service").ExecuteOperation(ctx, "who", "", workflow.NexusOperationOptions{ScheduleToCloseTimeout: within}).Get(ctx, &seen)
		return seen, err
	}, workflow.RegisterOptions{Name: "Calls"})
	must(t, works.Start())
	t.Cleanup(works.Stop)
	o := w.options()
	o.TaskQueue = w.id
	run, err := w.client.ExecuteWorkflow(as(t, user("ann", "acme")), o, "Calls")
	must(t, err)
	w.wantResult(run, Seen{"handler": "nobody", "what it starts": propagate.ReasonMissing})
}

// aPolicyThatBecomesStricterKillsNoWorkflow: it holds up those that it would not let begin, until it is taken back.
func aPolicyThatBecomesStricterKillsNoWorkflow(t *testing.T, s *stack.Stack) {
	w := newWorld(t, s, propagate.Options{})
	old := user("ann", "acme")
	old.IssuedAt = time.Now().Add(-time.Hour)
	w.start(old, "Waits")
	must(t, w.queryRaw("look", w.genuine("look"))) // its first task is over
	w.works.Stop()
	strict := w.work(s.Client(t, namespace, signet.Options{Principal: &propagate.Options{MaxAge: map[string]time.Duration{"Waits": time.Minute}}}))
	must(t, w.client.SignalWorkflow(as(t, user("ann", "acme")), w.id, "", "note", "kept"))
	stack.Eventually(t, within, func() error {
		for _, e := range w.history(w.id, "") {
			if e.GetWorkflowExecutionFailedEventAttributes() != nil {
				t.Fatal("the workflow has failed")
			}
			if e.GetEventType() == enumspb.EVENT_TYPE_WORKFLOW_TASK_FAILED {
				return nil
			}
		}
		return errors.New("no task failed")
	})
	strict.Stop()
	w.work(w.client)
	must(t, w.client.SignalWorkflow(as(t, user("ann", "acme")), w.id, "", "end", nil))
	w.wantResult(w.reading(w.id), Seen{"workflow": ann, "activity": ann, "notes": "1"})
}
