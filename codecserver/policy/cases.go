package policy

import (
	"fmt"
	"strings"
	"time"

	"github.com/signet-temporal/signet/internal/strictyaml"
	"github.com/signet-temporal/signet/principal"
)

// Case is one line of a table that a policy is tested with.
type Case struct {
	Name   string `yaml:"name"`
	Caller struct {
		Issuer  string              `yaml:"issuer"`
		Subject string              `yaml:"subject"`
		Email   string              `yaml:"email"`
		Groups  []string            `yaml:"groups"`
		Claims  map[string][]string `yaml:"claims"`
	} `yaml:"caller"`
	Action     Action `yaml:"action"`
	Namespace  string `yaml:"namespace"`
	Workflow   string `yaml:"workflow"`
	Tenant     string `yaml:"tenant"`
	Legacy     bool   `yaml:"legacy"`     // a payload that another codec sealed
	BreakGlass string `yaml:"breakGlass"` // the reason that the caller gives
	At         string `yaml:"at"`         // RFC 3339; default: now
	Want       string `yaml:"want"`       // allow or deny
	Rule       string `yaml:"rule"`       // optional: the rule that has to decide
	// Labels are optional: those that have to be shown, exactly: [] for none, ["*"] for all.
	Labels *[]string `yaml:"labels"`

	at time.Time
}

// ParseCases reads a table: YAML with the one member cases. A field that it does not know and a case that asks nothing
// are errors of one line.
func ParseCases(data []byte) ([]Case, error) {
	var file struct {
		Cases []Case `yaml:"cases"`
	}
	if err := strictyaml.Unmarshal(data, &file); err != nil {
		return nil, err
	}
	if len(file.Cases) == 0 {
		return nil, &FieldError{"cases", "at least one case is required"}
	}
	for i := range file.Cases {
		if problem := file.Cases[i].check(); problem != nil {
			return nil, problem.in("cases", i)
		}
	}
	return file.Cases, nil
}

func (c *Case) check() *FieldError {
	for _, field := range []struct{ name, value string }{
		{"name", c.Name}, {"caller.issuer", c.Caller.Issuer}, {"caller.subject", c.Caller.Subject}, {"action", string(c.Action)}, {"namespace", c.Namespace},
	} {
		if field.value == "" {
			return &FieldError{field.name, "it is required"}
		}
	}
	if c.Want != "allow" && c.Want != "deny" {
		return &FieldError{"want", fmt.Sprintf("%q is neither allow nor deny", c.Want)}
	}
	if c.Labels != nil {
		if e := checkLabels(*c.Labels, (c.Action == Decode || c.Action == Download) && c.Want == "allow"); e != nil {
			return e
		}
	}
	if c.At != "" {
		at, err := time.Parse(time.RFC3339, c.At)
		if err != nil {
			return &FieldError{"at", fmt.Sprintf("%q is not a time such as 2027-01-31T18:00:00Z", c.At)}
		}
		c.at = at
	}
	return nil
}

// Request is the question of the case. now stands in where the case has no time.
func (c Case) Request(now time.Time) Request {
	if !c.at.IsZero() {
		now = c.at
	}
	claims := c.Caller.Claims
	if claims == nil {
		claims = map[string][]string{} // a token without claims, which is not the same as claims that nobody passes on
	}
	return Request{
		Caller: principal.Caller{Issuer: c.Caller.Issuer, Subject: c.Caller.Subject, Email: c.Caller.Email, Groups: c.Caller.Groups, Claims: claims},
		Action: c.Action, Namespace: c.Namespace, Workflow: c.Workflow, Tenant: c.Tenant, Legacy: c.Legacy, BreakGlass: c.BreakGlass, Time: now,
	}
}

// Check returns nil when the rules decide as the case wants, and else what is wanted, what is decided, and why.
func (c Case) Check(r *Rules, now time.Time) []string {
	q := c.Request(now)
	got := r.Decide(q)
	wants, is := says(c.Want == "allow", c.Rule, ""), got.String()
	asWanted := got.Allowed == (c.Want == "allow") && (c.Rule == "" || c.Rule == got.Rule)
	if c.Labels != nil && got.Allowed {
		want := labelsOf(*c.Labels)
		asWanted = asWanted && want.equal(got.shown())
		wants, is = wants+", labels: "+want.String(), is+", labels: "+got.shown().String()
	}
	if asWanted {
		return nil
	}
	lines := []string{"- " + wants, "+ " + is}
	for _, line := range r.Explain(q) {
		lines = append(lines, "    "+line)
	}
	return lines
}

// String returns a line such as "allow by payments-oncall" or "deny: not-granted".
func (d Decision) String() string {
	reason := d.Reason
	if d.Allowed {
		reason = ""
	}
	return says(d.Allowed, d.Rule, reason)
}

func says(allowed bool, rule, reason string) string {
	text := "deny"
	if allowed {
		text = "allow"
	}
	if rule != "" {
		text += " by " + rule
	}
	return strings.TrimSuffix(text+": "+reason, ": ")
}
