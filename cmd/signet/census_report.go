package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/signet-temporal/signet/keys/census"
)

// counted is the JSON output of `census`.
type counted struct {
	Namespace       string     `json:"namespace" help:"namespace that was walked"`
	Began           time.Time  `json:"began" help:"when: nothing is known of the time after it"`
	Finished        time.Time  `json:"finished" help:"when it was complete"`
	Retention       string     `json:"retention" help:"how long the namespace keeps closed workflows, as a Go duration"`
	Archived        bool       `json:"archived" help:"whether the namespace archives histories, which a census does not see"`
	OpenWorkflows   int64      `json:"openWorkflows" help:"open workflow runs"`
	ClosedWorkflows int64      `json:"closedWorkflows" help:"closed ones, within retention"`
	ClosedMeanwhile int64      `json:"closedMeanwhile" help:"closed ones that were open when the census began, and may be counted twice"`
	Schedules       int64      `json:"schedules" help:"schedules"`
	Activities      int64      `json:"activities" help:"standalone activities"`
	Operations      int64      `json:"operations" help:"standalone Nexus operations"`
	Gone            int64      `json:"gone" help:"what was removed between being listed and looked at"`
	Events          int64      `json:"events" help:"events in the histories"`
	Unsealed        int64      `json:"unsealed" help:"payloads that signet did not seal"`
	Malformed       int64      `json:"malformed" help:"payloads that say signet sealed them, and are not well formed"`
	Later           int64      `json:"later" help:"payloads of a later format than this version knows"`
	References      int64      `json:"references" help:"payloads in external storage, whose keys cannot be seen from here"`
	Overflow        int64      `json:"overflow" help:"payloads under more keys than there was room for"`
	Keys            []keyCount `json:"keys" help:"every key that payloads were found under"`
}

type keyCount struct {
	Keyset          string     `json:"keyset" help:"name of the keyset"`
	KeyID           string     `json:"keyId" help:"key id, eight hex digits"`
	Payloads        int64      `json:"payloads" help:"payloads under the key"`
	Places          places     `json:"places" help:"where they are"`
	OpenWorkflows   int64      `json:"openWorkflows" help:"open workflow runs that carry some"`
	ClosedWorkflows int64      `json:"closedWorkflows" help:"closed ones"`
	Schedules       int64      `json:"schedules" help:"schedules that carry some"`
	Alone           int64      `json:"alone" help:"open standalone activities and Nexus operations that carry some"`
	OldestUse       *time.Time `json:"oldestUse,omitempty" help:"when the oldest was stored"`
	NewestUse       *time.Time `json:"newestUse,omitempty" help:"when the newest was stored"`
	WorkflowIDs     []string   `json:"workflowIds" help:"up to five of the workflows"`
	ScheduleIDs     []string   `json:"scheduleIds" help:"up to five of the schedules"`
	HeldBy          []string   `json:"heldBy" help:"what needs the key and does not end by itself"`
	NeededUntil     *time.Time `json:"neededUntil,omitempty" help:"if nothing does: when retention will have removed the last of it"`
}

// places are those of census.Place.
type places struct {
	History   int64 `json:"history" help:"events of histories: arguments, results, signals, markers, failures"`
	Header    int64 `json:"header" help:"headers, such as sealed principals"`
	Memo      int64 `json:"memo" help:"memos of workflows as they are now"`
	Pending   int64 `json:"pending" help:"heartbeats and failures of pending activities"`
	Schedule  int64 `json:"schedule" help:"arguments, memos and summaries of schedules"`
	Activity  int64 `json:"activity" help:"standalone activities"`
	Operation int64 `json:"operation" help:"standalone Nexus operations"`
}

func newCounted(r *census.Result) counted {
	c := counted{
		Namespace: r.Namespace, Began: r.Began, Finished: r.Finished, Retention: time.Duration(r.Retention).String(), Archived: r.Archived,
		OpenWorkflows: r.Open, ClosedWorkflows: r.Closed, ClosedMeanwhile: r.ClosedMeanwhile, Schedules: r.Schedules,
		Activities: r.Activities, Operations: r.Operations, Gone: r.Gone, Events: r.Events,
		Unsealed: r.Unsealed, Malformed: r.Malformed, Later: r.Later, References: r.References, Overflow: r.Overflow,
		Keys: []keyCount{},
	}
	for _, id := range inOrder(r.Keys) {
		k, slash := r.Keys[id], strings.LastIndexByte(id, '/')
		until, held := r.Until(id)
		c.Keys = append(c.Keys, keyCount{
			Keyset: id[:slash], KeyID: id[slash+1:], Payloads: k.Total(),
			Places: places{
				History: k.Payloads[census.InHistory], Header: k.Payloads[census.InHeader], Memo: k.Payloads[census.InMemo], Pending: k.Payloads[census.InPending],
				Schedule: k.Payloads[census.InSchedule], Activity: k.Payloads[census.InActivity], Operation: k.Payloads[census.InOperation],
			},
			OpenWorkflows: k.Open, ClosedWorkflows: k.Closed, Schedules: k.Schedules, Alone: k.Alone,
			OldestUse: given(k.Oldest), NewestUse: given(k.Newest), WorkflowIDs: some(k.WorkflowIDs), ScheduleIDs: some(k.ScheduleIDs),
			HeldBy: some(held), NeededUntil: given(until),
		})
	}
	return c
}

