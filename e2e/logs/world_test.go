package logs_test

import (
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	sdk "go.temporal.io/sdk/converter"
	sdklog "go.temporal.io/sdk/log"
	"go.temporal.io/sdk/worker"

	"github.com/signet-temporal/signet"
	"github.com/signet-temporal/signet/converter"
	"github.com/signet-temporal/signet/e2e/stack"
	"github.com/signet-temporal/signet/keys"
)

// hospital is one deployment, with everything captured that it logs.
type hospital struct {
	*stack.Stack
	*code
	secrets secrets

	proxy  *stack.Proxy // between Vault and the worker's ring
	ring   *keys.Ring   // the worker's
	fresh  *keys.Ring   // the senders', which reaches Vault always
	worker client.Client
	raw    client.Client // writes to Temporal without sealing

	ringLog, sdkLog, safeLog, slogLog capture
	commands                          capture // output of the CLI
}

// withoutErrors is the recipe of docs/threat-model.md, "Logs of your workers".
func withoutErrors(_ []string, a slog.Attr) slog.Attr {
	if a.Key == "Error" || a.Key == "PanicError" {
		return slog.String(a.Key, "withheld")
	}
	return a
}

func open(t *testing.T) *hospital {
	t.Helper()
	h := &hospital{code: newCode(), secrets: secrets{}}
	h.Stack = stack.Start(t, stack.Options{Namespaces: []string{"payments", "orders"}, KeepVault: true})
	h.secrets.add("payload", []byte(h.mark))
	h.secrets.add("Vault's root token", []byte(h.Vault.Token))
	h.secrets.add("the worker's Vault token", []byte(h.Roles.WorkerToken))
	h.secrets.add("the custodian's Vault token", []byte(h.Roles.CustodianToken))
	secretID, err := os.ReadFile(h.Roles.ServerSecretIDFile)
	if err != nil {
		t.Fatal(err)
	}
	h.secrets.add("the server's secret id", secretID)

	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&h.slogLog, &slog.HandlerOptions{Level: slog.LevelDebug})))
	t.Cleanup(func() { slog.SetDefault(before) })
	h.proxy = h.Proxy(t)
	h.ring = h.RingAt(t, h.proxy.Address, keys.RingOptions{
		RefreshInterval: time.Second, Logger: slog.New(slog.NewTextHandler(&h.ringLog, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	h.fresh = h.Ring(t, keys.RingOptions{})
	h.raw = h.ClientWith(t, "payments")
	both := slog.New(slog.NewMultiHandler(
		slog.NewJSONHandler(&h.sdkLog, &slog.HandlerOptions{Level: slog.LevelDebug}),
		slog.NewJSONHandler(&h.safeLog, &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: withoutErrors}),
	))
	h.worker, err = client.Dial(client.Options{
		HostPort: h.Temporal.Address, Namespace: "payments", Logger: sdklog.NewStructuredLogger(both),
		Plugins: []client.Plugin{h.Plugin(t, h.ring, signet.Options{})},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.worker.Close)
	w := worker.New(h.worker, taskQueue, worker.Options{WorkerStopTimeout: time.Second})
	for _, wf := range []any{h.Well, h.Child, h.Ill, h.FailingChild, h.Panics} {
		w.RegisterWorkflow(wf)
	}
	for _, a := range []any{h.Examine, h.Fail, h.Panic, h.MeetAt, h.Late} {
		w.RegisterActivity(a)
	}
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Stop)
	return h
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (h *hospital) start(t *testing.T, c client.Client, id string, workflow any, args ...any) client.WorkflowRun {
	t.Helper()
	run, err := c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{
		ID: id, TaskQueue: taskQueue, Memo: map[string]any{"memo": h.secret("memo")}, StaticSummary: h.secret("summary"),
	}, workflow, args...)
	must(t, err)
	return run
}

// taskFails waits for a failed workflow task whose failure says text.
func (h *hospital) taskFails(t *testing.T, id, text string) {
	t.Helper()
	fc := h.failures(t)
	stack.Eventually(t, 20*time.Second, func() error {
		history, err := h.raw.WorkflowService().GetWorkflowExecutionHistory(t.Context(), &workflowservice.GetWorkflowExecutionHistoryRequest{
			Namespace: "payments", Execution: &commonpb.WorkflowExecution{WorkflowId: id}})
		if err != nil {
			return err
		}
		err = fmt.Errorf("no task of %s has failed", id)
		for _, event := range history.GetHistory().GetEvents() {
			if failed := event.GetWorkflowTaskFailedEventAttributes(); failed != nil {
				if err = fc.FailureToError(failed.GetFailure()); strings.Contains(err.Error(), text) {
					return nil
				}
			}
		}
		return err
	})
}

func (h *hospital) failures(t *testing.T) sdk.FailureConverter {
	t.Helper()
	codec, err := converter.NewCodec(h.fresh, converter.CodecOptions{Keyset: "ns/payments", Scope: "payments"})
	must(t, err)
	dc, err := converter.NewDataConverter(nil, codec)
	must(t, err)
	fc, err := converter.NewFailureConverter(nil, dc)
	must(t, err)
	return fc
}

// sealed is a payload of a workflow, under the newest key.
func (h *hospital) sealed(t *testing.T, id string) *commonpb.Payload {
	t.Helper()
	codec, err := converter.NewCodec(h.fresh, converter.CodecOptions{Keyset: "ns/payments", Scope: "payments"})
	must(t, err)
	dc, err := converter.NewDataConverter(nil, codec)
	must(t, err)
	ps, err := sdk.WithDataConverterSerializationContext(dc, sdk.WorkflowSerializationContext{Namespace: "payments", WorkflowID: id}).ToPayloads(h.secret(id))
	must(t, err)
	return ps.GetPayloads()[0]
}

func (h *hospital) cli(t *testing.T, args ...string) {
	t.Helper()
	run := h.SignetRun(t, args...)
	fmt.Fprint(&h.commands, run.Stdout, run.Stderr)
}
