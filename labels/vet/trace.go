package vet

import (
	"go/ast"
	"go/types"
	"reflect"
	"strings"

	"golang.org/x/tools/go/types/typeutil"
)

// noteAssignments collects what variables hold.
func (c *checker) noteAssignments(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.AssignStmt:
		for i, left := range n.Lhs {
			if len(n.Lhs) == len(n.Rhs) {
				c.note(left, n.Rhs[i])
			}
		}
	case *ast.ValueSpec:
		for i, name := range n.Names {
			if i < len(n.Values) {
				c.note(name, n.Values[i])
			}
		}
	case *ast.RangeStmt:
		c.note(n.Value, n.X)
	}
	return true
}

func (c *checker) note(left, right ast.Expr) {
	if id, ok := left.(*ast.Ident); ok {
		if o := c.pass.TypesInfo.ObjectOf(id); o != nil {
			c.assigned[o] = append(c.assigned[o], right)
		}
	}
}

// labelled returns the name of a labelled field whose value is in e, or "".
func (c *checker) labelled(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.SelectorExpr:
		return c.labelledField(e)
	case *ast.Ident:
		return c.labelledVariable(e)
	case *ast.ParenExpr:
		return c.labelled(e.X)
	case *ast.StarExpr:
		return c.labelled(e.X)
	case *ast.UnaryExpr:
		return c.labelled(e.X)
	case *ast.IndexExpr:
		return c.labelled(e.X)
	case *ast.SliceExpr:
		return c.labelled(e.X)
	case *ast.TypeAssertExpr:
		return c.labelled(e.X)
	case *ast.BinaryExpr:
		return c.anyLabelled(e.X, e.Y)
	case *ast.KeyValueExpr:
		return c.labelled(e.Value)
	case *ast.CompositeLit:
		return c.anyLabelled(e.Elts...)
	case *ast.CallExpr:
		return c.labelledCall(e)
	}
	return ""
}

func (c *checker) anyLabelled(list ...ast.Expr) string {
	for _, e := range list {
		if field := c.labelled(e); field != "" {
			return field
		}
	}
	return ""
}

// labelledField: a label of the field itself, or of what it lies in.
func (c *checker) labelledField(e *ast.SelectorExpr) string {
	selection := c.pass.TypesInfo.Selections[e]
	if selection == nil || selection.Kind() != types.FieldVal {
		return ""
	}
	t := selection.Recv()
	for _, i := range selection.Index() { // through what is embedded
		s := structOf(t)
		if s == nil {
			return ""
		}
		if names, _, _ := labelsOf(reflect.StructTag(s.Tag(i))); len(names) > 0 {
			return s.Field(i).Name()
		}
		t = s.Field(i).Type()
	}
	return c.labelled(e.X)
}

func structOf(t types.Type) *types.Struct {
	if p, ok := types.Unalias(t).Underlying().(*types.Pointer); ok {
		t = p.Elem()
	}
	s, _ := types.Unalias(t).Underlying().(*types.Struct)
	return s
}

// labelledVariable: something labelled is assigned to it somewhere.
func (c *checker) labelledVariable(id *ast.Ident) string {
	o := c.pass.TypesInfo.ObjectOf(id)
	if o == nil || c.following[o] {
		return ""
	}
	c.following[o] = true
	defer delete(c.following, o)
	return c.anyLabelled(c.assigned[o]...)
}

// labelledCall: conversions, formatting and methods of a labelled value keep what they are given.
func (c *checker) labelledCall(call *ast.CallExpr) string {
	if c.pass.TypesInfo.Types[call.Fun].IsType() {
		return c.anyLabelled(call.Args...)
	}
	if b, ok := typeutil.Callee(c.pass.TypesInfo, call).(*types.Builtin); ok && b.Name() == "append" {
		return c.anyLabelled(call.Args...)
	}
	f, ok := typeutil.Callee(c.pass.TypesInfo, call).(*types.Func)
	if !ok || f.Pkg() == nil {
		return ""
	}
	if sel, ok := call.Fun.(*ast.SelectorExpr); ok && f.Signature().Recv() != nil {
		if field := c.labelled(sel.X); field != "" {
			return field
		}
		if f.Name() == "ValueSet" && inSDK(f) {
			return "" // reported at the call itself
		}
	}
	switch path := f.Pkg().Path(); path {
	case "fmt", "strings", "strconv", "bytes", "path", "net/url", "encoding/base64", "encoding/hex", "slices", "maps":
		if field := c.anyLabelled(call.Args...); field != "" {
			return field
		}
		if path == "fmt" {
			return c.holdsLabelled(call.Args)
		}
	}
	return ""
}

// holdsLabelled: fmt writes a struct with all its fields.
func (c *checker) holdsLabelled(args []ast.Expr) string {
	for _, arg := range args {
		t := c.typeOf(arg)
		if t == nil {
			continue
		}
		s := structOf(t)
		if s == nil {
			continue
		}
		for i := range s.NumFields() {
			if names, _, _ := labelsOf(reflect.StructTag(s.Tag(i))); len(names) > 0 {
				return strings.TrimPrefix(types.TypeString(t, types.RelativeTo(c.pass.Pkg)), "*") + "." + s.Field(i).Name()
			}
		}
	}
	return ""
}
