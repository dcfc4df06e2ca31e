package propagate_test

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/signet-temporal/signet/principal"
	"github.com/signet-temporal/signet/principal/propagate"
)

// oneKey is a ring of one throw-away key. An application has a keys.Ring.
type oneKey struct {
	id   uint32
	aead tink.AEAD
}

func newOneKey() (*oneKey, error) {
	handle, err := keyset.NewHandle(aead.XAES256GCM192BitNonceKeyTemplate())
	if err != nil {
		return nil, err
	}
	primitive, err := aead.New(handle)
	return &oneKey{handle.KeysetInfo().GetPrimaryKeyId(), primitive}, err
}

func (k *oneKey) Primary(string) (uint32, tink.AEAD, error)    { return k.id, k.aead, nil }
func (k *oneKey) Lookup(_ string, _ uint32) (tink.AEAD, error) { return k.aead, nil }

// greet says for whom it runs.
func greet(ctx context.Context) (string, error) {
	who, err := principal.FromContext(ctx)
	return "hello " + who.Subject + " of " + who.Tenant, err
}

func welcome(ctx workflow.Context) (greeting string, err error) {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: time.Minute})
	err = workflow.ExecuteActivity(ctx, greet).Get(ctx, &greeting)
	return greeting, err
}

// A workflow and its activity in the SDK's test environment, with the propagator and its interceptor wired by hand and the
// header made as a client would make it. With signet's plugin none of this is needed: see signet.Options.Principal.
func Example() {
	keys, err := newOneKey()
	if err != nil {
		return
	}
	p, err := propagate.New(keys, propagate.Options{Scope: "payments"})
	if err != nil {
		return
	}
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(log.NewStructuredLogger(slog.New(slog.DiscardHandler)))
	env := suite.NewTestWorkflowEnvironment()
	env.SetContextPropagators([]workflow.ContextPropagator{p})
	env.SetWorkerOptions(worker.Options{Interceptors: []interceptor.WorkerInterceptor{p.WorkerInterceptor()}})
	env.RegisterActivity(greet)

	sealer, err := propagate.NewSealer(keys, "principal/payments", "payments")
	if err != nil {
		return
	}
	header, err := sealer.Seal(propagate.Record{
		Principal: principal.Principal{Kind: principal.KindUser, Issuer: "https://idp.example", Subject: "ann", Tenant: "acme", IssuedAt: time.Now()},
		Kind:      propagate.KindStart, SealedAt: env.Now(), Place: propagate.PlaceOf(propagate.KindStart, "default-test-workflow-id", "welcome"),
	})
	if err != nil {
		return
	}
	env.SetHeader(&commonpb.Header{Fields: map[string]*commonpb.Payload{propagate.Header: header}})
	env.ExecuteWorkflow(welcome)
	var greeting string
	if err := env.GetWorkflowResult(&greeting); err != nil {
		fmt.Println(err)
	}
	fmt.Println(greeting)
	// Output: hello ann of acme
}
