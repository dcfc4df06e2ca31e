package migrate_test

import (
	"fmt"
	"testing"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	"github.com/signet-temporal/signet/e2e/stack"
)

// TestAWorkerWithoutTheFirstStepFailsWorkflowsForGood is why the first step exists: a worker as it was before, in clear or
// with a codec of its own, returns an error for a sealed payload, and the SDK takes that for the workflow's own failure. A
// worker of the first step runs the same workflow.
func TestAWorkerWithoutTheFirstStepFailsWorkflowsForGood(t *testing.T) {
	s := stack.Start(t, stack.Options{Namespaces: []string{"in-clear", "sampled"}, WithoutOIDC: true})
	s.DefaultRing(t) // of this test, not of the first part that asks
	for namespace, b := range map[string]before{"in-clear": {}, "sampled": fromSample(t)} {
		t.Run(namespace, func(t *testing.T) {
			for at, want := range map[step]enumspb.WorkflowExecutionStatus{
				old: enumspb.WORKFLOW_EXECUTION_STATUS_FAILED, reads: enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED,
			} {
				ahead := dial(t, s, namespace, b.options(t, s, seals)) // without a worker
				id := fmt.Sprint("read by ", at)
				run, err := ahead.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: id, TaskQueue: taskQueue}, Nightly, "sealed")
				if err != nil {
					t.Fatal(err)
				}
				p := deploy(t, s, namespace, b.options(t, s, at))
				_ = run.Get(t.Context(), nil) // its status is asked for
				d, err := ahead.DescribeWorkflowExecution(t.Context(), id, "")
				if err != nil {
					t.Fatal(err)
				}
				if got := d.GetWorkflowExecutionInfo().GetStatus(); got != want {
					t.Errorf("a sealed workflow that a worker %q ran is %s, want %s", at, got, want)
				}
				p.stop()
			}
		})
	}
}

func dial(t *testing.T, s *stack.Stack, namespace string, o client.Options) client.Client {
	t.Helper()
	o.HostPort, o.Namespace, o.Logger = s.Temporal.Address, namespace, stack.Quiet
	c, err := client.Dial(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}
