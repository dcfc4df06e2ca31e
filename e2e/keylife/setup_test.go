package keylife_test

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

var elsewhere = []string{"--kv-mount=team/kv", "--kv-prefix=a/b", "--transit-mount=team/transit", "--transit-key=k1"}

// TestSetupPreparesVaultOnceAndCompletesWhatIsThere prepares places that do not exist yet, looks at the plan first, and
// then does it again.
func TestSetupPreparesVaultOnceAndCompletesWhatIsThere(t *testing.T) {
	s := start(t, time.Millisecond)
	setup := func(flags ...string) string {
		t.Helper()
		got := execAt(t, s.Vault.Address, s.Vault.Token, append(append([]string{"vault", "setup"}, elsewhere...), flags...)...)
		if got.Code != 0 {
			t.Fatalf("vault setup %v: exit code %d: %s", flags, got.Code, got.Stderr)
		}
		return got.Stdout
	}
	plan := setup("--plan")
	for _, want := range []string{
		"Plan for Vault, of which nothing was done:", "sys/mounts/team/kv ", "sys/mounts/team/transit ", "team/transit/keys/k1 ",
		"sys/policies/acl/signet-auditor ", "sys/policies/acl/signet-destroyer ", "sys/policies/acl/signet-server ",
		"replace the policy of the role worker, which has another text", "replace the policy of the role custodian, which has another text", // the stack's own
	} {
		if !strings.Contains(plan, want) {
			t.Errorf("the plan does not say %q:\n%s", want, plan)
		}
	}
	if again := setup("--plan"); again != plan {
		t.Errorf("the plan has changed something: then it is\n%s", again)
	}
	if done, want := setup(), strings.Replace(plan, "Plan for Vault, of which nothing was done:", "Done in Vault:", 1); done != want {
		t.Errorf("setup printed\n%s\nwant\n%s", done, want)
	}
	for _, flags := range [][]string{{"--plan"}, nil} {
		if again := setup(flags...); again != "Vault is prepared: nothing is to be done.\n" {
			t.Errorf("once more, %v: %s", flags, again)
		}
	}
	custodian := s.VaultToken(t, "signet-custodian")
	got := execAt(t, s.Vault.Address, custodian, append([]string{"keyset", "create", "ns/x"}, elsewhere...)...)
	if got.Code != 0 {
		t.Errorf("the custodian cannot create a keyset there: %s", got.Stderr)
	}
	auditor := s.VaultToken(t, "signet-auditor")
	got = execAt(t, s.Vault.Address, auditor, append([]string{"keyset", "status"}, elsewhere...)...)
	if got.Code != 0 || !strings.Contains(got.Stdout, "ns/x") {
		t.Errorf("the auditor does not see it: %s%s", got.Stdout, got.Stderr)
	}

	// What is there and of another kind is left alone.
	s.VaultWrite(t, "team/transit/keys/plain", nil)
	s.VaultWrite(t, "sys/mounts/old", map[string]any{"type": "kv", "options": map[string]any{"version": "1"}})
	for flags, want := range map[string]string{
		"--transit-key=plain --transit-mount=team/transit --kv-mount=team/kv": `Transit key "plain" is not derived`,
		"--kv-mount=old":         `an engine of type "kv" at "old" that is not KV version 2: name another place with --kv-mount`,
		"--transit-mount=secret": `an engine of type "kv" at "secret": name another place with --transit-mount`,
	} {
		got := execAt(t, s.Vault.Address, s.Vault.Token, append([]string{"vault", "setup"}, strings.Fields(flags)...)...)
		if got.Code != 1 || !strings.Contains(got.Stderr, want) || strings.Count(got.Stderr, "\n") != 1 {
			t.Errorf("%s: exit code %d, %q, want %q", flags, got.Code, got.Stderr, want)
		}
	}
	if got := execAt(t, s.Vault.Address, custodian, "vault", "setup"); got.Code != 1 || !strings.Contains(got.Stderr, `must grant "read" on path "sys/mounts"`) {
		t.Errorf("as the custodian: exit code %d, %q", got.Code, got.Stderr)
	}
}

// TestSetupKilledAtEveryRequestAndRunAgain kills the preparation at every request, before it and after it, and runs it
// again.
func TestSetupKilledAtEveryRequestAndRunAgain(t *testing.T) {
	s := start(t, time.Millisecond)
	k := s.NewKiller(t)
	points := 0
	for killed := true; killed; points++ {
		mount := fmt.Sprintf("team%d", points)
		args := []string{"vault", "setup", "--kv-mount=" + mount + "/kv", "--transit-mount=" + mount + "/transit"}
		killed = k.Run(t, s.Vault.Token, points, args...)
		if again := execAt(t, s.Vault.Address, s.Vault.Token, args...); again.Code != 0 {
			t.Fatalf("killed at point %d and run again: %s", points, again.Stderr)
		}
		if got := execAt(t, s.Vault.Address, s.Vault.Token, args...); got.Stdout != "Vault is prepared: nothing is to be done.\n" {
			t.Errorf("killed at point %d and run again, it is not prepared: %s", points, got.Stdout)
		}
	}
	if points < 21 {
		t.Errorf("killed at %d points only", points-1)
	}
	t.Logf("killed at %d points", points-1)
}
