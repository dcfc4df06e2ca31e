package main

import (
	"bytes"
	"context"
	"io"
	"os"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"

	"github.com/signet-temporal/signet/internal/keyconfig"
	"github.com/signet-temporal/signet/keys"
	"github.com/signet-temporal/signet/keys/keyimport"
	"github.com/signet-temporal/signet/keys/vaultstore"
)

const maxKeyFile = 1 << 20 // bytes; a Tink keyset of a hundred keys has some 20 KiB

// check refuses flags that do not go together, and keys in clear without the flag that says so.
func (c *importCmd) check() error {
	encrypted := c.KEKTransit != "" || c.KEKFile != ""
	aes := c.AESKeyID != nil
	switch {
	case c.KEKTransit != "" && c.KEKFile != "":
		return codedf(exitUsage, "--kek-transit and --kek-file exclude each other: name the one that encrypted the keyset")
	case aes && (encrypted || c.Encoding != "" || c.KeyID != "" || c.AssociatedData != ""):
		return codedf(exitUsage, "--aes-key-id is for a raw AES key, and --kek-transit, --kek-file, --encoding, --key-id and --associated-data are for a Tink keyset: leave out which does not apply")
	case aes && c.AESEncoding == "":
		return codedf(exitUsage, "--aes-encoding is missing: say how the AES key is written, raw, hex or base64")
	case !aes && c.AESEncoding != "":
		return codedf(exitUsage, "--aes-key-id is missing: set it to the encryption-key-id of the payloads that the AES key sealed, \"\" if they have an empty one")
	case c.Encoding == "" && (c.KeyID != "" || c.AssociatedData != ""):
		return codedf(exitUsage, "--encoding is missing: set it to the encoding in the metadata of the payloads that the Tink keyset sealed")
	case c.As != string(keys.Retired) && (aes || c.Encoding != ""):
		return codedf(exitUsage, "--as=%s is for keys that seal: what another codec sealed with is imported as retired", c.As)
	case !encrypted && !c.InsecureCleartextKeys:
		return codedf(exitUsage, "the file holds keys in clear: say so with --insecure-cleartext-keys, or name what encrypts the Tink keyset with --kek-transit or --kek-file")
	case c.KEKFile != "" && !c.InsecureCleartextKeys:
		return codedf(exitUsage, "%s holds a key-encryption key in clear: say so with --insecure-cleartext-keys", c.KEKFile)
	case c.KEKFile == "-":
		return codedf(exitUsage, "--kek-file cannot be standard input: name a file")
	}
	return nil
}

// legacy is the format of the codec that sealed with the keys, nil for none.
func (c *importCmd) legacy() *keys.Legacy {
	switch {
	case c.AESKeyID != nil:
		return &keys.Legacy{Codec: keys.LegacyAESGCM, KeyID: *c.AESKeyID}
	case c.Encoding != "":
		return &keys.Legacy{Codec: keys.LegacyTink, Encoding: c.Encoding, KeyID: c.KeyID, AssociatedData: c.AssociatedData}
	}
	return nil
}

// file names the file for people.
func (c *importCmd) file() string {
	if c.File == "-" {
		return "standard input"
	}
	return c.File
}

func (c *importCmd) read(a *app) ([]byte, error) {
	if c.File == "-" {
		return readKeys("standard input", a.stdin)
	}
	return readKeyFile(c.File, c.KEKTransit == "" && c.KEKFile == "")
}

// readKeyFile reads a file with keys. One in clear that others may read is refused: as a rule it lies about for long.
func readKeyFile(name string, clear bool) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, codedf(exitUsage, "reading the keys: %s", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, codedf(exitUsage, "reading the keys: %s", err)
	}
	if clear && info.Mode().IsRegular() && info.Mode().Perm()&0o077 != 0 {
		return nil, codedf(exitUsage, "%s holds keys in clear and is open to other users (mode %#o): chmod 600 %[1]s, and think about who may have read it", name, info.Mode().Perm())
	}
	return readKeys(name, f)
}

// readKeys reads into a buffer that does not move, so that overwriting it leaves no copy.
func readKeys(name string, from io.Reader) ([]byte, error) {
	buffer := make([]byte, maxKeyFile+1)
	n, err := io.ReadFull(from, buffer)
	switch {
	case err == nil:
		clear(buffer)
		return nil, codedf(exitUsage, "%s is larger than %s: it is no file with keys", name, size(maxKeyFile))
	case n == 0 && err == io.EOF:
		return nil, codedf(exitUsage, "%s is empty: give a Tink keyset, or with --aes-key-id a raw AES key", name)
	case err != io.ErrUnexpectedEOF:
		clear(buffer)
		return nil, codedf(exitUsage, "reading the keys: %s", err)
	}
	return buffer[:n], nil
}

// parse reads the keys, decrypted if they are encrypted.
func (c *importCmd) parse(ctx context.Context, s *keyconfig.Opened, text []byte) (*keyimport.Keys, error) {
	switch {
	case c.AESKeyID != nil:
		return keyimport.AES(text, c.AESEncoding)
	case c.KEKTransit != "":
		store, ok := s.Store.(*vaultstore.Store)
		if !ok {
			return nil, codedf(exitUsage, "--kek-transit is a key in Vault, and %s is not Vault: use --kek-file", s)
		}
		kek, err := store.TransitKey(c.KEKTransit)
		if err != nil {
			return nil, codedf(exitUsage, "--kek-transit: %s", err)
		}
		return keyimport.EncryptedTink(ctx, text, kek)
	case c.KEKFile != "":
		kek, err := readKEK(c.KEKFile)
		if err != nil {
			return nil, err
		}
		return keyimport.EncryptedTink(ctx, text, kek)
	}
	return keyimport.Tink(text)
}

// fileKEK is a key-encryption key in a file.
type fileKEK struct{ tink.AEAD }

func (k fileKEK) DecryptWithContext(_ context.Context, ciphertext, associatedData []byte) ([]byte, error) {
	plaintext, err := k.Decrypt(ciphertext, associatedData)
	if err != nil {
		return nil, codedf(exitRefused, "the key-encryption key does not open the keyset: name the one that encrypted it, without associated data")
	}
	return plaintext, nil
}

func readKEK(file string) (keys.Unwrapper, error) {
	text, err := readKeyFile(file, true)
	if err != nil {
		return nil, err
	}
	defer clear(text)
	var reader keyset.Reader = keyset.NewBinaryReader(bytes.NewReader(text))
	if bytes.HasPrefix(bytes.TrimSpace(text), []byte("{")) {
		reader = keyset.NewJSONReader(bytes.NewReader(text))
	}
	handle, err := insecurecleartextkeyset.Read(reader)
	if err == nil {
		var primitive tink.AEAD
		if primitive, err = aead.New(handle); err == nil {
			return fileKEK{primitive}, nil
		}
	}
	return nil, codedf(exitUsage, "%s is no Tink keyset of an AEAD in clear, in JSON or binary: name the one that encrypted the keyset", file) // Tink's own text may quote it
}
