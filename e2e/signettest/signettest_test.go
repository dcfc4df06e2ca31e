// Package signettest_test uses package signettest as a service developer does, against a real Temporal server.
package signettest_test

import (
	"context"
	"testing"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/signet-temporal/signet"
	"github.com/signet-temporal/signet/e2e/stack"
	"github.com/signet-temporal/signet/signettest"
	"github.com/signet-temporal/signet/tools/parts"
)

// Intake passes through what a replay has to read: input, a version marker, a side effect, a mutable one (which the SDK
// encodes twice), an activity's result, a signal.
func Intake(ctx workflow.Context, patient string) (ward string, err error) {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: time.Minute})
	if workflow.GetVersion(ctx, "wards", workflow.DefaultVersion, 1) == workflow.DefaultVersion {
		return "the only ward", nil
	}
	var bed, again int
	if err := workflow.SideEffect(ctx, func(workflow.Context) any { return 3 }).Get(&bed); err != nil {
		return "", err
	}
	if err := workflow.MutableSideEffect(ctx, "bed", func(workflow.Context) any { return bed }, func(a, b any) bool { return a == b }).Get(&again); err != nil {
		return "", err
	}
	if err := workflow.ExecuteActivity(ctx, Admit, patient).Get(ctx, &ward); err != nil {
		return "", err
	}
	var doctor string
	workflow.GetSignalChannel(ctx, "doctor").Receive(ctx, &doctor)
	return ward + ", " + doctor, nil
}

func Admit(_ context.Context, patient string) (string, error) { return "ward 7: " + patient, nil }

// TestAThrowAwayPluginSealsForClientWorkerAndReplayer, and without keys nothing is replayed.
func TestAThrowAwayPluginSealsForClientWorkerAndReplayer(t *testing.T) {
	s := startTemporal(t)
	plugin := signettest.Plugin(t, signet.Options{})
	sealed := record(t, s, "payments", plugin)
	plain := record(t, s, "orders")
	for _, event := range sealed.GetEvents() {
		if started := event.GetWorkflowExecutionStartedEventAttributes(); started != nil {
			if got := string(started.GetInput().GetPayloads()[0].GetMetadata()["encoding"]); got != "binary/encrypted" {
				t.Errorf("the input is %s", got)
			}
		}
	}
	lenient := signettest.Plugin(t, signet.Options{AllowPlaintext: true})
	for _, tc := range []struct {
		name    string
		history *historypb.History
		plugins []worker.Plugin
		replays bool
	}{
		{"sealed, by the plugin that sealed it", sealed, []worker.Plugin{plugin}, true},
		{"sealed, by another throw-away plugin", sealed, []worker.Plugin{lenient}, false},
		{"sealed, without a plugin", sealed, nil, false},
		{"in clear, without a plugin", plain, nil, true},
		{"in clear, by a plugin that allows it", plain, []worker.Plugin{lenient}, true},
		{"in clear, by a strict plugin", plain, []worker.Plugin{plugin}, false},
	} {
		replayer, err := worker.NewWorkflowReplayerWithOptions(worker.WorkflowReplayerOptions{Plugins: tc.plugins})
		if err != nil {
			t.Fatal(err)
		}
		replayer.RegisterWorkflow(Intake)
		if err := replayer.ReplayWorkflowHistory(stack.Quiet, tc.history); (err == nil) != tc.replays {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
}

// startTemporal starts Temporal alone: what signettest is for needs neither Vault nor logins.
func startTemporal(t *testing.T) *parts.Temporal {
	t.Helper()
	paths := stack.Ensure(t, parts.TemporalServer)
	s, err := parts.StartTemporal(t.Context(), parts.TemporalOptions{
		Program: paths.Temporal, DB: t.TempDir() + "/temporal.db", Namespaces: []string{"payments", "orders"},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// record runs Intake to its end and returns its history.
func record(t *testing.T, s *parts.Temporal, namespace string, plugins ...client.Plugin) *historypb.History {
	t.Helper()
	c, err := client.Dial(client.Options{HostPort: s.Address, Namespace: namespace, Identity: "test", Plugins: plugins, Logger: stack.Quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	w := worker.New(c, "wards", worker.Options{Identity: "test"})
	w.RegisterWorkflow(Intake)
	w.RegisterActivity(Admit)
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	run, err := c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: "intake-1", TaskQueue: "wards"}, Intake, "Jane Roe")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.SignalWorkflow(t.Context(), "intake-1", "", "doctor", "Dr. No"); err != nil {
		t.Fatal(err)
	}
	var ward string
	if err := run.Get(t.Context(), &ward); err != nil || ward != "ward 7: Jane Roe, Dr. No" {
		t.Fatalf("the workflow returned %q, %v", ward, err)
	}
	history := new(historypb.History)
	for events := c.GetWorkflowHistory(t.Context(), "intake-1", run.GetRunID(), false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT); events.HasNext(); {
		event, err := events.Next()
		if err != nil {
			t.Fatal(err)
		}
		history.Events = append(history.Events, event)
	}
	return history
}
