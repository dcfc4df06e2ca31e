package vaultstore

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/signet-temporal/signet/keys"
)

// TransitKey returns a Transit key of another application, to open what that has encrypted without a context, such as a
// Tink keyset: path is its mount and name, "transit/payments". It takes "update" on MOUNT/decrypt/NAME. Keysets of signet
// are never wrapped by it.
func (s *Store) TransitKey(path string) (keys.Unwrapper, error) {
	at := strings.LastIndex(path, "/")
	if at < 0 || !transitKey.MatchString(path[at+1:]) {
		return nil, fmt.Errorf("%q names no Transit key: write its mount and its name, such as transit/payments", path)
	}
	for seg := range strings.SplitSeq(path[:at], "/") {
		if !segment.MatchString(seg) {
			return nil, fmt.Errorf("%q names no Transit key: write its mount and its name, such as transit/payments", path)
		}
	}
	return foreignKey{s, call{path: path[:at] + "/decrypt/" + path[at+1:], capability: "update"}}, nil
}

type foreignKey struct {
	store *Store
	call  call
}

// DecryptWithContext implements keys.Unwrapper. What associates data as the context of a derived key is opened with it.
func (k foreignKey) DecryptWithContext(ctx context.Context, ciphertext, associatedData []byte) ([]byte, error) {
	body := map[string]any{"ciphertext": string(ciphertext)}
	if len(associatedData) > 0 {
		body["context"] = base64.StdEncoding.EncodeToString(associatedData)
	}
	data, err := k.store.put(ctx, k.call, body)
	if err != nil {
		return nil, k.store.explain(k.call, err)
	}
	encoded, _ := data["plaintext"].(string)
	plaintext, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil || len(plaintext) == 0 {
		return nil, say(nil, "Vault answered at %q without a plaintext: check that no proxy changes its answers", k.call.path)
	}
	return plaintext, nil
}
