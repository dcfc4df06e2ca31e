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

type promoteCmd struct {
	Name  string   `arg:"" help:"Name of the keyset."`
	Key   *keys.ID `placeholder:"ID" help:"Pending key to promote, eight hex digits; the oldest if none is given."`
	Force bool     `help:"Promote before the propagation delay has passed: workers that have not fetched the key yet cannot open what is sealed with it until they do."`
	planFlag
}

// Help is the long help of the command.
func (promoteCmd) Help() string {
	return "The former primary key is retired: it goes on opening what it sealed. With --key the command may be repeated: a key that is primary already stays so.\n\n" + jsonHelp[change]()
}

// Run promotes the key.
func (c *promoteCmd) Run(a *app, at *keysetCmd, parsed *kong.Context) error {
	if err := checkNames(c.Name); err != nil {
		return err
	}
	if c.Key != nil && *c.Key == 0 { // no key has this id, and rotate.PromoteOptions take it for "any"
		return codedf(exitNotFound, "keyset %q has no key %s: see \"signet keyset status %s\"", c.Name, *c.Key, c.Name)
	}
	options := rotate.PromoteOptions{Force: c.Force}
	if c.Key != nil {
		options.Key = *c.Key
	}
	var result change
	var early time.Duration
	err := at.withStore(a, parsed, false, func(ctx context.Context, s *keyconfig.Opened) error {
		r, err := apply(ctx, s, c.Name, c.Plan, func(k *keys.Keyset) (*keys.Keyset, error) {
			next, err := rotate.PlanPromote(k, options, a.now())
			if err == nil {
				options.Key = next.Primary().ID // whoever promotes it in between does not have the next one promoted too
				early = promotableAt(next, *next.Primary()).Sub(next.Primary().Promoted)
			}
			return next, err
		})
		if err == nil {
			result = describeChange(r, options.Key, c.Plan)
		}
		return err
	})
	if err != nil {
		return err
	}
	return a.print(result, func(w io.Writer) {
		does := result.says("workers seal with it from their next refresh on", "writers make tokens with it from their next refresh on")
		done := fmt.Sprintf("Key %s of keyset %s is primary: %s.", options.Key, c.Name, does)
		if result.Retired != nil {
			done += fmt.Sprintf("\nKey %s is retired: it goes on %s.", *result.Retired, result.says("opening what it sealed", "finding what has its tokens"))
		}
		result.table(w, fmt.Sprintf("Key %s of keyset %s is primary already.", options.Key, c.Name), done)
		if early > 0 && len(result.Steps) > 0 && result.searches {
			fmt.Fprintf(w, "That is %s before every process has it: one that has not fetched it yet does not find what has its tokens.\n", brief(early))
			return
		}
		if early > 0 && len(result.Steps) > 0 {
			fmt.Fprintf(w, "That is %s before every worker has it: one that has not fetched it yet asks Vault when it meets it. If it does not get\nit in time, the workflow task fails and is retried, and an activity or a client call gets an error that says so.\n", brief(early))
		}
	})
}
