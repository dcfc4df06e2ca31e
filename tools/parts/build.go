package parts

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// program is one module of tools/ that is built into one binary.
type program struct {
	name Name   // also its folder under tools/
	tags string // build tags
	hint string // how long a first build takes, for people
	// prepare is nil or lays out, in a folder that is removed afterwards, what the build needs beside the module: it
	// returns flags for the go command. dir is the module's.
	prepare func(ctx context.Context, dir, folder string) ([]string, error)
}

// flags are those that "go list" and "go build" share.
func (p program) flags() []string {
	if p.tags == "" {
		return nil
	}
	return []string{"-tags", p.tags}
}

// ensureProgram returns the path of p's binary, built when there is none for the present sources.
func ensureProgram(ctx context.Context, out io.Writer, root string, p program) (string, error) {
	dir := filepath.Join(root, "tools", string(p.name))
	key, err := versionKey(ctx, dir, p.tags)
	if err != nil {
		return "", err
	}
	store := filepath.Join(root, ".parts")
	folder := filepath.Join(store, string(p.name)+"-"+key)
	binary := filepath.Join(folder, string(p.name))
	if isFile(binary) {
		return binary, nil
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return "", fmt.Errorf("create the folder for the build: %w", err)
	}
	// One lock per program, not per version, so that older versions can be removed under it.
	lock, err := lockFile(ctx, out, filepath.Join(store, string(p.name)+".lock"))
	if err != nil {
		return "", err
	}
	defer lock.unlock()
	if isFile(binary) {
		return binary, nil
	}
	if err := build(ctx, out, dir, p, binary); err != nil {
		return "", err
	}
	return binary, removeOlder(store, p.name, folder)
}

// build compiles into a temporary name first: a binary that exists is complete.
func build(ctx context.Context, out io.Writer, dir string, p program, binary string) error {
	report := newProgress(out, string(p.name), p.hint)
	defer report.close()
	flags := p.flags()
	if p.prepare != nil {
		folder, err := os.MkdirTemp(filepath.Dir(binary), "source-")
		if err != nil {
			return fmt.Errorf("create a folder for the sources of %s: %w", p.name, err)
		}
		defer os.RemoveAll(folder)
		more, err := p.prepare(ctx, dir, folder)
		if err != nil {
			return fmt.Errorf("prepare the sources of %s: %w", p.name, err)
		}
		flags = append(flags, more...)
	}
	total, err := listPackages(ctx, dir, flags, report)
	if err != nil {
		return err
	}
	report.compiling(total)
	temp := fmt.Sprintf("%s.tmp-%d", binary, os.Getpid())
	defer os.Remove(temp)
	args := append([]string{"build", "-v", "-ldflags=-s -w", "-o", temp}, flags...)
	if _, err := goCommand(ctx, dir, report.packageLine, append(args, ".")...); err != nil {
		return fmt.Errorf("build %s in %s: %w", p.name, dir, err)
	}
	if err := os.Rename(temp, binary); err != nil {
		return fmt.Errorf("put %s in place: %w", p.name, err)
	}
	report.finish()
	return nil
}

// listPackages counts the packages of a build, and downloads the modules that they need and no others.
func listPackages(ctx context.Context, dir string, flags []string, report *progress) (int, error) {
	args := append([]string{"list", "-deps"}, flags...)
	stdout, err := goCommand(ctx, dir, report.downloadLine, append(args, ".")...)
	if err != nil {
		return 0, fmt.Errorf("list the packages of %s: %w", dir, err)
	}
	return strings.Count(stdout, "\n"), nil
}

// versionKey is a hash of everything that decides what a build gives: sources, requirements, Go version.
func versionKey(ctx context.Context, dir, tags string) (string, error) {
	version, err := goCommand(ctx, dir, nil, "env", "GOVERSION", "GOOS", "GOARCH")
	if err != nil {
		return "", fmt.Errorf("ask for the Go version: %w", err)
	}
	sum := sha256.New()
	fmt.Fprintf(sum, "%s\n%s\n", version, tags)
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !isSource(d.Name()) {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		fmt.Fprintf(sum, "%s %d\n%s", filepath.ToSlash(rel), len(b), b)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("read the sources in %s: %w", dir, err)
	}
	return hex.EncodeToString(sum.Sum(nil))[:12], nil
}

func isSource(name string) bool {
	if strings.HasSuffix(name, "_test.go") {
		return false
	}
	return strings.HasSuffix(name, ".go") || name == "go.mod" || name == "go.sum"
}

// removeOlder frees the space of earlier versions: each is some hundred megabytes. A version that still
// runs keeps running, since its file stays until it ends.
func removeOlder(store string, name Name, keep string) error {
	folders, err := filepath.Glob(filepath.Join(store, string(name)+"-*"))
	if err != nil {
		return fmt.Errorf("look for earlier versions of %s: %w", name, err)
	}
	for _, folder := range folders {
		if folder == keep {
			continue
		}
		if err := os.RemoveAll(folder); err != nil {
			return fmt.Errorf("remove an earlier version of %s: %w", name, err)
		}
	}
	return nil
}

// goCommand runs the go command in dir, gives each line of its stderr to line, and returns its stdout,
// also where it failed. The error carries the last lines of stderr.
func goCommand(ctx context.Context, dir string, line func(string), args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	// Each tool is a module of its own, whatever workspace or vendoring the user's shell asks for.
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=-mod=readonly -buildvcs=false")
	endWithParent(cmd)
	runtime.LockOSThread() // endWithParent counts the starting thread as the parent
	defer runtime.UnlockOSThread()
	var stdout strings.Builder
	stderr := &tail{line: line}
	cmd.Stdout, cmd.Stderr = &stdout, stderr
	if err := cmd.Run(); err != nil {
		if errors.Is(err, exec.ErrNotFound) {
			return "", fmt.Errorf("no go command in PATH: install Go: %w", err)
		}
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		return stdout.String(), fmt.Errorf("go %s: %w: %s", args[0], err, stderr.last(3))
	}
	return stdout.String(), nil
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}
