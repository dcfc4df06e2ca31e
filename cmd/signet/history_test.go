package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	failurepb "go.temporal.io/api/failure/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/sdk/v1"
	"go.temporal.io/api/serviceerror"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/signet-temporal/signet/internal/codecclient"
)

// temporalFake serves one history in pages, and fails once before each.
type temporalFake struct {
	workflowservice.WorkflowServiceClient
	events []*historypb.HistoryEvent
	failed bool
	pages  atomic.Int64
}

func (f *temporalFake) DescribeWorkflowExecution(_ context.Context, r *workflowservice.DescribeWorkflowExecutionRequest, _ ...grpc.CallOption) (*workflowservice.DescribeWorkflowExecutionResponse, error) {
	if r.GetExecution().GetWorkflowId() != "order-1" {
		return nil, serviceerror.NewNotFound("workflow not found for ID: " + r.GetExecution().GetWorkflowId())
	}
	return &workflowservice.DescribeWorkflowExecutionResponse{WorkflowExecutionInfo: &workflowpb.WorkflowExecutionInfo{
		Execution: &commonpb.WorkflowExecution{WorkflowId: "order-1", RunId: "run-1"}, HistoryLength: int64(len(f.events)),
	}}, nil
}

func (f *temporalFake) GetWorkflowExecutionHistory(_ context.Context, r *workflowservice.GetWorkflowExecutionHistoryRequest, _ ...grpc.CallOption) (*workflowservice.GetWorkflowExecutionHistoryResponse, error) {
	if f.failed = !f.failed; f.failed {
		return nil, serviceerror.NewUnavailable("busy")
	}
	f.pages.Add(1)
	var at int
	if len(r.GetNextPageToken()) > 0 {
		at = int(r.GetNextPageToken()[0])*256 + int(r.GetNextPageToken()[1])
	}
	end := min(at+2, len(f.events))
	answer := &workflowservice.GetWorkflowExecutionHistoryResponse{History: &historypb.History{Events: f.events[at:end]}}
	if end < len(f.events) {
		answer.NextPageToken = []byte{byte(end / 256), byte(end)}
	}
	if r.GetExecution().GetRunId() != "run-1" {
		return nil, errors.New("the run is not named")
	}
	return answer, nil
}

func sealedAs(text string) *commonpb.Payload {
	return &commonpb.Payload{Metadata: map[string][]byte{"encoding": []byte("binary/encrypted")}, Data: []byte(text)}
}

// codec opens what coded made: the text is the JSON, and some texts are special.
func codec(t *testing.T) *codecclient.Client {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in commonpb.Payloads
		text := new(strings.Builder)
		if _, err := fmt.Fprint(text, readAll(r)); err != nil || protojson.Unmarshal([]byte(text.String()), &in) != nil {
			t.Error("no payloads")
		}
		for _, p := range in.GetPayloads() {
			switch string(p.GetData()) {
			case "denied":
				w.WriteHeader(403)
				return
			case "unknown":
				continue
			case "explained":
				p.Metadata["signet-explanation"] = []byte("v1")
				p.Data = []byte(`{"message":"You may not\u001b[2J.","reason":"not-granted","requestId":"R1"}`)
			case "masked":
				p.Metadata["signet-masked"] = []byte("v1")
				p.Data = []byte(`"••• masked: phi"`)
			}
			p.Metadata["encoding"] = []byte("json/plain")
		}
		out, err := protojson.Marshal(&in)
		if err != nil {
			t.Error(err)
		}
		_, _ = w.Write(out)
	}))
	t.Cleanup(server.Close)
	c, err := codecclient.New(codecclient.Options{Endpoint: server.URL, Namespace: "payments"})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func readAll(r *http.Request) string {
	var text strings.Builder
	buf := make([]byte, 1<<16)
	for {
		n, err := r.Body.Read(buf)
		text.Write(buf[:n])
		if err != nil {
			return text.String()
		}
	}
}

func payloadsOf(p ...*commonpb.Payload) *commonpb.Payloads { return &commonpb.Payloads{Payloads: p} }

