package mask

import (
	"iter"
	"slices"
	"strconv"

	"github.com/signet-temporal/signet/internal/rawjson"
	"github.com/signet-temporal/signet/labels"
)

// pointer is what is left of one on the way to the values it means: "" when it has led there.
type pointer struct {
	rest  string
	label int // an index into the masker's names
}

// next returns the pointer behind the step to name, escaped, if that is where it leads.
func (p pointer) next(name []byte) (pointer, bool) {
	end := 1 + len(name)
	switch {
	case p.rest == "":
		return p, false
	case len(p.rest) > 1 && p.rest[1] == labels.Every[0]: // it stands alone, and no name holds one
		end = 2
	case len(p.rest) < end || p.rest[1:end] != string(name):
		return p, false
	case len(p.rest) > end && p.rest[end] != '/':
		return p, false
	}
	return pointer{p.rest[end:], p.label}, true
}

// masker walks through one JSON value, which is valid, along the pointers, and copies it but for what is to be masked.
type masker struct {
	data, out []byte
	copied    int // bytes of data that are in out, or masked
	limit     int // of out

	names   []string
	may     []bool // by label
	lacking []bool // by label, of the value at hand
	shown   []bool
	masked  []bool

	stack  []pointer // those that lead to the value at hand, or on from it, above those of what it lies in
	number [20]byte
}

func newMasker(data []byte, names []string, pointers []pointer, view View) *masker {
	flags := make([]bool, 4*len(names))
	cut := func() (part []bool) {
		part, flags = flags[:len(names)], flags[len(names):]
		return part
	}
	m := &masker{data: data, limit: 4*len(data) + 64<<10, names: names, may: cut(), lacking: cut(), shown: cut(), masked: cut(), stack: pointers}
	for i, name := range names {
		m.may[i] = view.may(name)
	}
	return m
}

// run returns the masked data, which is of use if something is masked, or false if the whole payload is to be masked.
func (m *masker) run() ([]byte, bool) {
	m.value(rawjson.Start(m.data, 0), m.stack)
	if len(m.out) > m.limit {
		return nil, false
	}
	return append(m.out, m.data[m.copied:]...), true
}

// value walks through the value that begins at at, along pointers. It returns its end.
func (m *masker) value(at int, pointers []pointer) int {
	if m.hidden(pointers) {
		end := rawjson.End(m.data, at)
		if len(m.out) <= m.limit {
			if m.out == nil {
				m.out = make([]byte, 0, len(m.data)+64)
			}
			m.out = appendMask(append(m.out, m.data[m.copied:at]...), m.those(m.lacking))
		}
		m.copied = end
		return end
	}
	switch first := m.data[at]; {
	case len(pointers) == 0:
	case first == '{':
		return rawjson.Members(m.data, at, func(name []byte, at int) int {
			return m.step(pointers, step(name), at)
		})
	case first == '[':
		return rawjson.Elements(m.data, at, func(index, at int) int {
			return m.step(pointers, strconv.AppendInt(m.number[:0], int64(index), 10), at)
		})
	}
	return rawjson.End(m.data, at)
}

// step returns a member's name as it stands in pointers.
func step(quoted []byte) []byte {
	for _, c := range quoted {
		if c == '\\' || c == '~' || c == '/' || c == '*' {
			return []byte(labels.Escape(rawjson.Text(quoted)))
		}
	}
	return quoted[1 : len(quoted)-1]
}

// step walks through the member or element called name, which begins at at.
func (m *masker) step(pointers []pointer, name []byte, at int) int {
	top := len(m.stack)
	for _, p := range pointers {
		if next, ok := p.next(name); ok {
			m.stack = append(m.stack, next)
		}
	}
	end := m.value(at, m.stack[top:])
	m.stack = m.stack[:top]
	return end
}

// hidden reports whether a value is to be masked, and notes the labels it has as shown or masked.
func (m *masker) hidden(pointers []pointer) (hidden bool) {
	for _, p := range pointers {
		if p.rest != "" || m.may[p.label] {
			continue
		}
		if !hidden {
			clear(m.lacking)
		}
		hidden, m.lacking[p.label], m.masked[p.label] = true, true, true
	}
	for _, p := range pointers {
		if p.rest == "" && !hidden {
			m.shown[p.label] = true
		}
	}
	return hidden
}

// those are the names of the labels that are set.
func (m *masker) those(set []bool) iter.Seq[string] {
	return func(yield func(string) bool) {
		for i, name := range m.names {
			if set[i] && !yield(name) {
				return
			}
		}
	}
}

func (m *masker) pick(set []bool) []string { return slices.Collect(m.those(set)) }

// appendMask appends a mask as a JSON string. Labels need no escapes.
func appendMask(dst []byte, lacking iter.Seq[string]) []byte {
	dst = append(append(dst, '"'), text...)
	begin := len(dst)
	for name := range lacking {
		if len(dst) > begin {
			dst = append(dst, ", "...)
		}
		dst = append(dst, name...)
	}
	return append(dst, '"')
}
