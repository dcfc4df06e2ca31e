package history_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	querypb "go.temporal.io/api/query/v1"
	updatepb "go.temporal.io/api/update/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	sdk "go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/signet-temporal/signet"
	"github.com/signet-temporal/signet/converter"
	"github.com/signet-temporal/signet/e2e/stack"
)

// stage is one namespace with a worker that plays the scenario.
type stage struct {
	*scenario
	stack                    *stack.Stack
	namespace, scope, keyset string            // scope and keyset of what is sealed; "" in the control
	client                   client.Client     // as the application has it: sealing, or plain in the control
	dc                       sdk.DataConverter // the same, for calls that go past the client
	raw                      client.Client     // plain: what Temporal really says
	wire                     *traffic          // of the application's client and its worker
	evidence                 *evidence         // of the plain one
	read                     *reading          // what the application reads
}

// newStage prepares a namespace that is called as the scenario says. It seals unless it is the control.
func newStage(t *testing.T, s *stack.Stack, play *scenario, control bool) *stage {
	t.Helper()
	g := &stage{scenario: play, stack: s, namespace: play.secret("namespace"), wire: &traffic{}, evidence: &evidence{}, read: &reading{}, dc: sdk.GetDefaultDataConverter()}
	g.raw = s.ClientWith(t, g.namespace)
	named, err := temporal.NewSimplePlugin(temporal.SimplePluginOptions{Name: g.secret("plugin-name"),
		ContextPropagators: []workflow.ContextPropagator{g.scenario},
		ConfigureClient: func(_ context.Context, o client.PluginConfigureClientOptions) error {
			o.ClientOptions.Identity = g.secret("identity")
			return nil
		}})
	if err != nil {
		t.Fatal(err)
	}
	plugins := []client.Plugin{named, g.wire.plugin(t)}
	if !control {
		g.keyset, g.scope = g.secret("payload-keyset"), g.secret("payload-scope")
		plugins = append(plugins, s.Plugin(t, nil, g.options()))
		if g.dc, err = converter.NewDataConverter(nil, g.codec(t)); err != nil {
			t.Fatal(err)
		}
	}
	g.client = s.ClientWith(t, g.namespace, plugins...)
	w := worker.New(g.client, g.queue(), worker.Options{
		Interceptors:      []interceptor.WorkerInterceptor{&headers{s: g.scenario}},
		DeploymentOptions: worker.DeploymentOptions{Version: worker.WorkerDeploymentVersion{DeploymentName: g.secret("deployment-name"), BuildID: g.secret("build-id")}},
	})
	g.register(w)
	g.registerActivities(w)
	w.RegisterNexusService(g.nexusService())
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Stop)
	return g
}

func (s *scenario) queue() string { return s.secret("task-queue") }

func (g *stage) options() signet.Options { return signet.Options{Scope: g.scope, Keyset: g.keyset} }

func (s *scenario) register(w interface {
	RegisterWorkflow(any)
	RegisterWorkflowWithOptions(any, workflow.RegisterOptions)
}) {
	for _, wf := range []any{s.Patient, s.Sample, s.Broken, s.Waits, s.Defers, s.Nightly, s.Falters, s.Refers, s.Consulted} {
		w.RegisterWorkflow(wf)
	}
	w.RegisterWorkflowWithOptions(s.Labelled, workflow.RegisterOptions{Name: s.secret("workflow-type")})
}

func (s *scenario) registerActivities(w worker.ActivityRegistry) {
	for _, a := range []any{s.Examine, s.Measure, s.Mismeasure, s.Fail, s.Panic, s.FailChild, s.Watch, s.Defer, s.Visit} {
		w.RegisterActivity(a)
	}
	w.RegisterActivityWithOptions(s.labelledActivity, activity.RegisterOptions{Name: s.secret("activity-type")})
	w.RegisterActivityWithOptions(s.labelledLocalActivity, activity.RegisterOptions{Name: s.secret("local-activity-type")})
}

