package main

import (
	"cmp"
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/signet-temporal/signet/codecserver"
	"github.com/signet-temporal/signet/codecserver/audit"
	"github.com/signet-temporal/signet/codecserver/login"
	"github.com/signet-temporal/signet/codecserver/policy"
	"github.com/signet-temporal/signet/codecserver/selftest"
)

// metrics of the server. docs/codec-server.md says what each means: a test compares the two. Labels hold what the
// configuration names and codes of ours, never what a stranger wrote.
type metrics struct {
	registry   *prometheus.Registry
	requests   *prometheus.CounterVec
	duration   *prometheus.HistogramVec
	payloads   *prometheus.CounterVec
	strangers  *prometheus.CounterVec
	breakGlass *prometheus.CounterVec
	labelled   *prometheus.CounterVec
	auditTook  prometheus.Histogram
	auditFails prometheus.Counter
	reloads    *prometheus.CounterVec
	logins     *prometheus.CounterVec
}

func newMetrics() *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	fine := []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10}
	m := &metrics{
		registry:   prometheus.NewRegistry(),
		requests:   counter("signet_server_requests_total", "Requests of the codec protocol, by action and HTTP status.", "action", "code"),
		duration:   prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "signet_server_request_duration_seconds", Help: "Time to answer a request.", Buckets: fine}, []string{"action"}),
		payloads:   counter("signet_server_payloads_total", "Audit records of payloads, by what was decided and why.", "namespace", "action", "decision", "reason"),
		strangers:  counter("signet_server_strangers_total", "Requests of somebody who was not authenticated, by reason.", "reason"),
		breakGlass: counter("signet_server_break_glass_total", "Payloads that only a break-glass grant allowed.", "rule"),
		labelled:   counter("signet_server_labelled_payloads_total", "Decoded payloads with labelled values, by how many of the labels were shown.", "namespace", "shown"),
		auditTook:  prometheus.NewHistogram(prometheus.HistogramOpts{Name: "signet_server_audit_write_seconds", Help: "Time until the records of a request were durable.", Buckets: fine}),
		auditFails: prometheus.NewCounter(prometheus.CounterOpts{Name: "signet_server_audit_failures_total", Help: "Requests whose records could not be written: nothing was decoded."}),
		reloads:    counter("signet_server_config_reloads_total", "Tries to take a changed configuration, by result.", "result"),
		logins:     counter("signet_server_logins_total", "Logins and logouts in browsers, by result.", "result"),
	}
	m.registry.MustRegister(m.requests, m.duration, m.payloads, m.strangers, m.breakGlass, m.labelled, m.auditTook, m.auditFails, m.reloads, m.logins,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// watch registers what is read at each scrape.
func (m *metrics) watch(l *live, a *audit.Log) {
	gauge := func(name, help string, value func() float64) {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value))
	}
	gauge("signet_server_config_stale", "1 while the files hold a configuration that is not in use, because it is wrong.", func() float64 {
		if l.stale.Load() {
			return 1
		}
		return 0
	})
	gauge("signet_server_audit_seq", "Number of the last audit record.", func() float64 { return float64(a.Head().Seq) })
	if f := l.now.Load().forwarder; f != nil {
		forwarded := forwarding{f, a}
		gauge("signet_server_audit_forward_behind", "Audit records that do not count as forwarded yet.", func() float64 { _, behind := forwarded.status(); return float64(behind) })
		gauge("signet_server_audit_forward_lag_seconds", "Time since every audit record counted as forwarded; 0 while all do.", func() float64 { s, _ := forwarded.status(); return s.Lag.Seconds() })
		gauge("signet_server_audit_forward_troubles", "How often the audit log did not hold what had to be forwarded, since the start.", func() float64 { s, _ := forwarded.status(); return float64(s.Troubles) })
	}
	m.registry.MustRegister(keysetAges{l}, issuerAges{l})
}

// keysetAges is read from the ring, so that keysets come and go with the configuration.
type keysetAges struct{ live *live }

var keysetAge = prometheus.NewDesc("signet_server_keyset_refresh_age_seconds", "Time since the keyset was last read in full.", []string{"keyset"}, nil)

// Describe implements [prometheus.Collector].
func (keysetAges) Describe(to chan<- *prometheus.Desc) { to <- keysetAge }

