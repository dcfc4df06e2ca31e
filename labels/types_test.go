package labels

import (
	"encoding/json"
	"maps"
	"math/big"
	"net/netip"
	"reflect"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"
)

type (
	// The tags are what they are: encoding/json has a rule for each, and so have we.
	named struct {
		Plain   string
		SSN     string `sensitive:"phi"`
		Renamed string `json:"social/security~no*" sensitive:"phi, pii"`
		Empty   *int   `json:",omitempty" sensitive:"pii"`
		//lint:ignore SA5008 on purpose
		BadName string `json:"a\\b" sensitive:"pii"`
		Skipped string `json:"-" sensitive:"phi"`
		//lint:ignore SA5008 on purpose
		Dash string `json:"-," sensitive:"phi"`
		//lint:ignore U1000 on purpose
		hidden string `sensitive:"phi"`
	}
	inner struct{ Note, Plain string }
	visit struct {
		Note string `json:"note" sensitive:"phi"`
		When time.Time
	}
	nested struct {
		One    visit
		Ptr    **visit
		List   []*visit
		Array  [2]visit
		ByName map[string][]visit
		All    []inner `sensitive:"phi"`
	}
	base struct {
		ID   string `sensitive:"pii"`
		Name string `sensitive:"pii"`
		Kept string `sensitive:"pii"`
	}
	other    struct{ Kept, Name string }
	shadowed struct {
		base
		*other
		ID   string // wins: less deep
		Name string `json:"name"`
	}
	tagWins struct {
		base
		tagged
	}
	tagged struct {
		K string `json:"Kept" sensitive:"phi"` // wins over base.Kept: its tag gives the name
	}
	whole struct {
		base  `sensitive:"phi"`
		Plain string
	}
	asField struct {
		base `json:"person"`
	}
	unclear struct {
		Any    any
		Raw    json.RawMessage `json:"raw"`
		Custom custom
		Ptr    *ptrCustom
		Errs   []error
		ByName map[string]any
		Seen   any             `sensitive:"-"`
		Tagged json.RawMessage `sensitive:"phi"`
		Many   []any           `sensitive:"-"`
		When   *time.Time
		Number json.Number
		Big    *big.Int
		Addr   netip.Addr
		Bytes  []byte
		Bad    string `sensitive:""`
		Worse  string `sensitive:"phi,no label"`
	}
	custom    struct{ Secret string }
	ptrCustom struct {
		Secret string `sensitive:"phi"`
	}
	text struct {
		Secret string `sensitive:"phi"`
	}
	texts struct {
		Text  text
		Plain plainText
	}
	plainText struct{ A, B string }
	halfSeen  struct {
		A []any `sensitive:"-"`
		B []any // has the same type, and nobody has looked
	}
	octet   uint8
	outside struct {
		Visit visit `sensitive:"phi"` // what is labelled outside needs no label within
	}
	tree struct {
		Name string
		SSN  string `json:"ssn" sensitive:"phi"`
		Kids []*tree
	}
	plainTree struct{ Kids map[string]plainTree }
	ownSlice  []ownSlice
	ssn       string
	byKey     struct {
		Names map[ssn]string
		Plain map[string]ssn
	}
	embedsTime struct {
		time.Time
		SSN string `sensitive:"phi"`
	}
	loop struct {
		//lint:ignore U1000 on purpose
		*loop
		SSN string `sensitive:"phi"`
	}
)

func (custom) MarshalJSON() ([]byte, error)     { return []byte(`{"s":"x"}`), nil }
func (*ptrCustom) MarshalJSON() ([]byte, error) { return []byte(`{"s":"x"}`), nil }
func (text) MarshalText() ([]byte, error)       { return []byte("x"), nil }
func (halfSeen) MarshalText() ([]byte, error)   { return []byte("x"), nil }
func (plainText) MarshalText() ([]byte, error)  { return []byte("x"), nil }

func TestLabelsFollowTheNamesOfEncodingJSON(t *testing.T) {
	types := newTypes(t, Options{Types: map[reflect.Type]Labels{
		reflect.TypeFor[*ssn]():  {"phi": {""}},
		reflect.TypeFor[octet](): {"phi": {""}},
	}})
	for typ, want := range map[reflect.Type]Labels{
		reflect.TypeFor[named](): {
			"phi": {"/-", "/SSN", "/social~1security~0no~2"},
			"pii": {"/BadName", "/Empty", "/social~1security~0no~2"},
		},
		reflect.TypeFor[***named](): {
			"phi": {"/-", "/SSN", "/social~1security~0no~2"},
			"pii": {"/BadName", "/Empty", "/social~1security~0no~2"},
		},
		reflect.TypeFor[nested](): {"phi": {
			"/All", "/Array/*/note", "/ByName/*/*/note", "/List/*/note", "/One/note", "/Ptr/note",
		}},
		reflect.TypeFor[[]visit]():           {"phi": {"/*/note"}},
		reflect.TypeFor[map[string]*visit](): {"phi": {"/*/note"}},
		// Kept is twice at one depth and not written; Name of base is shadowed by nothing: the outer one is called "name".
		reflect.TypeFor[shadowed](): {},
		reflect.TypeFor[tagWins]():  {"pii": {"/ID", "/Name"}, "phi": {"/Kept"}},
		reflect.TypeFor[whole](): {
			"phi": {"/ID", "/Kept", "/Name"}, "pii": {"/ID", "/Kept", "/Name"},
		},
		reflect.TypeFor[asField](): {"pii": {"/person/ID", "/person/Kept", "/person/Name"}},
		reflect.TypeFor[unclear](): {
			"phi":     {"/Ptr", "/Tagged"},
			"unknown": {"/Any", "/Bad", "/ByName/*", "/Custom", "/Errs/*", "/Ptr", "/Worse", "/raw"},
		},
		reflect.TypeFor[texts]():      {"phi": {"/Text"}},
		reflect.TypeFor[tree]():       {"phi": {"/Kids/*", "/ssn"}},
		reflect.TypeFor[plainTree]():  {},
		reflect.TypeFor[ownSlice]():   {},
		reflect.TypeFor[ssn]():        {"phi": {""}},
		reflect.TypeFor[byKey]():      {"phi": {"/Names", "/Plain/*"}},
		reflect.TypeFor[embedsTime](): {"phi": {""}, "unknown": {""}},
		reflect.TypeFor[loop]():       {"phi": {"/SSN"}},

		reflect.TypeFor[halfSeen](): {"unknown": {""}},
		reflect.TypeFor[outside]():  {"phi": {"/Visit"}},
		reflect.TypeFor[[]octet]():  {"phi": {""}}, // base64
		reflect.TypeFor[[2]octet](): {"phi": {"/*"}},

		reflect.TypeFor[string]():         {},
		reflect.TypeFor[[]byte]():         {},
		reflect.TypeFor[map[string]any](): {"unknown": {"/*"}},
		reflect.TypeFor[time.Time]():      {},
	} {
		got := types.ForType(typ)
		for _, pointers := range got {
			slices.Sort(pointers)
		}
		if !maps.EqualFunc(got, want, slices.Equal[[]string]) {
			t.Errorf("labels of %s:\n got %v\nwant %v", typ, got, want)
		}
	}
}