func aHistory() []*historypb.HistoryEvent {
	at := timestamppb.New(time.Date(2026, 10, 5, 12, 0, 0, 123e6, time.UTC))
	return []*historypb.HistoryEvent{
		{EventId: 1, EventTime: at, EventType: enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED, UserMetadata: &sdk.UserMetadata{Summary: sealedAs(`"an order"`)},
			Attributes: &historypb.HistoryEvent_WorkflowExecutionStartedEventAttributes{WorkflowExecutionStartedEventAttributes: &historypb.WorkflowExecutionStartedEventAttributes{
				WorkflowType: &commonpb.WorkflowType{Name: "order"}, Input: payloadsOf(sealedAs(`{"card": "4711\u001b[2J\u202e"}`), sealedAs("denied")),
				Memo:   &commonpb.Memo{Fields: map[string]*commonpb.Payload{"ward\x1b": sealedAs("masked")}},
				Header: &commonpb.Header{Fields: map[string]*commonpb.Payload{"signet-principal": {Metadata: map[string][]byte{"encoding": []byte("binary/principal-v1")}, Data: []byte("unknown")}}},
			}}},
		{EventId: 2, EventTime: at, EventType: enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED,
			Attributes: &historypb.HistoryEvent_WorkflowExecutionSignaledEventAttributes{WorkflowExecutionSignaledEventAttributes: &historypb.WorkflowExecutionSignaledEventAttributes{
				SignalName: "note", Input: payloadsOf(sealedAs("explained"), sealedAs("unknown")),
			}}},
		{EventId: 3, EventTime: at, EventType: enumspb.EVENT_TYPE_ACTIVITY_TASK_FAILED,
			Attributes: &historypb.HistoryEvent_ActivityTaskFailedEventAttributes{ActivityTaskFailedEventAttributes: &historypb.ActivityTaskFailedEventAttributes{
				ScheduledEventId: 2, StartedEventId: 2,
				Failure: &failurepb.Failure{Message: "Encoded failure", EncodedAttributes: sealedAs(`{"message":"declined\nby \u001b[31mbank","stack_trace":"main.decline\n\tcharge.go:7"}`),
					FailureInfo: &failurepb.Failure_ApplicationFailureInfo{ApplicationFailureInfo: &failurepb.ApplicationFailureInfo{Type: "Declined", Details: payloadsOf(sealedAs(`"detail"`))}},
					Cause:       &failurepb.Failure{Message: "the cause"}},
			}}},
	}
}

func TestAHistoryIsShownForPeople(t *testing.T) {
	var text strings.Builder
	r := &reader{service: &temporalFake{events: aHistory()}, codec: codec(t), namespace: "payments", workflow: "order-1", out: &historyText{w: &text, workflow: "order-1"}}
	result, err := r.run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := `payments  order-1  run run-1

    1  2026-10-05T12:00:00.123Z  WorkflowExecutionStarted  order
       input[0]  {"card":"4711\u001b[2J\u202e"}
       input[1]  (closed, 6 B: you may not see it: the codec server's policy does not allow it)
       memo."ward\x1b"  "••• masked: phi"  (masked)
       header.signet-principal  (7 B of binary/principal-v1)
       summary  "an order"
    2  2026-10-05T12:00:00.123Z  WorkflowExecutionSignaled  note
       input[0]  (closed, 9 B: You may not\u001b[2J. (not-granted, request R1))
       input[1]  (closed, 7 B: the codec server does not know what it was sealed with)
    3  2026-10-05T12:00:00.123Z  ActivityTaskFailed  of event 2
       failure  declined\u000aby \u001b[31mbank
         main.decline
           charge.go:7
       failure.cause  the cause
       failure.type  Declined
       failure.details[0]  "detail"
`
	if text.String() != want {
		t.Errorf("got\n%s\nwant\n%s", text.String(), want)
	}
	if result.Events != 3 || result.Payloads != 9 || result.Decoded != 5 || result.Masked != 1 || result.Closed != 3 {
		t.Errorf("%+v", result)
	}
	var c *coded
	if err := result.judge(); !errors.As(err, &c) || c.code != exitPartly || !strings.Contains(err.Error(), "3 of 9 payloads stayed closed") || !strings.Contains(err.Error(), "something is masked in 1 payload") {
		t.Errorf("%v", err)
	}
}

// What is exported is a history for the SDK: with the payloads that a worker without a codec would have written, and with
// ciphertext, not with sentences, where a payload stayed closed.
func TestAHistoryIsExportedAsProtoJSON(t *testing.T) {
	var text strings.Builder
	out := &historyJSON{w: &text}
	r := &reader{service: &temporalFake{events: aHistory()}, codec: codec(t), namespace: "payments", workflow: "order-1", out: out}
	if _, err := r.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	history, err := client.HistoryFromJSON(strings.NewReader(text.String()), client.HistoryJSONOptions{})
	if err != nil || !json.Valid([]byte(text.String())) {
		t.Fatalf("%v: %s", err, text.String())
	}
	events := history.GetEvents()
	if len(events) != 3 || out.runID != "run-1" {
		t.Fatalf("%d events of run %q", len(events), out.runID)
	}
	input := events[0].GetWorkflowExecutionStartedEventAttributes().GetInput().GetPayloads()
	if string(input[0].GetMetadata()["encoding"]) != "json/plain" || !strings.Contains(string(input[0].GetData()), "4711") || string(input[1].GetData()) != "denied" {
		t.Errorf("input %v", input)
	}
	signal := events[1].GetWorkflowExecutionSignaledEventAttributes().GetInput().GetPayloads()
	if string(signal[0].GetData()) != "explained" || string(signal[0].GetMetadata()["encoding"]) != "binary/encrypted" || len(signal[0].GetMetadata()) != 1 {
		t.Errorf("signal %v", signal)
	}
	failure := events[2].GetActivityTaskFailedEventAttributes().GetFailure()
	if failure.GetMessage() != "declined\nby \x1b[31mbank" || failure.GetStackTrace() != "main.decline\n\tcharge.go:7" || failure.GetEncodedAttributes() != nil {
		t.Errorf("failure %v", failure)
	}
	if strings.ContainsAny(text.String(), "\x1b\u202e") {
		t.Error("the JSON steers a terminal")
	}
}

