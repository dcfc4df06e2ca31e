package audit_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/signet-temporal/signet/codecserver/audit"
)

func TestWhatSteersATerminalOrTurnsTextAroundIsEscaped(t *testing.T) {
	var id strings.Builder
	for r := rune(0); r <= 0x20; r++ {
		id.WriteRune(r)
	}
	steering := "\u007f\u0080\u0085\u009b31m\u009f\u061c\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
	id.WriteString(steering + `näh\u202e ✓ 😀 "\`)
	var out bytes.Buffer
	if err := audit.New(&out).Write(t.Context(), audit.Record{Claimed: &audit.Item{Workflow: id.String()}, Reason: "x"}); err != nil {
		t.Fatal(err)
	}
	line := out.String()
	if strings.ContainsAny(strings.TrimSuffix(line, "\n"), strings.ReplaceAll(steering, "31m", "")+"\n\r\x1b") {
		t.Errorf("the line holds them as they are: %q", line)
	}
	for _, want := range []string{`\u007f\u0080\u0085\u009b31m\u009f`, `\u202e\u2066`, "näh", "✓ 😀"} {
		if !strings.Contains(line, want) {
			t.Errorf("the line does not hold %s: %s", want, line)
		}
	}
	var got audit.Record
	if err := json.Unmarshal([]byte(line), &got); err != nil {
		t.Fatalf("%v: %s", err, line)
	}
	if got.Claimed.Workflow != id.String() {
		t.Errorf("read back %q, want %q", got.Claimed.Workflow, id.String())
	}
}
