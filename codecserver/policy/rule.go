package policy

import (
	"slices"
	"strings"
	"time"
)

// rule is a grant or a denial, checked. Of a grant, issuer, namespaces, actions and a who are there.
type rule struct {
	name                     string
	deny, bulk               bool
	issuer                   string // "": any
	groups, subjects, emails []string
	anyone                   bool
	claims                   map[string][]string
	namespaces               []string
	workflows                []string
	tenants                  []string
	actions                  []Action
	labels                   Labels    // that a grant shows
	until                    time.Time // zero: for ever
}

// mismatch returns the first field by which the rule does not match, or "". It is called for every payload: no
// allocations.
func (r *rule) mismatch(q *Request) string {
	switch {
	case r.issuer != "" && r.issuer != q.Caller.Issuer:
		return "issuer"
	case len(r.actions) > 0 && !slices.Contains(r.actions, q.Action) && !(r.deny && q.Action == Download && slices.Contains(r.actions, Decode)):
		return "actions"
	case len(r.namespaces) > 0 && !anyGlob(r.namespaces, q.Namespace):
		return "namespaces"
	case len(r.groups) > 0 && !r.ofGroup(q):
		return "groups"
	case len(r.subjects) > 0 && !slices.Contains(r.subjects, q.Caller.Subject):
		return "subjects"
	case len(r.emails) > 0 && !slices.Contains(r.emails, q.Caller.Email): // an empty entry does not load
		return "emails"
	case !r.claimsMatch(q):
		return "claims"
	case len(r.workflows) > 0 && !r.ofWorkflow(q):
		return "workflows"
	case len(r.tenants) > 0 && !r.ofTenant(q):
		return "tenants"
	case !r.until.IsZero() && (q.Time.IsZero() || !q.Time.Before(r.until)):
		return "until"
	}
	return ""
}

func (r *rule) ofGroup(q *Request) bool {
	if r.deny && (elsewhere(q) || slices.Contains(q.Caller.Claims["hasgroups"], "true")) {
		return true
	}
	return slices.ContainsFunc(r.groups, func(g string) bool { return slices.Contains(q.Caller.Groups, g) })
}

// elsewhere: the token leaves out claims, groups as a rule because they are too many, and says only where to ask for them
// (OpenID Connect Core 5.6.2).
func elsewhere(q *Request) bool {
	_, some := q.Caller.Claims["_claim_names"]
	return some
}

func (r *rule) ofWorkflow(q *Request) bool {
	if q.Anywhere {
		return !r.deny
	}
	return r.deny && q.Workflow == "" || anyGlob(r.workflows, q.Workflow)
}

func (r *rule) ofTenant(q *Request) bool {
	if q.Anywhere {
		return !r.deny
	}
	return r.deny && q.Tenant == "" && (q.Legacy || q.Action == Encode) || slices.Contains(r.tenants, q.Tenant)
}

func (r *rule) claimsMatch(q *Request) bool {
	if len(r.claims) > 0 && q.Caller.Claims == nil {
		return r.deny
	}
	for name, values := range r.claims {
		if has, there := q.Caller.Claims[name]; r.deny && (there && has == nil || !there && elsewhere(q)) {
			continue // it cannot be compared, and what is not known is denied
		}
		if !slices.ContainsFunc(values, func(v string) bool { return slices.Contains(q.Caller.Claims[name], v) }) {
			return false
		}
	}
	return true
}

// anyGlob reports whether one of the patterns matches all of s. No pattern matches what is not known.
func anyGlob(patterns []string, s string) bool {
	if s == "" {
		return false
	}
	for _, p := range patterns {
		if glob(p, s) {
			return true
		}
	}
	return false
}

// glob: * stands for any characters, also none, and everything else for itself.
func glob(pattern, s string) bool {
	first, rest, star := strings.Cut(pattern, "*")
	if !star {
		return pattern == s
	}
	if !strings.HasPrefix(s, first) {
		return false
	}
	s = s[len(first):]
	for {
		part, more, star := strings.Cut(rest, "*")
		if !star {
			return strings.HasSuffix(s, part)
		}
		at := strings.Index(s, part) // the first place is as good as any: what is behind it is the longest
		if at < 0 {
			return false
		}
		s, rest = s[at+len(part):], more
	}
}
