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

type policyCmd struct {
	Name             string         `arg:"" help:"Name of the keyset."`
	PropagationDelay *time.Duration `placeholder:"DURATION" help:"Change how long a new key stays pending before it may be promoted. It holds for a key that is pending now, too."`
	RotateEvery      *time.Duration `placeholder:"DURATION" help:"Change the age at which \"keyset rotate --auto\" replaces the primary key, such as 720h; 0s: only people rotate."`
	planFlag
}

// Help is the long help of the command.
func (policyCmd) Help() string {
	return "The policy is part of the keyset. Without a flag it is shown.\n\n" + jsonHelp[policy]()
}

// policy is the JSON output of `keyset policy`.
type policy struct {
	Keyset           string     `json:"keyset" help:"name of the keyset"`
	PropagationDelay string     `json:"propagationDelay" help:"how long a key stays pending, as a Go duration"`
	RotateEvery      string     `json:"rotateEvery,omitempty" help:"age at which the primary key is replaced, as a Go duration; none: only people rotate"`
	Planned          bool       `json:"planned" help:"whether this is a plan, and nothing was changed"`
	Steps            []stepInfo `json:"steps" help:"what was changed, or with --plan would be; empty if it was so already"`
}

// Run changes the policy.
func (c *policyCmd) Run(a *app, at *keysetCmd, parsed *kong.Context) error {
	if err := checkNames(c.Name); err != nil {
		return err
	}
	if c.PropagationDelay != nil && *c.PropagationDelay <= 0 {
		return codedf(exitUsage, "--propagation-delay must be more than 0: give workers time to fetch a new key, such as %s", defaultPropagationDelay)
	}
	if c.RotateEvery != nil && *c.RotateEvery < 0 {
		return codedf(exitUsage, "--rotate-every must not be negative: use a duration such as 720h, or 0s for none")
	}
	var result policy
	var shown change
	err := at.withStore(a, parsed, false, func(ctx context.Context, s *keyconfig.Opened) error {
		r, err := apply(ctx, s, c.Name, c.Plan, func(k *keys.Keyset) (*keys.Keyset, error) {
			next := k.Policy
			if c.PropagationDelay != nil {
				next.PropagationDelay = keys.Duration(*c.PropagationDelay)
			}
			if c.RotateEvery != nil {
				next.RotateEvery = keys.Duration(*c.RotateEvery)
			}
			return rotate.PlanPolicy(k, next)
		})
		if err != nil {
			return err
		}
		shown = describeChange(r, 0, c.Plan)
		result = policy{Keyset: c.Name, PropagationDelay: time.Duration(r.After.Policy.PropagationDelay).String(), Planned: c.Plan, Steps: shown.Steps}
		if every := r.After.Policy.RotateEvery; every != 0 {
			result.RotateEvery = time.Duration(every).String()
		}
		return nil
	})
	if err != nil {
		return err
	}
	return a.print(result, func(w io.Writer) {
		if shown.plan(w) {
			return
		}
		fmt.Fprintf(w, "Keyset %s: propagation delay %s, rotation %s.\n", c.Name, trimDuration(result.PropagationDelay), everyFor(result.RotateEvery))
		if c.PropagationDelay != nil {
			shortDelay(w, *c.PropagationDelay)
		}
	})
}

// shortDelay warns of a delay in which not every worker fetches a new key.
func shortDelay(w io.Writer, delay time.Duration) {
	if delay <= keys.DefaultRefreshInterval {
		fmt.Fprintf(w, "Workers refresh every %s unless told otherwise: with this delay a key may be promoted that some do not have yet.\n", brief(keys.DefaultRefreshInterval))
	}
}

// everyFor says how often a keyset rotates by itself, for people.
func everyFor(duration string) string {
	if duration == "" {
		return "by people only"
	}
	return "every " + trimDuration(duration)
}
