package codecserver_test

import (
	"net/http"
	"testing"

	"github.com/signet-temporal/signet/codecserver"
	"github.com/signet-temporal/signet/codecserver/policy"
	"github.com/signet-temporal/signet/converter"
)

// TestADenialFindsTheTenantUnderAFormerNameToo: a namespace whose tenants' keysets were named anew, and which still opens
// one under its old name. Its tenant is the same.
func TestADenialFindsTheTenantUnderAFormerNameToo(t *testing.T) {
	const under = "ns/payments/tenants/"
	rules, err := policy.Parse([]byte(`
deny: [{name: acme-stays-closed, tenants: [acme]}]
grants: [{name: oncall, issuer: "https://idp", groups: [oncall], namespaces: [payments], actions: [decode]}]
`))
	if err != nil {
		t.Fatal(err)
	}
	ring := newKeyring(t, "ns/payments", "tenant/acme", under+"acme", "tenant/other")
	w := newWorld(t, func(c *codecserver.Config) {
		codec, err := converter.NewCodec(ring, converter.CodecOptions{Keyset: "ns/payments", Scope: "payments", AcceptKeysets: []string{"tenant/acme", "tenant/other"}, Tenants: converter.Tenants{Under: under, OpenOnly: true}})
		if err != nil {
			t.Fatal(err)
		}
		c.Policy, c.Namespaces[0].Codec, c.Namespaces[0].TenantsUnder = rules, codec, under
	})
	for keyset, status := range map[string]int{"tenant/acme": http.StatusForbidden, under + "acme": http.StatusForbidden, "tenant/other": http.StatusOK} {
		codec, err := converter.NewCodec(ring, converter.CodecOptions{Keyset: keyset, Scope: "payments"})
		if err != nil {
			t.Fatal(err)
		}
		w.codecs["payments"] = codec
		got := w.send(fromMachine("ann", "decode", body(t, w.sealed("payments"))))
		if got.StatusCode != status {
			t.Errorf("%s: status %d, want %d", keyset, got.StatusCode, status)
		}
	}
}
