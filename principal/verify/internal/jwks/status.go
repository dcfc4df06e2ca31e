package jwks

import "time"

// Status is what a [Set] knows of its keys.
type Status struct {
	Fetched time.Time // when the keys in use were asked for; zero before the first fetch that worked
	Usable  time.Time // until when they verify tokens if the issuer stays away
	Err     error     // of the last fetch; nil when it worked, and before the first one
}

// Status says how old the keys are. It fetches nothing.
func (s *Set) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	status := Status{Fetched: s.fetched, Err: s.err}
	if !s.expires.IsZero() {
		status.Usable = s.expires.Add(maxStale)
	}
	return status
}
