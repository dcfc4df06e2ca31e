package outcomes_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	failurepb "go.temporal.io/api/failure/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/sdk/client"

	"github.com/signet-temporal/signet/e2e/stack"
)

// row is one place where the SDK opens or seals a payload, and what becomes of a workflow when it cannot.
type row struct {
	page string // begins the line of docs/spec/outcomes.md that promises it
	name string
	in   string // the message in which the payload stands that does not open; "" where one cannot be sealed
	late bool   // the code begins the trouble itself, as all do that cannot seal, and not the test before the workflow starts
	code func(*cell) code
	// before changes how the workflow is started, drive is what else a client does; both may be nil. What drive returns is
	// called when all is mended.
	before  func(*client.StartWorkflowOptions)
	noInput bool
	drive   func(*cell) (after func())
	// what happens, until it is mended, when the key is away; when the payload or its key is lost; when it is not sealed.
	// The last is like the second where it is nil. Each returns how the workflow ends: "" stands for want.
	away, lost, foreign expectation
	want                string
}

type expectation func(*cell) (want string)

func (r row) expects(c cause) expectation {
	switch {
	case c == away:
		return r.away
	case c == foreign && r.foreign != nil:
		return r.foreign
	}
	return r.lost
}

func (r row) causes() []cause {
	if r.in == "" {
		return []cause{away, destroyed} // it is the key alone that can be in trouble
	}
	return []cause{away, destroyed, tampered, foreign}
}

// TestOutcomes is the table of docs/spec/outcomes.md.
func TestOutcomes(t *testing.T) {
	g := newStage(t)
	for _, r := range slices.Concat(opening(), sealing()) {
		for _, why := range r.causes() {
			t.Run(r.name+"/"+string(why), func(t *testing.T) {
				t.Parallel()
				r.play(g.cell(t, r.in, why))
			})
		}
	}
}

func (r row) play(c *cell) {
	c.t.Helper()
	if r.in != "" && !r.late {
		c.trouble()
	}
	c.work(r.code(c))
	o := c.options()
	if r.before != nil {
		r.before(&o)
	}
	args := []any{"input"}
	if r.noInput {
		args = nil
	}
	c.start(o, args...)
	after := func() {}
	if r.drive != nil {
		after = r.drive(c)
	}
	want := r.expects(c.cause)(c)
	if want == "" {
		want = r.want
	}
	if r.in != "" && c.meddler.seen.Load() == 0 {
		c.t.Errorf("nothing stood in %s", r.in)
	}
	c.mend()
	after()
	out, err := c.result()
	if err != nil {
		out = told(err)
	}
	if out != want {
		c.t.Errorf("in the end the workflow says %q, want %q (%v)", out, want, err)
	}
}

// TestThePageNamesEveryRow: docs/spec/outcomes.md has a line for everything that is tested.
func TestThePageNamesEveryRow(t *testing.T) {
	text, err := os.ReadFile("../../docs/spec/outcomes.md")
	must(t, err)
	pages := []string{pageNexus}
	for _, r := range slices.Concat(opening(), sealing()) {
		pages = append(pages, r.page)
	}
	for _, k := range clientCalls() {
		pages = append(pages, k.page)
	}
	slices.Sort(pages)
	for _, page := range slices.Compact(pages) {
		if !strings.Contains(string(text), "\n| "+page+" |") {
			t.Errorf("no line of the page begins with %q", page)
		}
	}
}

// taskFails: the workflow task fails at once and says why, and the workflow stays open.
func taskFails(c *cell) string {
	c.t.Helper()
	failed := c.await(quick, "the workflow task fails", func(e *historypb.HistoryEvent) bool { return e.GetWorkflowTaskFailedEventAttributes() != nil })
	c.says("the task failed with", c.failures.FailureToError(failed.GetWorkflowTaskFailedEventAttributes().GetFailure()))
	c.open()
	return ""
}

// taskTimesOut: nobody answers the workflow task; the server gives it to the worker again when its timeout is over.
func taskTimesOut(c *cell) string {
	c.t.Helper()
	c.await(quick, "the workflow task times out", func(e *historypb.HistoryEvent) bool { return e.GetWorkflowTaskTimedOutEventAttributes() != nil })
	for _, e := range c.history("") {
		if e.GetWorkflowTaskFailedEventAttributes() != nil {
			c.t.Error("the workflow task was answered after all")
		}
	}
	c.open()
	return ""
}

// await waits for an event in the history of the workflow's current run.
func (c *cell) await(limit time.Duration, what string, is func(*historypb.HistoryEvent) bool) (found *historypb.HistoryEvent) {
	c.t.Helper()
	stack.Eventually(c.t, limit, func() error {
		var all []string
		for _, e := range c.history("") {
			if is(e) {
				found = e
				return nil
			}
			all = append(all, strings.TrimPrefix(e.GetEventType().String(), "EVENT_TYPE_"))
		}
		return fmt.Errorf("%s: not among %s", what, all)
	})
	return found
}

