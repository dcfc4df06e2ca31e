package rotate_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/signet-temporal/signet/keys"
	"github.com/signet-temporal/signet/keys/rotate"
)

var (
	today = time.Date(2026, 10, 1, 12, 0, 0, 0, time.UTC)
	long  = today.Add(-90 * 24 * time.Hour)
)

// word is what goes without a census.
var word = rotate.Evidence{AllowKeyInUse: true}

// everyState is a keyset with one key in each state, which it has been in for long. The ids are 1 to 5, in the order of
// a key's life from pending on.
func everyState() *keys.Keyset {
	material := []byte{1}
	return &keys.Keyset{Format: 1, Name: name, Type: keys.XAES256GCM, Policy: keys.Policy{PropagationDelay: keys.Duration(5 * time.Minute)}, Keys: []keys.Key{
		{ID: 5, State: keys.Destroyed, Created: long, Destroyed: long},
		{ID: 4, State: keys.Disabled, Created: long, Promoted: long, Retired: long, Disabled: long, Wrapped: material},
		{ID: 3, State: keys.Retired, Created: long, Promoted: long, Retired: long, Wrapped: material},
		{ID: 2, State: keys.Primary, Created: long, Promoted: long, Wrapped: material},
		{ID: 1, State: keys.Pending, Created: long, Wrapped: material},
	}}
}

// scheduled is everyState with the destruction of the disabled key scheduled.
func scheduled(after time.Time) *keys.Keyset {
	k := everyState()
	k.Key(4).DestroyAfter = after
	return k
}

// TestEveryStepFromEveryState is the state machine: what each step makes of a key in each state, and what it refuses.
func TestEveryStepFromEveryState(t *testing.T) {
	accept := rotate.DestroyOptions{Evidence: word}
	steps := map[string]struct {
		plan func(k *keys.Keyset, id keys.ID) (*keys.Keyset, error)
		// what a pending, primary, retired, disabled and destroyed key becomes; "-" for a refusal and what it says
		want [5]string
	}{
		"promote": {func(k *keys.Keyset, id keys.ID) (*keys.Keyset, error) {
			return rotate.PlanPromote(k, rotate.PromoteOptions{Key: id}, today)
		}, [5]string{"primary", "primary", "-only a pending key", "-only a pending key", "-only a pending key"}},
		"retire": {func(k *keys.Keyset, id keys.ID) (*keys.Keyset, error) {
			return rotate.PlanRetire(k, id, today)
		}, [5]string{"retired", "-promote another first with \"signet keyset promote ns/payments\"", "retired", "-signet keyset enable ns/payments --key=00000004", "-nothing brings it back"}},
		"disable": {func(k *keys.Keyset, id keys.ID) (*keys.Keyset, error) {
			return rotate.PlanDisable(k, id, false, today)
		}, [5]string{"disabled", "-promote another first", "disabled", "disabled", "-nothing brings it back"}},
		"enable": {func(k *keys.Keyset, id keys.ID) (*keys.Keyset, error) {
			return rotate.PlanEnable(k, id, today)
		}, [5]string{"pending", "primary", "retired", "retired", "-nothing brings it back"}},
		"schedule a destruction": {func(k *keys.Keyset, id keys.ID) (*keys.Keyset, error) {
			return rotate.PlanScheduleDestroy(k, id, accept, today)
		}, [5]string{"-disable it first", "-promote another first", "-disable it first with \"signet keyset disable ns/payments --key=00000003\"", "disabled", "destroyed"}},
		"destroy": {func(k *keys.Keyset, id keys.ID) (*keys.Keyset, error) {
			return rotate.PlanDestroy(k, id, accept.Evidence, today)
		}, [5]string{"-not scheduled", "-not scheduled", "-not scheduled", "-signet keyset destroy ns/payments --key=00000004 --schedule", "destroyed"}},
		"cancel a destruction": {func(k *keys.Keyset, id keys.ID) (*keys.Keyset, error) {
			return rotate.PlanCancelDestroy(k, id)
		}, [5]string{"pending", "primary", "retired", "disabled", "-nothing brings it back"}},
		"mark as compromised": {func(k *keys.Keyset, id keys.ID) (*keys.Keyset, error) {
			return rotate.PlanCompromised(k, id, rotate.Pretended, today)
		}, [5]string{"retired", "retired", "retired", "disabled", "destroyed"}},
	}
	for step, tc := range steps {
		t.Run(step, func(t *testing.T) {
			for i, want := range tc.want {
				k, id := everyState(), keys.ID(i+1)
				before := k.Key(id).State
				next, err := tc.plan(k, id)
				if !reflect.DeepEqual(k, everyState()) {
					t.Fatalf("%s: the plan changed its input", before)
				}
				if text, refused := strings.CutPrefix(want, "-"); refused {
					wantError(t, err, rotate.ErrRefused, name, id.String(), text)
					if next != nil {
						t.Errorf("%s: a document came beside the error", before)
					}
					continue
				}
				if err != nil {
					t.Errorf("%s: %v", before, err)
					continue
				}
				if got := next.Key(id).State; got != keys.State(want) {
					t.Errorf("%s becomes %s, want %s", before, got, want)
				}
				if next.Primary() == nil {
					t.Errorf("%s: the keyset has no primary key any more", before)
				}
				if again, err := tc.plan(next, id); err != nil || again != next {
					t.Errorf("%s: the same step again: %+v, %v, want nothing changed", before, again, err)
				}
			}
			next, err := tc.plan(everyState(), 6)
			wantError(t, err, rotate.ErrNoKey, name, "00000006", "signet keyset status "+name)
			if next != nil {
				t.Error("a document came beside the error")
			}
		})
	}
}

