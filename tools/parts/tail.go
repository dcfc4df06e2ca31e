package parts

import (
	"strings"
	"sync"
)

const tailLines = 40

// tail is a writer that keeps the last lines and hands each line on. It is safe for concurrent use; line is
// called by one goroutine at a time.
type tail struct {
	mu      sync.Mutex
	line    func(string) // may be nil
	partial string
	lines   []string
}

// Write takes any piece of text; it never fails.
func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.partial += string(b)
	for {
		text, rest, ok := strings.Cut(t.partial, "\n")
		if !ok {
			return len(b), nil
		}
		t.partial = rest
		t.add(strings.TrimRight(text, "\r"))
	}
}

func (t *tail) add(text string) {
	if t.line != nil {
		t.line(text)
	}
	if strings.TrimSpace(text) == "" {
		return
	}
	t.lines = append(t.lines, text)
	if len(t.lines) > tailLines {
		t.lines = t.lines[1:]
	}
}

// last returns at most the last n lines as one line, for an error message.
func (t *tail) last(n int) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	lines := t.lines
	if t.partial != "" {
		lines = append(lines[:len(lines):len(lines)], t.partial)
	}
	if len(lines) > n {
		lines = lines[len(lines)-n:]
	}
	return strings.Join(lines, " | ")
}
