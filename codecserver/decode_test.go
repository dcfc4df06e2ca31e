package codecserver_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	commonpb "go.temporal.io/api/common/v1"
	"google.golang.org/protobuf/proto"

	"github.com/signet-temporal/signet/codecserver"
)

func TestWhoMayDecodesAndTheRecordSaysWhat(t *testing.T) {
	w := newWorld(t)
	for _, a := range []ask{
		fromUI("ann", "decode", body(t, w.sealed("payments"))),
		fromMachine("ann", "decode", body(t, w.sealed("payments"))),
	} {
		out := w.send(a).payloads(1)
		if string(out[0].Data) != `"`+secret+`"` || string(out[0].Metadata["encoding"]) != "json/plain" {
			t.Errorf("decoded %v", out[0])
		}
	}
	r := w.wantAudit("allow - payments-oncall payments/order-17", "allow - payments-oncall payments/order-17")
	if r[0].Subject != "u-ann" || r[0].Issuer != "https://idp" || r[0].Email != "ann@example.com" || r[0].Action != "decode" ||
		!strings.HasPrefix(r[0].Key, "ns/payments/") || r[0].Payload != 1 || r[0].Payloads != 1 || r[0].Client != "192.0.2.1" ||
		r[0].Agent != "browser" || r[1].Agent != "go" || r[0].RequestID == "" || r[0].RequestID == r[1].RequestID {
		t.Errorf("records %s %s", r[0].raw, r[1].raw)
	}
}

func TestEveryPathThatEndsInTheActionWorks(t *testing.T) {
	w := newWorld(t)
	for _, path := range []string{"/decode", "//decode", "/team/decode", "/a/b/c/decode", "/payments/decode", "/orders/decode", "/encode/decode",
		"/decode?preserveStorageRefs=true", "/decode?preservestoragerefs=TRUE&x=/encode"} {
		a := fromUI("ann", "decode", body(t, w.sealed("payments")))
		a.path = "http://host" + path
		if out := w.send(a).payloads(1); string(out[0].Data) != `"`+secret+`"` {
			t.Errorf("%s: %v", path, out[0])
		}
	}
	for _, path := range []string{"/", "/decode/", "/decoder", "/xdecode/x", "/Decode", "/decode;x", "/healthz", "/decode/../x"} {
		a := fromUI("ann", "decode", body(t, w.sealed("payments")))
		a.path = "http://host" + path
		if r := w.send(a).want(http.StatusNotFound); r.Header.Get("Location") != "" {
			t.Errorf("%s is redirected", path)
		}
	}
}

func TestForeignPayloadsComeBackInTheSameBytesInTheirPlaces(t *testing.T) {
	w := newWorld(t)
	foreign := []string{
		`{"metadata":{"encoding":"anNvbi9wbGFpbg==","type":"S2V5d29yZA=="},"data":"Ik9QRU4i"}`,
		`{ "data": "", "metadata": {"encoding":"YmluYXJ5L251bGw="}, "unknownField": [1, {"a": null}] }`,
		`{"metadata":{"encoding":"YmluYXJ5L2VuY3J5cHRlZA==","encryption-key-id":"b3RoZXI="},"data":"AAECAw"}`,
		`{"metadata":{"encoding":"anNvbi9wcm90b2J1Zg==","messageType":"dGVtcG9yYWwuYXBpLnNkay52MS5FeHRlcm5hbFN0b3JhZ2VSZWZlcmVuY2U="},"data":"e30=","externalPayloads":[{"sizeBytes":"123"}]}`,
		`{}`,
	}
	ours := body(t, w.sealed("payments"))
	ours = strings.TrimSuffix(strings.TrimPrefix(ours[strings.Index(ours, "["):], "["), "]}")
	all := append([]string{ours}, foreign...)
	for name, token := range map[string]string{"may": "ann", "may not": "bob", "nobody": ""} {
		r := w.send(fromUI(token, "decode", `{"more":{"x":[]},"payloads":[`+strings.Join(all, ",")+`]}`))
		r.payloads(len(all))
		var got struct{ Payloads []json.RawMessage }
		if err := json.Unmarshal([]byte(r.text), &got); err != nil {
			t.Fatal(err)
		}
		for i, want := range foreign {
			if string(got.Payloads[i+1]) != want {
				t.Errorf("%s: payload %d\n got %s\nwant %s", name, i+1, got.Payloads[i+1], want)
			}
		}
	}
	w.audited()
	w.send(fromMachine("bob", "decode", `{"payloads":[`+strings.Join(foreign, ",")+`]}`)).payloads(len(foreign))
	w.wantAudit() // foreign payloads need no grant and leave no record
}

