package rotate_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/signet-temporal/signet/keys"
	"github.com/signet-temporal/signet/keys/rotate"
)

// may says which states a key can be in after one step, by its state before.
var may = map[keys.State][]keys.State{
	"":             {keys.Pending, keys.Primary},
	keys.Pending:   {keys.Pending, keys.Primary, keys.Retired, keys.Disabled},
	keys.Primary:   {keys.Primary, keys.Retired},
	keys.Retired:   {keys.Retired, keys.Disabled},
	keys.Disabled:  {keys.Disabled, keys.Retired, keys.Destroyed},
	keys.Destroyed: {keys.Destroyed},
}

// FuzzNoSequenceOfStepsLosesAKey takes steps in any order, on any key, at any time. Each byte pair is a step and a key.
func FuzzNoSequenceOfStepsLosesAKey(f *testing.F) {
	f.Add([]byte{0, 0, 9, 255, 1, 0, 9, 255, 3, 0, 5, 0, 9, 255, 9, 255, 6, 0})
	f.Add([]byte{0, 0, 2, 1, 8, 0, 4, 1, 3, 1, 7, 0, 0, 0, 1, 2, 8, 2})
	f.Add([]byte{0, 0, 10, 1, 3, 1, 5, 1, 4, 1, 6, 1, 7, 1, 1, 0, 3, 0, 9, 9, 5, 0, 9, 200, 6, 0, 4, 0})
	f.Fuzz(func(t *testing.T, steps []byte) {
		now := today
		k, err := rotate.PlanNew(name, rotate.Options{RotateEvery: 3 * time.Hour, PropagationDelay: time.Hour}, rotate.Pretended, now)
		if err != nil {
			t.Fatal(err)
		}
		for ; len(steps) >= 2; steps = steps[2:] {
			if steps[0]%11 == 9 {
				now = now.Add(time.Duration(steps[1]) * time.Hour / 8)
				continue
			}
			next, err := take(k, steps[0]%11, k.Keys[int(steps[1])%len(k.Keys)].ID, steps[1] > 127, now)
			if err != nil {
				if next != nil {
					t.Fatalf("step %d: a document came beside %v", steps[0]%11, err)
				}
				continue
			}
			check(t, k, next, now)
			k = next
		}
	})
}

func take(k *keys.Keyset, step byte, id keys.ID, force bool, now time.Time) (*keys.Keyset, error) {
	switch step {
	case 0:
		return rotate.PlanBegin(k, rotate.Pretended, now)
	case 1:
		return rotate.PlanPromote(k, rotate.PromoteOptions{Key: id, Force: force}, now)
	case 2:
		return rotate.PlanRetire(k, id, now)
	case 3:
		return rotate.PlanDisable(k, id, force, now)
	case 4:
		return rotate.PlanEnable(k, id, now)
	case 5:
		return rotate.PlanScheduleDestroy(k, id, rotate.DestroyOptions{Wait: 2 * time.Hour, Evidence: rotate.Evidence{AllowKeyInUse: force, CensusAt: now}}, now)
	case 6:
		return rotate.PlanDestroy(k, id, rotate.Evidence{AllowKeyInUse: force, CensusAt: now}, now)
	case 7:
		return rotate.PlanAuto(k, rotate.Pretended, now)
	case 8:
		return rotate.PlanCompromised(k, id, rotate.Pretended, now)
	}
	return rotate.PlanCancelDestroy(k, id)
}

// check holds what no step may break.
func check(t *testing.T, before, after *keys.Keyset, now time.Time) {
	t.Helper()
	if err := after.Check(); err != nil {
		t.Fatal(err)
	}
	if p := after.Primary(); p == nil || !p.Compromised.IsZero() {
		t.Fatalf("the primary key is %+v, want one that nobody else has", p)
	}
	if len(rotate.Pending(after)) > 1 {
		t.Fatalf("%d keys are pending", len(rotate.Pending(after)))
	}
	for _, was := range before.Keys {
		is := after.Key(was.ID)
		if is == nil {
			t.Fatalf("key %s is lost", was.ID)
		}
		if is.State != keys.Destroyed && !bytes.Equal(is.Wrapped, was.Wrapped) {
			t.Fatalf("the material of key %s changed", was.ID)
		}
		if was.State == keys.Disabled && is.State == keys.Destroyed && (was.DestroyAfter.IsZero() || was.DestroyAfter.After(now)) {
			t.Fatalf("key %s is destroyed before its waiting period is over", was.ID)
		}
		if !was.Compromised.IsZero() && is.Compromised.IsZero() {
			t.Fatalf("key %s is not compromised any more", was.ID)
		}
	}
	for _, is := range after.Keys {
		from := keys.State("")
		if was := before.Key(is.ID); was != nil {
			from = was.State
		}
		allowed := false
		for _, state := range may[from] {
			allowed = allowed || state == is.State
		}
		if !allowed {
			t.Fatalf("key %s went from %q to %s in one step", is.ID, from, is.State)
		}
		if !is.DestroyAfter.IsZero() && is.State != keys.Disabled {
			t.Fatalf("key %s is %s and scheduled to be destroyed", is.ID, is.State)
		}
	}
}
