package atomicfile_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/signet-temporal/signet/internal/atomicfile"
)

func TestAFileIsReplacedAndNothingIsLeftBesideIt(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "notes.json")
	if err := os.WriteFile(file, []byte("before"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := atomicfile.Replace(file, []byte("after")); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	info, _ := os.Stat(file)
	if err != nil || string(text) != "after" || info.Mode().Perm() != 0o600 {
		t.Errorf("%q, %v, mode %v", text, err, info.Mode())
	}
	if err := atomicfile.Replace(dir, []byte("after")); err == nil {
		t.Error("a folder is replaced by a file")
	}
	for _, at := range []string{dir, filepath.Dir(dir)} {
		if entries, err := os.ReadDir(at); err != nil || len(entries) != 1 {
			t.Errorf("in %s are %v, %v", at, entries, err)
		}
	}
	if err := atomicfile.Replace(filepath.Join(dir, "nowhere", "notes.json"), nil); !os.IsNotExist(err) {
		t.Errorf("in no folder: %v", err)
	}
}
