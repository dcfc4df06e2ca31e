package mask

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"

	commonpb "go.temporal.io/api/common/v1"

	"github.com/signet-temporal/signet/labels"
)

// world makes random JSON in which no four characters of a string or number occur twice, so that a trace of a value is a trace
// of that value.
type world struct {
	*rand.Rand
	used   map[string]bool
	paths  [][]string // of every value, outermost first; the tokens of pointers
	leaves []leaf
}

type leaf struct {
	path []string
	text string // a number, or what a string says
}

func (w *world) fresh(make func() string) string {
	for {
		text := make()
		grams := fours(text)
		if slices.ContainsFunc(grams, func(g string) bool { return w.used[g] }) {
			continue
		}
		for _, g := range grams {
			w.used[g] = true
		}
		return text
	}
}

// fours are all runs of four characters.
func fours(text string) (out []string) {
	runes := []rune(text)
	for i := 0; i+4 <= len(runes); i++ {
		out = append(out, string(runes[i:i+4]))
	}
	return out
}

func (w *world) word() string {
	return w.fresh(func() string {
		out := make([]rune, 4+w.IntN(8))
		for i := range out {
			out[i] = rune(0x4e00 + w.IntN(0x5000))
			if w.IntN(12) == 0 {
				out[i] = []rune("\"\\/~*\n\u2028😀é ")[w.IntN(10)]
			}
		}
		return string(out)
	})
}

func (w *world) quote(text string) string {
	quoted, _ := json.Marshal(text)
	if w.IntN(4) > 0 {
		return string(quoted)
	}
	var out strings.Builder // as other languages may write it
	for _, r := range string(quoted) {
		if r > 0x7f && r < 0xffff {
			fmt.Fprintf(&out, `\u%04x`, r)
		} else {
			out.WriteRune(r)
		}
	}
	return out.String()
}

func (w *world) space() string {
	return []string{"", "", "", "", " ", "\n", "\t", " \r\n  "}[w.IntN(8)]
}

func (w *world) value(path []string, depth int) string {
	w.paths = append(w.paths, path)
	kind := w.IntN(10)
	if depth == 0 {
		kind = 4 + w.IntN(6)
	}
	within := func(token string) []string { return append(slices.Clip(path), token) }
	switch {
	case kind < 2 || depth > 4:
		out := "{" + w.space()
		for i := range w.IntN(5) {
			if i > 0 {
				out += "," + w.space()
			}
			name := w.word()
			out += w.quote(name) + w.space() + ":" + w.space() + w.value(within(labels.Escape(name)), depth-1) + w.space()
		}
		return out + "}"
	case kind < 4:
		out := "[" + w.space()
		for i := range w.IntN(5) {
			if i > 0 {
				out += "," + w.space()
			}
			out += w.value(within(fmt.Sprint(i)), depth-1) + w.space()
		}
		return out + "]"
	case kind == 4:
		return []string{"true", "false", "null", `""`, "{}", "[ ]"}[w.IntN(6)]
	case kind < 7:
		text := w.fresh(func() string {
			return fmt.Sprintf("%s%d%s", []string{"", "-"}[w.IntN(2)], 1+w.IntN(9_999_999), []string{"", "e3", fmt.Sprintf(".%d", w.IntN(100_000))}[w.IntN(3)])
		})
		w.leaves = append(w.leaves, leaf{path, text})
		return text
	}
	text := w.word()
	w.leaves = append(w.leaves, leaf{path, text})
	return w.quote(text)
}

// labels points at random places, some by wildcards, some at nothing.
func (w *world) labels() labels.Labels {
	out := labels.Labels{}
	for range 1 + w.IntN(5) {
		path := slices.Clone(w.paths[w.IntN(len(w.paths))])
		for i := range path {
			if w.IntN(4) == 0 {
				path[i] = "*"
			}
		}
		if w.IntN(8) == 0 {
			path = append(path, "nothing", "*")
		}
		pointer := ""
		for _, token := range path {
			pointer += "/" + token
		}
		label := []string{"phi", "pii", "pci", "unknown"}[w.IntN(4)]
		out[label] = append(out[label], pointer)
	}
	return out
}

