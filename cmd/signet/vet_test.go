package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/signet-temporal/signet/labels/vet"
)

// goEnv makes the directory a Go module that has what this one requires, from the module cache alone: goenv MODULE
func goEnv(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: goenv MODULE")
	}
	for _, name := range []string{"GOCACHE", "GOMODCACHE", "GOROOT", "GOTOOLCHAIN"} {
		value, err := exec.Command("go", "env", name).Output() // #nosec G204 -- names
		ts.Check(err)
		ts.Setenv(name, strings.TrimSpace(string(value)))
	}
	ts.Setenv("GOPROXY", "off")
	ts.Setenv("GOFLAGS", "-mod=mod")
	for _, name := range []string{"go.mod", "go.sum"} {
		text, err := os.ReadFile(filepath.Join("..", "..", name)) // #nosec G304 -- names
		ts.Check(err)
		text = []byte(strings.Replace(string(text), "module github.com/signet-temporal/signet\n", "module "+args[0]+"\n", 1))
		ts.Check(os.WriteFile(ts.MkAbs(name), text, 0o600))
	}
}

func TestFindingsAreReadOnceAndInOrder(t *testing.T) {
	got, err := findings([]byte(`{"a/b": {"labels": [{"posn": "/x/b.go:10:2", "end": "", "message": "m"}, {"posn": "/x/b.go:9:2", "message": "m"}]}}
{}
{"a/b [a/b.test]": {"labels": [{"posn": "/x/b.go:10:2", "message": "m"}, {"posn": "/x/a_test.go:1:1", "message": "m"}]}}`))
	if err != nil {
		t.Fatal(err)
	}
	var positions []string
	for _, f := range got {
		if f.Package != "a/b" {
			t.Errorf("package %q", f.Package)
		}
		positions = append(positions, filepath.Base(f.Position))
	}
	if list := strings.Join(positions, " "); list != "a_test.go:1:1 b.go:9:2 b.go:10:2" {
		t.Errorf("positions %s", list)
	}
	for _, bad := range []string{`{"a/b": {"labels": {"error": "no type information"}}}`, `{"a/b"`, "vet: trouble"} {
		if got, err := findings([]byte(bad)); err == nil || got != nil {
			t.Errorf("%s: %v, %v", bad, got, err)
		}
	}
}

func TestTheFileAddsToWhatIsKnownOrTakesItsPlace(t *testing.T) {
	file := filepath.Join(t.TempDir(), "vet.yaml")
	for text, want := range map[string][]string{
		"": nil,
		"fields: [member_number, case_id]\nonlyFields: true": {"-labels.fields=_(member_number|case_id)_"},
		"fields: [member_number]":                            {"-labels.fields=" + vet.DefaultFields + "|_(member_number)_"},
		"types: [a.b/c.T, d.U]":                              {"-labels.types=a.b/c.T,d.U"},
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if flags, err := (&vetCmd{File: file}).flags(); err != nil || !slices.Equal(flags, want) {
			t.Errorf("%q: %q, %v, want %q", text, flags, err, want)
		}
	}
}