// A history of any length is read in windows: what is held does not grow with it.
func TestALongHistoryIsReadInWindows(t *testing.T) {
	fake := &temporalFake{}
	for i := range 10_000 {
		fake.events = append(fake.events, &historypb.HistoryEvent{EventId: int64(i + 1), EventType: enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED,
			Attributes: &historypb.HistoryEvent_WorkflowExecutionSignaledEventAttributes{WorkflowExecutionSignaledEventAttributes: &historypb.WorkflowExecutionSignaledEventAttributes{
				Input: payloadsOf(sealedAs(fmt.Sprint(i))),
			}}})
	}
	r := &reader{service: &patientFake{fake}, codec: codec(t), namespace: "payments", workflow: "order-1"}
	w := &counter{t: t, r: r}
	r.out = w
	result, err := r.run(t.Context())
	if err != nil || result.Decoded != 10_000 || w.next != 10_000 {
		t.Fatalf("%v, %+v, %d", err, result, w.next)
	}
	if w.ahead > 3*windowPayloads {
		t.Errorf("%d payloads were read before they were written", w.ahead)
	}
	if got, want := r.progress(), "order-1: [##########] 10,000 of 10,000 events"; got != want {
		t.Errorf("progress %q, want %q", got, want)
	}
}

// patientFake never fails, so that a long history does not take long.
type patientFake struct{ *temporalFake }

func (f *patientFake) GetWorkflowExecutionHistory(ctx context.Context, r *workflowservice.GetWorkflowExecutionHistoryRequest, o ...grpc.CallOption) (*workflowservice.GetWorkflowExecutionHistoryResponse, error) {
	f.failed = true
	return f.temporalFake.GetWorkflowExecutionHistory(ctx, r, o...)
}

// counter checks the order of events, and how far reading is ahead of writing.
type counter struct {
	t           *testing.T
	r           *reader
	next, ahead int
}

func (c *counter) begin(_, _ string) error { return nil }
func (c *counter) end() error              { return nil }
func (c *counter) event(e *historypb.HistoryEvent, _ map[*commonpb.Payload]note) error {
	if c.next++; e.GetEventId() != int64(c.next) {
		c.t.Fatalf("event %d in place %d", e.GetEventId(), c.next)
	}
	c.ahead = max(c.ahead, 2*int(c.r.service.(*patientFake).pages.Load())-c.next)
	return nil
}

func TestAWorkflowThatIsNotThere(t *testing.T) {
	r := &reader{service: &temporalFake{}, codec: codec(t), namespace: "payments", workflow: "order-2", out: &historyText{w: new(strings.Builder)}}
	_, err := r.run(t.Context())
	var c *coded
	if !errors.As(err, &c) || c.code != exitNotFound || !strings.Contains(err.Error(), "no such workflow or run in namespace payments") {
		t.Errorf("%v", err)
	}
}

func TestTheHeaderOfAProfileIsForTheProfilesServer(t *testing.T) {
	file := filepath.Join(t.TempDir(), "temporal.toml")
	if err := os.WriteFile(file, []byte("[profile.default.codec]\nendpoint = \"https://codec.example.com/{namespace}\"\nauth = \"sesame\"\n[profile.bare.codec]\nauth = \"sesame\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ profile, typed, want string }{
		{"", "", "sesame"},
		{"", "https://codec.example.com", "sesame"},
		{"", "https://CODEC.example.com:443/other", "sesame"},
		{"", "https://codec.example.com:8443", ""},
		{"", "https://codec.example.org", ""},
		{"", "http://codec.example.com", ""},
		{"", "http://127.0.0.1:8234", ""},
		{"bare", "https://codec.example.org", "sesame"}, // it is for whatever is named
	} {
		_, auth, err := codecPlace{CodecEndpoint: c.typed}.find(temporalProfile{TemporalConfig: file, Profile: c.profile})
		if err != nil || auth != c.want {
			t.Errorf("%q %q: %q, %v, want %q", c.profile, c.typed, auth, err, c.want)
		}
	}
}
