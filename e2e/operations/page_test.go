// Package operations_test plays docs/operations.md: every command that the page shows with its output, in the order of the
// page, against a real Vault and a real Temporal.
package operations_test

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const page = "../../docs/operations.md"

var update = flag.Bool("update", false, "write what the commands print into the page; look at the difference")

// played are the sections whose commands are run. Others show none, or have tests of their own.
var played = []string{"Keysets", "Rotation", "A compromised key", "After a rotation of the Transit key", "Disabling and destroying a key", "Backup, and a restore drill", "When Vault is lost"}

// shown is one command of the page with what it prints.
type shown struct {
	section, command string
	output           []string
	from, to         int // lines of the output
}

// commands returns the commands of the page, in their order: the lines that begin with "$ " in blocks of code.
func commands(lines []string) (all []shown) {
	section, inside := "", false
	for i, line := range lines {
		switch {
		case strings.HasPrefix(line, "```"):
			inside = !inside
		case !inside && strings.HasPrefix(line, "#"):
			section = strings.TrimSpace(strings.TrimLeft(line, "#"))
		case inside && strings.HasPrefix(line, "$ "):
			all = append(all, shown{section: section, command: line[2:], from: i + 1, to: i + 1})
		case inside && len(all) > 0 && all[len(all)-1].to == i:
			last := &all[len(all)-1]
			last.output, last.to = append(last.output, line), i+1
		}
	}
	return slices.DeleteFunc(all, func(s shown) bool { return !slices.Contains(played, s.section) })
}

// TestThePageShowsWhatTheCommandsPrint compares line by line. Key ids, times and durations are others each time: the ids
// stand for the same keys throughout the page, and in place of a time there is a time.
func TestThePageShowsWhatTheCommandsPrint(t *testing.T) {
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(text), "\n")
	w := newWorld(t)
	all := commands(lines)
	if len(all) < 25 {
		t.Fatalf("the page shows %d commands, that cannot be all", len(all))
	}
	ids := map[string]string{} // of the page, to real ones
	for i := range all {
		c := &all[i]
		real := idPattern.ReplaceAllStringFunc(c.command, func(id string) string {
			if ids[id] == "" {
				t.Fatalf("%s: %q names a key that the page has not shown", c.section, c.command)
			}
			return ids[id]
		})
		got := w.run(t, c.command, real)
		if *update {
			lines[c.from-1] = "$ " + real
			real := idPattern.FindAllString(strings.Join(got, "\n"), -1)
			for n, id := range idPattern.FindAllString(strings.Join(c.output, "\n"), -1) {
				if n < len(real) && ids[id] == "" {
					ids[id] = real[n]
				}
			}
			c.output = got
			continue
		}
		compare(t, c, got, ids)
	}
	for _, p := range w.preparations {
		t.Errorf("the page no longer shows %q", p.before)
	}
	if *update {
		for _, c := range slices.Backward(all) {
			lines = slices.Replace(lines, c.from, c.to, c.output...)
		}
		if err := os.WriteFile(page, []byte(strings.Join(lines, "\n")), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

var (
	idPattern = regexp.MustCompile(`\b[0-9a-f]{8}\b`)
	passing   = []*regexp.Regexp{
		regexp.MustCompile(`\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z`),
		regexp.MustCompile(`(?:[A-Z][a-z]{2} \d+ [A-Z][a-z]{2} \d{4} )?\d{2}:\d{2}:\d{2} UTC`),
		regexp.MustCompile(`just now|\d+ (?:second|minute|hour|day)s? ago`),
		regexp.MustCompile(`\b(?:\d+h)?(?:\d+m)?\d+s\b|\b\d+h(?:\d+m)?\b|\b\d+m\b`),
	}
	spaces = regexp.MustCompile(` {2,}`)
)

// plain is a line without what passes.
func plain(line string) string {
	for _, p := range passing {
		line = p.ReplaceAllString(line, "@")
	}
	return strings.TrimRight(spaces.ReplaceAllString(idPattern.ReplaceAllString(line, "#"), "  "), " ")
}

func compare(t *testing.T, c *shown, got []string, ids map[string]string) {
	t.Helper()
	wrong := len(got) != len(c.output)
	for i := 0; i < len(got) && i < len(c.output); i++ {
		if plain(got[i]) != plain(c.output[i]) {
			wrong = true
			break
		}
		real := idPattern.FindAllString(got[i], -1)
		for n, id := range idPattern.FindAllString(c.output[i], -1) {
			if ids[id] == "" {
				ids[id] = real[n]
			}
			if ids[id] != real[n] {
				t.Errorf("%s: in what %q prints, %s stands for another key than before", c.section, c.command, id)
			}
		}
	}
	if wrong {
		t.Fatalf("%s: %q prints\n\n%s\n\nand the page shows\n\n%s\n\n(go test ./operations -update writes it down)", c.section, c.command, indent(got), indent(c.output))
	}
}

func indent(lines []string) string { return fmt.Sprintf("    %s", strings.Join(lines, "\n    ")) }
