package keystest

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/signet-temporal/signet/keys"
)

// Planter is a store whose tests can put any bytes where the document of a keyset is kept. When the stores under test
// have this method too, perhaps by a wrapper in the test, [TestStore] also checks that what is stored is never
// believed.
type Planter interface {
	Plant(ctx context.Context, name string, doc []byte) error
}

// TestStore is the conformance suite of [keys.Store]: what every store does, whatever it keeps documents in.
// newStore returns an empty store; it is called once for each subtest.
func TestStore(t *testing.T, newStore func(t *testing.T) keys.Store) {
	for _, test := range []struct {
		name string
		run  func(t *testing.T, s keys.Store)
	}{
		{"a created keyset is fetched as it was", testCreate},
		{"a keyset is created once", testCreateTwice},
		{"a missing keyset is ErrNotFound", testMissing},
		{"a stale version is ErrConflict and changes nothing", testStale},
		{"every Replace makes a new version", testVersions},
		{"List is sorted and complete", testList},
		{"names of several segments do not touch each other", testNames},
		{"a name that is none is refused", testBadNames},
		{"an invalid document is refused and not stored", testInvalid},
		{"a stored document is not believed", testPlanted},
		{"the caller owns what it fetched", testOwnership},
		{"what was stored is a copy", testCopy},
		{"concurrent changes are never lost", testConcurrent},
		{"forgetting leaves the present version", testForget},
		{"a cancelled context is honoured", testCancelled},
		{"a keyset holds a hundred keys", testBig},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, newStore(t)) })
	}
}

// sample is a valid document. Its wrapped keys are random: no store opens them.
func sample(name string, states ...keys.State) *keys.Keyset {
	k := &keys.Keyset{
		Format: 1,
		Name:   name,
		Type:   keys.XAES256GCM,
		Policy: keys.Policy{PropagationDelay: keys.Duration(90 * time.Second)},
		Keys:   []keys.Key{},
	}
	for i, state := range states {
		key := sampleKey(keys.ID(0xfffffff0 - i))
		if key.State = state; state == keys.Destroyed {
			key.Wrapped, key.Destroyed = nil, key.Created.Add(time.Hour)
		}
		k.Keys = append(k.Keys, key)
	}
	return k
}

func sampleKey(id keys.ID) keys.Key {
	wrapped := make([]byte, 300)
	_, _ = rand.Read(wrapped) // it never fails
	return keys.Key{ID: id, State: keys.Pending, Created: time.Date(2026, 2, 3, 4, 5, 6, 789, time.UTC), Wrapped: wrapped}
}

func mustReplace(t *testing.T, s keys.Store, k *keys.Keyset, old keys.Version) keys.Version {
	t.Helper()
	v, err := s.Replace(t.Context(), k, old)
	if err != nil {
		t.Fatalf("Replace(%q, version %q): %v", k.Name, old, err)
	}
	if v == "" {
		t.Fatalf("Replace(%q) returned the empty version, which means \"does not exist\"", k.Name)
	}
	return v
}

// wantStored checks that the store holds exactly want, at version.
func wantStored(t *testing.T, s keys.Store, want *keys.Keyset, version keys.Version) {
	t.Helper()
	got, v, err := s.Fetch(t.Context(), want.Name)
	if err != nil {
		t.Fatalf("Fetch(%q): %v", want.Name, err)
	}
	if v != version {
		t.Errorf("Fetch(%q) has version %q, want %q, which Replace returned", want.Name, v, version)
	}
	gotJSON, wantJSON := asJSON(t, got), asJSON(t, want)
	if !bytes.Equal(gotJSON, wantJSON) {
		t.Errorf("Fetch(%q)\n got %s\nwant %s", want.Name, gotJSON, wantJSON)
	}
}

