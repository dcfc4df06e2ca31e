// Package tenants_test lets several tenants work in one process, each under a keyset of its own, against a real Temporal
// and a real Vault.
package tenants_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/proxy"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"

	"github.com/signet-temporal/signet"
	"github.com/signet-temporal/signet/converter"
	"github.com/signet-temporal/signet/e2e/stack"
	"github.com/signet-temporal/signet/keys"
	"github.com/signet-temporal/signet/keys/rotate"
)

const (
	taskQueue = "orders"
	under     = "tenant/"
)

// world is a stack with keysets of some tenants, and one worker for all of them.
type world struct {
	*stack.Stack
	raw    client.Client // sees what the server sees
	client client.Client
	ring   *keys.Ring
	ids    chan []byte // task tokens of activities that somebody else completes
}

// newWorld starts a stack and a worker whose ring knows of no keyset but that tenants' begin with "tenant/".
func newWorld(t *testing.T, o signet.Options, ring keys.RingOptions, tenants ...string) *world {
	t.Helper()
	w := &world{Stack: stack.Start(t, stack.Options{Namespaces: []string{"payments"}, WithoutOIDC: true, PropagationDelay: time.Millisecond}), ids: make(chan []byte, 1)}
	w.createTenants(t, tenants...)
	for _, name := range ring.Keysets {
		if name != stack.Keyset("payments") {
			w.CreateKeyset(t, name)
		}
	}
	ring.Tenants.Under = under
	w.ring = w.Ring(t, ring)
	for _, tenant := range tenants { // on a busy machine a first use may be late: that has a test of its own
		if err := w.ring.Preload(t.Context(), under+tenant); err != nil {
			t.Fatal(err)
		}
	}
	o.Tenants.Under = under
	w.raw = w.ClientWith(t, "payments")
	w.client = w.ClientWith(t, "payments", w.Plugin(t, w.ring, o))
	w.work(t, w.client)
	return w
}

