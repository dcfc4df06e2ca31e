package history_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
)

// inClear are the places of the scenario that cannot be sealed, each with a canary of its own. The test finds exactly
// these, and docs/threat-model.md lists exactly these.
var inClear = []string{
	"search-attribute-name", "search-attribute-value",
	"namespace", "workflow-type", "activity-type", "signal-name", "query-name", "update-name", "change-id", "memo-key", "header-key", "task-queue",
	"workflow-id", "child-workflow-id", "activity-id", "update-id", "schedule-id", "request-id", "standalone-activity-id", "scheduled-workflow-id",
	"header-value",
	"nexus-endpoint", "nexus-endpoint-description", "nexus-service", "nexus-operation", "nexus-header-key", "nexus-header-value", "operation-token", "nexus-workflow-id",
	"nexus-operation-id", "nexus-cancel-reason", "nexus-terminate-reason", "callback-url", "callback-header",
	"cancel-reason", "terminate-reason", "reset-reason", "schedule-note", "pause-note", "calendar-comment", "identity", "fairness-key",
	"error-type", "non-retryable-type",
	"deployment-name", "build-id", "plugin-name",
	"list-query", "batch-id", "batch-reason", "namespace-description", "namespace-owner", "namespace-data", "deployment-metadata-key",
	"payload-keyset", "payload-scope",
}

// listedInClear reads the names out of the first column of the table "Not sealed are" of the page.
func listedInClear(t *testing.T) (names []string) {
	t.Helper()
	page, err := os.ReadFile("../../docs/threat-model.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, ok := strings.Cut(string(page), "Not sealed are:\n\n")
	table, _, end := strings.Cut(after, "\n\n")
	if !ok || !end {
		t.Fatal("docs/threat-model.md has no table after \"Not sealed are:\"")
	}
	for _, row := range strings.Split(table, "\n")[2:] {
		found := regexp.MustCompile("`([a-z-]+)`").FindAllStringSubmatch(strings.Split(row, "|")[1], -1)
		if found == nil {
			t.Errorf("docs/threat-model.md: no test exercises the row %q: it names nothing", row)
		}
		for _, name := range found {
			names = append(names, name[1])
		}
	}
	return names
}

// Labelled has a canary in everything that has a name or an id, and fails an activity that has them too. It ends with a
// signal.
func (s *scenario) Labelled(ctx workflow.Context) (Record, error) {
	updated := false
	if err := errors.Join(
		workflow.SetQueryHandler(ctx, s.secret("query-name"), func() (string, error) { return "fine", nil }),
		workflow.SetUpdateHandler(ctx, s.secret("update-name"), func(workflow.Context) error {
			updated = true
			return nil
		}),
	); err != nil {
		return Record{}, err
	}
	options := workflow.ActivityOptions{ActivityID: s.secret("activity-id"), StartToCloseTimeout: time.Minute,
		RetryPolicy: &temporal.RetryPolicy{MaximumAttempts: 1, NonRetryableErrorTypes: []string{s.secret("non-retryable-type")}}}
	err := workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, options), s.secret("activity-type")).Get(ctx, nil)
	var failed *temporal.ApplicationError
	if !errors.As(err, &failed) || failed.Type() != s.secret("error-type") {
		return Record{}, fmt.Errorf("the activity failed with %w", err)
	}
	local := workflow.LocalActivityOptions{StartToCloseTimeout: time.Minute, RetryPolicy: &temporal.RetryPolicy{MaximumAttempts: 1}}
	if err := workflow.ExecuteLocalActivity(workflow.WithLocalActivityOptions(ctx, local), s.secret("local-activity-type")).Get(ctx, nil); err != nil {
		return Record{}, err
	}
	workflow.GetVersion(ctx, s.secret("change-id"), workflow.DefaultVersion, 1)
	same := func(a, b any) bool { return a == b }
	workflow.MutableSideEffect(ctx, s.secret("mutable-side-effect-id"), func(workflow.Context) any { return 1 }, same)
	child := workflow.WithChildOptions(ctx, workflow.ChildWorkflowOptions{WorkflowID: s.secret("child-workflow-id")})
	if err := workflow.ExecuteChildWorkflow(child, s.Consulted, Record{}).Get(ctx, nil); err != nil {
		return Record{}, err
	}
	workflow.GetSignalChannel(ctx, s.secret("signal-name")).Receive(ctx, nil)
	if !updated {
		return Record{}, errors.New("the update did not come")
	}
	return Record{}, nil
}

func (s *scenario) labelledActivity(context.Context) error {
	return temporal.NewApplicationError("ill", s.secret("error-type"))
}

func (s *scenario) labelledLocalActivity(context.Context) error { return nil }

// Inject puts a canary into the header of everything that is started, as tracing and tenancy libraries do.
func (s *scenario) Inject(_ context.Context, w workflow.HeaderWriter) error { return s.inject(w) }

func (s *scenario) InjectFromWorkflow(_ workflow.Context, w workflow.HeaderWriter) error {
	return s.inject(w)
}

func (s *scenario) Extract(ctx context.Context, _ workflow.HeaderReader) (context.Context, error) {
	return ctx, nil
}

func (s *scenario) ExtractToWorkflow(ctx workflow.Context, _ workflow.HeaderReader) (workflow.Context, error) {
	return ctx, nil
}

func (s *scenario) inject(w workflow.HeaderWriter) error {
	p, err := converter.GetDefaultDataConverter().ToPayload(s.secret("header-value"))
	if err == nil {
		w.Set(s.secret("header-key"), p)
	}
	return err
}
