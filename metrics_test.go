package signet

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	sdk "go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/worker"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/signet-temporal/signet/converter"
	"github.com/signet-temporal/signet/internal/metricstest"
	"github.com/signet-temporal/signet/keys"
	"github.com/signet-temporal/signet/keys/keystest"
)

// metered returns a client's options as the plugin leaves them, and the metrics.
func metered(t *testing.T, p *Plugin, namespace string) (client.Options, *metricstest.Handler) {
	t.Helper()
	metrics := metricstest.New()
	o := client.Options{Namespace: namespace, MetricsHandler: metrics}
	if err := configure(p, &o); err != nil {
		t.Fatal(err)
	}
	return o, metrics
}

func wantMetric(t *testing.T, metrics *metricstest.Handler, key string, want float64) {
	t.Helper()
	if got, ok := metrics.Value(key); !ok || got != want {
		t.Errorf("%s is %v (there: %t), want %v", key, got, ok, want)
	}
}

func TestAClientsMetricsCountWhatItSealsOpensAndRefuses(t *testing.T) {
	p := newPlugin(t, Options{AcceptScopes: []string{"old"}, AcceptKeysets: []string{"ns/old"}}, "ns/payments", "ns/old")
	o, metrics := metered(t, p, "payments")
	for key, n := range metrics.All("signet_payloads") {
		if n != 0 {
			t.Errorf("before anything happened %s is %v", key, n)
		}
	}
	dc := o.DataConverter
	sealed, err := dc.ToPayload("hello")
	if err != nil {
		t.Fatal(err)
	}
	if err := dc.FromPayload(sealed, new(string)); err != nil {
		t.Fatal(err)
	}
	old := client.Options{Namespace: "old"}
	if err := configure(newPluginOver(t, p.keys), &old); err != nil {
		t.Fatal(err)
	}
	fromOld, err := old.DataConverter.ToPayload("hello")
	if err != nil {
		t.Fatal(err)
	}
	if err := dc.FromPayload(fromOld, new(string)); err != nil {
		t.Fatal(err)
	}
	plain, _ := sdk.GetDefaultDataConverter().ToPayload("hello")
	if err := dc.FromPayload(plain, new(string)); !errors.Is(err, converter.ErrNotSealed) {
		t.Fatal(err)
	}
	size := float64(len(sealed.Data))
	for key, want := range map[string]float64{
		`signet_payloads_sealed{keyset="ns/payments",namespace="payments"}`:                       1,
		`signet_payloads_opened{format="v1",keyset="ns/payments",namespace="payments"}`:           1,
		`signet_payloads_opened{format="v1",keyset="ns/old",namespace="payments"}`:                1,
		`signet_payloads_opened{format="other",keyset="none",namespace="payments"}`:               0,
		`signet_payloads_refused{namespace="payments",operation="open",reason="not-sealed"}`:      1,
		`signet_payloads_refused{namespace="payments",operation="seal",reason="key-unavailable"}`: 0,
		`signet_plain_bytes{namespace="payments",operation="seal"}`:                               7,
		`signet_sealed_bytes{namespace="payments",operation="seal"}`:                              size,
		`signet_plain_bytes{namespace="payments",operation="open"}`:                               14,
		`signet_sealed_bytes{namespace="payments",operation="open"}`:                              2 * size,
		`signet_payload_latency_count{namespace="payments",operation="seal"}`:                     1,
		`signet_payload_latency_count{namespace="payments",operation="open"}`:                     2,
		`signet_failures_withheld{namespace="payments",reason="key-unavailable"}`:                 0,
		`signet_requests_refused{namespace="payments"}`:                                           0,
	} {
		wantMetric(t, metrics, key, want)
	}
	if _, ok := metrics.Value(`signet_payloads_opened{format="plaintext",keyset="none",namespace="payments"}`); ok {
		t.Error("a plugin that accepts no plaintext has a metric for it")
	}
}

