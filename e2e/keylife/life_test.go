package keylife_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/signet-temporal/signet/keys"
)

// TestAKeyLivesFromPendingToDestroyed takes a key through every state, with the custodian's rights alone, while a worker
// with rights of its own seals and opens.
func TestAKeyLivesFromPendingToDestroyed(t *testing.T) {
	s := start(t, time.Hour) // too early is too early, however slow the machine
	hurry := func() { run(t, s, "policy", keyset, "--propagation-delay=1ms") }
	patience := func() { run(t, s, "policy", keyset, "--propagation-delay=1h") }
	w := newWorker(t, s)
	first := states(t, s)["primary"][0]
	old := w.seals(t, first)

	second := run(t, s, "rotate", keyset).Key
	w.refresh(t)
	w.seals(t, first)
	refused(t, s, 3, "too early to promote", "promote", keyset)
	refused(t, s, 3, "is the primary key, which seals", "disable", keyset, "--key="+first, "--force")
	hurry()
	if got := run(t, s, "promote", keyset, "--key="+second); got.State != "primary" || len(got.Steps) != 2 {
		t.Errorf("promote: %+v", got)
	}
	if got := run(t, s, "promote", keyset, "--key="+second); len(got.Steps) != 0 {
		t.Errorf("promote again: %+v, want nothing changed", got)
	}
	w.refresh(t)
	w.seals(t, second)
	if err := w.opens(old); err != nil {
		t.Errorf("retired: %v", err)
	}

	patience()
	refused(t, s, 3, "too early to disable", "disable", keyset, "--key="+first)
	hurry()
	run(t, s, "disable", keyset, "--key="+first)
	w.refresh(t)
	if err := w.opens(old); !errors.Is(err, keys.ErrUnavailable) || errors.Is(err, keys.ErrDestroyed) {
		t.Errorf("disabled: %v, want it unavailable", err)
	}
	if _, err := w.ring.Lookup(keyset, id(t, first)); err == nil || !strings.Contains(err.Error(), "is disabled: enable it again") {
		t.Errorf("disabled: %v, want it to say so", err)
	}
	run(t, s, "enable", keyset, "--key="+first)
	w.refresh(t)
	if err := w.opens(old); err != nil {
		t.Errorf("enabled again: %v", err)
	}
	run(t, s, "disable", keyset, "--key="+first)

	refused(t, s, 3, "nothing shows that the key is unused", "destroy", keyset, "--key="+first, "--schedule")
	schedule := []string{"destroy", keyset, "--key=" + first, "--schedule", "--allow-destroying-a-key-in-use"}
	run(t, s, append(schedule, "--wait=1h")...)
	refused(t, s, 3, "too early to destroy", "destroy", keyset, "--key="+first, "--carry-out", "--allow-destroying-a-key-in-use")
	run(t, s, "destroy", keyset, "--key="+first, "--cancel")
	refused(t, s, 3, "not scheduled", "destroy", keyset, "--key="+first, "--carry-out")
	run(t, s, append(schedule, "--wait=10ms")...)
	time.Sleep(10 * time.Millisecond)
	refused(t, s, 1, `must grant "update" on path "secret/destroy/signet/keysets/ns/payments"`, "destroy", keyset, "--key="+first, "--carry-out", "--allow-destroying-a-key-in-use")
	refused(t, s, 3, "nothing shows that the key is unused", "destroy", keyset, "--key="+first, "--carry-out")
	if by := states(t, s); len(by["disabled"]) != 1 {
		t.Errorf("refused to the custodian, it left %v", by)
	}
	if got := carryOut(t, s, first); got.Code != 0 || !strings.Contains(got.Stdout, `"state": "destroyed"`) {
		t.Errorf("destroy: exit code %d, %s%s", got.Code, got.Stdout, got.Stderr)
	}
	w.refresh(t)
	if err := w.opens(old); !errors.Is(err, keys.ErrDestroyed) {
		t.Errorf("destroyed: %v, want that for good", err)
	}
	if err := newWorker(t, s).opens(old); !errors.Is(err, keys.ErrDestroyed) {
		t.Errorf("destroyed, in a process that starts now: %v", err)
	}
	refused(t, s, 3, "nothing brings it back", "enable", keyset, "--key="+first)

	// Nor does Vault bring it back: every earlier version of the document is gone.
	meta := s.VaultRead(t, "secret/metadata/signet/keysets/"+keyset).Data
	current, versions := fmt.Sprint(meta["current_version"]), meta["versions"].(map[string]any)
	for n, v := range versions {
		if gone, _ := v.(map[string]any)["destroyed"].(bool); gone != (n != current) {
			t.Errorf("version %s of the document is destroyed: %t; the present one is %s", n, gone, current)
		}
	}
	t.Logf("%d versions of the document, of which the present one is left", len(versions))
	fresh := w.seals(t, second)
	if err := w.opens(fresh); err != nil {
		t.Error(err)
	}
}

