package mask

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/signet-temporal/signet/labels"
)

// oracle is a second masker, slow and simple: encoding/json reads, and every value is compared with every pointer. It shares
// with the first one what labels.Parse reads and nothing else.
type oracle struct {
	t             testing.TB
	data          []byte
	in            *json.Decoder
	labels        labels.Labels
	view          View
	out           bytes.Buffer
	copied        int
	shown, masked map[string]bool
}

func consult(t testing.TB, data []byte, of labels.Labels, view View) *oracle {
	t.Helper()
	in := json.NewDecoder(bytes.NewReader(data))
	in.UseNumber()
	o := &oracle{t: t, data: data, in: in, labels: of, view: view, shown: map[string]bool{}, masked: map[string]bool{}}
	o.value(nil)
	o.out.Write(data[o.copied:])
	return o
}

// begin returns where the next value begins: the decoder is before it, and perhaps before a comma or colon.
func (o *oracle) begin() int {
	at := int(o.in.InputOffset())
	return at + len(o.data[at:]) - len(bytes.TrimLeft(o.data[at:], " \t\r\n,:"))
}

func (o *oracle) value(path []string) {
	var lacking []string
	var all []string
	for label, pointers := range o.labels {
		if slices.ContainsFunc(pointers, func(p string) bool { return leads(p, path) }) {
			all = append(all, label)
			if !o.view.All && !slices.Contains(o.view.Labels, label) {
				lacking = append(lacking, label)
			}
		}
	}
	if len(lacking) > 0 {
		slices.Sort(lacking)
		o.out.Write(o.data[o.copied:o.begin()])
		o.out.WriteString(`"••• masked: ` + strings.Join(lacking, ", ") + `"`)
		var skipped json.RawMessage
		if err := o.in.Decode(&skipped); err != nil {
			o.t.Fatal(err)
		}
		o.copied = int(o.in.InputOffset())
		for _, label := range lacking {
			o.masked[label] = true
		}
		return
	}
	for _, label := range all {
		o.shown[label] = true
	}
	token, err := o.in.Token()
	if err != nil {
		o.t.Fatal(err)
	}
	switch token {
	case json.Delim('{'):
		for o.in.More() {
			name, err := o.in.Token()
			if err != nil {
				o.t.Fatal(err)
			}
			o.value(append(slices.Clip(path), name.(string)))
		}
	case json.Delim('['):
		for i := 0; o.in.More(); i++ {
			o.value(append(slices.Clip(path), strconv.Itoa(i)))
		}
	default:
		return
	}
	if _, err := o.in.Token(); err != nil {
		o.t.Fatal(err)
	}
}

// leads is the rule of spec §3, token by token.
func leads(pointer string, path []string) bool {
	if pointer == "" {
		return len(path) == 0
	}
	tokens := strings.Split(pointer[1:], "/")
	if len(tokens) != len(path) {
		return false
	}
	for i, token := range tokens {
		name := strings.NewReplacer("~0", "~", "~1", "/", "~2", "*").Replace(token)
		if token != "*" && name != path[i] {
			return false
		}
	}
	return true
}

func keys(set map[string]bool) []string {
	var out []string
	for key := range set {
		out = append(out, key)
	}
	slices.Sort(out)
	return out
}
