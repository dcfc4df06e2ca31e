package codecserver_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"

	commonpb "go.temporal.io/api/common/v1"

	"github.com/signet-temporal/signet/codecserver"
	"github.com/signet-temporal/signet/principal"
)

const labelledPolicy = `
grants:
  - {name: staff, issuer: "https://idp", groups: [staff], namespaces: [payments], actions: [decode, encode]}
  - {name: clerks, issuer: "https://idp", groups: [clerk], namespaces: [payments], actions: [decode], labels: [pii]}
  - {name: officers, issuer: "https://idp", groups: [officer], namespaces: [payments], actions: [decode], labels: ["*"]}
  - {name: emergency, issuer: "https://idp", groups: [sre], namespaces: [payments], actions: [decode], labels: [phi, pii], breakGlass: true}
`

func labelWorld(t *testing.T, change ...func(*codecserver.Config)) *world {
	t.Helper()
	callers := tokens{}
	for token, groups := range map[string][]string{"sam": {"staff"}, "cleo": {"clerk"}, "olga": {"officer"}, "rex": {"staff", "sre"}} {
		callers[token] = &principal.Caller{Issuer: "https://idp", Subject: "u-" + token, Groups: groups}
	}
	callers["job"] = &principal.Caller{Issuer: "https://idp", Subject: "u-job", Groups: []string{"clerk"}, Machine: true}
	return newWorld(t, append([]func(*codecserver.Config){withPolicy(t, labelledPolicy), func(c *codecserver.Config) { c.Authenticator = callers }}, change...)...)
}

// labelled returns data in an encoding with labels, sealed.
func (w *world) labelled(encoding, data, labels string) *commonpb.Payload {
	w.t.Helper()
	p := &commonpb.Payload{Metadata: map[string][]byte{"encoding": []byte(encoding)}, Data: []byte(data)}
	if labels != "" {
		p.Metadata["signet-labels"] = []byte(labels)
	}
	sealed, err := w.codecs["payments"].Encode([]*commonpb.Payload{p})
	if err != nil {
		w.t.Fatal(err)
	}
	return sealed[0]
}

const (
	patient       = `{"name":"Ann", "ssn":"` + secret + `","n":1.50}`
	patientLabels = `{"v":1,"labels":{"phi":["/ssn"],"pii":["/ssn","/name"]}}`
)

func (w *world) patient() *commonpb.Payload {
	return w.labelled("json/plain", patient, patientLabels)
}

// labelsOf is what the record says of labels: those shown, a slash, those masked.
func labelsOf(r record) string {
	return strings.Join(append(append(r.LabelsShown, "/"), r.LabelsMasked...), " ")
}

func TestWhatADecisionDoesNotShowIsMaskedInPlace(t *testing.T) {
	for _, mode := range []codecserver.Mode{codecserver.Explain, codecserver.Strict} {
		w := labelWorld(t, func(c *codecserver.Config) { c.Mode = mode })
		for _, c := range []struct {
			says, token  string
			p            *commonpb.Payload
			shows, audit string
		}{
			{"no label", "sam", w.patient(), `{"name":"••• masked: pii", "ssn":"••• masked: phi, pii","n":1.50}`, "/ phi pii"},
			{"one label", "cleo", w.patient(), `{"name":"Ann", "ssn":"••• masked: phi","n":1.50}`, "pii / phi"},
			{"every label", "olga", w.patient(), patient, "phi pii /"},
			{"nothing labelled", "sam", w.labelled("json/plain", patient, ""), patient, "/"},
			{"a pointer that leads nowhere", "sam", w.labelled("json/plain", patient, `{"v":1,"labels":{"phi":["/other"]}}`), patient, "/"},
			{"labels nobody understands", "cleo", w.labelled("json/plain", patient, `{"v":2,"labels":{}}`), `"••• masked: unknown"`, "/ unknown"},
			{"and all labels", "olga", w.labelled("json/plain", patient, `{"v":2,"labels":{}}`), patient, "unknown /"},
			{"bytes with a label", "cleo", w.labelled("binary/plain", patient, `{"v":1,"labels":{"phi":[""]}}`), `"••• masked: phi"`, "/ phi"},
			{"a message in binary", "sam", w.labelled("binary/protobuf", patient, patientLabels), `"••• masked: phi, pii"`, "/ phi pii"},
			{"JSON that is none", "sam", w.labelled("json/plain", patient+"}", patientLabels), `"••• masked: phi, pii"`, "/ phi pii"},
		} {
			got := w.send(fromUI(c.token, "decode", body(t, plain("7"), c.p))).payloads(2)
			if string(got[1].Data) != c.shows || string(got[0].Data) != "7" {
				t.Errorf("%s: %s, want %s", c.says, got[1].Data, c.shows)
			}
			if marked := string(got[1].Metadata["signet-masked"]) == "v1"; marked == strings.HasSuffix(c.audit, "/") {
				t.Errorf("%s: the metadata is %q", c.says, got[1].Metadata)
			}
			_, records := w.audited()
			if len(records) != 1 || labelsOf(records[0]) != c.audit || records[0].Decision != "allow" || records[0].BreakGlass != "" {
				t.Errorf("%s: on record is %s", c.says, records[0].raw)
			}
		}
	}
}

