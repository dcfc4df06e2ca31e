package audit_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/signet-temporal/signet/codecserver/audit"
)

// files returns the log's files in the order of the chain: the rotated ones sort before the current one.
func files(t *testing.T, path string) []string {
	t.Helper()
	rotated, err := filepath.Glob(path + ".*")
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(rotated)
	return append(rotated, path)
}

func verifyFiles(t *testing.T, names ...string) (*audit.Verifier, bool) {
	t.Helper()
	v := &audit.Verifier{}
	for _, name := range names {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := v.Read(filepath.Base(name), f); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return v, v.Finish()
}

func open(t *testing.T, path string, o audit.FileOptions) *audit.Log {
	t.Helper()
	l, err := audit.OpenFile(path, o)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func write(t *testing.T, l *audit.Log, ids ...string) {
	t.Helper()
	for _, id := range ids {
		if err := l.Write(t.Context(), audit.Record{RequestID: id}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTheChainGoesOnThroughRotationAndRestarts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	for run := range 3 {
		l := open(t, path, audit.FileOptions{MaxSize: 2000})
		for i := range 20 {
			write(t, l, fmt.Sprintf("r%d-%d", run, i))
		}
		if h := l.Head(); h.Seq != uint64(20*(run+1)) {
			t.Errorf("head %+v after run %d", h, run)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	names := files(t, path)
	v, whole := verifyFiles(t, names...)
	if !whole || v.Records != 60 || len(names) < 5 {
		t.Errorf("whole %t, %d records in %q: %v", whole, v.Records, names, v.Findings)
	}
	for _, name := range names {
		if info, err := os.Stat(name); err != nil || info.Size() > 3000 || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	if v, whole := verifyFiles(t, append(names[:1:1], names[2:]...)...); whole || !strings.Contains(v.Findings[0].Text, "are missing") {
		t.Errorf("without the second file: whole %t, %v", whole, v.Findings)
	}
}

// A crash can strike at each step of a rotation: before the new file is there, and before anything is in it.
func TestARotationThatACrashCutsShortIsTakenUpAgain(t *testing.T) {
	for says, leave := range map[string]func(path string) error{
		"renamed": func(path string) error { return os.Rename(path, path+".0000000000002") },
		"renamed and made empty": func(path string) error {
			return errorsOf(os.Rename(path, path+".0000000000002"), os.WriteFile(path, nil, 0o600))
		},
	} {
		t.Run(says, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "audit.jsonl")
			l := open(t, path, audit.FileOptions{})
			write(t, l, "r1", "r2")
			if err := errorsOf(l.Close(), leave(path)); err != nil {
				t.Fatal(err)
			}
			l = open(t, path, audit.FileOptions{})
			write(t, l, "r3")
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			if v, whole := verifyFiles(t, files(t, path)...); !whole || v.Head.Seq != 3 {
				t.Errorf("whole %t, head %+v: %v", whole, v.Head, v.Findings)
			}
		})
	}
}

func errorsOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func TestRotationNeverOverwritesAndFailsClosed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	l := open(t, path, audit.FileOptions{MaxSize: 1})
	defer l.Close()
	write(t, l, "r1")
	there := path + ".0000000000001"
	if err := os.WriteFile(there, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := l.Write(t.Context(), audit.Record{}); err == nil || !strings.Contains(err.Error(), there) {
		t.Errorf("Write = %v, want an error that names what is in the way", err)
	}
	if got := lines(t, there); got[0] != "precious" {
		t.Errorf("what was there is now %q", got)
	}
	if err := os.Remove(there); err != nil {
		t.Fatal(err)
	}
	write(t, l, "r2")
	if v, whole := verifyFiles(t, files(t, path)...); !whole || v.Records != 2 {
		t.Errorf("whole %t: %v", whole, v.Findings)
	}
}

// Whatever a crash leaves of the last line, the next start says so in the chain and goes on.
func TestAnyTornTailIsToldByTheNextRecord(t *testing.T) {
	dir := t.TempDir()
	whole := filepath.Join(dir, "whole")
	l := open(t, whole, audit.FileOptions{})
	write(t, l, "r1", "r2")
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	first := strings.IndexByte(string(data), '\n') + 1
	for n := first; n <= len(data); n++ {
		path := filepath.Join(dir, fmt.Sprintf("cut%d", n))
		if err := os.WriteFile(path, data[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		l := open(t, path, audit.FileOptions{})
		write(t, l, "next")
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		v, ok := verifyFiles(t, path)
		wantNotes := 1
		if n == first || n >= len(data)-1 { // nothing, or all but the end of the line
			wantNotes = 0
		}
		if !ok || len(v.Findings) != wantNotes {
			t.Fatalf("cut after %d of %d bytes: whole %t, %v", n, len(data), ok, v.Findings)
		}
	}
}

func TestOneFileHasOneWriter(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	l := open(t, path, audit.FileOptions{})
	if second, err := audit.OpenFile(path, audit.FileOptions{}); err == nil || second != nil || !strings.Contains(err.Error(), "another process writes it") {
		t.Errorf("a second OpenFile = %v, %v", second, err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := open(t, path, audit.FileOptions{}).Close(); err != nil {
		t.Error(err)
	}
}

func TestConcurrentRequestsMakeOneChain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	l := open(t, path, audit.FileOptions{MaxSize: 20_000})
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for range 20 {
				if err := l.Write(t.Context(), audit.Record{RequestID: "a"}, audit.Record{RequestID: "b"}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if v, whole := verifyFiles(t, files(t, path)...); !whole || v.Records != 640 {
		t.Errorf("whole %t, %d records: %v", whole, v.Records, v.Findings)
	}
}

func TestALinkIsFollowedAndNotRenamed(t *testing.T) {
	dir := t.TempDir()
	real, path := filepath.Join(dir, "real"), filepath.Join(dir, "audit.jsonl")
	if err := os.Symlink(real, path); err != nil {
		t.Fatal(err)
	}
	l := open(t, path, audit.FileOptions{MaxSize: 1})
	write(t, l, "r1", "r2", "r3")
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if got := files(t, path); len(got) != 1 || len(lines(t, real)) != 3 {
		t.Errorf("files %q, %d lines where the link leads", got, len(lines(t, real)))
	}
}
