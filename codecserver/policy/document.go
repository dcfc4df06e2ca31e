package policy

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Document is a policy as its file spells it. The package documentation describes the fields.
type Document struct {
	Deny        []Denial      `yaml:"deny"`
	Grants      *[]Grant      `yaml:"grants"` // required: "grants: []" grants nothing
	Permissions []Permissions `yaml:"permissions"`
}

// Grant lets some callers do some actions in some namespaces.
type Grant struct {
	Name           string              `yaml:"name"`
	Issuer         string              `yaml:"issuer"`
	Groups         []string            `yaml:"groups"`
	Subjects       []string            `yaml:"subjects"`
	Emails         []string            `yaml:"emails"`
	InsecureAnyone bool                `yaml:"insecureAnyone"`
	ACR            []string            `yaml:"acr"`
	Claims         map[string][]string `yaml:"claims"`
	Namespaces     []string            `yaml:"namespaces"`
	Workflows      []string            `yaml:"workflows"`
	Tenants        []string            `yaml:"tenants"`
	Actions        []Action            `yaml:"actions"`
	Labels         []string            `yaml:"labels"` // none: labelled values stay masked
	Until          string              `yaml:"until"`  // RFC 3339
	BreakGlass     bool                `yaml:"breakGlass"`
	Bulk           bool                `yaml:"bulk"`
}

// Denial keeps out whomever it matches, whatever the grants say. It has no e-mail addresses, because who has none would
// pass, no end, because what ends a denial opens something,
// and no labels, because what it matches is not shown at all.
type Denial struct {
	Name       string              `yaml:"name"`
	Issuer     string              `yaml:"issuer"`
	Groups     []string            `yaml:"groups"`
	Subjects   []string            `yaml:"subjects"`
	ACR        []string            `yaml:"acr"`
	Claims     map[string][]string `yaml:"claims"`
	Namespaces []string            `yaml:"namespaces"`
	Workflows  []string            `yaml:"workflows"`
	Tenants    []string            `yaml:"tenants"`
	Actions    []Action            `yaml:"actions"`
}

// New checks a document, which it copies. No grant at all is a policy: it denies everything. The error is a
// [*FieldError].
func New(d Document) (*Rules, error) {
	if d.Grants == nil {
		return nil, &FieldError{"grants", `the list of grants is required ("grants: []" grants nothing)`}
	}
	r, names := &Rules{}, map[string]bool{}
	unique := func(name string) *FieldError {
		switch {
		case name == "":
			return &FieldError{"name", "a rule needs a name: it stands in audit records"}
		case names[name]:
			return &FieldError{"name", fmt.Sprintf("%q is the name of another rule: audit records must tell them apart", name)}
		}
		names[name] = true
		return nil
	}
	for i, denial := range d.Deny {
		if problem := first(func() *FieldError { return unique(denial.Name) }, denial.check); problem != nil {
			return nil, problem.in("deny", i)
		}
		r.deny = append(r.deny, denial.rule())
	}
	for i, g := range *d.Grants {
		if problem := first(func() *FieldError { return unique(g.Name) }, g.check); problem != nil {
			return nil, problem.in("grants", i)
		}
		if g.BreakGlass {
			r.breakGlass = append(r.breakGlass, g.rule())
		} else {
			r.grants = append(r.grants, g.rule())
		}
	}
	for i, p := range d.Permissions {
		if problem := first(func() *FieldError { return unique(p.Name) }, p.check); problem != nil {
			return nil, problem.in("permissions", i)
		}
		r.permissions = append(r.permissions, p.clone())
	}
	return r, nil
}

func (g Grant) rule() *rule {
	until, _ := time.Parse(time.RFC3339, g.Until) // check has looked at it; "" is the zero time
	return &rule{
		name: g.Name, bulk: g.Bulk, issuer: g.Issuer, groups: slices.Clone(g.Groups), subjects: slices.Clone(g.Subjects), emails: slices.Clone(g.Emails),
		anyone: g.InsecureAnyone, claims: claimsOf(g.Claims, g.ACR), namespaces: slices.Clone(g.Namespaces), workflows: slices.Clone(g.Workflows),
		tenants: slices.Clone(g.Tenants), actions: slices.Clone(g.Actions), labels: labelsOf(g.Labels), until: until,
	}
}

func (d Denial) rule() *rule {
	return &rule{
		name: d.Name, deny: true, issuer: d.Issuer, groups: slices.Clone(d.Groups), subjects: slices.Clone(d.Subjects),
		claims: claimsOf(d.Claims, d.ACR), namespaces: slices.Clone(d.Namespaces), workflows: slices.Clone(d.Workflows),
		tenants: slices.Clone(d.Tenants), actions: slices.Clone(d.Actions),
	}
}

func claimsOf(claims map[string][]string, acr []string) map[string][]string {
	all := map[string][]string{}
	for name, values := range claims {
		all[name] = slices.Clone(values)
	}
	if len(acr) > 0 {
		all["acr"] = slices.Clone(acr)
	}
	return all
}

