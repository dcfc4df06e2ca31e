// Package forwarded holds the names of the headers in which one service tells another for whom it calls, and what both
// ends do with those that nobody may believe. It works on http.Header and on gRPC's metadata.MD alike.
package forwarded

import "strings"

// The headers. In gRPC metadata they are in lower case.
const (
	User      = "X-Forwarded-User"      // the principal's subject
	Issuer    = "X-Forwarded-Issuer"    // who vouched for the user; absent for a service
	Tenant    = "X-Forwarded-Tenant"    // absent where there are no tenants
	Txn       = "X-Forwarded-Txn"       // the request that started it all; absent where nobody named it
	Assertion = "X-Forwarded-Assertion" // the same, signed by the forwarder; optional
)

// Names are all of them.
func Names() []string { return []string{User, Issuer, Tenant, Txn, Assertion} }

// Is reports whether a header called name passes, somewhere on its way, for one of ours: in any case, and with
// underscores for hyphens, which CGI and WSGI servers take for the same.
func Is(name string) bool {
	name = strings.ReplaceAll(name, "_", "-")
	for _, ours := range Names() {
		if strings.EqualFold(name, ours) {
			return true
		}
	}
	return false
}

// Strip removes from h every header for which [Is] holds.
func Strip(h map[string][]string) {
	for name := range h {
		if Is(name) {
			delete(h, name)
		}
	}
}
