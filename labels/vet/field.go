package vet

import (
	"go/ast"
	"go/types"
	"reflect"
	"strings"
	"unicode"

	"github.com/signet-temporal/signet/labels"
)

// field looks at one field, and at what it holds unless a label covers that.
func (c *checker) field(at ast.Expr, f *types.Var, text string) {
	tag := reflect.StructTag(text)
	name, _, _ := strings.Cut(tag.Get("json"), ",")
	if tag.Get("json") == "-" || !f.Exported() && !f.Embedded() {
		return // it is not written
	}
	names, looked, ok := labelsOf(tag)
	switch {
	case !ok:
		c.report(f, at, `the tag sensitive:%q of field %s is malformed, and masks it as unknown: write labels of letters and digits, separated by commas`, tag.Get("sensitive"), f.Name())
	case len(names) > 0:
		return
	case !looked && !f.Embedded() && c.isSensitive(f, name):
		c.report(f, at, `field %s looks sensitive and has no label: add a tag such as sensitive:"pii", or sensitive:"-" if it is not`, f.Name())
		return
	}
	c.payload(at, f.Type())
}

// labelsOf reads the sensitive tag. looked: there is one.
func labelsOf(tag reflect.StructTag) (names []string, looked, ok bool) {
	text, looked := tag.Lookup("sensitive")
	if !looked || text == "-" {
		return nil, looked, true
	}
	for name := range strings.SplitSeq(text, ",") {
		if name = strings.TrimSpace(name); !labels.CheckName(name) {
			return nil, true, false
		}
		names = append(names, name)
	}
	return names, true, true
}

func (c *checker) isSensitive(f *types.Var, jsonName string) bool {
	return c.looksSensitive(f.Name()) || c.looksSensitive(jsonName) || c.types[named(f.Type())]
}

// named returns import/path.Name of a type, or of what it points to or is a list of.
func named(t types.Type) string {
	switch t := types.Unalias(t).(type) {
	case *types.Pointer:
		return named(t.Elem())
	case *types.Slice:
		return named(t.Elem())
	case *types.Array:
		return named(t.Elem())
	case *types.Map:
		return named(t.Elem())
	case *types.Named:
		if t.Obj().Pkg() != nil {
			return t.Obj().Pkg().Path() + "." + t.Obj().Name()
		}
	}
	return ""
}

func (c *checker) looksSensitive(name string) bool {
	return name != "" && c.fields.MatchString(words(name))
}

// words returns PatientSSN as _patient_ssn_.
func words(name string) string {
	runes := []rune(name)
	out := []rune{'_'}
	for i, r := range runes {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			r = '_'
		}
		upper := unicode.IsUpper(r)
		begins := i > 0 && upper && (unicode.IsLower(runes[i-1]) || unicode.IsDigit(runes[i-1]) || i+1 < len(runes) && unicode.IsLower(runes[i+1]))
		if begins && out[len(out)-1] != '_' {
			out = append(out, '_')
		}
		if r != '_' || out[len(out)-1] != '_' {
			out = append(out, unicode.ToLower(r))
		}
	}
	if out[len(out)-1] != '_' {
		out = append(out, '_')
	}
	return string(out)
}

// report says it once for each object: where that is, or where the payload is if that is in another package.
func (c *checker) report(o types.Object, at ast.Expr, format string, args ...any) {
	if c.reported[o] {
		return
	}
	c.reported[o] = true
	pos := o.Pos()
	if o.Pkg() != c.pass.Pkg || !pos.IsValid() {
		pos = at.Pos()
		format = "in %s: " + format
		args = append([]any{o.Pkg().Path()}, args...)
	}
	c.pass.Reportf(pos, format, args...)
}
