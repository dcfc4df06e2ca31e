package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/signet-temporal/signet/keys"
	"github.com/signet-temporal/signet/keys/census"
)

// use is what is known of the use of a key in one namespace.
type use struct {
	Namespace       string     `json:"namespace" help:"the namespace"`
	From            string     `json:"from" help:"where that comes from: Temporal's address, or the file of a census"`
	Began           *time.Time `json:"began,omitempty" help:"when the census began; none for one that --plan does not take"`
	Workflows       int64      `json:"workflows" help:"workflow runs that were looked at"`
	Payloads        int64      `json:"payloads" help:"payloads under the key"`
	OpenWorkflows   int64      `json:"openWorkflows" help:"open workflow runs that carry some"`
	ClosedWorkflows int64      `json:"closedWorkflows" help:"closed ones, within retention"`
	Schedules       int64      `json:"schedules" help:"schedules that carry some"`
	Alone           int64      `json:"alone" help:"open standalone activities and Nexus operations that carry some"`
	WorkflowIDs     []string   `json:"workflowIds,omitempty" help:"up to five of the workflows"`
	ScheduleIDs     []string   `json:"scheduleIds,omitempty" help:"up to five of the schedules"`
	HeldBy          []string   `json:"heldBy,omitempty" help:"what needs the key and does not end by itself"`
	NeededUntil     *time.Time `json:"neededUntil,omitempty" help:"if nothing does: when retention will have removed the last of it"`
	Unproven        string     `json:"unproven,omitempty" help:"why the census proves nothing, though it has not met the key"`

	against error     // of [census.Unused]
	carries []keys.ID // of the keyset
}

// asked is what a command says about who was asked.
type asked struct {
	Census    []use      `json:"census,omitempty" help:"who was asked whether the key is needed, and with --plan who would be"`
	NotAsked  []string   `json:"notAsked,omitempty" help:"the other namespaces of the Temporal that was asked: whether their workflows use the keyset is not known"`
	NoneMet   bool       `json:"noneMet,omitempty" help:"whether nothing of the whole keyset was met, which may mean that the wrong Temporal was asked"`
	SafeAfter *time.Time `json:"safeAfter,omitempty" help:"if the key is needed, and nothing needs it without end: when to ask again"`
}

// askedChange is the JSON output of the commands that ask before, or after, they change a key.
type askedChange struct {
	change
	asked
}

// slow is how much longer than its retention Temporal may keep a closed workflow.
const slow = time.Hour

// safeAfter is when to ask again: when the last of what is closed is gone. There is no such time while something holds
// the key without end, or nothing needs it.
func safeAfter(all []use) *time.Time {
	var last time.Time
	for _, u := range all {
		switch {
		case len(u.HeldBy) > 0:
			return nil
		case u.NeededUntil != nil && u.NeededUntil.Add(slow).After(last):
			last = u.NeededUntil.Add(slow)
		}
	}
	return given(last)
}

// against says in one line why the key must stay, or nil.
func (q asking) against(all []use) error {
	var reasons, advice []string
	carried := false
	for _, u := range all {
		carried = carried || len(u.carries) > 0
		if u.against == nil {
			if id, ok := q.strange(u); ok {
				reasons = append(reasons, fmt.Sprintf("%s: namespace %s carries key %s of the keyset, which is not in this key store: name the Temporal and the key store that belong together", census.ErrUnproven, printable(u.Namespace), id))
			}
			continue
		}
		reasons = append(reasons, u.against.Error())
		if len(u.HeldBy) > 0 && u.Schedules > 0 && !slices.ContainsFunc(advice, isReseal) {
			advice = append(advice, "move schedules with \"signet schedules reseal\"")
		}
		if u.OpenWorkflows+u.Alone > 0 && !slices.Contains(advice, letThemEnd) {
			advice = append(advice, letThemEnd)
		}
	}
	if home, ok := strings.CutPrefix(q.keyset, "ns/"); ok && len(all) > 0 && len(reasons) == 0 && !carried && !slices.Contains(q.namespaces(), home) {
		reasons = append(reasons, fmt.Sprintf("%s: no namespace that was asked carries anything of the keyset, and namespace %s was not asked: name the right ones", census.ErrUnproven, home))
	}
	if len(reasons) == 0 {
		return nil
	}
	if at := safeAfter(all); at != nil {
		advice = append(advice, "ask again after "+at.UTC().Format(time.RFC3339))
	} else if len(advice) > 0 {
		advice = append(advice, "then ask again")
	}
	text := fmt.Sprintf("keyset %q, key %s: nothing was changed: %s", q.keyset, q.key, strings.Join(reasons, "; "))
	if len(advice) > 0 {
		text += ": " + strings.Join(advice, ", ")
	}
	return codedf(exitRefused, "%s", text)
}

// strange is a key of the keyset that was met, and that the keyset does not have: the namespace is that of another key
// store, such as the staging one of the same name.
func (q asking) strange(u use) (keys.ID, bool) {
	slices.Sort(u.carries)
	for _, id := range u.carries {
		if !q.has[id] {
			return id, true
		}
	}
	return 0, false
}

