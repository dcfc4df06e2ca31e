package policy_test

import (
	"strings"
	"testing"
	"time"

	"github.com/signet-temporal/signet/codecserver/policy"
	"github.com/signet-temporal/signet/principal"
)

const labelled = `
deny:
  - {name: no-cards, namespaces: ["pci-*"]}
grants:
  - {name: staff, issuer: "https://login.example.com", groups: [staff], namespaces: ["*"], actions: [decode, search]}
  - {name: clerks, issuer: "https://login.example.com", groups: [clerk], namespaces: [intake], actions: [decode], labels: [pii, card, pii]}
  - {name: privacy, issuer: "https://login.example.com", subjects: [ann], namespaces: [intake], actions: [decode], labels: [phi], until: 2027-01-31T18:00:00Z}
  - {name: officer, issuer: "https://login.example.com", groups: [dpo], namespaces: ["*"], actions: [decode], labels: ["*"]}
  - {name: emergency, issuer: "https://login.example.com", groups: [sre], namespaces: [intake], actions: [decode], labels: [phi], breakGlass: true}
  - {name: pager, issuer: "https://login.example.com", groups: [sre], namespaces: [intake], actions: [decode], labels: [unknown], breakGlass: true}
permissions:
  - {name: temporal, issuer: "https://login.example.com", decode: [decode], labels: [salary]}
`

func TestLabelsAreThoseOfEveryGrantThatMatches(t *testing.T) {
	r, err := policy.Parse([]byte(labelled))
	if err != nil {
		t.Fatal(err)
	}
	ann := principal.Caller{Issuer: corp, Subject: "ann", Groups: []string{"staff", "clerk"}, Claims: map[string][]string{}}
	noon := time.Date(2027, 1, 1, 12, 0, 0, 0, time.UTC)
	const why = "INC-4711 why"
	for _, c := range []struct {
		says  string
		q     policy.Request
		rule  string
		shows string // and, behind a slash, what break-glass grants show beside it, and the first of them
	}{
		{"a grant without labels shows none", policy.Request{Caller: who("staff"), Namespace: "intake"}, "staff", "none"},
		{"the labels of a grant, each once", policy.Request{Caller: who("clerk"), Namespace: "intake"}, "clerks", "card, pii"},
		{"those of all that match", policy.Request{Caller: ann, Namespace: "intake", Time: noon}, "staff", "card, phi, pii"},
		{"not those of a grant that has ended", policy.Request{Caller: ann, Namespace: "intake", Time: noon.AddDate(1, 0, 0)}, "staff", "card, pii"},
		{"not those of another namespace", policy.Request{Caller: ann, Namespace: "orders", Time: noon}, "staff", "none"},
		{"every label", policy.Request{Caller: who("staff", "dpo"), Namespace: "orders"}, "staff", "all"},
		{"every label and some", policy.Request{Caller: who("clerk", "dpo"), Namespace: "intake"}, "clerks", "all"},
		{"nothing where a denial matches", policy.Request{Caller: who("dpo"), Namespace: "pci-eu"}, "no-cards", "none"},
		{"those of Temporal's claim", policy.Request{Caller: with(who("clerk"), "permissions", "intake:decode"), Namespace: "intake"}, "clerks", "card, pii, salary"},
		{"those of Temporal's claim alone", policy.Request{Caller: with(who(), "permissions", "orders:decode"), Namespace: "orders"}, "temporal", "salary"},
		{"no emergency without a reason", policy.Request{Caller: who("staff", "sre"), Namespace: "intake"}, "staff", "none"},
		{"an emergency alone", policy.Request{Caller: who("sre"), Namespace: "intake", BreakGlass: why}, "emergency", "phi, unknown"},
		{"an emergency adds to what is granted", policy.Request{Caller: who("clerk", "sre"), Namespace: "intake", BreakGlass: why}, "clerks", "card, pii / card, phi, pii, unknown by emergency"},
		{"an emergency that adds nothing", policy.Request{Caller: who("dpo", "sre"), Namespace: "intake", BreakGlass: why}, "officer", "all"},
		{"a search shows nothing", policy.Request{Caller: who("staff"), Namespace: "intake", Action: "search"}, "staff", "none"},
	} {
		t.Run(c.says, func(t *testing.T) {
			if c.q.Action == "" {
				c.q.Action = policy.Decode
			}
			d := r.Decide(c.q)
			got := d.Labels.String()
			if d.GlassRule != "" {
				got += " / " + d.GlassLabels.String() + " by " + d.GlassRule
			}
			if got != c.shows || d.Rule != c.rule {
				t.Errorf("%s shows %s, want %s shows %s", d, got, c.rule, c.shows)
			}
			// A decision must not change the rules: the next one is the same.
			_ = append(d.Labels.Names, "x")
			if again := r.Decide(c.q); again.Labels.String() != d.Labels.String() {
				t.Errorf("then it shows %s", again.Labels)
			}
		})
	}
}