func TestAKeyIsNotDisabledWhileReadersMayStillSealWithIt(t *testing.T) {
	k := everyState()
	k.Key(3).Retired = today
	for _, wait := range []time.Duration{0, 5*time.Minute - 1} {
		next, err := rotate.PlanDisable(k, 3, false, today.Add(wait))
		wantError(t, err, rotate.ErrTooEarly, "00000003", "too early to disable", "at 2026-10-01T12:05:00Z", "--force", "does not open")
		if next != nil {
			t.Error("a document came beside the error")
		}
	}
	for what, plan := range map[string]func() (*keys.Keyset, error){
		"later":    func() (*keys.Keyset, error) { return rotate.PlanDisable(k, 3, false, today.Add(5*time.Minute)) },
		"by force": func() (*keys.Keyset, error) { return rotate.PlanDisable(k, 3, true, today) },
		"a key that never sealed": func() (*keys.Keyset, error) {
			k := everyState()
			k.Key(3).Retired, k.Key(3).Promoted = today, time.Time{}
			return rotate.PlanDisable(k, 3, false, today)
		},
	} {
		if next, err := plan(); err != nil || next.Key(3).State != keys.Disabled {
			t.Errorf("%s: %+v, %v, want it disabled", what, next, err)
		}
	}
}

func TestTheLastKeyThatOpensIsNotDisabled(t *testing.T) {
	k := everyState()
	k.Keys = k.Keys[:3] // destroyed, disabled, retired: somebody made such a document by hand
	_, err := rotate.PlanDisable(k, 3, true, today)
	wantError(t, err, rotate.ErrRefused, "00000003", "the last one that opens", "signet keyset rotate "+name)
}

func TestEnablingCallsADestructionOff(t *testing.T) {
	next, err := rotate.PlanEnable(scheduled(today.Add(time.Hour)), 4, today)
	if err != nil || next.Key(4).State != keys.Retired || !next.Key(4).DestroyAfter.IsZero() || !next.Key(4).Disabled.IsZero() {
		t.Fatalf("enabled: %+v, %v", next, err)
	}
	if !next.Key(4).Retired.Equal(long) {
		t.Errorf("it is retired since %s, want %s as before", next.Key(4).Retired, long)
	}
	_, err = rotate.PlanDestroy(next, 4, word, today.Add(2*time.Hour))
	wantError(t, err, rotate.ErrRefused, "is retired and its destruction is not scheduled")
}

