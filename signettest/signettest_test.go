package signettest_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	sdk "go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/signet-temporal/signet"
	"github.com/signet-temporal/signet/converter"
	"github.com/signet-temporal/signet/principal/propagate"
	"github.com/signet-temporal/signet/signettest"
)

// environment is a test environment that also tells what it was given.
type environment struct {
	*testsuite.TestWorkflowEnvironment
	dc sdk.DataConverter
	fc sdk.FailureConverter
}

func (e *environment) SetDataConverter(dc sdk.DataConverter) *environment {
	e.dc = dc
	e.TestWorkflowEnvironment.SetDataConverter(dc)
	return e
}

func (e *environment) SetFailureConverter(fc sdk.FailureConverter) *environment {
	e.fc = fc
	e.TestWorkflowEnvironment.SetFailureConverter(fc)
	return e
}

func TestAConfiguredEnvironmentSeals(t *testing.T) {
	var suite testsuite.WorkflowTestSuite
	env := &environment{TestWorkflowEnvironment: suite.NewTestWorkflowEnvironment()}
	signettest.Configure(t, env)
	if env.dc == nil || env.fc == nil {
		t.Fatalf("the environment was given %v and %v", env.dc, env.fc)
	}
	p, err := env.dc.ToPayload("SECRET")
	if err != nil || string(p.GetMetadata()["encoding"]) != "binary/encrypted" {
		t.Errorf("a payload is %v, %v", p, err)
	}
	if f := env.fc.ErrorToFailure(errors.New("SECRET")); strings.Contains(f.String(), "SECRET") {
		t.Errorf("a failure is %v", f)
	}

	env.RegisterActivityWithOptions(func(_ context.Context, in string) (string, error) {
		return "", temporal.NewNonRetryableApplicationError("no "+in, "Refused", nil, "because of "+in)
	}, activity.RegisterOptions{Name: "refuse"})
	env.RegisterWorkflowWithOptions(func(ctx workflow.Context, in string) error {
		ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: time.Minute})
		err := workflow.ExecuteActivity(ctx, "refuse", in).Get(ctx, nil)
		var failed *temporal.ApplicationError
		var details string
		if !errors.As(err, &failed) || failed.Details(&details) != nil || failed.Message() != "no entry" || details != "because of entry" {
			t.Errorf("the activity failed with %v, %q", err, details)
		}
		return nil
	}, workflow.RegisterOptions{Name: "asks"})
	env.ExecuteWorkflow("asks", "entry")
	if err := env.GetWorkflowError(); err != nil {
		t.Error(err)
	}
}

func TestAnActivityEnvironmentIsConfiguredToo(t *testing.T) {
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestActivityEnvironment()
	signettest.Configure(t, env)
	env.RegisterActivity(Admit)
	result, err := env.ExecuteActivity(Admit, "Jane Roe")
	if err != nil {
		t.Fatal(err)
	}
	var ward string
	if err := result.Get(&ward); err != nil || ward != "ward 7: Jane Roe" {
		t.Errorf("the activity returned %q, %v", ward, err)
	}
}

func TestAPluginServesEveryNamespaceAndIsOfOneTest(t *testing.T) {
	plugin := signettest.Plugin(t, signet.Options{AcceptKeysets: []string{"ns/signettest", "ns/old"}})
	a, b := converterOf(t, plugin, "a"), converterOf(t, plugin, "b")
	sealed, err := a.ToPayload("hello")
	if err != nil {
		t.Fatal(err)
	}
	var got string
	if err := b.FromPayload(sealed, &got); err != nil || got != "hello" {
		t.Errorf("%q, %v", got, err)
	}
	other := converterOf(t, signettest.Plugin(t, signet.Options{}), "a")
	if err := other.FromPayload(sealed, &got); !errors.Is(err, converter.ErrKeyUnavailable) {
		t.Errorf("another test's plugin says %v", err)
	}
	plain, _ := sdk.GetDefaultDataConverter().ToPayload("hello")
	if err := a.FromPayload(plain, &got); !errors.Is(err, converter.ErrNotSealed) {
		t.Errorf("plaintext: %v", err)
	}
}

func converterOf(t *testing.T, plugin *signet.Plugin, namespace string) sdk.DataConverter {
	t.Helper()
	o := client.Options{Namespace: namespace}
	if err := plugin.ConfigureClient(t.Context(), client.PluginConfigureClientOptions{ClientOptions: &o}); err != nil {
		t.Fatal(err)
	}
	return o.DataConverter
}

func TestAHistoryInClearIsNotReplayedByAStrictPlugin(t *testing.T) {
	replayer, err := worker.NewWorkflowReplayerWithOptions(worker.WorkflowReplayerOptions{
		Plugins: []worker.Plugin{signettest.Plugin(t, signet.Options{})},
	})
	if err != nil {
		t.Fatal(err)
	}
	replayer.RegisterWorkflow(Intake)
	if err := replayer.ReplayWorkflowHistoryFromJSONFile(log.NewStructuredLogger(slog.New(slog.DiscardHandler)), "testdata/intake.json"); err == nil || !strings.Contains(err.Error(), "payload is not sealed") {
		t.Errorf("replay: %v", err)
	}
}

func TestTheDocumentationShowsThisCode(t *testing.T) {
	documentation, err := os.ReadFile("../docs/testing.md")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"TestIntake", "TestIntakeReplaysWhatWasRecordedInClear"} {
		_, code, _ := strings.Cut(string(source), "func "+name+"(")
		code, _, ok := strings.Cut(code, "\n}\n")
		if !ok || !strings.Contains(string(documentation), "func "+name+"("+code+"\n}\n") {
			t.Errorf("docs/testing.md does not show func %s as it stands here", name)
		}
	}
}

func TestAPluginHasTheKeysetsOfTenantsThatAreNamed(t *testing.T) {
	plugin := signettest.Plugin(t, signet.Options{Tenants: converter.Tenants{Under: "tenant/"}, AcceptKeysets: []string{"tenant/acme"}})
	dc := sdk.WithDataConverterSerializationContext(converterOf(t, plugin, "a"), sdk.WorkflowSerializationContext{WorkflowID: "acme/1"})
	sealed, err := dc.ToPayload("hello")
	if err != nil {
		t.Fatal(err)
	}
	if id := string(sealed.GetMetadata()["encryption-key-id"]); !strings.HasPrefix(id, "tenant/acme/") {
		t.Errorf("sealed under %q", id)
	}
	var got string
	if err := dc.FromPayload(sealed, &got); err != nil || got != "hello" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestAPluginForATestCarriesPrincipals(t *testing.T) {
	for _, o := range []propagate.Options{{}, {Keyset: "principal/tenant/acme"}} {
		var c client.Options
		if err := signettest.Plugin(t, signet.Options{Principal: &o}).ConfigureClient(t.Context(), client.PluginConfigureClientOptions{ClientOptions: &c}); err != nil {
			t.Errorf("%+v: %v", o, err)
		}
	}
}
