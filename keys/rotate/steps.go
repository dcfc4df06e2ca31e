package rotate

import (
	"bytes"
	"fmt"
	"time"

	"github.com/signet-temporal/signet/keys"
)

// Step is one thing that differs between a keyset's document and the next one, in words.
type Step struct {
	Key      keys.ID    // 0: the keyset itself
	From, To keys.State // From "": the key is new
	Does     string     // what comes of it, for people
}

// Steps returns how after differs from before, which may be nil for a keyset that does not exist yet.
func Steps(before, after *keys.Keyset) []Step {
	var steps []Step
	if before == nil {
		before = &keys.Keyset{Policy: after.Policy}
	}
	if before.Policy != after.Policy {
		steps = append(steps, Step{Does: fmt.Sprintf("policy: propagation delay %s, rotation %s", time.Duration(after.Policy.PropagationDelay), every(after.Policy))})
	}
	if step, ok := shredStep(before, after); ok {
		steps = append(steps, step)
	}
	for _, key := range after.Keys {
		old := before.Key(key.ID)
		if old == nil {
			step := Step{Key: key.ID, To: key.State, Does: does(after.Type, "", key.State)}
			if key.OpensLegacy() && key.State.Opens() {
				step.Does = "opens what another codec sealed (" + key.Imported.Legacy.String() + "), and nothing else"
			}
			steps = append(steps, step)
			continue
		}
		about := func(format string, args ...any) {
			steps = append(steps, Step{Key: key.ID, From: old.State, To: key.State, Does: fmt.Sprintf(format, args...)})
		}
		if old.State != key.State {
			about("%s", does(after.Type, old.State, key.State))
		}
		if old.Compromised.IsZero() && !key.Compromised.IsZero() {
			about("is marked as compromised")
		}
		switch was, is := old.DestroyAfter, key.DestroyAfter; {
		case was.IsZero() && !is.IsZero():
			about("may be destroyed from %s on, and can be enabled until then", atLeast(is))
		case !was.IsZero() && is.IsZero() && key.State != keys.Destroyed:
			about("will not be destroyed")
		}
		if key.State != keys.Destroyed && !bytes.Equal(old.Wrapped, key.Wrapped) {
			about("is wrapped anew")
		}
	}
	return steps
}

// shredStep says what of a shredding was scheduled, called off or done.
func shredStep(before, after *keys.Keyset) (Step, bool) {
	switch was, is := before.ShredAfter, after.ShredAfter; {
	case was.IsZero() && !is.IsZero():
		return Step{Does: "neither seals nor opens, from the next refresh of every reader on, and may be shredded from " + atLeast(is) + " on"}, true
	case before.Shredded.IsZero() && !after.Shredded.IsZero():
		return Step{Does: "is shredded, and keeps its name and the ids of its keys"}, true
	case !was.IsZero() && is.IsZero():
		return Step{Does: "will not be shredded, and seals and opens again"}, true
	}
	return Step{}, false
}

// every says how often a policy rotates, for people.
func every(p keys.Policy) string {
	if p.RotateEvery == 0 {
		return "by people only"
	}
	return "every " + time.Duration(p.RotateEvery).String()
}

// does says what comes of a key's change of state.
func does(t keys.Type, from, to keys.State) string {
	if t.Searches() {
		return searches(from, to)
	}
	switch {
	case to == keys.Pending:
		return "opens, and does not seal yet"
	case to == keys.Primary:
		return "seals, from the next refresh of every reader on"
	case to == keys.Retired && from == keys.Primary:
		return "goes on opening what it sealed"
	case to == keys.Retired && from == "":
		return "opens, and does not seal"
	case to == keys.Retired && from == keys.Disabled:
		return "opens again what it sealed"
	case to == keys.Retired:
		return "will never seal"
	case to == keys.Disabled:
		return "opens nothing until it is enabled again"
	}
	return "loses its material: what it sealed never opens again"
}

// searches is does for keys that make search tokens.
func searches(from, to keys.State) string {
	switch {
	case to == keys.Pending:
		return "finds, and makes no tokens to store yet"
	case to == keys.Primary:
		return "makes the tokens that are stored, from the next refresh of every writer on"
	case to == keys.Retired && from == keys.Primary:
		return "goes on finding what has its tokens"
	case to == keys.Retired && from == keys.Disabled:
		return "finds again what has its tokens"
	case to == keys.Retired:
		return "will never make tokens to store"
	case to == keys.Disabled:
		return "finds nothing until it is enabled again"
	}
	return "loses its material: what has its tokens is never found again"
}
