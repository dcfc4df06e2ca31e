package vet

import (
	"encoding/json"
	"os"
	"strings"

	"golang.org/x/tools/go/analysis/unitchecker"
)

// Main is the main function of a program that go vet -vettool runs: it checks the one package that the arguments say, and
// does not return.
func Main() {
	if len(os.Args) > 1 && skip(os.Args[len(os.Args)-1]) {
		os.Exit(0)
	}
	unitchecker.Main(New())
}

// skip answers for a package that is only a dependency of those to be checked, and reports whether it did. go vet asks every
// tool for what it knows of dependencies. This one needs to know nothing of them, and reading all of them from source would take the
// greater part of its time.
func skip(config string) bool {
	if !strings.HasSuffix(config, ".cfg") {
		return false
	}
	text, err := os.ReadFile(config) // #nosec G304 -- go vet names it
	var unit struct {
		VetxOnly   bool
		VetxOutput string
	}
	if err != nil || json.Unmarshal(text, &unit) != nil || !unit.VetxOnly || unit.VetxOutput == "" {
		return false // unitchecker says what is wrong
	}
	return os.WriteFile(unit.VetxOutput, nil, 0o600) == nil
}
