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
	Compromised *keys.ID `xor:"how" placeholder:"ID" help:"Mark this key as compromised, and if it is the primary one promote another at once. Then see what was sealed with it, where Temporal can be reached."`
	SkipCensus  bool     `help:"With --compromised: do not look in Temporal for what was sealed with the key."`
	namespaceFlags
	planFlag
}

// Help is the long help of the command.
func (rotateCmd) Help() string {
	return `Workers fetch the pending key with their next refresh. Promote it when the propagation delay has passed. A keyset that
has a pending key keeps it, and gets no other.

--compromised looks in Temporal for what was sealed with the key once that is replaced: in the namespaces given, or that
after which the keyset is called. If Temporal is away the rotation stands, the exit code is 0, and it is said what to run later.

` + jsonHelp[change]() + "\nWith --compromised and --output json:\n\n" + membersOf[compromised]() + "\nWith --auto and --output json:\n\n" + membersOf[changes]()
}

// Run begins a rotation, or does what the flags ask for instead.
func (c *rotateCmd) Run(a *app, at *keysetCmd, parsed *kong.Context) error {
	if err := checkNames(c.Names...); err != nil {
		return err
	}
	if err := c.check(); err != nil {
		return err
	}
	switch {
	case c.Compromised == nil && (c.SkipCensus || len(c.Namespaces) > 0):
		return codedf(exitUsage, "--namespace and --skip-census belong to --compromised: leave them out")
	case c.SkipCensus && len(c.Namespaces) > 0:
		return codedf(exitUsage, "--namespace and --skip-census can't be used together: see signet keyset rotate --help")
	case c.Auto:
		return c.auto(a, at, parsed)
	case len(c.Names) == 0:
		return codedf(exitUsage, "expected \"<name>\", or --auto for all keysets: see signet keyset rotate --help")
	case len(c.Names) > 1:
		return codedf(exitUsage, "unexpected argument %s: only --auto takes several keysets: see signet keyset rotate --help", c.Names[1])
	}
	if c.Compromised != nil {
		return c.compromise(a, at, parsed)
	}
	result, err := c.change(a, at, parsed, rotate.PlanBegin)
	if err != nil {
		return err
	}
	return a.print(result, func(w io.Writer) { result.pending(w, a.now()) })
}

// change changes the one keyset that was named.
func (c *rotateCmd) change(a *app, at *keysetCmd, parsed *kong.Context, plan func(*keys.Keyset, rotate.NewKey, time.Time) (*keys.Keyset, error)) (result change, err error) {
	err = at.withStore(a, parsed, false, func(ctx context.Context, s *keyconfig.Opened) error {
		fresh := newKey(ctx, s, c.Plan)
		r, err := apply(ctx, s, c.Names[0], c.Plan, func(k *keys.Keyset) (*keys.Keyset, error) { return plan(k, fresh, a.now()) })
		if err == nil {
			result = describeChange(r, c.subject(r), c.Plan)
		}
		return err
	})
	return result, err
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
		fmt.Fprintf(w, "Added key %s to keyset %s. It is pending: it %s.\n", r.Key, r.Keyset, r.says("opens, and does not seal yet", "finds, and makes no tokens to store yet"))
	}
	if wait := r.PromotableAt.Sub(now); wait > 0 {
		fmt.Fprintf(w, "Promote it in %s, at %s, when every worker has it:\n\n    signet keyset promote %s\n", brief(wait), clock(*r.PromotableAt, now), r.Keyset)
		return
	}
	fmt.Fprintf(w, "It may be promoted now:\n\n    signet keyset promote %s\n", r.Keyset)
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
