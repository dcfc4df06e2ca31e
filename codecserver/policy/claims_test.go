package policy_test

import (
	"testing"

	"github.com/signet-temporal/signet/codecserver/policy"
	"github.com/signet-temporal/signet/principal"
)

// TestAClaimThatCannotBeComparedIsDeniedAndNeverGranted: an object, say, which verify passes on without a value.
func TestAClaimThatCannotBeComparedIsDeniedAndNeverGranted(t *testing.T) {
	const issuer = "https://idp.example"
	all := policy.Grant{Name: "all", Issuer: issuer, Subjects: []string{"ann"}, Namespaces: []string{"*"}, Actions: []policy.Action{policy.Decode}}
	asks := all
	asks.Name, asks.Subjects, asks.Claims = "asks", nil, map[string][]string{"unit": {"x"}}
	no := policy.Denial{Name: "no", Claims: map[string][]string{"unit": {"x"}}}
	for name, c := range map[string]struct {
		document policy.Document
		unit     map[string][]string
		want     bool
	}{
		"a grant, with it":               {policy.Document{Grants: &[]policy.Grant{asks}}, map[string][]string{"unit": {"x"}}, true},
		"a grant, not to be compared":    {policy.Document{Grants: &[]policy.Grant{asks}}, map[string][]string{"unit": nil}, false},
		"a denial, with another":         {policy.Document{Grants: &[]policy.Grant{all}, Deny: []policy.Denial{no}}, map[string][]string{"unit": {"y"}}, true},
		"a denial, without it":           {policy.Document{Grants: &[]policy.Grant{all}, Deny: []policy.Denial{no}}, map[string][]string{"other": {"y"}}, true},
		"a denial, not to be compared":   {policy.Document{Grants: &[]policy.Grant{all}, Deny: []policy.Denial{no}}, map[string][]string{"unit": nil}, false},
		"a denial, nothing is passed on": {policy.Document{Grants: &[]policy.Grant{all}, Deny: []policy.Denial{no}}, nil, false},
	} {
		rules, err := policy.New(c.document)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		d := rules.Decide(policy.Request{Caller: principal.Caller{Issuer: issuer, Subject: "ann", Claims: c.unit}, Action: policy.Decode, Namespace: "payments", Workflow: "w"})
		if d.Allowed != c.want {
			t.Errorf("%s: %+v, want %v", name, d, c.want)
		}
	}
}

// TestGroupsThatStandElsewhereAreDenied: an issuer leaves the groups of who has too many out of the token, and says so
// (OpenID Connect Core 5.6.2: "_claim_names"; Entra ID: "hasgroups"). Whoever has themselves put into hundreds of groups
// must not walk past the denial of one.
func TestGroupsThatStandElsewhereAreDenied(t *testing.T) {
	const issuer = "https://idp.example"
	grant := policy.Grant{Name: "all", Issuer: issuer, Subjects: []string{"ann"}, Namespaces: []string{"*"}, Actions: []policy.Action{policy.Decode}}
	byGroup := grant
	byGroup.Subjects, byGroup.Groups = nil, []string{"oncall"}
	contractors := policy.Denial{Name: "contractors", Groups: []string{"contractors"}}
	byClaim := policy.Denial{Name: "by-claim", Claims: map[string][]string{"wids": {"x"}}}
	for name, c := range map[string]struct {
		grant  policy.Grant
		deny   policy.Denial
		groups []string
		claims map[string][]string
		want   bool
	}{
		"no groups":                                {grant, contractors, nil, map[string][]string{"sub": {"ann"}}, true},
		"another group":                            {grant, contractors, []string{"staff"}, map[string][]string{"groups": {"staff"}}, true},
		"the group":                                {grant, contractors, []string{"contractors"}, map[string][]string{"groups": {"contractors"}}, false},
		"too many groups":                          {grant, contractors, nil, map[string][]string{"_claim_names": nil, "_claim_sources": nil}, false},
		"too many groups for a token in a URL":     {grant, contractors, nil, map[string][]string{"hasgroups": {"true"}}, false},
		"not too many":                             {grant, contractors, nil, map[string][]string{"hasgroups": {"false"}}, true},
		"too many, and nothing denies by group":    {grant, policy.Denial{Name: "x", Subjects: []string{"bob"}}, nil, map[string][]string{"_claim_names": nil}, true},
		"too many, and a grant asks for one":       {byGroup, policy.Denial{Name: "x", Subjects: []string{"bob"}}, nil, map[string][]string{"_claim_names": nil}, false},
		"a claim that is denied":                   {grant, byClaim, nil, map[string][]string{"wids": {"x"}}, false},
		"a claim that stands elsewhere, perhaps":   {grant, byClaim, nil, map[string][]string{"_claim_names": nil}, false},
		"a claim that is there, others elsewhere":  {grant, byClaim, nil, map[string][]string{"_claim_names": nil, "wids": {"y"}}, true},
		"groups that came with the ID token still": {grant, contractors, []string{"staff"}, map[string][]string{"_claim_names": nil}, false},
	} {
		rules, err := policy.New(policy.Document{Grants: &[]policy.Grant{c.grant}, Deny: []policy.Denial{c.deny}})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		d := rules.Decide(policy.Request{Caller: principal.Caller{Issuer: issuer, Subject: "ann", Groups: c.groups, Claims: c.claims}, Action: policy.Decode, Namespace: "payments"})
		if d.Allowed != c.want {
			t.Errorf("%s: %+v, want %v", name, d, c.want)
		}
	}
}
