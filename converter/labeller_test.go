package converter

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	commonpb "go.temporal.io/api/common/v1"
	sdk "go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"google.golang.org/protobuf/proto"

	"github.com/signet-temporal/signet/labels"
)

type patient struct {
	Name   string   `json:"name"`
	SSN    string   `json:"ssn" sensitive:"phi"`
	Notes  []string `json:"notes" sensitive:"phi,pii"`
	Filler string   `json:"filler"`
}

const patientLabels = `{"v":1,"labels":{"phi":["/notes","/ssn"],"pii":["/notes"]}}`

func newLabeller(t testing.TB, parent sdk.DataConverter) *Labeller {
	t.Helper()
	types, err := labels.NewTypes(labels.Options{})
	if err != nil {
		t.Fatal(err)
	}
	l, err := NewLabeller(parent, types)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func labelling(t testing.TB) (*DataConverter, *Codec) {
	t.Helper()
	codec, err := NewCodec(newKeys(t, benchTypes()["gcm"], "ns/default"), CodecOptions{Keyset: "ns/default", Scope: "default"})
	if err != nil {
		t.Fatal(err)
	}
	dc, err := NewDataConverter(newLabeller(t, nil), codec)
	if err != nil {
		t.Fatal(err)
	}
	return dc, codec
}

// TestLabelsAreSealedWithTheData: they stand inside, the data is what it is without them, and the value comes back.
func TestLabelsAreSealedWithTheData(t *testing.T) {
	dc, codec := labelling(t)
	value := patient{Name: "Ann", SSN: "078-05-1120", Notes: []string{"well"}}
	plain, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	one, err := dc.ToPayload(value)
	if err != nil {
		t.Fatal(err)
	}
	many, err := dc.ToPayloads("text", &value, nil, []byte("bytes"), labels.Whole("078-05-1120", "phi"))
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []struct{ labels, data string }{
		{patientLabels, string(plain)},
		{"", `"text"`},
		{patientLabels, string(plain)},
		{"", ""},
		{"", "bytes"},
		{`{"v":1,"labels":{"phi":[""]}}`, `"078-05-1120"`},
	} {
		sealed := append([]*commonpb.Payload{one}, many.GetPayloads()...)[i]
		if strings.Contains(sealed.String(), "signet-labels") || strings.Contains(sealed.String(), "ssn") {
			t.Errorf("payload %d shows labels on the outside: %v", i, sealed)
		}
		opened, err := codec.Open(sealed)
		if err != nil {
			t.Fatal(err)
		}
		got, has := opened.GetMetadata()["signet-labels"]
		if string(got) != want.labels || has != (want.labels != "") || string(opened.GetData()) != want.data {
			t.Errorf("payload %d holds %v", i, opened)
		}
	}
	var text, ssn string
	var back patient
	var nothing *string
	var bytes []byte
	if err := dc.FromPayloads(many, &text, &back, &nothing, &bytes, &ssn); err != nil || back.SSN != value.SSN || ssn != value.SSN {
		t.Errorf("read back: %v, %+v, %q", err, back, ssn)
	}
}

// TestAValueWithLabelsIsConvertedAsWhatItHolds, and nil has nothing to label.
func TestAValueWithLabelsIsConvertedAsWhatItHolds(t *testing.T) {
	l := newLabeller(t, nil)
	p, err := l.ToPayload(labels.Whole([]byte("x"), "phi"))
	if err != nil || string(p.GetMetadata()["encoding"]) != "binary/plain" || string(p.GetMetadata()["signet-labels"]) != `{"v":1,"labels":{"phi":[""]}}` {
		t.Errorf("%v, %v", p, err)
	}
	p, err = l.ToPayload((*patient)(nil))
	if err != nil || len(p.GetMetadata()) != 1 {
		t.Errorf("%v, %v", p, err)
	}
}

func TestARawValueKeepsTheLabelsItHas(t *testing.T) {
	dc, codec := labelling(t)
	raw := &commonpb.Payload{Metadata: map[string][]byte{"encoding": []byte("json/plain"), "signet-labels": []byte(`{"v":1,"labels":{"pci":["/a"]}}`)}, Data: []byte(`{"a":1}`)}
	for _, p := range []*commonpb.Payload{raw, {Metadata: map[string][]byte{"encoding": []byte("json/plain")}, Data: []byte(`1`)}} {
		sealed, err := dc.ToPayload(sdk.NewRawValue(p))
		if err != nil {
			t.Fatal(err)
		}
		if opened, err := codec.Open(sealed); err != nil || !proto.Equal(opened, p) {
			t.Errorf("%v becomes %v, %v", p, opened, err)
		}
	}
}

// TestDetailsOfFailuresAreLabelled: the failure converter has details converted by what the data converter seals for.
func TestDetailsOfFailuresAreLabelled(t *testing.T) {
	dc, codec := labelling(t)
	fc, err := NewFailureConverter(nil, dc)
	if err != nil {
		t.Fatal(err)
	}
	failure := fc.ErrorToFailure(temporal.NewApplicationError("no", "type", patient{}))
	opened, err := codec.Open(failure.GetApplicationFailureInfo().GetDetails().GetPayloads()[0])
	if err != nil || string(opened.GetMetadata()["signet-labels"]) != patientLabels {
		t.Errorf("details are %v, %v", opened, err)
	}
}

// TestContextsReachTheParent: a labeller in between hides nothing of what the SDK tells a data converter.
func TestContextsReachTheParent(t *testing.T) {
	parent := &contextual{}
	var dc sdk.DataConverter = newLabeller(t, parent)
	dc = sdk.WithDataConverterSerializationContext(dc, sdk.WorkflowSerializationContext{WorkflowID: "w"})
	dc = dc.(sdk.ContextAware).WithContext(t.Context())
	dc = dc.(sdk.ContextAware).WithWorkflowContext(nil)
	l, ok := dc.(*Labeller)
	if !ok {
		t.Fatalf("the labeller is lost: %T", dc)
	}
	if got := l.DataConverter.(*contextual).heard; got != "serialization context workflow " {
		t.Errorf("the parent heard %q", got)
	}
	p, err := dc.ToPayload(patient{})
	if err != nil || string(p.GetMetadata()["signet-labels"]) != patientLabels {
		t.Errorf("%v, %v", p, err)
	}
	var plain sdk.DataConverter = newLabeller(t, regrouping{sdk.GetDefaultDataConverter()})
	if plain.(sdk.ContextAware).WithContext(t.Context()) != plain || plain.(sdk.ContextAware).WithWorkflowContext(nil) != plain {
		t.Error("a labeller over a parent without contexts is made anew")
	}
}

func TestALabellerThatWouldNotWorkIsRefused(t *testing.T) {
	types, err := labels.NewTypes(labels.Options{})
	if err != nil {
		t.Fatal(err)
	}
	dc, _ := labelling(t)
	for name, make := range map[string]func() (*Labeller, error){
		"without types":  func() (*Labeller, error) { return NewLabeller(nil, nil) },
		"around sealing": func() (*Labeller, error) { return NewLabeller(dc, types) },
		"around another": func() (*Labeller, error) { return NewLabeller(newLabeller(t, nil), types) },
	} {
		if l, err := make(); err == nil || l != nil {
			t.Errorf("%s: %v, %v", name, l, err)
		}
	}
}

// TestAnErrorOfTheParentComesAlone, and so does nothing at all.
func TestAnErrorOfTheParentComesAlone(t *testing.T) {
	l := newLabeller(t, nil)
	if p, err := l.ToPayload(make(chan int)); err == nil || p != nil {
		t.Errorf("%v, %v", p, err)
	}
	if ps, err := l.ToPayloads(patient{}, make(chan int)); err == nil || ps != nil {
		t.Errorf("%v, %v", ps, err)
	}
	if ps, err := l.ToPayloads(); err != nil || ps != nil {
		t.Errorf("no values: %v, %v", ps, err)
	}
}

// TestAParentThatRegroupsIsNotGuessedAt: labels that nobody can place cover everything.
func TestAParentThatRegroupsIsNotGuessedAt(t *testing.T) {
	l := newLabeller(t, regrouping{sdk.GetDefaultDataConverter()})
	ps, err := l.ToPayloads(patient{}, "text")
	if err != nil || len(ps.GetPayloads()) != 1 || string(ps.GetPayloads()[0].GetMetadata()["signet-labels"]) != `{"v":1,"labels":{"unknown":[""]}}` {
		t.Errorf("%v, %v", ps, err)
	}
	if ps, err = l.ToPayloads("more", "text"); err != nil || len(ps.GetPayloads()[0].GetMetadata()) != 1 {
		t.Errorf("without labels: %v, %v", ps, err)
	}
}

type regrouping struct{ sdk.DataConverter }

func (r regrouping) ToPayloads(values ...any) (*commonpb.Payloads, error) {
	p, err := r.ToPayload(values)
	return &commonpb.Payloads{Payloads: []*commonpb.Payload{p}}, err
}

// TestTheParentsPayloadIsNotChanged: it may be one that the parent keeps.
func TestTheParentsPayloadIsNotChanged(t *testing.T) {
	kept := &commonpb.Payload{Metadata: map[string][]byte{"encoding": []byte("json/plain")}, Data: []byte(`{}`)}
	l := newLabeller(t, keeping{sdk.GetDefaultDataConverter(), kept})
	p, err := l.ToPayload(patient{})
	if err != nil || len(p.GetMetadata()) != 2 || len(kept.GetMetadata()) != 1 {
		t.Errorf("%v, %v, and the parent's %v", p, err, kept)
	}
}

type keeping struct {
	sdk.DataConverter
	kept *commonpb.Payload
}

func (k keeping) ToPayload(any) (*commonpb.Payload, error) { return k.kept, nil }

// TestLabelsCostLittle: a type without labels costs no allocation, a type with labels those of a payload and its metadata.
func TestLabelsCostLittle(t *testing.T) {
	l := newLabeller(t, keeping{sdk.GetDefaultDataConverter(), benchPayload(1 << 10)})
	var plain, labelled any = &struct{ A string }{}, &patient{}
	for _, test := range []struct {
		value any
		most  float64
	}{{plain, 0}, {labelled, 3}} {
		if n := leastAllocs(func() { _, _ = l.ToPayload(test.value) }); n > test.most {
			t.Errorf("%T costs %v allocations, want at most %v", test.value, n, test.most)
		}
	}
}

// BenchmarkLabels: what labels add to the conversion of a struct of 1 KiB.
func BenchmarkLabels(b *testing.B) {
	parent := sdk.GetDefaultDataConverter()
	filler := strings.Repeat("x", 900)
	type unlabelled struct{ Name, Number, Filler string }
	kept := benchPayload(1 << 10)
	for name, value := range map[string]any{
		"labelled": &patient{"Ann", "078-05-1120", []string{"well", "again"}, filler},
		"not":      &unlabelled{"Ann", "078-05-1120", filler},
	} {
		for kind, dc := range map[string]sdk.DataConverter{
			"with-JSON/bare": parent, "with-JSON/labeller": newLabeller(b, parent),
			"alone/bare": keeping{parent, kept}, "alone/labeller": newLabeller(b, keeping{parent, kept}),
		} {
			b.Run(name+"/"+kind, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, err := dc.ToPayload(value); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// contextual notes what it is told.
type contextual struct {
	sdk.DataConverter
	heard string
}

func (c *contextual) with(what string) sdk.DataConverter {
	return &contextual{sdk.GetDefaultDataConverter(), c.heard + what + " "}
}

func (c *contextual) WithSerializationContext(sdk.SerializationContext) sdk.DataConverter {
	return c.with("serialization")
}
func (c *contextual) WithContext(context.Context) sdk.DataConverter { return c.with("context") }
func (c *contextual) WithWorkflowContext(sdk.WorkflowContext) sdk.DataConverter {
	return c.with("workflow")
}