func (g *stage) codec(t *testing.T) *converter.Codec {
	t.Helper()
	codec, err := converter.NewCodec(g.stack.DefaultRing(t), converter.CodecOptions{Keyset: g.keyset, Scope: g.scope})
	if err != nil {
		t.Fatal(err)
	}
	return codec
}

// reading is what the application reads while the scenario is played, by the place it was written at.
type reading struct {
	mu    sync.Mutex
	texts map[string][]string
}

func (r *reading) got(place, text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.texts == nil {
		r.texts = map[string][]string{}
	}
	r.texts[place] = append(r.texts[place], text)
}

func (r *reading) gotAll(seen map[string]string) {
	for place, text := range seen {
		r.got(place, text)
	}
}

// details reads the details of a failure as one text.
func (g *stage) details(t *testing.T, place string, from interface{ Details(...any) error }) {
	t.Helper()
	var text string
	g.must(t, from.Details(&text))
	g.read.got(place, text)
}

// acts are the parts of the play. They do not wait for each other.
func (g *stage) acts() map[string]func(*testing.T) {
	return map[string]func(*testing.T){
		"patient": g.patient, "others": g.others, "schedule": g.schedule, "cron": g.cron, "retry": g.retry, "reset": g.reset,
		"async": g.async, "standalone": g.standalone, "nexus": g.nexus, "labels": g.labels, "administer": g.administer,
	}
}

// patient plays the workflow that passes through everything.
func (g *stage) patient(t *testing.T) {
	run := g.startPatient(t)
	first := run.GetRunID()
	g.whileWatching(t)
	g.talk(t)
	close(g.finished)
	g.must(t, g.client.SignalWorkflow(g.ctx(t), "patient", "", "discharge", Record{Value: g.secret("signal")}))
	var result Record
	g.must(t, run.Get(g.ctx(t), &result))
	g.read.got("workflow-result", result.Value)
	g.read.got("continue-as-new-input", result.Seen["continued"])
	delete(result.Seen, "continued")
	g.read.gotAll(result.Seen)
	g.described(t, "patient", first, "static-summary", "static-details", map[string]string{"started": "memo-started", "upserted": "memo-upserted"})
	g.described(t, "patient-sample", "", "child-summary", "child-details", map[string]string{"child": "child-memo"})
	err := g.client.GetWorkflow(g.ctx(t), "patient-broken", "").Get(g.ctx(t), nil)
	g.failed(t, err, "child-failure", "child-failure-details")
}

// described reads what the client says of a workflow.
func (g *stage) described(t *testing.T, id, run, summary, details string, memo map[string]string) {
	t.Helper()
	d, err := g.client.DescribeWorkflow(g.ctx(t), id, run)
	g.must(t, err)
	text, err := d.GetStaticSummary()
	g.must(t, err)
	g.read.got(summary, text)
	text, err = d.GetStaticDetails()
	g.must(t, err)
	g.read.got(details, text)
	for key, place := range memo {
		g.must(t, g.dc.FromPayload(d.Memo.GetFields()[key], &text))
		g.read.got(place, text)
	}
}

// failed reads an application error and its details.
func (g *stage) failed(t *testing.T, err error, place, details string) {
	t.Helper()
	var failed *temporal.ApplicationError
	if !errors.As(err, &failed) {
		t.Fatalf("%s: %v", place, err)
	}
	g.read.got(place, failed.Message())
	g.details(t, details, failed)
}

