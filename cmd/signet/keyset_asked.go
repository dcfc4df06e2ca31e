package main

import (
	"context"
	"io"
	"time"

	"github.com/alecthomas/kong"
	"github.com/signet-temporal/signet/internal/keyconfig"
	"github.com/signet-temporal/signet/keys"
	"github.com/signet-temporal/signet/keys/rotate"
)

// movement is a change of one key that needs evidence that the key is unused.
type movement struct {
	plan func(*keys.Keyset, rotate.Evidence) (*keys.Keyset, error)
	// carryOut does what plan plans; nil: by [rotate.Change].
	carryOut func(context.Context, *keyconfig.Opened, rotate.Evidence) (rotate.Result, error)
	table    func(io.Writer, askedChange)
}

// move changes one key once whoever was to be asked has nothing against it, and prints what became of it. What would be
// refused anyway is refused before anybody is asked; the key store is not held open meanwhile, since a census may take
// hours.
func (c askFlags) move(a *app, at *keysetCmd, parsed *kong.Context, f keyFlags, word bool, m movement) error {
	if err := checkNames(f.Name); err != nil {
		return err
	}
	q, err := c.prepare(a.now())
	if err != nil {
		return err
	}
	q.keyset, q.key = f.Name, f.Key
	evidence := rotate.Evidence{AllowKeyInUse: word}
	if c.given() {
		evidence.CensusAt, evidence.AllSealed = q.since(a.now()), true
	}
	var result askedChange
	store := func(do func(context.Context, *keyconfig.Opened, rotate.Evidence) (rotate.Result, error)) error {
		return at.withStore(a, parsed, false, func(ctx context.Context, s *keyconfig.Opened) error {
			r, err := do(ctx, s, evidence)
			if err != nil {
				return missing(err, f.Name, s)
			}
			result.change = describeChange(r, f.Key, f.Plan)
			q.about(r.Before)
			return nil
		})
	}
	preview := func(ctx context.Context, s *keyconfig.Opened, e rotate.Evidence) (rotate.Result, error) {
		return rotate.Preview(ctx, s.Store, f.Name, punctual(s, func(k *keys.Keyset) (*keys.Keyset, error) { return m.plan(k, e) }))
	}
	if err := store(preview); err != nil {
		return err
	}
	if c.given() && result.searches {
		return codedf(exitRefused, "keyset %q makes search tokens, and a census counts payloads alone: leave --namespace and --census out, and see what is not found any more", f.Name)
	}
	if c.given() && len(result.Steps) > 0 {
		if f.Plan {
			result.Census, err = q.uses(c.temporalPlace)
		} else if result.asked, evidence.CensusAt, err = q.ask(a, c.namespaceFlags); err == nil {
			err = store(preview) // keys may have been added while it was counted
		}
		if err != nil {
			return err
		}
	}
	if f.Plan {
		return a.print(result, func(w io.Writer) { m.table(w, result) })
	}
	if err := q.against(result.Census); err != nil {
		return a.needed(result, err)
	}
	if m.carryOut == nil {
		m.carryOut = func(ctx context.Context, s *keyconfig.Opened, e rotate.Evidence) (rotate.Result, error) {
			return rotate.Change(ctx, s.Store, f.Name, punctual(s, func(k *keys.Keyset) (*keys.Keyset, error) { return m.plan(k, e) }))
		}
	}
	if err := store(m.carryOut); err != nil {
		return err
	}
	return a.print(result, func(w io.Writer) { m.table(w, result) })
}

// about takes from the keyset's document what the question depends on.
func (q *asking) about(k *keys.Keyset) {
	q.sealedUntil, q.has = rotate.SealedUntil(k, q.key), map[keys.ID]bool{}
	for _, key := range k.Keys {
		q.has[key.ID] = true
	}
	key := k.Key(q.key)
	q.legacy = key != nil && key.OpensLegacy()
}

// needed prints what still needs a key, and returns why the key was not touched.
func (a *app) needed(r askedChange, why error) error {
	r.SafeAfter = safeAfter(r.Census)
	r.Steps, r.State, r.DestroyAfter = []stepInfo{}, "", nil // which were planned
	if err := a.print(r, func(w io.Writer) { r.asked.table(w, *r.Key, a.now()) }); err != nil {
		return err
	}
	return why
}

// table is [change.table], with who was asked and what they said.
func (r askedChange) table(w io.Writer, now time.Time, already, done string) {
	if !r.Planned && r.Key != nil {
		r.asked.table(w, *r.Key, now)
	}
	r.change.table(w, already, done)
	if r.Planned {
		r.asked.plan(w, now)
	}
}
