package wire

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"
)

// The "encryption-context" value is JSON, and JSON of one form only (spec §2.3): no white space, the members v, ns, wf in
// this order, wf only when there is one, strings escaped as RFC 8785 §3.2.2.2 does (which is what JavaScript's
// JSON.stringify writes). One form means that two encoders agree, and that nothing can hide in a second "ns".

const hexDigits = "0123456789abcdef"

func appendContext(dst []byte, scope, workflow string) []byte {
	dst = append(dst, `{"v":1,"ns":`...)
	dst = appendString(dst, scope)
	if workflow != "" {
		dst = append(dst, `,"wf":`...)
		dst = appendString(dst, workflow)
	}
	return append(dst, '}')
}

func checkText(what, s string, mayBeEmpty bool) error {
	if s == "" && !mayBeEmpty {
		return fmt.Errorf("%s is empty", what)
	}
	if !utf8.ValidString(s) {
		return fmt.Errorf("%s is not valid UTF-8", what)
	}
	return nil
}

func parseContext(raw []byte, known Known) (Outer, error) {
	if len(raw) > MaxContext {
		return Outer{}, malformed(MetadataContext + " is too long")
	}
	rest, ok := bytes.CutPrefix(raw, []byte(`{"v":`))
	if !ok {
		return Outer{}, malformed(MetadataContext + ` does not begin with {"v":`)
	}
	if rest, ok = bytes.CutPrefix(rest, []byte(`1,"ns":`)); !ok {
		if isLaterVersion(rest) {
			return Outer{}, ErrVersion
		}
		return Outer{}, malformed(MetadataContext + ` has no "ns" after "v"`)
	}
	var scope, workflow []byte
	if scope, rest, ok = parseString(rest); !ok {
		return Outer{}, malformed(`"ns" is not a string in canonical form`)
	}
	if after, found := bytes.CutPrefix(rest, []byte(`,"wf":`)); found {
		if workflow, rest, ok = parseString(after); !ok {
			return Outer{}, malformed(`"wf" is not a string in canonical form`)
		}
	}
	if string(rest) != "}" {
		return Outer{}, malformed(MetadataContext + " has members that format v1 does not have")
	}
	return Outer{Scope: known.scope(scope), Workflow: known.workflow(workflow)}, nil
}

// isLaterVersion: a whole number of 2 or more, followed by the end of the member. Anything else is malformed.
func isLaterVersion(rest []byte) bool {
	digits := bytes.IndexAny(rest, ",}")
	return digits > 0 && digits < 10 && rest[0] != '0' && string(rest[:digits]) != "1" &&
		len(bytes.Trim(rest[:digits], "0123456789")) == 0
}

func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c >= 0x20:
			dst = append(dst, c)
		case shortEscape(c) != 0:
			dst = append(dst, '\\', shortEscape(c))
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&0xf])
		}
	}
	return append(dst, '"')
}

func shortEscape(c byte) byte {
	if i := strings.IndexByte("\b\t\n\f\r", c); i >= 0 {
		return "btnfr"[i]
	}
	return 0
}

// parseString reads one non-empty string in canonical form from the front of in, of which s is a part unless something in
// it is escaped.
func parseString(in []byte) (s, rest []byte, ok bool) {
	if len(in) == 0 || in[0] != '"' {
		return nil, nil, false
	}
	var out []byte
	escaped := false
	for i := 1; i < len(in); {
		switch c := in[i]; {
		case c == '"':
			if !escaped {
				out = in[1:i]
			}
			return out, in[i+1:], len(out) > 0 && utf8.Valid(out)
		case c < 0x20:
			return nil, nil, false
		case c == '\\':
			plain, n := unescape(in[i:])
			if n == 0 {
				return nil, nil, false
			}
			if !escaped {
				out, escaped = append(out, in[1:i]...), true
			}
			out, i = append(out, plain), i+n
		case escaped:
			out, i = append(out, c), i+1
		default:
			i++
		}
	}
	return nil, nil, false
}

// unescape reads one escape and returns its byte and its length, or length 0 if the canonical form has no such escape.
func unescape(in []byte) (plain byte, n int) {
	if len(in) < 2 {
		return 0, 0
	}
	if c := in[1]; c == '"' || c == '\\' {
		return c, 2
	}
	if i := strings.IndexByte("btnfr", in[1]); i >= 0 {
		return "\b\t\n\f\r"[i], 2
	}
	if len(in) < 6 || string(in[1:4]) != "u00" {
		return 0, 0
	}
	high, low := strings.IndexByte("01", in[4]), strings.IndexByte(hexDigits, in[5])
	if high < 0 || low < 0 {
		return 0, 0
	}
	plain = byte(high<<4 | low)
	if shortEscape(plain) != 0 {
		return 0, 0
	}
	return plain, 6
}
