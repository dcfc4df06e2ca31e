package labels

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
)

func TestWhatIsNotInTheFormOfTheSpecIsMalformed(t *testing.T) {
	long := `{"v":1,"labels":{"phi":["/` + strings.Repeat("a", maxEncoded) + `"]}}`
	for _, value := range []string{
		``, ` `, `null`, `[]`, `"phi"`, `{}`, `{"v":1}`, `{"labels":{}}`, `{"v":2,"labels":{}}`, `{"v":"1","labels":{}}`,
		`{"v":1,"labels":null}`, `{"v":1,"labels":[]}`, `{"v":1,"labels":{"phi":"/a"}}`, `{"v":1,"labels":{"phi":null}}`,
		`{"v":1,"labels":{"phi":[1]}}`, `{"v":1,"labels":{"phi":[null]}}`, `{"v":1,"labels":{"phi":["a"]}}`,
		`{"v":1,"labels":{"phi":["/~"]}}`, `{"v":1,"labels":{"phi":["/~3"]}}`, `{"v":1,"labels":{"phi":["/~~0"]}}`,
		`{"v":1,"labels":{"phi":["/a*"]}}`, `{"v":1,"labels":{"phi":["/*a/b"]}}`, `{"v":1,"labels":{"phi":["/a/**"]}}`,
		`{"v":1,"labels":{"":["/a"]}}`, `{"v":1,"labels":{"-":["/a"]}}`, `{"v":1,"labels":{"p h i":["/a"]}}`,
		`{"v":1,"labels":{"` + strings.Repeat("x", 65) + `":["/a"]}}`,
		`{"v":1,"labels":{},"more":1}`, `{"v":1,"v":1,"labels":{}}`, `{"v":1,"labels":{},"labels":{}}`, `{"V":1,"labels":{}}`,
		`{"v":1,"labels":{}} {}`, "{\"v\":1,\"labels\":{\"phi\":[\"/\xff\"]}}", long,
	} {
		if got, err := Parse([]byte(value)); !errors.Is(err, ErrMalformed) || got != nil {
			t.Errorf("Parse(%.80s) = %v, %v", value, got, err)
		}
	}
}

func TestOtherWritersMaySpaceAndRepeat(t *testing.T) {
	got, err := Parse([]byte(" { \"labels\" : {\"phi\":[\"/a\",\"\"] ,\"pii\":[], \"phi\" : [ \"/\\u0062\" ] }, \"v\":1 } \n"))
	want := Labels{"phi": {"/a", "", "/b"}}
	if err != nil || !maps.EqualFunc(got, want, slices.Equal[[]string]) {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestEqualLabelsHaveOneForm(t *testing.T) {
	a, err := Labels{"phi": {"/b", "/a", "/b"}, "pci": {""}, "none": nil}.Encode()
	if want := `{"v":1,"labels":{"pci":[""],"phi":["/a","/b"]}}`; err != nil || string(a) != want {
		t.Errorf("got %s, %v", a, err)
	}
	if nothing, err := (Labels{"phi": nil}).Encode(); nothing != nil || err != nil {
		t.Errorf("no labels are encoded as %q, %v", nothing, err)
	}
}

func TestLabelsThatAreTooLongAreNotWritten(t *testing.T) {
	if got, err := (Labels{"phi": {"/" + strings.Repeat("a", maxEncoded)}}).Encode(); !errors.Is(err, ErrMalformed) || got != nil {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

func TestANameIsWrittenInOneWay(t *testing.T) {
	for name, want := range map[string]string{"": "", "a": "a", "*": "~2", "~": "~0", "a/b": "a~1b", "~1": "~01", "a*": "a~2", "ä": "ä"} {
		if got := Escape(name); got != want || checkPointer("/"+got) != nil {
			t.Errorf("the step to %q is %q, want %q, %v", name, got, want, checkPointer("/"+got))
		}
	}
}

// FuzzParse: nothing panics, an error comes alone, and what was read is written so that it reads the same.
func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"v":1,"labels":{"phi":["/ssn","/visits/*/note",""],"pci":["/~0~1~2"]}}`))
	f.Add([]byte(`{"labels":{"phi":[]},"v":1}`))
	f.Add([]byte(`{"v":2}`))
	f.Fuzz(func(t *testing.T, value []byte) {
		read, err := Parse(value)
		if err != nil {
			if read != nil {
				t.Fatal("labels beside an error")
			}
			return
		}
		written, err := read.Encode()
		if err != nil {
			return // it grew beyond the limit: escapes that JSON does not need
		}
		again := Labels{}
		if written != nil {
			if again, err = Parse(written); err != nil {
				t.Fatalf("%s is written as %s, which does not read: %v", value, written, err)
			}
		}
		second, err := again.Encode()
		if err != nil || string(second) != string(written) {
			t.Fatalf("%s, then %s, %v", written, second, err)
		}
	})
}