// Collect implements [prometheus.Collector].
func (k keysetAges) Collect(to chan<- prometheus.Metric) {
	for _, s := range k.live.Status() {
		to <- prometheus.MustNewConstMetric(keysetAge, prometheus.GaugeValue, time.Since(s.Fresh).Seconds(), s.Name)
	}
}

// issuerAges is read from the verifier in use. An issuer that no token has needed yet has no age.
type issuerAges struct{ live *live }

var issuerAge = prometheus.NewDesc("signet_server_issuer_keys_age_seconds", "Time since the keys of an issuer of tokens were last fetched.", []string{"issuer"}, nil)

// Describe implements [prometheus.Collector].
func (issuerAges) Describe(to chan<- *prometheus.Desc) { to <- issuerAge }

// Collect implements [prometheus.Collector].
func (i issuerAges) Collect(to chan<- prometheus.Metric) {
	for _, s := range i.live.issuers() {
		if !s.Fetched.IsZero() {
			to <- prometheus.MustNewConstMetric(issuerAge, prometheus.GaugeValue, time.Since(s.Fetched).Seconds(), s.Issuer)
		}
	}
}

// auditing counts what is put on record, which is all that was decided.
type auditing struct {
	codecserver.Audit
	*metrics
	namespaces map[string]bool
}

func (m *metrics) audit(a codecserver.Audit, namespaces []namespaceConfig) codecserver.Audit {
	known := map[string]bool{}
	for _, n := range namespaces {
		known[n.Name] = true
	}
	return &auditing{a, m, known}
}

// Write implements [codecserver.Audit].
func (a *auditing) Write(ctx context.Context, records ...audit.Record) error {
	if len(records) == 0 {
		return a.Audit.Write(ctx)
	}
	began := time.Now()
	if err := a.Audit.Write(ctx, records...); err != nil {
		a.auditFails.Inc()
		return err
	}
	a.auditTook.Observe(time.Since(began).Seconds())
	for i := range records {
		a.count(&records[i])
	}
	return nil
}

func (a *auditing) count(r *audit.Record) {
	if r.Subject == "" {
		a.strangers.WithLabelValues(r.Reason).Inc()
		return
	}
	namespace := r.Namespace
	if r.Claimed != nil {
		namespace = r.Claimed.Namespace
	}
	if !a.namespaces[namespace] {
		namespace = "unknown"
	}
	a.payloads.WithLabelValues(namespace, r.Action, string(r.Decision), r.Reason).Inc()
	if shown := shownOf(r); shown != "" {
		a.labelled.WithLabelValues(namespace, shown).Inc()
	}
	if r.BreakGlass != "" && r.Decision == audit.Allow {
		a.breakGlass.WithLabelValues(r.Rule).Inc()
	}
}

// shownOf says how many of a payload's labels were shown, "" where there is no labelled value. The labels themselves are
// the workers' words, as many as they like.
func shownOf(r *audit.Record) string {
	switch {
	case r.Decision != audit.Allow:
		return ""
	case len(r.LabelsMasked) == 0 && len(r.LabelsShown) > 0:
		return "all"
	case len(r.LabelsShown) > 0:
		return "some"
	case len(r.LabelsMasked) > 0:
		return "none"
	}
	return ""
}

// measure counts requests.
func (m *metrics) measure(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began, watched := time.Now(), &watchedWriter{ResponseWriter: w}
		next.ServeHTTP(watched, r)
		action := actionOf(r)
		m.requests.WithLabelValues(action, strconv.Itoa(cmp.Or(watched.status, http.StatusOK))).Inc()
		m.duration.WithLabelValues(action).Observe(time.Since(began).Seconds())
	})
}

// login counts what became of a login, in a word of package login's.
func (m *metrics) login(result string) { m.logins.WithLabelValues(result).Inc() }

// actionOf names what is asked for, of a few names.
func actionOf(r *http.Request) string {
	switch {
	case login.Handles(r):
		return "login"
	case selftest.Handles(r):
		return "self-test"
	}
	if r.Method == http.MethodOptions {
		return "preflight"
	}
	switch action := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]; action {
	case string(policy.Decode), string(policy.Encode), string(policy.Download):
		return action
	case "search-token":
		return string(policy.Search)
	}
	return "other"
}

func (m *metrics) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{}))
	return mux
}
