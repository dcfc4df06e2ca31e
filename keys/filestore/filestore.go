// Package filestore keeps keysets in a directory of one machine, for local development: no server, nothing to install,
// and files one can read.
//
// It is not for production. The key-encryption key lies in clear beside what it encrypts (kek.json), so whoever reads
// the directory, or a backup of it, opens every payload; nothing records who did; and no key in it can be taken from
// one reader and left to another. Wrapping is kept all the same, so that programs behave as they do with Vault.
//
//	DIR/                      0700, or it is refused
//	  kek.json                the key-encryption key: a Tink keyset in clear
//	  lock                    held while a document is changed
//	  keysets/ns/payments.json   the document of keyset ns/payments
//
// Documents are replaced by an atomic rename after an fsync: a crash leaves the old one or the new one. The lock and
// the comparison of versions hold between processes, on a local file system of a Unix-like system; on any
// other the store refuses to work.
package filestore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"
)

const (
	kekFile  = "kek.json"
	lockFile = "lock"
	docsDir  = "keysets"
)

// Store is a key store in a directory, and the key-encryption key of that directory: it implements keys.Store and
// keys.KEK. It holds no open file, needs no Close, and is safe for concurrent use, also by other processes.
type Store struct {
	dir string
	kek tink.AEAD
}

// Create makes a key store in dir, which may exist if it is closed to other users and holds no key store. dir's parent
// must exist. An interrupted Create may be run again.
func Create(dir string) (*Store, error) {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("creating a key store: %w", err)
	}
	s := &Store{dir: dir}
	if err := s.create(); err != nil {
		return nil, err
	}
	return Open(dir)
}

// Open uses the key store that [Create] made in dir. A directory or key file that other users may read is refused.
func Open(dir string) (*Store, error) {
	if err := checkDir(dir); err != nil {
		return nil, err
	}
	s := &Store{dir: dir}
	doc, err := s.readKEK()
	if err != nil {
		return nil, err
	}
	handle, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(doc)))
	if err != nil {
		return nil, fmt.Errorf("%s is not a Tink keyset in JSON: restore it: %w", filepath.Join(dir, kekFile), err)
	}
	if s.kek, err = aead.New(handle); err != nil {
		return nil, fmt.Errorf("%s holds no AEAD key: restore it: %w", filepath.Join(dir, kekFile), err)
	}
	return s, nil
}

// OpenOrCreate opens the key store in dir, and creates it when there is none. Of several processes that do so at the
// same time one creates it and all open it.
func OpenOrCreate(dir string) (*Store, error) {
	s, err := Open(dir)
	if !errors.Is(err, fs.ErrNotExist) {
		return s, err
	}
	if s, err = Create(dir); errors.Is(err, fs.ErrExist) {
		return Open(dir)
	}
	return s, err
}

// EncryptWithContext implements keys.KEK. The associated data, a keyset's name, must not be empty.
func (s *Store) EncryptWithContext(ctx context.Context, plaintext, associatedData []byte) ([]byte, error) {
	if err := checkKEKCall(ctx, associatedData); err != nil {
		return nil, err
	}
	return s.kek.Encrypt(plaintext, associatedData)
}

// DecryptWithContext implements keys.KEK.
func (s *Store) DecryptWithContext(ctx context.Context, ciphertext, associatedData []byte) ([]byte, error) {
	if err := checkKEKCall(ctx, associatedData); err != nil {
		return nil, err
	}
	out, err := s.kek.Decrypt(ciphertext, associatedData)
	if err != nil {
		return nil, fmt.Errorf("%s does not open this key: it was wrapped for another keyset or by another %s", filepath.Join(s.dir, kekFile), kekFile)
	}
	return out, nil
}

func checkKEKCall(ctx context.Context, associatedData []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if len(associatedData) == 0 {
		return errors.New("a key is wrapped under its keyset's name, and no name was given")
	}
	return nil
}

// create fills the directory, under its lock.
func (s *Store) create() error {
	if err := checkDir(s.dir); err != nil {
		return err
	}
	unlock, err := s.lock(context.Background())
	if err != nil {
		return err
	}
	defer unlock()
	kek := filepath.Join(s.dir, kekFile)
	if _, err := os.Lstat(kek); !errors.Is(err, fs.ErrNotExist) {
		if err == nil {
			err = fs.ErrExist
		}
		return fmt.Errorf("creating a key store: %s: %w: open it instead", kek, err)
	}
	// A new key-encryption key beside old documents would look healthy and open none of them.
	names, err := s.names(context.Background())
	if err != nil {
		return err
	}
	if len(names) > 0 {
		return fmt.Errorf("%s is missing but %d keysets are there that only it opens: restore it", kek, len(names))
	}
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return fmt.Errorf("making a key-encryption key: %w", err)
	}
	var doc bytes.Buffer
	if err := insecurecleartextkeyset.Write(handle, keyset.NewJSONWriter(&doc)); err != nil {
		return fmt.Errorf("making a key-encryption key: %w", err)
	}
	if err := os.Mkdir(filepath.Join(s.dir, docsDir), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("creating a key store: %w", err)
	}
	return writeFile(kek, doc.Bytes())
}

func (s *Store) readKEK() ([]byte, error) {
	path := filepath.Join(s.dir, kekFile)
	doc, err := readPrivate(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is no key store, for it has no %s: name the right directory or create a key store there: %w", s.dir, kekFile, fs.ErrNotExist)
	}
	return doc, err
}

func checkDir(dir string) error {
	info, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("key store %s does not exist: name the right directory or create a key store there: %w", dir, fs.ErrNotExist)
	}
	if err != nil {
		return fmt.Errorf("opening a key store: %w", err)
	}
	if !info.IsDir() {
		return fmt.Errorf("key store %s is not a directory", dir)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return fmt.Errorf("key store %s is open to other users (mode %04o): chmod 700 %[1]s", dir, mode)
	}
	return nil
}
