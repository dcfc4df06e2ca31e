package verify

import (
	"slices"
	"strings"
	"time"
)

// IssuerStatus is how it stands with the keys of one issuer.
type IssuerStatus struct {
	Issuer string
	// Fetched is when the keys in use were fetched; zero before the first token that needed them.
	Fetched time.Time
	// Usable is until when they verify tokens if the issuer cannot be reached from now on; zero before the first fetch.
	Usable time.Time
	// Error of the last fetch, in one line; "" when it worked or has not happened.
	Error string
}

// Status returns what is known of each issuer's keys, by name. It fetches nothing, and is safe for concurrent use.
func (v *Verifier) Status() []IssuerStatus {
	all := make([]IssuerStatus, 0, len(v.issuers))
	for name, i := range v.issuers {
		keys := i.keys.Status()
		s := IssuerStatus{Issuer: name, Fetched: keys.Fetched, Usable: keys.Usable}
		if keys.Err != nil {
			s.Error = oneLine(keys.Err)
		}
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b IssuerStatus) int { return strings.Compare(a.Issuer, b.Issuer) })
	return all
}
