// Package metrics_test watches the plugin's metrics while a worker runs against the real servers.
package metrics_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	sdk "go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/signet-temporal/signet"
	"github.com/signet-temporal/signet/e2e/stack"
	"github.com/signet-temporal/signet/internal/metricstest"
	"github.com/signet-temporal/signet/keys"
)

// Repeat hands its input to an activity and returns what that says.
func Repeat(ctx workflow.Context, in string) (out string, err error) {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: time.Minute})
	err = workflow.ExecuteActivity(ctx, Say, in).Get(ctx, &out)
	return out, err
}

func Say(_ context.Context, in string) (string, error) { return in, nil }

// watched is a worker and its metrics.
type watched struct {
	*stack.Stack
	proxy   *stack.Proxy
	client  client.Client
	metrics *metricstest.Handler
}

func start(t *testing.T, o signet.Options) *watched {
	t.Helper()
	w := &watched{metrics: metricstest.New()}
	w.Stack = stack.Start(t, stack.Options{Namespaces: []string{"payments"}, WithoutOIDC: true, PropagationDelay: time.Millisecond})
	w.proxy = w.Proxy(t)
	ring := w.RingAt(t, w.proxy.Address, keys.RingOptions{RefreshInterval: time.Second})
	w.connect(t, w.Plugin(t, ring, o))
	return w
}