// A mask is text in the place of data: who could take it for data must not get it, whatever headers are sent.
func TestWhoMayTakeAMaskForDataIsRefused(t *testing.T) {
	w := labelWorld(t)
	p, public := w.patient(), w.labelled("json/plain", `{"n":2}`, patientLabels)
	for says, a := range map[string]ask{
		"a worker":                       fromMachine("cleo", "decode", body(t, public, p)),
		"a machine":                      fromMachine("job", "decode", body(t, public, p)),
		"a machine that sends an Origin": fromUI("job", "decode", body(t, public, p)),
	} {
		r := w.send(a).want(http.StatusForbidden)
		if !strings.Contains(r.text, `"error":"masked"`) {
			t.Errorf("%s: %s", says, r.text)
		}
		w.nothingLeaks(r)
		records := w.wantAudit("deny request-refused clerks payments/", "deny would-be-masked clerks payments/")
		if labelsOf(records[0]) != "/" || labelsOf(records[1]) != "/ phi" {
			t.Errorf("%s: %s %s", says, records[0].raw, records[1].raw)
		}
		if log := w.log.String(); !strings.Contains(log, "no grant shows label phi, and the client does not accept masks") {
			t.Errorf("%s: the log does not say why: %s", says, log)
		}
		w.log.Reset()

		a.header["Signet-Accept"] = "masks"
		if got := w.send(a).payloads(2); string(got[1].Data) != `{"name":"Ann", "ssn":"••• masked: phi","n":1.50}` {
			t.Errorf("%s that accepts masks: %s", says, got[1].Data)
		}
		w.audited()
		a.header["Signet-Accept"] = "yes"
		w.nothingLeaks(w.send(a).want(http.StatusBadRequest))
		w.wantAudit()
	}
	// Of what they see whole they see all.
	for _, token := range []string{"cleo", "job"} {
		w.send(fromMachine(token, "decode", body(t, public))).payloads(1)
	}
	if got := w.send(fromMachine("olga", "decode", body(t, p))).payloads(1); string(got[0].Data) != patient {
		t.Errorf("one who may see all: %s", got[0].Data)
	}
}

func TestABreakGlassGrantThatShowsMoreIsAnEmergency(t *testing.T) {
	w := labelWorld(t)
	const why = "INC-4711 order stuck"
	p, public := w.patient(), w.labelled("json/plain", `{"n":2}`, patientLabels)
	ask := func(more ...string) []*commonpb.Payload {
		return w.send(fromMachine("rex", "decode", body(t, p, public), append(more, "Signet-Accept", "masks")...)).payloads(2)
	}
	if got := ask(); strings.Contains(string(got[0].Data), "Ann") {
		t.Errorf("without a reason: %s", got[0].Data)
	}
	if records := w.wantAudit("allow - staff payments/", "allow - staff payments/"); records[0].BreakGlass != "" || strings.Contains(w.log.String(), "break glass") {
		t.Errorf("without a reason: %s", records[0].raw)
	}
	if got := ask("Signet-Break-Glass", why); string(got[0].Data) != patient {
		t.Errorf("with a reason: %s", got[0].Data)
	}
	records := w.wantAudit("allow - emergency payments/", "allow - staff payments/")
	if records[0].BreakGlass != why || labelsOf(records[0]) != "phi pii /" || records[1].BreakGlass != "" {
		t.Errorf("with a reason: %s %s", records[0].raw, records[1].raw)
	}
	if log := w.log.String(); !strings.Contains(log, `"msg":"break glass"`) || !strings.Contains(log, `"payloads":1,"rule":"emergency"`) {
		t.Errorf("log %s", log)
	}
}

