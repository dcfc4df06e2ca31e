package signet

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	commandpb "go.temporal.io/api/command/v1"
	commonpb "go.temporal.io/api/common/v1"
	failurepb "go.temporal.io/api/failure/v1"
	protocolpb "go.temporal.io/api/protocol/v1"
	updatepb "go.temporal.io/api/update/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	sdk "go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/signet-temporal/signet/converter"
	"github.com/signet-temporal/signet/internal/wire"
	"github.com/signet-temporal/signet/keys/keystest"
)

func newPlugin(t *testing.T, options Options, keysets ...string) *Plugin {
	t.Helper()
	p, err := NewPlugin(keystest.NewRing(t, keysets...), options)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func configure(p *Plugin, o *client.Options) error {
	return p.ConfigureClient(context.Background(), client.PluginConfigureClientOptions{ClientOptions: o})
}

func sealedFor(t *testing.T, dc sdk.DataConverter) wire.Outer {
	t.Helper()
	p, err := dc.ToPayload("x")
	if err != nil {
		t.Fatal(err)
	}
	o, err := wire.Parse(p.Metadata, p.Data)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func TestTheZeroOptionsSealForTheClientsNamespace(t *testing.T) {
	for namespace, want := range map[string]string{"": "default", "payments": "payments"} {
		p := newPlugin(t, Options{}, "ns/default", "ns/payments")
		o := client.Options{Namespace: namespace}
		if err := configure(p, &o); err != nil {
			t.Fatal(err)
		}
		if got := sealedFor(t, o.DataConverter); got.Scope != want || got.Keyset != "ns/"+want {
			t.Errorf("namespace %q seals for %+v", namespace, got)
		}
		f := o.FailureConverter.ErrorToFailure(errors.New("SECRET"))
		if strings.Contains(f.String(), "SECRET") {
			t.Errorf("failure in clear: %v", f)
		}
	}
}

func TestOnePluginServesSeveralNamespaces(t *testing.T) {
	p := newPlugin(t, Options{}, "ns/a", "ns/b")
	a, b := client.Options{Namespace: "a"}, client.Options{Namespace: "b"}
	if err := errors.Join(configure(p, &a), configure(p, &b)); err != nil {
		t.Fatal(err)
	}
	sealed, err := a.DataConverter.ToPayload("x")
	if err != nil {
		t.Fatal(err)
	}
	var s string
	if err := b.DataConverter.FromPayload(sealed, &s); !errors.Is(err, converter.ErrNotAuthentic) {
		t.Errorf("namespace b opened a payload of namespace a: %v", err)
	}
}

func TestWhatTheUserSetIsWrapped(t *testing.T) {
	p := newPlugin(t, Options{}, "ns/default")
	zlib := sdk.NewCodecDataConverter(sdk.GetDefaultDataConverter(), sdk.NewZlibCodec(sdk.ZlibCodecOptions{AlwaysEncode: true}))
	parent := &countingFailures{FailureConverter: temporal.GetDefaultFailureConverter()}
	o := client.Options{DataConverter: zlib, FailureConverter: parent}
	if err := configure(p, &o); err != nil {
		t.Fatal(err)
	}
	sealed, err := o.DataConverter.ToPayload("x")
	if err != nil {
		t.Fatal(err)
	}
	codec, err := converter.NewCodec(p.keys, converter.CodecOptions{Keyset: "ns/default", Scope: "default"})
	if err != nil {
		t.Fatal(err)
	}
	if opened, err := codec.Open(sealed); err != nil || string(opened.Metadata["encoding"]) != "binary/zlib" {
		t.Errorf("the user's data converter was not used: %v, %v", opened, err)
	}
	if o.FailureConverter.ErrorToFailure(errors.New("x")); parent.calls != 1 {
		t.Errorf("the user's failure converter was called %d times", parent.calls)
	}
	if err := configure(p, &o); err == nil || !strings.Contains(err.Error(), "once") {
		t.Errorf("a second signet plugin: %v", err)
	}
}

type countingFailures struct {
	sdk.FailureConverter
	calls int
}

func (c *countingFailures) ErrorToFailure(err error) *failurepb.Failure {
	c.calls++
	return c.FailureConverter.ErrorToFailure(err)
}

func TestAProcessThatCannotSealDoesNotStart(t *testing.T) {
	p := newPlugin(t, Options{}, "ns/default")
	o := client.Options{Namespace: "payments"}
	if err := configure(p, &o); err == nil || !strings.Contains(err.Error(), "ns/payments") || strings.Contains(err.Error(), "\n") {
		t.Errorf("missing keyset: %v", err)
	}
	if _, err := NewPlugin(nil, Options{}); err == nil {
		t.Error("no keys was accepted")
	}
}

func TestAPluginThatUndoesSealingIsFound(t *testing.T) {
	p := newPlugin(t, Options{}, "ns/default")
	o := client.Options{}
	if err := configure(p, &o); err != nil {
		t.Fatal(err)
	}
	called := false
	next := func(context.Context, client.PluginNewClientOptions) error { called = true; return nil }
	if err := p.NewClient(t.Context(), client.PluginNewClientOptions{ClientOptions: o}, next); err != nil || !called {
		t.Errorf("as configured: %v, next called %v", err, called)
	}
	for name, undo := range map[string]func(*client.Options){
		"data converter":    func(o *client.Options) { o.DataConverter = sdk.GetDefaultDataConverter() },
		"failure converter": func(o *client.Options) { o.FailureConverter = temporal.GetDefaultFailureConverter() },
		"wrapped": func(o *client.Options) {
			o.DataConverter = sdk.NewCodecDataConverter(o.DataConverter, sdk.NewZlibCodec(sdk.ZlibCodecOptions{AlwaysEncode: true}))
		},
	} {
		undone := o
		undone.ConnectionOptions.DialOptions = slices.Clone(o.ConnectionOptions.DialOptions)
		undo(&undone)
		called = false
		if err := p.NewClient(t.Context(), client.PluginNewClientOptions{ClientOptions: undone}, next); err == nil || called {
			t.Errorf("%s: %v, next called %v", name, err, called)
		}
	}
}

func TestAWorkerThatWouldFailWorkflowsIsRefused(t *testing.T) {
	p := newPlugin(t, Options{}, "ns/default")
	ask := func(o worker.Options) error {
		return p.ConfigureWorker(t.Context(), worker.PluginConfigureWorkerOptions{WorkerOptions: &o})
	}
	if err := ask(worker.Options{Plugins: []worker.Plugin{p}}); err == nil || !strings.Contains(err.Error(), "client.Options.Plugins") {
		t.Errorf("a worker that has the plugin without its client: %v", err)
	}
	if err := ask(worker.Options{}); err != nil {
		t.Error(err)
	}
	if err := ask(worker.Options{WorkflowPanicPolicy: worker.FailWorkflow}); err == nil || !strings.Contains(err.Error(), "BlockWorkflow") {
		t.Errorf("FailWorkflow: %v", err)
	}
}

func TestAReplayerNeedsTheScope(t *testing.T) {
	o := worker.WorkflowReplayerOptions{}
	ask := worker.PluginConfigureWorkflowReplayerOptions{WorkflowReplayerOptions: &o}
	if err := newPlugin(t, Options{}, "ns/payments").ConfigureWorkflowReplayer(t.Context(), ask); err == nil || !strings.Contains(err.Error(), "Scope") {
		t.Errorf("without scope: %v", err)
	}
	if err := newPlugin(t, Options{Scope: "payments"}, "ns/payments").ConfigureWorkflowReplayer(t.Context(), ask); err != nil {
		t.Fatal(err)
	}
	if got := sealedFor(t, o.DataConverter); got.Scope != "payments" || o.FailureConverter == nil {
		t.Errorf("replayer seals for %+v", got)
	}
}

func TestTheGuardRefusesWhatIsNotSealed(t *testing.T) {
	p := newPlugin(t, Options{}, "ns/default")
	o := client.Options{}
	if err := configure(p, &o); err != nil {
		t.Fatal(err)
	}
	if len(o.ConnectionOptions.DialOptions) != 1 {
		t.Fatalf("%d dial options, want one for the guard and what seals the errors of queries", len(o.ConnectionOptions.DialOptions))
	}
	sealed, err := o.DataConverter.ToPayload("x")
	if err != nil {
		t.Fatal(err)
	}
	plain := &commonpb.Payload{Metadata: map[string][]byte{"encoding": []byte("json/plain")}, Data: []byte(`"SECRET"`)}
	fields := map[string]*commonpb.Payload{"k": plain}
	const complete = "/temporal.api.workflowservice.v1.WorkflowService/RespondWorkflowTaskCompleted"
	asked := &updatepb.Request{Input: &updatepb.Input{Name: "u", Args: &commonpb.Payloads{Payloads: []*commonpb.Payload{plain}}}}
	const start = "/temporal.api.workflowservice.v1.WorkflowService/StartWorkflowExecution"
	for _, tc := range []struct {
		name, method string
		request      any
		sent         bool
	}{
		{"sealed", start, &workflowservice.StartWorkflowExecutionRequest{Input: &commonpb.Payloads{Payloads: []*commonpb.Payload{sealed}}}, true},
		{"plain input", start, &workflowservice.StartWorkflowExecutionRequest{Input: &commonpb.Payloads{Payloads: []*commonpb.Payload{sealed, plain}}}, false},
		{"plain memo", start, &workflowservice.StartWorkflowExecutionRequest{Memo: &commonpb.Memo{Fields: fields}}, false},
		{"header", start, &workflowservice.StartWorkflowExecutionRequest{Header: &commonpb.Header{Fields: fields}}, true},
		{"search attribute", start, &workflowservice.StartWorkflowExecutionRequest{SearchAttributes: &commonpb.SearchAttributes{IndexedFields: fields}}, true},
		{"update handed back", complete, answer(t, &updatepb.Rejection{RejectedRequest: asked}), true},
		{"update taken", complete, answer(t, &updatepb.Acceptance{AcceptedRequest: asked}), true},
		{"update's own answer", complete, answer(t, &updatepb.Response{Outcome: &updatepb.Outcome{Value: &updatepb.Outcome_Success{Success: &commonpb.Payloads{Payloads: []*commonpb.Payload{plain}}}}}), false},
		{"memo handed on", complete, goesOn(&commandpb.ContinueAsNewWorkflowExecutionCommandAttributes{Memo: &commonpb.Memo{Fields: fields}}), true},
		{"input of the next run", complete, goesOn(&commandpb.ContinueAsNewWorkflowExecutionCommandAttributes{Input: &commonpb.Payloads{Payloads: []*commonpb.Payload{plain}}}), false},
		{"schedule", "/temporal.api.workflowservice.v1.WorkflowService/UpdateSchedule", &workflowservice.UpdateScheduleRequest{Memo: &commonpb.Memo{Fields: fields}}, false},
		{"other service", "/temporal.api.operatorservice.v1.OperatorService/X", &workflowservice.StartWorkflowExecutionRequest{Memo: &commonpb.Memo{Fields: fields}}, true},
	} {
		sent := false
		invoke := func(context.Context, string, any, any, *grpc.ClientConn, ...grpc.CallOption) error {
			sent = true
			return nil
		}
		err := guard{}.intercept(t.Context(), tc.method, tc.request, nil, nil, invoke)
		if sent != tc.sent || (err == nil) != tc.sent {
			t.Errorf("%s: sent %v, %v", tc.name, sent, err)
		}
		if err != nil && (status.Code(err) != codes.InvalidArgument || strings.Contains(err.Error(), "SECRET") || !strings.Contains(err.Error(), tc.method[strings.LastIndexByte(tc.method, '/')+1:])) {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
	sent := false
	invoke := func(context.Context, string, any, any, *grpc.ClientConn, ...grpc.CallOption) error {
		sent = true
		return nil
	}
	schedule := &workflowservice.UpdateScheduleRequest{Memo: &commonpb.Memo{Fields: fields}}
	if err := (guard{allowPlaintext: true}).intercept(t.Context(), "/temporal.api.workflowservice.v1.WorkflowService/UpdateSchedule", schedule, nil, nil, invoke); err != nil || !sent {
		t.Errorf("a schedule saved during a migration: %v", err)
	}
}

// answer is a completed workflow task that carries one message of the update protocol.
func answer(t *testing.T, message proto.Message) *workflowservice.RespondWorkflowTaskCompletedRequest {
	t.Helper()
	body, err := anypb.New(message)
	if err != nil {
		t.Fatal(err)
	}
	return &workflowservice.RespondWorkflowTaskCompletedRequest{Messages: []*protocolpb.Message{{Id: "m", Body: body}}}
}

func goesOn(attributes *commandpb.ContinueAsNewWorkflowExecutionCommandAttributes) *workflowservice.RespondWorkflowTaskCompletedRequest {
	return &workflowservice.RespondWorkflowTaskCompletedRequest{Commands: []*commandpb.Command{{
		Attributes: &commandpb.Command_ContinueAsNewWorkflowExecutionCommandAttributes{ContinueAsNewWorkflowExecutionCommandAttributes: attributes},
	}}}
}
