package policy_test

import (
	"fmt"

	"github.com/signet-temporal/signet/codecserver/policy"
	"github.com/signet-temporal/signet/principal"
)

func ExampleParse() {
	rules, err := policy.Parse([]byte(`
grants:
  - name: payments-oncall
    issuer: https://login.example.com
    groups: [payments-oncall]
    namespaces: [payments, "pay-*"]
    actions: [decode]
`))
	if err != nil {
		panic(err)
	}
	ann := principal.Caller{Issuer: "https://login.example.com", Subject: "u-17", Groups: []string{"payments-oncall"}}
	fmt.Printf("%+v\n", rules.Decide(ann, policy.Decode, "pay-cards"))
	fmt.Printf("%+v\n", rules.Decide(ann, policy.Encode, "pay-cards"))
	// Output:
	// {Allowed:true Rule:payments-oncall Reason:granted}
	// {Allowed:false Rule: Reason:not-granted}
}
