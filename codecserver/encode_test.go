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

func TestEncodeSealsForTheNamespaceOfTheHeader(t *testing.T) {
	w := newWorld(t)
	for namespace, scope := range map[string]string{"payments": "payments", "orders": "orders-v1"} {
		for _, a := range []ask{
			fromUI("ann", "encode", body(t, plain(`"`+secret+`"`)), "X-Namespace", namespace),
			fromMachine("ann", "encode", body(t, plain(`"`+secret+`"`)), "X-Namespace", namespace),
		} {
			r := w.send(a)
			out := r.payloads(1)
			w.nothingLeaks(r)
			opened, err := w.codecs[scope].Open(out[0])
			if err != nil || string(opened.Data) != `"`+secret+`"` {
				t.Errorf("%s: sealed payload opens to %v, %v", namespace, opened, err)
			}
			recs := w.wantAudit("allow - starters " + namespace + "/")
			if !strings.HasPrefix(recs[0].Key, "ns/"+namespace+"/") || recs[0].Action != "encode" {
				t.Errorf("record %s", recs[0].raw)
			}
		}
	}
}

func TestEncodeNeedsANamespaceAndAGrant(t *testing.T) {
	w := newWorld(t)
	p := body(t, plain(`"`+secret+`"`))
	for says, c := range map[string]struct {
		ask    ask
		status int
		audit  []string
	}{
		"no namespace":        {fromUI("ann", "encode", p, "X-Namespace", ""), http.StatusBadRequest, nil},
		"namespace undefined": {fromUI("ann", "encode", p, "X-Namespace", "undefined"), http.StatusBadRequest, nil},
		"unknown namespace":   {fromUI("ann", "encode", p, "X-Namespace", "elsewhere"), http.StatusForbidden, []string{"deny unknown-namespace - (elsewhere/)"}},
		"a scope as name":     {fromUI("ann", "encode", p, "X-Namespace", "orders-v1"), http.StatusForbidden, []string{"deny unknown-namespace - (orders-v1/)"}},
		"no grant":            {fromUI("bob", "encode", p), http.StatusForbidden, []string{"deny not-granted - (payments/)"}},
		"nobody":              {fromUI("", "encode", p), http.StatusUnauthorized, []string{"deny missing-token - /"}},
		"expired":             {fromUI("expired-token", "encode", p), http.StatusUnauthorized, []string{"deny expired-token - /"}},
	} {
		t.Run(says, func(t *testing.T) {
			r := w.send(c.ask).want(c.status)
			if strings.Contains(r.text, "payloads") || strings.Contains(r.text, "signet-explanation") {
				t.Errorf("answer %s: what /encode answers is stored, so it must be an error", r.text)
			}
			w.nothingLeaks(r)
			w.wantAudit(c.audit...)
		})
	}
	if w.seals != 0 {
		t.Errorf("%d payloads were sealed", w.seals)
	}
}

func TestEncodingAgainChangesNothing(t *testing.T) {
	w := newWorld(t)
	once := w.send(fromUI("ann", "encode", body(t, plain("1"), plain("2")))).payloads(2)
	w.audited()
	twice := w.send(fromUI("ann", "encode", body(t, once[0], plain("3"), once[1]))).payloads(3)
	if !proto.Equal(once[0], twice[0]) || !proto.Equal(once[1], twice[2]) {
		t.Errorf("sealed again: %v, %v", twice[0], twice[2])
	}
	if recs := w.wantAudit("allow - starters payments/"); recs[0].Payload != 2 || recs[0].Payloads != 3 {
		t.Errorf("record %s", recs[0].raw)
	}
	half := &commonpb.Payload{Metadata: map[string][]byte{"encoding": []byte("json/plain"), "encryption-context": []byte("{}")}, Data: []byte("1")}
	w.send(fromUI("ann", "encode", body(t, half))).want(http.StatusUnprocessableEntity)
}

func TestAStorageReferenceIsNotSealed(t *testing.T) {
	w := newWorld(t)
	reference := `{"metadata":{"encoding":"anNvbi9wcm90b2J1Zg==","messageType":"dGVtcG9yYWwuYXBpLnNkay52MS5FeHRlcm5hbFN0b3JhZ2VSZWZlcmVuY2U="},"data":"e30=","externalPayloads":[{"sizeBytes":"123"}]}`
	if r := w.send(fromUI("ann", "encode", `{"payloads":[`+reference+`]}`)).want(http.StatusOK); r.text != `{"payloads":[`+reference+`]}` {
		t.Errorf("answer %s", r.text)
	}
}

