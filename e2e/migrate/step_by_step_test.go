package migrate_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/proxy"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"github.com/signet-temporal/signet/converter"
	"github.com/signet-temporal/signet/e2e/stack"
)

// move is one namespace on its way.
type move struct {
	*stack.Stack
	before
	namespace string
	notes     int
	open      []string            // ids of wards
	seen      map[string][]string // by id, what the ward must have seen
}

// TestANamespaceMovesWhileItsWorkflowsRun follows docs/migration.md with workflows that were started before the first step
// and in every step after, and that each worker of a step has to take up from the others.
func TestANamespaceMovesWhileItsWorkflowsRun(t *testing.T) {
	s := stack.Start(t, stack.Options{Namespaces: []string{"in-clear", "sampled", "tinked"}, WithoutOIDC: true})
	s.DefaultRing(t) // of this test, not of the first part that asks
	for namespace, b := range map[string]before{"in-clear": {}, "sampled": fromSample(t), "tinked": fromTink(t, "tinked")} {
		t.Run(namespace, func(t *testing.T) {
			t.Parallel()
			m := &move{Stack: s, before: b, namespace: namespace, seen: map[string][]string{}}
			sealing, began := m.moves(t)
			if namespace == "tinked" { // the same from here on, whatever the codec was
				for _, id := range slices.Clone(m.open) {
					m.end(t, sealing, id)
				}
				return
			}
			m.settles(t, sealing, began)
		})
	}
}

func (m *move) deploy(t *testing.T, at step) process {
	return deploy(t, m.Stack, m.namespace, m.options(t, m.Stack, at))
}

// moves takes the first two steps.
func (m *move) moves(t *testing.T) (sealing process, began time.Time) {
	was := m.deploy(t, old)
	for _, id := range []string{"handed on", "left over", "started before"} {
		m.start(t, was, id)
	}
	m.note(t, was)
	m.schedules(t, was)
	m.closed(t, was)
	m.cron(t, was)

	reading := m.rollOut(t, was, old, reads)
	m.start(t, reading, "started while all read")
	m.note(t, reading)
	if n := m.sealedIn(t, reading, m.open...); n != 0 {
		t.Errorf("%d sealed payloads after the first step, in which nobody seals", n)
	}

	sealing = m.rollOut(t, reading, reads, seals)
	began = time.Now()
	m.start(t, sealing, "started sealed")
	m.note(t, sealing)
	return sealing, began
}

// settles takes the other two.
func (m *move) settles(t *testing.T, sealing process, began time.Time) {
	m.reseal(t, sealing)
	m.again(t, sealing, "handed on")
	m.readsOld(t, sealing)
	m.signal(t, sealing, "handed on", "remember")
	m.asks(t, "handed on", sealing)

	// The third step: what began before has to end. One is left over.
	for _, id := range []string{"started before", "started while all read"} {
		m.end(t, sealing, id)
	}
	m.remaining(t, sealing, began, "left over")
	m.cronKeepsItsInput(t, sealing) // and was not among the remaining

	m.refuses(t, sealing)
}

// rollOut replaces the process before by one of the next step, in the middle of which it goes back once: each has to read
// what the other has written, alone and side by side.
func (m *move) rollOut(t *testing.T, before process, from, to step) (after process) {
	t.Helper()
	after = m.deploy(t, to)
	m.start(t, before, fmt.Sprintf("started %s while some are %s", from, to))
	m.start(t, after, fmt.Sprintf("started %s while some are %s", to, from))
	m.note(t, before, after)
	after.stop() // rolled back
	m.note(t, before)
	after = m.deploy(t, to)
	before.stop()
	m.note(t, after)
	return after
}

func (m *move) start(t *testing.T, by process, id string) {
	t.Helper()
	o := client.StartWorkflowOptions{ID: id, TaskQueue: taskQueue, Memo: map[string]any{"of": id}}
	if _, err := by.ExecuteWorkflow(t.Context(), o, Ward, id); err != nil {
		t.Fatal(err)
	}
	m.open, m.seen[id] = append(m.open, id), []string{id}
}

// note has every open ward note something, sent by each process in turn, updates one of them, and has every process ask all.
func (m *move) note(t *testing.T, by ...process) {
	t.Helper()
	for _, p := range by {
		m.notes++
		text := fmt.Sprint("note ", m.notes)
		for _, id := range m.open {
			m.signal(t, p, id, text)
			m.seen[id] = append(m.seen[id], line(text))
		}
		for _, id := range m.open {
			m.asks(t, id, by...)
		}
		m.amends(t, m.open[m.notes%len(m.open)], text, p)
	}
}

