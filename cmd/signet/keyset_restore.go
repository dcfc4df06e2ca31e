package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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
	planFlag
}

// Help is the long help of the command.
func (restoreCmd) Help() string {
	return `Keysets that are missing are created as they were. What is there is not overwritten: if it differs from the backup, nothing at all is
restored. With --forward a keyset that is there becomes the one of the backup if each of its keys stands in the backup, in the
same or a later state: nothing that was disabled, destroyed or marked as compromised comes back, and no key is lost. One that was
shredded since is not restored and, unless it is named, holds up no other. Try "signet keyset verify --file FILE" first: it says whether the Transit key still opens the keys.

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
