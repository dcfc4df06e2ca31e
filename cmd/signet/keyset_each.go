package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/alecthomas/kong"
	"github.com/signet-temporal/signet/internal/keyconfig"
	"github.com/signet-temporal/signet/keys/rotate"
)

// changes is the JSON output of the commands that change several keysets.
type changes struct {
	Keysets []change `json:"keysets" help:"each keyset, in the order given or by name"`
}

// each does something for every keyset named, or for all of them, and prints what came of it. Those that fail do not
// hold up the others, and decide the exit code.
func (at *keysetCmd) each(a *app, parsed *kong.Context, names []string, do func(context.Context, *keyconfig.Opened, string) (change, error), table func(io.Writer, change)) error {
	result, failed, place := changes{Keysets: []change{}}, 0, ""
	one := len(names) == 1
	err := at.withStore(a, parsed, false, func(ctx context.Context, s *keyconfig.Opened) error {
		place = s.String()
		names, err := chosen(ctx, s, names)
		if err != nil {
			return err
		}
		for _, name := range names {
			r, err := do(ctx, s, name)
			if at := idleSince(err); at != "" && !one { // it holds up nothing
				result.Keysets = append(result.Keysets, change{Keyset: name, Idle: at, Steps: []stepInfo{}})
				continue
			}
			if err != nil && (len(names) == 1 || errors.Is(err, context.Canceled)) {
				return err
			}
			if err != nil {
				failed++
				r = change{Keyset: name, Problem: err.Error(), Steps: []stepInfo{}}
			}
			result.Keysets = append(result.Keysets, r)
		}
		return nil
	})
	if err != nil {
		return err
	}
	err = a.print(result, func(w io.Writer) {
		if len(result.Keysets) == 0 {
			fmt.Fprintf(w, "There is no keyset in %s yet: create one with \"signet keyset create NAME\".\n", place)
		}
		for _, r := range result.Keysets {
			if r.Problem != "" {
				fmt.Fprintf(w, "%s: failed: %s\n", r.Keyset, printable(r.Problem))
				continue
			}
			if r.Idle != "" {
				fmt.Fprintf(w, "%s: %s, and nothing is to be done.\n", r.Keyset, r.Idle)
				continue
			}
			table(w, r)
		}
	})
	if err == nil && failed > 0 {
		return fmt.Errorf("%s failed: see why above", count(failed, "keyset", "keysets"))
	}
	return err
}

// idleSince says in few words that err is about a keyset that was, or is to be, shredded; "" if it is not.
func idleSince(err error) string {
	switch {
	case errors.Is(err, rotate.ErrShredded):
		return "shredded"
	case errors.Is(err, rotate.ErrToBeShredded):
		return "is to be shredded"
	}
	return ""
}
