package policy_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/signet-temporal/signet/codecserver/policy"
	"github.com/signet-temporal/signet/principal"
)

const rules = `
deny:
  - {name: no-cards, namespaces: ["pci-*"], actions: [decode, download]}
  - {name: no-contractors, issuer: "https://login.example.com", claims: {employment: [contractor]}, namespaces: [hr]}
  - {name: no-payroll, workflows: ["payroll-*"], namespaces: [orders], actions: [decode]}
  - {name: no-evil-corp, tenants: [evil], actions: [decode]}
  - {name: second, tenants: [evil], actions: [decode]}
  - {name: no-evil-shop, tenants: [evil], namespaces: [shop]}
grants:
  - {name: all, issuer: "https://login.example.com", groups: [staff], namespaces: ["*"], actions: [decode], claims: {department: [finance, it], site: [berlin]}}
  - {name: strong, issuer: "https://login.example.com", groups: [staff], acr: [mfa, hardware], namespaces: [vault], actions: [decode]}
  - {name: some-workflows, issuer: "https://login.example.com", groups: [support], workflows: ["order-*", "a*b*c"], namespaces: [orders], actions: [decode, download]}
  - {name: acme-only, issuer: "https://login.example.com", groups: [acme], tenants: [acme], namespaces: [orders], actions: [decode]}
  - {name: for-a-while, issuer: "https://login.example.com", subjects: [auditor], namespaces: [orders], actions: [decode], until: 2027-01-31T18:00:00Z}
  - {name: by-claim, issuer: "https://login.example.com", claims: {role: [dba]}, namespaces: [orders, hr], actions: [encode]}
  - {name: emergency, issuer: "https://login.example.com", groups: [sre], namespaces: ["*"], actions: [decode], breakGlass: true}
  - {name: sre-orders, issuer: "https://login.example.com", groups: [sre], namespaces: [orders], actions: [decode]}
permissions:
  - {name: temporal, issuer: "https://login.example.com", decode: [decode], encode: [write, admin]}
  - {name: cloud, issuer: "https://login.tmprl.cloud/", claim: ns, decode: [read]}
`

func who(groups ...string) principal.Caller {
	return principal.Caller{Issuer: corp, Subject: "u", Groups: groups, Claims: map[string][]string{}}
}

func with(c principal.Caller, claims ...string) principal.Caller {
	c.Claims = map[string][]string{}
	for i := 0; i < len(claims); i += 2 {
		c.Claims[claims[i]] = append(c.Claims[claims[i]], claims[i+1])
	}
	return c
}

func unknown(c principal.Caller) principal.Caller { c.Claims = nil; return c }

