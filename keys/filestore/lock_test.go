//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package filestore_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/signet-temporal/signet/keys"
	"github.com/signet-temporal/signet/keys/keystest"
)

// holdLock does what another process does while it changes a document.
func holdLock(t *testing.T, dir string) (unlock func()) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	return func() { _ = f.Close() }
}

func TestWaitingForTheLockEndsWithTheContext(t *testing.T) {
	s, dir := create(t)
	k := keystest.NewKeyset(t, s, s, name, keys.AES256GCM)
	_, v, err := s.Fetch(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	unlock := holdLock(t, dir)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = s.Replace(ctx, k, v)
	wantError(t, err, filepath.Join(dir, "lock"))
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %q does not match the context's", err)
	}
	unlock()
	if _, err := s.Replace(t.Context(), k, v); err != nil {
		t.Errorf("after the lock was released: %v", err)
	}
}
