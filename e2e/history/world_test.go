package history_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tink-crypto/tink-go/v2/tink"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/sdk/client"
	sdk "go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/signet-temporal/signet/converter"
	"github.com/signet-temporal/signet/e2e/stack"
	"github.com/signet-temporal/signet/keys"
)

// calls counts what a worker has executed.
type calls struct{ workflows, activities atomic.Int64 }

// Echo hands its input to an activity and returns what that says.
func (c *calls) Echo(ctx workflow.Context, in string) (out string, err error) {
	c.workflows.Add(1)
	err = workflow.ExecuteActivity(once(ctx, ""), c.Repeat, in).Get(ctx, &out)
	return out, err
}

// Repeat returns its argument.
func (c *calls) Repeat(_ context.Context, in string) (string, error) {
	c.activities.Add(1)
	return in, nil
}

// Collect returns what two signals say, in order, and answers queries meanwhile.
func (c *calls) Collect(ctx workflow.Context, _ string) (all []string, err error) {
	if err := workflow.SetQueryHandler(ctx, "so-far", func() ([]string, error) { return all, nil }); err != nil {
		return nil, err
	}
	for len(all) < 2 {
		var one string
		workflow.GetSignalChannel(ctx, "one").Receive(ctx, &one)
		all = append(all, one)
	}
	return all, nil
}

// start starts a worker for calls on its own client, until the test ends or the returned function is called.
func (c *calls) start(t *testing.T, s *stack.Stack, namespace string, plugins ...client.Plugin) (stop func()) {
	t.Helper()
	w := worker.New(s.ClientWith(t, namespace, plugins...), taskQueue, worker.Options{})
	w.RegisterWorkflow(c.Echo)
	w.RegisterWorkflow(c.Collect)
	w.RegisterActivity(c.Repeat)
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	stopped := false
	stop = func() {
		if !stopped {
			stopped = true
			w.Stop()
		}
	}
	t.Cleanup(stop)
	return stop
}

func startOptions(id string) client.StartWorkflowOptions {
	return client.StartWorkflowOptions{ID: id, TaskQueue: taskQueue}
}

// converterOf makes the data converter of one workflow, for payloads that do not come from an ordinary client.
func converterOf(t *testing.T, held converter.Keys, namespace, workflowID string) sdk.DataConverter {
	t.Helper()
	codec, err := converter.NewCodec(held, converter.CodecOptions{Keyset: stack.Keyset(namespace), Scope: namespace})
	if err != nil {
		t.Fatal(err)
	}
	dc, err := converter.NewDataConverter(nil, codec)
	if err != nil {
		t.Fatal(err)
	}
	return sdk.WithDataConverterSerializationContext(dc, sdk.WorkflowSerializationContext{Namespace: namespace, WorkflowID: workflowID})
}

func sealed(t *testing.T, dc sdk.DataConverter, value any) *commonpb.Payload {
	t.Helper()
	ps, err := dc.ToPayloads(value)
	if err != nil {
		t.Fatal(err)
	}
	return ps.GetPayloads()[0]
}

// taskFailed waits until a workflow's task has failed and returns the error that the failure holds, read by dc's owner.
func taskFailed(t *testing.T, raw client.Client, id string, fc sdk.FailureConverter) (*historypb.WorkflowTaskFailedEventAttributes, error) {
	t.Helper()
	var failed *historypb.WorkflowTaskFailedEventAttributes
	stack.Eventually(t, 20*time.Second, func() error {
		for _, event := range fetch(t, raw, id, "").GetEvents() {
			if failed = event.GetWorkflowTaskFailedEventAttributes(); failed != nil {
				return nil
			}
		}
		return fmt.Errorf("no workflow task of %s has failed", id)
	})
	return failed, fc.FailureToError(failed.GetFailure())
}

func failureConverter(t *testing.T, held converter.Keys, namespace string) sdk.FailureConverter {
	t.Helper()
	codec, err := converter.NewCodec(held, converter.CodecOptions{Keyset: stack.Keyset(namespace), Scope: namespace})
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
	return fc
}

// stillOpen fails the test unless the workflow is running.
func stillOpen(t *testing.T, raw client.Client, id string) {
	t.Helper()
	d, err := raw.DescribeWorkflowExecution(t.Context(), id, "")
	if err != nil {
		t.Fatal(err)
	}
	if got := d.GetWorkflowExecutionInfo().GetStatus(); got != enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING {
		t.Fatalf("workflow %s is %s, want it open", id, got)
	}
}

// faulty is a ring that can be told to refuse to seal.
type faulty struct {
	*keys.Ring
	refuses atomic.Bool
}

var errRefused = errors.New("the key refuses: provoked by the test")

func (f *faulty) Primary(keyset string) (uint32, tink.AEAD, error) {
	if f.refuses.Load() {
		return 0, nil, errRefused
	}
	return f.Ring.Primary(keyset)
}

var retrySoon = &temporal.RetryPolicy{InitialInterval: 200 * time.Millisecond, MaximumInterval: 500 * time.Millisecond}
