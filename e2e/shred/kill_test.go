package shred_test

import (
	"fmt"
	"strings"
	"testing"
)

// TestKilledAtEveryRequestAndRunAgain kills each step of a shredding, and the creation of a keyset with a Transit key of
// its own, with SIGKILL at every request it makes to Vault, before it and after it, and runs it again: it is done then, and
// nothing else is touched.
func TestKilledAtEveryRequestAndRunAgain(t *testing.T) {
	s := startVault(t, "other")
	k := s.NewKiller(t)
	shredder := token(t, s, "shredder")
	n := 0
	tenant := func() string {
		n++
		return fmt.Sprintf("t%d", n)
	}
	for _, step := range []struct {
		name, token string
		begin       func(t *testing.T, tenant string)
		args        []string // behind the keyset's name
		check       func(t *testing.T, tenant string)
	}{
		{"create", s.Roles.CustodianToken, func(*testing.T, string) {}, nil, func(t *testing.T, tenant string) { whole(t, s, tenant) }},
		{
			"schedule", s.Roles.CustodianToken, func(t *testing.T, tenant string) { s.CreateKeyset(t, under+tenant) },
			[]string{"--schedule", "--allow-open-workflows", "--wait=1h"}, func(t *testing.T, tenant string) {
				whole(t, s, tenant)
				if out := s.Signet(t, "keyset", "list", under+tenant); !strings.Contains(out, "may be shredded in 59m") && !strings.Contains(out, "may be shredded in 1h") {
					t.Errorf("list says %s", out)
				}
			},
		},
		{
			"cancel", s.Roles.CustodianToken, func(t *testing.T, tenant string) { s.CreateKeyset(t, under+tenant); doom(t, s, under+tenant) },
			[]string{"--cancel"}, func(t *testing.T, tenant string) {
				whole(t, s, tenant)
				if out := s.Signet(t, "keyset", "status", under+tenant); strings.Contains(out, "shredded") {
					t.Errorf("status says %s", out)
				}
			},
		},
		{
			"carry out", shredder, func(t *testing.T, tenant string) {
				s.CreateKeyset(t, under+tenant)
				s.Rotate(t, under+tenant)
				doom(t, s, under+tenant)
			},
			[]string{"--carry-out", "--allow-open-workflows"}, func(t *testing.T, tenant string) { gone(t, s, tenant) },
		},
	} {
		t.Run(step.name, func(t *testing.T) {
			args := func(tenant string) []string {
				if step.name == "create" {
					return []string{"keyset", "create", under + tenant}
				}
				return append([]string{"shred", under + tenant}, step.args...)
			}
			one := tenant()
			step.begin(t, one)
			if k.Run(t, step.token, -1, args(one)...) {
				t.Fatal("killed at no point")
			}
			step.check(t, one)
			requests, points := k.Requests(), 0
			for point := range 2 * len(requests) {
				if strings.HasPrefix(requests[point/2], "GET ") && point%2 == 1 {
					continue // killed after a read is killed before what comes next
				}
				points++
				one := tenant()
				step.begin(t, one)
				if !k.Run(t, step.token, point, args(one)...) {
					t.Errorf("point %d was not reached", point)
					continue
				}
				again := s.SignetAs(t, step.token, args(one)...)
				exists := step.name == "create" && again.Code == 3 && strings.Contains(again.Stderr, "exists already")
				if again.Code != 0 && !exists {
					t.Errorf("killed at point %d (%s) and run again: exit code %d: %s", point, requests[point/2], again.Code, again.Stderr)
				}
				step.check(t, one)
			}
			if points < 3 {
				t.Errorf("killed at %d points only", points)
			}
			t.Logf("%d requests, killed at %d points", len(requests), points)
		})
	}
	whole(t, s, "other")
}
