package signet

import (
	"bytes"
	"context"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/tink-crypto/tink-go/v2/tink"
	commonpb "go.temporal.io/api/common/v1"
	failurepb "go.temporal.io/api/failure/v1"
	querypb "go.temporal.io/api/query/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/signet-temporal/signet/converter"
	"github.com/signet-temporal/signet/keys/keystest"
)

// relay is a server that keeps what a worker answered and gives it to whoever queries, as Temporal's does.
type relay struct {
	workflowservice.UnimplementedWorkflowServiceServer
	received []proto.Message
	answer   error
	breaks   int // so many queries fail first with what the SDK retries
}

func (r *relay) GetSystemInfo(context.Context, *workflowservice.GetSystemInfoRequest) (*workflowservice.GetSystemInfoResponse, error) {
	return &workflowservice.GetSystemInfoResponse{}, nil
}

func (r *relay) RespondQueryTaskCompleted(_ context.Context, in *workflowservice.RespondQueryTaskCompletedRequest) (*workflowservice.RespondQueryTaskCompletedResponse, error) {
	r.received = append(r.received, in)
	r.answer = serviceerror.NewQueryFailedWithFailure(in.GetErrorMessage(), in.GetFailure())
	return &workflowservice.RespondQueryTaskCompletedResponse{}, nil
}

func (r *relay) RespondWorkflowTaskCompleted(_ context.Context, in *workflowservice.RespondWorkflowTaskCompletedRequest) (*workflowservice.RespondWorkflowTaskCompletedResponse, error) {
	r.received = append(r.received, in)
	if result := in.GetQueryResults()["failed"]; result != nil {
		r.answer = serviceerror.NewQueryFailedWithFailure(result.GetErrorMessage(), result.GetFailure())
	}
	return &workflowservice.RespondWorkflowTaskCompletedResponse{}, nil
}

func (r *relay) QueryWorkflow(context.Context, *workflowservice.QueryWorkflowRequest) (*workflowservice.QueryWorkflowResponse, error) {
	if r.breaks--; r.breaks >= 0 {
		return nil, status.Error(codes.Unavailable, "not now")
	}
	return nil, serviceerror.ToStatus(r.answer).Err()
}

// serve starts the relay and returns a way to dial it.
func (r *relay) serve(t *testing.T) func(plugins ...client.Plugin) client.Client {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	workflowservice.RegisterWorkflowServiceServer(server, r)
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return func(plugins ...client.Plugin) client.Client {
		c, err := client.DialContext(t.Context(), client.Options{HostPort: listener.Addr().String(), Plugins: plugins})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		return c
	}
}

func (r *relay) sees(t *testing.T, text string) bool {
	t.Helper()
	for _, m := range r.received {
		data, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(data, []byte(text)) {
			return true
		}
	}
	return false
}

// queried asks a question and returns the service's error.
func queried(t *testing.T, c client.Client) *serviceerror.QueryFailed {
	t.Helper()
	_, err := c.QueryWorkflow(t.Context(), "wf", "", "q")
	var failed *serviceerror.QueryFailed
	if !errors.As(err, &failed) {
		t.Fatalf("the query's error is %T: %v", err, err)
	}
	return failed
}

// answered sends one failed query both ways, with the failure that the SDK may have made of it.
func answered(t *testing.T, c client.Client, made *failurepb.Failure, then func(way string)) {
	t.Helper()
	const namespace, text = "default", "SECRET (type: T, retryable: true)"
	service := c.WorkflowService()
	if _, err := service.RespondQueryTaskCompleted(t.Context(), &workflowservice.RespondQueryTaskCompletedRequest{Namespace: namespace, ErrorMessage: text, Failure: made}); err != nil {
		t.Fatal(err)
	}
	then("query task")
	if _, err := service.RespondWorkflowTaskCompleted(t.Context(), &workflowservice.RespondWorkflowTaskCompletedRequest{Namespace: namespace, QueryResults: map[string]*querypb.WorkflowQueryResult{
		"failed": {ErrorMessage: text, Failure: made}, "answered": {},
	}}); err != nil {
		t.Fatal(err)
	}
	then("workflow task")
}

func TestTheTextOfAFailedQueryIsSealedAndOpened(t *testing.T) {
	r := &relay{}
	dial := r.serve(t)
	p := newPlugin(t, Options{}, "ns/default")
	sealing, plain := dial(p), dial()
	failures, err := p.failures("default")
	if err != nil {
		t.Fatal(err)
	}
	for name, made := range map[string]*failurepb.Failure{"with the SDK's failure": failures.ErrorToFailure(errors.New("SECRET")), "without": nil} {
		answered(t, sealing, made, func(way string) {
			if r.sees(t, "SECRET") {
				t.Errorf("%s, %s: the text leaves in clear", name, way)
			}
			r.breaks = 1
			got := queried(t, sealing)
			if got.Message != "SECRET (type: T, retryable: true)" || status.Code(got.Status().Err()) != codes.InvalidArgument {
				t.Errorf("%s, %s: with the keys the caller reads %q, %v", name, way, got.Message, got.Status())
			}
			if !proto.Equal(got.Failure, made) {
				t.Errorf("%s, %s: the caller's failure is %v", name, way, got.Failure)
			}
			if got := queried(t, plain); got.Message != sealedQueryError || strings.Contains(got.Failure.String(), "SECRET") {
				t.Errorf("%s, %s: without the keys the caller reads %q, %v", name, way, got.Message, got.Failure)
			}
		})
	}
}

