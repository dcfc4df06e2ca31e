//go:build !unix

package parts

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"
)

// fileLock is a file that exists while one process builds. A process that is killed leaves it behind.
type fileLock struct{ path string }

// lockFile waits until it can create path, and says so on out when another process has it.
func lockFile(ctx context.Context, out io.Writer, path string) (*fileLock, error) {
	for said := false; ; {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
		if err == nil {
			return &fileLock{path: path}, f.Close()
		}
		if !os.IsExist(err) {
			return nil, fmt.Errorf("create lock: %w", err)
		}
		if !said {
			fmt.Fprintf(out, "parts: another process is building this; if none is, remove %s\n", path)
			said = true
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for lock %s: %w", path, ctx.Err())
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func (l *fileLock) unlock() { os.Remove(l.path) }