const letThemEnd = "let what is open end"

func isReseal(s string) bool { return strings.Contains(s, "reseal") }

// table shows for people what needs the key, namespace by namespace.
func (s asked) table(w io.Writer, key keys.ID, now time.Time) {
	for _, u := range s.Census {
		u.table(w, key, now)
	}
	if s.NoneMet {
		fmt.Fprintln(w, "Nothing of the whole keyset was met, under any of its keys: make sure that the right Temporal was asked.")
	}
	if n := len(s.NotAsked); n > 0 {
		more := ""
		if n > 5 {
			more = fmt.Sprintf(" and %d more", n-5)
		}
		fmt.Fprintf(w, "Not asked, on the same Temporal: %s%s. If workflows there use the keyset, name them with --namespace, too.\n", ids(s.NotAsked[:min(n, 5)]), more)
	}
	if s.SafeAfter != nil {
		fmt.Fprintf(w, "Ask again after %s.\n", clock(*s.SafeAfter, now))
	}
}

func (u use) table(w io.Writer, key keys.ID, now time.Time) {
	name := printable(u.Namespace)
	switch {
	case u.Unproven != "":
		fmt.Fprintf(w, "%s  key %s was not met in %s, and that proves nothing: see below\n", name, key, runs(u.Workflows))
		return
	case u.Payloads == 0:
		fmt.Fprintf(w, "%s  key %s was not met in %s, by a census that began at %s\n", name, key, runs(u.Workflows), clock(*u.Began, now))
		return
	}
	fmt.Fprintf(w, "%s  %s %s under key %s\n", name, grouped(u.Payloads), pick(u.Payloads, "payload", "payloads"), key)
	if u.OpenWorkflows+u.ClosedWorkflows > 0 {
		fmt.Fprintf(w, "  workflows  %s open, %s closed, such as %s\n", grouped(u.OpenWorkflows), grouped(u.ClosedWorkflows), ids(u.WorkflowIDs))
	}
	if u.Schedules > 0 {
		fmt.Fprintf(w, "  schedules  %s, such as %s\n", grouped(u.Schedules), ids(u.ScheduleIDs))
	}
	switch {
	case len(u.HeldBy) > 0:
		fmt.Fprintf(w, "  needed     for %s\n", strings.Join(u.HeldBy, ", "))
	case u.NeededUntil != nil:
		fmt.Fprintf(w, "  needed     until retention has removed the last of it, at %s\n", clock(*u.NeededUntil, now))
	}
}

// plan says who would be asked.
func (s asked) plan(w io.Writer, now time.Time) {
	for _, u := range s.Census {
		if u.Began != nil {
			fmt.Fprintf(w, "  before that: the census of namespace %s in %s, which began %s, must not have met the key\n", printable(u.Namespace), u.From, ago(*u.Began, now))
			continue
		}
		fmt.Fprintf(w, "  before that: a census of namespace %s at %s must not meet the key\n", printable(u.Namespace), u.From)
	}
}

func runs(n int64) string { return grouped(n) + " " + pick(n, "workflow", "workflows") }

// result makes a census of its JSON again, as far as it says which keys are needed.
func (c counted) result() (*census.Result, error) {
	retention, err := time.ParseDuration(c.Retention)
	switch {
	case c.Namespace == "" || c.Began.IsZero() || c.Finished.IsZero():
		return nil, errors.New("it does not say of which namespace it is, or when it was taken")
	case err != nil || retention < 0:
		return nil, errors.New("its retention is no duration")
	}
	r := &census.Result{Namespace: c.Namespace, Retention: keys.Duration(retention), Archived: c.Archived, Began: c.Began, Finished: c.Finished}
	r.Tally = census.Tally{
		Open: c.OpenWorkflows, Closed: c.ClosedWorkflows, ClosedMeanwhile: c.ClosedMeanwhile, Schedules: c.Schedules, Activities: c.Activities, Operations: c.Operations, Gone: c.Gone,
		Events: c.Events, Unsealed: c.Unsealed, Malformed: c.Malformed, Later: c.Later, References: c.References, Overflow: c.Overflow, Keys: map[string]*census.Key{},
	}
	for _, k := range c.Keys {
		key := &census.Key{
			Payloads: k.Places.counts(), Open: k.OpenWorkflows, Closed: k.ClosedWorkflows, Schedules: k.Schedules, Alone: k.Alone,
			WorkflowIDs: k.WorkflowIDs, ScheduleIDs: k.ScheduleIDs,
		}
		if k.NeededUntil != nil {
			key.LastClose = k.NeededUntil.Add(-retention)
		}
		r.Keys[k.Keyset+"/"+k.KeyID] = key
	}
	return r, nil
}

func (p places) counts() map[census.Place]int64 {
	return map[census.Place]int64{
		census.InHistory: p.History, census.InHeader: p.Header, census.InMemo: p.Memo, census.InPending: p.Pending,
		census.InSchedule: p.Schedule, census.InActivity: p.Activity, census.InOperation: p.Operation,
	}
}
