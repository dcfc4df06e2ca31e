package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/alecthomas/kong"
	"github.com/signet-temporal/signet/internal/keyconfig"
	"github.com/signet-temporal/signet/keys"
	"github.com/signet-temporal/signet/keys/rotate"
)

type rotateCmd struct {
	Names       []string `arg:"" optional:"" name:"name" help:"Name of the keyset; with --auto names of keysets, or none for all of them."`
	Auto        bool     `xor:"how" help:"Do what is due by the policy of each keyset: add a key when the primary one is old enough, promote it when the propagation delay has passed. Nothing is ever destroyed. For cron, on several machines if you like."`
	Compromised *keys.ID `xor:"how" placeholder:"ID" help:"Mark this key as compromised, and if it is the primary one promote another at once."`
	planFlag
}

// Help is the long help of the command.
func (rotateCmd) Help() string {
	return `Workers fetch the pending key with their next refresh. Promote it when the propagation delay has passed. A keyset that
has a pending key keeps it, and gets no other.

` + jsonHelp[change]() + "\nWith --auto and --output json:\n\n" + membersOf[changes]()
}

// Run begins a rotation, or does what the flags ask for instead.
func (c *rotateCmd) Run(a *app, at *keysetCmd, parsed *kong.Context) error {
	if err := checkNames(c.Names...); err != nil {
		return err
	}
	switch {
	case c.Auto:
		return c.auto(a, at, parsed)
	case len(c.Names) == 0:
		return codedf(exitUsage, "expected \"<name>\", or --auto for all keysets: see signet keyset rotate --help")
	case len(c.Names) > 1:
		return codedf(exitUsage, "unexpected argument %s: only --auto takes several keysets: see signet keyset rotate --help", c.Names[1])
	}
	var result change
	plan := rotate.PlanBegin
	if c.Compromised != nil {
		plan = func(k *keys.Keyset, fresh rotate.NewKey, now time.Time) (*keys.Keyset, error) {
			return rotate.PlanCompromised(k, *c.Compromised, fresh, now)
		}
	}
	err := at.withStore(a, parsed, false, func(ctx context.Context, s *keyconfig.Opened) error {
		fresh := newKey(ctx, s, c.Plan)
		r, err := apply(ctx, s, c.Names[0], c.Plan, func(k *keys.Keyset) (*keys.Keyset, error) { return plan(k, fresh, a.now()) })
		if err == nil {
			result = describeChange(r, c.subject(r), c.Plan)
		}
		return err
	})
	if err != nil {
		return err
	}
	return a.print(result, func(w io.Writer) {
		if c.Compromised != nil {
			c.compromised(w, result)
			return
		}
		result.pending(w, a.now())
	})
}

// subject returns the key that a rotation is about: the one that waits, or the primary one if none does.
func (c *rotateCmd) subject(r rotate.Result) keys.ID {
	waiting := rotate.Pending(r.After)
	if c.Compromised == nil && len(waiting) > 0 {
		return waiting[0]
	}
	if primary := r.After.Primary(); primary != nil {
		return primary.ID
	}
	return 0
}

func (r change) pending(w io.Writer, now time.Time) {
	switch {
	case r.plan(w):
		return
	case r.PromotableAt == nil:
		fmt.Fprintf(w, "Added key %s to keyset %s. It is primary: the keyset had no key.\n", r.Key, r.Keyset)
		return
	case len(r.Steps) == 0:
		fmt.Fprintf(w, "Keyset %s has the pending key %s already; no other was added.\n", r.Keyset, r.Key)
	default:
		fmt.Fprintf(w, "Added key %s to keyset %s. It is pending: it opens, and does not seal yet.\n", r.Key, r.Keyset)
	}
	if wait := r.PromotableAt.Sub(now); wait > 0 {
		fmt.Fprintf(w, "Promote it in %s, at %s, when every worker has it:\n\n    signet keyset promote %s\n", brief(wait), clock(*r.PromotableAt, now), r.Keyset)
		return
	}
	fmt.Fprintf(w, "It may be promoted now:\n\n    signet keyset promote %s\n", r.Keyset)
}

func (c *rotateCmd) compromised(w io.Writer, r change) {
	key, name := *c.Compromised, r.Keyset
	if r.plan(w) {
		return
	}
	if len(r.Steps) == 0 {
		fmt.Fprintf(w, "Key %s of keyset %s was marked as compromised before, and does not seal.\n", key, name)
	} else {
		fmt.Fprintf(w, "Key %s of keyset %s is marked as compromised, and never seals again.\n", key, name)
	}
	if r.Retired != nil {
		fmt.Fprintf(w, "Key %s is primary, at once: workers seal with it from their next refresh on. One that has not refreshed meets a key it\ndoes not know, asks for it at once, and retries the workflow task if it does not have it in time.\n", r.Key)
	}
	fmt.Fprintf(w, `
What key %[1]s sealed must be taken as read by whoever has the key; it still opens here, so that workflows go on. Next:

 1. Find out how it got out. If it was through Vault, revoke those tokens, rotate the Transit key and wrap all keys anew:
      vault write -f transit/keys/signet/rotate
      signet keyset rewrap
 2. See what was sealed with it: the key id %[2]s/%[1]s stands in clear in each payload:
      temporal workflow show -w ID -o json | signet payload inspect
 3. Let workflows that carry it end, and write schedules anew. When nothing needs the key any more:
      signet keyset disable %[2]s --key=%[1]s
      signet keyset destroy %[2]s --key=%[1]s --schedule
`, key, name)
}

// auto does for each keyset what is due. One that fails does not hold up the others.
func (c *rotateCmd) auto(a *app, at *keysetCmd, parsed *kong.Context) error {
	return at.each(a, parsed, c.Names, func(ctx context.Context, s *keyconfig.Opened, name string) (change, error) {
		fresh := newKey(ctx, s, c.Plan)
		r, err := apply(ctx, s, name, c.Plan, func(k *keys.Keyset) (*keys.Keyset, error) { return rotate.PlanAuto(k, fresh, a.now()) })
		if err != nil {
			return change{}, err
		}
		return describeChange(r, c.subject(r), c.Plan), nil
	}, func(w io.Writer, r change) {
		switch {
		case r.plan(w):
		case len(r.Steps) == 0:
			fmt.Fprintf(w, "%s: nothing is due.\n", r.Keyset)
		case r.State == keys.Primary:
			fmt.Fprintf(w, "%s: key %s is primary, %s is retired.\n", r.Keyset, r.Key, r.Retired)
		default:
			fmt.Fprintf(w, "%s: key %s is pending.\n", r.Keyset, r.Key)
		}
	})
}
