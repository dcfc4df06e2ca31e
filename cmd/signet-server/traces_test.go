package main

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/signet-temporal/signet/codecserver"
	"github.com/signet-temporal/signet/codecserver/audit"
	"github.com/signet-temporal/signet/principal"
)

// receiver takes spans as an OTLP collector does.
type receiver struct {
	*httptest.Server
	mu    sync.Mutex
	spans map[string]*otlp.Span // by name
	raw   []byte
}

func newReceiver(t *testing.T) *receiver {
	r := &receiver{spans: map[string]*otlp.Span{}}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	var export collector.ExportTraceServiceRequest
	if err != nil || req.URL.Path != "/v1/traces" || proto.Unmarshal(body, &export) != nil {
		http.Error(w, "not OTLP", http.StatusBadRequest)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.raw = append(r.raw, body...)
	for _, resource := range export.GetResourceSpans() {
		for _, scope := range resource.GetScopeSpans() {
			for _, span := range scope.GetSpans() {
				r.spans[span.GetName()] = span
			}
		}
	}
}

type authenticates struct {
	caller *principal.Caller
	err    error
}

func (a authenticates) Authenticate(*http.Request) (*principal.Caller, error) { return a.caller, a.err }

// tracedRequest serves one decode request with spans, and sends them.
func tracedRequest(t *testing.T, c tracesConfig, status int, auth codecserver.Authenticator, log *slog.Logger) {
	t.Helper()
	tr, err := openTraces(t.Context(), c, log)
	if err != nil {
		t.Fatal(err)
	}
	record := tr.audit(audit.New(io.Discard))
	served := tr.requests(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Request-Id", "REQ")
		if _, err := tr.authenticator(auth).Authenticate(r); err == nil {
			if err := record.Write(r.Context(), audit.Record{Decision: audit.Allow, Subject: "u-alice"}, audit.Record{Decision: audit.Deny, Subject: "u-alice"}); err != nil {
				t.Error(err)
			}
		}
		w.WriteHeader(status)
	}))
	r := httptest.NewRequest(http.MethodPost, "/decode", strings.NewReader("the body"))
	r.Header.Set("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	r.Header.Set("Authorization", "Bearer secret")
	served.ServeHTTP(httptest.NewRecorder(), r)
	tr.flush(log)
}

func TestARequestIsATraceThatNamesNobody(t *testing.T) {
	to := newReceiver(t)
	caller := &principal.Caller{Issuer: "https://login.example.com", Subject: "u-alice", Email: "alice@example.com"}
	tracedRequest(t, tracesConfig{Endpoint: to.URL}, http.StatusOK, authenticates{caller: caller}, slog.New(slog.DiscardHandler))

	request := to.spans["signet-server decode"]
	if request == nil || len(to.spans) != 3 {
		t.Fatalf("got spans %v", to.spans)
	}
	if got := attributes(request); got["signet.request_id"] != "REQ" || got["http.response.status_code"] != "200" || request.GetKind() != otlp.Span_SPAN_KIND_SERVER {
		t.Errorf("the request's span: %v", request)
	}
	if !bytes.HasPrefix(request.GetTraceId(), []byte{0x0a, 0xf7, 0x65}) {
		t.Errorf("the caller's trace does not go on: %x", request.GetTraceId())
	}
	for _, name := range []string{"authenticate", "audit"} {
		if span := to.spans[name]; span == nil || !bytes.Equal(span.GetParentSpanId(), request.GetSpanId()) {
			t.Errorf("%s is not part of the request: %v", name, span)
		}
	}
	if got := attributes(to.spans["audit"]); got["signet.allowed"] != "1" || got["signet.refused"] != "1" {
		t.Errorf("the audit span: %v", got)
	}
	for _, secret := range []string{"alice", "secret", "the body"} {
		if bytes.Contains(to.raw, []byte(secret)) {
			t.Errorf("a trace holds %q", secret)
		}
	}
}

func TestAServerErrorIsAnErrorInTheTraceAndARefusalIsNot(t *testing.T) {
	for status, want := range map[int]otlp.Status_StatusCode{http.StatusForbidden: otlp.Status_STATUS_CODE_UNSET, http.StatusServiceUnavailable: otlp.Status_STATUS_CODE_ERROR} {
		to := newReceiver(t)
		tracedRequest(t, tracesConfig{Endpoint: to.URL}, status, authenticates{err: errors.New("nobody")}, slog.New(slog.DiscardHandler))
		if got := to.spans["signet-server decode"].GetStatus().GetCode(); got != want {
			t.Errorf("status %d: %v, want %v", status, got, want)
		}
	}
}

func TestACollectorThatIsAwayIsLoggedAndNothingElse(t *testing.T) {
	to := newReceiver(t)
	to.Close()
	var log bytes.Buffer
	tracedRequest(t, tracesConfig{Endpoint: to.URL}, http.StatusOK, authenticates{err: errors.New("nobody")}, slog.New(slog.NewTextHandler(&log, nil)))
	if !strings.Contains(log.String(), `msg="traces not sent" spans=2`) {
		t.Errorf("logged %q", log.String())
	}
}

func TestACallerDoesNotDecideWhatIsTraced(t *testing.T) {
	to, never := newReceiver(t), 1e-9
	tracedRequest(t, tracesConfig{Endpoint: to.URL, Sample: &never}, http.StatusOK, authenticates{err: errors.New("nobody")}, slog.New(slog.DiscardHandler))
	if len(to.spans) != 0 {
		t.Errorf("a traceparent that says sampled led to %d spans", len(to.spans))
	}
}

func attributes(s *otlp.Span) map[string]string {
	all := map[string]string{}
	for _, a := range s.GetAttributes() {
		all[a.GetKey()] = a.GetValue().GetStringValue()
		if n := a.GetValue().GetIntValue(); all[a.GetKey()] == "" {
			all[a.GetKey()] = strconv.FormatInt(n, 10)
		}
	}
	return all
}
