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
	askFlags
	Schedule      bool          `xor:"step" required:"" help:"First step: begin the waiting period."`
	CarryOut      bool          `xor:"step" required:"" help:"Second step, when the waiting period is over: destroy the key."`
	Cancel        bool          `xor:"step" required:"" help:"Call a scheduled destruction off; the key stays disabled."`
	Wait          time.Duration `default:"168h" help:"The waiting period; at least the keyset's propagation delay."`
	AllowKeyInUse bool          `name:"allow-destroying-a-key-in-use" help:"Ask no census, for clusters that cannot be asked: whatever is still sealed with the key is lost."`
}

// Help is the long help of the command.
func (destroyCmd) Help() string {
	return `Exactly one of --schedule, --carry-out and --cancel says which step it is.

What a destroyed key sealed never opens again: histories, open workflows, schedules, memos. Disable the key first,
and see for as long as your longest workflow and schedule what does not open any more.

Both --schedule and --carry-out ask whether anything still carries the key. Name every namespace whose workflows use the
keyset with --namespace, and a census is taken of each; or give what "signet census --output json" printed for it with
--census; for --carry-out one that began when the waiting period was over. What was met is shown, nothing is changed, and
the exit code is 3. With --plan nobody is asked, and it is said who would be.

Destroying removes the key from the keyset, and every earlier version of the keyset from Vault. Backups of Vault still
hold it: it is gone when they are.

` + jsonHelp[askedChange]()
}

// Run takes one of the steps.
func (c *destroyCmd) Run(a *app, at *keysetCmd, parsed *kong.Context) error {
	switch {
	case c.Wait <= 0:
		return codedf(exitUsage, "--wait must be more than 0: give people time to notice what does not open any more, such as 168h")
	case c.Cancel && (c.AllowKeyInUse || c.given()):
		return codedf(exitUsage, "--cancel destroys nothing: leave --namespace, --census and --allow-destroying-a-key-in-use out")
	case c.AllowKeyInUse && c.given():
		return codedf(exitUsage, "--allow-destroying-a-key-in-use asks no census: leave it out, or leave --namespace and --census out")
	}
	m := movement{table: func(w io.Writer, r askedChange) { c.table(w, r, a.now()) }}
	switch {
	case c.Cancel:
		return c.keyFlags.move(a, at, parsed, func(k *keys.Keyset) (*keys.Keyset, error) { return rotate.PlanCancelDestroy(k, c.Key) },
			func(w io.Writer, r change) { c.table(w, askedChange{change: r}, a.now()) })
	case c.Schedule:
		m.plan = func(k *keys.Keyset, e rotate.Evidence) (*keys.Keyset, error) {
			return rotate.PlanScheduleDestroy(k, c.Key, rotate.DestroyOptions{Wait: c.Wait, Evidence: e}, a.now())
		}
	default:
		m.plan = func(k *keys.Keyset, e rotate.Evidence) (*keys.Keyset, error) {
			return rotate.PlanDestroy(k, c.Key, e, a.now())
		}
		m.carryOut = func(ctx context.Context, s *keyconfig.Opened, e rotate.Evidence) (rotate.Result, error) {
			return rotate.Destroy(ctx, s.Store, c.Name, c.Key, e)
		}
	}
	return c.askFlags.move(a, at, parsed, c.keyFlags, c.AllowKeyInUse, m)
}

func (c *destroyCmd) table(w io.Writer, r askedChange, now time.Time) {
	key := fmt.Sprintf("Key %s of keyset %s", c.Key, c.Name)
	if r.change.plan(w) {
		r.asked.plan(w, now)
		return
	}
	r.asked.table(w, c.Key, now)
	switch {
	case r.State == keys.Destroyed && len(r.Steps) > 0:
		fmt.Fprintf(w, "%s is destroyed, also in earlier versions of the keyset: %s again. Backups still hold it.\n", key, r.says("what it sealed never opens", "what has its tokens is never found"))
	case r.State == keys.Destroyed:
		fmt.Fprintf(w, "%s was destroyed before.\n", key)
	case r.DestroyAfter == nil && len(r.Steps) > 0:
		fmt.Fprintf(w, "%s will not be destroyed. It stays disabled; to use it again:\n\n    signet keyset enable %s --key=%s\n", key, c.Name, c.Key)
	case r.DestroyAfter == nil:
		fmt.Fprintf(w, "%s was not to be destroyed.\n", key)
	default:
		fmt.Fprintf(w, "%s may be destroyed in %s, at %s. Then, or to call it off:\n\n", key, brief(r.DestroyAfter.Sub(now)), clock(*r.DestroyAfter, now))
		fmt.Fprintf(w, "    signet keyset destroy %[1]s --key=%[2]s --carry-out%[3]s\n    signet keyset destroy %[1]s --key=%[2]s --cancel\n", c.Name, c.Key, c.again())
	}
}

// again is how the second step asks those whom the first one asked.
func (c *destroyCmd) again() string {
	if c.AllowKeyInUse {
		return " --allow-destroying-a-key-in-use"
	}
	text := ""
	for _, namespace := range c.Namespaces {
		text += " --namespace=" + printable(namespace)
	}
	for range c.Censuses {
		text += " --census=FILE"
	}
	return text
}
