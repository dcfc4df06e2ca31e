package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/proxy"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/signet-temporal/signet/internal/codecclient"
	"github.com/signet-temporal/signet/internal/wire"
	"github.com/signet-temporal/signet/labels/mask"
)

// historyWriter takes a decoded history: begin, the events in their order, end. notes say what is to be known of payloads
// that are not simply decoded.
type historyWriter interface {
	begin(namespace, runID string) error
	event(e *historypb.HistoryEvent, notes map[*commonpb.Payload]note) error
	end() error
}

// note says why a payload stayed closed, or that it is masked.
type note struct {
	closed string // one sentence; "" if the payload is open
	masked bool
}

// readings is what became of the payloads of a history.
type readings struct {
	Events   int `json:"events" help:"how many events the history has"`
	Payloads int `json:"payloads" help:"how many payloads are in them, without search attributes"`
	Decoded  int `json:"decoded" help:"payloads that the codec server decoded"`
	Masked   int `json:"masked" help:"decoded payloads in which something is masked"`
	Closed   int `json:"closed" help:"payloads that are still sealed"`
}

// outcome is what became of a history.
type outcome struct {
	readings
	why string // the first reason why a payload stayed closed
}

// judge is nil for a history of which nothing is hidden.
func (r outcome) judge() error {
	var parts []string
	if r.Closed > 0 {
		parts = append(parts, fmt.Sprintf("%d of %s stayed closed: %s", r.Closed, count(r.Payloads, "payload", "payloads"), r.why))
	}
	if r.Masked > 0 {
		parts = append(parts, fmt.Sprintf("something is masked in %s", count(r.Masked, "payload", "payloads")))
	}
	if len(parts) == 0 {
		return nil
	}
	return codedf(exitPartly, "%s", strings.Join(parts, "; "))
}

// reader reads one history. It holds two windows of it, one that comes and one that is decoded.
type reader struct {
	service             workflowservice.WorkflowServiceClient
	codec               *codecclient.Client
	namespace, workflow string
	runID               string
	out                 historyWriter

	total, done atomic.Int64 // events, as Temporal says, and written
	result      outcome
}

// window is a part of a history.
type window struct {
	events   []*historypb.HistoryEvent
	payloads []*commonpb.Payload // of these events, in place
	bytes    int
}

// Bounds of a window: enough for requests in parallel, and a few megabytes.
const (
	windowPayloads = 2000
	windowBytes    = 8 << 20
	pageEvents     = 200
)

func (r *reader) run(ctx context.Context) (outcome, error) {
	described, err := patiently(ctx, r.service.DescribeWorkflowExecution, &workflowservice.DescribeWorkflowExecutionRequest{
		Namespace: r.namespace, Execution: &commonpb.WorkflowExecution{WorkflowId: r.workflow, RunId: r.runID},
	})
	if err != nil {
		return r.result, r.explain(err)
	}
	info := described.GetWorkflowExecutionInfo()
	r.runID = info.GetExecution().GetRunId()
	r.total.Store(info.GetHistoryLength())
	if err := r.out.begin(r.namespace, r.runID); err != nil {
		return r.result, fmt.Errorf("writing the history: %w", err)
	}
	windows := make(chan *window)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer close(windows)
		return r.fetch(ctx, windows)
	})
	group.Go(func() error {
		for w := range windows {
			if err := r.decode(ctx, w); err != nil {
				return err
			}
		}
		return nil
	})
	if err := group.Wait(); err != nil {
		return r.result, err
	}
	if err := r.out.end(); err != nil {
		return r.result, fmt.Errorf("writing the history: %w", err)
	}
	return r.result, nil
}

func (r *reader) explain(err error) error {
	if code := serviceerror.ToStatus(err).Code(); code == codes.NotFound || code == codes.InvalidArgument {
		return codedf(exitNotFound, "there is no such workflow or run in namespace %s: %s", printable(r.namespace), err)
	}
	return fmt.Errorf("reading the history: %w", err)
}

// fetch reads pages and puts them together to windows.
func (r *reader) fetch(ctx context.Context, to chan<- *window) error {
	w := &window{}
	request := &workflowservice.GetWorkflowExecutionHistoryRequest{
		Namespace: r.namespace, MaximumPageSize: pageEvents,
		Execution: &commonpb.WorkflowExecution{WorkflowId: r.workflow, RunId: r.runID},
	}
	for {
		page, err := patiently(ctx, r.service.GetWorkflowExecutionHistory, request)
		if err != nil {
			return r.explain(err)
		}
		for _, event := range page.GetHistory().GetEvents() {
			if err := w.add(ctx, event); err != nil {
				return fmt.Errorf("event %d: %w", event.GetEventId(), err)
			}
		}
		request.NextPageToken = page.GetNextPageToken()
		last := len(request.NextPageToken) == 0
		if last || len(w.payloads) >= windowPayloads || w.bytes >= windowBytes {
			select {
			case to <- w:
			case <-ctx.Done():
				return ctx.Err()
			}
			w = &window{}
		}
		if last {
			return nil
		}
	}
}

