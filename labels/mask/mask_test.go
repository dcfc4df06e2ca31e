package mask

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	commonpb "go.temporal.io/api/common/v1"
	"google.golang.org/protobuf/proto"

	"github.com/signet-temporal/signet/internal/rawjson"
	"github.com/signet-temporal/signet/labels"
)

func TestMasksStandInPlaceOfWhatMayNotBeSeen(t *testing.T) {
	const data = ` {"name":"Ann", "ssn" : "078-05-1120","n":1.50e1,"visits":[{"note":"x"},{"note":null,"b":[1, 2]}],"ssn":7,"*":"star","a/b":"slash"}` + "\n"
	for _, test := range []struct {
		labels labels.Labels
		view   View
		want   string
		shown  []string
		masked []string
	}{
		{labels.Labels{"phi": {"/ssn"}}, View{}, ` {"name":"Ann", "ssn" : "••• masked: phi","n":1.50e1,"visits":[{"note":"x"},{"note":null,"b":[1, 2]}],"ssn":"••• masked: phi","*":"star","a/b":"slash"}` + "\n", nil, []string{"phi"}},
		{labels.Labels{"phi": {"/ssn"}}, View{Labels: []string{"phi"}}, data, []string{"phi"}, nil},
		{labels.Labels{"phi": {"/ssn"}}, View{All: true}, data, []string{"phi"}, nil},
		{labels.Labels{"phi": {"/SSN", "/ssn/0", "/nothing", "/ss", "/ssn2", "/visits_0", "/visits/00", "/visits/-", "/visits/1/b/2"}}, View{}, data, nil, nil}, // they lead nowhere
		{labels.Labels{"phi": {"/visits/*/note"}, "pii": {"/visits/1"}}, View{Labels: []string{"pii"}}, ` {"name":"Ann", "ssn" : "078-05-1120","n":1.50e1,"visits":[{"note":"••• masked: phi"},{"note":"••• masked: phi","b":[1, 2]}],"ssn":7,"*":"star","a/b":"slash"}` + "\n", []string{"pii"}, []string{"phi"}},
		{labels.Labels{"phi": {"/visits/*/note"}, "pii": {"/visits/1"}}, View{Labels: []string{"phi"}}, ` {"name":"Ann", "ssn" : "078-05-1120","n":1.50e1,"visits":[{"note":"x"},"••• masked: pii"],"ssn":7,"*":"star","a/b":"slash"}` + "\n", []string{"phi"}, []string{"pii"}},
		{labels.Labels{"phi": {"/visits"}, "a": {"/visits"}}, View{}, ` {"name":"Ann", "ssn" : "078-05-1120","n":1.50e1,"visits":"••• masked: a, phi","ssn":7,"*":"star","a/b":"slash"}` + "\n", nil, []string{"a", "phi"}},
		{labels.Labels{"phi": {"/n"}, "a": {"/n"}}, View{Labels: []string{"a"}}, ` {"name":"Ann", "ssn" : "078-05-1120","n":"••• masked: phi","visits":[{"note":"x"},{"note":null,"b":[1, 2]}],"ssn":7,"*":"star","a/b":"slash"}` + "\n", nil, []string{"phi"}},
		{labels.Labels{"phi": {"/~2", "/a~1b"}}, View{}, ` {"name":"Ann", "ssn" : "078-05-1120","n":1.50e1,"visits":[{"note":"x"},{"note":null,"b":[1, 2]}],"ssn":7,"*":"••• masked: phi","a/b":"••• masked: phi"}` + "\n", nil, []string{"phi"}},
		{labels.Labels{"phi": {""}}, View{}, ` "••• masked: phi"` + "\n", nil, []string{"phi"}},
	} {
		p := payload(t, data, test.labels)
		before := proto.Clone(p)
		r := Payload(p, test.view)
		if got := string(r.Payload.GetData()); got != test.want || !slices.Equal(r.Shown, test.shown) || !slices.Equal(r.Masked, test.masked) {
			t.Errorf("labels %v for %v:\n got %s (shown %v, masked %v)\nwant %s (shown %v, masked %v)", test.labels, test.view, got, r.Shown, r.Masked, test.want, test.shown, test.masked)
		}
		if !proto.Equal(p, before) {
			t.Errorf("labels %v: the payload that was given is changed", test.labels)
		}
		if same := r.Payload == p; same != (test.want == data) {
			t.Errorf("labels %v for %v: the payload comes back as it is: %v", test.labels, test.view, same)
		}
	}
}