func TestADestructionIsScheduledOnlyOnEvidence(t *testing.T) {
	seals := long.Add(5 * time.Minute) // another key took its place long ago; by then no reader seals with it
	for what, tc := range map[string]struct {
		o     rotate.DestroyOptions
		class error
	}{
		"nothing shows":                       {rotate.DestroyOptions{}, rotate.ErrRefused},
		"the census began before":             {rotate.DestroyOptions{Evidence: rotate.Evidence{CensusAt: seals.Add(-1)}}, rotate.ErrTooEarly},
		"waiting period of 4m59s":             {rotate.DestroyOptions{Evidence: word, Wait: 5*time.Minute - time.Second}, rotate.ErrRefused},
		"until " + seals.Format(time.RFC3339): {rotate.DestroyOptions{Evidence: rotate.Evidence{CensusAt: long}}, rotate.ErrTooEarly},
	} {
		next, err := rotate.PlanScheduleDestroy(everyState(), 4, tc.o, today)
		wantError(t, err, tc.class, "00000004", what)
		if next != nil {
			t.Errorf("%s: a document came beside the error", what)
		}
		if tc.o.Wait != 0 {
			continue
		}
		next, err = rotate.PlanDestroy(scheduled(long), 4, tc.o.Evidence, today)
		wantError(t, err, tc.class, "00000004", what)
		if next != nil {
			t.Errorf("%s, and carried out: a document came beside the error", what)
		}
	}
	// What is carried out is asked about again: a census of the waiting period's time is the one of the first step.
	next, err := rotate.PlanDestroy(scheduled(today.Add(-time.Hour)), 4, rotate.Evidence{CensusAt: today.Add(-time.Hour - 1)}, today)
	if wantError(t, err, rotate.ErrTooEarly, "00000004", "began before the waiting period was over, at 2026-10-01T11:00:00Z"); next != nil {
		t.Error("a document came beside the error")
	}
	if next, err := rotate.PlanDestroy(scheduled(today.Add(-time.Hour)), 4, rotate.Evidence{CensusAt: today.Add(-time.Hour)}, today); err != nil || next.Key(4).State != keys.Destroyed {
		t.Errorf("carried out on a census after the waiting period: %+v, %v", next, err)
	}
	if next, err := rotate.PlanDestroy(scheduled(long), 4, rotate.Evidence{CensusAt: seals}, today); err != nil || next.Key(4).State != keys.Destroyed {
		t.Errorf("carried out on a census: %+v, %v", next, err)
	}
	for what, tc := range map[string]struct {
		o    rotate.DestroyOptions
		want time.Time
	}{
		"a census":            {rotate.DestroyOptions{Evidence: rotate.Evidence{CensusAt: seals}}, today.Add(7 * 24 * time.Hour)},
		"somebody's word":     {rotate.DestroyOptions{Evidence: rotate.Evidence{AllowKeyInUse: true}}, today.Add(7 * 24 * time.Hour)},
		"a period of its own": {rotate.DestroyOptions{Evidence: rotate.Evidence{AllowKeyInUse: true}, Wait: time.Hour}, today.Add(time.Hour)},
	} {
		next, err := rotate.PlanScheduleDestroy(everyState(), 4, tc.o, today)
		if err != nil || !next.Key(4).DestroyAfter.Equal(tc.want) || next.Key(4).State != keys.Disabled {
			t.Errorf("%s: %+v, %v, want it disabled until %s", what, next, err, tc.want)
			continue
		}
		later := tc.o
		later.Wait = 30 * 24 * time.Hour
		if again, err := rotate.PlanScheduleDestroy(next, 4, later, today.Add(time.Hour)); err != nil || again != next {
			t.Errorf("%s: scheduled again: %+v, %v, want the first date kept", what, again, err)
		}
	}
}

