package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/alecthomas/kong"
	"github.com/signet-temporal/signet/internal/keyconfig"
	"github.com/signet-temporal/signet/keys"
	"github.com/signet-temporal/signet/keys/rotate"
)

type keysetCmd struct {
	storeFlags

	Create  createCmd  `cmd:"" help:"Create a keyset with its first key, which seals at once."`
	List    listCmd    `cmd:"" help:"List all keysets, or those named, one a line."`
	Status  statusCmd  `cmd:"" help:"Show keysets, their keys, and what may be done next and when."`
	Policy  policyCmd  `cmd:"" help:"Show or change what a keyset says about its rotation."`
	Rotate  rotateCmd  `cmd:"" help:"Begin a rotation: add a pending key, which opens and does not seal yet. Or let the policy decide, or replace a compromised key at once."`
	Promote promoteCmd `cmd:"" help:"End a rotation: make the pending key the primary one, which seals."`
	Retire  retireCmd  `cmd:"" help:"Give a rotation up: retire a pending key, which then never seals."`
	Disable disableCmd `cmd:"" help:"Disable a retired key: what it sealed does not open until it is enabled again."`
	Enable  enableCmd  `cmd:"" help:"Enable a disabled key: it opens again what it sealed."`
	Destroy destroyCmd `cmd:"" help:"Destroy a disabled key for good, in two steps with a waiting period between them."`
	Rewrap  rewrapCmd  `cmd:"" help:"Wrap keys anew, under the newest version of the Transit key."`
	Verify  verifyCmd  `cmd:"" help:"Try every key: unwrap it, seal and open a probe with it."`
	Backup  backupCmd  `cmd:"" help:"Write keysets to a file, every key wrapped as it is."`
	Restore restoreCmd `cmd:"" help:"Create the keysets of a backup that are missing."`
	Import  importCmd  `cmd:"" help:"Take in keys that were made elsewhere: a Tink keyset, or the AES key of another codec."`
}

// defaultPropagationDelay is five refreshes of a worker that refreshes once a minute.
const defaultPropagationDelay = "5m"

type createCmd struct {
	Name             string        `arg:"" help:"Name of the keyset, such as ns/payments."`
	Type             string        `enum:"XAES_256_GCM,AES256_GCM,HMAC_SHA256_PRF" default:"XAES_256_GCM" env:"SIGNET_KEY_TYPE" help:"Type of its keys: XAES_256_GCM or AES256_GCM, or HMAC_SHA256_PRF for search tokens. AES256_GCM is for Tink in languages without the other; rotate such keys before 2^32 payloads."`
	PropagationDelay time.Duration `default:"${propagation_delay}" env:"SIGNET_PROPAGATION_DELAY" help:"How long a new key stays pending before it may be promoted: longer than any worker's refresh interval."`
	RotateEvery      time.Duration `env:"SIGNET_ROTATE_EVERY" placeholder:"DURATION" help:"Age at which \"keyset rotate --auto\" replaces the primary key, such as 720h; without it only people rotate."`
	planFlag
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
	RotateEvery      string     `json:"rotateEvery,omitempty" help:"age at which the primary key is replaced, as a Go duration"`
	Key              *keys.ID   `json:"key,omitempty" help:"id of its first key; none with --plan"`
	TransitKey       string     `json:"transitKey,omitempty" help:"the Transit key that wraps its keys alone, as --own-keys-under says"`
	State            keys.State `json:"state" help:"state of that key: primary"`
	Planned          bool       `json:"planned" help:"whether this is a plan, and nothing was done"`
}

// Run creates the keyset.
func (c *createCmd) Run(a *app, at *keysetCmd, parsed *kong.Context) error {
	if c.PropagationDelay <= 0 {
		return codedf(exitUsage, "--propagation-delay must be more than 0: give workers time to fetch a new key, such as %s", defaultPropagationDelay)
	}
	if c.RotateEvery < 0 {
		return codedf(exitUsage, "--rotate-every must not be negative: use a duration such as 720h, or none")
	}
	if err := checkNames(c.Name); err != nil {
		return err
	}
	result := created{Keyset: c.Name, Type: keys.Type(c.Type), PropagationDelay: c.PropagationDelay.String(), State: keys.Primary, Planned: c.Plan}
	if c.RotateEvery > 0 {
		result.RotateEvery = c.RotateEvery.String()
	}
	err := at.withStore(a, parsed, !c.Plan, func(ctx context.Context, s *keyconfig.Opened) error {
		if own, ok := s.KEK.(rotate.OwnKEKs); ok {
			result.TransitKey = own.OwnKEK(c.Name)
		}
		id, err := c.create(ctx, s, rotate.Options{Type: result.Type, PropagationDelay: c.PropagationDelay, RotateEvery: c.RotateEvery})
		if errors.Is(err, keys.ErrConflict) {
			return codedf(exitRefused, "keyset %q exists already in %s: add a key to it with \"signet keyset rotate %s\"", c.Name, s, c.Name)
		}
		if err == nil && !c.Plan {
			result.Key = &id
		}
		return err
	})
	if err != nil {
		return err
	}
	return a.print(result, func(w io.Writer) {
		if c.Plan {
			fmt.Fprintf(w, "Plan: keyset %s (%s) would be created with one key, which is primary at once%s. Nothing was done.\n", c.Name, c.Type, wrappedBy(result.TransitKey))
			return
		}
		does := "it seals from now on"
		if result.Type.Searches() {
			does = "it makes search tokens from now on"
		}
		fmt.Fprintf(w, "Created keyset %s (%s). Its key %s is primary: %s%s.\n", c.Name, c.Type, result.Key, does, wrappedBy(result.TransitKey))
		shortDelay(w, c.PropagationDelay)
	})
}

func wrappedBy(transitKey string) string {
	if transitKey == "" {
		return ""
	}
	return ", and Transit key " + transitKey + " wraps it alone"
}

func (c *createCmd) create(ctx context.Context, s *keyconfig.Opened, o rotate.Options) (keys.ID, error) {
	there, _, err := s.Store.Fetch(ctx, c.Name)
	switch {
	case err == nil && there.Idle():
		return 0, rotate.RefuseIdle(there)
	case err == nil:
		return 0, keys.ErrConflict
	case !errors.Is(err, keys.ErrNotFound):
		return 0, err
	}
	if err := checkClock(s); err != nil {
		return 0, err
	}
	if !c.Plan {
		return rotate.Create(ctx, s.Store, s.KEK, c.Name, o)
	}
	_, err = rotate.PlanNew(c.Name, o, rotate.Pretended, time.Now())
	return 0, err
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