// TestWhatCannotBeUnderstoodIsMaskedAsAWhole, and nothing of its metadata is left.
func TestWhatCannotBeUnderstoodIsMaskedAsAWhole(t *testing.T) {
	const good = `{"v":1,"labels":{"phi":["/a"],"pii":["/b"]}}`
	both := View{Labels: []string{"pii", "phi"}}
	for name, test := range map[string]struct {
		encoding, labels, data string
		lacks                  string
		enough                 View // sees the payload
		tooLittle              View
	}{
		"labels that are no JSON":    {"json/plain", `phi`, `{"a":1}`, "unknown", View{All: true}, View{Labels: []string{"unknown", "phi"}}},
		"no labels":                  {"json/plain", ``, `{"a":1}`, "unknown", View{All: true}, both},
		"labels of a later version":  {"json/plain", `{"v":2,"labels":{}}`, `{"a":1}`, "unknown", View{All: true}, both},
		"a malformed pointer":        {"json/plain", `{"v":1,"labels":{"phi":["a"]}}`, `{"a":1}`, "unknown", View{All: true}, both},
		"data that is no JSON":       {"json/plain", good, `{"a":1`, "pii", both, View{Labels: []string{"phi"}}},
		"two values":                 {"json/plain", good, `{"a":1}{}`, "pii", both, View{Labels: []string{"phi"}}},
		"data that is not UTF-8":     {"json/plain", good, "{\"a\":\"\xff\"}", "pii", both, View{Labels: []string{"phi"}}},
		"data that nests too deeply": {"json/plain", good, strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000), "pii", both, View{Labels: []string{"phi"}}},
		"a binary message":           {"binary/protobuf", good, `{"a":1}`, "phi, pii", both, View{}},
		"bytes":                      {"binary/plain", good, `{"a":1}`, "phi", both, View{Labels: []string{"pii"}}},
		"no encoding":                {"", good, `{"a":1}`, "phi", both, View{Labels: []string{"pii"}}},
		"another encoding":           {"json/plain ", good, `{"a":1}`, "phi", both, View{Labels: []string{"pii"}}},
	} {
		p := &commonpb.Payload{Metadata: map[string][]byte{"encoding": []byte(test.encoding), "signet-labels": []byte(test.labels), "messageType": []byte("secret.Type")}, Data: []byte(test.data)}
		if r := Payload(p, test.enough); r.Payload != p || len(r.Masked) > 0 || len(r.Shown) == 0 {
			t.Errorf("%s: who may see everything gets %v", name, r)
		}
		want := &commonpb.Payload{Metadata: map[string][]byte{"encoding": []byte("json/plain"), "signet-masked": []byte("v1")}, Data: []byte(`"••• masked: ` + test.lacks + `"`)}
		r := Payload(p, test.tooLittle)
		if !proto.Equal(r.Payload, want) || len(r.Shown) > 0 || strings.Join(r.Masked, ", ") != test.lacks {
			t.Errorf("%s: got %v, want %v", name, r, want)
		}
	}
}

func TestWhatIsNotLabelledComesBackAsItIs(t *testing.T) {
	for _, p := range []*commonpb.Payload{
		nil, {},
		{Metadata: map[string][]byte{"encoding": []byte("json/plain")}, Data: []byte(`{"a":1`)},
		{Metadata: map[string][]byte{"encoding": []byte("binary/null"), "signet-labels": []byte(`malformed`)}},
	} {
		if r := Payload(p, View{}); r.Payload != p || r.Shown != nil || r.Masked != nil {
			t.Errorf("%v becomes %v", p, r)
		}
	}
}

// TestAProtobufMessageIsMaskedByItsJSONNames keeps its metadata: only its data is masked.
func TestAProtobufMessageIsMaskedByItsJSONNames(t *testing.T) {
	p := payload(t, `{"workflowId":"x", "runId":"y"}`, labels.Labels{"phi": {"/workflowId", "/workflow_id"}})
	p.Metadata["encoding"], p.Metadata["messageType"] = []byte("json/protobuf"), []byte("temporal.api.common.v1.WorkflowExecution")
	r := Payload(p, View{})
	want := proto.Clone(p).(*commonpb.Payload)
	want.Data, want.Metadata["signet-masked"] = []byte(`{"workflowId":"••• masked: phi", "runId":"y"}`), []byte("v1")
	if !proto.Equal(r.Payload, want) {
		t.Errorf("got %v, want %v", r.Payload, want)
	}
}

// TestMasksDoNotFloodTheAnswer: millions of tiny values that are masked one by one would take many times their memory.
func TestMasksDoNotFloodTheAnswer(t *testing.T) {
	data := "[0" + strings.Repeat(",0", 1<<20) + "]"
	r := Payload(payload(t, data, labels.Labels{"phi": {"/*"}}), View{})
	if got := string(r.Payload.GetData()); got != `"••• masked: phi"` {
		t.Errorf("got %d bytes: %.60s", len(got), got)
	}
	some := "[0" + strings.Repeat(",0", 1000) + "]"
	r = Payload(payload(t, some, labels.Labels{"phi": {"/*"}}), View{})
	if got := strings.Count(string(r.Payload.GetData()), "masked: phi"); got != 1001 {
		t.Errorf("%d masks in place of 1001 numbers", got)
	}
}

