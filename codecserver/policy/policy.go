package policy

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/signet-temporal/signet/principal"
)

// Action is what a caller asks for.
type Action string

// The actions that a grant can name.
const (
	Decode Action = "decode" // get the plaintext of sealed payloads
	Encode Action = "encode" // have payloads sealed, as the Web UI does to start a workflow
)

// Grant lets some callers do some actions in some namespaces. The package documentation describes its fields.
type Grant struct {
	Name           string   `yaml:"name"`
	Issuer         string   `yaml:"issuer"`
	Groups         []string `yaml:"groups"`
	Subjects       []string `yaml:"subjects"`
	Emails         []string `yaml:"emails"`
	InsecureAnyone bool     `yaml:"insecureAnyone"`
	Namespaces     []string `yaml:"namespaces"`
	Actions        []Action `yaml:"actions"`
}

// Decision is the answer to one question.
type Decision struct {
	Allowed bool
	Rule    string // name of the grant that decided; "" when none matched
	Reason  string // code: "granted", or "not-granted" when no grant matched
}

// Rules is a checked policy. It is immutable and safe for concurrent use.
type Rules struct {
	grants []Grant
}

// New checks grants, which it copies. No grant at all is a policy: it denies everything. The error is a [*FieldError].
func New(grants []Grant) (*Rules, error) {
	r := &Rules{}
	for i, g := range grants {
		if problem := g.check(); problem != nil {
			problem.Field = strings.TrimSuffix(fmt.Sprintf("grants[%d].%s", i, problem.Field), ".")
			return nil, problem
		}
		for _, other := range r.grants {
			if other.Name == g.Name {
				return nil, &FieldError{fmt.Sprintf("grants[%d].name", i), fmt.Sprintf("%q is the name of another grant: audit records must tell them apart", g.Name)}
			}
		}
		g.Groups, g.Subjects, g.Emails = slices.Clone(g.Groups), slices.Clone(g.Subjects), slices.Clone(g.Emails)
		g.Namespaces, g.Actions = slices.Clone(g.Namespaces), slices.Clone(g.Actions)
		r.grants = append(r.grants, g)
	}
	return r, nil
}

// Issuers returns the issuers that the grants name, each once, in the order of the file: for a check at start, since a
// grant for an issuer that nobody verifies can only be a slip of the pen.
func (r *Rules) Issuers() []string {
	var issuers []string
	for _, g := range r.grants {
		if !slices.Contains(issuers, g.Issuer) {
			issuers = append(issuers, g.Issuer)
		}
	}
	return issuers
}

// Decide says whether caller may do action in namespace: the first grant that matches, in the order of the file.
// A caller without issuer or subject, an empty namespace and an unknown action match nothing.
func (r *Rules) Decide(caller principal.Caller, action Action, namespace string) Decision {
	if caller.Issuer != "" && caller.Subject != "" && namespace != "" {
		for _, g := range r.grants {
			if g.isFor(caller) && slices.Contains(g.Actions, action) && g.covers(namespace) {
				return Decision{Allowed: true, Rule: g.Name, Reason: "granted"}
			}
		}
	}
	return Decision{Reason: "not-granted"}
}

func (g Grant) isFor(c principal.Caller) bool {
	if g.Issuer != c.Issuer {
		return false
	}
	return g.InsecureAnyone ||
		slices.Contains(g.Subjects, c.Subject) ||
		slices.Contains(g.Emails, c.Email) || // New refuses an empty entry, so no address matches none
		slices.ContainsFunc(g.Groups, func(name string) bool { return slices.Contains(c.Groups, name) })
}

func (g Grant) covers(namespace string) bool {
	return slices.ContainsFunc(g.Namespaces, func(pattern string) bool {
		ok, err := path.Match(pattern, namespace)
		return ok && err == nil
	})
}

func (g Grant) check() *FieldError {
	if g.Name == "" {
		return &FieldError{"name", "a grant needs a name: it stands in audit records"}
	}
	if g.Issuer == "" {
		return &FieldError{"issuer", "the issuer is required: groups, subjects and e-mail addresses mean nothing without it"}
	}
	if e := g.checkWho(); e != nil {
		return e
	}
	if len(g.Namespaces) == 0 {
		return &FieldError{"namespaces", "at least one namespace is required"}
	}
	for i, pattern := range g.Namespaces {
		if pattern == "" || strings.ContainsAny(pattern, `[]?\/`) {
			return &FieldError{fmt.Sprintf("namespaces[%d]", i), fmt.Sprintf("%q is not a namespace: write its name, with * for any characters", pattern)}
		}
	}
	if len(g.Actions) == 0 {
		return &FieldError{"actions", "at least one action is required: decode, encode"}
	}
	for i, a := range g.Actions {
		if a != Decode && a != Encode {
			return &FieldError{fmt.Sprintf("actions[%d]", i), fmt.Sprintf("unknown action %q: use decode or encode", a)}
		}
	}
	return nil
}

// checkWho: one kind of who in a grant, so that nobody has to know whether two of them mean "and" or "or".
func (g Grant) checkWho() *FieldError {
	kinds := 0
	for field, list := range map[string][]string{"groups": g.Groups, "subjects": g.Subjects, "emails": g.Emails} {
		if len(list) > 0 {
			kinds++
		}
		if i := slices.Index(list, ""); i >= 0 {
			return &FieldError{fmt.Sprintf("%s[%d]", field, i), "an empty entry would match nobody"}
		}
		if slices.Contains(list, "*") {
			return &FieldError{field, "* is not a pattern here: list the entries"}
		}
	}
	if g.InsecureAnyone {
		kinds++
	}
	switch kinds {
	case 0:
		return &FieldError{"", "the grant says nobody: give one of groups, subjects, emails"}
	case 1:
		return nil
	}
	return &FieldError{"", "the grant has more than one of groups, subjects, emails, insecureAnyone: write a grant for each"}
}