func (w *window) add(ctx context.Context, event *historypb.HistoryEvent) error {
	w.events = append(w.events, event)
	return proxy.VisitPayloads(ctx, event, proxy.VisitPayloadsOptions{
		SkipSearchAttributes: true, // Temporal reads them, so nobody has sealed them
		Visitor: func(_ *proxy.VisitPayloadsContext, payloads []*commonpb.Payload) ([]*commonpb.Payload, error) {
			for _, p := range payloads {
				w.payloads = append(w.payloads, p)
				w.bytes += len(p.GetData())
			}
			return payloads, nil
		},
	})
}

// decode has the payloads of a window decoded, puts what came into their places, and writes the events.
func (r *reader) decode(ctx context.Context, w *window) error {
	var coded []*commonpb.Payload
	for _, p := range w.payloads {
		if !isPlain(p) {
			coded = append(coded, p)
		}
	}
	results, err := r.codec.Decode(ctx, coded)
	if err != nil {
		return err
	}
	notes := map[*commonpb.Payload]note{}
	for i, p := range coded {
		if n := r.take(p, results[i]); n != (note{}) {
			notes[p] = n
		}
	}
	r.result.Payloads += len(w.payloads)
	for _, event := range w.events {
		openFailures(event.ProtoReflect())
		if err := r.out.event(event, notes); err != nil {
			return fmt.Errorf("writing the history: %w", err)
		}
		r.result.Events++
		r.done.Add(1)
	}
	return nil
}

// isPlain reports whether no codec has anything to do with p.
func isPlain(p *commonpb.Payload) bool {
	switch string(p.GetMetadata()["encoding"]) {
	case "json/plain", "binary/plain", "binary/null", "binary/protobuf", "json/protobuf":
		return !wire.Sealed(p.GetMetadata()) && !isReference(p)
	}
	return false
}

// isReference: the payload is in external storage, and this says where.
func isReference(p *commonpb.Payload) bool {
	m := p.GetMetadata()
	return string(m["messageType"]) == "temporal.api.sdk.v1.ExternalStorageReference" && string(m["encoding"]) == "json/protobuf"
}

// explanationMark is what signet-server puts into the metadata of a sentence that stands for a payload.
const explanationMark = "signet-explanation"

// take puts what the codec server made of p in its place, unless that is no data.
func (r *reader) take(p *commonpb.Payload, got codecclient.Result) note {
	_, explained := got.Payload.GetMetadata()[explanationMark]
	var n note
	switch {
	case got.Refused != 0:
		n.closed = refusedBecause(got.Refused)
	case explained:
		n.closed = explanationIn(got.Payload)
	case wire.Sealed(got.Payload.GetMetadata()) || string(got.Payload.GetMetadata()["encoding"]) == wire.Encoding:
		n.closed = "the codec server does not know what it was sealed with"
	case isReference(got.Payload):
		n.closed = "it is in external storage, from which the codec server does not fetch it"
	case string(got.Payload.GetMetadata()["encoding"]) == string(p.GetMetadata()["encoding"]): // another's, and as it was
		return n
	}
	if n.closed != "" {
		r.result.Closed++
		if r.result.why == "" {
			r.result.why = n.closed
		}
		return n
	}
	_, n.masked = got.Payload.GetMetadata()[mask.Metadata]
	if n.masked {
		r.result.Masked++
	}
	r.result.Decoded++
	p.Metadata, p.Data, p.ExternalPayloads = got.Payload.GetMetadata(), got.Payload.GetData(), got.Payload.GetExternalPayloads()
	return n
}

func refusedBecause(status int) string {
	switch status {
	case http.StatusForbidden:
		return "you may not see it: the codec server's policy does not allow it"
	case http.StatusUnprocessableEntity:
		return "it does not open: it is damaged, moved, too large, or its key is gone"
	case http.StatusRequestEntityTooLarge:
		return "it is too large for the codec server"
	}
	return fmt.Sprintf("the codec server refuses it with status %d", status)
}

// progress is such as "intake-4711: [####      ] 2,000 of 5,000 events".
func (r *reader) progress() string {
	done, total := r.done.Load(), r.total.Load()
	if total <= 0 {
		return printable(r.workflow) + ": reading"
	}
	return fmt.Sprintf("%s: [%-10s] %s of %s events", printable(r.workflow), strings.Repeat("#", min(int(done*10/total), 10)), grouped(done), grouped(max(total, done)))
}

// patiently calls Temporal, and again for half a minute while it is busy or away.
func patiently[Req, Res any](ctx context.Context, method func(context.Context, Req, ...grpc.CallOption) (Res, error), request Req) (Res, error) {
	start := time.Now()
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
		once, cancel := context.WithTimeout(ctx, dialTimeout)
		answer, err := method(once, request)
		cancel()
		switch serviceerror.ToStatus(err).Code() {
		case codes.Unavailable, codes.ResourceExhausted, codes.Aborted, codes.DeadlineExceeded:
		default:
			return answer, err
		}
		if ctx.Err() != nil || time.Since(start)+pause > 30*time.Second {
			return answer, errors.Join(ctx.Err(), err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause/2 + rand.N(pause)): // #nosec G404 -- jitter
		}
	}
}
