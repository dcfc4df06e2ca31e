package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

func TestTheDocumentationListsEveryMetricAndNoOther(t *testing.T) {
	source, err := os.ReadFile("metrics.go")
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "codec-server.md"))
	if err != nil {
		t.Fatal(err)
	}
	names := func(text []byte, pattern string) []string {
		var all []string
		for _, m := range regexp.MustCompile(pattern).FindAllSubmatch(text, -1) {
			all = append(all, string(m[1]))
		}
		slices.Sort(all)
		return slices.Compact(all)
	}
	made, told := names(source, `"(signet_server_[a-z_]+)"`), names(page, "\\| `(signet_server_[a-z_]+)` \\|")
	if len(made) < 8 || !slices.Equal(made, told) {
		t.Errorf("the server has %q, the documentation %q", made, told)
	}
}

// TestTheDocumentationNamesTheLabelsOfEveryMetric: deploy/ compares the alerts and the dashboard with that page.
func TestTheDocumentationNamesTheLabelsOfEveryMetric(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "codec-server.md"))
	if err != nil {
		t.Fatal(err)
	}
	descs := make(chan *prometheus.Desc, 1000)
	newMetrics().registry.Describe(descs)
	keysetAges{}.Describe(descs)
	issuerAges{}.Describe(descs)
	close(descs)
	seen := 0
	for d := range descs {
		m := regexp.MustCompile(`fqName: "(signet_server_[a-z_]+)".*variableLabels: \{([a-z,]*)\}`).FindStringSubmatch(d.String())
		if m == nil {
			continue // the runtime's
		}
		seen++
		row := regexp.MustCompile("\\| `" + m[1] + "` \\| [a-z]+(?:: ([a-z, ]+[a-z]))?").FindSubmatch(page)
		if row == nil || strings.ReplaceAll(string(row[1]), " ", "") != m[2] {
			t.Errorf("%s has the labels %q, the documentation says %q", m[1], m[2], row)
		}
	}
	if seen < 10 {
		t.Errorf("only %d metrics described", seen)
	}
}
