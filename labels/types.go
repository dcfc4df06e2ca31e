package labels

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"sync"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// Options of [Types]. The zero value knows struct tags alone.
type Options struct {
	// Types are labels by hand, of values of a type wherever they stand: types with a MarshalJSON of their own, types of
	// other packages, types that are not structs:
	//
	//	reflect.TypeFor[SSN](): {"phi": {""}}
	//
	// An entry without labels says that somebody has looked: nothing in there is sensitive. Pointer types stand for what
	// they point to. The labels replace what the type's tags say.
	Types map[reflect.Type]Labels
	// Fields are labels of protobuf fields by full name, wherever a message with the field stands:
	//
	//	"acme.intake.v1.Patient.ssn": {"phi"}
	//
	// A field with an empty list has been looked at, as one with sensitive:"-". The labels replace those of the field's
	// option, (signet.labels.v1.sensitive): give the option to messages of your own, and Fields to those of others.
	Fields map[protoreflect.FullName][]string
}

// Types knows the labels of Go types. It is safe for concurrent use.
type Types struct {
	hand   map[reflect.Type]Labels
	fields map[protoreflect.FullName][]string
	known  sync.Map // reflect.Type -> []byte
}

// NewTypes makes a Types, or says what is wrong with labels given by hand.
func NewTypes(options Options) (*Types, error) {
	t := &Types{make(map[reflect.Type]Labels, len(options.Types)), make(map[protoreflect.FullName][]string, len(options.Fields)), sync.Map{}}
	for typ, labels := range options.Types {
		if typ == nil {
			return nil, errors.New("labels: Options.Types has a nil type: use reflect.TypeFor")
		}
		if _, err := labels.Encode(); err != nil {
			return nil, fmt.Errorf("labels: type %s: %w", typ, err)
		}
		for typ.Kind() == reflect.Pointer {
			typ = typ.Elem()
		}
		t.hand[typ] = maps.Clone(labels)
		if labels == nil {
			t.hand[typ] = Labels{}
		}
	}
	for field, names := range options.Fields {
		if !field.IsValid() || field.Parent() == "" {
			return nil, fmt.Errorf("labels: %q is not the full name of a field: write package.Message.field", field)
		}
		if i := slices.IndexFunc(names, func(name string) bool { return !CheckName(name) }); i >= 0 {
			return nil, fmt.Errorf("labels: field %s: %w", field, check(names[i], nil))
		}
		t.fields[field] = slices.Clone(names)
	}
	return t, nil
}

// Of returns the labels of value's type as the metadata entry, nil if nothing in it is labelled. The caller must not
// change it: it is made once for each type. The labels of a [Value] are those that it says.
func (t *Types) Of(value any) []byte {
	if v, ok := value.(Value); ok {
		return v.encode()
	}
	typ := reflect.TypeOf(value)
	if typ == nil {
		return nil
	}
	known, ok := t.known.Load(typ)
	if !ok {
		known, _ = t.known.LoadOrStore(typ, t.find(typ))
	}
	return known.([]byte)
}

// ForType returns the labels of a type: for a test of your own that no field was forgotten.
func (t *Types) ForType(typ reflect.Type) Labels {
	pointer := typ.Kind() == reflect.Pointer
	for typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	s := shapes{t.hand, t.fields, make(map[reflect.Type]*shape), make(map[protoreflect.FullName]*shape)}
	return s.of(typ, pointer).labels()
}

func (t *Types) find(typ reflect.Type) []byte {
	return Value{Labels: t.ForType(typ)}.encode()
}

// encode never fails: what cannot be written is masked as a whole.
func (v Value) encode() []byte {
	encoded, err := v.Labels.Encode()
	if err != nil {
		encoded, _ = Labels{Unknown: {""}}.Encode()
	}
	return encoded
}
