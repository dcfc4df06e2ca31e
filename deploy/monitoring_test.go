package deploy

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	promlabels "github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"
)

func alerts(t *testing.T) map[string]rulefmt.Rule {
	t.Helper()
	groups, errs := rulefmt.ParseFile(filepath.Join(chartDir, "files", "alerts.yaml"), false, model.UTF8Validation, parser.NewParser(parser.Options{}), nil)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	all := map[string]rulefmt.Rule{}
	for _, rule := range groups.Groups[0].Rules {
		all[rule.Alert] = rule
	}
	return all
}

// exported are the metrics that docs/codec-server.md lists, with their labels and those that scraping adds; a test of
// cmd/signet-server compares that page with the server.
func exported(t *testing.T) map[string][]string {
	t.Helper()
	page, err := os.ReadFile("../docs/codec-server.md")
	if err != nil {
		t.Fatal(err)
	}
	scraped := []string{"job", "instance"}
	metrics := map[string][]string{"process_cpu_seconds_total": scraped, "process_resident_memory_bytes": scraped}
	for _, m := range regexp.MustCompile("\\| `(signet_server_[a-z_]+)` \\| ([a-z]+)(?:: ([a-z, ]+[a-z]))?").FindAllStringSubmatch(string(page), -1) {
		labels := append(strings.Split(m[3], ", "), scraped...)
		if m[2] == "histogram" {
			metrics[m[1]+"_bucket"] = append(labels, "le")
		} else {
			metrics[m[1]] = labels
		}
	}
	if len(metrics) < 12 {
		t.Fatalf("only %v found", metrics)
	}
	return metrics
}

// checkMetrics: an expression names only metrics that there are, and only labels that they have; so does the text that
// goes with it, as {{ $labels.x }} or {{x}}.
func checkMetrics(t *testing.T, where, expr, text string) {
	t.Helper()
	known := exported(t)
	parsed, err := parser.NewParser(parser.Options{}).ParseExpr(expr)
	if err != nil {
		t.Errorf("%s: %v", where, err)
		return
	}
	var labels []string // of any of the metrics
	for _, selectors := range parser.ExtractSelectors(parsed) {
		name := selectors[slices.IndexFunc(selectors, func(m *promlabels.Matcher) bool { return m.Name == model.MetricNameLabel })].Value
		if known[name] == nil {
			t.Errorf("%s: there is no metric %s", where, name)
		}
		for _, m := range selectors {
			if m.Name != model.MetricNameLabel && !slices.Contains(known[name], m.Name) {
				t.Errorf("%s: %s has no label %s", where, name, m.Name)
			}
		}
		labels = append(labels, known[name]...)
	}
	left := labels // by the outermost aggregation
	parser.Inspect(parsed, func(node parser.Node, path []parser.Node) error {
		if by, ok := node.(*parser.AggregateExpr); ok {
			for _, label := range by.Grouping {
				if !slices.Contains(labels, label) {
					t.Errorf("%s: groups by %s, which nothing there has", where, label)
				}
			}
			if !slices.ContainsFunc(path, func(n parser.Node) bool { _, binary := n.(*parser.BinaryExpr); return binary }) {
				left = by.Grouping
			}
		}
		return nil
	})
	for _, m := range regexp.MustCompile(`{{ ?(?:\$labels\.)?([a-z]+) ?}}`).FindAllStringSubmatch(text, -1) {
		if !slices.Contains(left, m[1]) {
			t.Errorf("%s: %q names a label that does not come out of %s", where, text, expr)
		}
	}
}

func TestAlertsAndDashboardNameMetricsThatThereAre(t *testing.T) {
	page, err := os.ReadFile("../docs/deploy.md")
	if err != nil {
		t.Fatal(err)
	}
	for name, rule := range alerts(t) {
		checkMetrics(t, name, rule.Expr, rule.Annotations["summary"])
		if rule.Annotations["summary"] == "" || rule.Labels["severity"] == "" {
			t.Errorf("%s says nothing", name)
		}
		if !strings.Contains(string(page), "| `"+name+"` |") {
			t.Errorf("docs/deploy.md does not say what to do at %s", name)
		}
	}
	data, err := os.ReadFile(filepath.Join(chartDir, "files", "dashboard.json"))
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr, LegendFormat string }
		}
	}
	if err := json.Unmarshal(data, &dashboard); err != nil || len(dashboard.Panels) < 10 {
		t.Fatalf("%d panels, %v", len(dashboard.Panels), err)
	}
	for _, p := range dashboard.Panels {
		for _, target := range p.Targets {
			checkMetrics(t, p.Title, strings.ReplaceAll(target.Expr, "$job", "codec"), target.LegendFormat)
		}
	}
}