func asJSON(t *testing.T, k *keys.Keyset) []byte {
	t.Helper()
	out, err := json.Marshal(k)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// wantFailure checks the class of an error, and that nothing comes with it.
func wantFailure(t *testing.T, what string, k *keys.Keyset, v keys.Version, err, class error) {
	t.Helper()
	if err == nil {
		t.Fatalf("%s: no error, want one", what)
	}
	if k != nil || v != "" {
		t.Errorf("%s: returned keyset %v and version %q beside the error", what, k, v)
	}
	for _, sentinel := range []error{keys.ErrNotFound, keys.ErrConflict, context.Canceled} {
		if got, want := errors.Is(err, sentinel), sentinel == class; got != want {
			t.Errorf("%s: errors.Is(%q, %q) = %t, want %t", what, err, sentinel, got, want)
		}
	}
}

func testCreate(t *testing.T, s keys.Store) {
	k := sample("payments", keys.Destroyed, keys.Disabled, keys.Retired, keys.Primary, keys.Pending)
	wantStored(t, s, k, mustReplace(t, s, k, ""))
	empty := sample("empty")
	wantStored(t, s, empty, mustReplace(t, s, empty, ""))
}

func testCreateTwice(t *testing.T, s keys.Store) {
	k := sample("payments", keys.Primary)
	v := mustReplace(t, s, k, "")
	_, err := s.Replace(t.Context(), sample("payments", keys.Primary, keys.Pending), "")
	wantFailure(t, "creating it again", nil, "", err, keys.ErrConflict)
	_, err = s.Replace(t.Context(), k, "")
	wantFailure(t, "creating the same again", nil, "", err, keys.ErrConflict)
	wantStored(t, s, k, v)
}

func testMissing(t *testing.T, s keys.Store) {
	for _, name := range []string{"payments", "ns/payments"} {
		k, v, err := s.Fetch(t.Context(), name)
		wantFailure(t, "Fetch", k, v, err, keys.ErrNotFound)
	}
	other := mustReplace(t, s, sample("ns/other", keys.Primary), "")
	k, v, err := s.Fetch(t.Context(), "ns")
	wantFailure(t, "Fetch of a prefix of another name", k, v, err, keys.ErrNotFound)
	v, err = s.Replace(t.Context(), sample("payments", keys.Primary), other)
	wantFailure(t, "Replace of what does not exist", nil, v, err, keys.ErrConflict)
	k, v, err = s.Fetch(t.Context(), "payments")
	wantFailure(t, "Fetch after the refused Replace", k, v, err, keys.ErrNotFound)
}

func testStale(t *testing.T, s keys.Store) {
	first := mustReplace(t, s, sample("payments", keys.Primary), "")
	second := sample("payments", keys.Retired, keys.Primary)
	v2 := mustReplace(t, s, second, first)
	for _, stale := range []keys.Version{first, "", "no version of this store"} {
		v, err := s.Replace(t.Context(), sample("payments", keys.Disabled), stale)
		wantFailure(t, fmt.Sprintf("Replace at version %q", stale), nil, v, err, keys.ErrConflict)
	}
	wantStored(t, s, second, v2)
}

func testVersions(t *testing.T, s keys.Store) {
	a, b := sample("payments", keys.Primary), sample("payments", keys.Disabled)
	seen := map[keys.Version]bool{}
	var v keys.Version
	for i, k := range []*keys.Keyset{a, b, a, a, b} { // going back to an old document is a change too
		if v = mustReplace(t, s, k, v); seen[v] {
			t.Fatalf("Replace number %d returned version %q, which was there before", i+1, v)
		}
		seen[v] = true
	}
	for range 2 {
		wantStored(t, s, b, v)
	}
}

func testList(t *testing.T, s keys.Store) {
	got, err := s.List(t.Context())
	if err != nil || len(got) != 0 {
		t.Fatalf("List of an empty store = %q, %v, want none", got, err)
	}
	want := []string{"Z", "a", "a-b", "a.b", "a/b", "a/b/c", "a0", "ns/payments"} // in byte order
	for _, i := range []int{3, 7, 0, 5, 1, 6, 4, 2} {
		mustReplace(t, s, sample(want[i], keys.Primary), "")
	}
	if got, err = s.List(t.Context()); err != nil || !slices.Equal(got, want) {
		t.Fatalf("List = %q, %v, want %q", got, err, want)
	}
}

func testNames(t *testing.T, s keys.Store) {
	long := string(bytes.Repeat([]byte{'n'}, 200))
	names := []string{"a", "a/a", "a/a/a", "tenant/acme/eu-west-1/v2.beta", "a.json", "a.json/b", "_", "A_.-", long, "data/metadata/data"}
	stored, versions := map[string]*keys.Keyset{}, map[string]keys.Version{}
	for _, name := range names {
		stored[name] = sample(name, keys.Primary)
		versions[name] = mustReplace(t, s, stored[name], "")
	}
	for _, name := range names {
		wantStored(t, s, stored[name], versions[name])
	}
	slices.Sort(names)
	if got, err := s.List(t.Context()); err != nil || !slices.Equal(got, names) {
		t.Errorf("List = %q, %v, want %q", got, err, names)
	}
}

func testForget(t *testing.T, s keys.Store) {
	first := mustReplace(t, s, sample("ns/payments", keys.Primary, keys.Disabled), "")
	k := sample("ns/payments", keys.Primary, keys.Destroyed)
	v := mustReplace(t, s, k, first)
	other := sample("ns/payments2", keys.Primary)
	otherVersion := mustReplace(t, s, other, "")
	for range 2 {
		if err := s.Forget(t.Context(), "ns/payments"); err != nil {
			t.Fatalf("Forget: %v", err)
		}
		wantStored(t, s, k, v)
		wantStored(t, s, other, otherVersion)
	}
	if err := s.Forget(t.Context(), "../x"); err == nil {
		t.Error("Forget of a name that is none: no error, want one")
	}
	next := mustReplace(t, s, sample("ns/payments", keys.Primary), v)
	if next == v || next == first {
		t.Errorf("after Forget a Replace returned version %q, which was there before", next)
	}
}

func testBadNames(t *testing.T, s keys.Store) {
	mustReplace(t, s, sample("ns/x", keys.Primary), "")
	for _, name := range []string{
		"", "/", "../x", "ns/../ns/x", "ns/./x", "ns//x", "/ns/x", "ns/x/", ".hidden", "ns/.hidden", "-x",
		"ns\\x", "a b", "x\x00", "x\n", "ns/x?version=1", "ns%2Fx", "ns/x#", "größe", string(bytes.Repeat([]byte{'n'}, 201)),
	} {
		k, v, err := s.Fetch(t.Context(), name)
		wantFailure(t, fmt.Sprintf("Fetch(%q)", name), k, v, err, nil)
		v, err = s.Replace(t.Context(), sample(name, keys.Primary), "")
		wantFailure(t, fmt.Sprintf("Replace(%q)", name), nil, v, err, nil)
	}
	if got, err := s.List(t.Context()); err != nil || !slices.Equal(got, []string{"ns/x"}) {
		t.Errorf("List = %q, %v, want only ns/x", got, err)
	}
}

func testInvalid(t *testing.T, s keys.Store) {
	good := sample("payments", keys.Primary)
	v := mustReplace(t, s, good, "")
	for name, spoil := range map[string]func(k *keys.Keyset){
		"two primaries":     func(k *keys.Keyset) { k.Keys = sample("payments", keys.Primary, keys.Primary).Keys },
		"a doubled id":      func(k *keys.Keyset) { k.Keys = append(k.Keys, k.Keys[0]); k.Keys[1].State = keys.Retired },
		"an unknown format": func(k *keys.Keyset) { k.Format = 2 },
		"an unknown type":   func(k *keys.Keyset) { k.Type = "ROT13" },
		"no material":       func(k *keys.Keyset) { k.Keys[0].Wrapped = nil },
	} {
		bad := sample("payments", keys.Primary)
		spoil(bad)
		got, err := s.Replace(t.Context(), bad, v)
		wantFailure(t, "Replace with "+name, nil, got, err, nil)
	}
	wantStored(t, s, good, v)
}

func testPlanted(t *testing.T, s keys.Store) {
	p, ok := s.(Planter)
	if !ok {
		t.Log("this store has no method Plant: its own tests put misplaced documents into it")
		return
	}
	v := mustReplace(t, s, sample("ns/payments", keys.Primary), "")
	for name, doc := range map[string]string{
		"the document of another keyset": string(asJSON(t, sample("ns/other", keys.Primary))),
		"an unknown format":              `{"format":2,"name":"ns/payments","type":"XAES_256_GCM","policy":{"propagationDelay":"5m"},"keys":[]}`,
		"no keyset":                      `{}`,
		"null":                           `null`,
		"half a document":                string(asJSON(t, sample("ns/payments", keys.Primary))[:100]),
	} {
		if err := p.Plant(t.Context(), "ns/payments", []byte(doc)); err != nil {
			t.Fatalf("Plant: %v", err)
		}
		k, got, err := s.Fetch(t.Context(), "ns/payments")
		wantFailure(t, "Fetch with "+name+" stored there", k, got, err, nil)
		got, err = s.Replace(t.Context(), sample("ns/payments", keys.Primary), v)
		wantFailure(t, "Replace over "+name, nil, got, err, keys.ErrConflict)
	}
}

func testOwnership(t *testing.T, s keys.Store) {
	k := sample("payments", keys.Primary, keys.Pending)
	v := mustReplace(t, s, k, "")
	got, _, err := s.Fetch(t.Context(), "payments")
	if err != nil {
		t.Fatal(err)
	}
	spoil(got)
	wantStored(t, s, k, v)
	mustReplace(t, s, sample("other", keys.Primary), "")
	list, err := s.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	list[0] = "spoiled"
	if again, err := s.List(t.Context()); err != nil || !slices.Equal(again, []string{"other", "payments"}) {
		t.Errorf("List after its result was changed = %q, %v", again, err)
	}
}

func testCopy(t *testing.T, s keys.Store) {
	k, want := sample("payments", keys.Primary, keys.Pending), &keys.Keyset{}
	if err := json.Unmarshal(asJSON(t, k), want); err != nil {
		t.Fatal(err)
	}
	v := mustReplace(t, s, k, "")
	if !reflect.DeepEqual(asJSON(t, k), asJSON(t, want)) {
		t.Error("Replace changed the document it was given")
	}
	spoil(k)
	wantStored(t, s, want, v)
}

// spoil changes everything a shallow copy would share.
func spoil(k *keys.Keyset) {
	k.Policy.PropagationDelay = 0
	for i := range k.Keys {
		k.Keys[i].State = keys.Disabled
		clear(k.Keys[i].Wrapped)
	}
}

func testConcurrent(t *testing.T, s keys.Store) {
	const writers, rounds, patience = 8, 8, 500
	mustReplace(t, s, sample("payments"), "")
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for r := range rounds {
				if err := appendKey(t.Context(), s, "payments", keys.ID(w*rounds+r+1), patience); err != nil {
					t.Errorf("writer %d, round %d: %v", w, r, err)
					return
				}
			}
		})
	}
	all.Wait()
	k, _, err := s.Fetch(t.Context(), "payments")
	if err != nil {
		t.Fatal(err)
	}
	for id := range keys.ID(writers * rounds) {
		if k.Key(id+1) == nil {
			t.Errorf("key %s was added without an error and is not there", id+1)
		}
	}
	if len(k.Keys) != writers*rounds {
		t.Errorf("the keyset has %d keys, want %d", len(k.Keys), writers*rounds)
	}
}

