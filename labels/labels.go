package labels

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/signet-temporal/signet/internal/rawjson"
)

// The names of docs/spec/labels-v1.md.
const (
	Metadata = "signet-labels" // the metadata key of an inner payload under which its labels stand
	Unknown  = "unknown"       // the label of what could not be looked into

	maxEncoded = 16 << 10
)

// Labels are pointers by label: the parts of a payload's JSON that have it. A pointer is a JSON Pointer (RFC 6901) in
// which * stands for every element or member, and ~2 for a star; "" is the whole payload.
type Labels map[string][]string

// ErrMalformed is what is not in the form of docs/spec/labels-v1.md. What has such labels is to be masked as a whole.
var ErrMalformed = errors.New("labels are malformed")

var errForm = fmt.Errorf(`%w: not {"v":1,"labels":{…}}`, ErrMalformed)

type document struct {
	V      int    `json:"v"`
	Labels Labels `json:"labels"`
}

// Encode returns the value of the metadata entry, nil for no labels at all. Equal labels have one form.
func (l Labels) Encode() ([]byte, error) {
	tidy := make(Labels, len(l))
	for name, pointers := range l {
		if err := check(name, pointers); err != nil {
			return nil, err
		}
		if len(pointers) > 0 {
			tidy[name] = slices.Compact(slices.Sorted(slices.Values(pointers)))
		}
	}
	if len(tidy) == 0 {
		return nil, nil
	}
	value, err := json.Marshal(document{1, tidy})
	if err != nil {
		return nil, err
	}
	if len(value) > maxEncoded {
		return nil, fmt.Errorf("%w: more than %d bytes: label what holds the values", ErrMalformed, maxEncoded)
	}
	return value, nil
}

// Parse reads the value of the metadata entry.
func Parse(value []byte) (Labels, error) {
	labels := make(Labels)
	err := Each(value, func(label, pointer string) { labels[label] = append(labels[label], pointer) })
	if err != nil {
		return nil, err
	}
	return labels, nil
}

// Each reads the value of the metadata entry and calls do for every pointer, in the order in which they stand there. When
// it returns an error, what do was told is void.
func Each(value []byte, do func(label, pointer string)) error {
	at := rawjson.Start(value, 0)
	if len(value) > maxEncoded || !rawjson.Valid(value) || value[at] != '{' {
		return errForm
	}
	r := reader{value: value, text: string(value), do: do}
	version, labels := false, false
	rawjson.Members(value, at, func(name []byte, at int) int {
		end := rawjson.End(value, at)
		switch {
		case string(name) == `"v"` && !version && string(value[at:end]) == "1":
			version = true
		case string(name) == `"labels"` && !labels && value[at] == '{':
			labels = true
			return rawjson.Members(value, at, r.label)
		default:
			r.err = errForm
		}
		return end
	})
	if r.err == nil && (!version || !labels) {
		r.err = errForm
	}
	return r.err
}

// reader reads the members of "labels". A label that is there twice has the pointers of both.
type reader struct {
	value []byte
	text  string // the same: what is read are parts of it
	do    func(label, pointer string)
	err   error
}

func (r *reader) label(name []byte, at int) int {
	label := rawjson.Text(name)
	if err := checkLabel(label); err != nil {
		r.err = err
	}
	if r.value[at] != '[' {
		r.err = errForm
		return rawjson.End(r.value, at)
	}
	return rawjson.Elements(r.value, at, func(_, at int) int {
		end := rawjson.End(r.value, at)
		if r.value[at] != '"' {
			r.err = errForm
			return end
		}
		pointer := r.text[at+1 : end-1]
		if strings.IndexByte(pointer, '\\') >= 0 {
			pointer = rawjson.Text(r.value[at:end])
		}
		if err := checkPointer(pointer); err != nil {
			r.err = err
		} else {
			r.do(label, pointer)
		}
		return end
	})
}

// Names are the labels, sorted.
func (l Labels) Names() []string { return slices.Sorted(maps.Keys(l)) }

func check(name string, pointers []string) error {
	if err := checkLabel(name); err != nil {
		return err
	}
	for _, p := range pointers {
		if err := checkPointer(p); err != nil {
			return err
		}
	}
	return nil
}

func checkLabel(name string) error {
	if !CheckName(name) {
		return fmt.Errorf("%w: %.70q is no label: use letters, digits, dashes, underscores and dots", ErrMalformed, name)
	}
	return nil
}

// CheckName reports whether name can be a label.
func CheckName(name string) bool {
	if name == "" || len(name) > 64 || strings.ContainsAny(name[:1], "_-.") {
		return false
	}
	for _, c := range []byte(name) {
		if (c|0x20 < 'a' || c|0x20 > 'z') && (c < '0' || c > '9') && !strings.ContainsRune("_-.", rune(c)) {
			return false
		}
	}
	return true
}

// Every is the step of a pointer to all elements of an array, or all members of an object.
const Every = "*"

// checkPointer: a name is written in one way only, so that pointers and names can be compared as they are.
func checkPointer(pointer string) error {
	if pointer == "" {
		return nil
	}
	if pointer[0] != '/' || !utf8.ValidString(pointer) {
		return fmt.Errorf(`%w: a pointer is empty or begins with a slash, and is UTF-8`, ErrMalformed)
	}
	if strings.IndexByte(pointer, '~') < 0 && strings.IndexByte(pointer, '*') < 0 {
		return nil
	}
	for i := 1; i < len(pointer); i++ {
		switch end := i + 1; pointer[i] {
		case '~':
			if end == len(pointer) || pointer[end] < '0' || pointer[end] > '2' {
				return fmt.Errorf("%w: in a pointer ~ is followed by 0, 1 or 2", ErrMalformed)
			}
		case '*':
			if pointer[i-1] != '/' || end < len(pointer) && pointer[end] != '/' {
				return fmt.Errorf("%w: in a pointer * stands alone: within a name it is written ~2", ErrMalformed)
			}
		}
	}
	return nil
}

var escaper = strings.NewReplacer("~", "~0", "/", "~1", "*", "~2")

// Escape returns name as the step of a pointer.
func Escape(name string) string {
	if strings.ContainsAny(name, "~/*") {
		return escaper.Replace(name)
	}
	return name
}