func TestADecodedPayloadIsWholeEvenWhereItIsEmpty(t *testing.T) {
	w := newWorld(t)
	for _, p := range []*commonpb.Payload{
		{Metadata: map[string][]byte{"encoding": []byte("binary/null")}},
		{Data: []byte{0, 255}},
		{Metadata: map[string][]byte{"encoding": []byte("json/plain"), "<&>": {1, 2}}, Data: []byte("{}"), ExternalPayloads: []*commonpb.Payload_ExternalPayloadDetails{{SizeBytes: 1 << 60}}},
	} {
		sealed, err := w.codecs["payments"].Seal(p)
		if err != nil {
			t.Fatal(err)
		}
		r := w.send(fromUI("ann", "decode", body(t, sealed)))
		if got := r.payloads(1)[0]; !proto.Equal(got, p) {
			t.Errorf("decoded %v, want %v", got, p)
		}
		if !strings.Contains(r.text, `"metadata":{`) || !strings.Contains(r.text, `"data":"`) {
			t.Errorf("the Web UI takes no payload without metadata and data: %s", r.text)
		}
	}
}

func TestNoPayloadsIsAnAnswer(t *testing.T) {
	w := newWorld(t)
	for _, b := range []string{`{}`, `{"payloads":[]}`} {
		for _, action := range []string{"decode", "encode"} {
			if r := w.send(fromUI("ann", action, b)); r.want(http.StatusOK).text != `{"payloads":[]}` {
				t.Errorf("%s %s: %s", action, b, r.text)
			}
		}
	}
}

func TestADeniedPayloadIsExplainedToAPersonAndTheRestDecodes(t *testing.T) {
	w := newWorld(t)
	r := w.send(fromUI("ann", "decode", body(t, w.sealed("payments"), w.sealed("orders-v1"), plain("1"), w.sealed("elsewhere")), "X-Namespace", ""))
	out := r.payloads(4)
	if string(out[0].Data) != `"`+secret+`"` || string(out[2].Data) != "1" {
		t.Errorf("the allowed and the foreign payload came back as %v and %v", out[0], out[2])
	}
	e := explained(t, out[1], "not-granted")
	if e.Namespace != "orders" || e.Caller != "ann@example.com" || e.Contact != "Ask #payments-oncall for access." || e.RequestID != r.Header.Get("X-Request-Id") {
		t.Errorf("explanation %+v", e)
	}
	explained(t, out[3], "unknown-namespace")
	if w.opens != 1 {
		t.Errorf("%d payloads were opened, want 1: a denied one is not opened", w.opens)
	}
	recs := w.wantAudit("allow - payments-oncall payments/order-17", "deny not-granted - (orders/order-17)", "deny unknown-namespace - (elsewhere/order-17)")
	if recs[1].Payload != 2 || recs[1].Payloads != 4 || recs[1].Subject != "u-ann" || !strings.HasPrefix(recs[1].Claimed.Key, "ns/orders/") {
		t.Errorf("record %s", recs[1].raw)
	}
}

