package codecserver

import (
	"net"
	"strings"

	"github.com/signet-temporal/signet/codecserver/audit"
	"github.com/signet-temporal/signet/internal/wire"
)

// record starts an audit record with what is known of the request.
func (q *request) record(d audit.Decision, reason string) audit.Record {
	r := audit.Record{RequestID: q.id, Action: string(q.action), Decision: d, Reason: reason, Payloads: q.payloads, Client: q.RemoteAddr, Agent: "other"}
	if host, _, err := net.SplitHostPort(q.RemoteAddr); err == nil {
		r.Client = host
	}
	switch {
	case q.browser:
		r.Agent = "browser"
	case strings.HasPrefix(q.UserAgent(), "Go-http-client/"): // the temporal CLI and Go workers
		r.Agent = "go"
	}
	if q.caller != nil {
		r.Issuer, r.Subject, r.Email = q.caller.Issuer, q.caller.Subject, q.caller.Email
	}
	return r
}

func (v *verdict) decision() audit.Decision {
	switch {
	case v.reason == none:
		return audit.Allow
	case v.reason.refusesCaller():
		return audit.Deny
	}
	return audit.Unreadable
}

// records returns one record for each sealed payload, or one for all.
func (q *request) records(items []*item) []audit.Record {
	records := make([]audit.Record, 0, len(items))
	of := q.record("", "") // what all of them have
	var key string
	var keyOf wire.Outer // most payloads of a request say the same
	for i, it := range items {
		if !it.sealed || it.already {
			continue
		}
		records = append(records, of)
		r := &records[len(records)-1]
		r.Decision, r.Reason, r.Payload, r.Rule = it.decision(), string(it.reason), i+1, it.rule
		it.noteLabels(r)
		if q.asOne {
			r.Payload = 0
		}
		if it.glass {
			r.BreakGlass = q.breakGlass
		}
		what := audit.Item{Workflow: it.outer.Workflow, Namespace: it.outer.Scope, Key: it.legacyKey}
		if it.ns != nil {
			what.Namespace = it.ns.Name
		}
		if what.Key == "" && it.outer.Keyset != "" {
			if it.outer != keyOf {
				key, keyOf = it.outer.Key(), it.outer
			}
			what.Key = key
		}
		if it.opened {
			r.Item = what
		} else if what != (audit.Item{}) {
			claimed := what // of its own: what is in memory that costs nothing
			r.Claimed = &claimed
		}
		if q.asOne {
			break
		}
	}
	return records
}

// noteLabels puts on record which labels were shown, and for want of which something was not.
func (v *verdict) noteLabels(r *audit.Record) {
	switch v.reason {
	case none:
		r.LabelsShown, r.LabelsMasked = v.shown, v.masked
	case wouldBeMasked:
		r.LabelsMasked = v.masked
	}
}
