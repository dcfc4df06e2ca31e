package vet

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/tools/go/analysis/analysistest"
)

// The packages in testdata are parts of this module: they use the SDK as it is.
const root, testdata = "../..", "./labels/vet/testdata/"

// TestWhatIsWantedIsFound, and nothing else: the comments in testdata say what. It takes its time, because analysistest reads
// the SDK and all that it needs from source.
func TestWhatIsWantedIsFound(t *testing.T) {
	analysistest.Run(t, root, New(), testdata+"intake", testdata+"clear")
}

func TestANameIsReadWordByWord(t *testing.T) {
	for name, want := range map[string]string{
		"SSN": "_ssn_", "PatientSSN": "_patient_ssn_", "SSNOfPatient": "_ssn_of_patient_", "cardNumber": "_card_number_",
		"card_number": "_card_number_", "Address2Street": "_address2_street_", "e-mail": "_e_mail_", "": "_", "_x": "_x_", "APIKey": "_api_key_",
	} {
		if got := words(name); got != want {
			t.Errorf("words(%q) = %q, want %q", name, got, want)
		}
	}
}

// TestGoVetRunsIt as docs/labels.md says, with the flags that say what is sensitive.
func TestGoVetRunsIt(t *testing.T) {
	tool := filepath.Join(t.TempDir(), "signet-vet")
	if out, err := run(t, "build", "-o", tool, "./cmd/signet-vet"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	out, err := run(t, "vet", "-vettool="+tool, "-labels.fields=_wobble_",
		"-labels.types=time.Duration,github.com/signet-temporal/signet/labels/vet/testdata/types.Secretive", testdata+"clean")
	if err == nil || strings.Count(out, "clean.go:") != 3 {
		t.Errorf("go vet finds %v: %s", err, out)
	}
	for _, field := range []string{"Note", "Notes", "Wobble"} {
		if !strings.Contains(out, "field "+field+" looks sensitive") {
			t.Errorf("go vet finds nothing about %s: %s", field, out)
		}
	}
	if New().Flags.Set("fields", "(") == nil {
		t.Error("a bad expression is accepted")
	}
}

func run(t *testing.T, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir = root
	out, err := cmd.CombinedOutput()
	return string(out), err
}
