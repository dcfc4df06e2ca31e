package wire

import (
	"fmt"
	"strings"
)

const idDigits = 8

// CheckName reports whether name can name a keyset: 1 to 200 bytes; segments of ASCII letters, digits, '_', '-' and '.'
// between single slashes, none beginning with '.' or '-' (spec §2.2).
func CheckName(name string) error {
	if len(name) == 0 || len(name) > 200 {
		return fmt.Errorf("keyset name %.40q must have 1 to 200 characters", name)
	}
	for segment := range strings.SplitSeq(name, "/") {
		if !isSegment(segment) {
			return fmt.Errorf("keyset name %q: use letters, digits, '_', '-', '.' in segments separated by '/', such as ns/payments", name)
		}
	}
	return nil
}

func isSegment(s string) bool {
	for i := range len(s) {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_':
		case (c == '.' || c == '-') && i > 0:
		default:
			return false
		}
	}
	return s != ""
}

func appendKeyID(dst []byte, keyset string, id uint32) []byte {
	dst = append(append(dst, keyset...), '/')
	for shift := 28; shift >= 0; shift -= 4 {
		dst = append(dst, hexDigits[id>>shift&0xf])
	}
	return dst
}

// ParseKeyID splits "<keyset name>/<8 lower-case hex digits>" (spec §2.2). Its errors match [ErrMalformed].
func ParseKeyID(value []byte) (keyset string, id uint32, err error) {
	return parseKeyID(value, Known{})
}

func parseKeyID(value []byte, known Known) (keyset string, id uint32, err error) {
	slash := len(value) - idDigits - 1
	if slash < 1 || value[slash] != '/' {
		return "", 0, malformed(MetadataKeyID + " is not <keyset name>/<8 hex digits>")
	}
	for _, c := range value[slash+1:] {
		digit := strings.IndexByte(hexDigits, c)
		if digit < 0 {
			return "", 0, malformed(MetadataKeyID + " does not end in 8 lower-case hex digits")
		}
		id = id<<4 | uint32(digit) // #nosec G115 -- a hex digit
	}
	keyset, isKnown := known.keyset(value[:slash])
	if !isKnown && CheckName(keyset) != nil {
		return "", 0, malformed(MetadataKeyID + " does not begin with the name of a keyset")
	}
	return keyset, id, nil
}
