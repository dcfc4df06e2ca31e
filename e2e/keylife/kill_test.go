package keylife_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/signet-temporal/signet/keys"
	"github.com/signet-temporal/signet/keys/rotate"
	"github.com/signet-temporal/signet/keys/vaultstore"
)

// given is a keyset with a key in each state but destroyed; the destruction of the last is scheduled and due.
type given struct{ pending, primary, retired, disabled, scheduled keys.ID }

func prepare(t *testing.T, store *vaultstore.Store, name string, pending bool) given {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ctx := t.Context()
	var ids []keys.ID
	id, err := rotate.Create(ctx, store, store, name, rotate.Options{PropagationDelay: time.Millisecond, RotateEvery: 10 * time.Millisecond})
	must(err)
	ids = append(ids, id)
	for range 3 {
		id, err := rotate.Add(ctx, store, store, name)
		must(err)
		_, err = rotate.Promote(ctx, store, name, rotate.PromoteOptions{Key: id, Force: true})
		must(err)
		ids = append(ids, id)
	}
	g := given{scheduled: ids[0], disabled: ids[1], retired: ids[2], primary: ids[3]}
	if pending {
		g.pending, err = rotate.Add(ctx, store, store, name)
		must(err)
	}
	_, err = rotate.Change(ctx, store, name, func(k *keys.Keyset) (*keys.Keyset, error) {
		next, err := rotate.PlanDisable(k, g.disabled, true, time.Now())
		if err == nil {
			next, err = rotate.PlanDisable(next, g.scheduled, true, time.Now())
		}
		if err == nil {
			accept := rotate.DestroyOptions{Evidence: rotate.Evidence{AllowKeyInUse: true}, Wait: time.Millisecond}
			next, err = rotate.PlanScheduleDestroy(next, g.scheduled, accept, time.Now())
		}
		return next, err
	})
	must(err)
	time.Sleep(15 * time.Millisecond) // the next rotation is due, and no delay or waiting period is left
	return g
}

