package audit_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/signet-temporal/signet/codecserver/audit"
)

// chain returns the lines of a log with so many records.
func chain(t *testing.T, records int) []string {
	t.Helper()
	var out bytes.Buffer
	l := audit.New(&out)
	for i := range records {
		if err := l.Write(t.Context(), audit.Record{RequestID: fmt.Sprintf("r%d", i+1), Subject: "ann", Decision: audit.Allow}); err != nil {
			t.Fatal(err)
		}
	}
	return strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
}

func verify(t *testing.T, text string, known ...audit.Head) (findings string, v *audit.Verifier, whole bool) {
	t.Helper()
	v = &audit.Verifier{Known: known}
	if err := v.Read("f", strings.NewReader(text)); err != nil {
		t.Fatal(err)
	}
	whole = v.Finish()
	var all []string
	for _, f := range v.Findings {
		all = append(all, f.String())
	}
	return strings.Join(all, "\n"), v, whole
}

func text(lines ...string) string { return strings.Join(lines, "\n") + "\n" }

// forged is a record that somebody changed who knows the format: its hash is right, by the recipe of the specification.
func forged(t *testing.T, line string) string {
	t.Helper()
	return forgedWith(t, line, "ann", "bob")
}

func forgedWith(t *testing.T, line, old, with string) string {
	t.Helper()
	content, _, ok := strings.Cut(strings.Replace(line, old, with, 1), `,"hash":"`)
	if !ok {
		t.Fatal("no hash")
	}
	return fmt.Sprintf(`%s,"hash":"%x"}`, content, sha256.Sum256([]byte(content)))
}

func TestTheVerifierSaysWhichLineIsWrong(t *testing.T) {
	for _, c := range []struct {
		says   string
		change func(l []string) string
		want   string // "" = whole
	}{
		{"untouched", func(l []string) string { return text(l...) }, ""},
		{"without the last line's end", func(l []string) string { return strings.TrimSuffix(text(l...), "\n") }, ""},
		{"lines of spaces", func(l []string) string { return text(l[0], "   ", l[1], l[2], l[3], l[4], "") }, ""},
		{"removed", func(l []string) string { return text(l[0], l[1], l[3], l[4]) }, "f:3: record 3 is missing before record 4"},
		{"two removed", func(l []string) string { return text(l[0], l[3], l[4]) }, "f:2: records 2 to 3 are missing before record 4"},
		{"changed", func(l []string) string { return text(l[0], strings.Replace(l[1], "ann", "bob", 1), l[2], l[3], l[4]) },
			"f:2: record 2 was changed: its hash is that of another content"},
		{"the last one changed", func(l []string) string { return text(l[0], l[1], l[2], l[3], strings.Replace(l[4], "ann", "bob", 1)) },
			"f:5: record 5 was changed"},
		{"changed, with its hash", func(l []string) string { return text(l[0], l[1], forged(t, l[2]), l[3], l[4]) },
			"f:4: record 4 was not written behind the record 3 of f:3: one of the two was changed"},
		{"a beginning that is none", func(l []string) string {
			return text(forgedWith(t, l[0], strings.Repeat("0", 64), strings.Repeat("1", 64)))
		},
			"f:1: record 1 says that a record stood before it"},
		{"a cut line removed", func(l []string) string { return text(l[0], forgedWith(t, l[1], `"time"`, `"cut":true,"time"`)) },
			"f:2: a line that was cut short stood before record 2 and is gone"},
		{"reordered", func(l []string) string { return text(l[0], l[1], l[3], l[2], l[4]) },
			"f:3: record 3 is missing before record 4\nf:4: record 3 stands behind record 4: moved, or there twice"},
		{"twice", func(l []string) string { return text(l[0], l[1], l[1], l[2], l[3], l[4]) }, "f:3: record 2 stands behind record 2"},
		{"inserted", func(l []string) string { return text(l[0], `{"requestId":"r9"}`, l[1], l[2], l[3], l[4]) }, "f:2: this is not a record"},
		{"words inserted", func(l []string) string { return text(l[0], `hello`, l[1], l[2], l[3], l[4]) }, "f:2: the line is cut short or changed"},
		{"cut short", func(l []string) string { return text(l[0], l[1], l[2][:90], l[3], l[4]) },
			"f:3: the line is cut short or changed: it is no record\nf:4: record 3 is missing before record 4"},
		{"the last one cut short", func(l []string) string { return text(l[0], l[1], l[2], l[3]) + l[4][:90] },
			"f:5: the last line is cut short, or just being written"},
		{"with the ends of another system", func(l []string) string { return strings.ReplaceAll(text(l...), "\n", "\r\n") }, "f:1: this is not a record"},
		{"with a byte order mark", func(l []string) string { return "\ufeff" + text(l...) }, "f:1: the line is cut short or changed"},
		{"a space behind a line", func(l []string) string { return text(l[0], l[1]+" ", l[2], l[3], l[4]) }, "f:2: this is not a record"},
		{"two records in a line", func(l []string) string { return text(l[0], l[1]+l[2], l[3], l[4]) }, "f:2: the line is cut short or changed"},
		{"a second number", func(l []string) string {
			return text(l[0], strings.Replace(l[1], `{"seq":2,`, `{"seq":9,"seq":2,`, 1), l[2], l[3], l[4])
		}, "f:2: record 2 was changed"},
		{"a second hash", func(l []string) string {
			return text(l[0], strings.Replace(l[1], `,"hash":"`, `,"hash":"x","subject":"bob","hash":"`, 1), l[2], l[3], l[4])
		}, "f:2: record 2 was changed"},
		{"a hash in capitals", func(l []string) string {
			at := strings.LastIndex(l[1], `"hash":"`) + len(`"hash":"`)
			return text(l[0], l[1][:at]+strings.ToUpper(l[1][at:]), l[2], l[3], l[4])
		}, "f:2: record 2 was changed"},
		{"bytes that are no text", func(l []string) string {
			return text(l[0], strings.Replace(l[1], "ann", "an\xff", 1), l[2], l[3], l[4])
		}, "f:2: record 2 was changed"},
		{"a hole of zeros", func(l []string) string { return text(l[0], strings.Repeat("\x00", 4096), l[1], l[2], l[3], l[4]) }, "f:2: the line is cut short or changed"},
		{"a number beyond all", func(l []string) string {
			return text(l[0], strings.Replace(l[1], `{"seq":2,`, `{"seq":18446744073709551616,`, 1), l[2], l[3], l[4])
		}, "f:2: this is not a record"},
		{"begun anew", func(l []string) string { return text(l...) + text(l[0]) }, "f:6: another chain begins here, behind record 5"},
	} {
		t.Run(c.says, func(t *testing.T) {
			got, v, whole := verify(t, c.change(chain(t, 5)))
			if !strings.HasPrefix(got, c.want) || whole != (c.want == "") || whole && got != "" {
				t.Errorf("whole %t, found %q, want %q", whole, got, c.want)
			}
			if whole && (v.Records != 5 || v.First.Seq != 1 || v.Head.Seq != 5) {
				t.Errorf("%d records, %d to %d", v.Records, v.First.Seq, v.Head.Seq)
			}
		})
	}
}

