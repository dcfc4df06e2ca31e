package keylife_test

import (
	"flag"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	commonpb "go.temporal.io/api/common/v1"

	"github.com/signet-temporal/signet/e2e/stack"
	"github.com/signet-temporal/signet/keys/rotate"
)

var rotations = flag.Int("rotations", 100, "rounds of two rotators at once; a quarter of them as processes of their own")

// TestWorkersOfThreeVersionsOpenWhatTheOthersSeal: one that knows nothing of the rotation, one that has the pending key,
// one that seals with it.
func TestWorkersOfThreeVersionsOpenWhatTheOthersSeal(t *testing.T) {
	s := start(t, time.Millisecond)
	first := states(t, s)["primary"][0]
	before := newWorker(t, s)
	run(t, s, "rotate", keyset)
	during := newWorker(t, s)
	second := run(t, s, "promote", keyset).Key
	after := newWorker(t, s)
	workers := []worker{before, during, after}
	sealed := [][]*commonpb.Payload{before.seals(t, first), during.seals(t, first), after.seals(t, second)}
	for i, w := range workers {
		for j, payloads := range sealed {
			if err := w.opens(payloads); err != nil {
				t.Errorf("worker of version %d cannot open what that of version %d sealed: %v", i+1, j+1, err)
			}
		}
	}
}

// TestTwoRotatorsAtOnceOnARealVault lets two processes follow a policy at the same moments, as cron on two machines
// does: no key is lost, none is added twice, and every run succeeds.
func TestTwoRotatorsAtOnceOnARealVault(t *testing.T) {
	rounds := max(25, *rotations/4) // a process takes a while to start
	s := start(t, time.Millisecond)
	run(t, s, "policy", keyset, "--rotate-every=10ms")
	known := []string{states(t, s)["primary"][0]}
	var mu sync.Mutex
	added, promoted := map[string]int{}, map[string]int{}
	for range rounds {
		var machines sync.WaitGroup
		for range 2 {
			machines.Go(func() {
				for _, step := range auto(t, s).Steps {
					mu.Lock()
					switch {
					case step.From == "":
						added[step.Key]++
					case step.To == "primary":
						promoted[step.Key]++
					}
					mu.Unlock()
				}
			})
		}
		machines.Wait()
	}
	by := states(t, s)
	all := slices.Concat(by["pending"], by["primary"], by["retired"])
	for key, n := range added {
		if n != 1 {
			t.Errorf("%d runs say that they added key %s", n, key)
		}
		if !slices.Contains(all, key) {
			t.Errorf("key %s was added and is lost", key)
		}
		known = append(known, key)
	}
	for key, n := range promoted {
		if n != 1 || added[key] != 1 {
			t.Errorf("key %s was added by %d runs and promoted by %d", key, added[key], n)
		}
	}
	if len(all) != len(known) || len(by["primary"]) != 1 || len(by["pending"]) > 1 {
		t.Errorf("the keyset has %v, want the %d keys that were added, one primary and at most one pending", by, len(known))
	}
	if len(promoted) != len(added)-len(by["pending"]) {
		t.Errorf("%d keys were added and %d promoted, %d wait", len(added), len(promoted), len(by["pending"]))
	}
	if len(added) < rounds/2 {
		t.Errorf("only %d keys were added in %d rounds", len(added), rounds)
	}
	t.Logf("%d rounds of two processes: %d keys added, %d promoted", rounds, len(added), len(promoted))
}

func auto(t *testing.T, s *stack.Stack) change {
	t.Helper()
	var all struct{ Keysets []change }
	decode(t, signet(t, s, "keyset", "rotate", "--auto", keyset, "--output=json"), &all)
	return all.Keysets[0]
}

// TestTwoRotatorsInOneProcessOnARealVault is the same without the time that processes take to start: 100 rounds in which
// both plan from the same document and one of them must notice.
func TestTwoRotatorsInOneProcessOnARealVault(t *testing.T) {
	rounds := *rotations
	s := start(t, time.Millisecond)
	store := s.Store(t, "", s.Roles.CustodianToken)
	first := states(t, s)["primary"][0]
	added := map[string]bool{first: true}
	for round := range rounds {
		ids := make([]string, 2)
		var both sync.WaitGroup
		for i := range ids {
			both.Go(func() {
				id, err := rotate.Add(t.Context(), store, store, keyset)
				if err == nil {
					_, err = rotate.Promote(t.Context(), store, keyset, rotate.PromoteOptions{Key: id, Force: true})
				}
				if err != nil {
					t.Errorf("round %d: %v", round, err)
				}
				ids[i] = id.String()
			})
		}
		both.Wait()
		for _, id := range ids {
			if added[id] {
				t.Errorf("round %d: key %s was there before", round, id)
			}
			added[id] = true
		}
	}
	by := states(t, s)
	if len(by["primary"]) != 1 || len(by["retired"]) != 2*rounds || len(by) != 2 {
		t.Errorf("%d primary and %d retired keys, want 1 and %d", len(by["primary"]), len(by["retired"]), 2*rounds)
	}
	for _, id := range slices.Concat(by["primary"], by["retired"]) {
		if !added[id] {
			t.Errorf("key %s is there and nobody added it", id)
		}
		delete(added, id)
	}
	if len(added) > 0 {
		t.Error(fmt.Errorf("%d keys are lost", len(added)))
	}
	t.Logf("%d rounds of two rotators in one process: %d keys, none lost and none doubled", rounds, len(by["primary"])+len(by["retired"]))
}