func TestAMachineGetsAllOrNothingAndNeverAnExplanation(t *testing.T) {
	w := newWorld(t)
	tampered := proto.Clone(w.sealed("payments")).(*commonpb.Payload)
	tampered.Data[len(tampered.Data)-1] ^= 1
	half := &commonpb.Payload{Metadata: map[string][]byte{"encoding": []byte("binary/encrypted"), "encryption-context": []byte("{}")}}
	good := w.sealed("payments")
	for says, c := range map[string]struct {
		ask    ask
		status int
		audit  []string
	}{
		"not granted": {fromMachine("ann", "decode", body(t, good, w.sealed("orders-v1"))), http.StatusForbidden,
			[]string{"deny request-refused payments-oncall (payments/order-17)", "deny not-granted - (orders/order-17)"}},
		"unknown scope": {fromMachine("ann", "decode", body(t, w.sealed("elsewhere"))), http.StatusForbidden, []string{"deny unknown-namespace - (elsewhere/order-17)"}},
		"tampered": {fromMachine("ann", "decode", body(t, good, tampered)), http.StatusUnprocessableEntity,
			[]string{"deny request-refused payments-oncall payments/order-17", "unreadable not-authentic payments-oncall (payments/order-17)"}},
		"malformed":     {fromMachine("ann", "decode", body(t, half)), http.StatusUnprocessableEntity, []string{"unreadable malformed - /"}},
		"nobody":        {fromMachine("", "decode", body(t, good)), http.StatusUnauthorized, []string{"deny missing-token - /"}},
		"may nothing":   {fromMachine("bob", "decode", body(t, good)), http.StatusForbidden, []string{"deny not-granted - (payments/order-17)"}},
		"Node's fetch":  {fromMachine("bob", "decode", body(t, good), "Sec-Fetch-Mode", "cors", "User-Agent", "node"), http.StatusForbidden, []string{"deny not-granted - (payments/order-17)"}},
		"lying browser": {fromMachine("bob", "decode", body(t, good), "Origin", "https://evil.example"), http.StatusForbidden, nil},
	} {
		t.Run(says, func(t *testing.T) {
			r := w.send(c.ask).want(c.status)
			if strings.Contains(r.text, "payloads") || strings.Contains(r.text, "signet-explanation") {
				t.Errorf("answer %s, want an error alone", r.text)
			}
			w.nothingLeaks(r)
			w.wantAudit(c.audit...)
		})
	}
}

func TestStrictModeRefusesPeopleAsItRefusesMachines(t *testing.T) {
	w := newWorld(t, strict)
	w.send(fromUI("ann", "decode", body(t, w.sealed("payments")))).payloads(1)
	w.send(fromUI("bob", "decode", body(t, w.sealed("payments")))).want(http.StatusForbidden)
	w.send(fromUI("expired-token", "decode", body(t, w.sealed("payments")))).want(http.StatusUnauthorized)
}

func TestThePageOfAStrangerRendersAndSaysWhy(t *testing.T) {
	w := newWorld(t)
	for _, reason := range []string{"expired-token", "wrong-audience", "unknown-issuer", "bad-signature", "identity-provider-unavailable"} {
		out := w.send(fromUI(reason, "decode", body(t, w.sealed("payments"), plain("1"), w.sealed("elsewhere")))).payloads(3)
		e := explained(t, out[0], reason)
		explained(t, out[2], reason)
		if string(out[1].Data) != "1" || e.Namespace != "" || e.Caller != "" {
			t.Errorf("%s: foreign %v, explanation %+v", reason, out[1], e)
		}
		recs := w.wantAudit("deny " + reason + " - /")
		if recs[0].Payload != 0 || recs[0].Payloads != 3 || recs[0].Subject != "" {
			t.Errorf("record %s", recs[0].raw)
		}
	}
	out := w.send(fromUI("", "decode", body(t, w.sealed("payments")))).payloads(1)
	explained(t, out[0], "missing-token")
	if w.opens != 0 {
		t.Errorf("%d payloads were opened for strangers", w.opens)
	}
}

func TestAnAuthenticatorThatNamesNobodyLetsNobodyIn(t *testing.T) {
	w := newWorld(t)
	w.send(fromMachine("nil", "decode", body(t, w.sealed("payments")))).want(http.StatusUnauthorized)
}

