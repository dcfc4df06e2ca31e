package codecserver_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/signet-temporal/signet/codecserver"
	"github.com/signet-temporal/signet/codecserver/policy"
)

func withPolicy(t *testing.T, text string) func(*codecserver.Config) {
	t.Helper()
	rules, err := policy.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return func(c *codecserver.Config) { c.Policy = rules }
}

const emergency = `
deny:
  - {name: no-payroll, workflows: ["payroll-*"]}
grants:
  - {name: orders, issuer: "https://idp", groups: [oncall], namespaces: [orders], actions: [decode]}
  - {name: emergency, issuer: "https://idp", groups: [oncall], namespaces: [payments], actions: [decode], breakGlass: true}
`

func TestBreakGlassNeedsAReasonAndShouts(t *testing.T) {
	w := newWorld(t, withPolicy(t, emergency))
	const why = "INC-4711 order stuck, customer waits"
	payments, orders := w.sealed("payments"), w.sealed("orders-v1")

	w.send(fromMachine("ann", "decode", body(t, payments))).want(http.StatusForbidden)
	w.wantAudit("deny break-glass-needed emergency (payments/order-17)")
	e := explained(t, w.send(fromUI("ann", "decode", body(t, payments))).payloads(1)[0], "break-glass-needed")
	if !strings.HasPrefix(e.Message, "Use the temporal CLI with --codec-header 'Signet-Break-Glass=<why>'") {
		t.Errorf("the explanation does not say how: %q", e.Message)
	}
	w.audited()
	w.log.Reset()

	out := w.send(fromMachine("ann", "decode", body(t, payments, orders), "Signet-Break-Glass", why)).payloads(2)
	if !strings.Contains(string(out[0].Data), secret) || !strings.Contains(string(out[1].Data), secret) {
		t.Errorf("with a reason: %v", out)
	}
	recs := w.wantAudit("allow - emergency payments/order-17", "allow - orders orders/order-17")
	if recs[0].BreakGlass != why || recs[1].BreakGlass != "" {
		t.Errorf("reasons on record %q and %q, want it where it was needed alone", recs[0].BreakGlass, recs[1].BreakGlass)
	}
	if log := w.log.String(); !strings.Contains(log, `"level":"WARN","msg":"break glass"`) || !strings.Contains(log, `"payloads":1,"rule":"emergency"`) || strings.Contains(log, why) {
		t.Errorf("log %s", log)
	}

	// A denial stands, and a payload without a workflow may be one of those it is about.
	w.send(fromMachine("ann", "decode", body(t, w.sealedFor("payments", "payroll-7")), "Signet-Break-Glass", why)).want(http.StatusForbidden)
	w.wantAudit("deny denied no-payroll (payments/payroll-7)")
	explained(t, w.send(fromUI("ann", "decode", body(t, w.sealedFor("payments", "payroll-7")))).payloads(1)[0], "denied")
	w.audited()
	// A reason helps nobody without a grant.
	w.send(fromMachine("bob", "decode", body(t, payments), "Signet-Break-Glass", why)).want(http.StatusForbidden)
	w.wantAudit("deny not-granted - (payments/order-17)")
}

func TestABreakGlassReasonIsAReason(t *testing.T) {
	w := newWorld(t, withPolicy(t, emergency))
	for _, reason := range []string{"x", "         x         ", "INC-4711 \x1b[31mred", "INC-4711 \u202etxet", strings.Repeat("x", 301), "INC-4711 \xff\xfe\xfd\xfc"} {
		w.send(fromMachine("ann", "decode", body(t, w.sealed("payments")), "Signet-Break-Glass", reason)).want(http.StatusBadRequest)
	}
	twice := httptestRequest(t, fromMachine("ann", "decode", body(t, w.sealed("payments"))))
	twice.Header["Signet-Break-Glass"] = []string{"INC-4711 one reason", "INC-4712 another"}
	w.do(twice).want(http.StatusBadRequest)
	if w.opens != 0 {
		t.Errorf("%d payloads were opened", w.opens)
	}
}

// Pages get no say: the preflight does not allow the header.
func TestABrowserCannotSendABreakGlassReason(t *testing.T) {
	w := newWorld(t)
	r := w.send(ask{http.MethodOptions, "/decode", "", map[string]string{"Origin": ui, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type,signet-break-glass"}})
	if allowed := r.Header.Get("Access-Control-Allow-Headers"); allowed == "" || strings.Contains(strings.ToLower(allowed), "break") {
		t.Errorf("Access-Control-Allow-Headers: %s", allowed)
	}
}

func TestTheTenantIsThatOfTheKeyset(t *testing.T) {
	w := newWorld(t, withPolicy(t, `
grants: [{name: acme, issuer: "https://idp", groups: [oncall], namespaces: [payments], tenants: [acme], actions: [decode]}]
`))
	p := w.sealed("payments")
	w.send(fromMachine("ann", "decode", body(t, p))).want(http.StatusForbidden)
	w.wantAudit("deny not-granted - (payments/order-17)")
	// A label that names the tenant does not help: it is sealed with the payload.
	p.Metadata["encryption-key-id"] = []byte("tenant/acme" + strings.TrimPrefix(string(p.Metadata["encryption-key-id"]), "ns/payments"))
	w.send(fromMachine("ann", "decode", body(t, p))).want(http.StatusUnprocessableEntity)
	w.wantAudit("unreadable not-authentic acme (payments/order-17)")
}
