package labels

import (
	"reflect"

	"google.golang.org/protobuf/reflect/protoreflect"
)

var (
	protoMessage = reflect.TypeFor[protoreflect.ProtoMessage]()
	oldMessage   = reflect.TypeFor[interface{ ProtoMessage() }]()
)

// message reports whether the data converter takes values whose type is t, or a pointer to it, for protobuf messages, and
// returns their descriptor. There is none for messages of the old API, and for an interface that somebody embeds.
func message(t reflect.Type) (d protoreflect.MessageDescriptor, is bool) {
	if t.Kind() != reflect.Struct {
		return nil, false
	}
	if !reflect.PointerTo(t).Implements(protoMessage) {
		return nil, implements(t, oldMessage)
	}
	is = true
	defer func() { _ = recover() }() // a nil interface is called
	return reflect.New(t).Interface().(protoreflect.ProtoMessage).ProtoReflect().Descriptor(), true
}

// ofMessage returns the shape of the JSON that protojson makes of a message. A member is there under both names that
// protojson can be told to write.
func (s *shapes) ofMessage(d protoreflect.MessageDescriptor) *shape {
	if made := s.messages[d.FullName()]; made != nil {
		return made
	}
	made := new(shape)
	s.messages[d.FullName()] = made
	switch d.FullName() {
	case "google.protobuf.Any", "google.protobuf.Struct", "google.protobuf.Value", "google.protobuf.ListValue":
		made.unknown = true
		return made
	case "google.protobuf.Timestamp", "google.protobuf.Duration", "google.protobuf.FieldMask":
		return made // strings, and no objects; the wrappers of single values have no labels either way
	}
	made.unknown = d.ExtensionRanges().Len() > 0
	for i := range d.Fields().Len() {
		f := d.Fields().Get(i)
		labels, tagged := s.fields[f.FullName()]
		if !tagged {
			labels, tagged = optionOf(f)
		}
		m := member{step: "/" + Escape(f.JSONName()), labels: labels, tagged: tagged, shape: s.ofField(f)}
		made.members = append(made.members, m)
		if name := f.TextName(); name != f.JSONName() {
			m.step = "/" + Escape(name)
			made.members = append(made.members, m)
		}
	}
	return made
}

func (s *shapes) ofField(f protoreflect.FieldDescriptor) *shape {
	if f.IsMap() {
		return s.each(f.MapValue())
	}
	if f.IsList() {
		return s.each(f)
	}
	return s.single(f)
}

func (s *shapes) each(f protoreflect.FieldDescriptor) *shape {
	return &shape{members: []member{{step: "/" + Every, every: true, shape: s.single(f)}}}
}

func (s *shapes) single(f protoreflect.FieldDescriptor) *shape {
	if f.Message() == nil {
		return new(shape)
	}
	return s.ofMessage(f.Message())
}
