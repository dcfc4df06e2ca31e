package forward

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/signet-temporal/signet/codecserver/audit"
)

// cursor is what the file holds: the last record that counts as delivered.
type cursor struct {
	Seq  uint64 `json:"seq"`
	Hash string `json:"hash"`
}

// loadCursor: no file is a log of which nothing was forwarded. One that cannot be read stops the start: guessing would
// lose records, or send all of them.
func loadCursor(path string) (audit.Head, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return audit.Head{}, nil
	}
	if err != nil {
		return audit.Head{}, fmt.Errorf("reading where forwarding stands: %w", err)
	}
	var c cursor
	if err := json.Unmarshal(text, &c); err != nil || c.Seq == 0 || c.Hash == "" {
		return audit.Head{}, fmt.Errorf("%s does not say where forwarding stands: remove it to send the whole log again", path)
	}
	return audit.Head{Seq: c.Seq, Hash: c.Hash}, nil
}

// saveCursor replaces the file at once. It is not synced: an older one means records that come twice.
func saveCursor(path string, at audit.Head) error {
	text, err := json.Marshal(cursor{at.Seq, at.Hash})
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".cursor-*")
	if err != nil {
		return err
	}
	_, err = f.Write(append(text, '\n'))
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name()) // it was of no use
	}
	return err
}
