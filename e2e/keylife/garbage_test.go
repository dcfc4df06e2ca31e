package keylife_test

import (
	"strings"
	"testing"
	"time"
)

// TestASecretThatIsNoKeysetHoldsUpNobody: whoever may write the document of one keyset can put anything there. It is
// reported, and what is due for the others is done.
func TestASecretThatIsNoKeysetHoldsUpNobody(t *testing.T) {
	s := start(t, time.Millisecond)
	store := s.Store(t, "", s.Roles.CustodianToken)
	prepare(t, store, "ns/zebra", false)
	oneStepDue(t, store, "ns/zebra")
	s.VaultWrite(t, "secret/data/signet/keysets/ns/notes", map[string]any{"data": map[string]any{"hello": "world\x1b[2J"}})
	s.VaultWrite(t, "secret/data/signet/keysets/ns/odd", map[string]any{"data": map[string]any{"keyset": map[string]any{"format": 1, "name": "ns/\x1b[2J", "keys": "none"}}})
	for _, tc := range []struct {
		args []string
		says []string
	}{
		{[]string{"rotate", "--auto"}, []string{"ns/notes: failed: ", "ns/odd: failed: ", "ns/zebra: key "}},
		{[]string{"status"}, []string{"ns/notes\n  cannot be read: ", `has no field "keyset"`, "ns/odd\n  cannot be read: ", "\nns/zebra  "}},
		{[]string{"list"}, []string{"ns/zebra "}},
		{[]string{"rewrap"}, []string{"ns/notes: failed: ", "ns/zebra: "}},
	} {
		got := exec(t, s, append([]string{"keyset"}, tc.args...)...)
		if got.Code != 1 || strings.Count(got.Stderr, "\n") != 1 || strings.Contains(got.Stdout+got.Stderr, "\x1b") {
			t.Errorf("%v: exit code %d, %q, %q", tc.args, got.Code, got.Stdout, got.Stderr)
		}
		for _, want := range tc.says {
			if !strings.Contains(got.Stdout, want) {
				t.Errorf("%v does not say %q:\n%s", tc.args, want, got.Stdout)
			}
		}
	}
	refused(t, s, 1, "", "backup", "--file="+t.TempDir()+"/b.json") // half a backup is none
}