func TestALineOfAnySizeIsNotKeptInMemory(t *testing.T) {
	lines := chain(t, 2)
	v := &audit.Verifier{}
	endless := io.MultiReader(strings.NewReader(lines[0]+"\n"), strings.NewReader(strings.Repeat("x", 3<<20)))
	if err := v.Read("f", endless); err == nil || !strings.Contains(err.Error(), "f:2: the line is longer than 1 MiB") {
		t.Errorf("%v", err)
	}
}

// Each byte matters: whatever is done to one of them, the line is named.
func TestEveryChangedByteIsFound(t *testing.T) {
	lines := chain(t, 3)
	for i := range lines[1] {
		changed := []byte(lines[1])
		changed[i] ^= 1
		got, _, whole := verify(t, text(lines[0], string(changed), lines[2]))
		if whole || !strings.Contains(got, "f:2: ") && !strings.Contains(got, "f:3: ") {
			t.Fatalf("byte %d: whole %t, found %q", i, whole, got)
		}
	}
}

func TestWhatTheFilesCannotShowAKnownHeadDoes(t *testing.T) {
	lines := chain(t, 5)
	_, v, _ := verify(t, text(lines...))
	head := v.Head
	if got, _, whole := verify(t, text(lines...), head); !whole {
		t.Errorf("with the head in place: %s", got)
	}
	if got, _, whole := verify(t, text(lines[:3]...), head); whole || !strings.Contains(got, "f:3: record 5 with hash "+head.Hash+" is not in the chain") {
		t.Errorf("the last two removed: whole %t, %q", whole, got)
	}
	if got, _, whole := verify(t, text(append(lines[:4:4], forged(t, lines[4]))...), head); whole || !strings.Contains(got, "is not in the chain") {
		t.Errorf("the last one written anew: whole %t, %q", whole, got)
	}
	if got, _, whole := verify(t, text(lines[2:]...)); !whole || got != "f:1: the files begin with record 3: those before it are not here" {
		t.Errorf("without the first file: whole %t, %q", whole, got)
	}
}

func TestTheExampleOfTheSpecificationIsWhole(t *testing.T) {
	spec, err := os.ReadFile(filepath.Join("..", "..", "docs", "spec", "audit-v1.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, example, ok := strings.Cut(string(spec), "```json\n")
	example, _, ok2 := strings.Cut(example, "```")
	if !ok || !ok2 {
		t.Fatal("no example")
	}
	if got, v, whole := verify(t, example); !whole || v.Records != 3 || !strings.Contains(got, "by a crash or a full disk") {
		t.Errorf("the example: whole %t, %d records, %s", whole, v.Records, got)
	}
}

// TestACutLineIsNotTakenAway: the record behind it tells of it.
func TestACutLineIsNotTakenAway(t *testing.T) {
	spec, err := os.ReadFile(filepath.Join("..", "..", "docs", "spec", "audit-v1.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, example, _ := strings.Cut(string(spec), "```json\n")
	example, _, _ = strings.Cut(example, "```")
	var whole []string
	for line := range strings.Lines(example) {
		if _, _, ok := audit.Parse([]byte(strings.TrimSuffix(line, "\n"))); ok {
			whole = append(whole, strings.TrimSuffix(line, "\n"))
		}
	}
	if len(whole) != 3 || len(whole) == strings.Count(example, "\n") {
		t.Fatalf("the example has %d records", len(whole))
	}
	if got, _, ok := verify(t, text(whole...)); ok || !strings.Contains(got, "a line that was cut short stood before record") {
		t.Errorf("whole %t, found %q", ok, got)
	}
}

// TestABeginningThatWasMadeUp: a record with number 1 that has another before it, with a hash that is right.
func TestABeginningThatWasMadeUp(t *testing.T) {
	lines := chain(t, 2)
	content, _, _ := strings.Cut(strings.Replace(lines[0], strings.Repeat("0", 64), strings.Repeat("1", 64), 1), `,"hash":"`)
	made := fmt.Sprintf(`%s,"hash":"%x"}`, content, sha256.Sum256([]byte(content)))
	if got, _, ok := verify(t, text(made)); ok || got != "f:1: record 1 says that a record stood before it" {
		t.Errorf("whole %t, found %q", ok, got)
	}
}
