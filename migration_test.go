package signet

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	sdk "go.temporal.io/sdk/converter"
	"google.golang.org/grpc"

	"github.com/signet-temporal/signet/converter"
	"github.com/signet-temporal/signet/internal/wire"
)

// oldCodec puts a mark before a payload's data. What bears the mark's encoding and not the mark is not its own work.
type oldCodec struct{}

func (oldCodec) Open(p *commonpb.Payload) (*commonpb.Payload, error) {
	if string(p.GetMetadata()["encoding"]) != "binary/encrypted" {
		return nil, converter.ErrNotSealed
	}
	data, ok := bytes.CutPrefix(p.GetData(), []byte("old:"))
	if !ok {
		return nil, converter.ErrNotAuthentic
	}
	return &commonpb.Payload{Metadata: map[string][]byte{"encoding": []byte("json/plain")}, Data: data}, nil
}

func (oldCodec) Encode(in []*commonpb.Payload) (out []*commonpb.Payload, err error) {
	for _, p := range in {
		out = append(out, oldPayload("old:"+string(p.GetData())))
	}
	return out, nil
}

func (o oldCodec) Decode(in []*commonpb.Payload) (out []*commonpb.Payload, err error) {
	for _, p := range in {
		opened, err := o.Open(p)
		if errors.Is(err, converter.ErrNotSealed) {
			opened, err = p, nil
		}
		if err != nil {
			return nil, err
		}
		out = append(out, opened)
	}
	return out, nil
}

func oldPayload(data string) *commonpb.Payload {
	return &commonpb.Payload{Metadata: map[string][]byte{"encoding": []byte("binary/encrypted")}, Data: []byte(data)}
}

// A schedule is saved as it was described. Of another codec's payloads in it those pass that its decoder opens, and
// nowhere else any of them.
func TestTheGuardLetsAnOldScheduleBeSaved(t *testing.T) {
	const service = "/temporal.api.workflowservice.v1.WorkflowService/"
	memo := func(p *commonpb.Payload) *commonpb.Memo {
		return &commonpb.Memo{Fields: map[string]*commonpb.Payload{"k": p}}
	}
	plain := &commonpb.Payload{Metadata: map[string][]byte{"encoding": []byte("json/plain")}}
	during, after := guard{legacy: []converter.Legacy{oldCodec{}}}, guard{}
	for _, tc := range []struct {
		name, method string
		guard        guard
		request      any
		sent         bool
	}{
		{"saved", "UpdateSchedule", during, &workflowservice.UpdateScheduleRequest{Memo: memo(oldPayload("old:x"))}, true},
		{"saved after the migration", "UpdateSchedule", after, &workflowservice.UpdateScheduleRequest{Memo: memo(oldPayload("old:x"))}, false},
		{"saved with plaintext in the old codec's clothes", "UpdateSchedule", during, &workflowservice.UpdateScheduleRequest{Memo: memo(oldPayload("x"))}, false},
		{"saved with plaintext", "UpdateSchedule", during, &workflowservice.UpdateScheduleRequest{Memo: memo(plain)}, false},
		{"made", "CreateSchedule", during, &workflowservice.CreateScheduleRequest{Memo: memo(oldPayload("old:x"))}, false},
		{"a workflow", "StartWorkflowExecution", during, &workflowservice.StartWorkflowExecutionRequest{Memo: memo(oldPayload("old:x"))}, false},
	} {
		sent := false
		invoke := func(context.Context, string, any, any, *grpc.ClientConn, ...grpc.CallOption) error {
			sent = true
			return nil
		}
		err := tc.guard.intercept(t.Context(), service+tc.method, tc.request, nil, nil, invoke)
		if sent != tc.sent || (err == nil) != tc.sent {
			t.Errorf("%s: sent %v, %v", tc.name, sent, err)
		}
	}
}

