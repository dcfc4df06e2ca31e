package mask

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"regexp"
	"strings"
	"testing"

	commonpb "go.temporal.io/api/common/v1"
	failurepb "go.temporal.io/api/failure/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/signet-temporal/signet/labels"
)

// randomType makes a type out of structs with tags, pointers, slices, arrays, maps and interfaces.
func randomType(r *rand.Rand, depth int) reflect.Type {
	kind := r.IntN(9)
	if depth == 0 {
		kind = r.IntN(3)
	}
	switch kind {
	case 0, 1:
		return reflect.TypeFor[string]()
	case 2:
		return reflect.TypeFor[any]()
	case 3:
		return reflect.PointerTo(randomType(r, depth-1))
	case 4:
		return reflect.SliceOf(randomType(r, depth-1))
	case 5:
		return reflect.ArrayOf(2, randomType(r, depth-1))
	case 6:
		return reflect.MapOf(reflect.TypeFor[string](), randomType(r, depth-1))
	}
	var fields []reflect.StructField
	names := []string{"", "", "a/b", "~x", "st*r", "ü", "a.b,omitempty", ",omitempty", "<&>", "plain", "~1", "0", "-,"}
	r.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	for i := range 1 + r.IntN(4) {
		var tag []string
		if names[i] != "" {
			tag = append(tag, fmt.Sprintf("json:%q", names[i]))
		}
		if sensitive := []string{"", "", "", "phi", "pii,phi", "-", "no label"}[r.IntN(7)]; sensitive != "" {
			tag = append(tag, fmt.Sprintf("sensitive:%q", sensitive))
		}
		fields = append(fields, reflect.StructField{Name: fmt.Sprintf("F%d", i), Type: randomType(r, depth-1), Tag: reflect.StructTag(strings.Join(tag, " "))})
	}
	return reflect.StructOf(fields)
}

// filler writes SECRET into whatever is labelled or of unknown shape, and public into the rest.
type filler struct{ n int }

func (f *filler) text(secret bool) string {
	f.n++
	if secret {
		return fmt.Sprintf("SECRET%d.", f.n)
	}
	return fmt.Sprintf("public%d.", f.n)
}

// fill: looked says that a tag speaks for what is of unknown shape in v.
func (f *filler) fill(v reflect.Value, secret, looked bool) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(f.text(secret))
	case reflect.Interface:
		v.Set(reflect.ValueOf(map[string]string{"k": f.text(secret || !looked)}))
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		f.fill(v.Elem(), secret, looked)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		f.fill(v.Index(0), secret, looked)
		f.fill(v.Index(1), secret, looked)
	case reflect.Array:
		for i := range v.Len() {
			f.fill(v.Index(i), secret, looked)
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for _, key := range []string{"key", "a/~*", "7"} {
			e := reflect.New(v.Type().Elem()).Elem()
			f.fill(e, secret, looked)
			v.SetMapIndex(reflect.ValueOf(key), e)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			tag, ok := v.Type().Field(i).Tag.Lookup("sensitive")
			if v.Field(i).CanSet() || v.Type().Field(i).Anonymous && v.Type().Field(i).Type.Kind() == reflect.Struct {
				f.fill(v.Field(i), secret || ok && tag != "-", ok && tag != "no label")
			}
		}
	}
}

var public = regexp.MustCompile(`public\d+\.`)

// maskedBytes is what somebody sees of v who may see no label, and how many texts of it they see and do not see.
func maskedBytes(t *testing.T, types *labels.Types, v any) (shown, gone int) {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	p := &commonpb.Payload{Metadata: map[string][]byte{"encoding": []byte("json/plain")}, Data: data}
	if encoded := types.Of(v); encoded != nil {
		p.Metadata[labels.Metadata] = encoded
	}
	got := string(Payload(p, View{}).Payload.GetData())
	if strings.Contains(got, "SECRET") {
		t.Fatalf("%T has the labels %s\nand of %s\n     is shown %s", v, types.Of(v), data, got)
	}
	for _, text := range public.FindAllString(string(data), -1) {
		if !strings.Contains(got, text) {
			t.Fatalf("%T has the labels %s\nand of %s\n     is shown %s, without %s", v, types.Of(v), data, got, text)
		}
		shown++
	}
	return shown, strings.Count(string(data), "SECRET")
}

