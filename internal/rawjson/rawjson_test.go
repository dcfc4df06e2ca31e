package rawjson

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"
)

// rebuild reads a value with this package, and what has no inside with encoding/json.
func rebuild(t *testing.T, data []byte, at int) (value any, end int) {
	t.Helper()
	at = Start(data, at)
	switch data[at] {
	case '{':
		members := map[string]any{}
		end = Members(data, at, func(name []byte, at int) int {
			var v any
			v, at = rebuild(t, data, at)
			members[Text(name)] = v
			return at
		})
		value = members
	case '[':
		elements := []any{}
		end = Elements(data, at, func(i, at int) int {
			if i != len(elements) {
				t.Fatalf("element %d comes as %d", len(elements), i)
			}
			var v any
			v, at = rebuild(t, data, at)
			elements = append(elements, v)
			return at
		})
		value = elements
	default:
		end = End(data, at)
		value = read(t, data[at:end])
	}
	if whole := End(data, at); whole != end {
		t.Fatalf("a value of %q ends at %d when it is walked and at %d when it is skipped", data, end, whole)
	}
	return value, end
}

func read(t *testing.T, data []byte) (value any) {
	t.Helper()
	in := json.NewDecoder(bytes.NewReader(data))
	in.UseNumber()
	if err := in.Decode(&value); err != nil {
		t.Fatalf("%q: %v", data, err)
	}
	return value
}

// FuzzReadsWhatEncodingJSONReads: whatever is valid, walking it gives what encoding/json gives, and ends where the data ends.
func FuzzReadsWhatEncodingJSONReads(f *testing.F) {
	for _, seed := range []string{
		`null`, ` "a\"b\\" `, `{}`, `[ ]`, `{"a":[1,-2.5e3,{"b":"\\\""}],"a":{} , "":[[]]}`, "\t[true ,false\n]\r\n",
		`{"\u0061\ud83d\ude00":"\ud800"}`, `"\\\\"`, `12`, `[[[[[["]"]]]]]]`, `{"}":"{"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if !Valid(data) {
			return
		}
		got, end := rebuild(t, data, 0)
		if rest := Start(data, end); rest != len(data) {
			t.Fatalf("the value of %q ends at %d, before %q", data, end, data[rest:])
		}
		if want := read(t, data); !reflect.DeepEqual(got, want) {
			t.Fatalf("%q reads as %#v, want %#v", data, got, want)
		}
	})
}
