package labels

import (
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// The option of proto/signet/labels/v1/labels.proto. It is found by name and number, not through the generated package: a
// program whose messages use it links that one, and others need not.
const (
	optionName   protoreflect.FullName    = "signet.labels.v1.sensitive"
	optionNumber protoreflect.FieldNumber = 68417
)

// optionOf returns the labels of a protobuf field by its option, as tagOf those of a struct's field. A descriptor that was
// read by somebody who does not know the option holds it unread, and it counts all the same.
func optionOf(f protoreflect.FieldDescriptor) (names []string, tagged bool) {
	options := f.Options().ProtoReflect()
	text, found := "", false
	options.Range(func(option protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		if option.FullName() == optionName && option.Kind() == protoreflect.StringKind && !option.IsList() {
			text, found = value.String(), true
		}
		return !found
	})
	if found {
		return parse(text)
	}
	for unread := options.GetUnknown(); len(unread) > 0; {
		number, typ, n := protowire.ConsumeField(unread)
		if n < 0 {
			return []string{Unknown}, false
		}
		if number == optionNumber {
			value, size := protowire.ConsumeBytes(unread[protowire.SizeTag(number):n])
			if typ != protowire.BytesType || size < 0 {
				return []string{Unknown}, false
			}
			text, found = string(value), true // the last one counts
		}
		unread = unread[n:]
	}
	if !found {
		return nil, false
	}
	return parse(text)
}
