package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/alecthomas/kong"
	"github.com/signet-temporal/signet/internal/keyconfig"
	"github.com/signet-temporal/signet/keys"
	"github.com/signet-temporal/signet/keys/rotate"
)

type shredCmd struct {
	storeFlags
	askFlags
	planFlag

	Names    []string      `arg:"" name:"name" help:"Names of the keysets, such as tenant/acme."`
	Schedule bool          `xor:"step" required:"" help:"First step: begin the waiting period, in which the keysets neither seal nor open."`
	CarryOut bool          `xor:"step" required:"" help:"Second step, when the waiting period is over: shred the keysets."`
	Cancel   bool          `xor:"step" required:"" help:"Call a scheduled shredding off; the keysets seal and open again as before."`
	Wait     time.Duration `default:"168h" help:"The waiting period; at least the keysets' propagation delay."`

	WorkflowsBegin     string `name:"workflows-beginning-with" placeholder:"TEXT" help:"What the ids of the tenant's workflows begin with, to list those that are open. If not given: for a keyset under --own-keys-under what follows that, and a slash."`
	AllowOpenWorkflows bool   `name:"allow-open-workflows" help:"Go on though workflows or schedules are open that need the keysets, or though nobody is asked: their tasks fail for ever."`
}

// Help is the long help of the command.
func (shredCmd) Help() string {
	return `For a tenant who asks for erasure. Exactly one of --schedule, --carry-out and --cancel says which step it is.

What a shredded keyset sealed never opens again, in no worker, client or codec server: histories, memos, schedules,
archives, exports. Both --schedule and --carry-out ask first what is open: name every namespace in which the tenant has
workflows with --namespace. The open workflows whose ids are the tenant's are listed, and a census is taken, or read from
a file with --census. While anything open needs the keyset nothing is changed, and the exit code is 3: let it end or
terminate it, and delete schedules. What is closed is no reason: it is what is to be erased. --plan asks nobody.

Shredding removes the keys from the keyset's document, which stays without them so that nobody creates the name again, and
every earlier version of it from Vault; then, for a keyset under --own-keys-under, the Transit key that wraps its keys alone,
so that no copy of them opens any more. It takes the role shredder, and may be repeated whenever it was interrupted. What
backups hold is said at the end, with what to do about it: keep that receipt.

` + jsonHelp[shredding]()
}

// shredding is the JSON output of `shred`.
type shredding struct {
	Planned bool      `json:"planned" help:"whether this is a plan, and nothing was changed"`
	Asked   []openUse `json:"asked,omitempty" help:"who was asked what is open, and with --plan who would be"`
	Keysets []receipt `json:"keysets" help:"each keyset, in the order given"`
}

// Run takes one of the steps.
func (c *shredCmd) Run(a *app, parsed *kong.Context) error {
	if err := c.check(); err != nil {
		return err
	}
	q, err := c.prepare(a.now())
	if err != nil {
		return err
	}
	result := shredding{Planned: c.Plan, Keysets: []receipt{}}
	ask := false
	err = c.withStore(a, parsed, false, func(ctx context.Context, s *keyconfig.Opened) error {
		for _, name := range c.Names {
			step := c.step(a.now())
			if !c.Cancel { // what is called off is called off, whatever the clock says
				step = punctual(s, step)
			}
			r, err := rotate.PreviewShred(ctx, s.Store, name, step)
			if err != nil {
				return missing(err, name, s)
			}
			ask = ask || r.Changed()
			result.Keysets = append(result.Keysets, c.receipt(s, rotate.ShredResult{Result: r}))
		}
		return nil
	})
	if err != nil {
		return err
	}
	if ask && c.given() {
		if result.Asked, err = c.ask(a, q); err != nil {
			return err
		}
		if err := c.against(result.Asked); err != nil {
			result.Keysets = []receipt{}
			if err := a.print(result, func(w io.Writer) { result.table(w, a.now()) }); err != nil {
				return err
			}
			return err
		}
	}
	if c.Plan {
		return a.print(result, func(w io.Writer) { result.table(w, a.now()) })
	}
	result.Keysets = []receipt{}
	failed := c.withStore(a, parsed, false, func(ctx context.Context, s *keyconfig.Opened) error {
		for _, name := range c.Names {
			r, err := c.take(ctx, s, name, a.now())
			if err != nil {
				return missing(err, name, s)
			}
			result.Keysets = append(result.Keysets, c.receipt(s, r))
		}
		return nil
	})
	if len(result.Keysets) > 0 { // what was done before one failed is not kept quiet
		if err := a.print(result, func(w io.Writer) { result.table(w, a.now()); c.next(w, result, a.now()) }); err != nil {
			return err
		}
	}
	return failed
}

