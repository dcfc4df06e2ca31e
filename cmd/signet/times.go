package main

import (
	"strings"
	"time"
)

// ago says how long before now t was: in the largest unit, as people do.
func ago(t, now time.Time) string {
	if t.IsZero() {
		return "-"
	}
	d := now.Sub(t)
	if d < -time.Second {
		return "in " + brief(-d)
	}
	for _, u := range []struct {
		unit time.Duration
		name string
	}{{24 * time.Hour, "day"}, {time.Hour, "hour"}, {time.Minute, "minute"}, {time.Second, "second"}} {
		if n := int(d / u.unit); n > 0 {
			return count(n, u.name, u.name+"s") + " ago"
		}
	}
	return "just now"
}

// brief writes a time to wait, in whole seconds and, beyond a day, in whole hours, and never too short.
func brief(d time.Duration) string {
	unit := time.Second
	if d > 24*time.Hour {
		unit = time.Hour
	}
	return trimDuration((d + unit - 1).Truncate(unit).String())
}

// trimDuration writes 5m0s as 5m.
func trimDuration(s string) string {
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(s, zero) {
			s = s[:len(s)-2]
		}
	}
	return s
}

// clock writes a time for people, never too early, and the day where it is not clear from the hour. The zone is said
// because custodians sit in several.
func clock(t, now time.Time) string {
	layout := "15:04:05 MST"
	if t.Sub(now).Abs() > 12*time.Hour {
		layout = "Mon 2 Jan 2006 15:04:05 MST"
	}
	return t.Add(time.Second - 1).In(now.Location()).Format(layout)
}
