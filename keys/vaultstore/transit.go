package vaultstore

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// EncryptWithContext implements keys.KEK: it wraps plaintext with the Transit key, bound to associatedData, the
// keyset's name. Neither may be empty. The result is Transit's own text ("vault:v1:…").
//
// The Transit key is read before every call, because encrypting with a key that does not exist creates it when the
// token has the capability, and because a key that is not derived would ignore the name. Wrapping is rare; one more
// call does not matter.
func (s *Store) EncryptWithContext(ctx context.Context, plaintext, associatedData []byte) ([]byte, error) {
	if len(plaintext) == 0 || len(associatedData) == 0 {
		return nil, errors.New("wrapping a key: the key and the keyset's name must not be empty")
	}
	kek := s.wrapperOf(string(associatedData))
	if _, err := s.checkTransitKey(ctx, kek); err != nil {
		return nil, fmt.Errorf("wrapping a key: %w", err)
	}
	c := call{path: s.opts.TransitMount + "/encrypt/" + kek.name, capability: "update"}
	data, err := s.put(ctx, c, map[string]any{
		"plaintext": base64.StdEncoding.EncodeToString(plaintext),
		"context":   base64.StdEncoding.EncodeToString(associatedData),
	})
	if err != nil {
		return nil, fmt.Errorf("wrapping a key: %w", s.explainTransit(c, kek, err))
	}
	ciphertext, _ := data["ciphertext"].(string)
	if !strings.HasPrefix(ciphertext, "vault:v") {
		return nil, fmt.Errorf("wrapping a key: Vault answered at %q without a ciphertext: check that no proxy changes its answers", c.path)
	}
	return []byte(ciphertext), nil
}

// DecryptWithContext implements keys.KEK: it unwraps what EncryptWithContext made under the same associatedData. An
// answer without a plaintext is an error, never an empty key.
//
// A worker holds "update" on the decrypt path and nothing else of Transit, so it cannot read whether the key is
// derived. It finds out by what that is for: the first ciphertext that opens under its own name is sent once more
// under another name, and a key that opens it again ignores the name and is refused. Before that is known no
// plaintext is returned. This needs no further permission and does not depend on the wording of an answer. A keyset's own
// Transit key is not tried so: what it wraps is of that keyset, and opens under no other's key.
func (s *Store) DecryptWithContext(ctx context.Context, ciphertext, associatedData []byte) ([]byte, error) {
	if len(ciphertext) == 0 || len(associatedData) == 0 {
		return nil, errors.New("unwrapping a key: the wrapped key and the keyset's name must not be empty")
	}
	plaintext, err := s.decrypt(ctx, ciphertext, associatedData)
	if err != nil {
		return nil, fmt.Errorf("unwrapping a key: %w", err)
	}
	if s.derived.Load() || s.wrapperOf(string(associatedData)).own {
		return plaintext, nil
	}
	shared := s.shared()
	switch _, err := s.decryptBy(ctx, shared, ciphertext, []byte(probeName(string(associatedData)))); {
	case err == nil:
		return nil, fmt.Errorf("unwrapping a key: %w", s.notDerived(shared))
	case !isStatus(err, http.StatusBadRequest):
		return nil, fmt.Errorf("unwrapping a key: checking that the Transit key is derived: %w", err)
	}
	s.derived.Store(true)
	return plaintext, nil
}

// probeName is the name of no keyset's key: a key that honours names does not open under it. A policy for one keyset must
// let it be tried.
func probeName(name string) string { return "not-" + name }

func (s *Store) decrypt(ctx context.Context, ciphertext, associatedData []byte) ([]byte, error) {
	return s.decryptBy(ctx, s.wrapperOf(string(associatedData)), ciphertext, associatedData)
}

func (s *Store) decryptBy(ctx context.Context, kek wrapper, ciphertext, associatedData []byte) ([]byte, error) {
	c := call{path: s.opts.TransitMount + "/decrypt/" + kek.name, capability: "update"}
	data, err := s.put(ctx, c, map[string]any{
		"ciphertext": string(ciphertext),
		"context":    base64.StdEncoding.EncodeToString(associatedData),
	})
	if err != nil {
		return nil, s.explainTransit(c, kek, err)
	}
	encoded, _ := data["plaintext"].(string)
	plaintext, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil || len(plaintext) == 0 { // the decoder's error quotes none of the plaintext, but stays out all the same
		return nil, say(nil, "Vault answered at %q without a plaintext: check that no proxy changes its answers", c.path)
	}
	return plaintext, nil
}

// checkTransitKey reads a Transit key and refuses one that is missing, not derived, or cannot encrypt.
func (s *Store) checkTransitKey(ctx context.Context, kek wrapper) (transitKeyInfo, error) {
	c := call{path: s.opts.TransitMount + "/keys/" + kek.name, capability: "read"}
	raw, err := s.get(ctx, c, nil)
	if isStatus(err, http.StatusNotFound) && namesNoError(err) {
		// Engines of other types say the same.
		if e := s.checkTransitMount(ctx); e != nil {
			return transitKeyInfo{}, e
		}
		return transitKeyInfo{}, say(err, "%s", s.missingKey(kek))
	}
	if err != nil {
		return transitKeyInfo{}, s.explainTransit(c, kek, err)
	}
	var key transitKeyInfo
	if err := json.Unmarshal(raw, &key); err != nil || key.Derived == nil {
		return transitKeyInfo{}, say(nil, "Vault's answer at %q describes no Transit key: check the Transit mount (transitMount, --transit-mount) %q", c.path, s.opts.TransitMount)
	}
	if !*key.Derived || !key.Encryption {
		return transitKeyInfo{}, s.notDerived(kek)
	}
	if key.Convergent {
		return transitKeyInfo{}, say(nil, "Transit key %q uses convergent encryption, which shows when two keys are equal: use a key created with derived=true alone", kek.name)
	}
	if !kek.own {
		s.derived.Store(true)
	}
	return key, nil
}

// transitKeyInfo is what Vault tells about a Transit key.
type transitKeyInfo struct {
	Derived    *bool `json:"derived"`
	Encryption bool  `json:"supports_encryption"`
	Convergent bool  `json:"convergent_encryption"`
	Latest     int   `json:"latest_version"`
	MinDecrypt int   `json:"min_decryption_version"`
	Deletable  bool  `json:"deletion_allowed"`
}

func (s *Store) missingKey(kek wrapper) string {
	if kek.own {
		return fmt.Sprintf("Transit key %q of keyset %q is gone from Vault, and nothing opens without it: if the keyset was shredded complete that with \"signet shred %[2]s --carry-out\", otherwise restore Vault from a backup", kek.name, kek.keyset)
	}
	return fmt.Sprintf("Vault has no Transit key %q: create it with: vault write -f %s/keys/%s derived=true", kek.name, s.opts.TransitMount, kek.name)
}

func (s *Store) notDerived(kek wrapper) error {
	if kek.own {
		return say(nil, "Transit key %q of keyset %q was not made by signet: it is not derived: see who made it, and remove it", kek.name, kek.keyset)
	}
	return say(nil, "Transit key %q is not derived, so it would open a key under any keyset's name: create another with: vault write -f %s/keys/NAME derived=true", kek.name, s.opts.TransitMount)
}
