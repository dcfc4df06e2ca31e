package policy_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/signet-temporal/signet/codecserver/policy"
	"github.com/signet-temporal/signet/principal"
)

const corp, cloud = "https://login.example.com", "https://login.tmprl.cloud/"

const file = `
grants:
  - name: payments-oncall
    issuer: https://login.example.com
    groups: [oncall, payments]
    namespaces: [payments, "pay-*-eu"]
    actions: [decode]
  - name: ann
    issuer: https://login.tmprl.cloud/
    emails: [ann@example.com]
    namespaces: ["*"]
    actions: [decode, encode]
  - name: robot
    issuer: https://login.example.com
    subjects: [robot-1]
    namespaces: [orders]
    actions: [encode]
  - name: playground
    issuer: https://login.example.com
    insecureAnyone: true
    namespaces: [playground]
    actions: [decode]
`

func TestOnlyWhatAGrantSaysIsAllowed(t *testing.T) {
	rules, err := policy.Parse([]byte(file))
	if err != nil {
		t.Fatal(err)
	}
	oncall := principal.Caller{Issuer: corp, Subject: "u1", Groups: []string{"staff", "oncall"}}
	ann := principal.Caller{Issuer: cloud, Subject: "u2", Email: "ann@example.com"}
	for _, c := range []struct {
		says      string
		caller    principal.Caller
		action    policy.Action
		namespace string
		rule      string // "" = denied
	}{
		{"a group of the grant", oncall, policy.Decode, "payments", "payments-oncall"},
		{"a namespace by pattern", oncall, policy.Decode, "pay-cards-eu", "payments-oncall"},
		{"the pattern must match to its end", oncall, policy.Decode, "pay-cards-europe", ""},
		{"the pattern must match from its start", oncall, policy.Decode, "xpay-cards-eu", ""},
		{"another action", oncall, policy.Encode, "payments", ""},
		{"another namespace", oncall, policy.Decode, "orders", ""},
		{"upper case is another namespace", oncall, policy.Decode, "Payments", ""},
		{"no namespace", oncall, policy.Decode, "", ""},
		{"an action nobody knows", oncall, "delete", "payments", ""},
		{"the same group of another issuer", principal.Caller{Issuer: cloud, Subject: "u1", Groups: []string{"oncall"}}, policy.Decode, "payments", ""},
		{"the group of no issuer", principal.Caller{Subject: "u1", Groups: []string{"oncall"}}, policy.Decode, "payments", ""},
		{"no subject", principal.Caller{Issuer: corp, Groups: []string{"oncall"}}, policy.Decode, "payments", ""},
		{"the group's name as subject", principal.Caller{Issuer: corp, Subject: "oncall"}, policy.Decode, "payments", ""},
		{"an e-mail address", ann, policy.Encode, "anything.at-all", "ann"},
		{"no e-mail address", principal.Caller{Issuer: cloud, Subject: "u2"}, policy.Decode, "payments", ""},
		{"another e-mail address", principal.Caller{Issuer: cloud, Subject: "u2", Email: "Ann@example.com"}, policy.Decode, "payments", ""},
		{"a subject", principal.Caller{Issuer: corp, Subject: "robot-1"}, policy.Encode, "orders", "robot"},
		{"anyone of the issuer", principal.Caller{Issuer: corp, Subject: "x"}, policy.Decode, "playground", "playground"},
		{"anyone of another issuer", principal.Caller{Issuer: "https://evil", Subject: "x"}, policy.Decode, "playground", ""},
		{"nobody", principal.Caller{}, policy.Decode, "playground", ""},
	} {
		t.Run(c.says, func(t *testing.T) {
			want := policy.Decision{Allowed: c.rule != "", Rule: c.rule, Reason: "not-granted"}
			if want.Allowed {
				want.Reason = "granted"
			}
			if got := rules.Decide(policy.Request{Caller: c.caller, Action: c.action, Namespace: c.namespace}); !reflect.DeepEqual(got, want) {
				t.Errorf("Decide(%+v, %s, %q) = %+v, want %+v", c.caller, c.action, c.namespace, got, want)
			}
		})
	}
}

func TestAPolicyNamesItsIssuers(t *testing.T) {
	rules, err := policy.Parse([]byte(file))
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(rules.Issuers(), " "); got != corp+" "+cloud {
		t.Errorf("Issuers() = %s, want each once, in order", got)
	}
}