// A form of the Web UI is filled with what was seen, and sends it to /encode.
func TestAMaskIsNeverSealed(t *testing.T) {
	w := labelWorld(t)
	seen := w.send(fromUI("sam", "decode", body(t, w.patient(), w.labelled("binary/plain", "x", patientLabels)))).payloads(2)
	w.audited()
	quoted := strings.ReplaceAll(fmt.Sprintf("%q", string(seen[0].Data)), "•", `\u2022`)
	for says, p := range map[string]*commonpb.Payload{
		"as it came":                seen[0],
		"a whole mask":              seen[1],
		"without its metadata":      plain(string(seen[0].Data)),
		"as a text within JSON":     plain(`{"input":` + quoted + `}`),
		"edited, the mask but left": plain(`{"name":"Ben","ssn":"••• masked: phi, pii"}`),
		"in another encoding":       {Metadata: map[string][]byte{"encoding": []byte("binary/plain")}, Data: seen[1].Data},
	} {
		r := w.send(fromUI("sam", "encode", body(t, plain(`"fine"`), p))).want(http.StatusBadRequest)
		if !strings.Contains(r.text, `"error":"masked"`) || w.seals != 0 {
			t.Errorf("%s: %s, %d sealed", says, r.text, w.seals)
		}
	}
	w.wantAudit()
	if log := w.log.String(); strings.Contains(log, "Ann") || strings.Contains(log, secret) {
		t.Errorf("the log quotes: %s", log)
	}
	w.send(fromUI("sam", "encode", body(t, plain(`"masked: phi"`)))).payloads(1)
}

// Masks may be longer than what they stand for, and are held as well.
func TestMasksCountAsWhatIsOpened(t *testing.T) {
	w := labelWorld(t, func(c *codecserver.Config) { c.Limits.MaxOpened = 4000 })
	many := w.labelled("json/plain", "["+strings.Repeat("1,", 300)+"1]", `{"v":1,"labels":{"phi":["/*"]}}`)
	out := w.send(fromUI("sam", "decode", body(t, many))).payloads(1)
	explained(t, out[0], "too-large")
	if records := w.wantAudit("unreadable too-large staff payments/"); labelsOf(records[0]) != "/" {
		t.Errorf("on record is %s", records[0].raw)
	}
	if got := w.send(fromUI("olga", "decode", body(t, many))).payloads(1); len(got[0].Data) != 603 {
		t.Errorf("one who sees all: %d bytes", len(got[0].Data))
	}
}

func TestAPageMayNotSayThatItAcceptsMasks(t *testing.T) {
	w := labelWorld(t)
	r := w.send(ask{http.MethodOptions, "/decode", "", map[string]string{"Origin": ui, "Access-Control-Request-Method": "POST"}}).want(http.StatusNoContent)
	if strings.Contains(strings.ToLower(r.Header.Get("Access-Control-Allow-Headers")), "signet") {
		t.Errorf("pages may send %s", r.Header.Get("Access-Control-Allow-Headers"))
	}
	// and the record holds nothing of what is masked.
	r = w.send(fromUI("sam", "decode", body(t, w.patient())))
	for where, text := range map[string]string{"answer": r.text, "log": w.log.String(), "audit": w.records.String()} {
		if strings.Contains(text, "Ann") || strings.Contains(text, base64.StdEncoding.EncodeToString([]byte("Ann"))) || strings.Contains(text, secret) {
			t.Errorf("the %s holds what is masked: %s", where, text)
		}
	}
}