// TestAlertsFireWhenTheyShould evaluates each alert over an hour of samples, one a minute, with what Prometheus evaluates.
func TestAlertsFireWhenTheyShould(t *testing.T) {
	const healthy = `load 1m
  signet_server_config_stale{job="codec",instance="a"} 0x60
  signet_server_audit_failures_total{job="codec",instance="a"} 0x60
  signet_server_audit_forward_troubles{job="codec",instance="a"} 0x60
  signet_server_audit_seq{job="codec",instance="a"} 3000+600x60
  signet_server_audit_forward_behind{job="codec",instance="a"} 50x60
  signet_server_requests_total{job="codec",instance="a",action="decode",code="200"} 0+600x60
  signet_server_payloads_total{job="codec",instance="a",namespace="payments",action="decode",decision="allow",reason=""} 0+600x60
  signet_server_strangers_total{job="codec",instance="a",reason="expired-token"} 0+60x60
  signet_server_keyset_refresh_age_seconds{job="codec",instance="a",keyset="ns/payments"} 30x60
  signet_server_issuer_keys_age_seconds{job="codec",instance="a",issuer="https://login.example.com"} 600x60
  signet_server_request_duration_seconds_bucket{job="codec",instance="a",action="decode",le="0.005"} 0+600x60
  signet_server_request_duration_seconds_bucket{job="codec",instance="a",action="decode",le="1"} 0+600x60
  signet_server_request_duration_seconds_bucket{job="codec",instance="a",action="decode",le="+Inf"} 0+600x60
`
	rules := alerts(t)
	for name := range rules {
		want := 0
		if got := evaluate(t, healthy, rules[name].Expr); got != want {
			t.Errorf("%s fires for a server that is well", name)
		}
	}
	tried := map[string]bool{}
	for _, c := range []struct{ alert, replace, samples string }{
		{"SignetServerAbsent", "signet_server_config_stale", `_x60`},
		{"SignetConfigurationStale", "signet_server_config_stale", `0x30 1x30`},
		{"SignetAuditCannotBeWritten", "signet_server_audit_failures_total", `0x57 1x3`},
		{"SignetAuditLogChanged", "signet_server_audit_forward_troubles", `0x57 1x3`},
		{"SignetAuditNotForwarded", "signet_server_audit_forward_behind", `0+600x60`},
		{"SignetServerErrors", `signet_server_requests_total{job="codec",instance="a",action="decode",code="503"}`, `0+60x60`},
		{"SignetBreakGlass", `signet_server_break_glass_total{job="codec",instance="a",rule="emergency"}`, `_x54 1x6`},
		{"SignetBreakGlass", `signet_server_break_glass_total{job="codec",instance="a",rule="emergency"}`, `4x54 5x6`},
		{"SignetPayloadsNotAuthentic", `signet_server_payloads_total{job="codec",instance="a",namespace="payments",action="decode",decision="unreadable",reason="not-authentic"}`, `_x54 1x6`},
		{"SignetForeignTokens", `signet_server_strangers_total{job="codec",instance="a",reason="bad-signature"}`, `0+60x60`},
		{"SignetKeysetStale", "signet_server_keyset_refresh_age_seconds", `0+60x60`},
		{"SignetIssuerAway", "signet_server_issuer_keys_age_seconds", `3000+60x60`},
		{"SignetSlow", `signet_server_request_duration_seconds_bucket{job="codec",instance="a",action="decode",le="0.005"}`, `0+300x60`},
	} {
		tried[c.alert] = true
		if got := evaluate(t, changed(healthy, c.replace, c.samples), rules[c.alert].Expr); got == 0 {
			t.Errorf("%s does not fire", c.alert)
		}
	}
	if len(tried) != len(rules) {
		t.Errorf("%d of %d alerts were tried", len(tried), len(rules))
	}
	// Break glass that is half an hour ago is no news, and keys that nobody needs may be old.
	for alert, load := range map[string]string{
		"SignetBreakGlass": changed(healthy, `signet_server_break_glass_total{job="codec",instance="a",rule="emergency"}`, `_x20 1x40`),
		"SignetIssuerAway": changed(changed(healthy, "signet_server_issuer_keys_age_seconds", `3000+60x60`), "signet_server_requests_total", `600x60`),
	} {
		if evaluate(t, load, rules[alert].Expr) != 0 {
			t.Errorf("%s fires where it should be quiet", alert)
		}
	}
}

// changed gives the series that begins with name other samples, or adds it.
func changed(load, name, samples string) string {
	lines, found := strings.Split(strings.TrimSpace(load), "\n"), false
	for i, line := range lines {
		if series, _, _ := strings.Cut(strings.TrimSpace(line), " "); strings.HasPrefix(series, name) {
			lines[i], found = "  "+series+" "+samples, true
		}
	}
	if !found {
		lines = append(lines, "  "+name+" "+samples)
	}
	return strings.Join(lines, "\n")
}

// evaluate returns how many series the expression has after an hour.
func evaluate(t *testing.T, load, expr string) int {
	t.Helper()
	storage := promqltest.LoadedStorage(t, load)
	engine := promql.NewEngine(promql.EngineOpts{MaxSamples: 1e6, Timeout: time.Minute, LookbackDelta: 5 * time.Minute})
	defer engine.Close()
	query, err := engine.NewInstantQuery(context.Background(), storage, nil, expr, time.Unix(3600, 0))
	if err != nil {
		t.Fatal(err)
	}
	defer query.Close()
	vector, err := query.Exec(context.Background()).Vector()
	if err != nil {
		t.Fatal(err)
	}
	return len(vector)
}
