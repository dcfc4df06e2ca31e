// Package keys_test lets workflows run against a real Temporal while their keys are rotated, and while the Vault that
// keeps them is away.
package keys_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/signet-temporal/signet/e2e/stack"
	"github.com/signet-temporal/signet/keys"
)

const taskQueue = "orders"

// Order hands its input to an activity, waits for the signal "ship" if it is told to, and returns both.
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

func startWorker(t *testing.T, c client.Client) {
	t.Helper()
	w := worker.New(c, taskQueue, worker.Options{})
	w.RegisterWorkflow(Order)
	w.RegisterActivity(Pack)
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Stop)
}

func start(t *testing.T, c client.Client, id string, waits bool) client.WorkflowRun {
	t.Helper()
	run, err := c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: id, TaskQueue: taskQueue}, Order, id, waits)
	if err != nil {
		t.Fatalf("starting %s: %v", id, err)
	}
	return run
}

func ship(t *testing.T, c client.Client, run client.WorkflowRun) {
	t.Helper()
	if err := c.SignalWorkflow(t.Context(), run.GetID(), "", "ship", " to Ulm"); err != nil {
		t.Fatalf("signalling %s: %v", run.GetID(), err)
	}
	returns(t, run, "packed "+run.GetID()+" to Ulm")
}

func returns(t *testing.T, run client.WorkflowRun, want string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var got string
	if err := run.Get(ctx, &got); err != nil || got != want {
		t.Errorf("%s returned %q, %v, want %q", run.GetID(), got, err, want)
	}
}

// keyOf returns the key id in a payload of a history, eight hex digits.
func keyOf(t *testing.T, p *commonpb.Payload, keyset string) string {
	t.Helper()
	id := string(p.GetMetadata()["encryption-key-id"])
	if len(id) != len(keyset)+9 || id[:len(keyset)+1] != keyset+"/" {
		t.Fatalf("a payload has the key id %q", id)
	}
	return id[len(keyset)+1:]
}

// load starts workflows without pause from several goroutines until it is stopped.
type load struct {
	client client.Client
	// start starts a workflow that waits for the signal "ship", and returns what it returns then; nil: an Order.
	start func(ctx context.Context, id string) (want string, err error)
	// read looks at a workflow that has ended; nil: nobody does.
	read  func(ctx context.Context, id string) error
	stop  chan struct{}
	group sync.WaitGroup
	done  atomic.Int64
	mu    sync.Mutex
	ended []string
}

func (l *load) run(t *testing.T, goroutines int) {
	l.stop = make(chan struct{})
	for g := range goroutines {
		l.group.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-l.stop:
					return
				default:
				}
				id := fmt.Sprintf("load-%d-%d", g, n)
				if err := l.one(t.Context(), id); err != nil {
					t.Errorf("%s: %v", id, err)
					return
				}
				l.done.Add(1)
				l.mu.Lock()
				l.ended = append(l.ended, id)
				l.mu.Unlock()
			}
		})
	}
}

func (l *load) one(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	start := l.start
	if start == nil {
		start = l.order
	}
	want, err := start(ctx, id)
	if err != nil {
		return err
	}
	if err := l.client.SignalWorkflow(ctx, id, "", "ship", " to Ulm"); err != nil {
		return err
	}
	var got string
	if err := l.client.GetWorkflow(ctx, id, "").Get(ctx, &got); err != nil {
		return err
	}
	if got != want {
		return fmt.Errorf("returned %q, want %q", got, want)
	}
	if l.read != nil {
		return l.read(ctx, id)
	}
	return nil
}

func (l *load) order(ctx context.Context, id string) (string, error) {
	_, err := l.client.ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: id, TaskQueue: taskQueue}, Order, id, true)
	return "packed " + id + " to Ulm", err
}

// end stops the load and waits for what is under way.
func (l *load) end() int64 {
	close(l.stop)
	l.group.Wait()
	return l.done.Load()
}

// ids returns the ids of the workflows that have ended.
func (l *load) ids() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.ended)
}

// sealsWith waits until a ring seals with a key.
func sealsWith(t *testing.T, ring *keys.Ring, keyset, key string, limit time.Duration) {
	t.Helper()
	stack.Eventually(t, limit, func() error {
		for _, status := range ring.Status() {
			if status.Name == keyset && status.Primary.String() != key {
				return fmt.Errorf("the ring seals with %s, want %s; last refresh: %q", status.Primary, key, status.Error)
			}
		}
		return nil
	})
}
