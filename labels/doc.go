// Package labels says which parts of a payload are sensitive. A field gets a label by its struct tag:
//
//	type Patient struct {
//		Name   string  `json:"name" sensitive:"phi"`
//		SSN    string  `json:"ssn" sensitive:"phi,pii"` // who sees it must be allowed both
//		Visits []Visit `json:"visits"`                  // labelled within
//		Extra  any     `json:"extra" sensitive:"-"`     // looked at: nothing sensitive
//	}
//
// and [Types] turns types into [Labels], JSON pointers by label, in the form of docs/spec/labels-v1.md. The data
// converter writes them into the payload before it is sealed (converter.NewLabeller); package mask puts masks in the
// place of what somebody may not see.
//
// Fields of protobuf messages have the option (signet.labels.v1.sensitive) instead.
//
// # What is promised
//
//   - Pointers follow encoding/json: names, embedding, shadowing, pointers, slices, arrays, maps, and protojson for
//     protobuf messages at the top.
//   - What cannot be looked into fails closed: an interface, a json.RawMessage, a type with a MarshalJSON of its own gets
//     the label [Unknown], unless its field has a tag of its own or the type has labels by hand ([Options]). So does a
//     field whose tag is malformed.
//   - A type is looked at once. After that a value costs one look into a map.
//
// # What is not
//
// Labels are about the JSON that encoding/json writes. A data converter with names of its own needs labels by hand.
// Nothing is masked in Temporal: there, everything is sealed.
package labels