// goesOn: nothing happens to the workflow but what its own code says.
func goesOn(want string) expectation {
	return func(c *cell) string {
		c.t.Helper()
		c.await(quick, "the workflow ends", func(e *historypb.HistoryEvent) bool {
			return e.GetWorkflowExecutionCompletedEventAttributes() != nil || e.GetWorkflowExecutionFailedEventAttributes() != nil
		})
		c.noTaskFailed()
		return want
	}
}

func (c *cell) noTaskFailed() {
	c.t.Helper()
	for _, e := range c.history("") {
		if failed := e.GetWorkflowTaskFailedEventAttributes(); failed != nil {
			c.t.Errorf("a workflow task failed: %v", c.failures.FailureToError(failed.GetFailure()))
		}
		if e.GetWorkflowTaskTimedOutEventAttributes() != nil {
			c.t.Error("a workflow task timed out")
		}
	}
}

// activityIsRetried: the attempt fails at once and says why, and another follows.
func activityIsRetried(c *cell) string {
	c.t.Helper()
	stack.Eventually(c.t, quick, func() error {
		pending := c.describe().GetPendingActivities()
		if len(pending) != 1 || pending[0].GetAttempt() < 3 {
			return fmt.Errorf("the activity is not being retried: %v", pending)
		}
		c.says("the activity failed with", c.failures.FailureToError(pending[0].GetLastFailure()))
		return nil
	})
	c.noTaskFailed()
	return ""
}

// activityFails: the activity fails at once, is not retried, and the workflow gets an error with a type.
func activityFails(c *cell) string {
	c.t.Helper()
	e := c.await(quick, "the activity fails", func(e *historypb.HistoryEvent) bool { return e.GetActivityTaskFailedEventAttributes() != nil })
	permanent(c, e.GetActivityTaskFailedEventAttributes().GetFailure())
	if c.meddler.in != "" { // a workflow that can seal nothing does not go on either
		c.noTaskFailed()
	}
	return "failed: signet." + c.cause.reason()
}

func permanent(c *cell, failure *failurepb.Failure) {
	c.t.Helper()
	info := failure.GetApplicationFailureInfo()
	if info.GetType() != "signet."+c.cause.reason() || !info.GetNonRetryable() {
		c.t.Errorf("the failure is of type %q, non-retryable %t", info.GetType(), info.GetNonRetryable())
	}
}

// asks sends a query and wants the reason, soon, and a workflow that is none the worse. When all is mended the same
// query is answered.
func asks(name string, args ...any) func(*cell) func() {
	return func(c *cell) func() {
		c.t.Helper()
		c.started()
		_, err := c.query(name, args...)
		c.says("the query", err)
		c.noTaskFailed()
		c.open()
		return func() {
			c.t.Helper()
			if out, err := c.query(name, args...); err != nil || out == "" {
				c.t.Errorf("when all is mended the query gets %q, %v", out, err)
			}
			c.signal("end", "")
		}
	}
}

func (c *cell) query(name string, args ...any) (out string, err error) {
	c.t.Helper()
	start := time.Now()
	value, err := c.sealing.QueryWorkflow(c.t.Context(), c.id, "", name, args...)
	if took := time.Since(start); took > quick {
		c.t.Errorf("the query took %s", took.Round(time.Millisecond))
	}
	if err == nil {
		err = value.Get(&out)
	}
	return out, err
}

// started waits until the first workflow task is done.
func (c *cell) started() {
	c.t.Helper()
	c.await(quick, "the first workflow task", func(e *historypb.HistoryEvent) bool { return e.GetWorkflowTaskCompletedEventAttributes() != nil })
}

func nothing(*cell) string { return "" }

// update is what came of an update that was sent.
type update struct {
	out string
	err error
}

func (c *cell) update(args ...any) <-chan update {
	done := make(chan update, 1)
	go func() {
		var u update
		handle, err := c.sealing.UpdateWorkflow(c.t.Context(), client.UpdateWorkflowOptions{
			WorkflowID: c.id, UpdateName: "set", UpdateID: "the-update", Args: args, WaitForStage: client.WorkflowUpdateStageCompleted})
		if u.err = err; err == nil {
			u.err = handle.Get(c.t.Context(), &u.out)
		}
		done <- u
	}()
	return done
}

// updates sends an update after the first task. In the end it must have been done, once, with a result that arrives.
func updates(c *cell) func() {
	c.started()
	done := c.update("to")
	return func() {
		c.t.Helper()
		select {
		case u := <-done:
			if u.err != nil || u.out != "was from" {
				c.t.Errorf("when all is mended the update gets %q, %v", u.out, u.err)
			}
		case <-time.After(patient):
			c.t.Error("the update gets no answer")
		}
		c.signal("end", "")
	}
}

// updateGets sends an update and wants an error at once, and a workflow that is none the worse.
func updateGets(says func(*cell, error)) func(*cell) func() {
	return func(c *cell) func() {
		c.t.Helper()
		c.started()
		select {
		case u := <-c.update("to"):
			says(c, u.err)
		case <-time.After(quick):
			c.t.Error("the update gets no answer")
		}
		c.noTaskFailed()
		return func() { c.signal("end", "") }
	}
}