func TestALyingNamespaceHeaderIsRefusedAndGivesNothing(t *testing.T) {
	w := newWorld(t)
	// Ann may decode payments. She sends ciphertext of orders with the header of payments.
	out := w.send(fromUI("ann", "decode", body(t, w.sealed("orders-v1")), "X-Namespace", "payments")).payloads(1)
	explained(t, out[0], "namespace-mismatch")
	w.send(fromMachine("ann", "decode", body(t, w.sealed("orders-v1")), "X-Namespace", "payments")).want(http.StatusForbidden)
	// Her own ciphertext on another namespace's page, and the scope in place of the name.
	explained(t, w.send(fromUI("ann", "decode", body(t, w.sealed("payments")), "X-Namespace", "orders")).payloads(1)[0], "namespace-mismatch")
	explained(t, w.send(fromUI("ann", "decode", body(t, w.sealed("orders-v1")), "X-Namespace", "orders-v1")).payloads(1)[0], "namespace-mismatch")
	// And the ciphertext of orders with the context of payments: authenticated, so it does not open.
	forged, own := w.sealed("orders-v1"), w.sealed("payments")
	forged.Metadata = own.Metadata
	explained(t, w.send(fromUI("ann", "decode", body(t, forged))).payloads(1)[0], "malformed") // the key id in the data is another
	forged.Data = append(append([]byte{}, own.Data[:5]...), forged.Data[5:]...)
	explained(t, w.send(fromUI("ann", "decode", body(t, forged))).payloads(1)[0], "not-authentic")
	w.wantAudit("deny namespace-mismatch - (orders/order-17)", "deny namespace-mismatch - (orders/order-17)",
		"deny namespace-mismatch - (payments/order-17)", "deny namespace-mismatch - (orders/order-17)",
		"unreadable malformed - /", "unreadable not-authentic payments-oncall (payments/order-17)")
}

func TestAnAbsentNamespaceHeaderLeavesTheSealedOneToDecide(t *testing.T) {
	w := newWorld(t)
	for _, absent := range []string{"", "undefined"} {
		out := w.send(fromUI("ann", "decode", body(t, w.sealed("payments"), w.sealed("orders-v1")), "X-Namespace", absent)).payloads(2)
		if string(out[0].Data) != `"`+secret+`"` {
			t.Errorf("X-Namespace %q: %v", absent, out[0])
		}
		explained(t, out[1], "not-granted")
	}
}

func TestAnUnreadablePayloadIsExplainedWithoutSayingMore(t *testing.T) {
	w := newWorld(t)
	flipped, moved := w.sealed("payments"), w.sealed("payments")
	flipped.Data[len(flipped.Data)-1] ^= 1
	moved.Metadata["encryption-context"] = []byte(`{"v":1,"ns":"payments","wf":"order-18"}`)
	a := explained(t, w.send(fromUI("ann", "decode", body(t, flipped))).payloads(1)[0], "not-authentic")
	b := explained(t, w.send(fromUI("ann", "decode", body(t, moved))).payloads(1)[0], "not-authentic")
	if a.Message != b.Message {
		t.Errorf("two causes can be told apart: %q and %q", a.Message, b.Message)
	}
	later := w.sealed("payments")
	later.Metadata["encryption-context"] = []byte(`{"v":2,"ns":"payments"}`)
	explained(t, w.send(fromUI("ann", "decode", body(t, later))).payloads(1)[0], "unknown-version")
	stripped := w.sealed("payments")
	delete(stripped.Metadata, "encryption-key-id")
	explained(t, w.send(fromUI("ann", "decode", body(t, stripped))).payloads(1)[0], "malformed")
}

func TestAKeyThatIsAwayIsTransientAndADestroyedOneIsNot(t *testing.T) {
	w := newWorld(t)
	p := body(t, w.sealed("payments"))
	w.keys.set(true, false)
	explained(t, w.send(fromUI("ann", "decode", p)).payloads(1)[0], "key-unavailable")
	if r := w.send(fromMachine("ann", "decode", p)).want(http.StatusServiceUnavailable); r.Header.Get("Retry-After") == "" {
		t.Error("503 without Retry-After")
	}
	w.keys.set(false, true)
	explained(t, w.send(fromUI("ann", "decode", p)).payloads(1)[0], "key-destroyed")
	w.send(fromMachine("ann", "decode", p)).want(http.StatusUnprocessableEntity)
	w.wantAudit("unreadable key-unavailable payments-oncall (payments/order-17)", "unreadable key-unavailable payments-oncall (payments/order-17)",
		"unreadable key-destroyed payments-oncall (payments/order-17)", "unreadable key-destroyed payments-oncall (payments/order-17)")
}

type brokenCodec struct{ err error }

func (b brokenCodec) Open(*commonpb.Payload) (*commonpb.Payload, error) { return nil, b.err }
func (b brokenCodec) Seal(p *commonpb.Payload) (*commonpb.Payload, error) {
	return plain("not sealed at all"), b.err
}