// ctx ends after a minute: what is held up by a leak that the guard stops must not hold up the test.
func (g *stage) ctx(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func (g *stage) must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (g *stage) startPatient(t *testing.T) client.WorkflowRun {
	t.Helper()
	run, err := g.client.ExecuteWorkflow(g.ctx(t), client.StartWorkflowOptions{
		ID: "patient", TaskQueue: g.queue(), Memo: map[string]any{"started": g.secret("memo-started")},
		StaticSummary: g.secret("static-summary"), StaticDetails: g.secret("static-details"),
	}, g.Patient, Record{Value: g.secret("workflow-input")})
	g.must(t, err)
	return run
}

// whileWatching looks at the activity that is under way: its heartbeat, and then its first failure.
func (g *stage) whileWatching(t *testing.T) {
	t.Helper()
	g.describeUntil(t, "watching", func(d *workflowservice.DescribeWorkflowExecutionResponse) bool {
		return len(d.GetPendingActivities()) == 1 && d.GetPendingActivities()[0].GetHeartbeatDetails() != nil
	})
	close(g.released)
	g.describeUntil(t, "failed once", func(d *workflowservice.DescribeWorkflowExecutionResponse) bool {
		return len(d.GetPendingActivities()) == 1 && d.GetPendingActivities()[0].GetLastFailure() != nil
	})
}

func (g *stage) describeUntil(t *testing.T, what string, enough func(*workflowservice.DescribeWorkflowExecutionResponse) bool) {
	t.Helper()
	stack.Eventually(t, 30*time.Second, func() error {
		d, err := g.raw.DescribeWorkflowExecution(g.ctx(t), "patient", "")
		if err != nil {
			return err
		}
		if !enough(d) {
			return fmt.Errorf("patient is not %s: %v", what, d.GetPendingActivities())
		}
		g.evidence.add(t, "describe patient, "+what, d)
		return nil
	})
}

// talk queries and updates, through the client and past it.
func (g *stage) talk(t *testing.T) {
	t.Helper()
	ctx := g.ctx(t)
	value, err := g.client.QueryWorkflow(ctx, "patient", "", "chart", Record{Value: g.secret("query-argument")})
	g.must(t, err)
	var queried Record
	g.must(t, value.Get(&queried))
	g.read.got("query-result", queried.Value)
	g.read.gotAll(queried.Seen)
	_, err = g.client.QueryWorkflow(ctx, "patient", "", "chart", Record{Value: "fail"})
	g.read.got("query-error", fmt.Sprint(err))

	update := func(place string) (Record, error) {
		handle, err := g.client.UpdateWorkflow(ctx, client.UpdateWorkflowOptions{WorkflowID: "patient", UpdateID: place, UpdateName: "amend",
			Args: []any{Record{Value: g.secret(place)}}, WaitForStage: client.WorkflowUpdateStageCompleted})
		g.must(t, err)
		var out Record
		err = handle.Get(ctx, &out)
		return out, err
	}
	amended, err := update("update-argument")
	g.must(t, err)
	g.read.got("update-result", amended.Value)
	_, err = update("update-to-fail")
	g.failed(t, err, "update-failure", "update-failure-details")
	_, err = update("update-to-reject")
	g.failed(t, err, "update-rejection", "update-to-reject")

	g.rawQuery(t, "chart", Record{Value: g.secret("query-argument")})
	g.rawQuery(t, "chart", Record{Value: "fail"})
	g.rawQuery(t, "__stack_trace")
	g.rawQuery(t, "__temporal_workflow_metadata")
	g.rawUpdate(t, "update-argument")
	g.rawUpdate(t, "update-to-reject")
}

func (g *stage) args(t *testing.T, values []any) *commonpb.Payloads {
	t.Helper()
	args, err := sdk.WithDataConverterSerializationContext(g.dc, sdk.WorkflowSerializationContext{Namespace: g.namespace, WorkflowID: "patient"}).ToPayloads(values...)
	g.must(t, err)
	return args
}

func (g *stage) rawQuery(t *testing.T, name string, values ...any) {
	t.Helper()
	answer, err := g.raw.WorkflowService().QueryWorkflow(g.ctx(t), &workflowservice.QueryWorkflowRequest{
		Namespace: g.namespace, Execution: &commonpb.WorkflowExecution{WorkflowId: "patient"},
		Query: &querypb.WorkflowQuery{QueryType: name, QueryArgs: g.args(t, values)},
	})
	if err != nil {
		g.evidence.addText("error of query "+name, fmt.Sprintf("%v %+v", err, err))
		return
	}
	g.evidence.add(t, "query "+name, answer)
}

func (g *stage) rawUpdate(t *testing.T, place string) {
	t.Helper()
	answer, err := g.raw.WorkflowService().UpdateWorkflowExecution(g.ctx(t), &workflowservice.UpdateWorkflowExecutionRequest{
		Namespace: g.namespace, WorkflowExecution: &commonpb.WorkflowExecution{WorkflowId: "patient"},
		WaitPolicy: &updatepb.WaitPolicy{LifecycleStage: enumspb.UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_COMPLETED},
		Request: &updatepb.Request{Meta: &updatepb.Meta{UpdateId: "raw-" + place}, Input: &updatepb.Input{Name: "amend",
			Args: g.args(t, []any{Record{Value: g.secret(place)}})}},
	})
	g.must(t, err)
	g.evidence.add(t, "update "+place, answer)
}

// others terminates, cancels, and starts together with a signal and an update.
func (g *stage) others(t *testing.T) {
	ctx := g.ctx(t)
	_, err := g.client.ExecuteWorkflow(ctx, g.start("terminated"), g.Waits, Record{Value: g.secret("terminated-input")})
	g.must(t, err)
	g.must(t, g.client.TerminateWorkflow(ctx, "terminated", "", g.secret("terminate-reason"), g.secret("terminate-details")))

	run, err := g.client.ExecuteWorkflow(ctx, g.start("canceled"), g.Waits, Record{})
	g.must(t, err)
	_, err = g.client.WorkflowService().RequestCancelWorkflowExecution(ctx, &workflowservice.RequestCancelWorkflowExecutionRequest{Namespace: g.namespace,
		WorkflowExecution: &commonpb.WorkflowExecution{WorkflowId: "canceled"}, Reason: g.secret("cancel-reason"), RequestId: g.secret("request-id")})
	g.must(t, err)
	var canceled *temporal.CanceledError
	if err := run.Get(ctx, nil); !errors.As(err, &canceled) {
		t.Fatalf("the canceled workflow ended with %v", err)
	}
	g.details(t, "cancel-details", canceled)

	run, err = g.client.SignalWithStartWorkflow(ctx, "signalled", "go", Record{Value: g.secret("signal-with-start")}, g.start("signalled"), g.Waits, Record{Value: g.secret("signal-with-start-input")})
	g.must(t, err)
	g.waited(t, run, "signal-with-start-input", "signal-with-start")

	updated := g.start("updated")
	updated.WorkflowIDConflictPolicy = enumspb.WORKFLOW_ID_CONFLICT_POLICY_FAIL
	start := g.client.NewWithStartWorkflowOperation(updated, g.Waits, Record{Value: g.secret("update-with-start-input")})
	handle, err := g.client.UpdateWithStartWorkflow(ctx, client.UpdateWithStartWorkflowOptions{StartWorkflowOperation: start,
		UpdateOptions: client.UpdateWorkflowOptions{UpdateName: "amend", Args: []any{Record{Value: g.secret("update-with-start")}}, WaitForStage: client.WorkflowUpdateStageCompleted}})
	g.must(t, err)
	g.must(t, handle.Get(ctx, nil))
	g.must(t, g.client.SignalWorkflow(ctx, "updated", "", "go", Record{Value: g.secret("signal")}))
	var seen Record
	g.must(t, g.client.GetWorkflow(ctx, "updated", "").Get(ctx, &seen))
	g.read.got("update-with-start-input", seen.Seen["input"])
	g.read.got("update-with-start", seen.Seen["update-argument"])
}

func (g *stage) start(id string) client.StartWorkflowOptions {
	return client.StartWorkflowOptions{ID: id, TaskQueue: g.queue()}
}

// waited waits for the end of a run of Waits, which says what it was given and what the signal said.
func (g *stage) waited(t *testing.T, run client.WorkflowRun, input, signal string) {
	t.Helper()
	var out Record
	g.must(t, run.Get(g.ctx(t), &out))
	g.read.got(input, out.Seen["input"])
	g.read.got(signal, out.Seen["go"])
	g.read.got("waits-result", out.Value)
}