func (m *move) signal(t *testing.T, by process, id, text string) {
	t.Helper()
	if err := by.SignalWorkflow(t.Context(), id, "", "note", text); err != nil {
		t.Fatal(err)
	}
}

func (m *move) asks(t *testing.T, id string, by ...process) {
	t.Helper()
	for _, p := range by {
		stack.Eventually(t, patience, func() error {
			answer, err := p.QueryWorkflow(t.Context(), id, "", "seen", "asked")
			if err != nil {
				return fmt.Errorf("%s: %w", id, err)
			}
			var got []string
			if err := answer.Get(&got); err != nil {
				return fmt.Errorf("%s: %w", id, err)
			}
			if want := append(slices.Clone(m.seen[id]), "asked"); !slices.Equal(got, want) {
				return fmt.Errorf("%s has seen %q, want %q", id, got, want)
			}
			return nil
		})
	}
}

func (m *move) amends(t *testing.T, id, text string, by process) {
	t.Helper()
	handle, err := by.UpdateWorkflow(t.Context(), client.UpdateWorkflowOptions{
		WorkflowID: id, UpdateName: "amend", Args: []any{text}, WaitForStage: client.WorkflowUpdateStageCompleted,
	})
	if err != nil {
		t.Fatalf("%s: %v", id, err)
	}
	var got string
	if err := handle.Get(t.Context(), &got); err != nil || got != text {
		t.Fatalf("%s: the update says %q, %v", id, got, err)
	}
	m.seen[id] = append(m.seen[id], "amended "+text)
}

// again has a ward go on as new.
func (m *move) again(t *testing.T, by process, id string) {
	t.Helper()
	m.signal(t, by, id, "again")
	m.seen[id] = []string{id + " again"}
	m.asks(t, id, by)
}

// end ends a ward and reads its result.
func (m *move) end(t *testing.T, by process, id string) {
	t.Helper()
	m.signal(t, by, id, "end")
	var got []string
	if err := by.GetWorkflow(t.Context(), id, "").Get(t.Context(), &got); err != nil || !slices.Equal(got, m.seen[id]) {
		t.Errorf("%s returned %q, %v; want %q", id, got, err, m.seen[id])
	}
	m.open = slices.DeleteFunc(m.open, func(open string) bool { return open == id })
}

// closed leaves a workflow behind that ended before the migration.
func (m *move) closed(t *testing.T, by process) {
	t.Helper()
	run, err := by.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: "closed before", TaskQueue: taskQueue}, Nightly, "closed before")
	if err != nil {
		t.Fatal(err)
	}
	if err := run.Get(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
}

// readsOld: what was closed before, and the memo that a chain of runs hands on, are read.
func (m *move) readsOld(t *testing.T, by process) {
	t.Helper()
	var got string
	if err := by.GetWorkflow(t.Context(), "closed before", "").Get(t.Context(), &got); err != nil || got != "closed before" {
		t.Errorf("what was closed before returned %q, %v", got, err)
	}
	if err := m.memo(t, by, seals, "handed on", &got); err != nil || got != "handed on" {
		t.Errorf("the memo of what was started before is %q, %v", got, err)
	}
}

// memo reads a memo as an application does, with the converter of a step.
func (m *move) memo(t *testing.T, by process, at step, id string, to any) error {
	t.Helper()
	d, err := by.DescribeWorkflow(t.Context(), id, "")
	if err != nil {
		t.Fatal(err)
	}
	return m.converters(t, at).DataConverter.FromPayload(d.Memo.GetFields()["of"], to)
}

// converters returns the options of a step as its plugin completes them.
func (m *move) converters(t *testing.T, at step) *client.Options {
	t.Helper()
	o := m.options(t, m.Stack, at)
	o.Namespace = m.namespace
	if err := o.Plugins[0].ConfigureClient(t.Context(), client.PluginConfigureClientOptions{ClientOptions: &o}); err != nil {
		t.Fatal(err)
	}
	return &o
}

// remaining asks what the page has operators ask: which workflows that began before the second step are still open?
func (m *move) remaining(t *testing.T, by process, began time.Time, want ...string) {
	t.Helper()
	query := fmt.Sprintf("ExecutionStatus = 'Running' AND StartTime < '%s'", began.UTC().Format(time.RFC3339Nano))
	for _, id := range slices.Clone(m.open) { // those of the roll-out
		if strings.Contains(id, "while some are") {
			m.end(t, by, id)
		}
	}
	stack.Eventually(t, patience, func() error {
		list, err := by.ListWorkflow(t.Context(), &workflowservice.ListWorkflowExecutionsRequest{Query: query})
		if err != nil {
			return err
		}
		var got []string
		for _, info := range list.GetExecutions() {
			got = append(got, info.GetExecution().GetWorkflowId())
		}
		if !slices.Equal(got, want) {
			return fmt.Errorf("open from before are %q, want %q", got, want)
		}
		return nil
	})
}

