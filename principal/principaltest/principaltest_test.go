package principaltest_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/signet-temporal/signet/principal"
	"github.com/signet-temporal/signet/principal/principaltest"
	"github.com/signet-temporal/signet/principal/verify"
)

// Charge is an activity under test, and Order its workflow.
func Charge(ctx context.Context, item string) (string, error) {
	p, err := principal.FromContext(ctx)
	if err != nil {
		return "", err
	}
	return item + " for " + p.Subject + " of " + p.Tenant, nil
}

func Order(ctx workflow.Context, item string) (receipt string, err error) {
	if _, err := principal.FromContext(ctx); err != nil {
		return "", err
	}
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: time.Minute})
	err = workflow.ExecuteActivity(ctx, Charge, item).Get(ctx, &receipt)
	return receipt, err
}

func TestAnActivityRunsForSomebodyWithoutAServer(t *testing.T) {
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestActivityEnvironment()
	env.RegisterActivity(Charge)
	if _, err := env.ExecuteActivity(Charge, "book"); err == nil {
		t.Error("it ran for nobody")
	}
	env.SetWorkerOptions(worker.Options{BackgroundActivityContext: principaltest.Context(t, "ann", "acme")})
	result, err := env.ExecuteActivity(Charge, "book")
	var receipt string
	if err != nil || result.Get(&receipt) != nil || receipt != "book for ann of acme" {
		t.Errorf("got %q, %v", receipt, err)
	}
}

func TestAWorkflowRunsForSomebodyWithoutAServer(t *testing.T) {
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestWorkflowEnvironment()
	env.RegisterActivity(Charge)
	env.SetWorkerOptions(worker.Options{BackgroundActivityContext: principaltest.Context(t, "ann", "acme")})
	asAnn := func(ctx workflow.Context) (string, error) {
		return Order(workflow.WithValue(ctx, principal.Key{}, principaltest.User("ann", "acme")), "book")
	}
	env.RegisterWorkflow(asAnn)
	env.ExecuteWorkflow(asAnn)
	var receipt string
	if err := env.GetWorkflowResult(&receipt); err != nil || receipt != "book for ann of acme" {
		t.Errorf("got %q, %v", receipt, err)
	}
}

func TestATokenOfTheIssuerPassesAnEdge(t *testing.T) {
	issuer := principaltest.NewIssuer(t)
	v, err := verify.New(t.Context(), verify.Issuer{Issuer: issuer.URL, Audiences: []string{principaltest.Audience, "orders"}})
	if err != nil {
		t.Fatal(err)
	}
	got, err := v.Claims(t.Context(), issuer.Token(nil))
	if err != nil || got.Subject != "ann" {
		t.Errorf("got %v, %v", got, err)
	}
	got, err = v.Claims(t.Context(), issuer.Token(map[string]any{"sub": "bob", "aud": "orders"}))
	if err != nil || got.Subject != "bob" {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err = v.Claims(t.Context(), issuer.Token(map[string]any{"exp": nil})); err == nil {
		t.Error("a claim that is nil is still there")
	}
}

func TestADownstreamKnowsForWhomItWasCalled(t *testing.T) {
	d := principaltest.NewDownstream(t, nil)
	for _, headers := range []http.Header{
		{"X-Forwarded-User": {"ann"}, "X-Forwarded-Issuer": {principaltest.UserIssuer}, "X-Forwarded-Tenant": {"acme"}, "X-Forwarded-Txn": {"t-1"}, "Authorization": {"Bearer svc"}},
		{"X-Forwarded-User": {"nightly"}, "X-Forwarded-Tenant": {"acme"}},
		{},
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, d.URL+"/charge", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header = headers
		resp, err := d.Client().Do(r)
		if err != nil || resp.StatusCode != http.StatusNoContent {
			t.Fatalf("got %v, %v", resp, err)
		}
		_ = resp.Body.Close()
	}
	calls := d.Calls()
	if len(calls) != 3 {
		t.Fatalf("%d calls", len(calls))
	}
	ann := principaltest.User("ann", "acme")
	if c := calls[0]; !c.For.Same(ann) || c.For.Txn != "t-1" || c.Token != "svc" || c.Method != http.MethodPost || c.Path != "/charge" {
		t.Errorf("a user: %+v", c)
	}
	if c := calls[1]; !c.For.Same(principal.Service("nightly", "acme")) || c.Token != "" {
		t.Errorf("a service: %+v", c)
	}
	if c := calls[2]; c.For != (principal.Principal{}) {
		t.Errorf("nobody: %+v", c)
	}
}
