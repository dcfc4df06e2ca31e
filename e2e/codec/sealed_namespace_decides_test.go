package codec_test

import (
	"net/http"
	"strings"
	"testing"

	commonpb "go.temporal.io/api/common/v1"
	"google.golang.org/protobuf/proto"

	"github.com/signet-temporal/signet/e2e/stack"
)

// TestTheSealedNamespaceDecides: bob may see orders and not payments, whatever his request claims, and the record says
// who, which namespace, which workflow and by which rule.
func TestTheSealedNamespaceDecides(t *testing.T) {
	s := startStack(t)
	server := s.Server(t, stack.ServerOptions{Origins: []string{origin}})
	strict := s.Server(t, stack.ServerOptions{Origins: []string{origin}, Mode: "strict"})
	payments, orders := sealed(t, s, "payments", "order-4711", "4711 euros"), sealed(t, s, "orders", "parcel-1", "one parcel")
	alice, bob := s.Token(t, "alice"), s.Token(t, "bob")

	allowed := server.Decode(t, alice, "payments", payments)
	if allowed.Status != http.StatusOK {
		t.Fatalf("alice in payments: %d %s", allowed.Status, allowed.Body)
	}
	shows(t, allowed.Payloads[0], "4711 euros")
	key := string(payments.GetMetadata()["encryption-key-id"])
	r := only(t, server, allowed)
	if r.Decision != "allow" || r.Rule != "payments-oncall" || r.Issuer != s.OIDC.Issuer || r.Subject != "u-alice" || r.Email != "alice@example.com" ||
		r.Namespace != "payments" || r.Workflow != "order-4711" || r.Key != key || r.Claimed != nil || r.Payload != 1 || r.Payloads != 1 {
		t.Errorf("the record is %+v", r)
	}

	// For another namespace: an explanation for people, 403 for machines and in strict mode.
	for _, namespace := range []string{"payments", ""} {
		person := server.Codec(t, stack.CodecRequest{Token: bob, Namespace: namespace, Origin: origin, Payloads: []*commonpb.Payload{payments, orders}})
		if namespace == "" {
			shows(t, person.Payloads[1], "one parcel") // one page may show both
		}
		said, ok := stack.ExplanationIn(person.Payloads[0])
		if !ok || said.Reason != "not-granted" || said.Namespace != "payments" || said.Caller != "bob@example.com" || !strings.Contains(said.Message, "namespace payments:") {
			t.Errorf("bob sees %s", person.Payloads[0].GetData())
		}
		denied(t, server.AuditOf(t, person.RequestID)[0], "not-granted", "u-bob", "order-4711")
	}
	machine := server.Decode(t, bob, "payments", payments)
	refused(t, machine, http.StatusForbidden, "denied")
	denied(t, only(t, server, machine), "not-granted", "u-bob", "order-4711")
	refused(t, strict.Codec(t, stack.CodecRequest{Token: bob, Namespace: "payments", Origin: origin, Payloads: []*commonpb.Payload{payments}}), http.StatusForbidden, "denied")

	// The header says orders, the payload was sealed for payments.
	lying := server.Decode(t, bob, "orders", payments)
	refused(t, lying, http.StatusForbidden, "denied")
	denied(t, only(t, server, lying), "namespace-mismatch", "u-bob", "order-4711")
	// The payload says orders, and is payments' ciphertext: he may try, it does not open.
	forged := proto.Clone(payments).(*commonpb.Payload)
	forged.Metadata["encryption-context"] = []byte(`{"v":1,"ns":"orders","wf":"order-4711"}`)
	trying := server.Decode(t, bob, "orders", forged)
	refused(t, trying, http.StatusUnprocessableEntity, "unreadable")
	if r := only(t, server, trying); r.Decision != "unreadable" || r.Reason != "not-authentic" || r.Namespace != "" || r.Claimed == nil || r.Claimed.Namespace != "orders" {
		t.Errorf("the record of a forgery is %+v", r)
	}
	// All or nothing for machines: what he may see stays closed as well, and the record says so.
	both := server.Decode(t, bob, "", orders, payments)
	refused(t, both, http.StatusForbidden, "denied")
	if records := server.AuditOf(t, both.RequestID); len(records) != 2 || records[0].Decision == "allow" || records[1].Decision != "deny" {
		t.Errorf("the records of a refused request are %+v", records)
	}
	for _, text := range []string{"4711 euros", "one parcel", alice, bob} {
		if strings.Contains(server.Log(), text) {
			t.Errorf("the log holds %.20q", text)
		}
	}
}

func only(t *testing.T, server *stack.Server, a stack.CodecAnswer) stack.AuditRecord {
	t.Helper()
	records := server.AuditOf(t, a.RequestID)
	if len(records) != 1 {
		t.Fatalf("the audit file has %d records of the request", len(records))
	}
	return records[0]
}

func denied(t *testing.T, r stack.AuditRecord, reason, subject, workflow string) {
	t.Helper()
	if r.Decision != "deny" || r.Reason != reason || r.Subject != subject || r.Rule != "" || r.Namespace != "" || r.Claimed == nil ||
		r.Claimed.Namespace != "payments" || r.Claimed.Workflow != workflow {
		t.Errorf("the record is %+v, claimed %+v, want a denial of %s for %s", r, r.Claimed, subject, reason)
	}
}

// TestOnlyWhoMaySealSeals: encoding is a right of its own, and an explanation can never be sealed as data.
func TestOnlyWhoMaySealSeals(t *testing.T) {
	s := startStack(t)
	server := s.Server(t, stack.ServerOptions{Origins: []string{origin}})
	encode := func(token, namespace string, p *commonpb.Payload) stack.CodecAnswer {
		return server.Codec(t, stack.CodecRequest{Action: "/some/path/encode", Token: token, Namespace: namespace, Payloads: []*commonpb.Payload{p}})
	}
	machine := s.MachineToken(t)
	out := encode(machine, "payments", plain("from CI"))
	if out.Status != http.StatusOK || string(out.Payloads[0].GetMetadata()["encoding"]) != "binary/encrypted" {
		t.Fatalf("the CI client in payments: %d %s", out.Status, out.Body)
	}
	if r := only(t, server, out); r.Action != "encode" || r.Rule != "ci-encodes" || r.Namespace != "payments" {
		t.Errorf("the record is %+v", r)
	}
	again := encode(machine, "payments", out.Payloads[0])
	if again.Status != http.StatusOK || !proto.Equal(again.Payloads[0], out.Payloads[0]) {
		t.Errorf("what is sealed is sealed again: %s", again.Body)
	}
	refused(t, server.Decode(t, machine, "payments", out.Payloads...), http.StatusForbidden, "denied")
	refused(t, encode(machine, "orders", plain("x")), http.StatusForbidden, "denied")
	refused(t, encode(s.Token(t, "alice"), "payments", plain("x")), http.StatusForbidden, "denied")

	explained := server.Codec(t, stack.CodecRequest{Token: s.Token(t, "bob"), Origin: origin, Payloads: out.Payloads})
	if _, ok := stack.ExplanationIn(explained.Payloads[0]); !ok {
		t.Fatalf("bob sees %s", explained.Body)
	}
	if back := encode(machine, "payments", explained.Payloads[0]); back.Status/100 != 4 {
		t.Errorf("an explanation was sealed: %d %s", back.Status, back.Body)
	}
}
