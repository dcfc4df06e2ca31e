package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/signet-temporal/signet/internal/atomicfile"
	"github.com/signet-temporal/signet/keys/census"
)

// checkpoint is the file in which a census is kept while it is taken. Without a path nothing is kept.
type checkpoint struct {
	path  string
	last  *census.Result // what there is to save; the walker does not change it between two calls of keep
	saved time.Time
}

// saveEvery bounds how much of a walk is lost with the process, and how often the file is written.
const saveEvery = 2 * time.Second

// load returns what was kept, or nil.
func (c *checkpoint) load() (*census.Result, error) {
	if c.path == "" {
		return nil, nil
	}
	text, err := os.ReadFile(c.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the checkpoint: %w", err)
	}
	var r census.Result
	if err := json.Unmarshal(text, &r); err != nil {
		return nil, fmt.Errorf("%s is no checkpoint of a census: name another file, or remove it to begin anew", c.path)
	}
	return &r, nil
}

// keep saves the census every two seconds.
func (c *checkpoint) keep(r *census.Result) error {
	c.last = r
	if time.Since(c.saved) < saveEvery {
		return nil
	}
	return c.flush()
}

// flush saves what was kept last.
func (c *checkpoint) flush() error {
	if c.path == "" || c.last == nil {
		return nil
	}
	text, err := json.Marshal(c.last)
	if err == nil {
		err = atomicfile.Replace(c.path, text)
	}
	if err != nil {
		return fmt.Errorf("writing the checkpoint: %w", err)
	}
	c.saved = time.Now()
	return nil
}

// remove ends it: a complete census is not gone on with.
func (c *checkpoint) remove() error {
	if c.path == "" {
		return nil
	}
	if err := os.Remove(c.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing the checkpoint: %w", err)
	}
	return nil
}
