package codecserver

import (
	"fmt"

	"github.com/signet-temporal/signet/codecserver/policy"
)

// SummaryHeader of an answer with payloads says what became of them, as a dictionary of RFC 9651:
//
//	Signet-Payloads: opened=48, masked=1, explained=2, passed=3
//
// They add up to the payloads of the request. Of /encode it is sealed and passed: those that were sealed before, or are
// never to be. A status of 200 does not say that anything was opened; this does, to scripts and to proxies' logs.
const SummaryHeader = "Signet-Payloads"

func (q *request) summary(items []*item) string {
	var opened, masked, explained, passed int
	for _, it := range items {
		switch {
		case it.reason != none:
			explained++
		case it.out == nil:
			passed++
		case len(it.masked) > 0:
			masked++
		default:
			opened++
		}
	}
	if q.action == policy.Encode {
		return fmt.Sprintf("sealed=%d, passed=%d", opened, passed)
	}
	return fmt.Sprintf("opened=%d, masked=%d, explained=%d, passed=%d", opened, masked, explained, passed)
}
