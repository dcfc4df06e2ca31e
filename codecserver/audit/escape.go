package audit

import (
	"bytes"
	"fmt"
	"unicode"
)

// escape writes the characters that steer a terminal or turn text around (controls, bidirectional formatting, line
// separators) as \uXXXX, so that what a stranger put into a workflow id is harmless wherever a line is shown. In JSON
// they can stand in strings alone, where the escape means the same; all of them are below U+10000. The controls below
// the space are escaped by encoding/json; what is left of them are the ends of the lines.
func escape(lines []byte) []byte {
	if !bytes.ContainsFunc(lines, steers) {
		return lines
	}
	var out bytes.Buffer
	for _, r := range string(lines) {
		if steers(r) {
			fmt.Fprintf(&out, `\u%04x`, r)
		} else {
			out.WriteRune(r)
		}
	}
	return out.Bytes()
}

func steers(r rune) bool {
	return r >= 0x7f && unicode.In(r, unicode.Cc, unicode.Bidi_Control, unicode.Zl, unicode.Zp)
}
