package main

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/signet-temporal/signet/internal/keyconfig"
	"github.com/signet-temporal/signet/keys"
	"github.com/signet-temporal/signet/keys/rotate"
	"github.com/signet-temporal/signet/keys/vaultstore"
)

// receipt says what became of a keyset, and what is left of it elsewhere.
type receipt struct {
	Keyset     string     `json:"keyset" help:"name of the keyset"`
	ShredAfter *time.Time `json:"shredAfter,omitempty" help:"for a scheduled shredding: when it may be carried out, RFC 3339, as all times"`
	Shredded   *time.Time `json:"shredded,omitempty" help:"when it was shredded"`
	Removed    bool       `json:"removed" help:"whether this run has seen to it that all is removed: only --carry-out does"`
	Keys       []keys.ID  `json:"keys" help:"ids of its keys: of those that were removed, once it is shredded"`
	TransitKey string     `json:"transitKey,omitempty" help:"the Transit key that wraps them, or did; none for a directory"`
	Own        bool       `json:"own" help:"whether that wraps keys of no other keyset, so that shredding deletes it"`
	Steps      []stepInfo `json:"steps" help:"what was changed, or with --plan would be; empty if it was so already"`
	Remains    []remains  `json:"remains" help:"what is left of it elsewhere"`
}

type remains struct {
	Where string `json:"where" help:"where something is left"`
	Opens bool   `json:"opens" help:"whether it opens what was sealed"`
	What  string `json:"what" help:"what is left there"`
	Do    string `json:"do" help:"what to do about it"`
}

func (c *shredCmd) receipt(s *keyconfig.Opened, r rotate.ShredResult) receipt {
	k := r.After
	out := receipt{Keyset: k.Name, Own: k.OwnKEK, Keys: []keys.ID{}, Steps: describeChange(r.Result, 0, c.Plan).Steps, Remains: []remains{}}
	for _, key := range k.Keys {
		out.Keys = append(out.Keys, key.ID)
	}
	if !k.ShredAfter.IsZero() {
		out.ShredAfter = &k.ShredAfter
	}
	var v *vaultstore.Store
	if store, ok := s.Store.(*vaultstore.Store); ok {
		v = store
		if out.TransitKey = v.SharedKEK(); k.OwnKEK {
			out.TransitKey = cmp.Or(v.OwnKEK(k.Name), out.TransitKey)
		}
	}
	if k.Shredded.IsZero() {
		return out
	}
	out.Shredded = &k.Shredded
	if !c.CarryOut { // the document says so, and nobody has looked
		return out
	}
	out.Removed = !c.Plan
	if own := r.KEK; own != "" && r.KEKRemoved || c.Plan && k.OwnKEK {
		out.Steps = append(out.Steps, stepInfo{Does: "Transit key " + cmp.Or(own, out.TransitKey) + " is deleted with all its versions, and every copy of the keys is worthless without it"})
	}
	out.Remains = out.left(v)
	return out
}

// left is what a shredding cannot reach.
func (r receipt) left(v *vaultstore.Store) []remains {
	at, name := r.Shredded.UTC().Format(time.RFC3339), r.Keyset
	again := fmt.Sprintf("delete them; after restoring one, shred the keyset again: signet shred %s --schedule, then --carry-out", name)
	inTemporal := remains{"Temporal, its archives and exports", false, "sealed payloads that nothing opens; workflow ids, search attributes and names, which were never sealed", "terminate and delete workflows, or wait for retention"}
	inMemory := remains{"processes that did not read the keyset since the shredding was scheduled", true, "its keys, in memory", "see that none has logged failed refreshes since then, or restart it"}
	if v == nil {
		return []remains{
			{"copies of the directory from before " + at, true, "the keyset and the key that wraps it", again},
			inMemory, inTemporal,
		}
	}
	whole := remains{"backups of Vault as a whole from before " + at + ", raft snapshots among them", true, "the keyset and the Transit key that opens it", again}
	mount, path := v.Place(name)
	tombstone := remains{"KV mount " + mount + ", at " + path, false, "the name and the ids of the keys, so that nobody creates the keyset again", "keep it; to have the name back: vault kv metadata delete -mount=" + mount + " " + path}
	copies := remains{"backups of KV alone, and files of \"signet keyset backup\"", false, "keys wrapped by Transit key " + r.TransitKey + ", which is gone: they open nothing", "nothing"}
	key := remains{"backups of Transit key " + r.TransitKey + ", if it was ever given allow_plaintext_backup", true, "the key that opens those copies", "delete them"}
	if !r.Own {
		copies = remains{copies.Where, true, "keys wrapped by Transit key " + r.TransitKey + ", which other keysets need: it is not deleted", "delete them: whoever has one and may decrypt with that Transit key opens what was sealed"}
		return []remains{whole, copies, inMemory, tombstone, inTemporal}
	}
	return []remains{whole, key, copies, inMemory, tombstone, inTemporal}
}

