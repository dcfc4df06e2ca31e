// Package vet finds sensitive data that nobody has labelled, and labelled data on its way into what Temporal stores in
// clear: a check in the manner of go vet, for programs that use the Temporal SDK. Command signet-vet runs it.
//
// It looks at what the SDK is given as an argument, result, signal, query, update, heartbeat, memo or detail of a failure,
// and at the parameters and results of registered functions:
//
//   - A field or parameter that looks sensitive, by its name or type, and has no sensitive tag.
//   - A sensitive tag that is malformed, which masks the field as unknown.
//   - A workflow id, search attribute or other name that is built from a labelled field.
//
// A tag sensitive:"-" says that somebody has looked. Fields of protobuf messages and of types of other modules have no
// tags of ours: label them with labels.Options. The check follows assignments, concatenation, conversions and functions of
// fmt, strings, strconv and the like within one function, and believes that any other function hides what it is given.
package vet

import (
	"go/ast"
	"go/types"
	"regexp"
	"strings"

	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/types/typeutil"
)

const sdkPath = "go.temporal.io/sdk/"

// DefaultFields matches the names that look sensitive, in lower case, with an underscore before and after each word.
const DefaultFields = `_(ssn|social_security|tax_id|tin|nino|passport|licen[cs]e_number|national_id|iban|account_number|` +
	`routing_number|card_number|credit_card|pan|cvv|cvc|pin|password|passwd|passphrase|secret|api_key|private_key|` +
	`credentials?|(access|refresh|auth|bearer)_token|dob|birth_?(date|day)|date_of_birth|e_?mail|phone|mobile_number|` +
	`street|post_?code|zip(_code)?|salary|income|diagnos[ie]s|medications?|prescriptions?|allerg(y|ies)|blood_type|` +
	`biometrics?|ethnicity|religion|(first|last|full|patient|maiden)_name|surname)_`

// checker is one run over one package.
type checker struct {
	pass      *analysis.Pass
	fields    *regexp.Regexp
	types     map[string]bool
	reported  map[types.Object]bool
	walked    map[types.Type]bool
	assigned  map[types.Object][]ast.Expr // what is assigned to a variable
	following map[types.Object]bool       // variables that are being looked at
}

// New makes the analyzer. Its flags are -fields, a regular expression in place of [DefaultFields], and -types, the types
// that are sensitive under any name, as import/path.Name, separated by commas.
func New() *analysis.Analyzer {
	a := &analysis.Analyzer{
		Name: "labels",
		Doc:  "find sensitive data without labels, and labelled data that Temporal stores in clear",
		URL:  "https://pkg.go.dev/github.com/signet-temporal/signet/labels/vet",
	}
	fields := regexp.MustCompile(DefaultFields)
	a.Flags.Func("fields", "names that look sensitive: a regular expression over words such as _card_number_", func(text string) (err error) {
		fields, err = regexp.Compile(text)
		return err
	})
	sensitive := map[string]bool{}
	a.Flags.Func("types", "types that are sensitive under any name: import/path.Name, separated by commas", func(text string) error {
		for name := range strings.SplitSeq(text, ",") {
			sensitive[strings.TrimSpace(name)] = true
		}
		return nil
	})
	a.Run = func(pass *analysis.Pass) (any, error) {
		c := &checker{
			pass: pass, fields: fields, types: sensitive, reported: map[types.Object]bool{}, walked: map[types.Type]bool{},
			assigned: map[types.Object][]ast.Expr{}, following: map[types.Object]bool{},
		}
		c.run()
		return nil, nil
	}
	return a
}

func (c *checker) run() {
	for _, file := range c.pass.Files {
		ast.Inspect(file, c.noteAssignments)
	}
	for _, file := range c.pass.Files {
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CallExpr:
				if callee := c.sdkFunc(n); callee != nil {
					c.payloads(n, callee)
					c.clearArguments(n, callee)
				}
			case *ast.CompositeLit:
				c.clearLiteral(n)
			case *ast.AssignStmt:
				c.clearAssignment(n)
			}
			return true
		})
	}
}

// sdkFunc returns the function or method of Temporal's SDK that is called, or nil.
func (c *checker) sdkFunc(call *ast.CallExpr) *types.Func {
	f, ok := typeutil.Callee(c.pass.TypesInfo, call).(*types.Func)
	if !ok || !inSDK(f) {
		return nil
	}
	return f
}

func inSDK(o types.Object) bool {
	return o != nil && o.Pkg() != nil && strings.HasPrefix(o.Pkg().Path(), sdkPath)
}

func (c *checker) typeOf(e ast.Expr) types.Type { return c.pass.TypesInfo.TypeOf(e) }
