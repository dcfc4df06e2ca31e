package outcomes_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/nexus-rpc/sdk-go/nexus"
	historypb "go.temporal.io/api/history/v1"
	nexuspb "go.temporal.io/api/nexus/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/signet-temporal/signet/e2e/stack"
)

const pageNexus = "Nexus operation: its input"

// TestANexusOperationWaitsForItsKey: a handler that cannot read its input for want of a key is called again; one that
// never will fails the operation. The result is read in workflow code.
func TestANexusOperationWaitsForItsKey(t *testing.T) {
	g := newStage(t)
	for _, why := range []cause{away, destroyed, tampered, foreign} {
		t.Run("input/"+string(why), func(t *testing.T) {
			t.Parallel()
			c := g.cell(t, "StartOperationRequest", why)
			c.id = fmt.Sprintf("nexus-input-%d", len(why))
			c.trouble()
			c.callNexus()
			if why != away {
				c.await(quick, "the operation fails", func(e *historypb.HistoryEvent) bool { return e.GetNexusOperationFailedEventAttributes() != nil })
				c.noTaskFailed()
				return
			}
			stack.Eventually(t, quick, func() error {
				pending := c.describe().GetPendingNexusOperations()
				if len(pending) != 1 || pending[0].GetAttempt() < 2 {
					return fmt.Errorf("the operation is not being retried: %v", pending)
				}
				return nil
			})
			c.mend()
			if out, err := c.result(); err != nil || out != "argument" {
				t.Errorf("in the end the workflow says %q, %v", out, err)
			}
		})
		t.Run("result/"+string(why), func(t *testing.T) {
			t.Parallel()
			c := g.cell(t, "NexusOperationCompletedEventAttributes", why)
			c.id = fmt.Sprintf("nexus-result-%d", len(why))
			c.trouble()
			c.callNexus()
			taskFails(c)
			c.mend()
			if out, err := c.result(); err != nil || out != "argument" {
				t.Errorf("in the end the workflow says %q, %v", out, err)
			}
		})
	}
}

// callNexus starts a workflow that calls an operation of the same worker.
func (c *cell) callNexus() {
	c.t.Helper()
	_, err := c.raw.OperatorService().CreateNexusEndpoint(c.t.Context(), &operatorservice.CreateNexusEndpointRequest{Spec: &nexuspb.EndpointSpec{
		Name: c.id, Target: &nexuspb.EndpointTarget{Variant: &nexuspb.EndpointTarget_Worker_{
			Worker: &nexuspb.EndpointTarget_Worker{Namespace: namespace, TaskQueue: c.id}}}}})
	must(c.t, err)
	service := nexus.NewService("service")
	must(c.t, service.Register(nexus.NewSyncOperation("echo", func(_ context.Context, in string, _ nexus.StartOperationOptions) (string, error) {
		return in, nil
	})))
	w := worker.New(c.own, c.id, worker.Options{})
	w.RegisterNexusService(service)
	w.RegisterWorkflowWithOptions(func(ctx workflow.Context) (out string, err error) {
		err = workflow.NewNexusClient(c.id, "service").ExecuteOperation(ctx, "echo", "argument", workflow.NexusOperationOptions{ScheduleToCloseTimeout: time.Minute}).Get(ctx, &out)
		return out, err
	}, workflow.RegisterOptions{Name: "main"})
	must(c.t, w.Start())
	c.t.Cleanup(w.Stop)
	c.start(client.StartWorkflowOptions{ID: c.id, TaskQueue: c.id, WorkflowTaskTimeout: time.Second})
}
