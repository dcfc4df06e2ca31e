package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
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