func payload(t testing.TB, data string, of labels.Labels) *commonpb.Payload {
	t.Helper()
	encoded, err := of.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return &commonpb.Payload{Metadata: map[string][]byte{"encoding": []byte("json/plain"), labels.Metadata: encoded, "other": []byte("x")}, Data: []byte(data)}
}

var escapes = regexp.MustCompile(`\\u[0-9a-f]{4}`) // digits of their own: texts has what they say

// TestNothingButTheLabelledChangesAndNothingOfItStays: for random JSON, random labels and a random view, what is not labelled
// is the same bytes with and without masks, and no four characters of a value that is masked occur in what is shown.
func TestNothingButTheLabelledChangesAndNothingOfItStays(t *testing.T) {
	masked, leavesMasked, partly := 0, 0, 0
	for seed := range uint64(3000) {
		w := &world{Rand: rand.New(rand.NewPCG(7, seed)), used: map[string]bool{}}
		data := w.space() + w.value(nil, 5) + w.space()
		of := w.labels()
		view := View{Labels: [][]string{nil, {"phi"}, {"pii", "pci"}, {"phi", "pii", "pci", "unknown"}}[w.IntN(4)]}
		r := Payload(payload(t, data, of), view)
		want := consult(t, []byte(data), of, view)
		got := string(r.Payload.GetData())
		if got != want.out.String() {
			t.Fatalf("seed %d, labels %v, view %v:\n data %s\n  got %s\n want %s", seed, of, view, data, got, want.out.String())
		}
		if !slices.Equal(r.Shown, keys(want.shown)) || !slices.Equal(r.Masked, keys(want.masked)) {
			t.Fatalf("seed %d, labels %v, view %v: shown %v, masked %v, want %v, %v", seed, of, view, r.Shown, r.Masked, keys(want.shown), keys(want.masked))
		}
		if len(r.Masked) == 0 {
			continue
		}
		masked++
		if !Found(r.Payload) || !Found(&commonpb.Payload{Data: r.Payload.GetData()}) {
			t.Fatalf("seed %d: the masks in %s are not found", seed, got)
		}
		// Independently of both maskers: by the paths that were noted when the data was made.
		all := escapes.ReplaceAllString(got, " ") + "\n" + strings.Join(texts(t, []byte(got)), "\n")
		before := leavesMasked
		for _, l := range w.leaves {
			if !lacks(of, view, l.path) {
				continue
			}
			leavesMasked++
			for _, trace := range fours(l.text) {
				if strings.Contains(all, trace) {
					t.Fatalf("seed %d: %q of the masked value %q is in %s", seed, trace, l.text, got)
				}
			}
		}
		if n := leavesMasked - before; n > 0 && n < len(w.leaves) {
			partly++
		}
	}
	t.Logf("%d payloads masked, %d of them in part, %d strings and numbers gone", masked, partly, leavesMasked)
	if masked < 1000 || partly < 300 || leavesMasked < 3000 {
		t.Error("too little is masked for this test to mean anything")
	}
}

// lacks: a pointer of a label that the view does not have leads to the value or to what it lies in.
func lacks(of labels.Labels, view View, path []string) bool {
	for label, pointers := range of {
		if slices.Contains(view.Labels, label) {
			continue
		}
		for _, pointer := range pointers {
			tokens := strings.Split(pointer, "/")[1:]
			if len(tokens) <= len(path) && prefixMatches(tokens, path) {
				return true
			}
		}
	}
	return false
}

func prefixMatches(tokens, path []string) bool {
	for i, token := range tokens {
		if token != "*" && token != path[i] {
			return false
		}
	}
	return true
}

// texts are all strings of JSON, unescaped, names and values.
func texts(t testing.TB, data []byte) (out []string) {
	t.Helper()
	var visit func(v any)
	visit = func(v any) {
		switch v := v.(type) {
		case string:
			out = append(out, v)
		case []any:
			for _, e := range v {
				visit(e)
			}
		case map[string]any:
			for name, e := range v {
				out = append(out, name)
				visit(e)
			}
		}
	}
	var v any
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatalf("%s is not JSON any more: %v", data, err)
	}
	visit(v)
	return out
}