func newTypes(t testing.TB, options Options) *Types {
	t.Helper()
	types, err := NewTypes(options)
	if err != nil {
		t.Fatal(err)
	}
	return types
}

type (
	fan[T any]  struct{ A, B, C, D *T }
	fans[T any] fan[fan[fan[fan[fan[T]]]]]
)

// TestATypeWithTooManyPathsIsLabelledAsAWhole: 4^20 paths lead to the field, and nobody lives to see them walked.
func TestATypeWithTooManyPathsIsLabelledAsAWhole(t *testing.T) {
	types := newTypes(t, Options{})
	if got := types.ForType(reflect.TypeFor[fans[fans[fans[fans[visit]]]]]()); !reflect.DeepEqual(got, Labels{"phi": {""}}) {
		t.Errorf("got %v", got)
	}
	if got := types.ForType(reflect.TypeFor[fans[fans[fans[fans[inner]]]]]()); len(got) > 0 {
		t.Errorf("without labels: got %v", got)
	}
}

func TestLabelsByHandAreChecked(t *testing.T) {
	for name, options := range map[string]Options{
		"a nil type":             {Types: map[reflect.Type]Labels{nil: {}}},
		"a bad label":            {Types: map[reflect.Type]Labels{reflect.TypeFor[ssn](): {"no label": {""}}}},
		"a bad pointer":          {Types: map[reflect.Type]Labels{reflect.TypeFor[ssn](): {"phi": {"ssn"}}}},
		"a field without names":  {Fields: map[protoreflect.FullName][]string{"ssn": {"phi"}}},
		"a bad label of a field": {Fields: map[protoreflect.FullName][]string{"acme.Patient.ssn": {"-"}}},
	} {
		if _, err := NewTypes(options); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

// TestATypeIsLookedAtOnce: what is answered for a type is the same bytes, and costs no allocation.
func TestATypeIsLookedAtOnce(t *testing.T) {
	types := newTypes(t, Options{})
	values := []any{&nested{}, inner{}, "text", 17}
	first := make([][]byte, len(values))
	for i, v := range values {
		first[i] = types.Of(v)
	}
	if len(first[0]) == 0 || first[1] != nil || first[2] != nil || first[3] != nil {
		t.Fatalf("labels are %q", first)
	}
	if n := testing.AllocsPerRun(100, func() {
		for i, v := range values {
			if again := types.Of(v); len(again) > 0 && &again[0] != &first[i][0] {
				t.Fatalf("%T is looked at again", v)
			}
		}
	}); n != 0 {
		t.Errorf("%v allocations to look up what is known", n)
	}
}

func TestAValueHasTheLabelsItSays(t *testing.T) {
	types := newTypes(t, Options{})
	for _, test := range []struct {
		value any
		want  string
	}{
		{Value{map[string]any{}, Labels{"phi": {"/a/*"}}}, `{"v":1,"labels":{"phi":["/a/*"]}}`},
		{Value{visit{}, nil}, ``},
		{Whole(visit{}, "pci", "phi"), `{"v":1,"labels":{"pci":[""],"phi":[""]}}`},
		{Value{visit{}, Labels{"phi": {"a"}}}, `{"v":1,"labels":{"unknown":[""]}}`},
		{Whole(visit{}, "no label"), `{"v":1,"labels":{"unknown":[""]}}`},
		{nil, ``},
		{(*visit)(nil), `{"v":1,"labels":{"phi":["/note"]}}`},
	} {
		if got := string(types.Of(test.value)); got != test.want {
			t.Errorf("labels of %#v: %s, want %s", test.value, got, test.want)
		}
	}
	if text, err := json.Marshal(Whole("x", "phi")); err != nil || string(text) != `"x"` {
		t.Errorf("a Value without a labeller is written as %s, %v", text, err)
	}
}

func BenchmarkOf(b *testing.B) {
	types := newTypes(b, Options{})
	for name, value := range map[string]any{"labelled": &nested{}, "not": &inner{}} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				types.Of(value)
			}
		})
	}
}
