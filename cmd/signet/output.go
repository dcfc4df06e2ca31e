package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// print writes the result of a command: value as JSON, or what table writes.
func (a *app) print(value any, table func(io.Writer)) error {
	var text strings.Builder
	if a.json {
		enc := json.NewEncoder(&text)
		enc.SetIndent("", "  ")
		enc.SetEscapeHTML(false)
		if err := enc.Encode(value); err != nil {
			return fmt.Errorf("writing the result as JSON: %w", err)
		}
		lines := strings.Split(text.String(), "\n")
		text.Reset()
		for i, line := range lines { // of what steers a terminal encoding/json escapes a part
			lines[i] = visible(line)
		}
		text.WriteString(strings.Join(lines, "\n"))
	} else {
		table(&text)
	}
	if _, err := io.WriteString(a.stdout, text.String()); err != nil {
		return fmt.Errorf("writing the result: %w", err)
	}
	return nil
}

// jsonHelp describes the JSON of T for the help of a command, from the tags of its fields.
func jsonHelp[T any]() string { return "With --output json:\n\n" + membersOf[T]() }

func membersOf[T any]() string {
	members := describe(nil, reflect.TypeFor[T](), "    ")
	column := 0
	for _, m := range members {
		column = max(column, len(m.name)+2)
	}
	var text strings.Builder
	for _, m := range members {
		lines := wrap(m.help, helpColumns-column)
		fmt.Fprintf(&text, "%-*s%s\n", column, m.name, lines[0])
		for _, line := range lines[1:] {
			fmt.Fprintf(&text, "%*s%s\n", column, "", line)
		}
	}
	return text.String()
}

// helpColumns is how wide help may be. What stands indented in it is printed as it is.
const helpColumns = 100

// wrap cuts text into lines of at most width characters, between words.
func wrap(text string, width int) []string {
	lines := []string{""}
	for _, word := range strings.Fields(text) {
		last := &lines[len(lines)-1]
		switch {
		case *last == "":
			*last = word
		case utf8.RuneCountInString(*last)+1+utf8.RuneCountInString(word) <= width:
			*last += " " + word
		default:
			lines = append(lines, word)
		}
	}
	return lines
}

// helpRow is a member of a command's JSON: its name, as far to the right as it is deep, and what it is.
type helpRow struct{ name, help string }

func describe(members []helpRow, t reflect.Type, indent string) []helpRow {
	for i := range t.NumField() {
		field := t.Field(i)
		if field.Anonymous {
			members = describe(members, field.Type, indent)
			continue
		}
		if !field.IsExported() {
			continue
		}
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		inner := field.Type
		for inner.Kind() == reflect.Slice || inner.Kind() == reflect.Pointer {
			inner = inner.Elem()
		}
		members = append(members, helpRow{indent + name, field.Tag.Get("help")})
		if inner.Kind() == reflect.Struct && inner != reflect.TypeFor[time.Time]() {
			members = describe(members, inner, indent+"  ")
		}
	}
	return members
}

// printable returns s as it may be written to a terminal: what is in a payload or a file never moves the cursor.
func printable(s string) string {
	if strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) || r == unicode.ReplacementChar }) {
		return strconv.Quote(s)
	}
	return s
}

// oneLine returns s as an error is written to a terminal: its words with single spaces, and what is not printed as an
// escape, so that quotes and paths in it stay as they are.
func oneLine(s string) string {
	var text strings.Builder
	for s = strings.Join(strings.Fields(s), " "); s != ""; {
		r, n := utf8.DecodeRuneInString(s)
		if char := s[:n]; unicode.IsPrint(r) && (r != utf8.RuneError || n > 1) {
			text.WriteString(char)
		} else {
			quoted := strconv.Quote(char)
			text.WriteString(quoted[1 : len(quoted)-1])
		}
		s = s[n:]
	}
	return text.String()
}

// dash is printable, with a dash for nothing.
func dash(s string) string {
	if s == "" {
		return "-"
	}
	return printable(s)
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + many
}

// size writes bytes for people.
func size(n int64) string {
	switch {
	case n < 1<<10:
		return fmt.Sprintf("%d B", n)
	case n < 1<<20:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
}

// isTerminal reports whether a person sits at the other end.
func isTerminal(stream any) bool {
	file, ok := stream.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return false
	}
	null, err := os.Stat(os.DevNull)
	return err != nil || !os.SameFile(info, null)
}
