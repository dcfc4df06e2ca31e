package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/alecthomas/kong"
	"github.com/signet-temporal/signet/internal/keyconfig"
	"github.com/signet-temporal/signet/keys"
	"github.com/signet-temporal/signet/keys/rotate"
)

type statusCmd struct {
	Names []string `arg:"" optional:"" name:"name" help:"Names of keysets; all of them if none is given."`
}

// Help is the long help of the command.
func (statusCmd) Help() string {
	return `The states of a key, in the order of its life:

    pending    opens; waits until every worker has it
    primary    seals and opens; one in a keyset
    retired    opens what it sealed
    disabled   neither; it can be enabled again
    destroyed  neither, for good

Keys of type HMAC_SHA256_PRF make search tokens: the primary key those that are stored, and every other key that would
open is searched with as well.

` + jsonHelp[status]()
}

// status is the JSON output of `keyset status`.
type status struct {
	Keysets []keysetInfo `json:"keysets" help:"every keyset, sorted by name"`
	KEK     *kekInfo     `json:"kek,omitempty" help:"the Transit key that wraps all that have none of their own; none for a directory"`
}

type keysetInfo struct {
	Name             string    `json:"name" help:"its name"`
	Problem          string    `json:"problem,omitempty" help:"why it cannot be shown; then nothing else is"`
	Type             keys.Type `json:"type,omitempty" help:"type of the keys that are added to it"`
	PropagationDelay string    `json:"propagationDelay,omitempty" help:"how long a key stays pending, as a Go duration"`
	AssumedRefresh   string    `json:"assumedRefresh,omitempty" help:"how often workers are taken to refresh, as a Go duration: unless they are told otherwise"`
	RotateEvery      string    `json:"rotateEvery,omitempty" help:"age at which rotate --auto replaces the primary key, as a Go duration; none: only people rotate"`
	Keys             []keyInfo `json:"keys" help:"its keys, oldest first"`
	Next             *next     `json:"next,omitempty" help:"what may be done next; none for one that is, or is to be, shredded"`
	ShredAfter       time.Time `json:"shredAfter,omitzero" help:"for a keyset that is to be shredded, and neither seals nor opens until then: from when on"`
	Shredded         time.Time `json:"shredded,omitzero" help:"when it was shredded"`
	TransitKey       string    `json:"transitKey,omitempty" help:"name of its own Transit key, if it has one"`
	OwnKEK           *kekInfo  `json:"ownKek,omitempty" help:"that Transit key; none once it is shredded"`
}

type keyInfo struct {
	ID           keys.ID    `json:"id" help:"key id, eight hex digits"`
	State        keys.State `json:"state" help:"pending, primary, retired, disabled or destroyed"`
	Created      time.Time  `json:"created" help:"when it was made, RFC 3339, as all times"`
	Promoted     time.Time  `json:"promoted,omitzero" help:"when it became primary"`
	Retired      time.Time  `json:"retired,omitzero" help:"when another key became primary"`
	Disabled     time.Time  `json:"disabled,omitzero" help:"when it was disabled"`
	Destroyed    time.Time  `json:"destroyed,omitzero" help:"when its material was destroyed"`
	Compromised  time.Time  `json:"compromised,omitzero" help:"when it was marked as compromised"`
	DestroyAfter time.Time  `json:"destroyAfter,omitzero" help:"from when on its scheduled destruction may be carried out"`
	Rewrapped    time.Time  `json:"rewrapped,omitzero" help:"when it was last wrapped anew"`
	WrappedBy    int        `json:"wrappedBy,omitempty" help:"version of the Transit key that wraps it"`
	PromotableAt time.Time  `json:"promotableAt,omitzero" help:"from when on it may be promoted; for a pending key"`
	Legacy       string     `json:"legacy,omitempty" help:"of an imported key that opens what another codec sealed, and nothing else: in which format"`
}

type next struct {
	Command string    `json:"command" help:"the command: promote or rotate"`
	Key     string    `json:"key,omitempty" help:"the key to promote"`
	Allowed bool      `json:"allowed" help:"whether it would be done now"`
	At      time.Time `json:"at,omitzero" help:"from when on it would be, or is due by the policy"`
	Auto    bool      `json:"auto" help:"whether rotate --auto does it"`
}