// refuses takes the last step, too early for two things: they are refused and say what to do, nothing is lost, and the
// step back mends it.
func (m *move) refuses(t *testing.T, sealing process) {
	t.Helper()
	ready := m.rollOutStrict(t, sealing)
	var got string
	m.triggered(t, ready, "sealed anew")
	for name, err := range map[string]error{
		"the result of what was closed before": ready.GetWorkflow(t.Context(), "closed before", "").Get(t.Context(), &got),
		"a memo from before":                   m.memo(t, ready, strict, "left over", &got),
		"a schedule that was never saved":      describe(t, ready, "never saved"),
	} {
		if !errors.Is(err, converter.ErrNotSealed) || got != "" {
			t.Errorf("%s is read by a strict client: %q, %v", name, got, err)
		}
	}
	if err := m.memo(t, ready, strict, "handed on", &got); err != nil || got != "handed on again" {
		t.Errorf("the memo that the workflow set again: %q, %v", got, err)
	}
	if err := save(t, ready, "forgotten"); err == nil || !strings.Contains(err.Error(), "refused to send UpdateSchedule") {
		t.Errorf("the forgotten schedule is saved: %v", err)
	}
	late := m.trigger(t, ready, "forgotten")
	m.signal(t, ready, "left over", "too early")
	says := "only sealed payloads are accepted here"
	if m.namespace == "sampled" {
		says = "give its decoder in Options.Legacy"
	}
	for _, id := range []string{late, "left over"} {
		if why := m.taskFailed(t, ready, id); !strings.Contains(why, "payload is not sealed") || !strings.Contains(why, says) {
			t.Errorf("the task of %q failed with %q", id, why)
		}
	}

	ready.stop() // the step back
	back := m.deploy(t, seals)
	if err := back.GetWorkflow(t.Context(), late, "").Get(t.Context(), &got); err != nil || got != "for forgotten" {
		t.Errorf("one step back the forgotten schedule's workflow returned %q, %v", got, err)
	}
	m.seen["left over"] = append(m.seen["left over"], line("too early"))
	m.asks(t, "left over", back)
	for _, id := range slices.Clone(m.open) {
		m.end(t, back, id)
	}
}

// rollOutStrict rolls out the last step, with a note to those workflows that are wholly sealed.
func (m *move) rollOutStrict(t *testing.T, sealing process) process {
	t.Helper()
	ready := m.deploy(t, strict)
	all := m.open
	m.open = slices.DeleteFunc(slices.Clone(all), func(id string) bool { return id == "left over" })
	m.note(t, sealing, ready)
	sealing.stop()
	m.note(t, ready)
	m.open = all
	return ready
}

// taskFailed waits until a workflow's task has failed lately, and returns what the failure says.
func (m *move) taskFailed(t *testing.T, by process, id string) (why string) {
	t.Helper()
	fc := m.converters(t, strict).FailureConverter
	stack.Eventually(t, patience, func() error {
		for _, event := range m.history(t, by, id) {
			if failed := event.GetWorkflowTaskFailedEventAttributes(); failed != nil {
				why = fc.FailureToError(failed.GetFailure()).Error()
				return nil
			}
		}
		return fmt.Errorf("no task of %q has failed", id)
	})
	return why
}

func (m *move) history(t *testing.T, by process, id string) (events []*historypb.HistoryEvent) {
	t.Helper()
	for it := by.GetWorkflowHistory(t.Context(), id, "", false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT); it.HasNext(); {
		event, err := it.Next()
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, event)
	}
	return events
}

// sealedIn counts the sealed payloads in histories, and fails where there is no payload at all.
func (m *move) sealedIn(t *testing.T, by process, ids ...string) (n int) {
	t.Helper()
	for _, id := range ids {
		all := 0
		count := func(_ *proxy.VisitPayloadsContext, ps []*commonpb.Payload) ([]*commonpb.Payload, error) {
			for _, p := range ps {
				all++
				if _, ours := p.GetMetadata()["encryption-context"]; ours {
					n++
				}
			}
			return ps, nil
		}
		for _, event := range m.history(t, by, id) {
			if err := proxy.VisitPayloads(t.Context(), event, proxy.VisitPayloadsOptions{Visitor: count, SkipSearchAttributes: true}); err != nil {
				t.Fatal(err)
			}
		}
		if all == 0 {
			t.Errorf("%s has no payloads", id)
		}
	}
	return n
}
