package main

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/signet-temporal/signet/internal/keyconfig"
)

var update = flag.Bool("update", false, "write docs/configuration.md anew")

// TestTheManualOfTheConfigurationIsWhatTheCodeSays: docs/configuration.md is made of the comments on the type config.
func TestTheManualOfTheConfigurationIsWhatTheCodeSays(t *testing.T) {
	m := configManual{t: t, types: map[string]*ast.StructType{}}
	m.read(".", "")
	m.read("../../internal/keyconfig", "keyconfig.")
	var page strings.Builder
	page.WriteString("# The configuration of signet-server\n\nEvery field of the file that `signet-server --config FILE` reads, and `signet-server config check --config FILE` looks through. A field that does not exist, or stands there twice, is an error. " +
		"Paths are relative to the working directory. There are no secrets in the file. A whole one is in [operations.md](operations.md#signet-server), what it is for in [codec-server.md](codec-server.md).\n\n| field | |\n|---|---|\n")
	m.fields(&page, "config", "")
	const file = "../../docs/configuration.md"
	if *update {
		if err := os.WriteFile(file, []byte(page.String()), 0o644); err != nil { // #nosec G306 -- a page
			t.Fatal(err)
		}
	}
	is, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(is) != page.String() {
		t.Error("docs/configuration.md is not what the comments say: go test ./cmd/signet-server -run TestTheManual -update")
	}
}

type configManual struct {
	t     *testing.T
	types map[string]*ast.StructType
}

// read takes in the struct types of a directory, by their names with prefix before them.
func (m configManual) read(dir, prefix string) {
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		m.t.Fatal(err)
	}
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
		if err != nil {
			m.t.Fatal(err)
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			if spec, ok := n.(*ast.TypeSpec); ok {
				if s, ok := spec.Type.(*ast.StructType); ok {
					m.types[prefix+spec.Name.Name] = s
				}
			}
			return true
		})
	}
}

// fields writes a row for each field of a type, with path before its name, and those below it.
func (m configManual) fields(page *strings.Builder, name, path string) {
	for _, f := range m.types[name].Fields.List {
		below, list := typeName(f.Type)
		if m.types[below] == nil && strings.Contains(name, ".") {
			below = name[:strings.Index(name, ".")+1] + below
		}
		tag := yamlName(f)
		if tag == ",inline" {
			if m.types[below] != nil {
				m.fields(page, below, path)
			} else if below != "policy.Document" {
				m.t.Errorf("%s: nothing is known of %s", path, below)
			}
			continue
		}
		text := m.said(f, name)
		if tag == "" {
			m.t.Errorf("%s%v has no yaml tag", path, f.Names)
			continue
		}
		if text == "" && m.types[below] == nil {
			m.t.Errorf("%s%s has no comment", path, tag)
		}
		fmt.Fprintf(page, "| `%s%s%s` | %s |\n", path, tag, list, text)
		if m.types[below] != nil {
			m.fields(page, below, path+tag+list+".")
		}
	}
}

// said is the comment of a field on one line, fit for a table, with the fields of its type as they are called in the file.
func (m configManual) said(f *ast.Field, in string) string {
	doc := f.Doc.Text()
	if doc == "" {
		doc = f.Comment.Text()
	}
	for _, other := range m.types[in].Fields.List {
		if tag := yamlName(other); len(other.Names) == 1 && tag != "" {
			doc = regexp.MustCompile(`\b`+other.Names[0].Name+`\b`).ReplaceAllString(doc, "`"+tag+"`")
		}
	}
	return strings.NewReplacer("|", `\|`, "<", "&lt;", "[DefaultKVMount]", keyconfig.DefaultKVMount, "[DefaultPrefix]", keyconfig.DefaultPrefix,
		"[DefaultTransitMount]", keyconfig.DefaultTransitMount, "[DefaultTransitKey]", keyconfig.DefaultTransitKey).Replace(strings.Join(strings.Fields(doc), " "))
}

func yamlName(f *ast.Field) string {
	if f.Tag == nil {
		return ""
	}
	return reflect.StructTag(strings.Trim(f.Tag.Value, "`")).Get("yaml")
}

// typeName is the name of a field's type, and [] where the field is a list of it.
func typeName(e ast.Expr) (name, list string) {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name, ""
	case *ast.StarExpr:
		return typeName(e.X)
	case *ast.ArrayType:
		name, _ = typeName(e.Elt)
		return name, "[]"
	case *ast.SelectorExpr:
		return fmt.Sprint(e.X) + "." + e.Sel.Name, ""
	}
	return "", ""
}