func (s shredding) table(w io.Writer, now time.Time) {
	if !s.Planned {
		for _, u := range s.Asked {
			u.table(w, false, now)
		}
	}
	for _, k := range s.Keysets {
		k.table(w, s.Planned, now)
	}
	if s.Planned {
		for _, u := range s.Asked {
			u.table(w, true, now)
		}
	}
}

func (r receipt) table(w io.Writer, planned bool, now time.Time) {
	steps := func() {
		tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		for _, step := range r.Steps {
			fmt.Fprintf(tw, "  %s\t%s\t%s\n", step.subject(), step.move(), step.Does)
		}
		tw.Flush()
	}
	switch {
	case planned && len(r.Steps) == 0:
		fmt.Fprintf(w, "Plan for keyset %s: nothing is to be done but to look whether everything was.\n", r.Keyset)
		return
	case planned:
		fmt.Fprintf(w, "Plan for keyset %s, of which nothing was done:\n", r.Keyset)
		steps()
		if r.Shredded != nil && r.TransitKey != "" && !r.Own {
			fmt.Fprintf(w, "  Transit key %s stays, since other keysets share it: backups of KV go on opening\n", r.TransitKey)
		}
		return
	case r.ShredAfter != nil && len(r.Steps) > 0:
		fmt.Fprintf(w, "Keyset %s is to be shredded: from the next refresh of every process on it neither seals nor opens.\n", r.Keyset)
		return
	case r.ShredAfter != nil:
		fmt.Fprintf(w, "Keyset %s was to be shredded already.\n", r.Keyset)
		return
	case r.Shredded == nil && len(r.Steps) > 0:
		fmt.Fprintf(w, "Keyset %s will not be shredded: from the next refresh of every process on it seals and opens again.\n", r.Keyset)
		return
	case r.Shredded == nil:
		fmt.Fprintf(w, "Keyset %s was not to be shredded.\n", r.Keyset)
		return
	}
	if !r.Removed {
		fmt.Fprintf(w, "Keyset %[1]s was shredded on %[2]s, its document says. Nobody has looked whether all of it is gone: \"signet shred %[1]s --carry-out\" does, and removes what is left.\n", r.Keyset, r.Shredded.UTC().Format(time.DateOnly))
		return
	}
	var list []string
	for _, id := range r.Keys {
		list = append(list, id.String())
	}
	fmt.Fprintf(w, "Keyset %s is shredded, since %s.\n  removed  %s: %s\n  removed  every earlier version of the keyset\n", r.Keyset, r.Shredded.UTC().Format(time.RFC3339), count(len(r.Keys), "key", "keys"), strings.Join(list, ", "))
	switch {
	case r.Own:
		fmt.Fprintf(w, "  removed  Transit key %s, with all its versions\n", r.TransitKey)
	case r.TransitKey != "":
		fmt.Fprintf(w, "  stays    Transit key %s, which other keysets share\n", r.TransitKey)
	}
	fmt.Fprintln(w, "\nWhat is left elsewhere:")
	for _, left := range r.Remains {
		opens := "opens nothing"
		if left.Opens {
			opens = "OPENS what was sealed"
		}
		fmt.Fprintf(w, "- %s: %s\n    %s; to do: %s\n", left.Where, opens, left.What, left.Do)
	}
}
