package policy

import (
	"slices"
	"time"

	"github.com/signet-temporal/signet/principal"
)

// Action is what a caller asks for.
type Action string

// The actions that a rule can name.
const (
	Decode   Action = "decode"   // get the plaintext of sealed payloads
	Encode   Action = "encode"   // have payloads sealed, as the Web UI does to start a workflow
	Search   Action = "search"   // have a value turned into the tokens that stand for it in search attributes
	Download Action = "download" // get payloads from external storage; a server without such storage has no such action
)

// Request is one question to the policy.
type Request struct {
	Caller     principal.Caller
	Action     Action
	Namespace  string    // as Temporal calls it; "" matches nothing
	Workflow   string    // id; "" where it is not known
	Tenant     string    // "" for a payload that is not sealed under a tenant's keyset; not known of what is yet to be sealed
	Legacy     bool      // sealed by another codec, which says neither for which workflow nor for which tenant
	BreakGlass string    // why the caller needs access in an emergency; "" where they do not say so
	Time       time.Time // now

	// Anywhere asks whether there is any workflow and tenant of the namespace for which the answer is yes: what no payload
	// has said yet. Rules that ask for a workflow or tenant count if they grant, and do not if they deny.
	Anywhere bool
}

// The reasons of a [Decision].
const (
	Granted          = "granted"
	NotGranted       = "not-granted"        // no rule matched
	Denied           = "denied"             // a denial matched
	BreakGlassNeeded = "break-glass-needed" // a break-glass grant would match, if the caller gave a reason
)

// Decision is the answer to one question.
type Decision struct {
	Allowed    bool
	Rule       string // name of the rule that decided; "" when none matched
	Reason     string // one of the reasons above
	BreakGlass bool   // a break-glass grant allowed it, and nothing else would have
	Bulk       bool   // a grant allowed it whose callers may have as much as they ask for

	Labels Labels // those of labelled values that may be shown, of all grants that match; every other one is masked
	// GlassLabels are more than Labels where the caller gave a reason and break-glass grants that were not needed to allow
	// this show more; GlassRule is the first of them. Whoever shows more than Labels notes an emergency.
	GlassLabels Labels
	GlassRule   string
}

// Rules is a checked policy. It is immutable and safe for concurrent use.
type Rules struct {
	deny, grants, breakGlass []*rule
	permissions              []Permissions
}

// Decide answers: no, if a denial matches; else yes, if a grant, the caller's permissions or, with a reason, a break-glass
// grant matches; else no. Rules of a kind are tried in the order of the file. A caller without issuer or subject, an
// empty namespace and an unknown action match nothing. A denial of [Decode] denies [Download] as well. What the rest of the grants add is labels alone.
func (r *Rules) Decide(q Request) Decision {
	d := r.decide(q)
	if d.Allowed && (q.Action == Decode || q.Action == Download) {
		r.show(&q, &d)
	}
	return d
}

func (r *Rules) decide(q Request) Decision {
	if q.Caller.Issuer == "" || q.Caller.Subject == "" || q.Namespace == "" || !slices.Contains(actions(), q.Action) {
		return Decision{Reason: NotGranted}
	}
	for _, d := range r.deny {
		if d.mismatch(&q) == "" {
			return Decision{Rule: d.name, Reason: Denied}
		}
	}
	for _, g := range r.grants {
		if g.mismatch(&q) == "" {
			return Decision{Allowed: true, Rule: g.name, Reason: Granted, Bulk: g.bulk}
		}
	}
	for _, p := range r.permissions {
		if p.allow(&q) {
			return Decision{Allowed: true, Rule: p.Name, Reason: Granted}
		}
	}
	for _, g := range r.breakGlass {
		if g.mismatch(&q) == "" {
			if q.BreakGlass == "" {
				return Decision{Rule: g.name, Reason: BreakGlassNeeded}
			}
			return Decision{Allowed: true, Rule: g.name, Reason: Granted, BreakGlass: true, Bulk: g.bulk}
		}
	}
	return Decision{Reason: NotGranted}
}

// Issuers returns the issuers that the rules name, each once, in the order of the file: for a check at start, since a
// rule for an issuer that nobody verifies can only be a slip of the pen.
func (r *Rules) Issuers() []string {
	var issuers []string
	add := func(issuer string) {
		if issuer != "" && !slices.Contains(issuers, issuer) {
			issuers = append(issuers, issuer)
		}
	}
	for _, rules := range [][]*rule{r.deny, r.grants, r.breakGlass} {
		for _, rule := range rules {
			add(rule.issuer)
		}
	}
	for _, p := range r.permissions {
		add(p.Issuer)
	}
	return issuers
}

func actions() []Action { return []Action{Decode, Encode, Download, Search} }
