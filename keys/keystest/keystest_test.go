package keystest_test

import (
	"errors"
	"testing"

	"github.com/signet-temporal/signet/keys"
	"github.com/signet-temporal/signet/keys/keystest"
)

var (
	_ keys.Store       = (*keystest.Store)(nil)
	_ keystest.Planter = (*keystest.Store)(nil)
	_ keys.KEK         = (*keystest.KEK)(nil)
)

func TestMemoryStoreConforms(t *testing.T) {
	keystest.TestStore(t, func(*testing.T) keys.Store { return new(keystest.Store) })
}

func TestMemoryKEKConforms(t *testing.T) {
	keystest.TestKEK(t, func(t *testing.T) keys.KEK { return keystest.NewKEK(t) })
}

func TestStoreOutageFailsEveryCallAndKeepsTheDocuments(t *testing.T) {
	store, kek := new(keystest.Store), keystest.NewKEK(t)
	k := keystest.NewKeyset(t, store, kek, "ns/x", keys.AES256GCM)
	before, away := store.Calls(), errors.New("the store is away")
	store.SetError(away)
	if _, _, err := store.Fetch(t.Context(), "ns/x"); !errors.Is(err, away) {
		t.Errorf("Fetch: %v, want %v", err, away)
	}
	if _, err := store.Replace(t.Context(), k, ""); !errors.Is(err, away) {
		t.Errorf("Replace: %v, want %v", err, away)
	}
	if _, err := store.List(t.Context()); !errors.Is(err, away) {
		t.Errorf("List: %v, want %v", err, away)
	}
	want := keystest.Calls{Fetch: before.Fetch + 1, Replace: before.Replace + 1, List: before.List + 1}
	if got := store.Calls(); got != want {
		t.Errorf("Calls = %+v, want %+v", got, want)
	}
	store.SetError(nil)
	if got, _, err := store.Fetch(t.Context(), "ns/x"); err != nil || got.Primary().ID != k.Primary().ID {
		t.Errorf("after the outage: %v, %v", got, err)
	}
}

func TestNewRingSealsAndOpensUnderEveryName(t *testing.T) {
	ring := keystest.NewRing(t, "ns/a", "ns/b")
	for _, name := range []string{"ns/a", "ns/b"} {
		id, sealer, err := ring.Primary(name)
		if err != nil {
			t.Fatal(err)
		}
		sealed, err := sealer.Encrypt([]byte("hello"), nil)
		if err != nil {
			t.Fatal(err)
		}
		opener, err := ring.Lookup(name, id)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := opener.Decrypt(sealed, nil); err != nil || string(got) != "hello" {
			t.Errorf("%s: Decrypt = %q, %v", name, got, err)
		}
	}
}