// TestRewrapLetsTheOldestTransitVersionRise rotates the Transit key, sees who lags, rewraps and forbids the old version.
func TestRewrapLetsTheOldestTransitVersionRise(t *testing.T) {
	s := start(t, time.Millisecond)
	s.CreateKeyset(t, "ns/orders")
	w := newWorker(t, s)
	first := states(t, s)["primary"][0]
	old := w.seals(t, first)
	run(t, s, "rotate", keyset)
	run(t, s, "promote", keyset)
	second := states(t, s)["primary"][0]
	time.Sleep(10 * time.Millisecond)
	run(t, s, "disable", keyset, "--key="+first)

	s.VaultWrite(t, "transit/keys/signet/rotate", nil)
	s.VaultWrite(t, "transit/keys/signet/rotate", nil)
	third := run(t, s, "rotate", keyset).Key
	if got := look(t, s).KEK; got.Latest != 3 || got.Oldest != 1 || got.LowestInUse != 1 || got.Lagging != 3 {
		t.Errorf("after two rotations of the Transit key: %+v, want 3 keys lagging under version 1", got)
	}
	table := signet(t, s, "keyset", "status")
	for _, want := range []string{"wrapped: 1 key by version 3 of the Transit key, 2 keys by version 1 of the Transit key", "version 3, and 3 keys are wrapped by an older one: signet keyset rewrap"} {
		if !strings.Contains(table, want) {
			t.Errorf("status does not say %q:\n%s", want, table)
		}
	}
	if got := signet(t, s, "keyset", "rewrap"); got != "ns/orders: 1 key wrapped anew.\nns/payments: 2 keys wrapped anew.\n" {
		t.Errorf("rewrap printed %q", got)
	}
	if got := signet(t, s, "keyset", "rewrap"); strings.Count(got, "already") != 2 {
		t.Errorf("rewrap once more printed %q", got)
	}
	if got := look(t, s).KEK; got.LowestInUse != 3 || got.Lagging != 0 {
		t.Errorf("after rewrap: %+v, want version 3 alone in use", got)
	}
	if table := signet(t, s, "keyset", "status"); !strings.Contains(table, "min_decryption_version, now 1, may rise to it") {
		t.Errorf("status does not say that it may rise:\n%s", table)
	}
	s.VaultWrite(t, "transit/keys/signet/config", map[string]any{"min_decryption_version": 3})

	// Everything still opens: in a worker that was there before, in one that starts now, and the disabled key too.
	w.refresh(t)
	started := newWorker(t, s)
	run(t, s, "enable", keyset, "--key="+first)
	for what, w := range map[string]worker{"there before": w, "started now": started, "started after that": newWorker(t, s)} {
		w.refresh(t)
		w.seals(t, second)
		if err := w.opens(old); err != nil {
			t.Errorf("in a worker %s: %v", what, err)
		}
		if _, err := w.ring.Lookup(keyset, id(t, third)); err != nil {
			t.Errorf("in a worker %s: %v", what, err)
		}
	}
}

// TestACompromisedKeyIsReplacedAtOnce: workers seal with another key from their next refresh on, and one that has not
// refreshed opens what is sealed with it.
func TestACompromisedKeyIsReplacedAtOnce(t *testing.T) {
	s := start(t, time.Hour)
	quick, slow := newWorker(t, s), newWorker(t, s)
	leaked := states(t, s)["primary"][0]
	old := slow.seals(t, leaked)
	out := signet(t, s, "keyset", "rotate", keyset, "--compromised="+leaked)
	for _, want := range []string{"is marked as compromised, and never seals again", "is primary, at once", "vault write -f transit/keys/signet/rotate", "signet census --namespace=payments"} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not say %q:\n%s", want, out)
		}
	}
	by := states(t, s)
	if len(by["primary"]) != 1 || len(by["retired"]) != 1 || by["retired"][0] != leaked {
		t.Fatalf("the keys are %v", by)
	}
	quick.refresh(t)
	sealed := quick.seals(t, by["primary"][0])
	if err := slow.opens(sealed); err != nil { // it asks for the key it does not know
		t.Errorf("in a worker that has not refreshed: %v", err)
	}
	if err := quick.opens(old); err != nil {
		t.Errorf("what the compromised key sealed: %v", err)
	}
	run(t, s, "rotate", keyset, "--compromised="+leaked)
	if again := states(t, s); len(again["primary"]) != 1 || len(again["retired"]) != 1 {
		t.Errorf("once more: the keys are %v, want no other", again)
	}
}

func id(t *testing.T, text string) uint32 {
	t.Helper()
	var id keys.ID
	if err := id.UnmarshalText([]byte(text)); err != nil {
		t.Fatal(err)
	}
	return uint32(id)
}
