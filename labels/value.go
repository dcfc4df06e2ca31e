package labels

import "encoding/json"

// Value is a value with labels of its own, in place of those of its type: for what is put together at run time, such as a
// map in a memo, an argument of a workflow that is started by name, or a result.
//
//	labels.Value{Value: answers, Labels: labels.Labels{"phi": {"/diagnosis"}}}
//
// converter.Labeller writes them; without one they are lost. Labels that are malformed label the whole value as [Unknown]. The SDK passes the arguments of a local activity, and
// those of functions it can check, as they are: there a Value has the wrong type.
type Value struct {
	Value  any
	Labels Labels
}

// Whole is value, labelled as a whole.
func Whole(value any, names ...string) Value {
	v := Value{value, make(Labels, len(names))}
	for _, name := range names {
		v.Labels[name] = []string{""}
	}
	return v
}

// MarshalJSON writes the value alone.
func (v Value) MarshalJSON() ([]byte, error) { return json.Marshal(v.Value) }

// Unwrap returns what is in a [Value], and anything else as it is.
func Unwrap(value any) any {
	if v, ok := value.(Value); ok {
		return v.Value
	}
	return value
}
