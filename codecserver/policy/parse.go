package policy

import (
	"errors"
	"fmt"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/parser"

	"github.com/signet-temporal/signet/internal/strictyaml"
)

// FieldError says which field of a policy is wrong and why. Field is a path such as "grants[1].actions".
type FieldError struct {
	Field   string
	Problem string
}

// Error returns "<field>: <problem>".
func (e *FieldError) Error() string { return e.Field + ": " + e.Problem }

// Parse reads a policy file, the YAML of a [Document]. A field that it does not know, a member given twice and a rule
// that [New] refuses are errors, each of one line that begins with "line <n>: " where the place is known. An empty file
// is an error, because nobody means one: a policy that grants nothing says "grants: []".
func Parse(data []byte) (*Rules, error) {
	var d Document
	if err := strictyaml.Unmarshal(data, &d); err != nil {
		return nil, err
	}
	rules, err := New(d)
	var field *FieldError
	if d.Grants != nil && errors.As(err, &field) {
		if line := lineOf(data, field.Field); line > 0 {
			return nil, fmt.Errorf("line %d: %w", line, field)
		}
	}
	return rules, err
}

// lineOf finds the field, or for a field that is missing the nearest thing around it. It returns 0 if there is none.
func lineOf(data []byte, field string) int {
	file, err := parser.ParseBytes(data, 0)
	if err != nil {
		return 0
	}
	for field != "" {
		if p, err := yaml.PathString("$." + field); err == nil {
			if node, err := p.FilterFile(file); err == nil && node != nil && node.GetToken() != nil {
				return node.GetToken().Position.Line
			}
		}
		field = field[:max(0, strings.LastIndexAny(field, ".["))]
	}
	return 0
}
