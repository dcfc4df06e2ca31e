package vaultstore

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/signet-temporal/signet/keys"
)

// RewrapWithContext implements keys.Rewrapper: Vault unwraps and wraps again, under the newest version of the Transit
// key, and shows nobody what is inside. The Transit key is read first, as for wrapping.
func (s *Store) RewrapWithContext(ctx context.Context, ciphertext, associatedData []byte) ([]byte, error) {
	if len(ciphertext) == 0 || len(associatedData) == 0 {
		return nil, errors.New("rewrapping a key: the wrapped key and the keyset's name must not be empty")
	}
	kek := s.wrapperOf(string(associatedData))
	if _, err := s.checkTransitKey(ctx, kek); err != nil {
		return nil, fmt.Errorf("rewrapping a key: %w", err)
	}
	c := call{path: s.opts.TransitMount + "/rewrap/" + kek.name, capability: "update"}
	data, err := s.put(ctx, c, map[string]any{
		"ciphertext": string(ciphertext),
		"context":    base64.StdEncoding.EncodeToString(associatedData),
	})
	if err != nil {
		return nil, fmt.Errorf("rewrapping a key: %w", s.explainTransit(c, kek, err))
	}
	anew, _ := data["ciphertext"].(string)
	if s.VersionOf([]byte(anew)) == 0 {
		return nil, fmt.Errorf("rewrapping a key: Vault answered at %q without a ciphertext: check that no proxy changes its answers", c.path)
	}
	return []byte(anew), nil
}

// VersionOf returns the version of the Transit key that made ciphertext, or 0 for what is no ciphertext of Transit.
func (s *Store) VersionOf(ciphertext []byte) int {
	rest, ours := bytes.CutPrefix(ciphertext, []byte("vault:v"))
	number, _, complete := bytes.Cut(rest, []byte(":"))
	version, err := strconv.Atoi(string(number))
	if !ours || !complete || err != nil || version < 1 {
		return 0
	}
	return version
}

// Versions returns the newest version of the shared Transit key, which wraps, and the oldest that Vault still opens with.
func (s *Store) Versions(ctx context.Context) (latest, oldest int, err error) {
	return s.versionsOf(ctx, s.shared())
}

func (s *Store) versionsOf(ctx context.Context, kek wrapper) (latest, oldest int, err error) {
	key, err := s.checkTransitKey(ctx, kek)
	if err != nil {
		return 0, 0, fmt.Errorf("reading the versions of the Transit key: %w", err)
	}
	return key.Latest, key.MinDecrypt, nil
}

// Forget implements keys.Store: it has KV destroy every version of the document but the present one. "vault kv
// rollback" and "undelete" cannot bring them back; a backup of Vault still holds them.
func (s *Store) Forget(ctx context.Context, name string) error {
	if err := s.forget(ctx, name); err != nil {
		return fmt.Errorf("forgetting earlier versions of keyset %q: %w", name, err)
	}
	return nil
}

// maxForgotten is how many versions one call destroys: Vault takes a list of any length, and a request of 32 MiB.
const maxForgotten = 10_000

func (s *Store) forget(ctx context.Context, name string) error {
	if err := errors.Join(ctx.Err(), keys.CheckName(name)); err != nil {
		return err
	}
	doc, err := s.read(ctx, name)
	if err != nil {
		return err
	}
	c := call{path: s.opts.KVMount + "/destroy/" + s.opts.Prefix + "/" + name, capability: "update"}
	var earlier []int // also those that KV has dropped already: it passes over them
	for v := 1; v < doc.version; v++ {
		earlier = append(earlier, v)
	}
	for part := range slices.Chunk(earlier, maxForgotten) {
		if _, err := s.put(ctx, c, map[string]any{"versions": part}); err != nil {
			return s.explainKV(ctx, c, err)
		}
	}
	return nil
}
