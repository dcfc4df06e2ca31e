package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/alecthomas/kong"
	"github.com/signet-temporal/signet/internal/keyconfig"
	"github.com/signet-temporal/signet/keys"
	"github.com/signet-temporal/signet/keys/rotate"
)

type keysetCmd struct {
	storeFlags

	Create  createCmd  `cmd:"" help:"Create a keyset with its first key, which seals at once."`
	Status  statusCmd  `cmd:"" help:"Show keysets, their keys, and what may be done next and when."`
	Rotate  rotateCmd  `cmd:"" help:"Begin a rotation: add a pending key, which opens and does not seal yet."`
	Promote promoteCmd `cmd:"" help:"End a rotation: make the pending key the primary one, which seals."`
}

// defaultPropagationDelay is five refreshes of a worker that refreshes once a minute.
const defaultPropagationDelay = "5m"

type createCmd struct {
	Name             string        `arg:"" help:"Name of the keyset, such as ns/payments."`
	Type             string        `enum:"XAES_256_GCM,AES256_GCM" default:"XAES_256_GCM" env:"SIGNET_KEY_TYPE" help:"Type of its keys: XAES_256_GCM or AES256_GCM. AES256_GCM is for Tink in languages without the other; rotate such keys before 2^32 payloads."`
	PropagationDelay time.Duration `default:"${propagation_delay}" env:"SIGNET_PROPAGATION_DELAY" help:"How long a new key stays pending before it may be promoted: longer than any worker's refresh interval."`
}

// Help is the long help of the command.
func (createCmd) Help() string {
	return "A directory given by --keys-file is created if there is none; no other command does that.\n\n" + jsonHelp[created]()
}

// created is the JSON output of `keyset create`.
type created struct {
	Keyset           string     `json:"keyset" help:"name of the keyset"`
	Type             keys.Type  `json:"type" help:"type of its keys"`
	PropagationDelay string     `json:"propagationDelay" help:"how long a key stays pending, as a Go duration"`
	Key              keys.ID    `json:"key" help:"id of its first key"`
	State            keys.State `json:"state" help:"state of that key: primary"`
}

// Run creates the keyset.
func (c *createCmd) Run(a *app, at *keysetCmd, parsed *kong.Context) error {
	if c.PropagationDelay <= 0 {
		return codedf(exitUsage, "--propagation-delay must be more than 0: give workers time to fetch a new key, such as %s", defaultPropagationDelay)
	}
	if err := checkNames(c.Name); err != nil {
		return err
	}
	result := created{Keyset: c.Name, Type: keys.Type(c.Type), PropagationDelay: c.PropagationDelay.String(), State: keys.Primary}
	err := at.withStore(a, parsed, true, func(ctx context.Context, s *keyconfig.Opened) error {
		var err error
		result.Key, err = rotate.Create(ctx, s.Store, s.KEK, c.Name, rotate.Options{Type: result.Type, PropagationDelay: c.PropagationDelay})
		if errors.Is(err, keys.ErrConflict) {
			return codedf(exitRefused, "keyset %q exists already in %s: add a key to it with \"signet keyset rotate %s\"", c.Name, s, c.Name)
		}
		return err
	})
	if err != nil {
		return err
	}
	return a.print(result, func(w io.Writer) {
		fmt.Fprintf(w, "Created keyset %s (%s). Its key %s is primary: it seals from now on.\n", c.Name, c.Type, result.Key)
	})
}

type rotateCmd struct {
	Name string `arg:"" help:"Name of the keyset."`
}

// Help is the long help of the command.
func (rotateCmd) Help() string {
	return "Workers fetch the pending key with their next refresh. Promote it when the propagation delay has passed.\n\n" + jsonHelp[added]()
}

// added is the JSON output of `keyset rotate`.
type added struct {
	Keyset       string     `json:"keyset" help:"name of the keyset"`
	Key          keys.ID    `json:"key" help:"id of the new key"`
	State        keys.State `json:"state" help:"its state: pending, or primary in a keyset that had no key"`
	PromotableAt *time.Time `json:"promotableAt,omitempty" help:"when a pending key may be promoted, RFC 3339"`
}

// Run adds a pending key, unless there is one.
func (c *rotateCmd) Run(a *app, at *keysetCmd, parsed *kong.Context) error {
	if err := checkNames(c.Name); err != nil {
		return err
	}
	result := added{Keyset: c.Name}
	err := at.withStore(a, parsed, false, func(ctx context.Context, s *keyconfig.Opened) error {
		var err error
		if result.Key, err = rotate.Add(ctx, onePending{s.Store}, s.KEK, c.Name); err != nil {
			return missing(err, c.Name, s)
		}
		k, _, err := s.Store.Fetch(ctx, c.Name)
		if err != nil {
			return fmt.Errorf("key %s was added, but the keyset cannot be read again: %w", result.Key, err)
		}
		key := k.Key(result.Key)
		if key == nil {
			return fmt.Errorf("key %s was added to keyset %q and is gone again: see who else changes it", result.Key, c.Name)
		}
		if result.State = key.State; key.State == keys.Pending {
			at := promotableAt(k, *key)
			result.PromotableAt = &at
		}
		return nil
	})
	if err != nil {
		return err
	}
	return a.print(result, func(w io.Writer) { result.table(w, a.now()) })
}

// onePending is a store that takes no keyset with two pending keys. It judges what is to be stored, under the store's
// own compare-and-swap: two custodians who rotate at once cannot both succeed.
type onePending struct{ keys.Store }