// oneStepDue makes the next step of the policy due, and the one after it not for an hour.
func oneStepDue(t *testing.T, store *vaultstore.Store, name string) {
	t.Helper()
	k, version, err := store.Fetch(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	k.Policy = keys.Policy{PropagationDelay: keys.Duration(time.Hour), RotateEvery: keys.Duration(2 * time.Hour)}
	for i := range k.Keys {
		k.Keys[i].Created = k.Keys[i].Created.Add(-3 * time.Hour)
		if k.Keys[i].State == keys.Primary {
			k.Keys[i].Promoted = k.Keys[i].Created
		}
	}
	if _, err := store.Replace(t.Context(), k, version); err != nil {
		t.Fatal(err)
	}
}

// shape says what a keyset consists of, whatever the ids of new keys are.
func shape(k *keys.Keyset, store *vaultstore.Store) string {
	var all []string
	for _, key := range k.Keys {
		all = append(all, fmt.Sprintf("%s by v%d scheduled=%t compromised=%t", key.State, rotate.WrappedBy(store, key), !key.DestroyAfter.IsZero(), !key.Compromised.IsZero()))
	}
	slices.Sort(all)
	return strings.Join(append(all, time.Duration(k.Policy.RotateEvery).String()), ", ")
}

// TestKilledAtEveryRequestAndRunAgain kills every changing command with SIGKILL at every request it makes to Vault,
// before it and after it, and runs it again: the keyset is whole after the first and as it should be after the second.
func TestKilledAtEveryRequestAndRunAgain(t *testing.T) {
	s := start(t, time.Millisecond)
	k := s.NewKiller(t)
	store := s.Store(t, "", s.Roles.CustodianToken)
	key := func(id keys.ID) string { return "--key=" + id.String() }
	destroyer := token(t, s, "destroyer")
	n := 0
	for _, tc := range []struct {
		command string
		pending bool // whether the keyset has a pending key
		args    func(name string, g given) []string
	}{
		{"create", false, func(name string, _ given) []string { return []string{"create", name + "-new"} }},
		{"rotate", false, func(name string, _ given) []string { return []string{"rotate", name} }},
		{"rotate --auto adds", false, func(name string, _ given) []string { return []string{"rotate", "--auto", name} }},
		{"rotate --auto promotes", true, func(name string, _ given) []string { return []string{"rotate", "--auto", name} }},
		{"rotate --compromised", false, func(name string, g given) []string {
			return []string{"rotate", name, "--compromised=" + g.primary.String(), "--skip-census"}
		}},
		{"promote", true, func(name string, g given) []string { return []string{"promote", name, key(g.pending)} }},
		{"retire", true, func(name string, g given) []string { return []string{"retire", name, key(g.pending)} }},
		{"disable", false, func(name string, g given) []string { return []string{"disable", name, key(g.retired)} }},
		{"enable", false, func(name string, g given) []string { return []string{"enable", name, key(g.disabled)} }},
		{"destroy --schedule", false, func(name string, g given) []string {
			return []string{"destroy", name, key(g.disabled), "--schedule", "--allow-destroying-a-key-in-use"}
		}},
		{"destroy --cancel", false, func(name string, g given) []string { return []string{"destroy", name, key(g.scheduled), "--cancel"} }},
		{"destroy --carry-out", false, func(name string, g given) []string {
			return []string{"destroy", name, key(g.scheduled), "--carry-out", "--allow-destroying-a-key-in-use"}
		}},
		{"policy", false, func(name string, _ given) []string { return []string{"policy", name, "--rotate-every=720h"} }},
		{"rewrap", true, func(name string, _ given) []string { return []string{"rewrap", name} }},
	} {
		t.Run(tc.command, func(t *testing.T) {
			token := s.Roles.CustodianToken
			if tc.command == "destroy --carry-out" {
				token = destroyer
			}
			begin := func() (string, []string, *keys.Keyset) {
				n++
				name := fmt.Sprintf("kill/k%d", n)
				g := prepare(t, store, name, tc.pending)
				switch {
				case tc.command == "rewrap":
					s.VaultWrite(t, "transit/keys/signet/rotate", nil)
				case strings.HasPrefix(tc.command, "rotate --auto"):
					oneStepDue(t, store, name)
				}
				before, _, err := store.Fetch(t.Context(), name)
				if err != nil {
					t.Fatal(err)
				}
				return name, append([]string{"keyset"}, tc.args(name, g)...), before
			}
			// The Transit key has another version in each round: versions are compared with that of the round.
			look := func(name string) (string, *keys.Keyset) {
				after, _, err := store.Fetch(t.Context(), name)
				if err != nil {
					t.Fatal(err)
				}
				latest, _, err := store.Versions(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				return strings.ReplaceAll(shape(after, store), fmt.Sprintf("v%d ", latest), "newest "), after
			}
			name, args, _ := begin()
			if k.Run(t, token, -1, args...) {
				t.Fatal("killed at no point")
			}
			requests := k.Requests()
			want, _ := look(name)
			if tc.command == "rewrap" && strings.Contains(want, "by v") {
				t.Fatalf("rewrap left %s", want)
			}
			points := 0
			for point := range 2 * len(requests) {
				if read := strings.HasPrefix(requests[point/2], "GET "); read && point%2 == 1 {
					continue // killed after a read is killed before what comes next
				}
				points++
				name, args, before := begin()
				if !k.Run(t, token, point, args...) {
					t.Errorf("point %d was not reached", point)
					continue
				}
				_, left := look(name)
				for _, key := range before.Keys {
					if left.Key(key.ID) == nil {
						t.Errorf("killed at point %d, key %s is lost", point, key.ID)
					}
				}
				if left.Primary() == nil {
					t.Errorf("killed at point %d, the keyset has no primary key", point)
				}
				again := execAt(t, s.Vault.Address, token, args...)
				exists := tc.command == "create" && again.Code == 3 && strings.Contains(again.Stderr, "exists already")
				if again.Code != 0 && !exists {
					t.Errorf("killed at point %d (%s) and run again: exit code %d: %s", point, requests[point/2], again.Code, again.Stderr)
				}
				if got, _ := look(name); got != want {
					t.Errorf("killed at point %d and run again, the keyset is\n     %s\nwant %s", point, got, want)
				}
				switch tc.command {
				case "create":
					if made, _, err := store.Fetch(t.Context(), name+"-new"); err != nil || len(made.Keys) != 1 || made.Primary() == nil {
						t.Errorf("killed at point %d and run again, the new keyset is %+v, %v", point, made, err)
					}
				case "destroy --carry-out":
					meta := s.VaultRead(t, "secret/metadata/signet/keysets/"+name).Data
					for v, info := range meta["versions"].(map[string]any) {
						if gone, _ := info.(map[string]any)["destroyed"].(bool); !gone && v != fmt.Sprint(meta["current_version"]) {
							t.Errorf("killed at point %d and run again, version %s of the document is still there", point, v)
						}
					}
				}
			}
			t.Logf("%d requests, killed at %d points", len(requests), points)
		})
	}
}

// TestARestoreKilledAtEveryRequestAndRunAgain kills the restoring of two lost keysets at every request.
func TestARestoreKilledAtEveryRequestAndRunAgain(t *testing.T) {
	s := start(t, time.Millisecond)
	k := s.NewKiller(t)
	s.CreateKeyset(t, "ns/orders")
	file := t.TempDir() + "/backup.json"
	signet(t, s, "keyset", "backup", "--file="+file)
	root := root(t, s)
	points := 0
	for killed := true; killed; points++ {
		for _, name := range []string{"ns/orders", keyset} {
			if _, err := root.Logical().DeleteWithContext(t.Context(), "secret/metadata/signet/keysets/"+name); err != nil {
				t.Fatal(err)
			}
		}
		killed = k.Run(t, s.Roles.CustodianToken, points, "keyset", "restore", "--file="+file)
		if out := signet(t, s, "keyset", "restore", "--file="+file); !strings.Contains(out, "ns/orders: ") || !strings.Contains(out, keyset+": ") {
			t.Errorf("killed at point %d and run again: %s", points, out)
		}
		if got := execAt(t, s.Vault.Address, s.Roles.WorkerToken, "keyset", "verify", "ns/orders", keyset); got.Code != 0 {
			t.Errorf("killed at point %d and run again: %s%s", points, got.Stdout, got.Stderr)
		}
	}
	t.Logf("killed at %d points", points-1)
}