// Each step of docs/migration.md as options of one process.
func TestAMigrationGoesStepByStep(t *testing.T) {
	old := sdk.NewCodecDataConverter(sdk.GetDefaultDataConverter(), oldCodec{})
	decoders := []converter.Legacy{oldCodec{}}
	reads := newPlugin(t, Options{Legacy: decoders, InsecureSealNothing: true}, "ns/default")
	seals, err := NewPlugin(reads.keys, Options{Legacy: decoders})
	if err != nil {
		t.Fatal(err)
	}

	first := client.Options{DataConverter: old}
	if err := configure(reads, &first); err != nil {
		t.Fatal(err)
	}
	if p, err := first.DataConverter.ToPayload("x"); err != nil || wire.Sealed(p.GetMetadata()) || !strings.HasPrefix(string(p.GetData()), "old:") {
		t.Errorf("the first step writes %v, %v", p, err)
	}
	connection, err := client.NewLazyClient(first)
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	if guarded(connection) {
		t.Error("the first step has a guard, which would refuse all it writes")
	}
	made := false
	next := func(context.Context, client.PluginNewClientOptions) error { made = true; return nil }
	if err := reads.NewClient(t.Context(), client.PluginNewClientOptions{ClientOptions: first}, next); err != nil || !made {
		t.Errorf("the first step makes no client: %v", err)
	}

	second := client.Options{}
	if err := configure(seals, &second); err != nil {
		t.Fatal(err)
	}
	if err := configure(seals, &client.Options{DataConverter: old}); err == nil || !strings.Contains(err.Error(), "encrypts already") {
		t.Errorf("the second step with the old codec left in: %v", err)
	}
	sealedFor(t, second.DataConverter)

	for name, from := range map[string]client.Options{"first": first, "second": second} {
		p, err := from.DataConverter.ToPayload("x")
		if err != nil {
			t.Fatal(err)
		}
		for reader, to := range map[string]client.Options{"first": first, "second": second} {
			var s string
			if err := to.DataConverter.FromPayload(p, &s); err != nil || s != "x" {
				t.Errorf("the %s step's payload in the %s step: %q, %v", name, reader, s, err)
			}
		}
	}

	third := client.Options{}
	if err := configure(newPlugin(t, Options{}, "ns/default"), &third); err != nil {
		t.Fatal(err)
	}
	p, err := first.DataConverter.ToPayload("x")
	if err != nil {
		t.Fatal(err)
	}
	var s string
	if err := third.DataConverter.FromPayload(p, &s); !errors.Is(err, converter.ErrNotSealed) || !strings.Contains(err.Error(), "docs/migration.md") {
		t.Errorf("an old payload after the migration: %q, %v", s, err)
	}
}

func TestMetricsTellWhatIsReadInAnOldFormat(t *testing.T) {
	o, metrics := metered(t, newPlugin(t, Options{Legacy: []converter.Legacy{oldCodec{}}}, "ns/default"), "")
	const key = `signet_payloads_opened{format="legacy",keyset="none",namespace="default"}`
	wantMetric(t, metrics, key, 0)
	if err := o.DataConverter.FromPayload(oldPayload(`old:"x"`), new(string)); err != nil {
		t.Fatal(err)
	}
	wantMetric(t, metrics, key, 1)
}

// Processes that do not have the plugin yet must be able to read what a query's error says.
func TestTheFirstStepLeavesTheErrorsOfQueriesAlone(t *testing.T) {
	p := newPlugin(t, Options{InsecureSealNothing: true}, "ns/default")
	for nothing, want := range map[bool]string{true: "no such chart", false: sealedQueryError} {
		sent := ""
		invoke := func(_ context.Context, _ string, req, _ any, _ *grpc.ClientConn, _ ...grpc.CallOption) error {
			sent = req.(*workflowservice.RespondQueryTaskCompletedRequest).GetErrorMessage()
			return nil
		}
		answer := &workflowservice.RespondQueryTaskCompletedRequest{Namespace: "default", ErrorMessage: "no such chart"}
		if err := (queryErrors{p.failures, nothing}).intercept(t.Context(), "", answer, nil, nil, invoke); err != nil || sent != want {
			t.Errorf("sealing nothing is %v: sent %q, %v; want %q", nothing, sent, err, want)
		}
	}
}
