package policy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/signet-temporal/signet/labels"
)

// anyLabel stands in a grant for all labels, those included that nobody has thought of yet.
const anyLabel = "*"

// Labels are those that a caller may see. The zero value is none. Whoever has them must not change Names.
type Labels struct {
	All   bool
	Names []string // sorted
}

// None reports whether they are none at all.
func (l Labels) None() bool { return !l.All && len(l.Names) == 0 }

// String returns "all", "none", or the names.
func (l Labels) String() string {
	switch {
	case l.All:
		return "all"
	case l.None():
		return "none"
	}
	return strings.Join(l.Names, ", ")
}

// and returns the labels of both. It allocates only where neither has all of them.
func (l Labels) and(m Labels) Labels {
	switch {
	case l.All || m.None():
		return l
	case m.All || l.None():
		return m
	}
	union := l.Names
	for _, name := range m.Names {
		if at, found := slices.BinarySearch(union, name); !found {
			union = slices.Insert(slices.Clip(union), at, name)
		}
	}
	return Labels{Names: union}
}

func (l Labels) equal(m Labels) bool {
	return l.All == m.All && (l.All || slices.Equal(l.Names, m.Names))
}

// shown are the labels that may be shown in the end.
func (d Decision) shown() Labels { return d.Labels.and(d.GlassLabels) }

// labelsOf reads a list that checkLabels has looked at.
func labelsOf(list []string) Labels {
	if slices.Contains(list, anyLabel) {
		return Labels{All: true}
	}
	return Labels{Names: slices.Compact(slices.Sorted(slices.Values(list)))}
}

// checkLabels: labels are about what is decoded. In a grant that decodes nothing they would promise what it does not give.
func checkLabels(list []string, decodes bool) *FieldError {
	for i, name := range list {
		switch {
		case name == anyLabel && len(list) > 1:
			return &FieldError{"labels", `"*" means every label: leave the others out`}
		case name != anyLabel && !labels.CheckName(name):
			return &FieldError{fmt.Sprintf("labels[%d]", i), fmt.Sprintf(`%.70q is no label: write one as in the struct tags, such as phi, or "*" for all`, name)}
		}
	}
	if len(list) > 0 && !decodes {
		return &FieldError{"labels", "labels are about what is decoded, and nothing is decoded here: add the action decode, or leave them out"}
	}
	return nil
}

// show fills in which labels an allowed decision shows: those of every grant and of the permissions that match. What
// break-glass grants add counts apart, unless one of them decided.
func (r *Rules) show(q *Request, d *Decision) {
	if !d.BreakGlass {
		for _, g := range r.grants {
			if !d.Labels.All && !g.labels.None() && g.mismatch(q) == "" {
				d.Labels = d.Labels.and(g.labels)
			}
		}
		for i := range r.permissions {
			if p := &r.permissions[i]; !d.Labels.All && !p.shows.None() && p.allow(q) {
				d.Labels = d.Labels.and(p.shows)
			}
		}
	}
	if q.BreakGlass == "" || d.Labels.All {
		return
	}
	for _, g := range r.breakGlass {
		if g.labels.None() || g.mismatch(q) != "" {
			continue
		}
		if d.BreakGlass {
			d.Labels = d.Labels.and(g.labels)
			continue
		}
		if d.GlassRule == "" {
			d.GlassRule, d.GlassLabels = g.name, d.Labels
		}
		d.GlassLabels = d.GlassLabels.and(g.labels)
	}
}
