package propagate_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/signet-temporal/signet/internal/metricstest"
	"github.com/signet-temporal/signet/keys/keystest"
	"github.com/signet-temporal/signet/principal"
	"github.com/signet-temporal/signet/principal/propagate"
)

// stage is the SDK's test environment with a propagator in it.
type stage struct {
	*testsuite.TestWorkflowEnvironment
	sealer  propagate.Sealer
	metrics *metricstest.Handler
}

func newStage(t *testing.T, o propagate.Options) *stage {
	t.Helper()
	ring := keystest.NewRing(t, name)
	o.Scope = scope
	p, err := propagate.New(ring, o)
	if err != nil {
		t.Fatal(err)
	}
	s := &stage{sealer: newSealer(t, ring, name, scope), metrics: metricstest.New()}
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(log.NewStructuredLogger(slog.New(slog.DiscardHandler)))
	suite.SetMetricsHandler(s.metrics)
	s.TestWorkflowEnvironment = suite.NewTestWorkflowEnvironment()
	s.SetContextPropagators([]workflow.ContextPropagator{p})
	s.SetWorkerOptions(worker.Options{Interceptors: []interceptor.WorkerInterceptor{p.WorkerInterceptor()}})
	s.RegisterActivity(greet)
	return s
}

// begin sets the header that a client would have sealed for a workflow.
func (s *stage) begin(t *testing.T, workflowType string) {
	t.Helper()
	header := seal(t, s.sealer, propagate.Record{Principal: ann(), Kind: propagate.KindStart, SealedAt: s.Now(),
		Place: propagate.PlaceOf(propagate.KindStart, "default-test-workflow-id", workflowType)})
	s.SetHeader(&commonpb.Header{Fields: map[string]*commonpb.Payload{propagate.Header: header}})
}

func (s *stage) wantRefused(t *testing.T, hop, reason string) {
	t.Helper()
	for got, n := range s.metrics.All(propagate.MetricRefused) {
		if strings.Contains(got, `hop="`+hop+`"`) && strings.Contains(got, `reason="`+reason+`"`) && n > 0 {
			return
		}
	}
	t.Errorf("no refusal of %s as %s in %v", hop, reason, s.metrics.All(propagate.MetricRefused))
}

func TestARefusedStartFailsForGoodAndIsCounted(t *testing.T) {
	s := newStage(t, propagate.Options{})
	s.ExecuteWorkflow(welcome)
	var app *temporal.ApplicationError
	if err := s.GetWorkflowError(); !errors.As(err, &app) || app.Type() != propagate.TypeInvalid || !app.NonRetryable() {
		t.Errorf("the workflow ends with %v", err)
	}
	s.wantRefused(t, "start", propagate.ReasonMissing)
}

func TestADroppedSignalIsCounted(t *testing.T) {
	s := newStage(t, propagate.Options{})
	s.begin(t, "listen")
	s.RegisterDelayedCallback(func() { s.SignalWorkflow("note", "x") }, time.Second)
	s.ExecuteWorkflow(listen)
	var heard bool
	if err := s.GetWorkflowResult(&heard); err != nil || heard {
		t.Errorf("the signal was heard: %t, %v", heard, err)
	}
	s.wantRefused(t, "message", propagate.ReasonMissing)
}

func listen(ctx workflow.Context) (bool, error) {
	heard, _ := workflow.GetSignalChannel(ctx, "note").ReceiveWithTimeout(ctx, time.Minute, nil)
	return heard, nil
}

func TestARefusedActivityIsCounted(t *testing.T) {
	s := newStage(t, propagate.Options{Revalidate: func(context.Context, principal.Principal) error { return propagate.ErrRevoked }})
	s.begin(t, "welcome")
	s.ExecuteWorkflow(welcome)
	var app *temporal.ApplicationError
	if err := s.GetWorkflowError(); !errors.As(err, &app) || app.Type() != propagate.TypeInvalid {
		t.Errorf("the workflow ends with %v", err)
	}
	s.wantRefused(t, "activity", propagate.ReasonRevoked)
}

func TestNobodyIsNotAskedAbout(t *testing.T) {
	s := newStage(t, propagate.Options{AllowAnonymousStarts: []string{"welcomeNobody"}, Revalidate: func(context.Context, principal.Principal) error {
		t.Error("asked")
		return nil
	}})
	s.RegisterActivity(greetNobody)
	s.ExecuteWorkflow(welcomeNobody)
	if err := s.GetWorkflowError(); err != nil {
		t.Error(err)
	}
}

func greetNobody(context.Context) error { return nil }

func welcomeNobody(ctx workflow.Context) error {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: time.Minute})
	return workflow.ExecuteActivity(ctx, greetNobody).Get(ctx, nil)
}

// byCron makes the run that comes one of a cron schedule, which the environment cannot be told.
type byCron struct {
	interceptor.WorkerInterceptorBase
}

func (*byCron) InterceptWorkflow(_ workflow.Context, next interceptor.WorkflowInboundInterceptor) interceptor.WorkflowInboundInterceptor {
	return &cronRun{interceptor.WorkflowInboundInterceptorBase{Next: next}}
}

type cronRun struct {
	interceptor.WorkflowInboundInterceptorBase
}

func (r *cronRun) ExecuteWorkflow(ctx workflow.Context, in *interceptor.ExecuteWorkflowInput) (any, error) {
	workflow.GetInfo(ctx).CronSchedule = "@daily"
	return r.Next.ExecuteWorkflow(ctx, in)
}

func TestARunAfterOneThatWasStaleIsRefused(t *testing.T) {
	ring := keystest.NewRing(t, name)
	p, err := propagate.New(ring, propagate.Options{Scope: scope})
	if err != nil {
		t.Fatal(err)
	}
	for last, want := range map[string]bool{propagate.ReasonStale: true, propagate.ReasonTenant: false} {
		s := newStage(t, propagate.Options{})
		s.sealer = newSealer(t, ring, name, scope)
		s.SetContextPropagators([]workflow.ContextPropagator{p})
		s.SetWorkerOptions(worker.Options{Interceptors: []interceptor.WorkerInterceptor{&byCron{}, p.WorkerInterceptor()}})
		s.begin(t, "welcome")
		s.SetLastError(temporal.NewNonRetryableApplicationError("", propagate.TypeInvalid, nil, last))
		s.ExecuteWorkflow(welcome)
		if err := s.GetWorkflowError(); (err != nil) != want {
			t.Errorf("after a run that was refused as %s: %v", last, err)
		}
	}
}

func TestTheHeaderOfAQueryThatIsSentIsNotJudged(t *testing.T) {
	p, err := propagate.New(keystest.NewRing(t, name), propagate.Options{Scope: scope})
	if err != nil {
		t.Fatal(err)
	}
	if ctx, err := p.Extract(t.Context(), nil); err != nil || ctx != t.Context() {
		t.Errorf("%v, %v", ctx, err)
	}
}

func TestTheInterceptorAloneRefusesEveryRun(t *testing.T) {
	s := newStage(t, propagate.Options{AllowAnonymousStarts: []string{"welcome"}})
	s.SetContextPropagators(nil)
	s.ExecuteWorkflow(welcome)
	var app *temporal.ApplicationError
	if err := s.GetWorkflowError(); !errors.As(err, &app) || app.Type() != propagate.TypeInvalid {
		t.Errorf("the workflow ends with %v", err)
	}
}
