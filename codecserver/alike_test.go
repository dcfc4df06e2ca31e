package codecserver_test

import (
	"testing"

	commonpb "go.temporal.io/api/common/v1"

	"github.com/signet-temporal/signet/codecserver"
	"github.com/signet-temporal/signet/codecserver/policy"
)

// noting is a policy that notes what it was asked.
type noting struct {
	codecserver.Policy
	workflows []string
}

func (a *noting) Decide(q policy.Request) policy.Decision {
	a.workflows = append(a.workflows, q.Namespace+"/"+q.Workflow)
	return a.Policy.Decide(q)
}

// TestPayloadsThatAreAlikeAreJudgedOnceAndOthersAlone: what a payload says about itself, and no other's word, decides.
func TestPayloadsThatAreAlikeAreJudgedOnceAndOthersAlone(t *testing.T) {
	rules, err := policy.Parse([]byte(`
deny:
  - {name: not-18, workflows: ["order-18"], actions: [decode]}
grants:
  - {name: payments-oncall, issuer: "https://idp", groups: [oncall], namespaces: [payments], actions: [decode]}
`))
	if err != nil {
		t.Fatal(err)
	}
	a := &noting{Policy: rules}
	w := newWorld(t, func(c *codecserver.Config) { c.Policy = a })
	p17, p18, orders := w.sealedFor("payments", "order-17"), w.sealedFor("payments", "order-18"), w.sealed("orders-v1")
	forged := &commonpb.Payload{Metadata: p17.Metadata, Data: append([]byte{1, 0, 0, 0, 0}, p17.Data[5:]...)}
	torn := &commonpb.Payload{Metadata: p17.Metadata, Data: append([]byte(nil), p17.Data...)}
	torn.Data[len(torn.Data)-1] ^= 1

	out := w.send(fromUI("ann", "decode", body(t, p17, p17, p18, p18, p17, forged, plain("1"), torn, p17, orders, p17), "X-Namespace", "")).payloads(11)
	for i, why := range map[int]string{2: "denied", 3: "denied", 5: "malformed", 7: "not-authentic", 9: "not-granted"} {
		explained(t, out[i], why)
	}
	w.wantAudit("allow - payments-oncall payments/order-17", "allow - payments-oncall payments/order-17",
		"deny denied not-18 (payments/order-18)", "deny denied not-18 (payments/order-18)", "allow - payments-oncall payments/order-17",
		"unreadable malformed - /", "unreadable not-authentic payments-oncall (payments/order-17)", "allow - payments-oncall payments/order-17",
		"deny not-granted - (orders/order-17)", "allow - payments-oncall payments/order-17")
	want := []string{"payments/order-17", "payments/order-18", "payments/order-17", "orders/order-17", "payments/order-17"}
	if len(a.workflows) != len(want) {
		t.Fatalf("the policy was asked about %v, want %v", a.workflows, want)
	}
	for i := range want {
		if a.workflows[i] != want[i] {
			t.Errorf("the policy was asked about %v, want %v", a.workflows, want)
		}
	}
}
