package mask

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"

	"go.temporal.io/sdk/converter"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	signet "github.com/signet-temporal/signet/converter"
	"github.com/signet-temporal/signet/internal/labelstest"
	"github.com/signet-temporal/signet/labels"
	"github.com/signet-temporal/signet/labels/labelspb"
)

// messages fills messages at random: SECRET into what is labelled, hidden into what is masked beside it because the message
// holds itself, public into the rest.
type messages struct {
	*rand.Rand
	n int
}

func (f *messages) text(kind string) protoreflect.Value {
	f.n++
	return protoreflect.ValueOfString(fmt.Sprintf("%s-%d.", kind, f.n))
}

func (f *messages) fill(m protoreflect.Message, kind string, depth int) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		field, kind := fields.Get(i), kind
		if f.IntN(4) == 0 || depth == 0 && field.Message() != nil || strings.HasPrefix(string(m.Descriptor().FullName()), "google.") {
			continue
		}
		if option, _ := proto.GetExtension(field.Options(), labelspb.E_Sensitive).(string); option != "" && option != "-" {
			kind = "SECRET"
		} else if field.Message() == m.Descriptor() && field.Name() == "guardian" && kind == "public" {
			kind = "hidden"
		}
		switch {
		case field.IsMap():
			for range f.IntN(3) {
				key := f.text("public").MapKey()
				if kind != "public" {
					key = f.text(kind).MapKey()
				}
				m.Mutable(field).Map().Set(key, f.one(field.MapValue(), m.Mutable(field).Map().NewValue, kind, depth))
			}
		case field.IsList():
			for range f.IntN(3) {
				list := m.Mutable(field).List()
				list.Append(f.one(field, list.NewElement, kind, depth))
			}
		default:
			m.Set(field, f.one(field, func() protoreflect.Value { return m.NewField(field) }, kind, depth))
		}
	}
}

func (f *messages) one(field protoreflect.FieldDescriptor, fresh func() protoreflect.Value, kind string, depth int) protoreflect.Value {
	if field.Kind() == protoreflect.StringKind {
		return f.text(kind)
	}
	value := fresh()
	if field.Message() != nil {
		f.fill(value.Message(), kind, depth-1)
	}
	return value
}

var values = regexp.MustCompile(`(SECRET|hidden|public)-\d+\.`)

// TestOfAMessageWithOptionsNothingLabelledIsSeen by somebody who may see no label, and all else is, in both of protojson's
// spellings; in binary form, which has no places, nothing of a message with labels is seen.
func TestOfAMessageWithOptionsNothingLabelledIsSeen(t *testing.T) {
	types, err := labels.NewTypes(labels.Options{})
	if err != nil {
		t.Fatal(err)
	}
	encodings := map[string]converter.PayloadConverter{
		"JSON":                converter.NewProtoJSONPayloadConverter(),
		"JSON with own names": converter.NewProtoJSONPayloadConverterWithOptions(converter.ProtoJSONPayloadConverterOptions{UseProtoNames: true}),
		"JSON with zeros":     converter.NewProtoJSONPayloadConverterWithOptions(converter.ProtoJSONPayloadConverterOptions{EmitUnpopulated: true}),
		"binary":              converter.NewProtoPayloadConverter(),
	}
	secrets, publics := 0, 0
	for name, encoding := range encodings {
		labeller, err := signet.NewLabeller(converter.NewCompositeDataConverter(encoding), types)
		if err != nil {
			t.Fatal(err)
		}
		for seed := range uint64(200) {
			f := &messages{Rand: rand.New(rand.NewPCG(seed, 7))}
			for _, m := range []proto.Message{new(labelstest.Patient), new(labelstest.Visit), new(labelstest.Ward)} {
				f.fill(m.ProtoReflect(), "public", 3)
				p, err := labeller.ToPayload(m)
				if err != nil {
					t.Fatal(err)
				}
				seen := map[string]bool{}
				masked := Payload(p, View{})
				for _, value := range values.FindAllString(string(masked.Payload.GetData()), -1) {
					seen[value] = true
				}
				_, ward := m.(*labelstest.Ward)
				for _, value := range values.FindAllString(string(p.GetData()), -1) {
					secret := strings.HasPrefix(value, "SECRET")
					want := strings.HasPrefix(value, "public") && (name != "binary" || ward)
					if secret {
						secrets++
					} else if want {
						publics++
					}
					if seen[value] != want {
						t.Fatalf("%s, seed %d: %s is seen: %t\n%s\n%s", name, seed, value, seen[value], p.GetData(), masked.Payload.GetData())
					}
				}
				if all := Payload(p, View{Labels: []string{"phi", "pii", "vip"}}); all.Payload != p {
					t.Fatalf("%s: who may see all of its labels gets another payload", name)
				}
			}
		}
	}
	if secrets < 1000 || publics < 1000 {
		t.Errorf("%d secret values and %d public ones were looked for", secrets, publics)
	}
}