func TestAnExplanationCanNeverBeEncoded(t *testing.T) {
	w := newWorld(t)
	e := w.send(fromUI("bob", "decode", body(t, w.sealed("payments")))).payloads(1)[0]
	explained(t, e, "not-granted")
	var pretty strings.Builder
	enc := json.NewEncoder(&pretty)
	enc.SetIndent("", "  ")
	if err := enc.Encode(json.RawMessage(e.Data)); err != nil {
		t.Fatal(err)
	}
	asText, err := json.Marshal(string(e.Data))
	if err != nil {
		t.Fatal(err)
	}
	w.audited()
	for says, p := range map[string]*commonpb.Payload{
		"as it came":           e,
		"without its metadata": plain(string(e.Data)),
		"laid out anew":        plain(pretty.String()),
		"inside something":     plain(`[{"patient":` + string(e.Data) + `}]`),
		"as a string":          plain(string(asText)),
		"without its text":     {Metadata: e.Metadata, Data: []byte("1")},
	} {
		for _, a := range []ask{fromUI("ann", "encode", body(t, plain("1"), p)), fromMachine("ann", "encode", body(t, p), "X-Namespace", "payments")} {
			if r := w.send(a).want(http.StatusBadRequest); strings.Contains(r.text, "payloads") {
				t.Errorf("%s: %s", says, r.text)
			}
		}
	}
	if w.seals != 0 {
		t.Errorf("%d payloads were sealed", w.seals)
	}
}

func TestEncodeWithoutAKeyIsTransient(t *testing.T) {
	w := newWorld(t)
	w.keys.set(true, false)
	r := w.send(fromUI("ann", "encode", body(t, plain(`"`+secret+`"`)))).want(http.StatusServiceUnavailable)
	w.nothingLeaks(r)
	w.wantAudit("unreadable key-unavailable starters (payments/)")
}

// TestWhatACallerWritesIntoAHeaderIsNotWrittenAThousandTimes: each payload leaves a record with the namespace that was
// asked for, so that a small request would fill the disk of the audit log, without which nobody decodes.
func TestWhatACallerWritesIntoAHeaderIsNotWrittenAThousandTimes(t *testing.T) {
	w := newWorld(t)
	many := make([]*commonpb.Payload, 1000)
	for i := range many {
		many[i] = plain("1")
	}
	for _, action := range []string{"encode", "decode", "search-token"} {
		w.send(fromMachine("bob", action, body(t, many...), "X-Namespace", strings.Repeat("n", 60<<10)))
	}
	if n := w.records.Len(); n > 1<<20 {
		t.Errorf("a request of a caller without any grant has left %d bytes of records", n)
	}
}

// TestAnEncodeThatIsRefusedAsAWholeLeavesOneRecord: nothing in it was looked at, and a body of three bytes a payload would
// leave a hundred times as much on the disk of the audit log.
func TestAnEncodeThatIsRefusedAsAWholeLeavesOneRecord(t *testing.T) {
	w := newWorld(t, func(c *codecserver.Config) { c.Limits.PayloadBurst, c.Limits.PayloadsPerSecond = 1000, 0.001 })
	many := `{"payloads":[{}` + strings.Repeat(",{}", 999) + `]}`
	for _, c := range []struct{ token, namespace, want string }{
		{"bob", "payments", "deny not-granted - (payments/)"},
		{"ann", "elsewhere", "deny unknown-namespace - (elsewhere/)"},
	} {
		w.send(fromMachine(c.token, "encode", many, "X-Namespace", c.namespace)).want(http.StatusForbidden)
		if r := w.wantAudit(c.want); len(r) == 1 && (r[0].Payload != 0 || r[0].Payloads != 1000) {
			t.Errorf("the record is %s", r[0].raw)
		}
	}
	w.send(fromMachine("ann", "encode", many, "X-Namespace", "payments")).want(http.StatusOK)
	if short, records := w.audited(); len(short) != 1000 || records[999].Payload != 1000 {
		t.Errorf("%d records of what was sealed, want one of each payload", len(short))
	}
	w.send(fromMachine("ann", "encode", many, "X-Namespace", "payments")).want(http.StatusTooManyRequests)
	w.wantAudit("deny rate-limited starters (payments/)")
}
