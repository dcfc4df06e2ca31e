package history_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.temporal.io/sdk/client"
	sdk "go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/signet-temporal/signet"
	"github.com/signet-temporal/signet/e2e/stack"
	"github.com/signet-temporal/signet/keys"
)

const quick = 5 * time.Second // an answer, as opposed to a timeout

// behind is a ring that has not heard of a rotation because Vault is out of its reach.
func behind(t *testing.T, s *stack.Stack) (*keys.Ring, *stack.Proxy) {
	t.Helper()
	proxy := s.Proxy(t)
	ring := s.RingAt(t, proxy.Address, keys.RingOptions{RefreshInterval: time.Hour})
	proxy.Cut()
	s.Rotate(t, "ns/payments")
	s.Promote(t, "ns/payments", "--force")
	return ring, proxy
}

// TestMissingKeyFailsTheTaskAndNotTheWorkflow: a worker that meets a key it does not have retries the workflow task. The
// signal that it could not open is there when the key is.
func TestMissingKeyFailsTheTaskAndNotTheWorkflow(t *testing.T) {
	s := stack.Start(t, stack.Options{Namespaces: []string{"payments"}, WithoutOIDC: true})
	raw := s.ClientWith(t, "payments")
	old, proxy := behind(t, s)
	fresh := s.Ring(t, keys.RingOptions{})
	sender := s.ClientWith(t, "payments", s.Plugin(t, fresh, signet.Options{}))
	failures := failureConverter(t, fresh, "payments")

	// A workflow that was sealed with the new key and has ended already.
	knows := &calls{}
	stop := knows.start(t, s, "payments", s.Plugin(t, fresh, signet.Options{}))
	closed, err := sender.ExecuteWorkflow(t.Context(), startOptions("closed"), knows.Collect, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"a", "b"} {
		if err := sender.SignalWorkflow(t.Context(), "closed", "", "one", text); err != nil {
			t.Fatal(err)
		}
	}
	if err := closed.Get(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	stop()

	lacks := &calls{}
	lacks.start(t, s, "payments", s.Plugin(t, old, signet.Options{}))
	open, err := s.ClientWith(t, "payments", s.Plugin(t, old, signet.Options{})).ExecuteWorkflow(t.Context(), startOptions("open"), lacks.Collect, "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sender.QueryWorkflow(t.Context(), "open", "", "so-far"); err != nil {
		t.Fatalf("the query of a workflow that is well: %v", err)
	}
	if err := sender.SignalWorkflow(t.Context(), "open", "", "one", "first"); err != nil {
		t.Fatal(err)
	}
	started, err := sender.ExecuteWorkflow(t.Context(), startOptions("new"), lacks.Echo, "hello")
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"open", "new"} {
		_, why := taskFailed(t, raw, id, failures)
		if why == nil || !strings.Contains(why.Error(), "key is not available") {
			t.Errorf("the task of %s failed with: %v", id, why)
		}
	}
	queryGetsAnError(t, sender, "closed")
	for _, id := range []string{"open", "new"} {
		failedOften(t, raw, id)
		queryGetsAnError(t, sender, id)
	}
	stillOpen(t, raw, "open")
	stillOpen(t, raw, "new")
	if n := lacks.activities.Load(); n != 0 {
		t.Errorf("%d activities ran without the key", n)
	}

	proxy.Mend()
	if err := sender.SignalWorkflow(t.Context(), "open", "", "one", "second"); err != nil {
		t.Fatal(err)
	}
	var all []string
	if err := open.Get(t.Context(), &all); err != nil || strings.Join(all, " ") != "first second" {
		t.Errorf("with the key the workflow got the signals %q, %v", all, err)
	}
	var out string
	if err := started.Get(t.Context(), &out); err != nil || out != "hello" {
		t.Errorf("with the key the workflow returned %q, %v", out, err)
	}
	value, err := sender.QueryWorkflow(t.Context(), "closed", "", "so-far")
	if err != nil {
		t.Fatalf("with the key, the query of a closed workflow: %v", err)
	}
	if err := value.Get(&all); err != nil || strings.Join(all, " ") != "a b" {
		t.Errorf("with the key the query says %q, %v", all, err)
	}
}