// createTenants makes keysets as a custodian, without the CLI: hundreds of processes would take their time.
func (w *world) createTenants(t *testing.T, tenants ...string) {
	t.Helper()
	store := w.Store(t, "", w.Roles.CustodianToken)
	group, ctx := errgroup.WithContext(t.Context())
	group.SetLimit(8)
	for _, tenant := range tenants {
		group.Go(func() error {
			_, err := rotate.Create(ctx, store, store, under+tenant, rotate.Options{})
			return err
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
}

func (w *world) work(t *testing.T, c client.Client) {
	t.Helper()
	worker := worker.New(c, taskQueue, worker.Options{})
	for _, code := range []any{Order, Part, Nightly, Forgets, Sends, Cancels, w.Waits} {
		worker.RegisterWorkflow(code)
	}
	for _, code := range []any{Pack, w.Elsewhere} {
		worker.RegisterActivity(code)
	}
	if err := worker.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(worker.Stop)
}

func (w *world) options(id string) client.StartWorkflowOptions {
	return client.StartWorkflowOptions{ID: id, TaskQueue: taskQueue, WorkflowTaskTimeout: 2 * time.Second}
}

func (w *world) start(t *testing.T, id string, code any, args ...any) client.WorkflowRun {
	t.Helper()
	run, err := w.client.ExecuteWorkflow(t.Context(), w.options(id), code, args...)
	if err != nil {
		t.Fatalf("starting %s: %v", id, err)
	}
	return run
}

func get[T any](t *testing.T, run client.WorkflowRun) (out T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := run.Get(ctx, &out); err != nil {
		t.Errorf("%s: %v", run.GetID(), err)
	}
	return out
}

// history returns the events of one run, or the latest.
func (w *world) history(t *testing.T, id, run string) *historypb.History {
	t.Helper()
	all := &historypb.History{}
	for events := w.raw.GetWorkflowHistory(t.Context(), id, run, false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT); events.HasNext(); {
		event, err := events.Next()
		if err != nil {
			t.Fatal(err)
		}
		all.Events = append(all.Events, event)
	}
	return all
}

// keysets counts the payloads in a message by the keyset that they name.
func keysets(t *testing.T, m proto.Message) map[string]int {
	t.Helper()
	found := map[string]int{}
	var mu sync.Mutex
	err := proxy.VisitPayloads(t.Context(), proto.Clone(m), proxy.VisitPayloadsOptions{
		SkipSearchAttributes: true,
		Visitor: func(at *proxy.VisitPayloadsContext, ps []*commonpb.Payload) ([]*commonpb.Payload, error) {
			if _, header := at.Parent.(*commonpb.Header); header {
				return ps, nil
			}
			mu.Lock()
			defer mu.Unlock()
			for _, p := range ps {
				id := string(p.GetMetadata()["encryption-key-id"])
				found[id[:max(0, strings.LastIndexByte(id, '/'))]]++
			}
			return ps, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// sealedUnder fails the test unless m holds at least n payloads and all of them are under one keyset.
func sealedUnder(t *testing.T, what string, m proto.Message, keyset string, n int) {
	t.Helper()
	if found := keysets(t, m); len(found) != 1 || found[keyset] < n {
		t.Errorf("%s: payloads by keyset %v, want all under %s, and at least %d", what, found, keyset, n)
	}
}

// taskFails waits until a workflow's task fails, and returns why, read with the tenant's own key.
func (w *world) taskFails(t *testing.T, id string) string {
	t.Helper()
	codec, err := converter.NewCodec(w.ring, converter.CodecOptions{Scope: "payments", Keyset: "ns/payments", Tenants: converter.Tenants{Under: under}})
	if err != nil {
		t.Fatal(err)
	}
	dc, err := converter.NewDataConverter(nil, codec)
	if err != nil {
		t.Fatal(err)
	}
	fc, err := converter.NewFailureConverter(nil, dc)
	if err != nil {
		t.Fatal(err)
	}
	var why string
	stack.Eventually(t, 20*time.Second, func() error {
		for _, event := range w.history(t, id, "").GetEvents() {
			if failed := event.GetWorkflowTaskFailedEventAttributes(); failed != nil {
				why = fc.FailureToError(failed.GetFailure()).Error()
				return nil
			}
		}
		return fmt.Errorf("no workflow task of %s has failed", id)
	})
	d, err := w.raw.DescribeWorkflowExecution(t.Context(), id, "")
	if err != nil {
		t.Fatal(err)
	}
	if got := d.GetWorkflowExecutionInfo().GetStatus(); got != enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING {
		t.Errorf("%s is %s, want it open", id, got)
	}
	return why
}

// Order does of everything something: activities, markers, messages, children, a failure that is handed on. Then it
// begins anew, and at last fails.
func Order(ctx workflow.Context, item string, again int) (string, error) {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: time.Minute, Summary: "summary of " + item})
	ctx = workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{StartToCloseTimeout: time.Minute})
	note := ""
	if err := workflow.SetQueryHandler(ctx, "note", func(who string) (string, error) { return who + " reads " + note, nil }); err != nil {
		return "", err
	}
	if err := workflow.SetUpdateHandler(ctx, "note", func(_ workflow.Context, text string) (string, error) { note = text; return "noted " + text, nil }); err != nil {
		return "", err
	}
	var packed, local string
	if err := workflow.ExecuteActivity(ctx, Pack, item).Get(ctx, &packed); err != nil {
		return "", err
	}
	if err := workflow.ExecuteLocalActivity(ctx, Pack, item).Get(ctx, &local); err != nil {
		return "", err
	}
	var side, mutable string
	if err := workflow.SideEffect(ctx, func(workflow.Context) any { return "side of " + item }).Get(&side); err != nil {
		return "", err
	}
	if err := workflow.MutableSideEffect(ctx, "m", func(workflow.Context) any { return "mutable " + item }, func(a, b any) bool { return a == b }).Get(&mutable); err != nil {
		return "", err
	}
	if workflow.GetVersion(ctx, "change", workflow.DefaultVersion, 1) != 1 {
		return "", errors.New("the wrong branch")
	}
	if err := workflow.UpsertMemo(ctx, map[string]any{"later": "memo of " + item}); err != nil {
		return "", err
	}
	if err := workflow.NewTimerWithOptions(ctx, time.Millisecond, workflow.TimerOptions{Summary: "timer of " + item}).Get(ctx, nil); err != nil {
		return "", err
	}
	id := workflow.GetInfo(ctx).WorkflowExecution.ID
	child := workflow.WithChildOptions(ctx, workflow.ChildWorkflowOptions{
		WorkflowID: fmt.Sprintf("%s/part-%d", id, again), Memo: map[string]any{"of": item}, StaticSummary: "part of " + item,
	})
	var part string
	if err := workflow.ExecuteChildWorkflow(child, Part, item, false).Get(ctx, &part); err != nil {
		return "", err
	}
	var where string
	workflow.GetSignalChannel(ctx, "ship").Receive(ctx, &where)
	if again > 0 {
		return "", workflow.NewContinueAsNewError(ctx, Order, item, again-1)
	}
	return "", workflow.ExecuteChildWorkflow(child, Part, item+" to "+where, true).Get(ctx, nil)
}

// Part is Order's child.
func Part(ctx workflow.Context, item string, fails bool) (string, error) {
	if fails {
		ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: time.Minute})
		return "", workflow.ExecuteActivity(ctx, Pack, "broken "+item).Get(ctx, nil)
	}
	return "part of " + item, nil
}

// Pack is the activity of both.
func Pack(_ context.Context, item string) (string, error) {
	if strings.HasPrefix(item, "broken") {
		return "", temporalError("cannot pack " + item)
	}
	return "packed " + item, nil
}
