package labels

import (
	"maps"
	"reflect"
	"slices"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/signet-temporal/signet/internal/labelstest"
	"github.com/signet-temporal/signet/labels/labelspb"
)

func TestTheOptionIsTheOneOfTheProtoFile(t *testing.T) {
	d := labelspb.E_Sensitive.TypeDescriptor()
	if d.FullName() != optionName || d.Number() != optionNumber || d.Kind() != protoreflect.StringKind || d.IsList() {
		t.Errorf("the option is %s, number %d, of kind %s", d.FullName(), d.Number(), d.Kind())
	}
}

func TestLabelsOfMessagesByTheirOption(t *testing.T) {
	types := newTypes(t, Options{})
	for _, test := range []struct {
		value any
		want  Labels
	}{
		{&labelstest.Patient{}, Labels{
			"pii": {"/fullName", "/full_name", "/guardian", "/mail", "/ssn"}, // the guardian is a patient: there is no end of pointers
			"phi": {
				"/answers", "/a~1b~2", "/born", "/byDay/*/diagnosis", "/by_day/*/diagnosis", "/guardian", "/notes",
				"/renamed", "/secretVisit/diagnosis", "/secret_visit/diagnosis", "/ssn", "/visit/diagnosis", "/visits/*/diagnosis",
			},
			"vip": {"/guardian", "/secretVisit", "/secret_visit"},
		}},
		{&labelstest.Visit{}, Labels{"phi": {"/diagnosis"}}},
		{&labelstest.Ward{}, Labels{}},
		{&labelstest.Envelope{}, Labels{"unknown": {"/unlooked"}}},
		{&labelstest.Mistakes{}, Labels{"unknown": {"/empty", "/spaced", "/trailing"}}},
		// Within a Go struct encoding/json writes the generated struct, in another form.
		{struct{ V *labelstest.Visit }{}, Labels{"phi": {"/V"}}},
		{struct {
			V *labelstest.Visit `sensitive:"vip"`
		}{}, Labels{"phi": {"/V"}, "vip": {"/V"}}},
		// Of a message that is made at run time nobody knows the fields.
		{dynamicpb.NewMessage((&labelstest.Ward{}).ProtoReflect().Descriptor()), Labels{"unknown": {""}}},
	} {
		got := types.ForType(reflect.TypeOf(test.value))
		for _, pointers := range got {
			slices.Sort(pointers)
		}
		if !maps.EqualFunc(got, test.want, slices.Equal[[]string]) {
			t.Errorf("labels of %T:\n got %v\nwant %v", test.value, got, test.want)
		}
	}
}

func TestLabelsByHandReplaceTheOption(t *testing.T) {
	types := newTypes(t, Options{Fields: map[protoreflect.FullName][]string{"signet.labelstest.Visit.diagnosis": {"icd"}, "signet.labelstest.Visit.day": {"phi"}}})
	want := Labels{"icd": {"/diagnosis"}, "phi": {"/day"}}
	if got := types.ForType(reflect.TypeFor[*labelstest.Visit]()); !maps.EqualFunc(got, want, slices.Equal[[]string]) {
		t.Errorf("got %v, want %v", got, want)
	}
	types = newTypes(t, Options{Fields: map[protoreflect.FullName][]string{"signet.labelstest.Visit.diagnosis": {}}})
	if got := types.ForType(reflect.TypeFor[*labelstest.Visit]()); len(got) > 0 {
		t.Errorf("a field that somebody has looked at is labelled %v", got)
	}
}

// A descriptor that was read without the option: from a file, from a server's reflection.
func TestAnOptionThatWasNotReadCountsAllTheSame(t *testing.T) {
	file := protodesc.ToFileDescriptorProto(labelstest.File_intake_proto)
	raw, err := proto.Marshal(file)
	if err != nil {
		t.Fatal(err)
	}
	unread := new(descriptorpb.FileDescriptorProto)
	if err := (proto.UnmarshalOptions{Resolver: new(protoregistry.Types)}).Unmarshal(raw, unread); err != nil {
		t.Fatal(err)
	}
	made, err := protodesc.NewFile(unread, protoregistry.GlobalFiles)
	if err != nil {
		t.Fatal(err)
	}
	patient := made.Messages().ByName("Patient")
	if len(patient.Fields().ByName("ssn").Options().ProtoReflect().GetUnknown()) == 0 {
		t.Fatal("the option was read")
	}
	names := func(field protoreflect.Name) []string {
		got, _ := optionOf(patient.Fields().ByName(field))
		return got
	}
	if got := names("ssn"); !slices.Equal(got, []string{"phi", "pii"}) {
		t.Errorf("labels %v", got)
	}
	if got, tagged := optionOf(patient.Fields().ByName("insurer")); len(got) > 0 || !tagged {
		t.Errorf("labels %v, looked at: %t", got, tagged)
	}
	if got := names("ward"); len(got) > 0 {
		t.Errorf("labels %v of a field without", got)
	}

	// Another kind of value under the number: a mistake, or an option of somebody else's.
	for what, option := range map[string][]byte{
		"a number":        protowire.AppendVarint(protowire.AppendTag(nil, optionNumber, protowire.VarintType), 7),
		"another option":  protowire.AppendVarint(protowire.AppendTag(nil, optionNumber+1, protowire.VarintType), 7),
		"both, ours last": protowire.AppendString(protowire.AppendTag(protowire.AppendVarint(protowire.AppendTag(nil, optionNumber+1, protowire.VarintType), 7), optionNumber, protowire.BytesType), "vip"),
	} {
		for _, m := range unread.MessageType {
			if m.GetName() == "Ward" {
				m.Field[0].Options = new(descriptorpb.FieldOptions)
				m.Field[0].Options.ProtoReflect().SetUnknown(option)
			}
		}
		made, err := protodesc.NewFile(unread, protoregistry.GlobalFiles)
		if err != nil {
			t.Fatal(err)
		}
		got, _ := optionOf(made.Messages().ByName("Ward").Fields().ByName("name"))
		want := map[string][]string{"a number": {Unknown}, "both, ours last": {"vip"}}[what]
		if !slices.Equal(got, want) {
			t.Errorf("%s: labels %v, want %v", what, got, want)
		}
	}
}