func TestACodecThatMisbehavesIsAnInternalErrorAndNothingElse(t *testing.T) {
	w := newWorld(t, func(c *codecserver.Config) { c.Namespaces[0].Codec = brokenCodec{} })
	explained(t, w.send(fromUI("ann", "decode", body(t, w.sealed("payments")))).payloads(1)[0], "internal")
	w.send(fromMachine("ann", "decode", body(t, w.sealed("payments")))).want(http.StatusInternalServerError)
	if r := w.send(fromUI("ann", "encode", body(t, plain("1")))).want(http.StatusInternalServerError); strings.Contains(r.text, "payloads") {
		t.Errorf("an unsealed payload came back: %s", r.text)
	}
	w = newWorld(t, func(c *codecserver.Config) { c.Namespaces[0].Codec = brokenCodec{reasonError("made-up")} })
	explained(t, w.send(fromUI("ann", "decode", body(t, w.sealed("payments")))).payloads(1)[0], "internal")
}

func TestWithoutAnAuditRecordNothingIsDecodedOrEncoded(t *testing.T) {
	w := newWorld(t, brokenAudit)
	r := w.send(fromUI("ann", "decode", body(t, w.sealed("payments"), plain("1"))))
	out := r.payloads(2)
	explained(t, out[0], "audit-unavailable")
	w.nothingLeaks(r)
	r = w.send(fromMachine("ann", "decode", body(t, w.sealed("payments")))).want(http.StatusServiceUnavailable)
	w.nothingLeaks(r)
	if r := w.send(fromUI("ann", "encode", body(t, plain("1")))).want(http.StatusServiceUnavailable); strings.Contains(r.text, "payloads") {
		t.Errorf("a payload left without a record: %s", r.text)
	}
	w.send(fromMachine("", "decode", body(t, w.sealed("payments")))).want(http.StatusUnauthorized)
}

func TestTheRecordIsWrittenBeforeThePlaintextLeaves(t *testing.T) {
	w := newWorld(t)
	order := &ordered{world: w}
	r := httptestRequest(t, fromUI("ann", "decode", body(t, w.sealed("payments"))))
	w.ServeHTTP(order, r)
	if !order.wrote || order.early {
		t.Errorf("wrote %v, before the record %v", order.wrote, order.early)
	}
}

// ordered is a response that looks at the audit log when the first byte of the answer leaves.
type ordered struct {
	world        *world
	header       http.Header
	wrote, early bool
}

func (o *ordered) Header() http.Header {
	if o.header == nil {
		o.header = http.Header{}
	}
	return o.header
}
func (o *ordered) WriteHeader(int) {}
func (o *ordered) Write(p []byte) (int, error) {
	o.early = o.early || o.world.records.Len() == 0
	o.wrote = true
	return len(p), nil
}

func TestNoPlaintextTokenOrMailAddressIsLogged(t *testing.T) {
	w := newWorld(t)
	for _, token := range []string{"ann", "bob", "expired-token"} {
		w.send(fromUI(token, "decode", body(t, w.sealed("payments"), w.sealed("orders-v1"))))
		w.send(fromMachine(token, "decode", body(t, w.sealed("payments"))))
		w.send(fromUI(token, "encode", body(t, plain(`"`+secret+`"`))))
	}
	w.nothingLeaks(reply{})
	for _, private := range []string{"ann@example.com", "Bearer"} {
		if strings.Contains(w.log.String(), private) {
			t.Errorf("the log holds %q", private)
		}
	}
	if !strings.Contains(w.log.String(), `"subject":"u-ann"`) {
		t.Error("the log does not say who")
	}
}

func TestWorkflowIDsOfAnyLengthAndAlphabetStayOneRecord(t *testing.T) {
	w := newWorld(t)
	id := "näh\n\"},{\u2028" + strings.Repeat("x", 900)
	w.send(fromUI("ann", "decode", body(t, w.sealedFor("payments", id)))).payloads(1)
	if _, recs := w.audited(); len(recs) != 1 || recs[0].Workflow != id {
		t.Errorf("%d records, the first of workflow %q", len(recs), recs[0].Workflow)
	}
}
