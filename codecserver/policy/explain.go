package policy

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Explain says how Decide comes to its answer: one line for each rule that it looks at, in its order.
func (r *Rules) Explain(q Request) (lines []string) {
	decided := r.Decide(q)
	defer func() { lines = append(lines, r.explainLabels(&q, decided)...) }()
	look := func(kind string, rules []*rule) bool {
		for _, rule := range rules {
			why := rule.explain(&q)
			lines = append(lines, fmt.Sprintf("%s %s: %s", kind, rule.name, why))
			if rule.name == decided.Rule {
				return true
			}
		}
		return false
	}
	if look("deny", r.deny) || look("grant", r.grants) {
		return lines
	}
	for _, p := range r.permissions {
		if p.allow(&q) {
			return append(lines, fmt.Sprintf("permissions %s: matches", p.Name))
		}
		lines = append(lines, fmt.Sprintf("permissions %s: no entry of claim %s allows it", p.Name, p.Claim))
	}
	if look("break-glass grant", r.breakGlass) && decided.Reason == BreakGlassNeeded {
		lines = append(lines, "it counts only with a reason")
	}
	return lines
}

// explainLabels says what is shown of labelled values, and by which rules beside the one that decided.
func (r *Rules) explainLabels(q *Request, d Decision) (lines []string) {
	if !d.Allowed || q.Action != Decode && q.Action != Download {
		return nil
	}
	add := func(kind, name string, shows Labels) {
		if !shows.None() {
			lines = append(lines, fmt.Sprintf("%s %s: shows labels: %s", kind, name, shows))
		}
	}
	if !d.BreakGlass {
		for _, g := range r.grants {
			if g.mismatch(q) == "" {
				add("grant", g.name, g.labels)
			}
		}
		for _, p := range r.permissions {
			if p.allow(q) {
				add("permissions", p.Name, p.shows)
			}
		}
	}
	if q.BreakGlass != "" {
		for _, g := range r.breakGlass {
			if g.mismatch(q) == "" {
				add("break-glass grant", g.name, g.labels)
			}
		}
	}
	if d.shown().All {
		return append(lines, "labelled values are shown")
	}
	if d.shown().None() {
		return append(lines, "labelled values are masked")
	}
	return append(lines, "labelled values are masked, but for labels: "+d.shown().String())
}

// explain puts the mismatch into words.
func (r *rule) explain(q *Request) string {
	switch r.mismatch(q) {
	case "":
		return "matches"
	case "issuer":
		return fmt.Sprintf("issuer: the caller's is %s, the rule's %s", q.Caller.Issuer, r.issuer)
	case "actions":
		return fmt.Sprintf("actions: %s is none of %s", q.Action, list(r.actions))
	case "namespaces":
		return fmt.Sprintf("namespaces: %s is none of %s", q.Namespace, list(r.namespaces))
	case "groups":
		return fmt.Sprintf("groups: the caller is in %s, and in none of %s", list(q.Caller.Groups), list(r.groups))
	case "subjects":
		return fmt.Sprintf("subjects: %s is none of %s", q.Caller.Subject, list(r.subjects))
	case "emails":
		return fmt.Sprintf("emails: %s is none of %s", cmp.Or(q.Caller.Email, "not known"), list(r.emails))
	case "claims":
		return r.explainClaims(q)
	case "workflows":
		return fmt.Sprintf("workflows: %s is none of %s", cmp.Or(q.Workflow, "not known"), list(r.workflows))
	case "tenants":
		return fmt.Sprintf("tenants: %s is none of %s", cmp.Or(q.Tenant, "none"), list(r.tenants))
	}
	return fmt.Sprintf("until: the grant has ended at %s", r.until.Format(time.RFC3339))
}

func (r *rule) explainClaims(q *Request) string {
	if q.Caller.Claims == nil {
		return "claims: those of the caller are not known"
	}
	var wants []string
	for _, name := range slices.Sorted(maps.Keys(r.claims)) {
		wants = append(wants, fmt.Sprintf("%s is %s, and has to be one of %s", name, list(q.Caller.Claims[name]), list(r.claims[name])))
	}
	return "claims: " + strings.Join(wants, "; ")
}

func list[S ~string](items []S) string {
	texts := make([]string, len(items))
	for i, item := range items {
		texts[i] = string(item)
	}
	return "[" + strings.Join(texts, ", ") + "]"
}
