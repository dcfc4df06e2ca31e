package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/signet-temporal/signet/keys"
	"github.com/signet-temporal/signet/keys/census"
)

func TestACensusIsShownForPeople(t *testing.T) {
	now := time.Date(2026, 10, 5, 12, 0, 0, 0, time.UTC)
	r := &census.Result{Namespace: "payments", Retention: keys.Duration(72 * time.Hour), Began: now.Add(-time.Minute), Finished: now.Add(-10 * time.Second)}
	r.Tally = census.Tally{Open: 12, Closed: 9988, Schedules: 1, Unsealed: 3, Malformed: 1, Keys: map[string]*census.Key{
		"ns/payments/00000001": {Payloads: map[census.Place]int64{census.InHistory: 1200, census.InSchedule: 2}, Open: 1, Closed: 40, Schedules: 1,
			Oldest: now.Add(-72 * time.Hour), Newest: now.Add(-time.Hour), WorkflowIDs: []string{"a", "b\x1b[2J"}, ScheduleIDs: []string{"nightly"}},
		"ns/payments/00000002": {Payloads: map[census.Place]int64{census.InMemo: 1}, Closed: 1, LastClose: now.Add(-48 * time.Hour),
			Oldest: now.Add(-49 * time.Hour), Newest: now.Add(-49 * time.Hour), WorkflowIDs: []string{"c"}},
	}}
	var text strings.Builder
	newCounted(r).table(&text, now)
	want := `payments  12 open and 9,988 closed workflows, 1 schedule, retention 72h
  began at 11:59:00 UTC, took 50s
  3 payloads were not sealed by signet
  1 payloads say that signet sealed them and are not well formed: they never open

ns/payments/00000001  1,202 payloads
  in         histories 1,200, schedules 2
  workflows  1 open, 40 closed, such as a, "b\x1b[2J"
  schedules  1, such as nightly
  stored     from 3 days ago to 1 hour ago
  needed     for 1 open workflow, 1 schedule

ns/payments/00000002  1 payload
  in         memos 1
  workflows  0 open, 1 closed, such as c
  stored     from 2 days ago to 2 days ago
  needed     until retention has removed the last of it, at Tue 6 Oct 2026 12:00:00 UTC
`
	if text.String() != want {
		t.Errorf("got\n%s\nwant\n%s", text.String(), want)
	}
}

func TestTheProgressOfACensus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bar := newCounting("payments", 2000, 10_000)
		time.Sleep(10 * time.Second)
		bar.update(5000, "closed workflows")
		if got, want := bar.text(), "payments, closed workflows: [#####     ] 5,000 of 10,000 workflows, 300/s, 17s left"; got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		bar.total = 0
		if got, want := bar.text(), "payments, closed workflows: 5,000 workflows, 300/s"; got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	})
}

// The state of a census holds ids of workflows. It is written for its owner alone, whole or not at all, and not at every page.
func TestACheckpointIsKeptForItsOwner(t *testing.T) {
	path := filepath.Join(t.TempDir(), "census.json")
	c := &checkpoint{path: path}
	if r, err := c.load(); r != nil || err != nil {
		t.Fatalf("a checkpoint that is not there: %v, %v", r, err)
	}
	first, second := &census.Result{Namespace: "first"}, &census.Result{Namespace: "second"}
	for _, r := range []*census.Result{first, second} {
		if err := c.keep(r); err != nil {
			t.Fatal(err)
		}
	}
	if r, err := c.load(); err != nil || r.Namespace != "first" {
		t.Errorf("two pages within two seconds: %v, %v", r, err)
	}
	if err := c.flush(); err != nil {
		t.Fatal(err)
	}
	r, err := c.load()
	if err != nil || r.Namespace != "second" {
		t.Errorf("after a flush: %v, %v", r, err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(path), ".*")); len(left) > 0 {
		t.Errorf("left behind: %s, %v", left, err)
	}
	if err := c.remove(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("it was not removed")
	}
	if text, err := json.Marshal(&census.Result{}); err != nil || strings.Contains(string(text), `"Tally"`) {
		t.Errorf("%s, %v", text, err)
	}
}
