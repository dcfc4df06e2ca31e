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
	at := rawjson.Start(value, 0)
	if len(value) > maxEncoded || !rawjson.Valid(value) || value[at] != '{' {
		return nil, errForm
	}
	var labels Labels
	version, ok := "", true
	rawjson.Members(value, at, func(name []byte, at int) int {
		end := rawjson.End(value, at)
		switch {
		case string(name) == `"v"` && version == "":
			version = string(value[at:end])
		case string(name) == `"labels"` && labels == nil && value[at] == '{':
			var err error
			labels, err = parseLabels(value, at)
			ok = ok && err == nil
		default:
			ok = false
		}
		return end
	})
	if !ok || version != "1" || labels == nil {
		return nil, errForm
	}
	return labels, nil
}

// parseLabels reads the object at at. A label that is there twice has the pointers of both.
func parseLabels(value []byte, at int) (labels Labels, err error) {
	labels = make(Labels)
	rawjson.Members(value, at, func(name []byte, at int) int {
		label := rawjson.Text(name)
		pointers := labels[label]
		if value[at] != '[' {
			err = errForm
			return rawjson.End(value, at)
		}
		end := rawjson.Elements(value, at, func(_, at int) int {
			end := rawjson.End(value, at)
			if value[at] != '"' {
				err = errForm
				return end
			}
			pointers = append(pointers, rawjson.Text(value[at:end]))
			return end
		})
		labels[label] = pointers
		if e := check(label, pointers); e != nil {
			err = e
		}
		return end
	})
	return labels, err
}

// Names are the labels, sorted.
func (l Labels) Names() []string { return slices.Sorted(maps.Keys(l)) }

func check(name string, pointers []string) error {
	if !CheckName(name) {
		return fmt.Errorf("%w: %.70q is no label: use letters, digits, dashes, underscores and dots", ErrMalformed, name)
	}
	for _, p := range pointers {
		if _, err := Tokens(p); err != nil {
			return err
		}
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

// Token is one step of a pointer: a name or index, or Every element or member.
type Token struct {
	Name  string
	Every bool
}

var unescaper = strings.NewReplacer("~0", "~", "~1", "/", "~2", "*")

// Tokens are the steps of a pointer.
func Tokens(pointer string) ([]Token, error) {
	if pointer == "" {
		return nil, nil
	}
	if pointer[0] != '/' || !utf8.ValidString(pointer) {
		return nil, fmt.Errorf(`%w: a pointer is "" or begins with a slash, and is UTF-8`, ErrMalformed)
	}
	tokens := make([]Token, 0, strings.Count(pointer, "/"))
	for token := range strings.SplitSeq(pointer[1:], "/") {
		if token == "*" {
			tokens = append(tokens, Token{Every: true})
			continue
		}
		if escapes := strings.Count(token, "~"); escapes > 0 {
			if escapes != strings.Count(token, "~0")+strings.Count(token, "~1")+strings.Count(token, "~2") {
				return nil, fmt.Errorf("%w: in a pointer ~ is followed by 0, 1 or 2", ErrMalformed)
			}
			token = unescaper.Replace(token)
		}
		tokens = append(tokens, Token{Name: token})
	}
	return tokens, nil
}

var escaper = strings.NewReplacer("~", "~0", "/", "~1", "*", "~2")

// Step returns the pointer that leads from what pointer leads to on to its member or element name.
func Step(pointer, name string) string { return pointer + "/" + escaper.Replace(name) }
