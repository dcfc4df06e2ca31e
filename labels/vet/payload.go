package vet

import (
	"go/ast"
	"go/types"
	"strings"
)

// payloads looks at what becomes a payload in a call of the SDK: whatever is given for a parameter of type any.
func (c *checker) payloads(call *ast.CallExpr, callee *types.Func) {
	path := callee.Pkg().Path()
	if path == sdkPath+"log" || callee.Name() == "Value" || callee.Name() == "WithValue" {
		return // the logger's, and values of a context
	}
	for i, arg := range call.Args {
		p := parameter(callee.Signature(), i)
		if p == nil || !isAny(p) {
			continue
		}
		t := c.typeOf(arg)
		switch {
		case strings.HasPrefix(callee.Name(), "Register"):
			c.registered(arg, t)
		case c.function(arg, t):
		default:
			c.payload(arg, t)
		}
	}
}

// parameter returns the type of the i-th argument's parameter, or nil.
func parameter(s *types.Signature, i int) types.Type {
	n := s.Params().Len()
	if s.Variadic() && i >= n-1 {
		return s.Params().At(n - 1).Type().(*types.Slice).Elem()
	}
	if i >= n {
		return nil
	}
	return s.Params().At(i).Type()
}

func isAny(t types.Type) bool {
	i, ok := types.Unalias(t).Underlying().(*types.Interface)
	return ok && i.NumMethods() == 0
}

// registered: a function, or a struct whose exported methods are activities.
func (c *checker) registered(at ast.Expr, t types.Type) {
	if c.function(at, t) {
		return
	}
	for method := range types.NewMethodSet(t).Methods() {
		if method.Obj().Exported() {
			c.function(at, method.Type())
		}
	}
}

// function looks at parameters and results, if t is a function.
func (c *checker) function(at ast.Expr, t types.Type) bool {
	if t == nil {
		return false
	}
	s, ok := types.Unalias(t).Underlying().(*types.Signature)
	if !ok {
		return false
	}
	for p := range s.Params().Variables() {
		if _, basic := types.Unalias(p.Type()).(*types.Basic); basic && c.looksSensitive(p.Name()) {
			c.report(p, at, "parameter %s looks sensitive and can have no label: give it a type of its own and label that in labels.Options.Types, or pass a struct", p.Name())
		}
		c.payload(at, p.Type())
	}
	for r := range s.Results().Variables() {
		c.payload(at, r.Type())
	}
	return true
}

// payload looks at the fields of t and of what it holds.
func (c *checker) payload(at ast.Expr, t types.Type) {
	if t == nil || c.walked[t] {
		return
	}
	c.walked[t] = true
	switch t := types.Unalias(t).(type) {
	case *types.Pointer:
		c.payload(at, t.Elem())
	case *types.Slice:
		c.payload(at, t.Elem())
	case *types.Array:
		c.payload(at, t.Elem())
	case *types.Map:
		c.payload(at, t.Elem())
	case *types.Named:
		if c.ours(t.Obj()) && !isMessage(t) {
			c.payload(at, t.Underlying())
		}
	case *types.Struct:
		for i := range t.NumFields() {
			c.field(at, t.Field(i), t.Tag(i))
		}
	}
}

// ours: a type of the package's own module, which can be given tags.
func (c *checker) ours(o types.Object) bool {
	if o.Pkg() == nil || o.Pkg() == c.pass.Pkg {
		return o.Pkg() != nil
	}
	if c.pass.Module == nil || c.pass.Module.Path == "" {
		return false
	}
	path := o.Pkg().Path()
	return path == c.pass.Module.Path || strings.HasPrefix(path, c.pass.Module.Path+"/")
}

// isMessage: fields of protobuf messages are labelled by their names, and not by tags.
func isMessage(t types.Type) bool {
	o, _, _ := types.LookupFieldOrMethod(types.NewPointer(t), true, nil, "ProtoReflect")
	return o != nil
}
