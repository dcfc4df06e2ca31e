package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/alecthomas/kong"
	"github.com/signet-temporal/signet/internal/keyconfig"
	"github.com/signet-temporal/signet/keys"
	"github.com/signet-temporal/signet/keys/rotate"
)

type restoreCmd struct {
	Names []string `arg:"" optional:"" name:"name" help:"Names of keysets in the backup; all of them if none is given."`
	File  string   `required:"" placeholder:"FILE" help:"File that \"signet keyset backup\" wrote."`

	Forward bool `help:"Also bring keysets forward that are there in an earlier state, in a Vault that was itself restored from an older snapshot."`

	AllowUnopened bool `name:"allow-keys-that-do-not-open" help:"Restore although the Transit key here does not open some of the keys: what they sealed does not open either."`
	planFlag
}

// Help is the long help of the command.
func (restoreCmd) Help() string {
	return `Keysets that are missing are created as they were. What is there is not overwritten: if it differs from the backup, nothing at all is
restored. With --forward a keyset that is there becomes the one of the backup if each of its keys stands in the backup, in the
same or a later state: nothing that was disabled, destroyed or marked as compromised comes back, and no key is lost. One that was
shredded since is not restored and, unless it is named, holds up no other.

Each key that is restored must open under the Transit key of this Vault, or nothing is: it is sent to be wrapped anew, and the
answer is dropped. So no key is seen, and a custodian's rights do. "signet keyset verify --file FILE" says more, with a worker's.

` + jsonHelp[backedUp]()
}

// Run creates what is missing. It looks at all keysets before it creates the first.
func (c *restoreCmd) Run(a *app, at *keysetCmd, parsed *kong.Context) error {
	if err := checkNames(c.Names...); err != nil {
		return err
	}
	b, err := readBackup(c.File)
	if err != nil {
		return err
	}
	names := c.Names
	if len(names) == 0 {
		names = b.names()
	}
	result := backedUp{File: c.File, Planned: c.Plan, Keysets: []backedKeyset{}}
	err = at.withStore(a, parsed, !c.Plan, func(ctx context.Context, s *keyconfig.Opened) error {
		var absent, earlier []*keys.Keyset
		for _, name := range names {
			k, _, err := b.fetch(ctx, name)
			if err != nil {
				return err
			}
			there, _, err := s.Store.Fetch(ctx, name)
			switch {
			case errors.Is(err, keys.ErrNotFound):
				absent = append(absent, k)
				result.Keysets = append(result.Keysets, describeBacked(k, "restored"))
			case err != nil:
				return err
			case !there.Shredded.IsZero() && len(c.Names) == 0:
				result.Keysets = append(result.Keysets, backedKeyset{Name: name, Does: "not restored, it was shredded"})
			case !there.Shredded.IsZero():
				return codedf(exitRefused, "keyset %q was shredded on %s, so nothing was restored: its keys open nothing any more; restore others by name", name, there.Shredded.UTC().Format(time.DateOnly))
			case equal(there, k):
				result.Keysets = append(result.Keysets, describeBacked(k, "there already"))
			case !c.Forward:
				return codedf(exitRefused, "keyset %q is there and differs from the backup, so nothing was restored: restore others by name, look at it with \"signet keyset status %s\", or take --forward if Vault was restored from an older snapshot", name, name)
			default:
				if _, err := rotate.PlanForward(there, k); err != nil {
					return err
				}
				earlier = append(earlier, k)
				result.Keysets = append(result.Keysets, describeForward(there, k))
			}
		}
		if c.Plan {
			return nil
		}
		if !c.AllowUnopened {
			for _, k := range append(slices.Clone(absent), earlier...) {
				if err := opensHere(ctx, s, k); err != nil {
					return err
				}
			}
		}
		return put(ctx, s, absent, earlier)
	})
	if err != nil {
		return err
	}
	return a.print(result, func(w io.Writer) {
		if c.Plan {
			fmt.Fprintln(w, "Plan, of which nothing was done:")
		}
		for _, k := range result.Keysets {
			fmt.Fprintf(w, "%s: %s, %s.\n", k.Name, k.Does, count(k.Keys, "key", "keys"))
			stepsTable(w, k.Steps)
			for _, id := range k.Forget {
				fmt.Fprintf(w, "Key %[1]s was destroyed, and what Vault was restored from has it: earlier versions of the keyset hold it again. As the destroyer:\n\n    signet keyset destroy %[2]s --key=%[1]s --carry-out\n", id, k.Name)
			}
		}
	})
}

// opensHere refuses a keyset with a key that the key-encryption key of this store does not open, such as one that was made
// anew after Vault was lost.
func opensHere(ctx context.Context, s *keyconfig.Opened, k *keys.Keyset) error {
	refuse := func(id keys.ID, why string) error {
		return codedf(exitRefused, "key %s of keyset %q in the backup does not open here, so nothing was restored: %s: restore the Transit key first, from a snapshot of Vault, or take --allow-keys-that-do-not-open", id, k.Name, why)
	}
	kek, ok := s.KEK.(keys.Rewrapper)
	if !ok { // a directory, whose owner may read keys
		for _, key := range verifyKeyset(ctx, k, s.KEK).Keys {
			if key.Problem != "" {
				return refuse(key.ID, key.Problem)
			}
		}
		return ctx.Err()
	}
	for _, key := range k.Keys {
		if key.State == keys.Destroyed {
			continue
		}
		_, err := keys.Rewrap(ctx, kek, k.Name, key.Wrapped)
		var lasting interface{ Misconfigured() bool }
		if errors.As(err, &lasting) && lasting.Misconfigured() {
			return refuse(key.ID, err.Error())
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func describeForward(there, k *keys.Keyset) backedKeyset {
	b := describeBacked(k, "brought forward")
	b.Steps = describeChange(rotate.Result{Before: there, After: k}, 0, false).Steps
	for _, key := range there.Keys {
		if key.State != keys.Destroyed && k.Key(key.ID).State == keys.Destroyed {
			b.Forget = append(b.Forget, key.ID)
		}
	}
	return b
}

// put creates keysets, and brings others forward.
func put(ctx context.Context, s *keyconfig.Opened, absent, earlier []*keys.Keyset) error {
	for _, k := range absent {
		if _, err := s.Store.Replace(ctx, k, ""); err != nil {
			return fmt.Errorf("restoring stopped, run it again: %w", err)
		}
	}
	for _, k := range earlier {
		if _, err := rotate.Change(ctx, s.Store, k.Name, func(there *keys.Keyset) (*keys.Keyset, error) { return rotate.PlanForward(there, k) }); err != nil {
			return fmt.Errorf("restoring stopped, run it again: %w", err)
		}
	}
	return nil
}

func equal(a, b *keys.Keyset) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && string(x) == string(y)
}
