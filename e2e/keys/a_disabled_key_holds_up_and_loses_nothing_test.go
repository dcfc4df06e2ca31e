package keys_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"

	"github.com/signet-temporal/signet"
	"github.com/signet-temporal/signet/converter"
	"github.com/signet-temporal/signet/e2e/stack"
	"github.com/signet-temporal/signet/keys"
)

// TestADisabledKeyHoldsUpWhatNeedsItAndLosesNothing disables the key under which an open workflow was started: its
// workflow task fails and says why, a signal waits, workflows under the other key go on. Enabled again, it goes on.
func TestADisabledKeyHoldsUpWhatNeedsItAndLosesNothing(t *testing.T) {
	s := stack.Start(t, stack.Options{Namespaces: []string{"payments"}, WithoutOIDC: true, PropagationDelay: time.Millisecond})
	ring := s.Ring(t, keys.RingOptions{RefreshInterval: time.Second})
	c := s.ClientWith(t, "payments", s.Plugin(t, ring, signet.Options{}))
	first := ring.Status()[0].Primary.String()

	before := worker.New(c, taskQueue, worker.Options{})
	before.RegisterWorkflow(Order)
	before.RegisterActivity(Pack)
	if err := before.Start(); err != nil {
		t.Fatal(err)
	}
	old := start(t, c, "under-the-first-key", true)
	stack.Eventually(t, 10*time.Second, func() error { return taskCompleted(t, c, old) })
	before.Stop() // what it has in its cache goes with it: the history must be read again

	second := s.Rotate(t, "ns/payments")
	s.Promote(t, "ns/payments", "--key="+second)
	sealsWith(t, ring, "ns/payments", second, 10*time.Second)
	s.Signet(t, "keyset", "disable", "ns/payments", "--key="+first)
	stack.Eventually(t, 10*time.Second, func() error {
		if n := ring.Status()[0].Keys; n != 1 {
			return fmt.Errorf("%d keys open, want only the second", n)
		}
		return nil
	})
	startWorker(t, c)
	if err := c.SignalWorkflow(t.Context(), old.GetID(), "", "ship", " to Ulm"); err != nil {
		t.Fatal(err)
	}
	raw := s.ClientWith(t, "payments")
	stack.Eventually(t, 20*time.Second, func() error {
		return taskFailed(t, raw, old, ring, "key "+first+` of keyset "ns/payments" is disabled: enable it again`)
	})
	run := start(t, c, "under-the-second-key", true)
	ship(t, c, run)
	if status := statusOf(t, raw, old); status != enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING {
		t.Errorf("the workflow that needs the disabled key is %s, want it running", status)
	}

	s.Signet(t, "keyset", "enable", "ns/payments", "--key="+first)
	begun := time.Now()
	returns(t, old, "packed under-the-first-key to Ulm")
	t.Logf("done %s after the key was enabled", time.Since(begun).Round(100*time.Millisecond))
}

func taskCompleted(t *testing.T, c client.Client, run client.WorkflowRun) error {
	t.Helper()
	completed := 0
	for events := c.GetWorkflowHistory(t.Context(), run.GetID(), "", false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT); events.HasNext(); {
		event, err := events.Next()
		if err != nil {
			return err
		}
		if event.GetWorkflowTaskCompletedEventAttributes() != nil {
			completed++
		}
	}
	if completed < 2 { // the start, and the activity's result
		return fmt.Errorf("%d workflow tasks are done", completed)
	}
	return nil
}

// taskFailed looks for a failed workflow task whose failure, opened with the keys of a ring, says text.
func taskFailed(t *testing.T, raw client.Client, run client.WorkflowRun, ring *keys.Ring, text string) error {
	t.Helper()
	codec, err := converter.NewCodec(ring, converter.CodecOptions{Keyset: "ns/payments", Scope: "payments"})
	if err != nil {
		return err
	}
	data, err := converter.NewDataConverter(nil, codec)
	if err != nil {
		return err
	}
	failures, err := converter.NewFailureConverter(nil, data)
	if err != nil {
		return err
	}
	said := []string{}
	for events := raw.GetWorkflowHistory(t.Context(), run.GetID(), "", false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT); events.HasNext(); {
		event, err := events.Next()
		if err != nil {
			return err
		}
		if failed := event.GetWorkflowTaskFailedEventAttributes(); failed != nil {
			why := failures.FailureToError(failed.GetFailure()).Error()
			if strings.Contains(why, text) {
				return nil
			}
			said = append(said, why)
		}
	}
	return fmt.Errorf("no workflow task failed for that reason, but %q", said)
}

func statusOf(t *testing.T, raw client.Client, run client.WorkflowRun) enumspb.WorkflowExecutionStatus {
	t.Helper()
	answer, err := raw.DescribeWorkflowExecution(t.Context(), run.GetID(), "")
	if err != nil {
		t.Fatal(err)
	}
	return answer.GetWorkflowExecutionInfo().GetStatus()
}
