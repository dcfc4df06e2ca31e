package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/signet-temporal/signet/internal/keyconfig"
	"github.com/signet-temporal/signet/keys"
	"github.com/signet-temporal/signet/keys/rotate"
)

// planFlag is the flag of every command that changes a keyset.
type planFlag struct {
	Plan bool `help:"Print the steps that would be taken, and take none."`
}

// keyFlags are those of a command about one key.
type keyFlags struct {
	Name string  `arg:"" help:"Name of the keyset."`
	Key  keys.ID `required:"" placeholder:"ID" help:"The key, eight hex digits; \"signet keyset status\" shows them."`
	planFlag
}

// change is the JSON output of the commands that change a keyset.
type change struct {
	Keyset       string     `json:"keyset" help:"name of the keyset"`
	Key          *keys.ID   `json:"key,omitempty" help:"id of the key that it is about; none while a new key is only planned"`
	State        keys.State `json:"state,omitempty" help:"state of that key after it"`
	PromotableAt *time.Time `json:"promotableAt,omitempty" help:"for a pending key: when it may be promoted, RFC 3339, as all times"`
	DestroyAfter *time.Time `json:"destroyAfter,omitempty" help:"for a scheduled destruction: when it may be carried out"`
	Retired      *keys.ID   `json:"retired,omitempty" help:"id of the key that sealed until now"`
	Planned      bool       `json:"planned" help:"whether this is a plan, and nothing was changed"`
	Steps        []stepInfo `json:"steps" help:"what was changed, or with --plan would be; empty if it was so already"`
	Idle         string     `json:"idle,omitempty" help:"of several keysets: that this one was, or is to be, shredded, so that nothing was done to it"`
	Problem      string     `json:"problem,omitempty" help:"of several keysets: why this one failed; then nothing else is shown"`

	searches bool // the keyset is one for search tokens, of which other things are said
}

// says returns of two texts the one that fits the keyset.
func (c change) says(payloads, searches string) string {
	if c.searches {
		return searches
	}
	return payloads
}

type stepInfo struct {
	Key  *keys.ID   `json:"key,omitempty" help:"the key; none for the keyset itself, and for a new key that is only planned"`
	From keys.State `json:"from,omitempty" help:"its state before; none for a new key"`
	To   keys.State `json:"to,omitempty" help:"its state after"`
	Does string     `json:"does" help:"what comes of it, in words"`
}

// apply changes the keyset called name, or with planned only looks at what that would be. It does so by the clock.
func apply(ctx context.Context, s *keyconfig.Opened, name string, planned bool, plan rotate.Plan) (rotate.Result, error) {
	return applyAnytime(ctx, s, name, planned, punctual(s, plan))
}

// applyAnytime is apply for what no delay and no waiting period is reckoned from: what is called off is called off, whatever
// the clock says.
func applyAnytime(ctx context.Context, s *keyconfig.Opened, name string, planned bool, plan rotate.Plan) (rotate.Result, error) {
	do := rotate.Change
	if planned {
		do = rotate.Preview
	}
	result, err := do(ctx, s.Store, name, plan)
	return result, missing(err, name, s)
}

// maxSkew is how far the clock of this machine may be from the key store's. Machines that agree with it agree with each
// other, well within any propagation delay that is of use.
const maxSkew = time.Minute

// punctual is plan, on a machine whose clock is right: delays and waiting periods are reckoned by it. It is compared with
// that of the key store when the keyset has just been read.
func punctual(s *keyconfig.Opened, plan rotate.Plan) rotate.Plan {
	return func(k *keys.Keyset) (*keys.Keyset, error) {
		if err := checkClock(s); err != nil {
			return nil, err
		}
		return plan(k)
	}
}

func checkClock(s *keyconfig.Opened) error {
	store, ok := s.Store.(interface{ ClockAhead() (time.Duration, bool) })
	if !ok {
		return nil // a directory has no other clock
	}
	ahead, known := store.ClockAhead()
	if !known || ahead.Abs() <= maxSkew {
		return nil
	}
	where := "ahead of"
	if ahead < 0 {
		where = "behind"
	}
	return codedf(exitRefused, "the clock of this machine is %s %s Vault's, and delays and waiting periods are reckoned by it: set it, or that of Vault, right", brief(ahead.Abs()), where)
}

// newKey makes the keys that a plan adds, none if it is only looked at.
func newKey(ctx context.Context, s *keyconfig.Opened, planned bool) rotate.NewKey {
	if planned {
		return rotate.Pretended
	}
	return rotate.Generated(ctx, s.KEK)
}

// describeChange says what became of the key id; 0: of no key in particular.
func describeChange(r rotate.Result, id keys.ID, planned bool) change {
	c := change{Keyset: r.After.Name, Planned: planned, Steps: []stepInfo{}, searches: r.After.Type.Searches()}
	pretended := func(id keys.ID) bool { return planned && r.Before.Key(id) == nil }
	if key := r.After.Key(id); key != nil {
		c.State = key.State
		if !pretended(id) {
			c.Key = &key.ID
		}
		if key.State == keys.Pending {
			at := promotableAt(r.After, *key)
			c.PromotableAt = &at
		}
		if !key.DestroyAfter.IsZero() {
			c.DestroyAfter = &key.DestroyAfter
		}
	}
	for _, step := range r.Steps() {
		shown := stepInfo{From: step.From, To: step.To, Does: step.Does}
		if step.Key != 0 && !pretended(step.Key) {
			shown.Key = &step.Key
		}
		if step.From == keys.Primary && step.To == keys.Retired {
			c.Retired = &step.Key
		}
		c.Steps = append(c.Steps, shown)
	}
	return c
}

// plan writes the steps, if c is a plan, and reports whether it is.
func (c change) plan(w io.Writer) bool {
	if !c.Planned {
		return false
	}
	if len(c.Steps) == 0 {
		fmt.Fprintf(w, "Plan for keyset %s: nothing is to be done.\n", c.Keyset)
		return true
	}
	fmt.Fprintf(w, "Plan for keyset %s, of which nothing was done:\n", c.Keyset)
	stepsTable(w, c.Steps)
	return true
}

func stepsTable(w io.Writer, steps []stepInfo) {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, step := range steps {
		fmt.Fprintf(tw, "  %s\t%s\t%s\n", step.subject(), step.move(), step.Does)
	}
	tw.Flush()
}

func (s stepInfo) subject() string {
	switch {
	case s.Key != nil:
		return s.Key.String()
	case s.To != "":
		return "new key"
	}
	return "keyset"
}

func (s stepInfo) move() string {
	switch {
	case s.To == "":
		return ""
	case s.From == "":
		return string(s.To)
	case s.From == s.To:
		return "stays " + string(s.To)
	}
	return string(s.From) + " → " + string(s.To)
}

// table writes the plan, or done when something was done and already when there was nothing to do.
func (c change) table(w io.Writer, already, done string) {
	switch {
	case c.plan(w):
	case len(c.Steps) == 0:
		fmt.Fprintln(w, already)
	default:
		fmt.Fprintln(w, done)
	}
}