func (a *app) printCensus(r *census.Result) error {
	report := newCounted(r)
	return a.print(report, func(w io.Writer) { report.table(w, a.now()) })
}

// inOrder returns the keys by keyset, and within one in the order in which they came into use.
func inOrder(all map[string]*census.Key) []string {
	return slices.SortedFunc(maps.Keys(all), func(a, b string) int {
		keyset := func(id string) string { return id[:strings.LastIndexByte(id, '/')] }
		return cmp.Or(strings.Compare(keyset(a), keyset(b)), all[a].Oldest.Compare(all[b].Oldest), strings.Compare(a, b))
	})
}

func given(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func some(list []string) []string { return append([]string{}, list...) }

func (c counted) table(w io.Writer, now time.Time) {
	fmt.Fprintf(w, "%s  %s open and %s closed workflows, %s, retention %s\n", c.Namespace,
		grouped(c.OpenWorkflows), grouped(c.ClosedWorkflows), count(int(c.Schedules), "schedule", "schedules"), trimDuration(c.Retention))
	fmt.Fprintf(w, "  began at %s, took %s\n", clock(c.Began, now), brief(c.Finished.Sub(c.Began)))
	for _, note := range c.notes() {
		fmt.Fprintf(w, "  %s\n", note)
	}
	if len(c.Keys) == 0 {
		fmt.Fprintln(w, "\nNo payload here was sealed by signet.")
	}
	for _, k := range c.Keys {
		k.table(w, now)
	}
}

func (c counted) notes() (notes []string) {
	for _, n := range []struct {
		count int64
		says  string
	}{
		{c.Activities + c.Operations, "standalone activities and Nexus operations"},
		{c.Unsealed, "payloads were not sealed by signet"},
		{c.Malformed, "payloads say that signet sealed them and are not well formed: they never open"},
		{c.Later, "payloads are of a later format: upgrade signet to see their keys"},
		{c.References, "payloads are in external storage: their keys cannot be seen from here"},
		{c.Overflow, "payloads are under more keys than there was room for"},
		{c.ClosedMeanwhile, "workflows closed while the census was taken, and may be counted twice"},
	} {
		if n.count > 0 {
			notes = append(notes, grouped(n.count)+" "+n.says)
		}
	}
	if c.Archived {
		notes = append(notes, "the namespace archives histories: they are not counted")
	}
	return notes
}

func (k keyCount) table(w io.Writer, now time.Time) {
	fmt.Fprintf(w, "\n%s/%s  %s %s\n", k.Keyset, k.KeyID, grouped(k.Payloads), pick(k.Payloads, "payload", "payloads"))
	fmt.Fprintf(w, "  in         %s\n", strings.Join(k.Places.words(), ", "))
	if k.OpenWorkflows+k.ClosedWorkflows > 0 {
		fmt.Fprintf(w, "  workflows  %s open, %s closed, such as %s\n", grouped(k.OpenWorkflows), grouped(k.ClosedWorkflows), ids(k.WorkflowIDs))
	}
	if k.Schedules > 0 {
		fmt.Fprintf(w, "  schedules  %s, such as %s\n", grouped(k.Schedules), ids(k.ScheduleIDs))
	}
	if k.OldestUse != nil && k.NewestUse != nil {
		fmt.Fprintf(w, "  stored     from %s to %s\n", ago(*k.OldestUse, now), ago(*k.NewestUse, now))
	}
	switch {
	case len(k.HeldBy) > 0:
		fmt.Fprintf(w, "  needed     for %s\n", strings.Join(k.HeldBy, ", "))
	case k.NeededUntil != nil:
		fmt.Fprintf(w, "  needed     until retention has removed the last of it, at %s\n", clock(*k.NeededUntil, now))
	}
}

func (p places) words() (words []string) {
	for _, at := range []struct {
		n    int64
		word string
	}{
		{p.History, "histories"}, {p.Header, "headers"}, {p.Memo, "memos"}, {p.Pending, "pending activities"},
		{p.Schedule, "schedules"}, {p.Activity, "standalone activities"}, {p.Operation, "standalone Nexus operations"},
	} {
		if at.n > 0 {
			words = append(words, at.word+" "+grouped(at.n))
		}
	}
	return words
}

func ids(list []string) string {
	shown := make([]string, len(list))
	for i, id := range list {
		shown[i] = printable(id)
	}
	return cmp.Or(strings.Join(shown, ", "), "-")
}

func pick(n int64, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}