// appendKey adds a key by compare-and-swap, and gives up after so many conflicts.
func appendKey(ctx context.Context, s keys.Store, name string, id keys.ID, patience int) error {
	for range patience {
		k, v, err := s.Fetch(ctx, name)
		if err != nil {
			return err
		}
		k.Keys = append(k.Keys, sampleKey(id))
		if _, err = s.Replace(ctx, k, v); !errors.Is(err, keys.ErrConflict) {
			return err
		}
	}
	return fmt.Errorf("%d conflicts in a row", patience)
}

func testCancelled(t *testing.T, s keys.Store) {
	k := sample("payments", keys.Primary)
	v := mustReplace(t, s, k, "")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	got, gotV, err := s.Fetch(ctx, "payments")
	wantFailure(t, "Fetch", got, gotV, err, context.Canceled)
	gotV, err = s.Replace(ctx, sample("payments", keys.Retired), v)
	wantFailure(t, "Replace", nil, gotV, err, context.Canceled)
	gotV, err = s.Replace(ctx, sample("new", keys.Primary), "")
	wantFailure(t, "Replace that creates", nil, gotV, err, context.Canceled)
	if err := s.Forget(ctx, "payments"); !errors.Is(err, context.Canceled) {
		t.Errorf("Forget = %v, want the context's error", err)
	}
	if list, err := s.List(ctx); !errors.Is(err, context.Canceled) || list != nil {
		t.Errorf("List = %q, %v, want no names and the context's error", list, err)
	}
	wantStored(t, s, k, v)
}

func testBig(t *testing.T, s keys.Store) {
	states := slices.Repeat([]keys.State{keys.Retired, keys.Destroyed, keys.Disabled, keys.Pending}, 25)
	states[99] = keys.Primary
	k := sample("tenant/big", states...)
	wantStored(t, s, k, mustReplace(t, s, k, ""))
}
