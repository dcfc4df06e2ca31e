package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"time"

	"github.com/alecthomas/kong"
	"github.com/signet-temporal/signet/internal/keyconfig"
	"github.com/signet-temporal/signet/keys"
)

type verifyCmd struct {
	Names []string `arg:"" optional:"" name:"name" help:"Names of keysets; all of them if none is given."`
	File  string   `placeholder:"FILE" help:"Verify the keysets of this backup, and not those in the key store."`
}

// Help is the long help of the command.
func (verifyCmd) Help() string {
	return `Each key is unwrapped, and a probe is sealed and opened with it; one for search tokens makes one. That takes the rights of a worker, and without names those
to list as well. Disabled keys are tried, too; destroyed ones have nothing to try.

` + jsonHelp[verified]()
}

// verified is the JSON output of `keyset verify`.
type verified struct {
	Keysets []verifiedKeyset `json:"keysets" help:"each keyset, in the order given or by name"`
}

type verifiedKeyset struct {
	Name    string        `json:"name" help:"its name"`
	Problem string        `json:"problem,omitempty" help:"what is wrong with it as a whole"`
	Keys    []verifiedKey `json:"keys" help:"its keys but the destroyed ones, oldest first"`

	Shredded time.Time `json:"shredded,omitzero" help:"when it was shredded; then it has no keys, and that is no problem"`
}

type verifiedKey struct {
	ID      keys.ID    `json:"id" help:"key id, eight hex digits"`
	State   keys.State `json:"state" help:"its state"`
	Problem string     `json:"problem,omitempty" help:"why it does not open; none if it does"`
}

// Run tries every key.
func (c *verifyCmd) Run(a *app, at *keysetCmd, parsed *kong.Context) error {
	if err := checkNames(c.Names...); err != nil {
		return err
	}
	result, place := verified{Keysets: []verifiedKeyset{}}, ""
	err := at.withStore(a, parsed, false, func(ctx context.Context, s *keyconfig.Opened) error {
		place = s.String()
		fetch, names := s.Store.Fetch, c.Names
		var err error
		if c.File != "" {
			place = c.File
			var b backup
			if b, err = readBackup(c.File); err != nil {
				return err
			}
			if fetch = b.fetch; len(names) == 0 {
				names = b.names()
			}
		} else if names, err = chosen(ctx, s, names); err != nil {
			return err
		}
		for _, name := range names {
			k, _, err := fetch(ctx, name)
			switch {
			case err != nil && len(names) == 1 && c.File == "":
				return missing(err, name, s)
			case err != nil && len(names) == 1:
				return err
			case err != nil:
				result.Keysets = append(result.Keysets, verifiedKeyset{Name: name, Problem: err.Error(), Keys: []verifiedKey{}})
			default:
				result.Keysets = append(result.Keysets, verifyKeyset(ctx, k, s.KEK))
			}
		}
		return ctx.Err()
	})
	if err != nil {
		return err
	}
	if err := a.print(result, func(w io.Writer) { result.table(w, place) }); err != nil {
		return err
	}
	if bad := result.problems(); bad > 0 {
		return fmt.Errorf("%s found in %s: see above", count(bad, "problem", "problems"), place)
	}
	return nil
}

func verifyKeyset(ctx context.Context, k *keys.Keyset, kek keys.Unwrapper) verifiedKeyset {
	v := verifiedKeyset{Name: k.Name, Keys: []verifiedKey{}, Shredded: k.Shredded}
	if k.Primary() == nil && k.Shredded.IsZero() {
		v.Problem = fmt.Sprintf("it has no primary key, so nothing can be sealed under it: promote one with \"signet keyset promote %s\"", k.Name)
	}
	for _, key := range k.Keys {
		if key.State == keys.Destroyed {
			continue
		}
		shown := verifiedKey{ID: key.ID, State: key.State}
		try := probe
		if k.Type.Searches() {
			try = probeSearch
		}
		if err := try(ctx, kek, k.Name, key); err != nil {
			shown.Problem = err.Error()
		}
		v.Keys = append(v.Keys, shown)
	}
	return v
}

// probe unwraps a key and has it open what it seals.
func probe(ctx context.Context, kek keys.Unwrapper, name string, key keys.Key) error {
	aead, err := keys.UnwrapKey(ctx, kek, name, key)
	if err != nil {
		return err
	}
	text, place := []byte("signet"), []byte("verify")
	sealed, err := aead.Encrypt(text, place)
	if err != nil {
		return fmt.Errorf("key %s of keyset %q does not seal: %w", key.ID, name, err)
	}
	if opened, err := aead.Decrypt(sealed, place); err != nil || !bytes.Equal(opened, text) {
		return fmt.Errorf("key %s of keyset %q does not open what it seals: restore it from a backup", key.ID, name)
	}
	return nil
}

func (v verified) problems() int {
	n := 0
	for _, k := range v.Keysets {
		if k.Problem != "" {
			n++
		}
		for _, key := range k.Keys {
			if key.Problem != "" {
				n++
			}
		}
	}
	return n
}

func (v verified) table(w io.Writer, place string) {
	if len(v.Keysets) == 0 {
		fmt.Fprintf(w, "There is no keyset in %s.\n", place)
	}
	for _, k := range v.Keysets {
		if !k.Shredded.IsZero() {
			fmt.Fprintf(w, "%s: shredded, it has nothing to open with.\n", k.Name)
			continue
		}
		good := 0
		for _, key := range k.Keys {
			if key.Problem == "" {
				good++
			}
		}
		fmt.Fprintf(w, "%s: %d of %s open.\n", k.Name, good, count(len(k.Keys), "key", "keys"))
		if k.Problem != "" {
			fmt.Fprintf(w, "  %s\n", printable(k.Problem))
		}
		for _, key := range k.Keys {
			if key.Problem != "" {
				fmt.Fprintf(w, "  %s  %s  %s\n", key.ID, key.State, printable(key.Problem))
			}
		}
	}
}