func TestARequestThatFailsAQueryStaysTheSDKs(t *testing.T) {
	q := queryErrors{failures: newPlugin(t, Options{}, "ns/default").failures}
	var sent []proto.Message
	invoke := func(_ context.Context, _ string, req, _ any, _ *grpc.ClientConn, _ ...grpc.CallOption) error {
		sent = append(sent, req.(proto.Message))
		return nil
	}
	failed := &workflowservice.RespondQueryTaskCompletedRequest{Namespace: "default", ErrorMessage: "SECRET"}
	for _, tc := range []struct {
		request proto.Message
		same    bool
	}{
		{failed, false},
		{&workflowservice.RespondWorkflowTaskCompletedRequest{Namespace: "default", QueryResults: map[string]*querypb.WorkflowQueryResult{"q": {ErrorMessage: "SECRET"}}}, false},
		{&workflowservice.RespondQueryTaskCompletedRequest{Namespace: "default"}, true},
		{&workflowservice.RespondWorkflowTaskCompletedRequest{Namespace: "default", QueryResults: map[string]*querypb.WorkflowQueryResult{"q": {}}}, true},
		{q.sealAnswer(failed), true},
		{&workflowservice.StartWorkflowExecutionRequest{}, true},
	} {
		before := proto.Clone(tc.request)
		sent = nil
		for range 2 { // as for a retry
			if err := q.intercept(t.Context(), "", tc.request, nil, nil, invoke); err != nil {
				t.Fatal(err)
			}
		}
		if !proto.Equal(before, tc.request) {
			t.Errorf("the SDK's request was changed: %v", tc.request)
		}
		for _, m := range sent {
			if same := m == tc.request; same != tc.same || strings.Contains(m.(interface{ String() string }).String(), "SECRET") {
				t.Errorf("of %v was sent: %v", tc.request, m)
			}
		}
	}
}

// moody is a ring that can be told to refuse.
type moody struct {
	converter.Keys
	refuses atomic.Bool
}

func (m *moody) Primary(keyset string) (uint32, tink.AEAD, error) {
	if m.refuses.Load() {
		return 0, nil, errors.New("the store at ADDRESS refuses")
	}
	return m.Keys.Primary(keyset)
}

func TestWhereTheTextOfAQueryCannotBeSealedItIsWithheld(t *testing.T) {
	r := &relay{}
	dial := r.serve(t)
	held := &moody{Keys: keystest.NewRing(t, "ns/default")}
	p, err := NewPlugin(held, Options{})
	if err != nil {
		t.Fatal(err)
	}
	c := dial(p)
	held.refuses.Store(true)
	answered(t, c, nil, func(way string) {
		if r.sees(t, "SECRET") || r.sees(t, "ADDRESS") {
			t.Errorf("%s: the text leaves in clear", way)
		}
		if got := queried(t, c).Message; !strings.Contains(got, "withheld") || !strings.Contains(got, "key-unavailable") {
			t.Errorf("%s: the caller reads %q", way, got)
		}
	})
}

func TestACallerWithOtherKeysReadsWhy(t *testing.T) {
	r := &relay{}
	dial := r.serve(t)
	other := dial(newPlugin(t, Options{}, "ns/default")) // a ring of its own
	answered(t, dial(newPlugin(t, Options{}, "ns/default")), nil, func(way string) {
		if got := queried(t, other).Message; !strings.Contains(got, "withheld") || !strings.Contains(got, "key is not available") {
			t.Errorf("%s: the caller reads %q", way, got)
		}
	})
}

// TestWithoutTheGuardQueriesAreStillSealed: AllowUnsealedRequests stops refusing, not sealing.
func TestWithoutTheGuardQueriesAreStillSealed(t *testing.T) {
	r := &relay{}
	c := r.serve(t)(newPlugin(t, Options{AllowUnsealedRequests: true}, "ns/default"))
	memo := map[string]*commonpb.Payload{"k": {Metadata: map[string][]byte{"encoding": []byte("json/plain")}}}
	_, err := c.WorkflowService().StartWorkflowExecution(t.Context(), &workflowservice.StartWorkflowExecutionRequest{Memo: &commonpb.Memo{Fields: memo}})
	if status.Code(serviceerror.ToStatus(err).Err()) != codes.Unimplemented {
		t.Errorf("a memo in clear did not reach the server: %v", err)
	}
	answered(t, c, nil, func(way string) {
		if r.sees(t, "SECRET") {
			t.Errorf("%s: the text leaves in clear", way)
		}
	})
}

func TestOtherErrorsOfAQueryStayWhatTheyAre(t *testing.T) {
	q := queryErrors{failures: newPlugin(t, Options{}, "ns/default").failures}
	for _, err := range []error{
		nil, errors.New("x"), status.Error(codes.NotFound, "x"),
		serviceerror.ToStatus(serviceerror.NewQueryFailed("of a worker without signet")).Err(),
		serviceerror.ToStatus(serviceerror.NewQueryFailedWithFailure("x", &failurepb.Failure{Message: "x"})).Err(),
	} {
		if got := q.open("default", err); got != err {
			t.Errorf("%v became %v", err, got)
		}
	}
}
