//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package filestore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// lockPoll is the longest time between two tries for a lock somebody holds; a change takes a few milliseconds.
const lockPoll = 10 * time.Millisecond

// lock takes the store's lock, against other processes and other goroutines alike, and returns how to release it.
// The kernel releases it for a process that dies.
func (s *Store) lock(ctx context.Context) (unlock func(), err error) {
	path := filepath.Join(s.dir, lockFile)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("locking the key store: %w", err)
	}
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { _ = f.Close() }, nil // closing releases it
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			_ = f.Close()
			return nil, fmt.Errorf("locking the key store: flock %s: %w", path, err)
		}
		retry := time.NewTimer(1 + rand.N(lockPoll))
		select {
		case <-retry.C:
		case <-ctx.Done():
			retry.Stop()
			_ = f.Close()
			return nil, fmt.Errorf("waiting for %s, which another process holds: %w", path, ctx.Err())
		}
	}
}