// failedOften waits for the third attempt of a workflow task. Until then the server holds queries back, for a task that
// may yet succeed; see TestAQueryBehindAFailingTaskWaitsWithSignetNoLongerThanWithout.
func failedOften(t *testing.T, raw client.Client, id string) {
	t.Helper()
	stack.Eventually(t, time.Minute, func() error {
		d, err := raw.DescribeWorkflowExecution(t.Context(), id, "")
		if attempt := d.GetPendingWorkflowTask().GetAttempt(); err == nil && attempt < 3 {
			err = fmt.Errorf("the task of %s is at its attempt %d", id, attempt)
		}
		return err
	})
}

// TestAQueryBehindAFailingTaskWaitsWithSignetNoLongerThanWithout: a query that arrives just after a workflow task has
// failed is held back by the server until the task is tried for the third time. That is so for every failing task, and
// signet adds nothing to it.
func TestAQueryBehindAFailingTaskWaitsWithSignetNoLongerThanWithout(t *testing.T) {
	s := stack.Start(t, stack.Options{Namespaces: []string{"payments"}, WithoutOIDC: true})
	raw := s.ClientWith(t, "payments")
	w := worker.New(raw, "plain", worker.Options{})
	w.RegisterWorkflowWithOptions(func(ctx workflow.Context) error {
		if err := workflow.SetQueryHandler(ctx, "so-far", func() (string, error) { return "fine", nil }); err != nil {
			return err
		}
		workflow.GetSignalChannel(ctx, "one").Receive(ctx, nil)
		panic("provoked by the test")
	}, workflow.RegisterOptions{Name: "Panics"})
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Stop)
	old, _ := behind(t, s)
	sealing := &calls{}
	sealing.start(t, s, "payments", s.Plugin(t, old, signet.Options{}))
	sender := s.ClientWith(t, "payments", s.Plugin(t, s.Ring(t, keys.RingOptions{}), signet.Options{}))

	waits := func(c client.Client, id string) time.Duration {
		if _, err := c.QueryWorkflow(t.Context(), id, "", "so-far"); err != nil {
			t.Fatalf("the query of %s while it is well: %v", id, err)
		}
		if err := c.SignalWorkflow(t.Context(), id, "", "one", "first"); err != nil {
			t.Fatal(err)
		}
		taskFailed(t, raw, id, temporal.GetDefaultFailureConverter())
		start := time.Now()
		for {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			_, err := c.QueryWorkflow(ctx, id, "", "so-far")
			cancel()
			if err != nil && strings.Contains(err.Error(), "Workflow Task in failed state") || time.Since(start) > time.Minute {
				t.Logf("%s: after %s: %v", id, time.Since(start).Round(time.Millisecond), err)
				return time.Since(start)
			}
		}
	}
	plain := startOptions("plain")
	plain.TaskQueue = "plain"
	if _, err := raw.ExecuteWorkflow(t.Context(), plain, "Panics"); err != nil {
		t.Fatal(err)
	}
	without := waits(raw, "plain")
	if _, err := s.ClientWith(t, "payments", s.Plugin(t, old, signet.Options{})).ExecuteWorkflow(t.Context(), startOptions("sealed"), sealing.Collect, ""); err != nil {
		t.Fatal(err)
	}
	with := waits(sender, "sealed")
	if with > without+5*time.Second {
		t.Errorf("the query waits for %s with signet, for %s without", with, without)
	}
}

func queryGetsAnError(t *testing.T, c client.Client, id string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	start := time.Now()
	_, err := c.QueryWorkflow(ctx, id, "", "so-far")
	took := time.Since(start).Round(time.Millisecond)
	t.Logf("query of %s without the key, after %s: %v", id, took, err)
	if err == nil {
		t.Errorf("the query of %s got an answer without the key", id)
	}
	if took > quick || ctx.Err() != nil {
		t.Errorf("the query of %s took %s, want an error and not a timeout", id, took)
	}
}

