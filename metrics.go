package signet

import (
	"context"
	"strings"
	"sync"
	"time"

	"go.temporal.io/sdk/client"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	"github.com/signet-temporal/signet/converter"
	"github.com/signet-temporal/signet/keys"
)

// Every metric of the plugin. docs/operations.md says what each means and when to wake somebody: a test compares the two.
const (
	metricSealed   = "signet_payloads_sealed"            // counter: namespace, keyset
	metricOpened   = "signet_payloads_opened"            // counter: namespace, keyset, format
	metricRefused  = "signet_payloads_refused"           // counter: namespace, operation, reason
	metricPlain    = "signet_plain_bytes"                // counter: namespace, operation
	metricCipher   = "signet_sealed_bytes"               // counter: namespace, operation
	metricLatency  = "signet_payload_latency"            // timer: namespace, operation
	metricWithheld = "signet_failures_withheld"          // counter: namespace, reason
	metricGuard    = "signet_requests_refused"           // counter: namespace
	metricWaits    = "signet_key_waits"                  // counter: keyset
	metricKeys     = "signet_keyset_keys"                // gauge: keyset
	metricPrimary  = "signet_keyset_primary_age_seconds" // gauge: keyset
	metricFresh    = "signet_keyset_refresh_age_seconds" // gauge: keyset
)

// Values of the tags.
const (
	sealing = "seal"
	opening = "open"
	none    = "none"  // what the SDK writes for a tag that does not apply
	other   = "other" // a format that this table does not know
)

// meter turns what the codec of one client does into metrics of the SDK's. All of them are made here once: with tags, the
// SDK's handlers look a metric up or make it, which is too slow for every payload. What the handler's own counters do is
// theirs; the SDK calls them on the same goroutines.
type meter struct {
	sealed   map[string]client.MetricsCounter // by keyset
	opened   map[openedAs]client.MetricsCounter
	seal     flow
	open     flow
	withheld map[string]client.MetricsCounter // by reason
	tenants  string                           // stands for every tenant's keyset: a metric for each would be too many
}

// openedAs are the tags of metricOpened.
type openedAs struct{ keyset, format string }

// flow is one direction.
type flow struct {
	refused       map[string]client.MetricsCounter // by reason
	plain, cipher client.MetricsCounter
	latency       client.MetricsTimer
}

var _ converter.Observer = (*meter)(nil)

func newMeter(handler client.MetricsHandler, namespace string, o converter.CodecOptions) *meter {
	handler = handler.WithTags(map[string]string{"namespace": namespace})
	m := &meter{
		sealed:   make(map[string]client.MetricsCounter),
		opened:   make(map[openedAs]client.MetricsCounter),
		seal:     newFlow(handler, sealing),
		open:     newFlow(handler, opening),
		withheld: make(map[string]client.MetricsCounter),
	}
	known := []openedAs{{none, other}}
	for _, keyset := range keysetsOf(o) {
		known = append(known, openedAs{keyset, converter.FormatV1})
	}
	if o.Tenants.Under != "" {
		m.tenants = o.Tenants.Under + "*"
		known = append(known, openedAs{m.tenants, converter.FormatV1})
		m.sealed[m.tenants] = with(handler, "keyset", m.tenants).Counter(metricSealed)
	}
	if o.Keyset != "" {
		m.sealed[o.Keyset] = with(handler, "keyset", o.Keyset).Counter(metricSealed)
	}
	if len(o.Legacy) > 0 {
		known = append(known, openedAs{none, converter.FormatLegacy})
	}
	if o.AllowPlaintext {
		known = append(known, openedAs{none, converter.FormatPlaintext})
	}
	for _, as := range known {
		m.opened[as] = with(handler, "keyset", as.keyset, "format", as.format).Counter(metricOpened)
	}
	for _, reason := range converter.Reasons() {
		m.withheld[reason] = with(handler, "reason", reason).Counter(metricWithheld)
	}
	return m
}

func newFlow(handler client.MetricsHandler, operation string) flow {
	handler = with(handler, "operation", operation)
	f := flow{
		refused: make(map[string]client.MetricsCounter),
		plain:   handler.Counter(metricPlain), cipher: handler.Counter(metricCipher),
		latency: handler.Timer(metricLatency),
	}
	for _, reason := range converter.Reasons() {
		f.refused[reason] = with(handler, "reason", reason).Counter(metricRefused)
	}
	return f
}

