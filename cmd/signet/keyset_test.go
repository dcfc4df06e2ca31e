package main

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/signet-temporal/signet/keys"
	"github.com/signet-temporal/signet/keys/keystest"
	"github.com/signet-temporal/signet/keys/rotate"
)

func TestOfManyWhoRotateAtOnceOneSucceeds(t *testing.T) {
	store, kek := new(keystest.Store), keystest.NewKEK(t)
	keystest.NewKeyset(t, store, kek, "ns/a", keys.XAES256GCM)
	var all sync.WaitGroup
	results := make([]error, 8)
	for i := range results {
		all.Go(func() { _, results[i] = rotate.Add(t.Context(), onePending{store}, kek, "ns/a") })
	}
	all.Wait()
	added := 0
	for _, err := range results {
		var refused *coded
		switch {
		case err == nil:
			added++
		case !errors.As(err, &refused) || refused.code != exitRefused || !strings.Contains(refused.text, "has a pending key already"):
			t.Errorf("rotate: %v, want a refusal", err)
		}
	}
	k, _, err := store.Fetch(t.Context(), "ns/a")
	if err != nil || added != 1 || len(pendingIn(k)) != 1 {
		t.Errorf("%d rotations succeeded and left pending %v, want one (%v)", added, pendingIn(k), err)
	}
}

func TestStatusSaysWhenAKeyMayBePromoted(t *testing.T) {
	now := time.Date(2026, 10, 1, 12, 0, 0, 0, time.UTC)
	k := &keys.Keyset{Name: "ns/a", Type: keys.XAES256GCM, Policy: keys.Policy{PropagationDelay: keys.Duration(5 * time.Minute)}, Keys: []keys.Key{
		{ID: 1, State: keys.Primary, Created: now.Add(-72 * time.Hour), Promoted: now.Add(-71 * time.Hour)},
		{ID: 2, State: keys.Pending, Created: now.Add(-100*time.Second - 400*time.Millisecond)},
	}}
	for _, tc := range []struct {
		after time.Duration
		want  string
	}{
		{0, "next: pending key 00000002 may be promoted in 3m20s, at 12:03:20 UTC"},
		{199*time.Second + 599*time.Millisecond, "next: pending key 00000002 may be promoted in 1s, at 12:03:20 UTC"},
		{199*time.Second + 600*time.Millisecond, "next: signet keyset promote ns/a makes pending key 00000002 primary"},
		{time.Hour, "next: signet keyset promote ns/a makes pending key 00000002 primary"},
	} {
		at := now.Add(tc.after)
		var text strings.Builder
		describeKeyset(k, at).table(&text, at)
		if !strings.Contains(text.String(), tc.want) {
			t.Errorf("after %s: got %s\nwant %q", tc.after, text.String(), tc.want)
		}
	}
}

func TestTimesForPeople(t *testing.T) {
	now := time.Date(2026, 10, 1, 12, 0, 0, 0, time.UTC)
	for want, before := range map[string]time.Duration{
		"just now":       300 * time.Millisecond,
		"1 second ago":   time.Second,
		"59 seconds ago": 59*time.Second + 900*time.Millisecond,
		"1 minute ago":   time.Minute,
		"2 hours ago":    3*time.Hour - 1,
		"1 day ago":      47 * time.Hour,
		"400 days ago":   400 * 24 * time.Hour,
		"in 2m":          -2 * time.Minute,
	} {
		if got := ago(now.Add(-before), now); got != want {
			t.Errorf("ago(%s) = %q, want %q", before, got, want)
		}
	}
	if got := ago(time.Time{}, now); got != "-" {
		t.Errorf("ago of no time = %q", got)
	}
	for want, d := range map[string]time.Duration{"5m": 5 * time.Minute, "10m": 10 * time.Minute, "1h": time.Hour, "1h5m": 65 * time.Minute, "3m20s": 199*time.Second + 1, "1s": 1, "0s": 0} {
		if got := brief(d); got != want {
			t.Errorf("brief(%s) = %q, want %q", d, got, want)
		}
	}
	if got, want := clock(now.Add(30*time.Hour), now), "Fri 2 Oct 2026 18:00:00 UTC"; got != want {
		t.Errorf("clock of tomorrow = %q, want %q", got, want)
	}
}
