package codecserver_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"

	commonpb "go.temporal.io/api/common/v1"

	"github.com/signet-temporal/signet/codecserver"
	"github.com/signet-temporal/signet/principal"
)

// node is a value of random JSON, with its spelling: what it looks like in part, whatever is masked.
type node struct {
	begin, end string // of an object or array, and the whole of anything else
	before     []string
	children   []*node
	path       []string // as the tokens of a pointer
	says       string   // what a string or number says
}

// garden grows random JSON in which no four characters of values occur twice, so that a trace of one is a trace of that one.
type garden struct {
	*rand.Rand
	used map[string]bool
	all  []*node
}

func (g *garden) fresh(grow func() string) string {
	for {
		text := grow()
		runs := runsOfFour(text)
		if !slices.ContainsFunc(runs, func(run string) bool { return g.used[run] }) {
			for _, run := range runs {
				g.used[run] = true
			}
			return text
		}
	}
}

func runsOfFour(text string) (runs []string) {
	runes := []rune(text)
	for i := 0; i+4 <= len(runes); i++ {
		runs = append(runs, string(runes[i:i+4]))
	}
	return runs
}

func (g *garden) word() string {
	return g.fresh(func() string {
		word := make([]rune, 4+g.IntN(10))
		for i := range word {
			word[i] = rune(0x4e00 + g.IntN(0x5000))
		}
		if g.IntN(5) == 0 {
			word[2] = []rune("\"\\/~*<😀")[g.IntN(7)]
		}
		return string(word)
	})
}

func (g *garden) space() string { return []string{"", "", " ", "\n\t"}[g.IntN(4)] }

func (g *garden) grow(path []string, depth int) *node {
	n := &node{path: path}
	g.all = append(g.all, n)
	kind := g.IntN(8)
	if depth == 0 {
		kind = 3 + g.IntN(5)
	}
	switch {
	case kind < 3:
		n.begin, n.end = [2]string{"{", "["}[kind/2], [2]string{"}", "]"}[kind/2]
		for i := range g.IntN(6) {
			comma, token := [2]string{"", ","}[min(i, 1)], fmt.Sprint(i)
			before := comma + g.space()
			if kind/2 == 0 {
				name, _ := json.Marshal(g.word())
				var plain string
				_ = json.Unmarshal(name, &plain) // it has just been written
				token = strings.NewReplacer("~", "~0", "/", "~1", "*", "~2").Replace(plain)
				before += string(name) + g.space() + ":" + g.space()
			}
			n.before = append(n.before, before)
			n.children = append(n.children, g.grow(append(slices.Clone(path), token), depth-1))
		}
	case kind == 3:
		n.begin = []string{"null", "true", `""`, "{ }", "[]"}[g.IntN(5)]
	case kind == 4:
		n.says = g.fresh(func() string { return fmt.Sprintf("%d.%04d", g.IntN(1e6), g.IntN(1e4)) })
		n.begin = n.says
	default:
		n.says = g.word()
		text, _ := json.Marshal(n.says)
		n.begin = string(text)
	}
	return n
}

// written is the JSON, with cut in place of each outermost value that is hidden.
func (n *node) written(hidden func(*node) bool, cut string) string {
	if hidden(n) {
		return cut
	}
	text := n.begin
	for i, child := range n.children {
		text += n.before[i] + child.written(hidden, cut)
	}
	return text + n.end
}

func (n *node) leaves() (all []*node) {
	if n.says != "" {
		all = append(all, n)
	}
	for _, child := range n.children {
		all = append(all, child.leaves()...)
	}
	return all
}

// labels labels some of the values, by pointers with stars here and there.
func (g *garden) labels() map[string][]string {
	of := map[string][]string{}
	for range 1 + g.IntN(5) {
		path := slices.Clone(g.all[g.IntN(len(g.all))].path)
		for i := range path {
			if g.IntN(4) == 0 {
				path[i] = "*"
			}
		}
		pointer := ""
		for _, token := range path {
			pointer += "/" + token
		}
		label := []string{"phi", "pii", "card", "unknown"}[g.IntN(4)]
		of[label] = append(of[label], pointer)
	}
	return of
}

// leadsTo: the pointer ends at the path, or before it.
func leadsTo(pointer string, path []string) bool {
	tokens := strings.Split(pointer, "/")[1:]
	if len(tokens) > len(path) {
		return false
	}
	for i, token := range tokens {
		if token != "*" && token != path[i] {
			return false
		}
	}
	return true
}

