package downstream_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/signet-temporal/signet/principal"
	"github.com/signet-temporal/signet/principal/internal/forwarded"
	"github.com/signet-temporal/signet/principal/s2s/downstream"
)

// FuzzAdmit: whatever headers come, nothing of them is left for the handler, and a principal that is admitted is well
// formed and is one that a single header with that exact value names.
func FuzzAdmit(f *testing.F) {
	f.Add("X-Forwarded-User", "ann-17", "X-Forwarded-Tenant", "acme", "Accept", "x")
	f.Add("X-Forwarded-User", "ann-17", "x-forwarded-user", "mallory", "X-Forwarded-Tenant", "acme")
	f.Add("X_Forwarded_User", "a,b", "X-Forwarded-Issuer", "https://idp", "authorization", "Bearer all")
	f.Add("X-Forwarded-User", "a", "X-Forwarded-Assertion", "a.b.c", "X-Forwarded-Txn", "\x00")
	gate, err := downstream.New(options())
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, n1, v1, n2, v2, n3, v3 string) {
		sent := http.Header{"Authorization": {"Bearer all"}}
		for _, pair := range [][2]string{{n1, v1}, {n2, v2}, {n3, v3}} {
			sent[pair[0]] = append(sent[pair[0]], pair[1])
		}
		header := sent.Clone()
		ctx, err := gate.Admit(t.Context(), header)
		for name := range header {
			if forwarded.Is(name) || strings.EqualFold(name, "authorization") {
				t.Fatalf("the handler sees %q", name)
			}
		}
		if err != nil {
			return
		}
		p, err := principal.FromContext(ctx)
		if err != nil || p.Check() != nil || strings.Contains(p.Subject, ",") {
			t.Fatalf("admitted %#v, %v", p, err)
		}
		users := 0
		for name, values := range sent {
			if strings.EqualFold(strings.ReplaceAll(name, "_", "-"), "X-Forwarded-User") {
				users += len(values)
				if values[0] != p.Subject {
					t.Fatalf("%q is admitted for %q", p.Subject, values)
				}
			}
		}
		if users != 1 {
			t.Fatalf("%d users, and one is admitted: %v", users, sent)
		}
	})
}
