package keystest

import (
	"context"
	"errors"
	"sync"

	"github.com/signet-temporal/signet/keys"
)

// ErrCrash is what a [Crash] answers from its end on.
var ErrCrash = errors.New("the process has crashed")

// Crash is a key store and a key-encryption key in front of others that end in the middle, as for a process that is
// killed: at the call that Point says, and for good. Point 0 is before the first call, point 1 after it, point 2 before
// the second, and so on; after a call means that it was done and nobody learned of it. A test runs something at every
// point until it is not reached any more.
type Crash struct {
	Store *Store
	KEK   *KEK
	Point int

	mu    sync.Mutex
	next  int
	ended bool
}

// Reached reports whether the point was reached.
func (c *Crash) Reached() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ended
}

// at ends the process if the next point is its last.
func (c *Crash) at() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = c.ended || c.next == c.Point
	c.next++
	if c.ended {
		return ErrCrash
	}
	return nil
}

// Fetch implements [keys.Store].
func (c *Crash) Fetch(ctx context.Context, name string) (*keys.Keyset, keys.Version, error) {
	if err := c.at(); err != nil {
		return nil, "", err
	}
	k, v, err := c.Store.Fetch(ctx, name)
	if crashed := c.at(); crashed != nil {
		return nil, "", crashed
	}
	return k, v, err
}

// Replace implements [keys.Store].
func (c *Crash) Replace(ctx context.Context, k *keys.Keyset, old keys.Version) (keys.Version, error) {
	if err := c.at(); err != nil {
		return "", err
	}
	v, err := c.Store.Replace(ctx, k, old)
	if crashed := c.at(); crashed != nil {
		return "", crashed
	}
	return v, err
}

// List implements [keys.Store].
func (c *Crash) List(ctx context.Context) ([]string, error) {
	if err := c.at(); err != nil {
		return nil, err
	}
	names, err := c.Store.List(ctx)
	if crashed := c.at(); crashed != nil {
		return nil, crashed
	}
	return names, err
}

// Forget implements [keys.Store].
func (c *Crash) Forget(ctx context.Context, name string) error {
	if err := c.at(); err != nil {
		return err
	}
	err := c.Store.Forget(ctx, name)
	return errors.Join(err, c.at())
}

// EncryptWithContext implements [keys.Wrapper].
func (c *Crash) EncryptWithContext(ctx context.Context, plaintext, associatedData []byte) ([]byte, error) {
	if err := c.at(); err != nil {
		return nil, err
	}
	out, err := c.KEK.EncryptWithContext(ctx, plaintext, associatedData)
	if crashed := c.at(); crashed != nil {
		return nil, crashed
	}
	return out, err
}

// RewrapWithContext implements [keys.Rewrapper].
func (c *Crash) RewrapWithContext(ctx context.Context, ciphertext, associatedData []byte) ([]byte, error) {
	if err := c.at(); err != nil {
		return nil, err
	}
	out, err := c.KEK.RewrapWithContext(ctx, ciphertext, associatedData)
	if crashed := c.at(); crashed != nil {
		return nil, crashed
	}
	return out, err
}

// VersionOf is that of the KEK: no call is made for it.
func (c *Crash) VersionOf(ciphertext []byte) int { return c.KEK.VersionOf(ciphertext) }

// Versions is that of the KEK.
func (c *Crash) Versions(ctx context.Context) (latest, oldest int, err error) {
	if err := c.at(); err != nil {
		return 0, 0, err
	}
	latest, oldest, err = c.KEK.Versions(ctx)
	if crashed := c.at(); crashed != nil {
		return 0, 0, crashed
	}
	return latest, oldest, err
}
