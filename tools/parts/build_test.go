package parts

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// repository returns a root with one tiny program, tools/hello.
func repository(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	write(t, filepath.Join(root, "go.mod"), "// the library\nmodule "+rootModule+" // comment\n\ngo 1.26\n")
	write(t, filepath.Join(root, "tools/hello/go.mod"), "module hello\n\ngo 1.26\n")
	write(t, filepath.Join(root, "tools/hello/main.go"), "package main\n\nfunc main() { println(\"hello\") }\n")
	return root
}

func TestRoot(t *testing.T) {
	root := repository(t)
	for _, dir := range []string{root, filepath.Join(root, "tools"), filepath.Join(root, "tools/hello")} {
		if got, err := Root(dir); got != root || err != nil {
			t.Errorf("Root(%s) = %s, %v", dir, got, err)
		}
	}
	if got, err := Root(t.TempDir()); err == nil {
		t.Errorf("outside the repository: %s", got)
	}
}

func key(t *testing.T, dir, tags string) string {
	t.Helper()
	k, err := versionKey(t.Context(), dir, tags)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestVersionKey(t *testing.T) {
	dir := filepath.Join(repository(t), "tools/hello")
	first := key(t, dir, "")
	write(t, filepath.Join(dir, "README.md"), "words")
	write(t, filepath.Join(dir, "main_test.go"), "package main\n")
	if key(t, dir, "") != first {
		t.Error("a README or a test changes the key")
	}
	seen := map[string]string{first: "first"}
	change := func(what, k string) {
		if before, ok := seen[k]; ok {
			t.Errorf("%s has the key of %s", what, before)
		}
		seen[k] = what
	}
	change("tags", key(t, dir, "minimal"))
	write(t, filepath.Join(dir, "main.go"), "package main\n\nfunc main() {}\n")
	change("main.go", key(t, dir, ""))
	write(t, filepath.Join(dir, "stubs/a/a.go"), "package a\n")
	change("a stub", key(t, dir, ""))
	write(t, filepath.Join(dir, "go.sum"), "x\n")
	change("go.sum", key(t, dir, ""))
}

// TestEnsureProgramOnce: of many at once one builds, the others wait, and all get the same complete binary;
// a new version replaces the old.
func TestEnsureProgramOnce(t *testing.T) {
	root := repository(t)
	p := program{name: "hello"}
	var out lockedBuffer
	var group sync.WaitGroup
	paths := make([]string, 4)
	for i := range paths {
		group.Go(func() {
			var err error
			if paths[i], err = ensureProgram(t.Context(), &out, root, p); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	for _, path := range paths {
		if path != paths[0] || !isFile(path) {
			t.Errorf("paths %v", paths)
		}
	}
	if built := strings.Count(out.String(), "built hello"); built != 1 {
		t.Errorf("built %d times:\n%s", built, out.String())
	}
	write(t, filepath.Join(root, "tools/hello/main.go"), "package main\n\nfunc main() {}\n")
	next, err := ensureProgram(t.Context(), io.Discard, root, p)
	if err != nil {
		t.Fatal(err)
	}
	if next == paths[0] || isFile(paths[0]) || !isFile(next) {
		t.Errorf("old %s, new %s", paths[0], next)
	}
}

func TestBuildError(t *testing.T) {
	root := repository(t)
	write(t, filepath.Join(root, "tools/hello/main.go"), "package main\n\nfunc main() { nothing() }\n")
	path, err := ensureProgram(t.Context(), io.Discard, root, program{name: "hello"})
	if err == nil || !strings.Contains(err.Error(), "nothing") || strings.Contains(err.Error(), "\n") {
		t.Errorf("got %s, %v", path, err)
	}
	if left, _ := filepath.Glob(filepath.Join(root, ".parts/hello-*/*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestLockFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "lock")
	first, err := lockFile(t.Context(), io.Discard, file)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	var out lockedBuffer
	if _, err := lockFile(ctx, &out, file); err == nil {
		t.Fatal("two have the lock")
	}
	if strings.Count(out.String(), "waiting") != 1 {
		t.Errorf("told: %q", out.String())
	}
	var freed atomic.Bool
	time.AfterFunc(50*time.Millisecond, func() { freed.Store(true); first.unlock() })
	second, err := lockFile(t.Context(), io.Discard, file)
	if err != nil {
		t.Fatal(err)
	}
	if !freed.Load() {
		t.Error("got the lock before it was free")
	}
	second.unlock()
}

// lockedBuffer is a text that several goroutines may write.
type lockedBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}
