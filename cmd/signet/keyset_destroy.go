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

type destroyCmd struct {
	keyFlags
	Schedule bool          `xor:"step" required:"" help:"First step: begin the waiting period."`
	CarryOut bool          `xor:"step" required:"" help:"Second step, when the waiting period is over: destroy the key."`
	Cancel   bool          `xor:"step" required:"" help:"Call a scheduled destruction off; the key stays disabled."`
	Wait     time.Duration `default:"168h" help:"The waiting period; at least the keyset's propagation delay."`
	// There is no census yet, so there is no other way.
	AllowKeyInUse bool `name:"allow-destroying-a-key-in-use" help:"Accept that whatever is still sealed with the key is lost: nothing has shown that it is unused."`
}

// Help is the long help of the command.
func (destroyCmd) Help() string {
	return `Exactly one of --schedule, --carry-out and --cancel says which step it is.

What a destroyed key sealed never opens again: histories, open workflows, schedules, memos. Disable the key first,
and see for as long as your longest workflow and schedule what does not open any more.

Destroying removes the key from the keyset, and every earlier version of the keyset from Vault. Backups of Vault still
hold it: it is gone when they are.

` + jsonHelp[change]()
}

// Run takes one of the steps.
func (c *destroyCmd) Run(a *app, at *keysetCmd, parsed *kong.Context) error {
	switch {
	case c.Wait <= 0:
		return codedf(exitUsage, "--wait must be more than 0: give people time to notice what does not open any more, such as 168h")
	case c.AllowKeyInUse && !c.Schedule:
		return codedf(exitUsage, "--allow-destroying-a-key-in-use belongs to --schedule: leave it out")
	case c.CarryOut && !c.Plan:
		return c.carryOut(a, at, parsed)
	}
	return c.move(a, at, parsed, func(k *keys.Keyset) (*keys.Keyset, error) {
		switch {
		case c.Schedule:
			return rotate.PlanScheduleDestroy(k, c.Key, rotate.DestroyOptions{Wait: c.Wait, Evidence: rotate.Evidence{AllowKeyInUse: c.AllowKeyInUse}}, a.now())
		case c.Cancel:
			return rotate.PlanCancelDestroy(k, c.Key)
		}
		return rotate.PlanDestroy(k, c.Key, a.now())
	}, func(w io.Writer, r change) { c.table(w, r, a.now()) })
}

func (c *destroyCmd) carryOut(a *app, at *keysetCmd, parsed *kong.Context) error {
	if err := checkNames(c.Name); err != nil {
		return err
	}
	var result change
	err := at.withStore(a, parsed, false, func(ctx context.Context, s *keyconfig.Opened) error {
		r, err := rotate.Destroy(ctx, s.Store, c.Name, c.Key)
		if err != nil {
			return missing(err, c.Name, s)
		}
		result = describeChange(r, c.Key, false)
		return nil
	})
	if err != nil {
		return err
	}
	return a.print(result, func(w io.Writer) { c.table(w, result, a.now()) })
}

func (c *destroyCmd) table(w io.Writer, r change, now time.Time) {
	key := fmt.Sprintf("Key %s of keyset %s", c.Key, c.Name)
	switch {
	case r.plan(w):
	case r.State == keys.Destroyed && len(r.Steps) > 0:
		fmt.Fprintf(w, "%s is destroyed, also in earlier versions of the keyset: what it sealed never opens again. Backups still hold it.\n", key)
	case r.State == keys.Destroyed:
		fmt.Fprintf(w, "%s was destroyed before.\n", key)
	case r.DestroyAfter == nil && len(r.Steps) > 0:
		fmt.Fprintf(w, "%s will not be destroyed. It stays disabled; to use it again:\n\n    signet keyset enable %s --key=%s\n", key, c.Name, c.Key)
	case r.DestroyAfter == nil:
		fmt.Fprintf(w, "%s was not to be destroyed.\n", key)
	default:
		fmt.Fprintf(w, "%s may be destroyed in %s, at %s. Then, or to call it off:\n\n", key, brief(r.DestroyAfter.Sub(now)), clock(*r.DestroyAfter, now))
		fmt.Fprintf(w, "    signet keyset destroy %[1]s --key=%[2]s --carry-out\n    signet keyset destroy %[1]s --key=%[2]s --cancel\n", c.Name, c.Key)
	}
}
