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
	fmt.Println(rules.Decide(policy.Request{Caller: ann, Action: policy.Decode, Namespace: "pay-cards"}))
	fmt.Println(rules.Decide(policy.Request{Caller: ann, Action: policy.Encode, Namespace: "pay-cards"}))
	// Output:
	// allow by payments-oncall
	// deny: not-granted
}
