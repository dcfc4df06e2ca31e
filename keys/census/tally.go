package census

import (
	"maps"
	"slices"
	"time"
)

// Place is a kind of place that payloads stand in.
type Place string

// The places. A payload in a header counts as that, wherever the header is.
const (
	InHistory   Place = "history"   // an event of a workflow: arguments, results, signals, markers, failures, …
	InHeader    Place = "header"    // a header, such as a sealed principal
	InMemo      Place = "memo"      // the memo of a workflow as it is now
	InPending   Place = "pending"   // heartbeats and last failures of what a workflow waits for
	InSchedule  Place = "schedule"  // arguments, memo and summary of a schedule
	InActivity  Place = "activity"  // a standalone activity
	InOperation Place = "operation" // a standalone Nexus operation
)

// maxSamples is how many ids are kept of the workflows, and of the schedules, that need a key.
const maxSamples = 5

// Tally is what was counted. Its size does not depend on how much was walked, only on the number of keys.
type Tally struct {
	// Keys are the key ids that were met, such as "ns/payments/1f2e3d4c", as they stand in encryption-key-id.
	Keys map[string]*Key `json:"keys"`

	Open            int64 `json:"openWorkflows"`   // workflow runs that were open when they were listed
	Closed          int64 `json:"closedWorkflows"` // workflow runs that were closed
	ClosedMeanwhile int64 `json:"closedMeanwhile"` // those of Closed that closed after the census began
	Schedules       int64 `json:"schedules"`
	Activities      int64 `json:"activities"` // standalone ones
	Operations      int64 `json:"operations"` // standalone Nexus operations
	Gone            int64 `json:"gone"`       // what retention or a person removed between being listed and looked at
	Events          int64 `json:"events"`     // of histories

	Unsealed   int64 `json:"unsealed"`   // payloads that signet did not seal
	Malformed  int64 `json:"malformed"`  // payloads that say signet sealed them and break the format: they never open
	Later      int64 `json:"later"`      // payloads of a later format, whose key this version cannot tell
	References int64 `json:"references"` // payloads in external storage, whose key cannot be told from here
	Overflow   int64 `json:"overflow"`   // payloads under further keys when there was no room for their ids
}

// Key is what was counted of one key.
type Key struct {
	Payloads map[Place]int64 `json:"payloads"`

	Open      int64 `json:"openWorkflows"` // workflow runs that carry it
	Closed    int64 `json:"closedWorkflows"`
	Schedules int64 `json:"schedules"`
	Alone     int64 `json:"alone"` // open standalone activities and Nexus operations

	Oldest    time.Time `json:"oldestUse,omitzero"`
	Newest    time.Time `json:"newestUse,omitzero"`
	LastClose time.Time `json:"lastClose,omitzero"` // when the last of what is closed and carries it was closed

	WorkflowIDs []string `json:"workflowIds,omitempty"` // up to five
	ScheduleIDs []string `json:"scheduleIds,omitempty"` // up to five
}

// Total is the number of payloads under the key.
func (k *Key) Total() (n int64) {
	for _, count := range k.Payloads {
		n += count
	}
	return n
}

// add counts one item. maxKeys bounds how many keys are told apart: anybody who can write to Temporal can make up key ids.
func (t *Tally) add(item Item, f *Found, began time.Time, maxKeys int) {
	t.Unsealed += f.Unsealed
	t.Malformed += f.Malformed
	t.Later += f.Later
	t.References += f.References
	t.Events += f.Events
	switch {
	case f.Gone:
		t.Gone++
	case item.Kind == Schedule:
		t.Schedules++
	case item.Kind == Activity:
		t.Activities++
	case item.Kind == Operation:
		t.Operations++
	case item.Open:
		t.Open++
	default:
		t.Closed++
		if item.Closed.After(began) {
			t.ClosedMeanwhile++
		}
	}
	for _, id := range slices.Sorted(maps.Keys(f.Keys)) {
		if k := t.key(id, maxKeys); k != nil {
			k.add(item, f.Keys[id])
			continue
		}
		for _, n := range f.Keys[id].Payloads {
			t.Overflow += n
		}
	}
}

func (t *Tally) key(id string, maxKeys int) *Key {
	k := t.Keys[id]
	if k == nil && len(t.Keys) < maxKeys {
		if t.Keys == nil {
			t.Keys = map[string]*Key{}
		}
		k = &Key{Payloads: map[Place]int64{}}
		t.Keys[id] = k
	}
	return k
}

func (k *Key) add(item Item, u *Use) {
	for place, n := range u.Payloads {
		k.Payloads[place] += n
	}
	k.Oldest, k.Newest = earlier(k.Oldest, u.Oldest), later(k.Newest, u.Newest)
	if !item.Open {
		k.LastClose = later(k.LastClose, item.Closed)
	}
	switch {
	case item.Kind == Schedule:
		k.Schedules++
		k.ScheduleIDs = sample(k.ScheduleIDs, item.ID)
	case item.Kind == Workflow && item.Open:
		k.Open++
	case item.Kind == Workflow:
		k.Closed++
	case item.Open:
		k.Alone++
	}
	if item.Kind == Workflow {
		k.WorkflowIDs = sample(k.WorkflowIDs, item.ID)
	}
}

// merge adds what another part of the walk has counted, which came later in its order.
func (t *Tally) merge(o Tally, maxKeys int) {
	for _, sum := range []struct {
		to   *int64
		more int64
	}{
		{&t.Open, o.Open}, {&t.Closed, o.Closed}, {&t.ClosedMeanwhile, o.ClosedMeanwhile}, {&t.Schedules, o.Schedules},
		{&t.Activities, o.Activities}, {&t.Operations, o.Operations}, {&t.Gone, o.Gone}, {&t.Events, o.Events},
		{&t.Unsealed, o.Unsealed}, {&t.Malformed, o.Malformed}, {&t.Later, o.Later}, {&t.References, o.References},
		{&t.Overflow, o.Overflow},
	} {
		*sum.to += sum.more
	}
	for _, id := range slices.Sorted(maps.Keys(o.Keys)) {
		from := o.Keys[id]
		k := t.key(id, maxKeys)
		if k == nil {
			t.Overflow += from.Total()
			continue
		}
		for place, n := range from.Payloads {
			k.Payloads[place] += n
		}
		k.Open, k.Closed, k.Schedules, k.Alone = k.Open+from.Open, k.Closed+from.Closed, k.Schedules+from.Schedules, k.Alone+from.Alone
		k.Oldest, k.Newest, k.LastClose = earlier(k.Oldest, from.Oldest), later(k.Newest, from.Newest), later(k.LastClose, from.LastClose)
		k.WorkflowIDs, k.ScheduleIDs = sample(k.WorkflowIDs, from.WorkflowIDs...), sample(k.ScheduleIDs, from.ScheduleIDs...)
	}
}

func sample(kept []string, more ...string) []string {
	for _, id := range more {
		if len(kept) < maxSamples && !slices.Contains(kept, id) {
			kept = append(kept, id)
		}
	}
	return kept
}

func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