// Run prints the keysets.
func (c *statusCmd) Run(a *app, at *keysetCmd, parsed *kong.Context) error {
	if err := checkNames(c.Names...); err != nil {
		return err
	}
	result, place := status{Keysets: []keysetInfo{}}, ""
	err := at.withStore(a, parsed, false, func(ctx context.Context, s *keyconfig.Opened) error {
		place = s.String()
		names, err := chosen(ctx, s, c.Names)
		if err != nil {
			return err
		}
		for _, name := range names {
			k, _, err := s.Store.Fetch(ctx, name)
			switch {
			case errors.Is(err, keys.ErrNotFound) && len(c.Names) == 0:
				continue // deleted since it was listed
			case errors.Is(err, keys.ErrNotFound):
				return missing(err, name, s)
			case err != nil && len(names) == 1:
				return err
			case err != nil:
				result.Keysets = append(result.Keysets, keysetInfo{Name: name, Problem: err.Error(), Keys: []keyInfo{}})
			default:
				info := describeKeyset(k, a.now())
				if kek, ok := s.KEK.(rotate.VersionedKEK); ok {
					info.wrapping(k, kek)
					info.own(ctx, k, kek)
				}
				result.Keysets = append(result.Keysets, info)
			}
		}
		if kek, ok := s.KEK.(rotate.VersionedKEK); ok && len(result.Keysets) > 0 {
			result.KEK = describeKEK(ctx, kek, result.Keysets, len(c.Names) == 0)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := a.print(result, func(w io.Writer) { result.table(w, place, a.now()) }); err != nil {
		return err
	}
	broken := 0
	for _, k := range result.Keysets {
		if k.Problem != "" {
			broken++
		}
	}
	if broken > 0 {
		return fmt.Errorf("%s cannot be read: see why above", count(broken, "keyset", "keysets"))
	}
	return nil
}

func describeKeyset(k *keys.Keyset, now time.Time) keysetInfo {
	info := keysetInfo{
		Name:             k.Name,
		Type:             k.Type,
		PropagationDelay: time.Duration(k.Policy.PropagationDelay).String(),
		AssumedRefresh:   keys.DefaultRefreshInterval.String(),
		Keys:             []keyInfo{},
		Next:             &next{Command: "rotate", Allowed: true},
	}
	if info.ShredAfter, info.Shredded = k.ShredAfter, k.Shredded; k.Idle() {
		info.Next = nil
	}
	due, auto := rotate.NextDue(k)
	auto = auto && !k.Idle()
	if auto {
		info.RotateEvery = time.Duration(k.Policy.RotateEvery).String()
		info.Next.At, info.Next.Auto = due.At, true
	}
	for _, key := range k.Keys {
		shown := keyInfo{ID: key.ID, State: key.State, Created: key.Created, Promoted: key.Promoted, Retired: key.Retired, Disabled: key.Disabled, Destroyed: key.Destroyed,
			Compromised: key.Compromised, DestroyAfter: key.DestroyAfter, Rewrapped: key.Rewrapped}
		if key.State == keys.Pending {
			shown.PromotableAt = promotableAt(k, key)
			if info.Next != nil && info.Next.Command == "rotate" {
				info.Next = &next{Command: "promote", Key: key.ID.String(), Allowed: !shown.PromotableAt.After(now), At: shown.PromotableAt, Auto: auto}
			}
		}
		if key.OpensLegacy() {
			shown.Legacy = key.Imported.Legacy.String()
		}
		info.Keys = append(info.Keys, shown)
	}
	return info
}

func promotableAt(k *keys.Keyset, key keys.Key) time.Time {
	return key.Created.Add(time.Duration(k.Policy.PropagationDelay))
}

func (s status) table(w io.Writer, place string, now time.Time) {
	if len(s.Keysets) == 0 {
		fmt.Fprintf(w, "There is no keyset in %s yet: create one with \"signet keyset create NAME\".\n", place)
	}
	for i, k := range s.Keysets {
		if i > 0 {
			fmt.Fprintln(w)
		}
		k.table(w, now)
	}
	if s.KEK != nil {
		s.KEK.table(w)
	}
}

func (k keysetInfo) table(w io.Writer, now time.Time) {
	if k.Problem != "" {
		fmt.Fprintf(w, "%s\n  cannot be read: %s\n", k.Name, printable(k.Problem))
		return
	}
	fmt.Fprintf(w, "%s  %s, propagation delay %s (workers refresh every %s unless told otherwise), rotated %s\n\n",
		k.Name, k.Type, trimDuration(k.PropagationDelay), trimDuration(k.AssumedRefresh), everyFor(k.RotateEvery))
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "  KEY\tSTATE\tSINCE\tCREATED\tDOES")
	for _, key := range k.Keys {
		fmt.Fprintf(tw, "  %s\t%s\t%s\t%s\t%s\n", key.ID, key.state(), ago(key.since(), now), ago(key.Created, now), k.says(key, now))
	}
	tw.Flush()
	if len(k.Keys) == 0 {
		fmt.Fprintln(w, "  none: "+k.idle())
	}
	if wrapped := k.wrappings(now); wrapped != "" {
		fmt.Fprintf(w, "\n  wrapped: %s\n", wrapped)
	}
	if k.OwnKEK != nil {
		k.OwnKEK.ownTable(w, k.TransitKey, k.Name)
	}
	if k.Next != nil {
		fmt.Fprintf(w, "\n  next: %s\n", k.Next.sentence(k.Name, now))
		return
	}
	fmt.Fprintf(w, "\n  %s: nothing of it seals or opens\n", sayIdle(k.ShredAfter, k.Shredded, now))
	if k.Shredded.IsZero() {
		fmt.Fprintf(w, "  next: signet shred %[1]s --carry-out, or to call it off: signet shred %[1]s --cancel\n", k.Name)
	}
}

// since is when the key came into its present state.
func (k keyInfo) since() time.Time {
	switch k.State {
	case keys.Primary:
		return k.Promoted
	case keys.Retired:
		return k.Retired
	case keys.Disabled:
		return k.Disabled
	case keys.Destroyed:
		return k.Destroyed
	}
	return k.Created
}

// state is the state of the key, and what else there is to know about it.
func (k keyInfo) state() string {
	if !k.Compromised.IsZero() {
		return string(k.State) + ", compromised"
	}
	return string(k.State)
}

// says is what a key does: nothing in a keyset that is to be shredded.
func (k keysetInfo) says(key keyInfo, now time.Time) string {
	if k.Next == nil {
		return "nothing"
	}
	return key.does(k.Type, now)
}

func (k keyInfo) does(t keys.Type, now time.Time) string {
	switch {
	case k.DestroyAfter.After(now):
		return fmt.Sprintf("nothing; may be destroyed in %s, at %s", brief(k.DestroyAfter.Sub(now)), clock(k.DestroyAfter, now))
	case !k.DestroyAfter.IsZero():
		return "nothing; may be destroyed now"
	}
	if t.Searches() {
		return k.finds()
	}
	switch k.State {
	case keys.Pending:
		return "opens, does not seal yet"
	case keys.Primary:
		return "seals and opens"
	case keys.Retired:
		if k.Legacy != "" {
			return "opens what another codec sealed: " + printable(k.Legacy)
		}
		return "opens"
	}
	return "nothing"
}

func (n next) sentence(name string, now time.Time) string {
	switch {
	case n.Command == "rotate" && !n.Auto:
		return "signet keyset rotate " + name + " adds a pending key"
	case n.Command == "rotate" && n.At.After(now):
		return fmt.Sprintf("signet keyset rotate --auto adds a pending key %s, at %s", ago(n.At, now), clock(n.At, now))
	case n.Command == "rotate":
		return fmt.Sprintf("signet keyset rotate --auto adds a pending key: due %s", ago(n.At, now))
	case n.Allowed:
		return fmt.Sprintf("signet keyset promote %s makes pending key %s primary", name, n.Key)
	}
	return fmt.Sprintf("pending key %s may be promoted in %s, at %s", n.Key, brief(n.At.Sub(now)), clock(n.At, now))
}
