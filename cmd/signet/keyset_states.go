package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/alecthomas/kong"
	"github.com/signet-temporal/signet/internal/keyconfig"
	"github.com/signet-temporal/signet/keys"
	"github.com/signet-temporal/signet/keys/rotate"
)

type retireCmd struct{ keyFlags }

// Help is the long help of the command.
func (retireCmd) Help() string {
	return "The primary key is retired by promoting another. A retired key opens what it sealed, so nobody is asked whether it is in use.\n\n" + jsonHelp[change]()
}

// Run retires the key.
func (c *retireCmd) Run(a *app, at *keysetCmd, parsed *kong.Context) error {
	return c.move(a, at, parsed, func(k *keys.Keyset) (*keys.Keyset, error) {
		return rotate.PlanRetire(k, c.Key, a.now())
	}, func(w io.Writer, r change) {
		r.table(w, fmt.Sprintf("Key %s of keyset %s is retired already.", c.Key, c.Name),
			fmt.Sprintf("Key %s of keyset %s is retired: it %s.", c.Key, c.Name, r.says("opens, and will never seal", "finds, and will never make tokens to store")))
	})
}

type disableCmd struct {
	keyFlags
	askFlags
	Force bool `help:"Disable before the propagation delay has passed: what workers that have not noticed yet still seal with the key does not open."`
}

// Help is the long help of the command.
func (disableCmd) Help() string {
	return `Disabling shows what still needs the key, and can be undone. Workflow tasks that do are retried until it is enabled again; activities
as long as their retry policy lets them; client calls get an error.

With --namespace or --census it is asked first whether anything carries the key: if so, that is shown, nothing is changed,
and the exit code is 3. Without them nobody is asked, so that a key can be disabled when Temporal is away.

` + jsonHelp[askedChange]()
}

// Run disables the key.
func (c *disableCmd) Run(a *app, at *keysetCmd, parsed *kong.Context) error {
	return c.askFlags.move(a, at, parsed, c.keyFlags, false, movement{
		plan: func(k *keys.Keyset, _ rotate.Evidence) (*keys.Keyset, error) {
			return rotate.PlanDisable(k, c.Key, c.Force, a.now())
		},
		table: func(w io.Writer, r askedChange) {
			r.table(w, a.now(), fmt.Sprintf("Key %s of keyset %s is disabled already.", c.Key, c.Name),
				fmt.Sprintf("Key %s of keyset %s is disabled: from the next refresh of every worker on it %[3]s nothing. To undo it:\n\n    signet keyset enable %[2]s --key=%[1]s", c.Key, c.Name, r.says("opens", "finds")))
			if len(r.Steps) > 0 && !c.given() && !r.searches {
				fmt.Fprintf(w, "\nNobody was asked what it still opens. See that with:\n\n    signet census --namespace=%s\n", home(c.Name))
			}
		},
	})
}

type enableCmd struct{ keyFlags }

// Help is the long help of the command.
func (enableCmd) Help() string {
	return "The key is retired then: it opens and does not seal. A scheduled destruction is called off.\n\n" + jsonHelp[change]()
}

// Run enables the key.
func (c *enableCmd) Run(a *app, at *keysetCmd, parsed *kong.Context) error {
	return c.move(a, at, parsed, func(k *keys.Keyset) (*keys.Keyset, error) {
		return rotate.PlanEnable(k, c.Key, a.now())
	}, func(w io.Writer, r change) {
		r.table(w, fmt.Sprintf("Key %s of keyset %s is %s: it opens already.", c.Key, c.Name, r.State),
			fmt.Sprintf("Key %s of keyset %s is retired: from the next refresh of every worker on it opens again what it sealed.", c.Key, c.Name))
	})
}

// move changes one key as plan says, at any time, and prints what became of it.
func (f keyFlags) move(a *app, at *keysetCmd, parsed *kong.Context, plan rotate.Plan, table func(io.Writer, change)) error {
	if err := checkNames(f.Name); err != nil {
		return err
	}
	var result change
	err := at.withStore(a, parsed, false, func(ctx context.Context, s *keyconfig.Opened) error {
		r, err := applyAnytime(ctx, s, f.Name, f.Plan, plan)
		if err == nil {
			result = describeChange(r, f.Key, f.Plan)
		}
		return err
	})
	if err != nil {
		return err
	}
	return a.print(result, func(w io.Writer) { table(w, result) })
}

// home is the namespace after which a keyset is called, or NAME if it is called otherwise.
func home(keyset string) string {
	if namespace, ok := strings.CutPrefix(keyset, "ns/"); ok {
		return namespace
	}
	return "NAME"
}