// Replace implements [keys.Store].
func (s onePending) Replace(ctx context.Context, k *keys.Keyset, old keys.Version) (keys.Version, error) {
	if waiting := pendingIn(k); len(waiting) > 1 {
		return "", codedf(exitRefused, "keyset %q has a pending key already, %s: promote it first with \"signet keyset promote %s\"", k.Name, waiting[0], k.Name)
	}
	return s.Store.Replace(ctx, k, old)
}

func pendingIn(k *keys.Keyset) []string {
	var ids []string
	for _, key := range k.Keys {
		if key.State == keys.Pending {
			ids = append(ids, key.ID.String())
		}
	}
	return ids
}

func (r added) table(w io.Writer, now time.Time) {
	if r.PromotableAt == nil {
		fmt.Fprintf(w, "Added key %s to keyset %s. It is primary: the keyset had no key.\n", r.Key, r.Keyset)
		return
	}
	fmt.Fprintf(w, "Added key %s to keyset %s. It is pending: it opens, and does not seal yet.\n", r.Key, r.Keyset)
	fmt.Fprintf(w, "Promote it in %s, at %s, when every worker has it:\n\n    signet keyset promote %s\n",
		brief(r.PromotableAt.Sub(now)), clock(*r.PromotableAt, now), r.Keyset)
}

type promoteCmd struct {
	Name  string   `arg:"" help:"Name of the keyset."`
	Key   *keys.ID `placeholder:"ID" help:"Pending key to promote, eight hex digits; the oldest if none is given."`
	Force bool     `help:"Promote before the propagation delay has passed: workers that have not fetched the key yet cannot open what is sealed with it until they do."`
}

// Help is the long help of the command.
func (promoteCmd) Help() string {
	return "The former primary key is retired: it goes on opening what it sealed.\n\n" + jsonHelp[promoted]()
}

// promoted is the JSON output of `keyset promote`.
type promoted struct {
	Keyset  string     `json:"keyset" help:"name of the keyset"`
	Key     keys.ID    `json:"key" help:"id of the key that seals now"`
	State   keys.State `json:"state" help:"its state: primary"`
	Retired *keys.ID   `json:"retired,omitempty" help:"id of the key that sealed until now"`
}

// Run promotes the key.
func (c *promoteCmd) Run(a *app, at *keysetCmd, parsed *kong.Context) error {
	if err := checkNames(c.Name); err != nil {
		return err
	}
	if c.Key != nil && *c.Key == 0 { // which would mean "any" below
		return codedf(exitNotFound, "keyset %q has no key %s: see \"signet keyset status %s\"", c.Name, *c.Key, c.Name)
	}
	result := promoted{Keyset: c.Name, State: keys.Primary}
	err := at.withStore(a, parsed, false, func(ctx context.Context, s *keyconfig.Opened) error {
		options := rotate.PromoteOptions{Force: c.Force}
		if c.Key != nil {
			options.Key = *c.Key
		}
		var err error
		result.Key, err = rotate.Promote(ctx, s.Store, c.Name, options)
		after, _, fetchErr := s.Store.Fetch(ctx, c.Name)
		if fetchErr != nil {
			return missing(err, c.Name, s) // nil if it was promoted: that it cannot be looked at again matters little
		}
		if err != nil && !errors.Is(err, rotate.ErrTooEarly) {
			return cmp.Or(c.refusal(after), err)
		}
		result.Retired = retiredFor(after, result.Key)
		return err
	})
	if err != nil {
		return err
	}
	return a.print(result, func(w io.Writer) {
		fmt.Fprintf(w, "Key %s of keyset %s is primary: workers seal with it from their next refresh on.\n", result.Key, c.Name)
		if result.Retired != nil {
			fmt.Fprintf(w, "Key %s is retired: it goes on opening what it sealed.\n", *result.Retired)
		}
	})
}

// retiredFor returns the id of the key that id took the place of, or nil.
func retiredFor(k *keys.Keyset, id keys.ID) *keys.ID {
	primary := k.Key(id)
	for _, key := range k.Keys {
		if primary != nil && key.State == keys.Retired && key.Retired.Equal(primary.Promoted) {
			return &key.ID
		}
	}
	return nil
}

// refusal says why no key of k may be promoted, whatever the time, or nil.
func (c *promoteCmd) refusal(k *keys.Keyset) error {
	pending := pendingIn(k)
	advice := fmt.Sprintf("add one with \"signet keyset rotate %s\"", k.Name)
	if len(pending) > 0 {
		advice = "it has pending " + strings.Join(pending, ", ")
	}
	switch {
	case c.Key != nil && k.Key(*c.Key) == nil:
		return codedf(exitNotFound, "keyset %q has no key %s: see \"signet keyset status %s\"", k.Name, *c.Key, k.Name)
	case c.Key != nil && k.Key(*c.Key).State != keys.Pending:
		return codedf(exitRefused, "key %s of keyset %q is %s, and only a pending key may be promoted: %s", *c.Key, k.Name, k.Key(*c.Key).State, advice)
	case len(pending) == 0:
		return codedf(exitRefused, "keyset %q has no pending key to promote: %s", k.Name, advice)
	}
	return nil
}

// missing puts an error that says there is no such keyset into words for people, and leaves every other as it is.
func missing(err error, name string, s *keyconfig.Opened) error {
	if !errors.Is(err, keys.ErrNotFound) {
		return err
	}
	return codedf(exitNotFound, "keyset %q does not exist in %s: see what there is with \"signet keyset status\", or create it with \"signet keyset create %s\"", name, s, name)
}

func checkNames(names ...string) error {
	var all []error
	for _, name := range names {
		all = append(all, keys.CheckName(name))
	}
	if err := errors.Join(all...); err != nil {
		return codedf(exitUsage, "%s", err)
	}
	return nil
}