func (g Grant) check() *FieldError {
	if g.Issuer == "" {
		return &FieldError{"issuer", "the issuer is required: groups, subjects and e-mail addresses mean nothing without it"}
	}
	if e := g.checkWho(); e != nil {
		return e
	}
	if len(g.Namespaces) == 0 {
		return &FieldError{"namespaces", "at least one namespace is required"}
	}
	if len(g.Actions) == 0 {
		return &FieldError{"actions", "at least one action is required: decode, encode, download, search"}
	}
	if g.Until != "" {
		if _, err := time.Parse(time.RFC3339, g.Until); err != nil {
			return &FieldError{"until", fmt.Sprintf("%q is not a time such as 2027-01-31T18:00:00Z", g.Until)}
		}
	}
	return first(
		func() *FieldError {
			return checkWhat(g.Claims, g.ACR, g.Namespaces, g.Workflows, g.Tenants, g.Actions)
		},
		func() *FieldError {
			return checkLabels(g.Labels, slices.Contains(g.Actions, Decode) || slices.Contains(g.Actions, Download))
		},
	)
}

// checkWho: one kind of who in a grant, so that nobody has to know whether two of them mean "and" or "or".
func (g Grant) checkWho() *FieldError {
	kinds := 0
	for field, list := range map[string][]string{"groups": g.Groups, "subjects": g.Subjects, "emails": g.Emails} {
		if len(list) > 0 {
			kinds++
		}
		if e := first(notEmpty(field, list), func() *FieldError { return checkEntries(field, list) }); e != nil {
			return e
		}
	}
	if g.InsecureAnyone {
		kinds++
	}
	switch {
	case kinds == 0 && len(g.Claims) == 0:
		return &FieldError{"", "the grant says nobody: give one of groups, subjects, emails, claims"}
	case kinds <= 1:
		return nil
	}
	return &FieldError{"", "the grant has more than one of groups, subjects, emails, insecureAnyone: write a grant for each"}
}

func (d Denial) check() *FieldError {
	for _, field := range []struct {
		name string
		list []string
	}{{"groups", d.Groups}, {"subjects", d.Subjects}} {
		if e := first(notEmpty(field.name, field.list), func() *FieldError { return checkEntries(field.name, field.list) }); e != nil {
			return e
		}
	}
	return checkWhat(d.Claims, d.ACR, d.Namespaces, d.Workflows, d.Tenants, d.Actions)
}

func checkWhat(claims map[string][]string, acr, namespaces, workflows, tenants []string, may []Action) *FieldError {
	if claims != nil && len(claims) == 0 {
		return restrictsNothing("claims")
	}
	if e := first(notEmpty("acr", acr), notEmpty("namespaces", namespaces), notEmpty("workflows", workflows), notEmpty("tenants", tenants), notEmpty("actions", may)); e != nil {
		return e
	}
	if len(acr) > 0 && len(claims["acr"]) > 0 {
		return &FieldError{"acr", "acr stands among claims, too: keep one of the two"}
	}
	for _, name := range slices.Sorted(maps.Keys(claims)) {
		if name == "email" {
			return &FieldError{"claims", "an address counts only if it is verified: use emails, not the claim"}
		}
		if name == "" || len(claims[name]) == 0 {
			return &FieldError{"claims", fmt.Sprintf("claim %q needs a name and at least one value", name)}
		}
		if e := checkEntries("claims", claims[name]); e != nil {
			return &FieldError{"claims", e.Problem}
		}
	}
	for i, pattern := range namespaces {
		if pattern == "" || strings.ContainsAny(pattern, `[]?\/`) {
			return &FieldError{fmt.Sprintf("namespaces[%d]", i), fmt.Sprintf("%q is not a namespace: write its name, with * for any characters", pattern)}
		}
	}
	if i := slices.Index(workflows, ""); i >= 0 {
		return &FieldError{fmt.Sprintf("workflows[%d]", i), "an empty entry would match nothing: write a workflow id, with * for any characters"}
	}
	for i, a := range may {
		if !slices.Contains(actions(), a) {
			return &FieldError{fmt.Sprintf("actions[%d]", i), fmt.Sprintf("unknown action %q: use decode, encode, download or search", a)}
		}
	}
	return first(func() *FieldError { return checkEntries("acr", acr) }, func() *FieldError { return checkEntries("tenants", tenants) })
}

// notEmpty: a list that somebody has emptied would restrict nothing any more. Nil is left out.
func notEmpty[S ~string](field string, list []S) func() *FieldError {
	return func() *FieldError {
		if list != nil && len(list) == 0 {
			return restrictsNothing(field)
		}
		return nil
	}
}

func restrictsNothing(field string) *FieldError {
	return &FieldError{field, "it is empty, and so would restrict nothing: leave it out if that is meant"}
}

// checkEntries: what is compared exactly must be there, and nobody may think that it is a pattern.
func checkEntries(field string, list []string) *FieldError {
	if i := slices.Index(list, ""); i >= 0 {
		return &FieldError{fmt.Sprintf("%s[%d]", field, i), "an empty entry would match nobody"}
	}
	if slices.Contains(list, "*") {
		return &FieldError{field, "* is not a pattern here: list the entries"}
	}
	return nil
}

func first(checks ...func() *FieldError) *FieldError {
	for _, check := range checks {
		if e := check(); e != nil {
			return e
		}
	}
	return nil
}

func (e *FieldError) in(list string, i int) error {
	e.Field = strings.TrimSuffix(fmt.Sprintf("%s[%d].%s", list, i, e.Field), ".")
	return e
}