func (c *shredCmd) check() error {
	switch {
	case c.Wait <= 0:
		return codedf(exitUsage, "--wait must be more than 0: give people time to notice what does not open any more, such as 168h")
	case c.Cancel && (c.AllowOpenWorkflows || c.given() || c.WorkflowsBegin != ""):
		return codedf(exitUsage, "--cancel shreds nothing: leave --namespace, --census, --workflows-beginning-with and --allow-open-workflows out")
	case c.WorkflowsBegin != "" && len(c.Names) > 1:
		return codedf(exitUsage, "--workflows-beginning-with is about one tenant: name one keyset")
	case c.WorkflowsBegin != "" && len(c.Namespaces) == 0:
		return codedf(exitUsage, "--workflows-beginning-with lists workflows of a namespace: name one with --namespace")
	case strings.ContainsAny(c.WorkflowsBegin, `'"\`):
		return codedf(exitUsage, "--workflows-beginning-with must not hold quotes or backslashes: leave it away, and the census looks at all workflows")
	}
	return checkNames(c.Names...)
}

// evidence is what stands for the question that is asked between the first look and the change.
func (c *shredCmd) evidence(now time.Time) rotate.ShredEvidence {
	e := rotate.ShredEvidence{AllowOpenWorkflows: c.AllowOpenWorkflows}
	if c.given() {
		e.NoneOpenAt = now
	}
	return e
}

// step is the plan of the step that was asked for.
func (c *shredCmd) step(now time.Time) rotate.Plan {
	switch {
	case c.Cancel:
		return rotate.PlanCancelShred
	case c.Schedule:
		return func(k *keys.Keyset) (*keys.Keyset, error) {
			return rotate.PlanScheduleShred(k, c.Wait, c.evidence(now), now)
		}
	}
	return func(k *keys.Keyset) (*keys.Keyset, error) { return rotate.PlanShred(k, c.evidence(now), now) }
}

func (c *shredCmd) take(ctx context.Context, s *keyconfig.Opened, name string, now time.Time) (rotate.ShredResult, error) {
	if c.CarryOut {
		return rotate.Shred(ctx, s.Store, s.KEK, name, c.evidence(now))
	}
	r, err := rotate.ChangeShred(ctx, s.Store, name, c.step(now))
	return rotate.ShredResult{Result: r}, err
}

// next says how the second step is taken, or called off.
func (c *shredCmd) next(w io.Writer, r shredding, now time.Time) {
	names, last := "", time.Time{}
	for _, k := range r.Keysets {
		if k.ShredAfter != nil {
			names += " " + k.Keyset
			if k.ShredAfter.After(last) {
				last = *k.ShredAfter
			}
		}
	}
	if names == "" {
		return
	}
	again := ""
	for _, namespace := range c.Namespaces {
		again += " --namespace=" + printable(namespace)
	}
	for range c.Censuses {
		again += " --census=FILE"
	}
	if c.WorkflowsBegin != "" {
		again += " --workflows-beginning-with=" + printable(c.WorkflowsBegin)
	}
	if c.AllowOpenWorkflows {
		again += " --allow-open-workflows"
	}
	fmt.Fprintf(w, "To shred in %s, at %s, or to call it off:\n\n    signet shred%[3]s --carry-out%[4]s\n    signet shred%[3]s --cancel\n", brief(last.Sub(now)), clock(last, now), names, again)
}
