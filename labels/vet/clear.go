package vet

import (
	"go/ast"
	"go/types"
)

// clearField says what a field of the SDK's option structs is that Temporal stores in clear, or "".
func clearField(name string) string {
	switch name {
	case "ID", "WorkflowID", "ActivityID", "UpdateID", "ScheduleID":
		return "an id"
	case "SearchAttributes", "TypedSearchAttributes":
		return searchAttribute
	case "TaskQueue", "Identity", "FairnessKey", "Note":
		return "a name or note"
	}
	return ""
}

// clearParameter is clearField for the parameters of the SDK's functions, whose names come with the compiled package.
func clearParameter(f *types.Func, i int) string {
	switch f.Name() {
	case "ValueSet", "UpsertSearchAttributes", "UpsertTypedSearchAttributes":
		return searchAttribute
	}
	if params := f.Signature().Params(); i < params.Len() {
		switch params.At(i).Name() {
		case "workflowID", "activityID", "updateID", "scheduleID":
			return "an id"
		case "signalName", "reason", "errType", "changeID":
			return "a name or note"
		}
	}
	return ""
}

const searchAttribute = "a search attribute"

func (c *checker) clearArguments(call *ast.CallExpr, callee *types.Func) {
	for i, arg := range call.Args {
		if what := clearParameter(callee, i); what != "" {
			c.mustBeClean(arg, what)
		}
	}
}

func (c *checker) clearLiteral(lit *ast.CompositeLit) {
	if !isOptions(c.typeOf(lit)) {
		return
	}
	for _, e := range lit.Elts {
		kv, ok := e.(*ast.KeyValueExpr)
		if !ok {
			continue
		}
		key, ok := kv.Key.(*ast.Ident)
		if !ok {
			continue
		}
		if key.Name == "Memo" {
			c.memo(kv.Value)
		} else if what := clearField(key.Name); what != "" {
			c.mustBeClean(kv.Value, what)
		}
	}
}

// memo: the values of a literal become payloads, each for itself.
func (c *checker) memo(e ast.Expr) {
	lit, ok := e.(*ast.CompositeLit)
	if !ok {
		return
	}
	for _, e := range lit.Elts {
		if kv, ok := e.(*ast.KeyValueExpr); ok {
			c.payload(kv.Value, c.typeOf(kv.Value))
		}
	}
}

func (c *checker) clearAssignment(n *ast.AssignStmt) {
	if len(n.Lhs) != len(n.Rhs) {
		return
	}
	for i, left := range n.Lhs {
		if sel, ok := left.(*ast.SelectorExpr); ok && isOptions(c.typeOf(sel.X)) {
			if what := clearField(sel.Sel.Name); what != "" {
				c.mustBeClean(n.Rhs[i], what)
			}
		}
	}
}

// isOptions: a struct of the SDK, or a pointer to one.
func isOptions(t types.Type) bool {
	if t == nil {
		return false
	}
	if p, ok := types.Unalias(t).(*types.Pointer); ok {
		t = p.Elem()
	}
	n, ok := types.Unalias(t).(*types.Named)
	return ok && inSDK(n.Obj())
}

func (c *checker) mustBeClean(e ast.Expr, what string) {
	field := c.labelled(e)
	if field == "" {
		return
	}
	remedy := "use an opaque one"
	if what == searchAttribute {
		remedy = "set a token of converter.SearchTokens in its place"
	}
	c.pass.Reportf(e.Pos(), "%s is built from the labelled field %s, and Temporal stores it in clear: %s", what, field, remedy)
}