func TestADestructionWaitsCanBeCalledOffAndIsFinal(t *testing.T) {
	k := scheduled(today.Add(time.Hour))
	_, err := rotate.PlanDestroy(k, 4, word, today.Add(time.Hour-1))
	wantError(t, err, rotate.ErrTooEarly, "00000004", "too early to destroy", "ends in 1s, at 2026-10-01T13:00:00Z", "--cancel")
	off, err := rotate.PlanCancelDestroy(k, 4)
	if err != nil || off.Key(4).State != keys.Disabled || !off.Key(4).DestroyAfter.IsZero() {
		t.Fatalf("called off: %+v, %v, want it disabled and not scheduled", off, err)
	}
	gone, err := rotate.PlanDestroy(k, 4, word, today.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if key := gone.Key(4); key.State != keys.Destroyed || key.Wrapped != nil || !key.Destroyed.Equal(today.Add(time.Hour)) || !key.DestroyAfter.IsZero() {
		t.Errorf("destroyed: %+v, want no material left", key)
	}
	for what, plan := range map[string]func() (*keys.Keyset, error){
		"enable": func() (*keys.Keyset, error) { return rotate.PlanEnable(gone, 4, today) },
		"cancel": func() (*keys.Keyset, error) { return rotate.PlanCancelDestroy(gone, 4) },
		"add":    func() (*keys.Keyset, error) { return rotate.PlanAdd(gone, 4, []byte{1}, today) },
	} {
		if next, err := plan(); err == nil || next != nil {
			t.Errorf("%s brought the key back: %+v", what, next)
		}
	}
}

func TestStepsSayWhatChanges(t *testing.T) {
	before := everyState()
	after := everyState()
	after.Policy.RotateEvery = keys.Duration(24 * time.Hour)
	after.Key(1).State, after.Key(2).State = keys.Primary, keys.Retired
	after.Key(3).Wrapped, after.Key(3).Compromised = []byte{2}, today
	after.Key(4).DestroyAfter = today
	after.Keys = append(after.Keys, keys.Key{ID: 6, State: keys.Pending, Wrapped: []byte{1}})
	want := []rotate.Step{
		{Does: "policy: propagation delay 5m0s, rotation every 24h0m0s"},
		{4, keys.Disabled, keys.Disabled, "may be destroyed from 2026-10-01T12:00:00Z on, and can be enabled until then"},
		{3, keys.Retired, keys.Retired, "is marked as compromised"},
		{3, keys.Retired, keys.Retired, "is wrapped anew"},
		{2, keys.Primary, keys.Retired, "goes on opening what it sealed"},
		{1, keys.Pending, keys.Primary, "seals, from the next refresh of every reader on"},
		{6, "", keys.Pending, "opens, and does not seal yet"},
	}
	if got := rotate.Steps(before, after); !reflect.DeepEqual(got, want) {
		t.Errorf("steps\n got %+v\nwant %+v", got, want)
	}
	if got := rotate.Steps(before, before); got != nil {
		t.Errorf("from a document to itself: %+v", got)
	}
}

func TestAPolicyWithoutTimeForItsDelayIsRefused(t *testing.T) {
	k := everyState()
	for _, every := range []time.Duration{time.Minute, 5 * time.Minute} {
		next, err := rotate.PlanPolicy(k, keys.Policy{PropagationDelay: k.Policy.PropagationDelay, RotateEvery: keys.Duration(every)})
		if !errors.Is(err, rotate.ErrRefused) || next != nil {
			t.Errorf("rotating every %s: %+v, %v, want a refusal", every, next, err)
		}
		if _, err := rotate.PlanCreate(name, rotate.Options{RotateEvery: every}); !errors.Is(err, rotate.ErrRefused) {
			t.Errorf("a new keyset that rotates every %s: %v, want a refusal", every, err)
		}
	}
	next, err := rotate.PlanPolicy(k, keys.Policy{PropagationDelay: keys.Duration(time.Minute), RotateEvery: keys.Duration(time.Hour)})
	if err != nil || next.Policy.RotateEvery != keys.Duration(time.Hour) || k.Policy.RotateEvery != 0 {
		t.Errorf("PlanPolicy = %+v, %v", next, err)
	}
	if again, err := rotate.PlanPolicy(next, next.Policy); err != nil || again != next {
		t.Errorf("the same policy: %+v, %v, want nothing changed", again, err)
	}
}

func TestFromWhenOnAKeySealsNoMore(t *testing.T) {
	delay := 5 * time.Minute
	k := everyState()
	k.Key(3).Retired = today
	k.Key(4).Disabled = today // which says nothing about sealing
	byHand := everyState()
	byHand.Key(4).Retired, byHand.Key(4).Disabled = time.Time{}, today
	for what, tc := range map[string]struct {
		k    *keys.Keyset
		id   keys.ID
		want time.Time
	}{
		"pending":                    {k, 1, long},
		"primary":                    {k, 2, time.Time{}},
		"retired":                    {k, 3, today.Add(delay)},
		"disabled":                   {k, 4, long.Add(delay)},
		"disabled and never retired": {byHand, 4, today.Add(delay)},
		"no such key":                {k, 9, time.Time{}},
	} {
		if got := rotate.SealedUntil(tc.k, tc.id); !got.Equal(tc.want) {
			t.Errorf("%s: %s, want %s", what, got, tc.want)
		}
	}
}

// A census counts payloads; that it found nothing says nothing about search tokens.
func TestNoCensusShowsThatASearchKeyIsUnused(t *testing.T) {
	k := everyState()
	k.Type = keys.HMACSHA256PRF
	clean := rotate.DestroyOptions{Evidence: rotate.Evidence{CensusAt: today}}
	if _, err := rotate.PlanScheduleDestroy(everyState(), 4, clean, today); err != nil {
		t.Fatalf("for payloads the census is enough: %v", err)
	}
	if next, err := rotate.PlanScheduleDestroy(k, 4, clean, today); next != nil || !errors.Is(err, rotate.ErrRefused) || !strings.Contains(err.Error(), "no census counts") {
		t.Errorf("%v, %v", next, err)
	}
	clean.AllowKeyInUse = true
	if _, err := rotate.PlanScheduleDestroy(k, 4, clean, today); err != nil {
		t.Error(err)
	}
}

// What a legacy key opens was sealed by another codec and does not carry the key's id: that a census did not meet the id
// shows nothing. It does when it met nothing that Signet did not seal.
func TestACensusShowsThatALegacyKeyIsUnusedOnlyWhereAllIsSealed(t *testing.T) {
	k, due := everyState(), scheduled(long)
	for _, k := range []*keys.Keyset{k, due} {
		k.Key(4).Imported = &keys.Imported{Check: "aaaaaaaa", Legacy: &keys.Legacy{Codec: keys.LegacyAESGCM, KeyID: "old"}}
		k.Key(4).Promoted = time.Time{}
	}
	for what, tc := range map[string]struct {
		e    rotate.Evidence
		says string
	}{
		"a census that did not meet its id":          {rotate.Evidence{CensusAt: today}, "does not carry its id"},
		"a census that began before it was disabled": {rotate.Evidence{CensusAt: long.Add(time.Minute), AllSealed: true}, "too early to count"},
		"no census": {rotate.Evidence{AllSealed: true}, "nothing shows"},
		"a census that met nothing of another codec": {rotate.Evidence{CensusAt: today, AllSealed: true}, ""},
		"somebody's word": {word, ""},
	} {
		_, err := rotate.PlanScheduleDestroy(k, 4, rotate.DestroyOptions{Evidence: tc.e}, today)
		_, second := rotate.PlanDestroy(due, 4, tc.e, today)
		for _, err := range []error{err, second} {
			if (err == nil) != (tc.says == "") || err != nil && !strings.Contains(err.Error(), tc.says) {
				t.Errorf("%s: %v, want %q", what, err, tc.says)
			}
		}
	}
}