const propertyPolicy = `
grants:
  - {name: none, issuer: "https://idp", groups: [none], namespaces: [payments], actions: [decode]}
  - {name: one, issuer: "https://idp", groups: [one], namespaces: [payments], actions: [decode], labels: [phi]}
  - {name: two, issuer: "https://idp", groups: [two], namespaces: [payments], actions: [decode], labels: [card, pii]}
  - {name: all, issuer: "https://idp", groups: [all], namespaces: [payments], actions: [decode], labels: ["*"]}
`

var maskText = regexp.MustCompile(`"••• masked: [a-z, ]+"`)

// TestWhatIsNotLabelledIsTheSameForEverybody: for random JSON and labels, what two callers get is the same bytes but for
// what is labelled, and nothing of four characters or more of a masked value stands anywhere in an answer or record.
func TestWhatIsNotLabelledIsTheSameForEverybody(t *testing.T) {
	views := map[string][]string{"none": nil, "one": {"phi"}, "two": {"card", "pii"}}
	w := newWorld(t, withPolicy(t, propertyPolicy), func(c *codecserver.Config) {
		callers := tokens{}
		for _, who := range []string{"none", "one", "two", "all"} {
			callers[who] = &principal.Caller{Issuer: "https://idp", Subject: who, Groups: []string{who}}
		}
		c.Authenticator, c.Limits.PayloadBurst = callers, 1e6
	})
	payloads, gone, kept := 0, 0, 0
	for seed := range uint64(800) {
		g := &garden{Rand: rand.New(rand.NewPCG(29, seed)), used: map[string]bool{}}
		root := g.grow(nil, 4)
		of := g.labels()
		document, err := json.Marshal(map[string]any{"v": 1, "labels": of})
		if err != nil {
			t.Fatal(err)
		}
		data := root.written(func(*node) bool { return false }, "")
		sealed := body(t, w.labelled("json/plain", data, string(document)))
		if got := w.send(fromUI("all", "decode", sealed)).payloads(1); string(got[0].Data) != data {
			t.Fatalf("seed %d: who may see all gets %s, not %s", seed, got[0].Data, data)
		}
		for who, sees := range views {
			hidden := func(n *node) bool {
				for label, pointers := range of {
					if !slices.Contains(sees, label) && slices.ContainsFunc(pointers, func(p string) bool { return leadsTo(p, n.path) }) {
						return true
					}
				}
				return false
			}
			p := w.send(fromUI(who, "decode", sealed)).payloads(1)[0]
			if got, want := maskText.ReplaceAllString(string(p.Data), "▒"), root.written(hidden, "▒"); got != want {
				t.Fatalf("seed %d, %s, labels %s:\n data %s\n got %s\n want %s", seed, who, document, data, got, want)
			}
			shown, told := traces(t, p), w.log.String()+w.records.String()
			before := gone
			for _, leaf := range root.leaves() {
				if !hiddenWithin(root, leaf, hidden) {
					kept++
					continue
				}
				gone++
				for _, run := range runsOfFour(leaf.says) {
					told := told
					if leaf.says[0] <= '9' {
						told = "" // it is full of digits of its own
					}
					if strings.Contains(shown, run) || strings.Contains(told, run) {
						t.Fatalf("seed %d, %s: %q of the masked %q is in %s", seed, who, run, leaf.says, p.Data)
					}
				}
			}
			if strings.Contains(string(p.Data), "••• masked: ") {
				payloads++
			} else if gone > before {
				t.Fatalf("seed %d, %s: values are gone without a mask: %s", seed, who, p.Data)
			}
		}
		w.log.Reset()
		w.records.Reset()
	}
	t.Logf("%d payloads masked, %d values gone, %d kept", payloads, gone, kept)
	if payloads < 1000 || gone < 1400 || kept < 1400 {
		t.Error("too little is masked for this to say anything")
	}
}

// hiddenWithin: the leaf lies in something that is hidden.
func hiddenWithin(root, leaf *node, hidden func(*node) bool) bool {
	for n := root; ; {
		if hidden(n) {
			return true
		}
		if n == leaf {
			return false
		}
		i := slices.IndexFunc(n.children, func(c *node) bool { return slices.Equal(c.path, leaf.path[:min(len(c.path), len(leaf.path))]) })
		n = n.children[i]
	}
}

// traces is everything of p that could hold a trace: data and metadata as they are, and the JSON's texts unescaped.
func traces(t *testing.T, p *commonpb.Payload) string {
	t.Helper()
	text := string(p.Data) + "\n"
	for key, value := range p.Metadata {
		if key != "signet-labels" { // names of members, which are not values
			text += key + "=" + string(value) + "\n"
		}
	}
	var v any
	if err := json.Unmarshal(p.Data, &v); err != nil {
		t.Fatalf("%s is not JSON any more: %v", p.Data, err)
	}
	return text + fmt.Sprint(v)
}
