package codecserver_test

import (
	"crypto/aes"
	"crypto/cipher"
	"net/http"
	"testing"

	commonpb "go.temporal.io/api/common/v1"
	"google.golang.org/protobuf/proto"

	"github.com/signet-temporal/signet/codecserver"
	"github.com/signet-temporal/signet/codecserver/policy"
	"github.com/signet-temporal/signet/converter"
	"github.com/signet-temporal/signet/converter/legacy"
)

var oldKey = []byte("an old key of thirty-two letters")

// sampled is what the sample codec makes of the secret.
func sampled(t *testing.T) *commonpb.Payload {
	t.Helper()
	block, err := aes.NewCipher(oldKey)
	if err != nil {
		t.Fatal(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	inner, err := proto.Marshal(plain(`"` + secret + `"`))
	if err != nil {
		t.Fatal(err)
	}
	nonce := make([]byte, gcm.NonceSize())
	return &commonpb.Payload{
		Metadata: map[string][]byte{"encoding": []byte("binary/encrypted"), "encryption-key-id": []byte("payments-2023")},
		Data:     gcm.Seal(nonce, nonce, inner, nil),
	}
}

// samples takes what the sample codec sealed with one key.
type samples string

func (s samples) Takes(p *commonpb.Payload) (string, bool) {
	id, ok := legacy.SampleKeyID(p)
	return "ns/payments/0000abcd", ok && id == string(s)
}

func legacyWorld(t *testing.T, change ...func(*codecserver.Config)) *world {
	t.Helper()
	old, err := legacy.NewAESGCM(map[string][]byte{"payments-2023": oldKey})
	if err != nil {
		t.Fatal(err)
	}
	return newWorld(t, append(change, func(c *codecserver.Config) {
		codec, err := converter.NewCodec(newKeyring(t, "ns/payments"), converter.CodecOptions{Keyset: "ns/payments", Scope: "payments", Legacy: []converter.Legacy{old}})
		if err != nil {
			t.Fatal(err)
		}
		c.Namespaces[0].Codec, c.Namespaces[0].Legacy = codec, samples("payments-2023")
	})...)
}

// TestALegacyPayloadIsOpenedForThoseWhoMayDecodeInTheNamespaceOfTheRequest: by the same policy and with the same record as
// others, and nothing of it without a record.
func TestALegacyPayloadIsOpenedForThoseWhoMayDecodeInTheNamespaceOfTheRequest(t *testing.T) {
	w := legacyWorld(t)
	p := sampled(t)
	for _, a := range []ask{fromUI("ann", "decode", body(t, p)), fromMachine("ann", "decode", body(t, p), "X-Namespace", "payments")} {
		if out := w.send(a).payloads(1); string(out[0].Data) != `"`+secret+`"` {
			t.Errorf("decoded %v", out[0])
		}
	}
	r := w.wantAudit("allow - payments-oncall payments/", "allow - payments-oncall payments/")
	if r[0].Key != "ns/payments/0000abcd" {
		t.Errorf("record %s", r[0].raw)
	}

	reply := w.send(fromUI("bob", "decode", body(t, p)))
	explained(t, reply.payloads(1)[0], "not-granted")
	w.nothingLeaks(reply)
	w.send(fromMachine("bob", "decode", body(t, p), "X-Namespace", "payments")).want(http.StatusForbidden)
	w.wantAudit("deny not-granted - (payments/)", "deny not-granted - (payments/)")

	forged := proto.CloneOf(p)
	forged.Data[20] ^= 1
	explained(t, w.send(fromUI("ann", "decode", body(t, forged))).payloads(1)[0], "not-authentic")
	w.wantAudit("unreadable not-authentic payments-oncall (payments/)")
}

// TestALegacyPayloadIsClosedByADenialThatAsksForWhatItDoesNotSay: whose it is nobody knows, so it may be the one that
// shall stay closed.
func TestALegacyPayloadIsClosedByADenialThatAsksForWhatItDoesNotSay(t *testing.T) {
	for _, denial := range []string{"tenants: [acme]", "workflows: [payroll-1]"} {
		w := legacyWorld(t, denying(t, denial))
		explained(t, w.send(fromUI("ann", "decode", body(t, sampled(t)))).payloads(1)[0], "denied")
		w.send(fromMachine("ann", "decode", body(t, sampled(t)), "X-Namespace", "payments")).want(http.StatusForbidden)
		w.wantAudit("deny denied closed (payments/)", "deny denied closed (payments/)")
		// Of signet's own it is known that it is nobody's, and of which workflow.
		w.codecs["payments"] = w.config.Namespaces[0].Codec.(*converter.Codec)
		if out := w.send(fromUI("ann", "decode", body(t, w.sealed("payments")))).payloads(1)[0]; string(out.Data) != `"`+secret+`"` {
			t.Errorf("%s: %v", denial, out)
		}
	}
}

func denying(t *testing.T, what string) func(*codecserver.Config) {
	t.Helper()
	rules, err := policy.Parse([]byte(`
deny:
  - {name: closed, ` + what + `}
grants:
  - {name: payments-oncall, issuer: "https://idp", groups: [oncall], namespaces: [payments], actions: [decode]}
`))
	if err != nil {
		t.Fatal(err)
	}
	return func(c *codecserver.Config) { c.Policy = rules }
}

// TestALegacyPayloadOfNobodyPassesAsItIs: of another namespace, of none, and under another key.
func TestALegacyPayloadOfNobodyPassesAsItIs(t *testing.T) {
	w := legacyWorld(t)
	other := sampled(t)
	other.Metadata["encryption-key-id"] = []byte("orders-2023")
	for name, a := range map[string]ask{
		"of another namespace": fromUI("ann", "decode", body(t, sampled(t)), "X-Namespace", "orders"),
		"of an unknown one":    fromUI("ann", "decode", body(t, sampled(t)), "X-Namespace", "elsewhere"),
		"of no namespace":      fromUI("ann", "decode", body(t, sampled(t)), "X-Namespace", ""),
		"under another key":    fromUI("ann", "decode", body(t, other)),
		"in clear":             fromUI("ann", "decode", body(t, plain("1"))),
	} {
		out := w.send(a).payloads(1)[0]
		if in := string(out.Metadata["encoding"]); in != "binary/encrypted" && name != "in clear" {
			t.Errorf("%s: %v", name, out)
		}
	}
	w.wantAudit()
	broken := legacyWorld(t)
	handler := newWorld(t, brokenAudit, func(c *codecserver.Config) { c.Namespaces = broken.config.Namespaces })
	explained(t, handler.send(fromUI("ann", "decode", body(t, sampled(t)))).payloads(1)[0], "audit-unavailable")
}
