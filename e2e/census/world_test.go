// Package census_test fills a namespace of a real Temporal under several keys, so that every payload is known, and
// compares what signet census says with what was made.
package census_test

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
	"golang.org/x/sync/errgroup"

	"github.com/signet-temporal/signet"
	"github.com/signet-temporal/signet/e2e/stack"
	"github.com/signet-temporal/signet/keys"
)

const (
	namespace = "payments"
	elsewhere = "operations" // where censuses run as workflows
	keyset    = "ns/" + namespace
	taskQueue = "orders"
	patience  = time.Minute
)

// Order packs an item and, if it is told to, waits for the signal "ship".
func Order(ctx workflow.Context, item string, waits bool) (string, error) {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: time.Minute})
	var packed, where string
	if err := workflow.ExecuteActivity(ctx, Pack, item).Get(ctx, &packed); err != nil {
		return "", err
	}
	if waits {
		workflow.GetSignalChannel(ctx, "ship").Receive(ctx, &where)
	}
	return packed + where, nil
}

// Pack is Order's activity.
func Pack(_ context.Context, item string) (string, error) { return "packed " + item, nil }

// Watch waits for an activity that never ends.
func Watch(ctx workflow.Context) error {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: time.Hour})
	return workflow.ExecuteActivity(ctx, Guard).Get(ctx, nil)
}

// Guard says where it is, and goes on.
func Guard(ctx context.Context) error {
	activity.RecordHeartbeat(ctx, "at the gate")
	<-ctx.Done()
	return ctx.Err()
}

// world is a namespace in which keys follow one another.
type world struct {
	*stack.Stack
	keys []string // ids with their keyset, such as "ns/payments/1f2e3d4c", in the order in which they sealed
	all  client.Client
}

func newWorld(t *testing.T) *world {
	w := &world{Stack: stack.Start(t, stack.Options{Namespaces: []string{namespace, elsewhere}, WithoutOIDC: true})}
	w.all = w.ClientWith(t, namespace)
	return w
}

// era is the time in which one key seals.
type era struct {
	client.Client
	key  string
	stop func()
}

// next begins an era: with the keyset's first key, or with a new one. Its processes hold no ring of before.
func (w *world) next(t *testing.T) era {
	t.Helper()
	if len(w.keys) > 0 {
		w.Rotate(t, keyset)
		w.Promote(t, keyset, "--force")
	}
	ring := w.Ring(t, keys.RingOptions{})
	e := era{Client: w.ClientWith(t, namespace, w.Plugin(t, ring, signet.Options{})), key: keyset + "/" + ring.Status()[0].Primary.String()}
	w.keys = append(w.keys, e.key)
	worker := worker.New(e.Client, taskQueue, worker.Options{})
	worker.RegisterWorkflow(Order)
	worker.RegisterWorkflow(Watch)
	worker.RegisterActivity(Pack)
	worker.RegisterActivity(Guard)
	if err := worker.Start(); err != nil {
		t.Fatal(err)
	}
	e.stop = sync.OnceFunc(worker.Stop)
	t.Cleanup(e.stop)
	return e
}

// orders starts n workflows and returns when they are as far as they come: closed, or waiting.
func (e era) orders(t *testing.T, prefix string, n int, waits bool) (ids []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
	defer cancel()
	group, starting := errgroup.WithContext(ctx)
	group.SetLimit(16)
	for i := range n {
		id := fmt.Sprintf("%s-%d", prefix, i)
		ids = append(ids, id)
		group.Go(func() error {
			o := client.StartWorkflowOptions{ID: id, TaskQueue: taskQueue, Memo: map[string]any{"of": id}}
			run, err := e.ExecuteWorkflow(starting, o, Order, id, waits)
			if err == nil && !waits {
				err = run.Get(starting, nil)
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	for _, id := range ids {
		if waits {
			stack.Eventually(t, patience, func() error { return e.packed(ctx, id) })
		}
	}
	return ids
}

// packed returns nil once a waiting order waits for its signal, with no task on its way.
func (e era) packed(ctx context.Context, id string) error {
	d, err := e.DescribeWorkflowExecution(ctx, id, "")
	if err != nil {
		return err
	}
	if n := d.GetWorkflowExecutionInfo().GetHistoryLength(); n < 10 || d.GetPendingWorkflowTask() != nil {
		return fmt.Errorf("%s has %d events", id, n)
	}
	return nil
}

// visible waits until Temporal lists as many workflows in each state.
func (w *world) visible(t *testing.T, open, closed int64) {
	t.Helper()
	for query, want := range map[string]int64{"ExecutionStatus = 'Running'": open, "ExecutionStatus != 'Running'": closed} {
		stack.Eventually(t, patience, func() error {
			count, err := w.all.CountWorkflow(t.Context(), &workflowservice.CountWorkflowExecutionsRequest{Namespace: namespace, Query: query})
			if err == nil && count.GetCount() != want {
				err = fmt.Errorf("%d workflows with %s, want %d", count.GetCount(), query, want)
			}
			return err
		})
	}
}

// report is what the command prints as JSON, as far as it is compared.
type report struct {
	Namespace       string
	Began, Finished time.Time
	Retention       string
	OpenWorkflows   int64
	ClosedWorkflows int64
	ClosedMeanwhile int64
	Schedules       int64
	Unsealed        int64
	Malformed       int64
	Keys            []keyReport
}

type keyReport struct {
	Keyset, KeyID                             string
	Payloads                                  int64
	Places                                    map[string]int64
	OpenWorkflows, ClosedWorkflows, Schedules int64
	OldestUse, NewestUse                      time.Time
	WorkflowIDs, ScheduleIDs, HeldBy          []string
	NeededUntil                               time.Time
}

// census takes one with the command, which has neither keys nor a way to Vault.
func (w *world) census(t *testing.T, args ...string) report {
	t.Helper()
	run := stack.Exec(t, nil, stack.Program(t, "signet"), w.args(args...)...)
	if run.Code != 0 || run.Stderr != "" {
		t.Fatalf("signet census: exit code %d: %s", run.Code, run.Stderr)
	}
	return parse(t, run.Stdout)
}

func (w *world) args(more ...string) []string {
	return append([]string{"census", "--output=json", "--address=" + w.Temporal.Address, "--namespace=" + namespace}, more...)
}

func parse(t *testing.T, text string) (r report) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return r
}

// key returns what was counted of one key.
func (r report) key(id string) keyReport {
	for _, k := range r.Keys {
		if k.Keyset+"/"+k.KeyID == id {
			return k
		}
	}
	return keyReport{}
}
