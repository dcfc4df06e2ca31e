package login

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// marker is a file that is always in the directory: where it is missing, the directory is not the one it was, for example
// because a volume is not mounted, and that a session is not in there means nothing.
const marker = "signet-ended-sessions"

// sweepEvery is how often sessions are removed that have expired since they were ended.
const sweepEvery = time.Minute

// ended is a directory with an empty file for each session that was ended before its time. Replicas share it; it survives
// a restart; and looking costs one or two system calls.
type ended struct {
	dir   string
	mu    sync.Mutex
	swept time.Time
}

func openEnded(dir string) (*ended, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("%w: give a directory that this user may write to", err)
	}
	e := &ended{dir: dir}
	if err := e.touch(marker); err != nil {
		return nil, fmt.Errorf("%w: give a directory that this user may write to", err)
	}
	return e, nil
}

// touch makes a file that is there when touch returns, also after a crash.
func (e *ended) touch(name string) error {
	f, err := os.OpenFile(filepath.Join(e.dir, name), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	d, err := os.Open(e.dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func fileOf(id string, expires time.Time) string { return fmt.Sprintf("%d-%s", expires.Unix(), id) }

// add ends a session.
func (e *ended) add(id string, expires, now time.Time) error {
	if _, err := os.Lstat(filepath.Join(e.dir, marker)); err != nil {
		return err
	}
	if err := e.touch(fileOf(id, expires)); err != nil {
		return err
	}
	e.sweep(now)
	return nil
}

// has reports whether a session was ended.
func (e *ended) has(id string, expires time.Time) (bool, error) {
	_, err := os.Lstat(filepath.Join(e.dir, fileOf(id, expires)))
	if err == nil {
		return true, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	_, err = os.Lstat(filepath.Join(e.dir, marker))
	return false, err
}

// sweep removes what has expired anyway. What it cannot remove stays, and does no harm.
func (e *ended) sweep(now time.Time) {
	e.mu.Lock()
	due := now.Sub(e.swept) >= sweepEvery
	if due {
		e.swept = now
	}
	e.mu.Unlock()
	if !due {
		return
	}
	entries, err := os.ReadDir(e.dir)
	if err != nil {
		return
	}
	for _, entry := range entries {
		before, _, ok := strings.Cut(entry.Name(), "-")
		expires, err := strconv.ParseInt(before, 10, 64)
		if ok && err == nil && now.After(time.Unix(expires, 0).Add(time.Hour)) { // an hour for the clocks of replicas
			_ = os.Remove(filepath.Join(e.dir, entry.Name()))
		}
	}
}
