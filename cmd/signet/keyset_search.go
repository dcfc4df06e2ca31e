package main

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"github.com/signet-temporal/signet/keys"
)

// What is said of keysets that make search tokens, where that is something else than of those that seal.

// finds is what a key does, in the table of `keyset status`.
func (k keyInfo) finds() string {
	switch k.State {
	case keys.Pending:
		return "finds, makes no tokens yet"
	case keys.Primary:
		return "makes tokens and finds"
	case keys.Retired:
		return "finds"
	}
	return "nothing"
}

func (k keysetInfo) idle() string {
	if k.Type.Searches() {
		return "it makes no tokens"
	}
	return "it seals and opens nothing"
}

func compromisedSearch(w io.Writer, r change, key keys.ID) {
	fmt.Fprintf(w, "Key %s of keyset %s is marked as compromised, and makes no tokens to store any more.\n", key, r.Keyset)
	if r.Retired != nil {
		fmt.Fprintf(w, "Key %s is primary, at once: writers make tokens with it from their next refresh on. One that searches and has not refreshed\ndoes not find those.\n", r.Key)
	}
	fmt.Fprintf(w, `
Whoever has key %[1]s and sees Temporal's search attributes can try values until one has a stored token. Next:

 1. Find out how it got out. If it was through Vault, revoke those tokens, rotate the Transit key and wrap all keys anew:
      vault write -f transit/keys/signet/rotate
      signet keyset rewrap
 2. Write the attributes of open workflows anew, and let closed ones go with their retention. When nothing with the old
    tokens has to be found any more:
      signet keyset disable %[2]s --key=%[1]s
      signet keyset destroy %[2]s --key=%[1]s --schedule
`, key, r.Keyset)
}

// probeSearch unwraps a key and has it make the same token twice.
func probeSearch(ctx context.Context, kek keys.Unwrapper, name string, key keys.Key) error {
	f, err := keys.UnwrapPRF(ctx, kek, name, key.ID, key.Wrapped)
	if err != nil {
		return err
	}
	var outputs [2][]byte
	for i := range outputs {
		if outputs[i], err = f.ComputePRF([]byte("signet verify"), 16); err != nil {
			return fmt.Errorf("key %s of keyset %q makes no tokens: %w", key.ID, name, err)
		}
	}
	if !bytes.Equal(outputs[0], outputs[1]) {
		return fmt.Errorf("key %s of keyset %q makes another token each time: restore it from a backup", key.ID, name)
	}
	return nil
}