func TestTheFirstGrantStillDecidesWhateverItsLabels(t *testing.T) {
	r, err := policy.Parse([]byte(strings.Replace(labelled, "labels: [phi], until", "labels: [phi], bulk: true, until", 1)))
	if err != nil {
		t.Fatal(err)
	}
	ann := principal.Caller{Issuer: corp, Subject: "ann", Groups: []string{"staff"}}
	d := r.Decide(policy.Request{Caller: ann, Action: "decode", Namespace: "intake", Time: time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)})
	if d.Rule != "staff" || d.Bulk || d.Labels.String() != "phi" {
		t.Errorf("%+v", d)
	}
}

func TestExplainNamesTheGrantsThatShowLabels(t *testing.T) {
	r, err := policy.Parse([]byte(labelled))
	if err != nil {
		t.Fatal(err)
	}
	explain := func(q policy.Request) string { q.Action = "decode"; return strings.Join(r.Explain(q), "\n") }
	for got, want := range map[string]string{
		explain(policy.Request{Caller: who("staff"), Namespace: "intake"}):        "grant staff: matches\nlabelled values are masked",
		explain(policy.Request{Caller: who("staff", "dpo"), Namespace: "intake"}): "grant staff: matches\ngrant officer: shows labels: all\nlabelled values are shown",
		explain(policy.Request{Caller: with(who("clerk", "sre"), "permissions", "intake:decode"), Namespace: "intake", BreakGlass: "INC-4711 why"}): "grant clerks: matches\n" +
			"grant clerks: shows labels: card, pii\npermissions temporal: shows labels: salary\nbreak-glass grant emergency: shows labels: phi\n" +
			"break-glass grant pager: shows labels: unknown\nlabelled values are masked, but for labels: card, phi, pii, salary, unknown",
	} {
		if !strings.HasSuffix(got, want) {
			t.Errorf("Explain:\n%s\nwant at its end\n%s", got, want)
		}
	}
	if got := explain(policy.Request{Caller: who("sre"), Namespace: "pci-eu"}); strings.Contains(got, "label") {
		t.Errorf("a denial speaks of labels:\n%s", got)
	}
}

func TestACaseChecksLabels(t *testing.T) {
	r, err := policy.Parse([]byte(labelled))
	if err != nil {
		t.Fatal(err)
	}
	cases, err := policy.ParseCases([]byte(`
cases:
  - {name: none, caller: {issuer: "https://login.example.com", subject: a, groups: [staff]}, action: decode, namespace: intake, want: allow, labels: []}
  - {name: two, caller: {issuer: "https://login.example.com", subject: a, groups: [clerk]}, action: decode, namespace: intake, want: allow, labels: [pii, card]}
  - {name: all, caller: {issuer: "https://login.example.com", subject: a, groups: [dpo]}, action: decode, namespace: intake, want: allow, labels: ["*"]}
  - {name: glass, caller: {issuer: "https://login.example.com", subject: a, groups: [clerk, sre]}, action: decode, namespace: intake, breakGlass: why, want: allow, labels: [card, phi, pii, unknown]}
  - {name: fewer, caller: {issuer: "https://login.example.com", subject: a, groups: [clerk]}, action: decode, namespace: intake, want: allow, labels: [pii]}
  - {name: more, caller: {issuer: "https://login.example.com", subject: a, groups: [dpo]}, action: decode, namespace: intake, want: allow, labels: [pii]}
  - {name: some, caller: {issuer: "https://login.example.com", subject: a, groups: [staff]}, action: decode, namespace: intake, want: allow, labels: [pii]}
`))
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range cases {
		diff := strings.Join(c.Check(r, time.Now()), "\n")
		if want := []string{"", "", "", "",
			"- allow, labels: pii\n+ allow by clerks, labels: card, pii\n",
			"- allow, labels: pii\n+ allow by officer, labels: all\n",
			"- allow, labels: pii\n+ allow by staff, labels: none\n"}[i]; !strings.HasPrefix(diff, want) || want == "" && diff != "" {
			t.Errorf("%s: %q, want %q", c.Name, diff, want)
		}
	}
	for _, wrong := range []string{"want: deny, labels: [pii]", "want: allow, labels: [\"p i\"]"} {
		if _, err := policy.ParseCases([]byte(`cases: [{name: a, caller: {issuer: i, subject: a}, action: decode, namespace: n, ` + wrong + `}]`)); err == nil || !strings.Contains(err.Error(), "cases[0].labels") {
			t.Errorf("%s: %v", wrong, err)
		}
	}
}
