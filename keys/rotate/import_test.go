package rotate_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/signet-temporal/signet/keys"
	"github.com/signet-temporal/signet/keys/rotate"
)

func wrappedAs(text string) func() ([]byte, error) {
	return func() ([]byte, error) { return []byte(text), nil }
}

func sample(id keys.ID, keyID, check string) rotate.Import {
	return rotate.Import{ID: id, State: keys.Retired, Wrap: wrappedAs("sample " + check), Imported: keys.Imported{Check: check, Legacy: &keys.Legacy{Codec: keys.LegacyAESGCM, KeyID: keyID}}}
}

func TestAnImportIsRepeatedAndNeverTakesThePlaceOfAnotherKey(t *testing.T) {
	now := time.Now()
	k, err := rotate.PlanNew("ns/a", rotate.Options{}, rotate.Pretended, now) // with key 1
	if err != nil {
		t.Fatal(err)
	}
	pending := rotate.Import{ID: 7, State: keys.Pending, Wrap: wrappedAs("tink"), Imported: keys.Imported{Check: "aaaaaaaa"}}
	k, err = rotate.PlanImport(k, []rotate.Import{pending, sample(8, "old", "bbbbbbbb")}, now)
	if err != nil || len(k.Keys) != 3 || k.Key(7).State != keys.Pending || !k.Key(8).OpensLegacy() {
		t.Fatalf("%+v, %v", k, err)
	}
	failing := func() ([]byte, error) { return nil, errors.New("wrapped once more") }
	// Whatever became of them meanwhile: promoted, retired, disabled. Ids of samples' keys are made up each time.
	promoted, err := rotate.PlanPromote(k, rotate.PromoteOptions{Key: 7, Force: true}, now)
	if err != nil {
		t.Fatal(err)
	}
	again := []rotate.Import{pending, sample(99, "old", "bbbbbbbb")}
	for i := range again {
		again[i].Wrap = failing
	}
	for _, k := range []*keys.Keyset{k, promoted} {
		if next, err := rotate.PlanImport(k, again, now); err != nil || next != k {
			t.Errorf("once more: changed: %t, %v", next != k, err)
		}
	}
	destroyed, err := rotate.PlanDisable(k, 8, true, now)
	if err == nil {
		destroyed, err = rotate.PlanScheduleDestroy(destroyed, 8, rotate.DestroyOptions{Evidence: rotate.Evidence{AllowKeyInUse: true}}, now)
	}
	if err == nil {
		destroyed, err = rotate.PlanDestroy(destroyed, 8, rotate.Evidence{AllowKeyInUse: true}, now.Add(rotate.DefaultWait))
	}
	if err != nil {
		t.Fatal(err)
	}
	asLegacy := pending
	asLegacy.State, asLegacy.Imported.Legacy = keys.Retired, &keys.Legacy{Codec: keys.LegacyTink, Encoding: "e"}
	second := pending
	second.ID, second.State = 9, keys.Primary
	other := pending
	other.Imported.Check = "cccccccc"
	own := pending
	own.ID = 1
	search, err := rotate.PlanNew("search/a", rotate.Options{Type: keys.HMACSHA256PRF}, rotate.Pretended, now)
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		k    *keys.Keyset
		in   rotate.Import
		says string
	}{
		"the id of a key that was made here":  {k, own, "was not imported"},
		"another key under the same id":       {k, other, "another key under this id already"},
		"another sample key, the same name":   {k, sample(10, "old", "dddddddd"), "another key under this id already (00000008, check value bbbbbbbb and not dddddddd)"},
		"a sample key whose id is taken":      {k, sample(1, "new", "dddddddd"), "run the command again"},
		"the same key for another use":        {k, asLegacy, "for another use"},
		"a key that was destroyed":            {destroyed, sample(10, "old", "bbbbbbbb"), "was destroyed"},
		"a second primary key":                {k, second, "--as=pending"},
		"id 0":                                {k, rotate.Import{State: keys.Retired}, "id 0"},
		"a key that seals, for search tokens": {search, pending, "makes search tokens, and keys that seal or open cannot come in"},
		"a sample key, for search tokens":     {search, sample(10, "old", "bbbbbbbb"), "import it into the keyset of the payloads"},
	} {
		tc.in.Wrap = failing
		if next, err := rotate.PlanImport(tc.k, []rotate.Import{tc.in}, now); next != nil || !errors.Is(err, rotate.ErrRefused) || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v, %v; want %q", name, next, err, tc.says)
		}
	}
}

func TestALegacyKeyNeverComesToSeal(t *testing.T) {
	now := time.Now()
	k, err := rotate.PlanNew("ns/a", rotate.Options{}, rotate.Pretended, now)
	if err != nil {
		t.Fatal(err)
	}
	for _, state := range []keys.State{keys.Pending, keys.Primary} {
		in := sample(8, "old", "bbbbbbbb")
		in.State = state
		if next, err := rotate.PlanImport(k, []rotate.Import{in}, now); err == nil {
			t.Errorf("imported as %s: %+v", state, next)
		}
	}
	if k, err = rotate.PlanImport(k, []rotate.Import{sample(8, "old", "bbbbbbbb")}, now); err != nil {
		t.Fatal(err)
	}
	if next, err := rotate.PlanPromote(k, rotate.PromoteOptions{Key: 8, Force: true}, now); !errors.Is(err, rotate.ErrRefused) {
		t.Errorf("promoted: %+v, %v", next, err)
	}
	disabled, err := rotate.PlanDisable(k, 8, false, now)
	if err != nil {
		t.Fatal(err)
	}
	enabled, err := rotate.PlanEnable(disabled, 8, now)
	if err != nil || enabled.Key(8).State != keys.Retired || !enabled.Key(8).OpensLegacy() {
		t.Errorf("disabled and enabled: %+v, %v", enabled, err)
	}
	steps := rotate.Steps(&keys.Keyset{Policy: k.Policy, Keys: k.Keys[:1]}, k)
	if len(steps) != 1 || !strings.Contains(steps[0].Does, `opens what another codec sealed (the sample codec's, with encryption-key-id "old")`) {
		t.Errorf("%+v", steps)
	}
}
