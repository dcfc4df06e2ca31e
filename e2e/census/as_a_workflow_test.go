package census_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os/exec"
	"reflect"
	"testing"
	"time"

	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"

	"github.com/signet-temporal/signet/e2e/stack"
	"github.com/signet-temporal/signet/keys/census"
	"github.com/signet-temporal/signet/keys/census/censusworkflow"
)

// filled is a world with two keys, 60 closed workflows, 5 open ones and a schedule; of the first era nothing runs any more.
func filled(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	e := w.next(t)
	e.orders(t, "a", 30, false)
	action := &client.ScheduleWorkflowAction{ID: "nightly", Workflow: Order, Args: []any{"n", false}, TaskQueue: taskQueue}
	if _, err := e.ScheduleClient().Create(t.Context(), client.ScheduleOptions{ID: "nightly", Paused: true, Action: action}); err != nil {
		t.Fatal(err)
	}
	e.stop()
	e = w.next(t)
	e.orders(t, "b", 30, false)
	e.orders(t, "open", 5, true)
	w.visible(t, 5, 60)
	return w
}

func (r report) sameAs(t *testing.T, want report) {
	t.Helper()
	if r.Began, r.Finished = want.Began, want.Finished; !reflect.DeepEqual(r, want) {
		t.Errorf("got  %+v\nwant %+v", r, want)
	}
}

// TestAsAWorkflowTheResultIsTheSame takes the census in a namespace of its own, so that the workflow does not count itself.
func TestAsAWorkflowTheResultIsTheSame(t *testing.T) {
	t.Parallel() // it waits most of its time
	w := filled(t)
	t.Run("when its only worker is killed", w.workerIsKilled)
	t.Run("when it fans out and continues as new", w.fansOut)
	want := w.census(t)
	w.census(t, "--run-as-workflow", "--workflow-namespace="+elsewhere).sameAs(t, want)

	// In the same namespace it meets itself, which is not sealed, and counts the keys as before.
	here := w.census(t, "--run-as-workflow")
	if !reflect.DeepEqual(here.Keys, want.Keys) || here.Unsealed == 0 {
		t.Errorf("got  %+v\nwant %+v", here, want)
	}
}

// fansOut lets two workers count small pages, several at once, in runs of four pages.
func (w *world) fansOut(t *testing.T) {
	direct, err := census.Run(t.Context(), w.all.WorkflowService(), census.Options{Namespace: namespace, Rate: 1e6})
	if err != nil {
		t.Fatal(err)
	}
	c := w.ClientWith(t, elsewhere)
	for range 2 {
		w := worker.New(c, "census", worker.Options{Identity: "one of two", MaxConcurrentActivityExecutionSize: 2})
		censusworkflow.Register(w, c.WorkflowService(), censusworkflow.WorkerOptions{Rate: 1e6})
		if err := w.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(w.Stop)
	}
	run, err := c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: "walk", TaskQueue: "census"}, censusworkflow.Name,
		censusworkflow.Input{Namespace: namespace, PageSize: 5, Pages: 3, PagesPerRun: 4})
	if err != nil {
		t.Fatal(err)
	}
	var got census.Result
	if err := run.Get(t.Context(), &got); err != nil {
		t.Fatal(err)
	}
	if !got.Complete() || got.Began.IsZero() {
		t.Errorf("the result is not complete: %+v", got)
	}
	direct.Began, direct.Finished, got.Began, got.Finished = time.Time{}, time.Time{}, time.Time{}, time.Time{}
	if a, b := jsonOf(t, direct), jsonOf(t, got); a != b {
		t.Errorf("as a workflow %s\ndirect         %s", b, a)
	}
	var progress censusworkflow.Progress
	if answer, err := c.QueryWorkflow(t.Context(), "walk", "", censusworkflow.ProgressQuery); err != nil || answer.Get(&progress) != nil || progress.Workflows != 65 {
		t.Errorf("at its end it has come to %+v, %v", progress, err)
	}
	stack.Eventually(t, patience, func() error { // 16 pages at least, 12 of them of closed workflows
		list, err := c.ListWorkflow(t.Context(), &workflowservice.ListWorkflowExecutionsRequest{Namespace: elsewhere, Query: "WorkflowId = 'walk'"})
		if n := len(list.GetExecutions()); err == nil && n < 4 {
			err = fmt.Errorf("%d runs, want 4 at least", n)
		}
		return err
	})
}

// workerIsKilled kills the only process that works for the census. The next one goes on.
func (w *world) workerIsKilled(t *testing.T) {
	want := w.census(t)
	args := w.args("--run-as-workflow", "--workflow-namespace="+elsewhere)
	var stdout bytes.Buffer
	first := exec.CommandContext(t.Context(), stack.Program(t, "signet"), append(args, "--rate=1")...)
	first.Env, first.Stdout = []string{"HOME=" + t.TempDir()}, &stdout
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	c := w.ClientWith(t, elsewhere)
	stack.Eventually(t, patience, func() error {
		d, err := c.DescribeWorkflowExecution(t.Context(), "signet-census-"+namespace, "")
		if err == nil && d.GetWorkflowExecutionInfo().GetHistoryLength() < 15 {
			err = fmt.Errorf("it has %d events", d.GetWorkflowExecutionInfo().GetHistoryLength())
		}
		return err
	})
	_ = first.Process.Kill()
	_ = first.Wait()
	if stdout.Len() > 0 {
		t.Fatalf("it was too fast: %s", stdout.String())
	}
	w.census(t, "--run-as-workflow", "--workflow-namespace="+elsewhere).sameAs(t, want)
	list, err := c.ListWorkflow(t.Context(), &workflowservice.ListWorkflowExecutionsRequest{Namespace: elsewhere})
	if err != nil || len(list.GetExecutions()) != 1 {
		t.Errorf("there are %d workflows, want the one that both worked for: %v", len(list.GetExecutions()), err)
	}
}

func jsonOf(t *testing.T, value any) string {
	t.Helper()
	text, err := json.MarshalIndent(value, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
