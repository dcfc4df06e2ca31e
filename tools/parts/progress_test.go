package parts

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestProgressPlain: what is not a terminal gets a line every ten seconds at most.
func TestProgressPlain(t *testing.T) {
	var out lockedBuffer
	p := newProgress(&out, "testvault", "about 3 minutes")
	now := time.Unix(1000, 0)
	p.began, p.now = now, func() time.Time { return now }
	p.downloadLine("go: downloading example.com/a v1.0.0")
	p.downloadLine("go: downloading example.com/b v1.0.0")
	p.downloadLine("go: warning: something else")
	p.compiling(40)
	for i := range 30 {
		p.packageLine(fmt.Sprintf("example.com/p%d", i))
		p.packageLine("# example.com/p: a compiler's message")
		now = now.Add(time.Second)
	}
	p.finish()
	want := []string{
		"parts: building testvault (once; about 3 minutes): downloading modules: 1 so far, 0s",
		"parts: building testvault (once; about 3 minutes): compiling 40 packages, 0s",
		"parts: building testvault (once; about 3 minutes): compiled 11 of at most 40 packages, 10s",
		"parts: building testvault (once; about 3 minutes): compiled 21 of at most 40 packages, 20s",
		"parts: built testvault in 30s",
	}
	if got := strings.TrimSpace(out.String()); got != strings.Join(want, "\n") {
		t.Errorf("got\n%s", got)
	}
}

// TestProgressBar: a terminal gets a bar that is gone when the build is complete.
func TestProgressBar(t *testing.T) {
	var out lockedBuffer
	p := newProgress(&out, "testvault", "about 3 minutes")
	p.terminal = true
	p.downloadLine("go: downloading example.com/a v1.0.0")
	p.compiling(2)
	p.packageLine("example.com/a")
	p.packageLine("example.com/b")
	p.packageLine("example.com/c")
	p.finish()
	p.close()
	for _, want := range []string{"downloading testvault", "building testvault", "built testvault"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in %q", want, out.String())
		}
	}
}

func TestTail(t *testing.T) {
	var lines []string
	tail := &tail{line: func(s string) { lines = append(lines, s) }}
	for _, piece := range []string{"on", "e\ntwo\r\n\nth", "ree"} {
		if _, err := tail.Write([]byte(piece)); err != nil {
			t.Fatal(err)
		}
	}
	if got := tail.last(2); got != "two | three" {
		t.Errorf("last lines: %q", got)
	}
	for i := range 3 * tailLines {
		fmt.Fprintf(tail, "%d\n", i)
	}
	if got := tail.last(1); got != fmt.Sprint(3*tailLines-1) || len(tail.lines) != tailLines {
		t.Errorf("last line %q of %d", got, len(tail.lines))
	}
	if lines[1] != "two" {
		t.Errorf("lines %q", lines[:3])
	}
}
