// Package strictyaml reads configuration: YAML in which an unknown field and a doubled one are errors, and an error is one
// line that says where and quotes nothing but names. The YAML library's own errors show lines of the file, in which a
// secret may stand by mistake.
package strictyaml

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Unmarshal reads data into the struct that into points to. An empty document is a struct of zeros. A second document in
// the same data is an error, and so is a member without a value.
func Unmarshal(data []byte, into any) error {
	err := yaml.UnmarshalWithOptions(data, into, yaml.Strict())
	if err != nil && !errors.Is(err, io.EOF) {
		return OneLine(err)
	}
	if err := oneDocument(data); err != nil {
		return err
	}
	return noGaps(data)
}

// noGaps: a name without a value reads as if it were not there, and where a list restricts something, such as a grant to
// workflows, that opens it: when its last entry was taken out, say, or put behind a #.
func noGaps(data []byte) error {
	file, err := parser.ParseBytes(data, 0)
	if err != nil {
		return OneLine(err)
	}
	found := &gap{}
	for _, document := range file.Docs {
		if document.Body != nil {
			ast.Walk(found, document.Body)
		}
	}
	return found.err
}

// gap is the first name without a value.
type gap struct{ err error }

// Visit implements [ast.Visitor].
func (g *gap) Visit(n ast.Node) ast.Visitor {
	if member, ok := n.(*ast.MappingValueNode); ok && g.err == nil && member.Value.Type() == ast.NullType {
		at := member.Key.GetToken()
		g.err = fmt.Errorf("line %d: %q has no value: give it one, or leave it out", at.Position.Line, at.Value)
	}
	return g
}

// oneDocument: the library reads the first document and says nothing of the rest, in which a denial may stand. Its parser
// loses some of that, its lexer nothing.
func oneDocument(data []byte) error {
	begun, over := false, false
	for _, t := range lexer.Tokenize(string(data)) {
		switch {
		case t.Type == token.CommentType:
		case t.Type == token.DocumentHeaderType:
			begun, over = true, begun
		case t.Type == token.DocumentEndType:
			begun, over = true, true
		case over:
			return fmt.Errorf("line %d: another document begins here, behind --- or ...: put everything into one", t.Position.Line)
		default:
			begun = true
		}
	}
	return nil
}

// OneLine keeps of an error of the YAML library the place and the message: "line 3: unknown field \"isuer\"". It returns
// nil for nil.
func OneLine(err error) error {
	if err == nil {
		return nil
	}
	var problem yaml.Error
	if !errors.As(err, &problem) {
		return errors.New(strings.Join(strings.Fields(err.Error()), " "))
	}
	message, _, _ := strings.Cut(problem.GetMessage(), "\n")
	var wrong *yaml.TypeError
	if errors.As(err, &wrong) && wrong.SrcType != nil && wrong.DstType != nil {
		message = fmt.Sprintf("%s was used where %s is expected", inYAML(wrong.SrcType), inYAML(wrong.DstType))
	}
	if strings.Contains(message, "'\t'") { // a reader sees a space there
		message = "a tab stands where YAML takes spaces alone"
	}
	if at := problem.GetToken(); at != nil {
		return fmt.Errorf("line %d: %s", at.Position.Line, message)
	}
	return errors.New(message)
}

// inYAML is a type in the words of who writes YAML. The library speaks of Go, and of the outermost field alone.
func inYAML(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.String:
		return "string"
	case reflect.Slice, reflect.Array:
		return "sequence"
	case reflect.Map, reflect.Struct:
		return "mapping"
	case reflect.Pointer:
		return inYAML(t.Elem())
	}
	return "number"
}