func TestEveryFieldOfARuleDecides(t *testing.T) {
	r, err := policy.Parse([]byte(rules))
	if err != nil {
		t.Fatal(err)
	}
	berlin := with(who("staff"), "department", "it", "site", "berlin", "site", "paris")
	noon := time.Date(2027, 1, 1, 12, 0, 0, 0, time.UTC)
	auditor := principal.Caller{Issuer: corp, Subject: "auditor", Claims: map[string][]string{}}
	for _, c := range []struct {
		says string
		q    policy.Request
		want string
	}{
		{"every claim of the grant", policy.Request{Caller: berlin, Action: "decode", Namespace: "misc"}, "allow by all"},
		{"one claim missing", policy.Request{Caller: with(who("staff"), "department", "it"), Action: "decode", Namespace: "misc"}, "deny: not-granted"},
		{"another value", policy.Request{Caller: with(who("staff"), "department", "it", "site", "paris"), Action: "decode", Namespace: "misc"}, "deny: not-granted"},
		{"claims that are not known match no grant", policy.Request{Caller: unknown(berlin), Action: "decode", Namespace: "misc"}, "deny: not-granted"},
		{"the claims without the group", policy.Request{Caller: with(who(), "department", "it", "site", "berlin"), Action: "decode", Namespace: "misc"}, "deny: not-granted"},
		{"a strong login", policy.Request{Caller: with(who("staff"), "acr", "hardware"), Action: "decode", Namespace: "vault"}, "allow by strong"},
		{"a weak login", policy.Request{Caller: with(who("staff"), "acr", "pwd"), Action: "decode", Namespace: "vault"}, "deny: not-granted"},
		{"a claim as who", policy.Request{Caller: with(who(), "role", "dba"), Action: "encode", Namespace: "orders"}, "allow by by-claim"},
		{"a claim as who, of another issuer", policy.Request{Caller: with(principal.Caller{Issuer: cloud, Subject: "u"}, "role", "dba"), Action: "encode", Namespace: "orders"}, "deny: not-granted"},

		{"a denial before a grant", policy.Request{Caller: berlin, Action: "decode", Namespace: "pci-eu"}, "deny by no-cards: denied"},
		{"a denial of another action", policy.Request{Caller: with(who(), "role", "dba"), Action: "encode", Namespace: "pci-eu"}, "deny: not-granted"},
		{"the first denial decides", policy.Request{Caller: berlin, Action: "decode", Namespace: "misc", Tenant: "evil"}, "deny by no-evil-corp: denied"},
		{"a denial by claim", policy.Request{Caller: with(berlin, "employment", "contractor", "role", "dba"), Action: "encode", Namespace: "hr"}, "deny by no-contractors: denied"},
		{"a denial that needs claims that are not known", policy.Request{Caller: unknown(berlin), Action: "decode", Namespace: "hr"}, "deny by no-contractors: denied"},
		{"a denial by workflow", policy.Request{Caller: berlin, Action: "decode", Namespace: "orders", Workflow: "payroll-7"}, "deny by no-payroll: denied"},
		{"a denial that needs a workflow that is not known", policy.Request{Caller: berlin, Action: "decode", Namespace: "orders"}, "deny by no-payroll: denied"},
		{"a denial of another workflow", policy.Request{Caller: berlin, Action: "decode", Namespace: "orders", Workflow: "order-payroll-7"}, "allow by all"},
		{"a denial that needs a tenant that is not known yet", policy.Request{Caller: with(who(), "permissions", "shop:write"), Action: "encode", Namespace: "shop"}, "deny by no-evil-shop: denied"},
		{"a denial that needs a tenant, of a payload that says none", policy.Request{Caller: with(who(), "permissions", "shop:decode"), Action: "decode", Namespace: "shop", Legacy: true}, "deny by no-evil-corp: denied"},
		{"a payload of no tenant", policy.Request{Caller: with(who(), "permissions", "shop:decode"), Action: "decode", Namespace: "shop"}, "allow by temporal"},

		{"a workflow by pattern", policy.Request{Caller: who("support"), Action: "decode", Namespace: "orders", Workflow: "order-17/a"}, "allow by some-workflows"},
		{"another workflow", policy.Request{Caller: who("support"), Action: "decode", Namespace: "orders", Workflow: "xorder-17"}, "deny: not-granted"},
		{"stars in the middle", policy.Request{Caller: who("support"), Action: "download", Namespace: "orders", Workflow: "aXbYbZc"}, "allow by some-workflows"},
		{"stars in the middle, no end", policy.Request{Caller: who("support"), Action: "download", Namespace: "orders", Workflow: "aXbYcZ"}, "deny: not-granted"},
		{"a tenant", policy.Request{Caller: who("acme"), Action: "decode", Namespace: "orders", Workflow: "w", Tenant: "acme"}, "allow by acme-only"},
		{"no tenant", policy.Request{Caller: who("acme"), Action: "decode", Namespace: "orders", Workflow: "w"}, "deny: not-granted"},

		{"before the end", policy.Request{Caller: auditor, Action: "decode", Namespace: "orders", Workflow: "w", Time: noon}, "allow by for-a-while"},
		{"at the end", policy.Request{Caller: auditor, Action: "decode", Namespace: "orders", Workflow: "w", Time: time.Date(2027, 1, 31, 18, 0, 0, 0, time.UTC)}, "deny: not-granted"},
		{"no clock, no grant that ends", policy.Request{Caller: auditor, Action: "decode", Namespace: "orders", Workflow: "w"}, "deny: not-granted"},

		{"break glass without a reason", policy.Request{Caller: who("sre"), Action: "decode", Namespace: "hr", Workflow: "w"}, "deny by emergency: break-glass-needed"},
		{"break glass with a reason", policy.Request{Caller: who("sre"), Action: "decode", Namespace: "hr", Workflow: "w", BreakGlass: "INC-4711"}, "allow by emergency"},
		{"break glass that is not needed", policy.Request{Caller: who("sre"), Action: "decode", Namespace: "orders", Workflow: "w", BreakGlass: "INC-4711"}, "allow by sre-orders"},
		{"break glass against a denial", policy.Request{Caller: who("sre"), Action: "decode", Namespace: "pci-eu", BreakGlass: "INC-4711"}, "deny by no-cards: denied"},
		{"a reason without a grant", policy.Request{Caller: who("staff"), Action: "decode", Namespace: "hr", BreakGlass: "INC-4711"}, "deny: not-granted"},

		{"Temporal's claim", policy.Request{Caller: with(who(), "permissions", "hr:read", "permissions", "misc:decode"), Action: "decode", Namespace: "misc"}, "allow by temporal"},
		{"Temporal's role alone", policy.Request{Caller: with(who(), "permissions", "misc:read", "permissions", "misc:admin"), Action: "decode", Namespace: "misc"}, "deny: not-granted"},
		{"Temporal's role for another namespace", policy.Request{Caller: with(who(), "permissions", "misc:decode"), Action: "decode", Namespace: "misc2"}, "deny: not-granted"},
		{"Temporal's role for the system", policy.Request{Caller: with(who(), "permissions", "temporal-system:decode"), Action: "decode", Namespace: "misc"}, "deny: not-granted"},
		{"a role that was named", policy.Request{Caller: with(who(), "permissions", "misc:admin"), Action: "encode", Namespace: "misc"}, "allow by temporal"},
		{"the claim of another issuer", policy.Request{Caller: with(principal.Caller{Issuer: cloud, Subject: "u"}, "permissions", "misc:decode"), Action: "decode", Namespace: "misc"}, "deny: not-granted"},
		{"another name of the claim", policy.Request{Caller: with(principal.Caller{Issuer: cloud, Subject: "u"}, "ns", "misc:read"), Action: "decode", Namespace: "misc"}, "allow by cloud"},
		{"a denial before Temporal's claim", policy.Request{Caller: with(who(), "permissions", "pci-eu:decode"), Action: "decode", Namespace: "pci-eu"}, "deny by no-cards: denied"},
	} {
		t.Run(c.says, func(t *testing.T) {
			if got := r.Decide(c.q); got.String() != c.want || got.BreakGlass != (got.Rule == "emergency" && got.Allowed) {
				t.Errorf("Decide = %+v, want %s\n%s", got, c.want, strings.Join(r.Explain(c.q), "\n"))
			}
		})
	}
}

