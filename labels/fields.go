package labels

import (
	"reflect"
	"slices"
	"strings"
	"unicode"
)

// field is what encoding/json writes of a struct: one member.
type field struct {
	name   string
	typ    reflect.Type
	labels []string // by its tag, or that of an embedded struct it comes through
	tagged bool     // it has a sensitive tag that is well-formed: somebody has looked at it
	depth  int      // of embedding
	named  bool     // its json tag gives the name
}

// fieldsOf returns the members of struct type t by the rules of encoding/json: of several fields with one name the least
// deeply embedded wins, then one whose tag gives the name, and if that leaves several, none is written.
func fieldsOf(t reflect.Type) []field {
	all := embedded(t, field{}, nil)
	slices.SortStableFunc(all, func(a, b field) int {
		if c := strings.Compare(a.name, b.name); c != 0 {
			return c
		}
		if a.depth != b.depth {
			return a.depth - b.depth
		}
		switch {
		case a.named == b.named:
			return 0
		case a.named:
			return -1
		}
		return 1
	})
	written := all[:0:0]
	for i := 0; i < len(all); {
		next := i + 1
		for next < len(all) && all[next].name == all[i].name {
			next++
		}
		if next == i+1 || all[i].depth != all[i+1].depth || all[i].named != all[i+1].named {
			written = append(written, all[i])
		}
		i = next
	}
	return written
}

// embedded returns all candidates: the fields of t and of what it embeds. within is what the embedding field says.
func embedded(t reflect.Type, within field, path []reflect.Type) (all []field) {
	if slices.Contains(path, t) {
		return nil // it embeds itself by a pointer: what is deeper loses
	}
	path = append(path, t)
	for i := range t.NumField() {
		sf := t.Field(i)
		target := sf.Type
		if target.Name() == "" && target.Kind() == reflect.Pointer {
			target = target.Elem()
		}
		inlined := sf.Anonymous && target.Kind() == reflect.Struct
		if sf.Tag.Get("json") == "-" || !sf.IsExported() && !inlined {
			continue
		}
		name, _, _ := strings.Cut(sf.Tag.Get("json"), ",")
		f := field{name: name, typ: sf.Type, depth: within.depth, named: validName(name)}
		f.labels, f.tagged = tagOf(sf.Tag)
		f.labels = union(within.labels, f.labels)
		if inlined && !f.named {
			f.depth++
			all = append(all, embedded(target, f, path)...)
			continue
		}
		if !f.named {
			f.name = sf.Name
		}
		all = append(all, f)
	}
	return all
}

// tagOf reads the sensitive tag. A tag that is malformed labels the field as Unknown.
func tagOf(tag reflect.StructTag) (names []string, tagged bool) {
	text, ok := tag.Lookup("sensitive")
	if !ok {
		return nil, false
	}
	return parse(text)
}

// parse reads the text of a tag, or of the option of a protobuf field.
func parse(text string) (names []string, tagged bool) {
	if text == "-" {
		return nil, true
	}
	for name := range strings.SplitSeq(text, ",") {
		name = strings.TrimSpace(name)
		if !CheckName(name) {
			return []string{Unknown}, false
		}
		names = union(names, []string{name})
	}
	return names, true
}

// validName is encoding/json's rule for names in tags; others are ignored.
func validName(name string) bool {
	for _, c := range name {
		if !strings.ContainsRune("!#$%&()*+-./:;<=>?@[]^_{|}~ ", c) && !unicode.IsLetter(c) && !unicode.IsDigit(c) {
			return false
		}
	}
	return name != ""
}

// union never changes a.
func union(a, b []string) []string {
	for _, name := range b {
		if !slices.Contains(a, name) {
			a = append(slices.Clip(a), name)
		}
	}
	return a
}