func TestMasksAreFoundInWhatIsSentBack(t *testing.T) {
	for data, want := range map[string]bool{
		`{"a":"••• masked: phi"}`:                         true,
		`{"a":"\u2022\u2022\u2022 masked: phi"}`:          true,
		`{"a":"{\"b\":\"••• masked: phi\"}"}`:             true,
		`"{\"b\":\"\\u2022\\u2022\\u2022 masked: phi\"}"`: true,
		`{"a":"•\u2022• masked: phi"}`:                    true,
		`"text ••••• masked: phi, pii text"`:              true,
		`"unmasked: x", "••• masked: x"`:                  true,
		`{"a":"•••• •••• •••• 4242"}`:                     false,
		`{"a":"•• masked: phi"}`:                          false,
		`{"a":"u2022u2022u2022 masked: phi"}`:             false,
		`" masked: "`:                                     false,
		``:                                                false,
	} {
		if got := Found(&commonpb.Payload{Data: []byte(data)}); got != want {
			t.Errorf("Found(%s) = %v", data, got)
		}
	}
	if !Found(&commonpb.Payload{Metadata: map[string][]byte{"signet-masked": nil}}) || Found(nil) {
		t.Error("the mark in the metadata decides without data")
	}
}

// FuzzMask: whatever data and labels are, and whoever looks, nothing panics, and the masks are those of the oracle, or the whole
// payload is masked.
func FuzzMask(f *testing.F) {
	for _, seed := range []struct{ labels, data string }{
		{`{"v":1,"labels":{"phi":["/ssn","/visits/*/note"],"pii":["/~2","/a~1b",""]}}`, `{"ssn":"078","visits":[{"note":[1,{}]},2],"*":0,"a/b":{"c":null}}`},
		{`{"v":1,"labels":{"phi":["/*","/0/a"],"pii":["/1"]}}`, " [ {\"a\":1,\"a\":2},\t-0.0e-1 , \"\\\"\\\\\" ]\n"},
		{`{"v":1,"labels":{"phi":["/\u00e4"]}}`, `{"\u00e4":1,"ä":2}`},
		{`{"v":1,"labels":{"phi":["a"]}}`, `{"a":1}`},
		{`{"v":2}`, `{"a":1`},
	} {
		for view := range byte(8) {
			f.Add([]byte(seed.labels), []byte(seed.data), view)
		}
	}
	f.Fuzz(func(t *testing.T, encoded, data []byte, which byte) {
		view := View{All: which&4 != 0}
		for i, label := range []string{"phi", "pii"} {
			if which&(1<<i) != 0 {
				view.Labels = append(view.Labels, label)
			}
		}
		p := &commonpb.Payload{Metadata: map[string][]byte{"encoding": []byte("json/plain"), labels.Metadata: encoded}, Data: data}
		r := Payload(p, view)
		if (r.Payload == p) != (len(r.Masked) == 0) {
			t.Fatalf("%v, masked %v", r.Payload, r.Masked)
		}
		if view.All {
			if r.Payload != p {
				t.Fatal("masked for somebody who may see all")
			}
			return
		}
		parsed, err := labels.Parse(encoded)
		if errors.Is(err, labels.ErrMalformed) && len(data) > 0 && !bytes.Equal(r.Payload.GetData(), []byte(`"••• masked: unknown"`)) {
			t.Fatalf("malformed labels, and %q is shown", r.Payload.GetData())
		}
		if err != nil || !isJSON(p) || len(data) > 4<<10 || r.Payload.GetMetadata()["encoding"] == nil {
			return
		}
		want := consult(t, data, parsed, view)
		if got := r.Payload.GetData(); string(got) != want.out.String() {
			t.Fatalf("labels %s, view %v:\n data %s\n  got %s\n want %s", encoded, view, data, got, want.out.String())
		}
	})
}

func BenchmarkMask(b *testing.B) {
	filler := strings.Repeat("lorem ipsum ", 60)
	data := `{"name":"Ann Example","ssn":"078-05-1120","born":"1970-01-01","visits":[{"when":"2026-01-01","note":"well"},{"when":"2026-02-01","note":"unwell"}],"address":{"street":"Main","zip":12345},"text":"` + filler + `","more":[1,2,3,4,5,6,7,8,9]}`
	p := payload(b, data, labels.Labels{"phi": {"/ssn", "/visits/*/note"}, "pii": {"/name", "/address", "/born"}})
	b.Logf("%d bytes", len(data))
	// The baselines: reading the same JSON and doing nothing, and a payload without labels.
	b.Run("baseline-valid", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		for b.Loop() {
			rawjson.Valid(p.GetData())
		}
	})
	b.Run("baseline-no-labels", func(b *testing.B) {
		b.ReportAllocs()
		bare := &commonpb.Payload{Metadata: map[string][]byte{"encoding": []byte("json/plain")}, Data: p.GetData()}
		for b.Loop() {
			Payload(bare, View{})
		}
	})
	for name, view := range map[string]View{"all": {All: true}, "some": {Labels: []string{"pii"}}, "none": {}} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				Payload(p, view)
			}
		})
	}
}
