package vaultstore

import (
	"net/http"
	"sync/atomic"
	"time"
)

// clock compares the clock of this process with Vault's, which dates its answers to the second.
type clock struct {
	known atomic.Bool
	ahead atomic.Int64
}

func (c *clock) note(date string, now time.Time) {
	if at, err := http.ParseTime(date); err == nil {
		c.ahead.Store(int64(now.Round(0).Sub(at)))
		c.known.Store(true)
	}
}

// ClockAhead returns how far the clock of this process was ahead of Vault's, by a second or so, at the last reading;
// negative if it was behind. It is not known before the first, nor where Vault's answers have no date.
func (s *Store) ClockAhead() (ahead time.Duration, known bool) {
	return time.Duration(s.clock.ahead.Load()), s.clock.known.Load()
}