// with adds tags, given as name and value in turn.
func with(handler client.MetricsHandler, tags ...string) client.MetricsHandler {
	m := make(map[string]string, len(tags)/2)
	for ; len(tags) > 1; tags = tags[2:] {
		m[tags[0]] = tags[1]
	}
	return handler.WithTags(m)
}

func keysetsOf(o converter.CodecOptions) []string {
	if o.Keyset == "" {
		return o.AcceptKeysets
	}
	return append([]string{o.Keyset}, o.AcceptKeysets...)
}

func (f *flow) passed(o converter.Operation) {
	f.plain.Inc(int64(o.Plain))
	f.cipher.Inc(int64(o.Sealed))
	f.latency.Record(o.Took)
}

// Sealed implements converter.Observer, as do the methods below.
func (m *meter) Sealed(o converter.Operation) {
	counter, ok := m.sealed[o.Keyset]
	if !ok {
		counter, ok = m.sealed[m.tenants]
	}
	if ok {
		counter.Inc(1)
	}
	m.seal.passed(o)
}

func (m *meter) Opened(o converter.Operation) {
	as := openedAs{o.Keyset, o.Format}
	if as.keyset == "" {
		as.keyset = none
	}
	counter, ok := m.opened[as]
	if !ok && as.format == converter.FormatV1 {
		as.keyset = m.tenants
		counter, ok = m.opened[as]
	}
	if !ok {
		counter = m.opened[openedAs{none, other}]
	}
	counter.Inc(1)
	m.open.passed(o)
}

func (m *meter) SealRefused(reason string) { count(m.seal.refused, reason) }
func (m *meter) OpenRefused(reason string) { count(m.open.refused, reason) }
func (m *meter) Withheld(reason string)    { count(m.withheld, reason) }

// count must not panic on a workflow's goroutine for a word it does not know.
func count(by map[string]client.MetricsCounter, reason string) {
	if counter, ok := by[reason]; ok {
		counter.Inc(1)
	}
}

// countRefusals counts what the guard behind it refuses. The guard is one for all clients of a plugin, the counter is not.
func countRefusals(handler client.MetricsHandler, namespace string) grpc.DialOption {
	refused := with(handler, "namespace", namespace).Counter(metricGuard)
	return grpc.WithChainUnaryInterceptor(func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		err := invoke(ctx, method, req, reply, cc, opts...)
		if err != nil && strings.HasPrefix(status.Convert(err).Message(), refusal) && ctx.Value(probing{}) == nil {
			refused.Inc(1)
		}
		return err
	})
}

// keyMeter reports what a ring says of one keyset.
type keyMeter struct {
	keys, primary, fresh client.MetricsGauge
	waits                client.MetricsCounter

	mu     sync.Mutex
	waited uint64
}

// watchKeys reports the keysets of one client for as long as the ring refreshes. A keyset is reported once for a plugin,
// through the first client that uses it.
func (p *Plugin) watchKeys(handler client.MetricsHandler, keysets []string) {
	ring, ok := p.keys.(interface{ OnRefresh(func(keys.KeysetStatus)) })
	if !ok {
		return
	}
	meters := make(map[string]*keyMeter)
	p.mu.Lock()
	for _, name := range keysets {
		if p.watched[name] {
			continue
		}
		p.watched[name] = true
		tagged := with(handler, "keyset", name)
		meters[name] = &keyMeter{
			keys: tagged.Gauge(metricKeys), primary: tagged.Gauge(metricPrimary), fresh: tagged.Gauge(metricFresh),
			waits: tagged.Counter(metricWaits),
		}
	}
	p.mu.Unlock()
	if len(meters) > 0 {
		ring.OnRefresh(func(s keys.KeysetStatus) {
			if m := meters[s.Name]; m != nil {
				m.report(s)
			}
		})
	}
}

func (m *keyMeter) report(s keys.KeysetStatus) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.keys.Update(float64(s.Keys))
	m.fresh.Update(time.Since(s.Fresh).Seconds())
	if !s.Since.IsZero() {
		m.primary.Update(time.Since(s.Since).Seconds())
	}
	if s.Waits > m.waited {
		m.waits.Inc(int64(s.Waits - m.waited)) // #nosec G115 -- a count that no process reaches
		m.waited = s.Waits
	}
}
