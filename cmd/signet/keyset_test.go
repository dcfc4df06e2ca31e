package main

import (
	"strings"
	"testing"
	"time"

	"github.com/signet-temporal/signet/keys"
	"github.com/signet-temporal/signet/keys/keystest"
)

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

func TestStatusSaysWhatThePolicyMakesDue(t *testing.T) {
	now := time.Date(2026, 10, 1, 12, 0, 0, 0, time.UTC)
	k := &keys.Keyset{Name: "ns/a", Type: keys.XAES256GCM, Policy: keys.Policy{PropagationDelay: keys.Duration(5 * time.Minute), RotateEvery: keys.Duration(30 * 24 * time.Hour)}, Keys: []keys.Key{
		{ID: 1, State: keys.Primary, Created: now, Promoted: now},
	}}
	for after, want := range map[time.Duration]string{
		0:                    "next: signet keyset rotate --auto adds a pending key in 720h, at Sat 31 Oct 2026 12:00:00 UTC",
		31 * 24 * time.Hour:  "next: signet keyset rotate --auto adds a pending key: due 1 day ago",
		720*time.Hour - 1000: "next: signet keyset rotate --auto adds a pending key",
	} {
		at := now.Add(after)
		var text strings.Builder
		describeKeyset(k, at).table(&text, at)
		if !strings.Contains(text.String(), want) || !strings.Contains(text.String(), "rotated every 720h") {
			t.Errorf("after %s: got %s\nwant %q", after, text.String(), want)
		}
	}
}

func TestStatusNamesWhatWasScheduledAndCompromised(t *testing.T) {
	now := time.Date(2026, 10, 1, 12, 0, 0, 0, time.UTC)
	k := &keys.Keyset{Name: "ns/a", Type: keys.XAES256GCM, Keys: []keys.Key{
		{ID: 1, State: keys.Disabled, Created: now, Disabled: now, DestroyAfter: now.Add(time.Hour)},
		{ID: 2, State: keys.Disabled, Created: now, Disabled: now, DestroyAfter: now.Add(-time.Hour)},
		{ID: 3, State: keys.Retired, Created: now, Retired: now, Compromised: now},
	}}
	var text strings.Builder
	describeKeyset(k, now).table(&text, now)
	for _, want := range []string{
		"nothing; may be destroyed in 1h, at 13:00:00 UTC", "nothing; may be destroyed now", "retired, compromised",
	} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("got %s\nwant %q", text.String(), want)
		}
	}
}

func TestStatusSaysWhoLagsBehindTheTransitKey(t *testing.T) {
	kek := keystest.NewKEK(t)
	info := []keysetInfo{{Keys: []keyInfo{{State: keys.Primary, WrappedBy: 1}, {State: keys.Disabled, WrappedBy: 2}, {State: keys.Destroyed}}}}
	kek.Rotate(t)
	got := describeKEK(t.Context(), kek, info, true)
	if want := (kekInfo{Latest: 2, Oldest: 1, LowestInUse: 1, Lagging: 1}); *got != want {
		t.Errorf("got %+v, want %+v", *got, want)
	}
	info[0].Keys[0].WrappedBy = 2
	var text strings.Builder
	describeKEK(t.Context(), kek, info, true).table(&text)
	if want := "min_decryption_version, now 1, may rise to it"; !strings.Contains(text.String(), want) {
		t.Errorf("got %q, want %q", text.String(), want)
	}
	for what, got := range map[string]*kekInfo{
		"some keysets":           describeKEK(t.Context(), kek, info, false),
		"one that is unreadable": describeKEK(t.Context(), kek, append(info, keysetInfo{Problem: "x"}), true),
	} {
		if got.LowestInUse != 0 {
			t.Errorf("%s: lowest in use %d is claimed to be known", what, got.LowestInUse)
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
	for want, d := range map[string]time.Duration{"5m": 5 * time.Minute, "10m": 10 * time.Minute, "1h": time.Hour, "1h5m": 65 * time.Minute, "3m20s": 199*time.Second + 1, "1s": 1, "0s": 0, "24h": 24 * time.Hour, "720h": 719*time.Hour + 31*time.Minute + 6*time.Second} {
		if got := brief(d); got != want {
			t.Errorf("brief(%s) = %q, want %q", d, got, want)
		}
	}
	if got, want := clock(now.Add(30*time.Hour), now), "Fri 2 Oct 2026 18:00:00 UTC"; got != want {
		t.Errorf("clock of tomorrow = %q, want %q", got, want)
	}
}
