package keystest

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"
)

// KEK is a [keys.KEK] that exists only in this process. It has versions, as a Transit key has: [KEK.Rotate] adds one.
// It is safe for concurrent use.
type KEK struct {
	mu       sync.Mutex
	versions []tink.AEAD // version n is versions[n-1]
	oldest   int         // version that still opens
	err      error
	unwraps  int
}

// NewKEK makes a KEK with a fresh key, its version 1.
func NewKEK(t testing.TB) *KEK {
	t.Helper()
	k := &KEK{oldest: 1}
	k.Rotate(t)
	return k
}

// Rotate adds a version: it wraps from now on, and the earlier ones go on opening.
func (k *KEK) Rotate(t testing.TB) {
	t.Helper()
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		t.Fatalf("making a key-encryption key: %v", err)
	}
	primitive, err := aead.New(handle)
	if err != nil {
		t.Fatalf("making a key-encryption key: %v", err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.versions = append(k.versions, primitive)
}

// SetOldest makes the versions before oldest open nothing any more.
func (k *KEK) SetOldest(oldest int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.oldest = oldest
}

// SetError makes every call from now on fail with err, an outage; nil ends it.
func (k *KEK) SetError(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.err = err
}

// Unwraps returns how often the KEK was asked to decrypt, failed calls included.
func (k *KEK) Unwraps() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.unwraps
}

// EncryptWithContext implements [keys.KEK].
func (k *KEK) EncryptWithContext(ctx context.Context, plaintext, associatedData []byte) ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.usable(ctx, associatedData); err != nil {
		return nil, err
	}
	return k.wrap(plaintext, associatedData)
}

// DecryptWithContext implements [keys.KEK].
func (k *KEK) DecryptWithContext(ctx context.Context, ciphertext, associatedData []byte) ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.unwraps++
	if err := k.usable(ctx, associatedData); err != nil {
		return nil, err
	}
	return k.open(ciphertext, associatedData)
}

// RewrapWithContext implements [keys.Rewrapper].
func (k *KEK) RewrapWithContext(ctx context.Context, ciphertext, associatedData []byte) ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.usable(ctx, associatedData); err != nil {
		return nil, err
	}
	plaintext, err := k.open(ciphertext, associatedData)
	if err != nil {
		return nil, err
	}
	return k.wrap(plaintext, associatedData)
}

// VersionOf returns the version that made ciphertext, 0 for none.
func (k *KEK) VersionOf(ciphertext []byte) int {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(ciphertext) == 0 || int(ciphertext[0]) > len(k.versions) {
		return 0
	}
	return int(ciphertext[0])
}

// Versions returns the version that wraps and the oldest that opens.
func (k *KEK) Versions(ctx context.Context) (latest, oldest int, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := errors.Join(ctx.Err(), k.err); err != nil {
		return 0, 0, err
	}
	return len(k.versions), k.oldest, nil
}

func (k *KEK) wrap(plaintext, associatedData []byte) ([]byte, error) {
	latest := len(k.versions)
	out, err := k.versions[latest-1].Encrypt(plaintext, associatedData)
	if err != nil {
		return nil, err
	}
	return append([]byte{byte(latest)}, out...), nil
}

func (k *KEK) open(ciphertext, associatedData []byte) ([]byte, error) {
	if len(ciphertext) == 0 || int(ciphertext[0]) < k.oldest || int(ciphertext[0]) > len(k.versions) {
		return nil, errors.New("no version of the key-encryption key opens it")
	}
	return k.versions[ciphertext[0]-1].Decrypt(ciphertext[1:], associatedData)
}

func (k *KEK) usable(ctx context.Context, associatedData []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if len(associatedData) == 0 {
		return errors.New("a key is wrapped under its keyset's name, and no name was given")
	}
	return k.err
}
