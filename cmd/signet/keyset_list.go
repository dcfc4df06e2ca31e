package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/alecthomas/kong"
	"github.com/signet-temporal/signet/internal/keyconfig"
	"github.com/signet-temporal/signet/keys"
)

type listCmd struct {
	Names []string `arg:"" optional:"" name:"name" help:"Names of keysets; all of them if none is given."`
}

// Help is the long help of the command.
func (listCmd) Help() string {
	return "A role for some keysets alone may not list all, since a list tells of all: name those that it may read.\n\n" + jsonHelp[listing]()
}

// listing is the JSON output of `keyset list`.
type listing struct {
	Keysets []listed `json:"keysets" help:"every keyset, sorted by name, or those named"`
}

type listed struct {
	Name     string    `json:"name" help:"its name"`
	Problem  string    `json:"problem,omitempty" help:"why it cannot be shown; then nothing else is"`
	Type     keys.Type `json:"type,omitempty" help:"type of the keys that are added to it"`
	Keys     int       `json:"keys" help:"number of keys that open"`
	Primary  *keys.ID  `json:"primary,omitempty" help:"id of the key that seals"`
	Promoted time.Time `json:"promoted,omitzero" help:"since when it does, RFC 3339"`

	ShredAfter time.Time `json:"shredAfter,omitzero" help:"for a keyset that is to be shredded, and does nothing until then: from when on"`
	Shredded   time.Time `json:"shredded,omitzero" help:"when it was shredded"`
}

// Run lists the keysets.
func (c *listCmd) Run(a *app, at *keysetCmd, parsed *kong.Context) error {
	if err := checkNames(c.Names...); err != nil {
		return err
	}
	result, place, broken := listing{Keysets: []listed{}}, "", 0
	err := at.withStore(a, parsed, false, func(ctx context.Context, s *keyconfig.Opened) error {
		place = s.String()
		names, err := chosen(ctx, s, c.Names)
		if err != nil {
			return err
		}
		for _, name := range names {
			k, _, err := s.Store.Fetch(ctx, name)
			switch {
			case len(c.Names) == 0 && errors.Is(err, keys.ErrNotFound): // deleted since it was listed
			case len(c.Names) == 1 && err != nil:
				return missing(err, name, s)
			case err != nil:
				broken++
				result.Keysets = append(result.Keysets, listed{Name: name, Problem: missing(err, name, s).Error()})
			default:
				result.Keysets = append(result.Keysets, describeListed(k))
			}
		}
		return ctx.Err()
	})
	if err != nil {
		return err
	}
	if err := a.print(result, func(w io.Writer) { result.table(w, place, a.now()) }); err != nil {
		return err
	}
	if broken > 0 {
		return fmt.Errorf("%s cannot be read: see why above", count(broken, "keyset", "keysets"))
	}
	return nil
}

func describeListed(k *keys.Keyset) listed {
	l := listed{Name: k.Name, Type: k.Type, ShredAfter: k.ShredAfter, Shredded: k.Shredded}
	if k.Idle() {
		return l
	}
	for _, key := range k.Keys {
		if key.State.Opens() {
			l.Keys++
		}
		if key.State == keys.Primary {
			l.Primary, l.Promoted = &key.ID, key.Promoted
		}
	}
	return l
}

func (l listing) table(w io.Writer, place string, now time.Time) {
	if len(l.Keysets) == 0 {
		fmt.Fprintf(w, "There is no keyset in %s yet: create one with \"signet keyset create NAME\".\n", place)
		return
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "KEYSET\tTYPE\tOPENING\tPRIMARY\tSINCE")
	for _, k := range l.Keysets {
		primary := "none"
		if k.Primary != nil {
			primary = k.Primary.String()
		}
		if k.Problem != "" {
			fmt.Fprintf(tw, "%s\tcannot be read: %s\n", k.Name, printable(k.Problem))
			continue
		}
		if idle := sayIdle(k.ShredAfter, k.Shredded, now); idle != "" {
			fmt.Fprintf(tw, "%s\t%s\t%s\n", k.Name, k.Type, idle)
			continue
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\n", k.Name, k.Type, count(k.Keys, "key", "keys"), primary, ago(k.Promoted, now))
	}
	tw.Flush()
}

// sayIdle says that a keyset was, or is to be, shredded; "" if it is not.
func sayIdle(after, shredded, now time.Time) string {
	switch {
	case !shredded.IsZero():
		return "shredded " + ago(shredded, now)
	case !after.IsZero() && after.After(now):
		return "may be shredded " + ago(after, now)
	case !after.IsZero():
		return "may be shredded now"
	}
	return ""
}