func TestAPolicyWithoutGrantsDeniesEverything(t *testing.T) {
	rules, err := policy.Parse([]byte("grants: []\n"))
	if err != nil {
		t.Fatal(err)
	}
	if d := rules.Decide(policy.Request{Caller: principal.Caller{Issuer: corp, Subject: "u"}, Action: policy.Decode, Namespace: "payments"}); d.Allowed || d.Rule != "" {
		t.Errorf("Decide = %+v, want a denial without rule", d)
	}
}

func TestAnUnclearPolicyDoesNotLoadAndNamesFieldAndLine(t *testing.T) {
	grant := func(lines ...string) string { return "grants:\n  - " + strings.Join(lines, "\n    ") + "\n" }
	const name, issuer, who, where, may = "name: a", "issuer: https://i", "groups: [g]", "namespaces: [n]", "actions: [decode]"
	for _, c := range []struct{ says, file, want string }{
		{"empty file", "", "grants: the list"},
		{"only a comment", "# nothing yet\n", "grants: the list"},
		{"not YAML", "grants: [", "line 1: "},
		{"a list", "- a\n", "line 1: "},
		{"unknown member", "grants: []\nroles: []\n", `line 2: unknown field "roles"`},
		{"unknown field", grant(name, issuer, who, where, may, "redact: [x]"), `line 7: unknown field "redact"`},
		{"member given twice", grant(name, issuer, who, where, may, "actions: [encode]"), "line 7: "},
		{"wrong kind of value", grant(name, issuer, "groups: g", where, may), "line 4: "},
		{"no name", grant(issuer, who, where, may), "line 2: grants[0].name: "},
		{"no issuer", grant(name, who, where, may), "grants[0].issuer: "},
		{"nobody", grant(name, issuer, where, may), "grants[0]: the grant says nobody"},
		{"empty groups", grant(name, issuer, "groups: []", where, may), "line 4: grants[0].groups: it is empty"},
		{"groups that were emptied beside claims", grant(name, issuer, "groups: []", "claims: {department: [it]}", where, may), "line 4: grants[0].groups: it is empty"},
		{"workflows that were emptied", grant(name, issuer, who, where, may, "workflows: []"), "line 7: grants[0].workflows: it is empty"},
		{"tenants that were emptied", grant(name, issuer, who, where, may, "tenants: []"), "line 7: grants[0].tenants: it is empty"},
		{"acr that was emptied", grant(name, issuer, who, where, may, "acr: []"), "line 7: grants[0].acr: it is empty"},
		{"claims that were emptied", grant(name, issuer, who, where, may, "claims: {}"), "line 7: grants[0].claims: it is empty"},
		{"workflows behind a #", grant(name, issuer, who, where, may, "workflows:", "# - order-*"), `line 7: "workflows" has no value`},
		{"a denial whose subjects were emptied", "grants: []\ndeny: [{name: a, subjects: []}]\n", "deny[0].subjects: it is empty"},
		{"a denial whose namespaces were emptied", "grants: []\ndeny: [{name: a, namespaces: []}]\n", "deny[0].namespaces: it is empty"},
		{"a star as acr", grant(name, issuer, who, where, may, `acr: ["*"]`), "line 7: grants[0].acr: * is not a pattern"},
		{"a denial by a star as acr", "grants: []\ndeny: [{name: a, acr: [\"*\"]}]\n", "deny[0].acr: * is not a pattern"},
		{"an address as a claim", grant(name, issuer, "claims: {email: [ann@example.com]}", where, may), "line 4: grants[0].claims: an address counts only if it is verified"},
		{"two kinds of who", grant(name, issuer, who, "subjects: [s]", where, may), "grants[0]: the grant has more than one"},
		{"anyone and somebody", grant(name, issuer, who, "insecureAnyone: true", where, may), "grants[0]: the grant has more than one"},
		{"empty group", grant(name, issuer, `groups: [g, ""]`, where, may), "line 4: grants[0].groups[1]: "},
		{"a star as who", grant(name, issuer, `groups: ["*"]`, where, may), "line 4: grants[0].groups: "},
		{"no namespaces", grant(name, issuer, who, may), "grants[0].namespaces: "},
		{"empty namespace", grant(name, issuer, who, `namespaces: [""]`, may), "line 5: grants[0].namespaces[0]: "},
		{"a pattern we do not have", grant(name, issuer, who, `namespaces: ["[a-z]*"]`, may), "line 5: grants[0].namespaces[0]: "},
		{"no actions", grant(name, issuer, who, where), "grants[0].actions: "},
		{"unknown action", grant(name, issuer, who, where, "actions: [decode, peek]"), `line 6: grants[0].actions[1]: unknown action "peek"`},
		{"a label that is none", grant(name, issuer, who, where, may, `labels: [phi, "p h i"]`), `line 7: grants[0].labels[1]: "p h i" is no label`},
		{"every label and one", grant(name, issuer, who, where, may, `labels: ["*", phi]`), "line 7: grants[0].labels: \"*\" means every label"},
		{"labels without decoding", grant(name, issuer, who, where, "actions: [encode, search]", "labels: [phi]"), "line 7: grants[0].labels: labels are about what is decoded"},
		{"a denial of labels", "grants: []\ndeny: [{name: a, labels: [phi]}]\n", `unknown field "labels"`},
		{"permissions with labels that decode nothing", "grants: []\npermissions: [{name: t, issuer: i, encode: [write], labels: [phi]}]\n", "permissions[0].labels: "},
		{"same name twice", "grants:\n  - {name: a, issuer: i, groups: [g], namespaces: [n], actions: [decode]}\n  - {name: a, issuer: i, groups: [g], namespaces: [m], actions: [decode]}\n", "line 3: grants[1].name: "},
		{"an end that is no time", grant(name, issuer, who, where, may, "until: tomorrow"), `line 7: grants[0].until: "tomorrow" is not a time`},
		{"an empty workflow", grant(name, issuer, who, where, may, `workflows: [""]`), "line 7: grants[0].workflows[0]: "},
		{"a tenant as pattern", grant(name, issuer, who, where, may, `tenants: ["*"]`), "line 7: grants[0].tenants: "},
		{"a claim without values", grant(name, issuer, who, where, may, `claims: {department: []}`), "line 7: grants[0].claims: "},
		{"acr twice", grant(name, issuer, who, where, may, `acr: [mfa]`, `claims: {acr: [pwd]}`), "line 7: grants[0].acr: "},
		{"only acr says who", grant(name, issuer, "acr: [mfa]", where, may), "grants[0]: the grant says nobody"},
		{"a denial without grants", "deny: [{name: a}]\n", "grants: the list"},
		{"a denial without a name", "grants: []\ndeny: [{groups: [g]}]\n", "line 2: deny[0].name: "},
		{"a denial with an end", "grants: []\ndeny: [{name: a, until: 2027-01-01T00:00:00Z}]\n", `unknown field "until"`},
		{"a denial by e-mail", "grants: []\ndeny: [{name: a, emails: [x]}]\n", `unknown field "emails"`},
		{"a denial with a grant's name", grant(name, issuer, who, where, may) + "deny: [{name: a}]\n", `grants[0].name: "a" is the name of another rule`},
		{"a denial of everybody as star", "grants: []\ndeny: [{name: a, groups: [\"*\"]}]\n", "deny[0].groups: "},
		{"permissions of nobody", "grants: []\npermissions: [{name: t, decode: [decode]}]\n", "permissions[0].issuer: "},
		{"permissions for nothing", "grants: []\npermissions: [{name: t, issuer: i}]\n", "permissions[0]: name the roles"},
	} {
		t.Run(c.says, func(t *testing.T) {
			rules, err := policy.Parse([]byte(c.file))
			if err == nil || rules != nil {
				t.Fatalf("Parse = %v, %v; want an error and nil", rules, err)
			}
			if !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %q, want one line with %q", err, c.want)
			}
		})
	}
}

func TestRulesDoNotChangeWithTheCallersSlices(t *testing.T) {
	g := policy.Grant{Name: "a", Issuer: corp, Groups: []string{"g"}, Namespaces: []string{"n"}, Actions: []policy.Action{policy.Decode}}
	rules, err := policy.New(policy.Document{Grants: &[]policy.Grant{g}})
	if err != nil {
		t.Fatal(err)
	}
	g.Groups[0], g.Namespaces[0], g.Actions[0] = "other", "*", policy.Encode
	if d := rules.Decide(policy.Request{Caller: principal.Caller{Issuer: corp, Subject: "s", Groups: []string{"g"}}, Action: policy.Decode, Namespace: "n"}); !d.Allowed {
		t.Errorf("Decide = %+v after the caller changed its grant, want the grant as it was checked", d)
	}
}

func TestAFieldErrorCanBePlacedByTheCaller(t *testing.T) {
	_, err := policy.New(policy.Document{Grants: &[]policy.Grant{{Name: "a"}}})
	var field *policy.FieldError
	if !errors.As(err, &field) || field.Field != "grants[0].issuer" {
		t.Errorf("New = %v, want a FieldError of grants[0].issuer", err)
	}
}
