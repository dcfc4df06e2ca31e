package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.40.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/signet-temporal/signet/codecserver"
	"github.com/signet-temporal/signet/codecserver/audit"
	"github.com/signet-temporal/signet/principal"
)

// traces makes spans: one for each request, and within it one for who asks and one for each write to the audit log, which
// are what a request waits for. They hold what the metrics' labels hold, a request id and counts: no caller, no workflow,
// nothing that came in a payload or a token. The ready-made instrumentation of net/http would add addresses and agents.
// A nil traces makes none.
type traces struct {
	tracer trace.Tracer
	close  func(context.Context) error
}

const flushTimeout = 5 * time.Second // for spans that are not sent yet when the server stops

// openTraces does not need the collector to be there: spans that cannot be sent are dropped, and a request never waits.
func openTraces(ctx context.Context, c tracesConfig, log *slog.Logger) (*traces, error) {
	if c.Endpoint == "" {
		return nil, nil //nolint:nilnil // see traces
	}
	exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(strings.TrimSuffix(c.Endpoint, "/")+"/v1/traces"))
	if err != nil {
		return nil, fmt.Errorf("traces.endpoint: %w", err)
	}
	// OTEL_RESOURCE_ATTRIBUTES and OTEL_SERVICE_NAME are what operators set for all their programs alike.
	about, err := resource.New(ctx, resource.WithAttributes(semconv.ServiceName("signet-server")), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("traces: OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	// A caller does not decide for us what is kept: whoever sends a traceparent may be anybody.
	ratio := sdktrace.TraceIDRatioBased(c.fraction())
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithBatcher(reported{exporter, log}),
		sdktrace.WithResource(about),
		sdktrace.WithSampler(sdktrace.ParentBased(ratio, sdktrace.WithRemoteParentSampled(ratio))),
	)
	return &traces{tracer: provider.Tracer("github.com/signet-temporal/signet/cmd/signet-server"), close: provider.Shutdown}, nil
}

// flush sends what is left.
func (t *traces) flush(log *slog.Logger) {
	if t == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), flushTimeout)
	defer cancel()
	if err := t.close(ctx); err != nil {
		log.Warn("the last traces were not sent", "error", err)
	}
}

// reported logs what cannot be sent; the SDK would write it to standard error in a form of its own.
type reported struct {
	sdktrace.SpanExporter
	log *slog.Logger
}

// ExportSpans implements [sdktrace.SpanExporter].
func (r reported) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	if err := r.SpanExporter.ExportSpans(ctx, spans); err != nil {
		r.log.WarnContext(ctx, "traces not sent", "spans", len(spans), "error", err)
	}
	return nil
}

// requests makes a span of each request of the codec protocol.
func (t *traces) requests(next http.Handler) http.Handler {
	if t == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := propagation.TraceContext{}.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
		action := actionOf(r)
		ctx, span := t.tracer.Start(ctx, "signet-server "+action, trace.WithSpanKind(trace.SpanKindServer))
		defer span.End()
		watched := &watchedWriter{ResponseWriter: w}
		next.ServeHTTP(watched, r.WithContext(ctx))
		status := cmp.Or(watched.status, http.StatusOK)
		span.SetAttributes(attribute.String("signet.action", action), attribute.String("signet.request_id", w.Header().Get("X-Request-Id")),
			attribute.Int("http.response.status_code", status))
		if status >= http.StatusInternalServerError {
			span.SetStatus(codes.Error, strconv.Itoa(status))
		}
	})
}

// authenticator makes a span of finding out who asks.
func (t *traces) authenticator(a codecserver.Authenticator) codecserver.Authenticator {
	if t == nil {
		return a
	}
	return tracedAuthenticator{a, t}
}

type tracedAuthenticator struct {
	codecserver.Authenticator
	*traces
}

// Authenticate implements [codecserver.Authenticator].
func (t tracedAuthenticator) Authenticate(r *http.Request) (*principal.Caller, error) {
	ctx, span := t.tracer.Start(r.Context(), "authenticate")
	defer span.End()
	caller, err := t.Authenticator.Authenticate(r.WithContext(ctx))
	if caller != nil {
		span.SetAttributes(attribute.String("signet.issuer", caller.Issuer))
	}
	return caller, err
}

// audit makes a span of each write, with how many payloads were allowed and how many were not.
func (t *traces) audit(a codecserver.Audit) codecserver.Audit {
	if t == nil {
		return a
	}
	return tracedAudit{a, t}
}

type tracedAudit struct {
	codecserver.Audit
	*traces
}

// Write implements [codecserver.Audit].
func (t tracedAudit) Write(ctx context.Context, records ...audit.Record) error {
	ctx, span := t.tracer.Start(ctx, "audit")
	defer span.End()
	allowed := 0
	for i := range records {
		if records[i].Decision == audit.Allow {
			allowed++
		}
	}
	span.SetAttributes(attribute.Int("signet.allowed", allowed), attribute.Int("signet.refused", len(records)-allowed))
	err := t.Audit.Write(ctx, records...)
	if err != nil {
		span.SetStatus(codes.Error, "the audit log cannot be written")
	}
	return err
}