func TestAnExplanationLeadsToTheRuleThatDecides(t *testing.T) {
	r, err := policy.Parse([]byte(rules))
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Join(r.Explain(policy.Request{Caller: who("sre"), Action: "decode", Namespace: "hr", Workflow: "w"}), "\n")
	want := `deny no-cards: namespaces: hr is none of [pci-*]
deny no-contractors: claims: employment is [], and has to be one of [contractor]
deny no-payroll: namespaces: hr is none of [orders]
deny no-evil-corp: tenants: none is none of [evil]
deny second: tenants: none is none of [evil]
deny no-evil-shop: namespaces: hr is none of [shop]
grant all: groups: the caller is in [sre], and in none of [staff]
grant strong: namespaces: hr is none of [vault]
grant some-workflows: namespaces: hr is none of [orders]
grant acme-only: namespaces: hr is none of [orders]
grant for-a-while: namespaces: hr is none of [orders]
grant by-claim: actions: decode is none of [encode]
grant sre-orders: namespaces: hr is none of [orders]
permissions temporal: no entry of claim permissions allows it
permissions cloud: no entry of claim ns allows it
break-glass grant emergency: matches
it counts only with a reason`
	if got != want {
		t.Errorf("Explain:\n%s\nwant\n%s", got, want)
	}
}

// A decision is made for every payload of a page.
func TestADecisionAllocatesNothing(t *testing.T) {
	r, err := policy.Parse([]byte(rules))
	if err != nil {
		t.Fatal(err)
	}
	q := policy.Request{Caller: with(who("sre"), "permissions", "x:read"), Action: "decode", Namespace: "hr", Workflow: "w", BreakGlass: "INC-4711"}
	if n := testing.AllocsPerRun(100, func() { r.Decide(q) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestTheExamplesInTheDocumentationLoad(t *testing.T) {
	source, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for line := range strings.Lines(string(source)) {
		if code, ok := strings.CutPrefix(line, "//\t"); ok {
			text.WriteString(code)
		}
	}
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "codec-server.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, inPage, _ := strings.Cut(string(page), "```yaml\n")
	inPage, _, _ = strings.Cut(inPage, "```")
	for where, example := range map[string]string{"doc.go": text.String(), "docs/codec-server.md": inPage} {
		r, err := policy.Parse([]byte(example))
		if err != nil {
			t.Fatalf("%s: %v\n%s", where, err, example)
		}
		if len(r.Issuers()) != 1 || r.Decide(policy.Request{Caller: who("sre"), Action: "decode", Namespace: "x", BreakGlass: "INC-4711"}).Rule != "emergency" {
			t.Errorf("%s: %v", where, r.Issuers())
		}
	}
}

// TestWhatIsNotKnownMatchesNoPattern: * stands for any characters, and not for a workflow of which nothing is known.
func TestWhatIsNotKnownMatchesNoPattern(t *testing.T) {
	grant := policy.Grant{Name: "a", Issuer: corp, Subjects: []string{"u"}, Namespaces: []string{"*"}, Workflows: []string{"*"}, Actions: []policy.Action{policy.Decode}}
	rules, err := policy.New(policy.Document{Grants: &[]policy.Grant{grant}, Permissions: []policy.Permissions{{Name: "t", Issuer: corp, Decode: []string{"decode"}}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		workflow, namespace, entry string
		want                       bool
	}{
		{"w", "payments", "", true},
		{"", "payments", "", false},
		{"w", "", "", false},
		{"", "payments", "payments:decode", true},
		{"", "payments", "Payments:decode", false},
		{"", "payments", "payments:Decode", false},
		{"", "payments", "payments", false},
	} {
		caller := principal.Caller{Issuer: corp, Subject: "u", Claims: map[string][]string{"permissions": {c.entry}}}
		if d := rules.Decide(policy.Request{Caller: caller, Action: policy.Decode, Namespace: c.namespace, Workflow: c.workflow}); d.Allowed != c.want {
			t.Errorf("%+v: %+v", c, d)
		}
	}
}
