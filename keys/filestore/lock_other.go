//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package filestore

import (
	"context"
	"fmt"
	"runtime"
)

// lock fails: without a lock between processes a change could be lost, and a lost key is lost data.
func (s *Store) lock(context.Context) (unlock func(), err error) {
	return nil, fmt.Errorf("the file key store cannot lock files on %s: use Vault, or run this on Linux or macOS", runtime.GOOS)
}