// TestWhatATagLabelsIsMaskedAndNothingElse holds labels, encoding/json and masks together, for random types.
func TestWhatATagLabelsIsMaskedAndNothingElse(t *testing.T) {
	types, err := labels.NewTypes(labels.Options{})
	if err != nil {
		t.Fatal(err)
	}
	shown, gone := 0, 0
	for seed := range uint64(1500) {
		v := reflect.New(randomType(rand.New(rand.NewPCG(11, seed)), 4))
		new(filler).fill(v.Elem(), false, false)
		s, g := maskedBytes(t, types, v.Interface())
		shown, gone = shown+s, gone+g
	}
	t.Logf("%d texts shown, %d masked", shown, gone)
	if shown < 500 || gone < 500 {
		t.Error("too little for this test to mean anything")
	}
}

type (
	Base struct {
		ID     string `sensitive:"pii"`
		Name   string `sensitive:"pii"`
		Public string
		Twice  string `sensitive:"pii"`
	}
	Other struct {
		Twice string
		Own   string
	}
	hiddenBase struct {
		Own string `json:"own" sensitive:"phi"`
	}
	shadows struct {
		Base
		*Other
		ID string // in place of Base.ID
	}
	tagWins struct {
		Base
		Tagged
	}
	Tagged struct {
		Say string `json:"Twice"` // in place of Base.Twice: its tag gives the name
		Pub string `json:"Public" sensitive:"phi"`
	}
	throughUnexported struct {
		hiddenBase
		X string
	}
	wholeEmbedded struct {
		Base  `sensitive:"phi"`
		Plain string
	}
	embeddedByName struct {
		Base  `json:"base"`
		Other `json:"other" sensitive:"phi"`
	}
)

// TestWhatATagLabelsIsMaskedThroughEmbedding: reflect cannot make these types at random.
func TestWhatATagLabelsIsMaskedThroughEmbedding(t *testing.T) {
	types, err := labels.NewTypes(labels.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []any{new(shadows), new(tagWins), new(throughUnexported), new(wholeEmbedded), new(embeddedByName)} {
		new(filler).fill(reflect.ValueOf(v).Elem(), false, false)
		if shown, gone := maskedBytes(t, types, v); shown == 0 || gone == 0 {
			t.Errorf("%T: %d texts shown, %d masked: this says nothing", v, shown, gone)
		}
	}
}

// TestLabelsOfAMessageMaskWhatProtojsonWrites, under both names that it can be told to write.
func TestLabelsOfAMessageMaskWhatProtojsonWrites(t *testing.T) {
	types, err := labels.NewTypes(labels.Options{Fields: map[protoreflect.FullName][]string{
		"temporal.api.common.v1.WorkflowExecution.workflow_id": {"phi"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	m := &failurepb.Failure{Message: "public1.", FailureInfo: &failurepb.Failure_ChildWorkflowExecutionFailureInfo{
		ChildWorkflowExecutionFailureInfo: &failurepb.ChildWorkflowExecutionFailureInfo{
			WorkflowExecution: &commonpb.WorkflowExecution{WorkflowId: "SECRET", RunId: "public2."},
		},
	}}
	for _, asWritten := range []bool{false, true} {
		data, err := protojson.MarshalOptions{UseProtoNames: asWritten}.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		p := &commonpb.Payload{Metadata: map[string][]byte{"encoding": []byte("json/protobuf"), labels.Metadata: types.Of(m)}, Data: data}
		got := string(Payload(p, View{}).Payload.GetData())
		if strings.Contains(got, "SECRET") || !strings.Contains(got, "public1.") || !strings.Contains(got, "public2.") {
			t.Errorf("labels %s: %s is shown as %s", types.Of(m), data, got)
		}
	}
}
