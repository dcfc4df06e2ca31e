package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
	"github.com/signet-temporal/signet/keys"
	"github.com/signet-temporal/signet/keys/rotate"
)

// compromised is the JSON output of `keyset rotate --compromised`.
type compromised struct {
	change
	Census []use    `json:"census,omitempty" help:"what was sealed with the key, by namespace, and with --plan where would be looked"`
	Later  []string `json:"later,omitempty" help:"commands that say so for the namespaces that could not be looked at"`
	Why    string   `json:"why,omitempty" help:"why they could not"`
}

// promptly is how long a Temporal that is away is asked again when a key is compromised.
const promptly = 10 * time.Second

// compromise replaces the key, which waits for nobody, says so, and looks for what was sealed with it.
func (c *rotateCmd) compromise(a *app, at *keysetCmd, parsed *kong.Context) error {
	key, now := *c.Compromised, a.now()
	changed, err := c.change(a, at, parsed, func(k *keys.Keyset, fresh rotate.NewKey, now time.Time) (*keys.Keyset, error) {
		return rotate.PlanCompromised(k, key, fresh, now)
	})
	if err != nil {
		return err
	}
	result := compromised{change: changed}
	if !a.json {
		if err := a.print(result, func(w io.Writer) { c.replaced(w, changed) }); err != nil {
			return err
		}
	}
	c.look(a, &result)
	return a.print(result, func(w io.Writer) {
		if c.Plan {
			result.plan(w)
			return
		}
		result.table(w, key, now)
		if !result.searches {
			c.next(w)
		}
	})
}

// look finds what was sealed with the key. Whatever is in its way, it says what to run later.
func (c *rotateCmd) look(a *app, result *compromised) {
	if c.SkipCensus || result.searches { // a census counts payloads, and no search tokens
		return
	}
	namespaces := c.Namespaces
	if len(namespaces) == 0 {
		if home := home(c.Names[0]); home != "NAME" {
			namespaces = []string{home}
		} else {
			result.Later, result.Why = []string{"signet census --namespace=NAME"}, "it is not said in which namespaces the keyset is used"
			return
		}
	}
	q := asking{keyset: c.Names[0], key: *c.Compromised, walk: namespaces}
	if c.Plan {
		uses, err := q.uses(c.temporalPlace)
		if result.Census = uses; err != nil {
			result.Why = err.Error()
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	for _, namespace := range namespaces {
		r, err := c.walkOf(ctx, a, namespace, promptly)
		if err != nil {
			result.Later = append(result.Later, "signet census --namespace="+printable(namespace))
			result.Why = strings.Join(strings.Fields(err.Error()), " ")
			continue
		}
		u := q.use(r.Result, r.address)
		u.Unproven = "" // the question is what it sealed, not whether it may go
		result.Census = append(result.Census, u)
	}
}

// replaced says what became of the key.
func (c *rotateCmd) replaced(w io.Writer, r change) {
	key, name := *c.Compromised, r.Keyset
	if r.plan(w) {
		return
	}
	if r.searches {
		compromisedSearch(w, r, key)
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
}

// table says what was sealed with the key, and what could not be found out.
func (r compromised) table(w io.Writer, key keys.ID, now time.Time) {
	if len(r.Census) > 0 {
		fmt.Fprintln(w, "\nWhat was sealed with it until now:")
		fmt.Fprintln(w)
		for _, u := range r.Census {
			u.table(w, key, now)
		}
	}
	if len(r.Later) > 0 {
		fmt.Fprintf(w, "\nWhat was sealed with it is not known: %s. Look later, with:\n\n    %s\n", printable(r.Why), strings.Join(r.Later, "\n    "))
	}
}

// plan says where would be looked.
func (r compromised) plan(w io.Writer) {
	for _, u := range r.Census {
		fmt.Fprintf(w, "  after that: a census of namespace %s at %s says what was sealed with it\n", printable(u.Namespace), u.From)
	}
	if r.Why != "" {
		fmt.Fprintf(w, "  what was sealed with it would not be known: %s\n", printable(r.Why))
	}
}

// next says how to go on.
func (c *rotateCmd) next(w io.Writer) {
	fmt.Fprintf(w, `
What key %[1]s sealed must be taken as read by whoever has the key; it still opens here, so that workflows go on. Next:

 1. Find out how it got out. If it was through Vault, revoke those tokens, rotate the Transit key and wrap all keys anew:
      vault write -f transit/keys/signet/rotate
      signet keyset rewrap
 2. When the propagation delay is over, count again: workers that had not refreshed yet sealed with it until then.
      signet census --namespace=%[3]s
 3. Let workflows that carry it end, and seal schedules anew. When nothing needs the key any more:
      signet schedules reseal --namespace=%[3]s
      signet keyset disable %[2]s --key=%[1]s --namespace=%[3]s
      signet keyset destroy %[2]s --key=%[1]s --namespace=%[3]s --schedule
`, *c.Compromised, c.Names[0], c.where())
}

// where is the namespace that further commands are about.
func (c *rotateCmd) where() string {
	if len(c.Namespaces) > 0 {
		return printable(c.Namespaces[0])
	}
	return home(c.Names[0])
}
