// Package outcomes_test holds docs/spec/outcomes.md against real servers: a table of every place where the SDK seals or
// opens a payload, times what can be wrong there.
package outcomes_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	sdk "go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/signet-temporal/signet"
	"github.com/signet-temporal/signet/converter"
	"github.com/signet-temporal/signet/e2e/stack"
	"github.com/signet-temporal/signet/keys"
)

const (
	namespace = "payments"
	quick     = 8 * time.Second  // an answer of its own accord, on a busy machine, and not a timeout
	patient   = 60 * time.Second // the end of everything, after a few attempts
)

func TestMain(m *testing.M) {
	flag.Parse()
	// The cells wait for the server's retries, they do not compute.
	if err := flag.Set("test.parallel", "24"); err != nil {
		panic(err)
	}
	worker.SetStickyWorkflowCacheSize(0) // every workflow task replays
	os.Exit(m.Run())
}

// stage is what all cells share.
type stage struct {
	stack    *stack.Stack
	ring     *keys.Ring
	raw      client.Client // seals nothing: what the server really says
	sealing  client.Client // is in no trouble, ever
	failures sdk.FailureConverter
}

func newStage(t *testing.T) *stage {
	s := stack.Start(t, stack.Options{Namespaces: []string{namespace}, WithoutOIDC: true})
	codec, err := converter.NewCodec(s.DefaultRing(t), converter.CodecOptions{Keyset: stack.Keyset(namespace), Scope: namespace})
	must(t, err)
	dc, err := converter.NewDataConverter(nil, codec)
	must(t, err)
	fc, err := converter.NewFailureConverter(nil, dc)
	must(t, err)
	return &stage{stack: s, ring: s.DefaultRing(t), raw: s.ClientWith(t, namespace), sealing: s.Client(t, namespace, signet.Options{}), failures: fc}
}

// cell is one place and one cause, with a process of its own: a client, its ring and its worker.
type cell struct {
	*stage
	t       *testing.T
	cause   cause
	id      string // of its workflow and of its task queue
	held    *held
	meddler *meddler
	own     client.Client // the troubled one
	run     client.WorkflowRun
	since   time.Time // when the workflow was started

	mu     sync.Mutex
	mended bool
}

func (g *stage) cell(t *testing.T, in string, c cause) *cell {
	t.Helper()
	h, err := newHeld(g.ring, c)
	must(t, err)
	m, err := newMeddler(h, in)
	must(t, err)
	id := strings.ReplaceAll(strings.TrimPrefix(t.Name(), "TestOutcomes/"), "/", ":")
	plugin := g.stack.Plugin(t, h, signet.Options{AcceptKeysets: []string{late}})
	return &cell{stage: g, t: t, cause: c, id: id, held: h, meddler: m, own: g.stack.ClientWith(t, namespace, m, plugin)}
}

// trouble begins. Workflow code may say so again at every replay: once all is mended it stays so.
func (c *cell) trouble() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mended {
		return
	}
	c.held.troubled.Store(true)
	c.held.refuses.Store(c.meddler.in == "")
	c.meddler.on.Store(true)
}

// mend lets the key arrive. What no key mends is put back as it was, as an operator would from a backup.
func (c *cell) mend() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mended = true
	c.held.troubled.Store(false)
	c.held.refuses.Store(false)
	c.meddler.on.Store(c.cause == away)
}

// code is what a cell's worker runs. The workflow "main" is started by the test.
type code struct {
	main       func(workflow.Context, string) (string, error)
	child      func(workflow.Context, string) (string, error)
	activities map[string]any
}

func (c *cell) work(code code) {
	c.t.Helper()
	w := worker.New(c.own, c.id, worker.Options{DisableEagerActivities: true})
	w.RegisterWorkflowWithOptions(code.main, workflow.RegisterOptions{Name: "main"})
	if code.child != nil {
		w.RegisterWorkflowWithOptions(code.child, workflow.RegisterOptions{Name: "child"})
	}
	for name, a := range code.activities {
		w.RegisterActivityWithOptions(a, activity.RegisterOptions{Name: name})
	}
	must(c.t, w.Start())
	c.t.Cleanup(w.Stop)
}

// options lets a failed task be tried again soon: the SDK answers only the first attempt, the others have to time out.
func (c *cell) options() client.StartWorkflowOptions {
	return client.StartWorkflowOptions{ID: c.id, TaskQueue: c.id, WorkflowTaskTimeout: time.Second}
}

func (c *cell) start(o client.StartWorkflowOptions, args ...any) {
	c.t.Helper()
	c.since = time.Now()
	var err error
	c.run, err = c.sealing.ExecuteWorkflow(c.t.Context(), o, "main", args...)
	must(c.t, err)
}

func (c *cell) signal(name, text string) {
	c.t.Helper()
	must(c.t, c.sealing.SignalWorkflow(c.t.Context(), c.id, "", name, text))
}

func (c *cell) history(runID string) []*historypb.HistoryEvent {
	c.t.Helper()
	answer, err := c.raw.WorkflowService().GetWorkflowExecutionHistory(c.t.Context(), &workflowservice.GetWorkflowExecutionHistoryRequest{
		Namespace: namespace, MaximumPageSize: 1000, Execution: &commonpb.WorkflowExecution{WorkflowId: c.id, RunId: runID}})
	must(c.t, err)
	return answer.GetHistory().GetEvents()
}

func (c *cell) describe() *workflowservice.DescribeWorkflowExecutionResponse {
	c.t.Helper()
	d, err := c.raw.DescribeWorkflowExecution(c.t.Context(), c.id, "")
	must(c.t, err)
	return d
}

// open wants the workflow open.
func (c *cell) open() {
	c.t.Helper()
	if got := c.describe().GetWorkflowExecutionInfo().GetStatus(); got != enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING {
		c.t.Errorf("the workflow is %s, want it open", got)
	}
}

// says wants err to name the cause, in words or as the one word that goes out where nothing can be sealed.
func (c *cell) says(what string, err error) {
	c.t.Helper()
	if err == nil || !strings.Contains(err.Error(), c.cause.kind().Error()) && !strings.Contains(err.Error(), c.cause.reason()) {
		c.t.Errorf("%s: %v; want it to say %q", what, err, c.cause.kind())
	}
}

// result waits for the end of the workflow and returns what it says.
func (c *cell) result() (out string, err error) {
	ctx, cancel := context.WithTimeout(c.t.Context(), patient)
	defer cancel()
	err = c.run.Get(ctx, &out)
	return out, err
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// told is what an application can make of an error: the text and details of the innermost application error.
func told(err error) string {
	var details string
	var canceled *temporal.CanceledError
	if errors.As(err, &canceled) {
		err := canceled.Details(&details)
		return fmt.Sprintf("canceled: %s %v", details, err)
	}
	var app *temporal.ApplicationError
	if !errors.As(err, &app) {
		return fmt.Sprint(err)
	}
	for next := app; errors.As(errors.Unwrap(app), &next); app = next {
	}
	if app.HasDetails() {
		if err := app.Details(&details); err != nil {
			details = err.Error()
		}
	}
	return strings.TrimSpace(app.Message() + " " + details)
}
