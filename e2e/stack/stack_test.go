package stack_test

import (
	"strings"
	"testing"

	"github.com/signet-temporal/signet"
	"github.com/signet-temporal/signet/e2e/stack"
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/converter"
)

// TestAllPartsStartAndWorkTogether is the shortest way through everything: a sealed payload, a login, a decode.
func TestAllPartsStartAndWorkTogether(t *testing.T) {
	s := stack.Start(t, stack.Options{})
	if got := s.Signet(t, "keyset", "status"); !strings.Contains(got, "ns/payments") || !strings.Contains(got, "ns/orders") {
		t.Errorf("keyset status prints %q", got)
	}
	if _, err := s.Client(t, "payments", signet.Options{}).CheckHealth(t.Context(), nil); err != nil {
		t.Error(err)
	}
	server := s.Server(t, stack.ServerOptions{})
	plain, err := converter.GetDefaultDataConverter().ToPayload("hello")
	if err != nil {
		t.Fatal(err)
	}
	sealed := server.Codec(t, stack.CodecRequest{Action: "/encode", Token: s.Token(t, "bob"), Namespace: "orders", Payloads: []*commonpb.Payload{plain}})
	if sealed.Status != 200 || strings.Contains(string(sealed.Payloads[0].GetData()), "hello") {
		t.Fatalf("encode: %d %s", sealed.Status, sealed.Body)
	}
	opened := server.Decode(t, s.Token(t, "bob"), "orders", sealed.Payloads...)
	if opened.Status != 200 || string(opened.Payloads[0].GetData()) != `"hello"` {
		t.Fatalf("decode: %d %s", opened.Status, opened.Body)
	}
	records := server.AuditOf(t, opened.RequestID)
	if len(records) != 1 || records[0].Subject != "u-bob" || records[0].Rule != "orders-team" || records[0].Namespace != "orders" {
		t.Errorf("audit has %+v", records)
	}
}
