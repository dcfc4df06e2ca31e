package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/signet-temporal/signet/keys"
	"github.com/signet-temporal/signet/keys/rotate"
)

// kekInfo is what `keyset status` knows about the Transit key.
type kekInfo struct {
	Problem     string `json:"problem,omitempty" help:"why its versions are not known; then they are not shown"`
	Latest      int    `json:"latest,omitempty" help:"its newest version, which wraps"`
	Oldest      int    `json:"oldest,omitempty" help:"the oldest version that Vault opens with: min_decryption_version"`
	LowestInUse int    `json:"lowestInUse,omitempty" help:"the oldest version that wraps a key; only when all keysets are shown and can be read"`
	Lagging     int    `json:"lagging" help:"number of keys shown that an older version than the newest wraps"`
}

// wrapping adds which version of kek wraps each key.
func (k *keysetInfo) wrapping(doc *keys.Keyset, kek rotate.VersionedKEK) {
	for i, key := range doc.Keys {
		k.Keys[i].WrappedBy = rotate.WrappedBy(kek, key)
	}
}

// own adds what is known of the keyset's own Transit key, if it has one.
func (k *keysetInfo) own(ctx context.Context, doc *keys.Keyset, kek rotate.VersionedKEK) {
	own, ok := kek.(rotate.OwnKEKs)
	if !ok || !doc.OwnKEK {
		return
	}
	if k.TransitKey = own.OwnKEK(doc.Name); k.TransitKey == "" || !doc.Shredded.IsZero() {
		return
	}
	latest, oldest, err := own.OwnVersions(ctx, doc.Name)
	k.OwnKEK = compareKEK(latest, oldest, err, []keysetInfo{*k}, true)
}

// describeKEK compares the versions of kek with those in use. all says that these are all keysets that there are.
func describeKEK(ctx context.Context, kek rotate.VersionedKEK, keysets []keysetInfo, all bool) *kekInfo {
	sharing := slices.DeleteFunc(slices.Clone(keysets), func(k keysetInfo) bool { return k.TransitKey != "" || !k.Shredded.IsZero() })
	if len(sharing) == 0 {
		return nil
	}
	latest, oldest, err := kek.Versions(ctx)
	return compareKEK(latest, oldest, err, sharing, all)
}

func compareKEK(latest, oldest int, err error, keysets []keysetInfo, all bool) *kekInfo {
	if err != nil { // such as with the token of a worker, who may not read it
		return &kekInfo{Problem: err.Error()}
	}
	info := &kekInfo{Latest: latest, Oldest: oldest}
	lowest := latest
	for _, k := range keysets {
		all = all && k.Problem == ""
		for _, key := range k.Keys {
			if key.State == keys.Destroyed {
				continue
			}
			if lowest = min(lowest, key.WrappedBy); key.WrappedBy < latest {
				info.Lagging++
			}
		}
	}
	if all {
		info.LowestInUse = lowest
	}
	return info
}

// wrappings says which versions of the Transit key wrap the keys, and when they were last wrapped anew.
func (k keysetInfo) wrappings(now time.Time) string {
	counts, last := map[int]int{}, time.Time{}
	for _, key := range k.Keys {
		if key.WrappedBy > 0 {
			counts[key.WrappedBy]++
		}
		if key.Rewrapped.After(last) {
			last = key.Rewrapped
		}
	}
	var parts []string
	for version, n := range counts {
		parts = append(parts, fmt.Sprintf("%s by version %d of the Transit key", count(n, "key", "keys"), version))
	}
	slices.Sort(parts)
	if !last.IsZero() {
		parts = append(parts, "anew "+ago(last, now))
	}
	return strings.Join(parts, ", ")
}

func (k kekInfo) table(w io.Writer) {
	switch {
	case k.Problem != "":
		fmt.Fprintf(w, "\nThe versions of the Transit key are not known: %s\n", printable(k.Problem))
		return
	case k.Lagging > 0:
		fmt.Fprintf(w, "\nThe Transit key is at version %d, and %s wrapped by an older one: signet keyset rewrap\n", k.Latest, areCount(k.Lagging))
	default:
		fmt.Fprintf(w, "\nThe Transit key is at version %d, which wraps every key shown.\n", k.Latest)
	}
	if k.LowestInUse > k.Oldest {
		fmt.Fprintf(w, "No key needs a version before %d: min_decryption_version, now %d, may rise to it.\n", k.LowestInUse, k.Oldest)
	}
}

func areCount(n int) string {
	if n == 1 {
		return "1 key is"
	}
	return fmt.Sprintf("%d keys are", n)
}

// ownTable is table for the Transit key of one keyset's own.
func (k kekInfo) ownTable(w io.Writer, name, keyset string) {
	switch {
	case k.Problem != "":
		fmt.Fprintf(w, "\n  Transit key of its own: %s\n", printable(k.Problem))
		return
	case k.Lagging > 0:
		fmt.Fprintf(w, "\n  Transit key of its own: %s, at version %d, and %s wrapped by an older one: signet keyset rewrap %s\n", name, k.Latest, areCount(k.Lagging), keyset)
	default:
		fmt.Fprintf(w, "\n  Transit key of its own: %s, at version %d\n", name, k.Latest)
	}
	if k.LowestInUse > k.Oldest {
		fmt.Fprintf(w, "  No key needs a version before %d: its min_decryption_version, now %d, may rise to it.\n", k.LowestInUse, k.Oldest)
	}
}