// Relay hands sealed bytes, which its own worker cannot open, to the sealing worker's activity and back.
func Relay(ctx workflow.Context, in sdk.RawValue) (out sdk.RawValue, err error) {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{TaskQueue: taskQueue, StartToCloseTimeout: time.Minute, RetryPolicy: retrySoon})
	err = workflow.ExecuteActivity(ctx, "Repeat", in).Get(ctx, &out)
	return out, err
}

// startRelay starts a worker without keys, for Relay alone.
func startRelay(t *testing.T, s *stack.Stack, namespace string) client.Client {
	t.Helper()
	c := s.ClientWith(t, namespace)
	w := worker.New(c, "relay", worker.Options{DisableWorkflowWorker: false, LocalActivityWorkerOnly: true})
	w.RegisterWorkflow(Relay)
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Stop)
	return c
}

// TestAnActivityIsRetriedForAMissingKeyAndNotForATamperedInput: what can get better is tried again soon, what cannot is
// an error at once, and neither waits for a timeout.
func TestAnActivityIsRetriedForAMissingKeyAndNotForATamperedInput(t *testing.T) {
	s := stack.Start(t, stack.Options{Namespaces: []string{"payments"}, WithoutOIDC: true})
	old, proxy := behind(t, s)
	fresh := s.Ring(t, keys.RingOptions{})
	executed := &calls{}
	executed.start(t, s, "payments", s.Plugin(t, old, signet.Options{}))
	relay := startRelay(t, s, "payments")

	// Tampered: one bit, under a key that the worker has.
	p := sealed(t, converterOf(t, old, "payments", "tampered"), "hello")
	p.Data[len(p.Data)-1] ^= 1
	start := time.Now()
	options := startOptions("tampered")
	options.TaskQueue = "relay"
	run, err := relay.ExecuteWorkflow(t.Context(), options, Relay, sdk.NewRawValue(p))
	if err != nil {
		t.Fatal(err)
	}
	if err := run.Get(t.Context(), nil); err == nil {
		t.Error("an activity ran on a tampered input")
	}
	if took := time.Since(start); took > quick {
		t.Errorf("the tampered input took %s to fail", took)
	}
	found := false
	for _, event := range fetch(t, relay, "tampered", "").GetEvents() {
		if failed := event.GetActivityTaskFailedEventAttributes(); failed != nil {
			found = true
			info := failed.GetFailure().GetApplicationFailureInfo()
			if info.GetType() != "signet.not-authentic" || !info.GetNonRetryable() {
				t.Errorf("the activity failed with type %q, non-retryable %t", info.GetType(), info.GetNonRetryable())
			}
		}
	}
	if !found {
		t.Error("no activity failed")
	}

	// Missing: a key that the worker does not have yet.
	p = sealed(t, converterOf(t, fresh, "payments", "missing"), "hello")
	options.ID = "missing"
	if run, err = relay.ExecuteWorkflow(t.Context(), options, Relay, sdk.NewRawValue(p)); err != nil {
		t.Fatal(err)
	}
	stack.Eventually(t, 15*time.Second, func() error {
		d, err := relay.DescribeWorkflowExecution(t.Context(), "missing", "")
		if err != nil {
			return err
		}
		if pending := d.GetPendingActivities(); len(pending) != 1 || pending[0].GetAttempt() < 3 {
			return fmt.Errorf("the activity is not being retried: %v", pending)
		}
		why := failureConverter(t, fresh, "payments").FailureToError(d.GetPendingActivities()[0].GetLastFailure())
		if why == nil || !strings.Contains(why.Error(), "key is not available") {
			return fmt.Errorf("the activity failed with: %w", errors.Join(why))
		}
		return nil
	})
	proxy.Mend()
	var out sdk.RawValue
	if err := run.Get(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	var text string
	if err := converterOf(t, fresh, "payments", "missing").FromPayload(out.Payload(), &text); err != nil || text != "hello" {
		t.Errorf("with the key the activity returned %q, %v", text, err)
	}
	if n := executed.activities.Load(); n != 1 {
		t.Errorf("the activity ran %d times", n)
	}
}
