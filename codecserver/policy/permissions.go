package policy

import (
	"slices"
	"strings"
)

// Permissions takes grants from a claim that Temporal's own authorizer reads as well: a list of "<namespace>:<role>". Its
// roles (read, write, worker, admin) allow nothing here, unless they are named. A role that Temporal does not know does
// nothing there, so "payments:decode" can be added to the claim of a user who has "payments:read".
type Permissions struct {
	Name   string   `yaml:"name"`   // stands in audit records
	Issuer string   `yaml:"issuer"` // whose claim counts
	Claim  string   `yaml:"claim"`  // default: permissions
	Decode []string `yaml:"decode"` // roles that let their bearer decode; none: the claim lets nobody decode
	Encode []string `yaml:"encode"` // roles that let their bearer encode
	Labels []string `yaml:"labels"` // labels that whoever may decode by this claim may see; none: labelled values stay masked

	shows Labels // the same, checked
}

func (p Permissions) check() *FieldError {
	switch {
	case p.Issuer == "":
		return &FieldError{"issuer", "the issuer is required: whose claim counts?"}
	case len(p.Decode) == 0 && len(p.Encode) == 0:
		return &FieldError{"", "name the roles that allow something, such as decode: [decode]"}
	}
	for _, field := range []struct {
		name  string
		roles []string
	}{{"decode", p.Decode}, {"encode", p.Encode}} {
		if e := checkEntries(field.name, field.roles); e != nil {
			return e
		}
	}
	return checkLabels(p.Labels, len(p.Decode) > 0)
}

func (p Permissions) clone() Permissions {
	p.Decode, p.Encode, p.Labels = slices.Clone(p.Decode), slices.Clone(p.Encode), slices.Clone(p.Labels)
	p.shows = labelsOf(p.Labels)
	if p.Claim == "" {
		p.Claim = "permissions"
	}
	return p
}

// allow: Temporal's authorizer lets the roles of "temporal-system" count everywhere. Here a namespace counts for itself.
func (p Permissions) allow(q *Request) bool {
	var roles []string
	switch q.Action {
	case Decode:
		roles = p.Decode
	case Encode:
		roles = p.Encode
	}
	return q.Caller.Issuer == p.Issuer && slices.ContainsFunc(q.Caller.Claims[p.Claim], func(entry string) bool {
		namespace, role, ok := strings.Cut(entry, ":")
		return ok && namespace == q.Namespace && slices.Contains(roles, role)
	})
}
