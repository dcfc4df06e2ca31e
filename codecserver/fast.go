package codecserver

import (
	"bytes"
	"github.com/segmentio/asm/base64"

	"github.com/signet-temporal/signet/internal/wire"
)

// fastParse reads a body in the form that the Web UI, the CLI and the SDKs send, of which most of the time of a request
// would be spent otherwise: {"payloads":[{"metadata":{"<key>":"<base64>"},"data":"<base64>"}]}, in any order and with any
// spaces, without escapes, other members and other alphabets. ok is false for everything else, also for what is wrong:
// the whole parser has the last word on it. The items point into the memory of the scratch.
func (m *scratch) fastParse(maxPayloads int) (items []*item, ok bool) {
	s := scanner{rest: m.body, out: m.valuesOf()[:0]}
	defer func() { m.values = s.out }()
	if !s.next('{') || s.key() != "payloads" || !s.next('[') {
		return nil, false
	}
	for !s.next(']') {
		if m.used == maxPayloads || m.used > 0 && !s.next(',') {
			return nil, false
		}
		slot := m.slot()
		s.space()
		begin := s.rest
		if !s.payload(slot) {
			return nil, false
		}
		slot.raw = begin[: len(begin)-len(s.rest) : len(begin)-len(s.rest)]
	}
	if !s.next('}') {
		return nil, false
	}
	s.space()
	return m.items[:m.used], len(s.rest) == 0
}

type scanner struct {
	rest []byte
	out  []byte // the values of base64, one behind the other; there is room for all that rest can hold

	// The last metadata, as text and as what it says: most payloads of a request were sealed for one workflow by one key,
	// and their metadata is the same.
	last  []byte
	says  [3]entry
	count int // of says that count; 0: there is none, or it says more
}

type entry struct {
	name  string
	value []byte
}

func (s *scanner) space() {
	for len(s.rest) > 0 && (s.rest[0] == ' ' || s.rest[0] == '\n' || s.rest[0] == '\t' || s.rest[0] == '\r') {
		s.rest = s.rest[1:]
	}
}

// next takes c, if it is next.
func (s *scanner) next(c byte) bool {
	s.space()
	if len(s.rest) == 0 || s.rest[0] != c {
		return false
	}
	s.rest = s.rest[1:]
	return true
}

// text takes a string up to the next quote. What stands between is not checked.
func (s *scanner) text() ([]byte, bool) {
	if !s.next('"') {
		return nil, false
	}
	end := bytes.IndexByte(s.rest, '"')
	if end < 0 {
		return nil, false
	}
	text := s.rest[:end]
	s.rest = s.rest[end+1:]
	return text, true
}

// key takes a name that is not empty, of printable ASCII without escapes, and the colon behind it; else it returns "".
func (s *scanner) key() string {
	text, ok := s.text()
	if !ok || !s.next(':') {
		return ""
	}
	switch string(text) { // those that are in almost every payload need no memory of their own
	case "metadata":
		return "metadata"
	case "data":
		return "data"
	case wire.MetadataEncoding:
		return wire.MetadataEncoding
	case wire.MetadataKeyID:
		return wire.MetadataKeyID
	case wire.MetadataContext:
		return wire.MetadataContext
	}
	for _, c := range text {
		if c < ' ' || c > '~' || c == '\\' {
			return ""
		}
	}
	return string(text)
}

// base64 takes a string in the standard alphabet with padding. The decoder skips ends of lines, which JSON forbids.
func (s *scanner) base64() ([]byte, bool) {
	text, ok := s.text()
	if !ok || bytes.IndexByte(text, '\n') >= 0 || bytes.IndexByte(text, '\r') >= 0 {
		return nil, false
	}
	begin := len(s.out)
	n, err := base64.StdEncoding.Decode(s.out[begin:cap(s.out)], text)
	s.out = s.out[:begin+n]
	return s.out[begin : begin+n : begin+n], err == nil
}

func (s *scanner) payload(into *slot) bool {
	if !s.next('{') {
		return false
	}
	p := into.payload
	for first := true; !s.next('}'); first = false {
		if !first && !s.next(',') {
			return false
		}
		switch s.key() {
		case "metadata":
			if p.Metadata != nil {
				return false
			}
			if p.Metadata = into.metadata; !s.metadata(p.Metadata) {
				return false
			}
		case "data":
			var ok bool
			if p.Data != nil {
				return false
			}
			if p.Data, ok = s.base64(); !ok {
				return false
			}
		default:
			return false
		}
	}
	return true
}

// metadata puts the metadata that is next into m, which is empty.
func (s *scanner) metadata(m map[string][]byte) bool {
	s.space()
	if s.count > 0 && bytes.HasPrefix(s.rest, s.last) {
		for _, e := range s.says[:s.count] {
			m[e.name] = e.value
		}
		s.rest = s.rest[len(s.last):]
		return true
	}
	begin := s.rest
	s.count = 0
	if !s.next('{') {
		return false
	}
	for !s.next('}') {
		if len(m) > 0 && !s.next(',') {
			return false
		}
		key := s.key()
		if _, twice := m[key]; key == "" || twice {
			return false
		}
		value, ok := s.base64()
		if !ok {
			return false
		}
		m[key] = value
		if len(m) <= len(s.says) {
			s.says[len(m)-1] = entry{key, value}
		}
	}
	if len(m) <= len(s.says) {
		s.last, s.count = begin[:len(begin)-len(s.rest)], len(m)
	}
	return true
}
