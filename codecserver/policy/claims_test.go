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
