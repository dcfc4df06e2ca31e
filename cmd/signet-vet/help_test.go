package main

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestHelpFitsTheTerminal(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the program")
	}
	program := filepath.Join(t.TempDir(), "signet-vet")
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, args := range []string{"help", "help labels"} {
		out, err := exec.Command(program, strings.Fields(args)...).CombinedOutput() // #nosec G204 -- the arguments above
		if err != nil || !strings.Contains(string(out), "labels") {
			t.Errorf("signet-vet %s: %v: %s", args, err, out)
		}
		for line := range strings.Lines(string(out)) {
			if width := utf8.RuneCountInString(strings.TrimRight(line, "\n")); width > 100 {
				t.Errorf("signet-vet %s: %d columns: %s", args, width, line)
			}
		}
	}
}