func (w *watched) connect(t *testing.T, plugin client.Plugin) {
	t.Helper()
	var err error
	w.client, err = client.Dial(client.Options{
		HostPort: w.Temporal.Address, Namespace: "payments", Plugins: []client.Plugin{plugin},
		MetricsHandler: w.metrics, Logger: stack.Quiet,
	})
	must(t, err)
	t.Cleanup(w.client.Close)
	run := worker.New(w.client, "queue", worker.Options{WorkerStopTimeout: time.Second})
	run.RegisterWorkflow(Repeat)
	run.RegisterActivity(Say)
	must(t, run.Start())
	t.Cleanup(run.Stop)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (w *watched) value(name string, tags ...string) float64 {
	m := map[string]string{}
	for ; len(tags) > 1; tags = tags[2:] {
		m[tags[0]] = tags[1]
	}
	n, _ := w.metrics.Value(metricstest.Key(name, m))
	return n
}

// reaches waits until a metric is what it should be.
func (w *watched) reaches(t *testing.T, limit time.Duration, what string, ok func(float64) bool, name string, tags ...string) {
	t.Helper()
	begun := time.Now()
	stack.Eventually(t, limit, func() error {
		if n := w.value(name, tags...); !ok(n) {
			return fmt.Errorf("%s is %v, want it %s", name, n, what)
		}
		return nil
	})
	t.Logf("%s %v is %v, %s, after %s", name, tags, w.value(name, tags...), what, time.Since(begun).Round(10*time.Millisecond))
}

func more(than float64) func(float64) bool { return func(n float64) bool { return n > than } }
func less(than float64) func(float64) bool { return func(n float64) bool { return n < than } }

func options(id string) client.StartWorkflowOptions {
	return client.StartWorkflowOptions{ID: id, TaskQueue: "queue"}
}

func TestCountersMoveWithPayloads(t *testing.T) {
	w := start(t, signet.Options{})
	sealed := w.value("signet_payloads_sealed", "namespace", "payments", "keyset", "ns/payments")
	run, err := w.client.ExecuteWorkflow(t.Context(), options("fine"), Repeat, "hello")
	must(t, err)
	var out string
	must(t, run.Get(t.Context(), &out))
	// Input, argument, result of the activity and of the workflow; each is sealed once and opened once.
	if n := w.value("signet_payloads_sealed", "namespace", "payments", "keyset", "ns/payments") - sealed; n < 4 {
		t.Errorf("%v payloads sealed", n)
	}
	if n := w.value("signet_payloads_opened", "namespace", "payments", "keyset", "ns/payments", "format", "v1"); n < 4 {
		t.Errorf("%v payloads opened", n)
	}
	for _, operation := range []string{"seal", "open"} {
		count := w.value("signet_payload_latency_count", "namespace", "payments", "operation", operation)
		sum := w.value("signet_payload_latency_sum", "namespace", "payments", "operation", operation)
		if count < 4 || sum <= 0 || sum/count > 0.1 {
			t.Errorf("%s: %v in %v s", operation, count, sum)
		}
		if plain, cipher := w.value("signet_plain_bytes", "namespace", "payments", "operation", operation), w.value("signet_sealed_bytes", "namespace", "payments", "operation", operation); plain < 4*7 || cipher <= plain {
			t.Errorf("%s: %v bytes outside the seal, %v inside", operation, plain, cipher)
		}
	}
	// What is refused is counted by its reason: a workflow in clear, and a request with a memo in clear.
	_, err = w.ClientWith(t, "payments").ExecuteWorkflow(t.Context(), options("in-clear"), "Repeat", "hello")
	must(t, err)
	w.reaches(t, 20*time.Second, "above 0", more(0), "signet_payloads_refused", "namespace", "payments", "operation", "open", "reason", "not-sealed")
	plain, err := sdk.GetDefaultDataConverter().ToPayload("hello")
	must(t, err)
	_, err = w.client.WorkflowService().StartWorkflowExecution(t.Context(), &workflowservice.StartWorkflowExecutionRequest{
		Namespace: "payments", Memo: &commonpb.Memo{Fields: map[string]*commonpb.Payload{"memo": plain}}})
	if n := w.value("signet_requests_refused", "namespace", "payments"); err == nil || n != 1 {
		t.Errorf("%v requests refused: %v", n, err)
	}
	if n := len(w.metrics.All("temporal_")); n == 0 {
		t.Error("the SDK's own metrics are not there")
	}
}

// TestPlaintextIsCountedDuringAMigration: the counter that tells when a migration is over.
func TestPlaintextIsCountedDuringAMigration(t *testing.T) {
	w := start(t, signet.Options{AllowPlaintext: true})
	run, err := w.ClientWith(t, "payments").ExecuteWorkflow(t.Context(), options("in-clear"), "Repeat", "hello")
	must(t, err)
	var out string
	must(t, w.client.GetWorkflow(t.Context(), "in-clear", run.GetRunID()).Get(t.Context(), &out))
	if n := w.value("signet_payloads_opened", "namespace", "payments", "keyset", "none", "format", "plaintext"); n != 1 {
		t.Errorf("%v payloads opened in clear, want the input", n)
	}
}

// TestGaugesShowAnOutageAndARotation: while Vault is away the refresh age grows, and falls when it is back. A key that is
// promoted meanwhile is waited for, and makes the primary key young again.
func TestGaugesShowAnOutageAndARotation(t *testing.T) {
	w := start(t, signet.Options{})
	const keyset = "ns/payments"
	age := func(what string) float64 { return w.value("signet_keyset_"+what+"_age_seconds", "keyset", keyset) }
	if n := w.value("signet_keyset_keys", "keyset", keyset); n != 1 {
		t.Errorf("%v keys", n)
	}
	w.reaches(t, 5*time.Second, "below 1", less(1), "signet_keyset_refresh_age_seconds", "keyset", keyset)
	w.reaches(t, 10*time.Second, "above 2", more(2), "signet_keyset_primary_age_seconds", "keyset", keyset)
	w.proxy.Cut()
	w.reaches(t, 30*time.Second, "above 5", more(5), "signet_keyset_refresh_age_seconds", "keyset", keyset)
	w.Rotate(t, keyset)
	w.Promote(t, keyset)
	sender := w.ClientWith(t, "payments", w.Plugin(t, w.Ring(t, keys.RingOptions{}), signet.Options{}))
	run, err := sender.ExecuteWorkflow(t.Context(), options("new-key"), Repeat, "hello")
	must(t, err)
	w.reaches(t, 20*time.Second, "above 0", more(0), "signet_payloads_refused", "namespace", "payments", "operation", "open", "reason", "key-unavailable")
	w.reaches(t, 20*time.Second, "above 0", more(0), "signet_key_waits", "keyset", keyset)
	old := age("primary")
	w.proxy.Mend()
	w.reaches(t, 20*time.Second, "below 1", less(1), "signet_keyset_refresh_age_seconds", "keyset", keyset)
	w.reaches(t, 5*time.Second, "2", func(n float64) bool { return n == 2 }, "signet_keyset_keys", "keyset", keyset)
	if now := age("primary"); now >= old {
		t.Errorf("after a promotion the age of the primary key went from %v to %v", old, now)
	}
	must(t, run.Get(t.Context(), nil))
}
