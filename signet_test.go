package signet

import (
	"context"
	"errors"
	"strings"
	"testing"

	commonpb "go.temporal.io/api/common/v1"
	failurepb "go.temporal.io/api/failure/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	sdk "go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

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
		undo(&undone)
		called = false
		if err := p.NewClient(t.Context(), client.PluginNewClientOptions{ClientOptions: undone}, next); err == nil || called {
			t.Errorf("%s: %v, next called %v", name, err, called)
		}
	}
}

func TestAWorkerThatWouldFailWorkflowsIsRefused(t *testing.T) {
	p := newPlugin(t, Options{}, "ns/default")
	ask := func(policy worker.WorkflowPanicPolicy) error {
		return p.ConfigureWorker(t.Context(), worker.PluginConfigureWorkerOptions{WorkerOptions: &worker.Options{WorkflowPanicPolicy: policy}})
	}
	if err := ask(worker.BlockWorkflow); err == nil || !strings.Contains(err.Error(), "client.Options.Plugins") {
		t.Errorf("a worker whose client does not seal: %v", err)
	}
	if err := configure(p, &client.Options{}); err != nil {
		t.Fatal(err)
	}
	if err := ask(worker.BlockWorkflow); err != nil {
		t.Error(err)
	}
	if err := ask(worker.FailWorkflow); err == nil || !strings.Contains(err.Error(), "BlockWorkflow") {
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
		t.Fatalf("%d dial options, want the guard", len(o.ConnectionOptions.DialOptions))
	}
	sealed, err := o.DataConverter.ToPayload("x")
	if err != nil {
		t.Fatal(err)
	}
	plain := &commonpb.Payload{Metadata: map[string][]byte{"encoding": []byte("json/plain")}, Data: []byte(`"SECRET"`)}
	fields := map[string]*commonpb.Payload{"k": plain}
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
		{"other service", "/temporal.api.operatorservice.v1.OperatorService/X", &workflowservice.StartWorkflowExecutionRequest{Memo: &commonpb.Memo{Fields: fields}}, true},
	} {
		sent := false
		invoke := func(context.Context, string, any, any, *grpc.ClientConn, ...grpc.CallOption) error {
			sent = true
			return nil
		}
		err := guard(t.Context(), tc.method, tc.request, nil, nil, invoke)
		if sent != tc.sent || (err == nil) != tc.sent {
			t.Errorf("%s: sent %v, %v", tc.name, sent, err)
		}
		if err != nil && (status.Code(err) != codes.InvalidArgument || strings.Contains(err.Error(), "SECRET") || !strings.Contains(err.Error(), "StartWorkflowExecution")) {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
	off := newPlugin(t, Options{AllowUnsealedRequests: true}, "ns/default")
	o = client.Options{}
	if err := configure(off, &o); err != nil || len(o.ConnectionOptions.DialOptions) != 0 {
		t.Errorf("switched off: %v, %d dial options", err, len(o.ConnectionOptions.DialOptions))
	}
}