func newPluginOver(t *testing.T, held converter.Keys) *Plugin {
	t.Helper()
	p, err := NewPlugin(held, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestMetricsTellWhenAMigrationIsOver(t *testing.T) {
	o, metrics := metered(t, newPlugin(t, Options{AllowPlaintext: true}, "ns/default"), "")
	const key = `signet_payloads_opened{format="plaintext",keyset="none",namespace="default"}`
	wantMetric(t, metrics, key, 0)
	plain, _ := sdk.GetDefaultDataConverter().ToPayload("hello")
	if err := o.DataConverter.FromPayload(plain, new(string)); err != nil {
		t.Fatal(err)
	}
	wantMetric(t, metrics, key, 1)
}

// TestCountingLooksUpNoMetricAndAllocatesNothing: everything is made when the client is.
func TestCountingLooksUpNoMetricAndAllocatesNothing(t *testing.T) {
	metrics := metricstest.New()
	m := newMeter(metrics, "payments", converter.CodecOptions{Keyset: "ns/payments", AllowPlaintext: true})
	made := metrics.Made()
	known := converter.Operation{Keyset: "ns/payments", Format: converter.FormatV1, Plain: 1, Sealed: 2, Took: 3}
	unknown := converter.Operation{Keyset: "ns/elsewhere", Format: "v9"}
	if n := testing.AllocsPerRun(100, func() {
		m.Sealed(known)
		m.Opened(known)
		m.Opened(converter.Operation{Format: converter.FormatPlaintext})
		m.Opened(unknown)
		m.OpenRefused("malformed")
		m.SealRefused("key-unavailable")
		m.Withheld("key-unavailable")
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if got := metrics.Made(); got != made {
		t.Errorf("%d metrics were looked up while payloads passed", got-made)
	}
	wantMetric(t, metrics, `signet_payloads_opened{format="other",keyset="none",namespace="payments"}`, 101)
	m.Withheld("a word of a later version")
	for _, reason := range converter.Reasons() {
		before, _ := metrics.Value(metricstest.Key("signet_failures_withheld", map[string]string{"namespace": "payments", "reason": reason}))
		m.Withheld(reason)
		wantMetric(t, metrics, metricstest.Key("signet_failures_withheld", map[string]string{"namespace": "payments", "reason": reason}), before+1)
	}
}

func TestTheGuardsRefusalsAreCountedForTheirClient(t *testing.T) {
	p := newPlugin(t, Options{}, "ns/a", "ns/b")
	a, aMetrics := metered(t, p, "a")
	_, bMetrics := metered(t, p, "b")
	conn := dialTo(t, a.ConnectionOptions.DialOptions)
	plain := &commonpb.Payload{Metadata: map[string][]byte{"encoding": []byte("json/plain")}}
	request := &workflowservice.StartWorkflowExecutionRequest{Memo: &commonpb.Memo{Fields: map[string]*commonpb.Payload{"k": plain}}}
	const start = "/temporal.api.workflowservice.v1.WorkflowService/StartWorkflowExecution"
	call := func(ctx context.Context, request *workflowservice.StartWorkflowExecutionRequest) error {
		return conn.Invoke(ctx, start, request, new(workflowservice.StartWorkflowExecutionResponse))
	}
	if err := call(t.Context(), request); err == nil || !strings.Contains(err.Error(), "not sealed") {
		t.Fatalf("the guard says %v", err)
	}
	_ = call(context.WithValue(t.Context(), probing{}, true), request) // the plugin asking for the guard
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if err := call(over, new(workflowservice.StartWorkflowExecutionRequest)); err == nil {
		t.Fatal("a call without a server succeeded")
	}
	wantMetric(t, aMetrics, `signet_requests_refused{namespace="a"}`, 1)
	wantMetric(t, bMetrics, `signet_requests_refused{namespace="b"}`, 0)
}

// dialTo makes a connection with a client's dial options, to nowhere.
func dialTo(t *testing.T, options []grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///nowhere", append(options, grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func TestTheStateOfTheKeysetsAClientUsesIsReported(t *testing.T) {
	store, kek := new(keystest.Store), keystest.NewKEK(t)
	names := []string{"ns/a", "ns/b", "ns/unused"}
	for _, name := range names {
		keystest.NewKeyset(t, store, kek, name, keys.XAES256GCM)
	}
	ring, err := keys.NewRing(t.Context(), store, kek, keys.RingOptions{Keysets: names})
	if err != nil {
		t.Fatal(err)
	}
	defer ring.Close()
	p := newPluginOver(t, ring)
	a, metrics := metered(t, p, "a")
	again := client.Options{Namespace: "a", MetricsHandler: metrics}
	b := client.Options{Namespace: "b", MetricsHandler: metrics}
	if err := errors.Join(configure(p, &again), configure(p, &b)); err != nil {
		t.Fatal(err)
	}
	for _, keyset := range []string{"ns/a", "ns/b"} {
		wantMetric(t, metrics, `signet_keyset_keys{keyset="`+keyset+`"}`, 1)
		for _, name := range []string{"primary", "refresh"} {
			if age, ok := metrics.Value(`signet_keyset_` + name + `_age_seconds{keyset="` + keyset + `"}`); !ok || age < 0 || age > 60 {
				t.Errorf("the %s age of %s is %v (there: %t)", name, keyset, age, ok)
			}
		}
	}
	if _, ok := metrics.Value(`signet_keyset_keys{keyset="ns/unused"}`); ok {
		t.Error("a keyset that no client uses is reported")
	}
	before, _ := metrics.Value(`signet_keyset_refresh_age_seconds{keyset="ns/a"}`)
	store.SetError(errors.New("Vault is away"))
	if err := ring.Refresh(t.Context()); err == nil {
		t.Fatal("refreshed without a store")
	}
	if age, _ := metrics.Value(`signet_keyset_refresh_age_seconds{keyset="ns/a"}`); age <= before {
		t.Errorf("in an outage the refresh age went from %v to %v", before, age)
	}
	store.SetError(nil)
	sealed, err := a.DataConverter.ToPayload("x")
	if err != nil {
		t.Fatal(err)
	}
	made := relabelled(sealed, "ns/a", 0x01020304)
	if err := a.DataConverter.FromPayload(made, new(string)); !errors.Is(err, converter.ErrKeyUnavailable) {
		t.Fatal(err)
	}
	if err := ring.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantMetric(t, metrics, `signet_key_waits{keyset="ns/a"}`, 1) // and not once for each client
	wantMetric(t, metrics, `signet_key_waits{keyset="ns/b"}`, 0)
}

// relabelled is a payload that names another key, as if it was sealed by one that is not known here.
func relabelled(p *commonpb.Payload, keyset string, id uint32) *commonpb.Payload {
	metadata := maps.Clone(p.Metadata)
	metadata["encryption-key-id"] = []byte(keyset + "/" + keys.ID(id).String())
	data := slices.Clone(p.Data)
	data[1], data[2], data[3], data[4] = byte(id>>24), byte(id>>16), byte(id>>8), byte(id)
	return &commonpb.Payload{Metadata: metadata, Data: data}
}

func TestWithoutAMetricsHandlerNothingIsMeasured(t *testing.T) {
	p := newPlugin(t, Options{Scope: "payments"}, "ns/payments")
	o := client.Options{}
	if err := configure(p, &o); err != nil {
		t.Fatal(err)
	}
	if len(p.watched) != 0 || len(o.ConnectionOptions.DialOptions) != 1 {
		t.Errorf("%d keysets are watched, %d dial options", len(p.watched), len(o.ConnectionOptions.DialOptions))
	}
	replayer := worker.WorkflowReplayerOptions{}
	if err := p.ConfigureWorkflowReplayer(t.Context(), worker.PluginConfigureWorkflowReplayerOptions{WorkflowReplayerOptions: &replayer}); err != nil {
		t.Fatal(err)
	}
	if len(p.watched) != 0 {
		t.Error("a replayer measures")
	}
}

// TestMetricsAndEventsAreDocumented compares the source with the tables in docs/operations.md and docs/tenants.md.
func TestMetricsAndEventsAreDocumented(t *testing.T) {
	for _, tc := range []struct{ file, inSource, doc, inTable string }{
		{"metrics.go", `(?m)= "(signet_\w+)"\s+// (.*)$`, "docs/operations.md", "(?m)^\\| `(signet_\\w+)` \\| (\\w+: [\\w, ]+) \\|"},
		{"keys/ring_events.go", `Logger\.(\w+)Context\(ctx, "([^"]+)"`, "docs/operations.md", "(?m)^\\| ([A-Z]+) `([^`]+)` \\|"},
		{"keys/pool*.go", `(?:Logger|p)\.(\w+?)(?:Context\(ctx, |\()"([^"]+)"`, "docs/tenants.md", "(?m)^\\| ([A-Z]+) `([^`]+)` \\|"},
	} {
		source, table := matches(t, tc.file, tc.inSource), matches(t, tc.doc, tc.inTable)
		if len(source) < 5 || !slices.Equal(source, table) {
			t.Errorf("%s has\n%s\nthe documentation has\n%s", tc.file, strings.Join(source, "\n"), strings.Join(table, "\n"))
		}
	}
}

func matches(t *testing.T, files, pattern string) (found []string) {
	t.Helper()
	names, err := filepath.Glob(files)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(string(text), -1) {
			found = append(found, strings.ToLower(m[1])+": "+m[2])
		}
	}
	slices.Sort(found)
	return found
}
