package keylife_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestPlansTouchNothing runs every changing command with --plan: it sends nothing to Vault but requests to read, and Vault
// has the same version of the document after it.
func TestPlansTouchNothing(t *testing.T) {
	s := start(t, time.Millisecond)
	store := s.Store(t, "", s.Roles.CustodianToken)
	g := prepare(t, store, "kill/plan", true)
	oneStepDue(t, store, "kill/plan")
	s.VaultWrite(t, "transit/keys/signet/rotate", nil)
	file, aes := filepath.Join(t.TempDir(), "backup.json"), s.WriteFile(t, "old.key", "an old key of thirty-two letters")
	signet(t, s, "keyset", "backup", "--file="+file)
	proxy := s.Proxy(t)
	version := func() string {
		return fmt.Sprint(s.VaultRead(t, "secret/metadata/signet/keysets/kill/plan").Data["current_version"])
	}
	before := version()
	key := func(id fmt.Stringer) string { return "--key=" + id.String() }
	for _, tc := range []struct {
		says string
		args []string
	}{
		{"would be created", []string{"create", "ns/new"}},
		{"nothing is to be done", []string{"rotate", "kill/plan"}}, // it has a pending key
		{"new key  pending", []string{"rotate", keyset}},
		{"is marked as compromised", []string{"rotate", "kill/plan", "--compromised=" + g.primary.String(), "--skip-census"}},
		{"Plan for keyset kill/plan", []string{"rotate", "--auto"}},
		{"pending → primary", []string{"promote", "kill/plan", "--force"}},
		{"pending → retired", []string{"retire", "kill/plan", key(g.pending)}},
		{"retired → disabled", []string{"disable", "kill/plan", key(g.retired), "--force"}},
		{"disabled → retired", []string{"enable", "kill/plan", key(g.disabled)}},
		{"may be destroyed from", []string{"destroy", "kill/plan", key(g.disabled), "--schedule", "--allow-destroying-a-key-in-use", "--wait=2h"}},
		{"will not be destroyed", []string{"destroy", "kill/plan", key(g.scheduled), "--cancel"}},
		{"disabled → destroyed", []string{"destroy", "kill/plan", key(g.scheduled), "--carry-out", "--allow-destroying-a-key-in-use"}},
		{"stays retired   is wrapped", []string{"rewrap", "kill/plan"}},
		{"rotation every 720h0m0s", []string{"policy", "kill/plan", "--rotate-every=720h"}},
		{"a legacy key", []string{"import", "kill/plan", "--file=" + aes, "--aes-key-id=old", "--aes-encoding=raw", "--insecure-cleartext-keys"}},
		{"there already", []string{"restore", "--file=" + file}},
	} {
		got := execAt(t, proxy.Address, s.Roles.CustodianToken, append(append([]string{"keyset"}, tc.args...), "--plan")...)
		if got.Code != 0 || !strings.Contains(got.Stdout, tc.says) {
			t.Errorf("%v --plan: exit code %d, %q, %q, want %q", tc.args, got.Code, got.Stdout, got.Stderr, tc.says)
		}
	}
	if got := execAt(t, proxy.Address, s.Vault.Token, "vault", "setup", "--plan"); got.Code != 0 || !strings.Contains(got.Stdout, "of which nothing was done") {
		t.Errorf("vault setup --plan: exit code %d, %q", got.Code, got.Stdout)
	}
	requests := proxy.Requests()
	for _, request := range requests {
		if !strings.HasPrefix(request, "GET ") && !strings.HasPrefix(request, "LIST ") && request != "PUT /v1/auth/token/renew-self" { // the session's own
			t.Errorf("a plan sent %s", request)
		}
	}
	if len(requests) < 40 {
		t.Errorf("%d requests went through the proxy, that cannot be all", len(requests))
	}
	if after := version(); after != before {
		t.Errorf("the document is at version %s, was %s", after, before)
	}
	refused(t, s, 4, `keyset "ns/new" does not exist`, "status", "ns/new")
}
