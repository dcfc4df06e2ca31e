package census_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/signet-temporal/signet/keys"
	"github.com/signet-temporal/signet/keys/census"
)

func TestAKeyIsUnusedOnlyWhenThatIsProven(t *testing.T) {
	promoted := day
	proof := func(change func(*census.Result)) *census.Result {
		r := &census.Result{Format: 1, Namespace: "payments", Retention: keys.Duration(72 * time.Hour), Began: day.Add(time.Hour), Finished: day.Add(2 * time.Hour)}
		r.Keys = map[string]*census.Key{fresh: {Payloads: map[census.Place]int64{census.InHistory: 2}, Closed: 1, LastClose: day}}
		if change != nil {
			change(r)
		}
		return r
	}
	one := []string{"payments"}
	for name, tc := range map[string]struct {
		q    census.Question
		r    *census.Result
		is   error
		says string
	}{
		"nothing is left":           {census.Question{old, promoted, one}, proof(nil), nil, ""},
		"it may seal still":         {census.Question{old, time.Time{}, one}, proof(nil), census.ErrUnproven, "promote another key first"},
		"no namespace":              {census.Question{old, promoted, nil}, proof(nil), census.ErrUnproven, "name every namespace"},
		"a namespace is missing":    {census.Question{old, promoted, []string{"payments", "orders"}}, proof(nil), census.ErrUnproven, "no census of namespace orders"},
		"not complete":              {census.Question{old, promoted, one}, proof(func(r *census.Result) { r.Next = &census.Position{} }), census.ErrUnproven, "not complete"},
		"begun too early":           {census.Question{old, day.Add(time.Hour), one}, proof(nil), census.ErrUnproven, "take another"},
		"longer than retention":     {census.Question{old, promoted, one}, proof(func(r *census.Result) { r.Finished = r.Began.Add(72 * time.Hour) }), census.ErrUnproven, "retention of 72h"},
		"archived":                  {census.Question{old, promoted, one}, proof(func(r *census.Result) { r.Archived = true }), census.ErrUnproven, "archives"},
		"too many keys":             {census.Question{old, promoted, one}, proof(func(r *census.Result) { r.Overflow = 1 }), census.ErrUnproven, "more keys"},
		"a later format":            {census.Question{old, promoted, one}, proof(func(r *census.Result) { r.Later = 1 }), census.ErrUnproven, "upgrade signet"},
		"external storage":          {census.Question{old, promoted, one}, proof(func(r *census.Result) { r.References = 1 }), census.ErrUnproven, "external storage"},
		"closed workflows":          {census.Question{fresh, promoted, one}, proof(nil), census.ErrInUse, "removes the last of it at 2026-11-04T12:00:00Z"},
		"in use, and not complete":  {census.Question{fresh, promoted, one}, proof(func(r *census.Result) { r.Next = &census.Position{} }), census.ErrInUse, "2 payloads"},
		"open workflows":            {census.Question{fresh, promoted, one}, proof(func(r *census.Result) { r.Keys[fresh].Open, r.Keys[fresh].Schedules = 3, 1 }), census.ErrInUse, "keeps it for 3 open workflows, 1 schedule"},
		"what is no key id":         {census.Question{"1f2e3d4c", promoted, one}, proof(nil), nil, "is no key id"},
		"what is no key id, either": {census.Question{"ns/a/1F2E3D4C", promoted, one}, proof(nil), nil, "is no key id"},
	} {
		err := census.Unused(tc.q, tc.r)
		if fmt.Sprint(err) == "<nil>" != (tc.says == "") || tc.is != nil && !errors.Is(err, tc.is) || !strings.Contains(fmt.Sprint(err), tc.says) {
			t.Errorf("%s: %v, want %v with %q", name, err, tc.is, tc.says)
		}
	}
	both := []*census.Result{proof(func(r *census.Result) { r.Next = &census.Position{} }), proof(nil)}
	if err := census.Unused(census.Question{Key: old, SealedUntil: promoted, Namespaces: one}, both...); err != nil {
		t.Errorf("of two censuses one proves it, and the answer is %v", err)
	}
}

func TestHowLongAKeyIsNeeded(t *testing.T) {
	r := &census.Result{Retention: keys.Duration(24 * time.Hour)}
	r.Keys = map[string]*census.Key{
		old:   {Closed: 2, LastClose: day},
		fresh: {Open: 1, Closed: 1, LastClose: day, Alone: 2},
	}
	if until, holders := r.Until(old); !until.Equal(day.Add(24*time.Hour)) || holders != nil {
		t.Errorf("until %s, %v", until, holders)
	}
	if until, holders := r.Until(fresh); !until.IsZero() || fmt.Sprint(holders) != "[1 open workflow 2 open standalone activities and operations]" {
		t.Errorf("until %s, %v", until, holders)
	}
	if until, holders := r.Until(tenant); !until.IsZero() || holders != nil {
		t.Errorf("of a key that was not met: until %s, %v", until, holders)
	}
}
