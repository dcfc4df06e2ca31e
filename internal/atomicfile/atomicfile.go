// Package atomicfile writes small files that a crash must not leave half written.
package atomicfile

import (
	"errors"
	"os"
	"path/filepath"
)

// Replace puts a file of mode 0600 in place of the one at path, if there is one: whole or not at all, whenever the process
// or the machine stops. What was there before may come back after a crash of the machine, since the folder is not synced.
func Replace(path string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*") // 0600
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name()) // it was of no use
	}
	return err
}
