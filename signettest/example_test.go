package signettest_test

import (
	"context"
	"testing"
	"time"

	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/signet-temporal/signet"
	"github.com/signet-temporal/signet/signettest"
)

// The two tests below are the code in docs/testing.md: TestTheDocumentationShowsThisCode compares them.

func TestIntake(t *testing.T) {
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestWorkflowEnvironment()
	signettest.Configure(t, env)
	env.RegisterActivity(Admit)
	env.ExecuteWorkflow(Intake, "Jane Roe")

	var ward string
	if err := env.GetWorkflowResult(&ward); err != nil || ward != "ward 7: Jane Roe" {
		t.Errorf("the patient is in %q, %v", ward, err)
	}
}

func TestIntakeReplaysWhatWasRecordedInClear(t *testing.T) {
	replayer, err := worker.NewWorkflowReplayerWithOptions(worker.WorkflowReplayerOptions{
		Plugins: []worker.Plugin{signettest.Plugin(t, signet.Options{AllowPlaintext: true})},
	})
	if err != nil {
		t.Fatal(err)
	}
	replayer.RegisterWorkflow(Intake)
	if err := replayer.ReplayWorkflowHistoryFromJSONFile(nil, "testdata/intake.json"); err != nil {
		t.Error(err)
	}
}

// Intake is a workflow under test, and Admit its activity.
func Intake(ctx workflow.Context, patient string) (ward string, err error) {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: time.Minute})
	if workflow.GetVersion(ctx, "wards", workflow.DefaultVersion, 1) == workflow.DefaultVersion {
		return "the only ward", nil
	}
	err = workflow.ExecuteActivity(ctx, Admit, patient).Get(ctx, &ward)
	return ward, err
}

func Admit(_ context.Context, patient string) (string, error) { return "ward 7: " + patient, nil }
