package keys_test

import (
	"bytes"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/prf"
	"google.golang.org/protobuf/proto"

	"github.com/signet-temporal/signet/keys"
	"github.com/signet-temporal/signet/keys/keystest"
	"github.com/signet-temporal/signet/keys/rotate"
)

const searchName = "ns/payments/search"

// withSearch makes a keyset of search keys beside the fixture's own, and a ring over both.
func withSearch(t *testing.T, test func(f *fixture)) {
	t.Helper()
	inBubble(t, keys.RingOptions{}, func(f *fixture) {
		if _, err := rotate.Create(f.Context(), f.store, f.kek, searchName, rotate.Options{Type: keys.HMACSHA256PRF}); err != nil {
			f.Fatal(err)
		}
		_ = f.ring.Close()
		var err error
		if f.ring, err = keys.NewRing(f.Context(), f.store, f.kek, keys.RingOptions{Keysets: []string{name, searchName}}); err != nil {
			f.Fatal(err)
		}
		defer f.ring.Close()
		test(f)
	})
}

func (f *fixture) search(plan func(k *keys.Keyset) (*keys.Keyset, error)) *keys.Keyset {
	f.Helper()
	r, err := rotate.Change(f.Context(), f.store, searchName, plan)
	if err != nil {
		f.Fatal(err)
	}
	if err := f.ring.Refresh(f.Context()); err != nil {
		f.Fatal(err)
	}
	return r.After
}

func (f *fixture) prfs() *prf.Set {
	f.Helper()
	set, err := f.ring.PRFs(searchName)
	if err != nil {
		f.Fatal(err)
	}
	return set
}

func output(t *testing.T, f prf.PRF) []byte {
	t.Helper()
	out, err := f.ComputePRF([]byte("078-05-1120"), 16)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// The life of a search key: what a writer uses, and what somebody who searches asks for.
func TestTheRingHasTheFunctionsOfEveryKeyThatOpens(t *testing.T) {
	withSearch(t, func(f *fixture) {
		first := f.prfs()
		before := output(f.T, first.PRFs[first.PrimaryID])

		now := time.Now()
		f.search(func(k *keys.Keyset) (*keys.Keyset, error) {
			return rotate.PlanBegin(k, rotate.Generated(f.Context(), f.kek), now)
		})
		set := f.prfs()
		if set.PrimaryID != first.PrimaryID || len(set.PRFs) != 2 {
			f.Fatalf("with a pending key: primary %08x of %d, want %08x of 2", set.PrimaryID, len(set.PRFs), first.PrimaryID)
		}
		if len(first.PRFs) != 1 {
			f.Error("a set that was handed out has changed")
		}

		after := f.search(func(k *keys.Keyset) (*keys.Keyset, error) {
			return rotate.PlanPromote(k, rotate.PromoteOptions{}, now.Add(time.Hour))
		})
		set = f.prfs()
		if set.PrimaryID != uint32(after.Primary().ID) || set.PrimaryID == first.PrimaryID {
			f.Errorf("after the promotion %08x is primary, want %s", set.PrimaryID, after.Primary().ID)
		}
		if old := set.PRFs[first.PrimaryID]; old == nil || !bytes.Equal(output(f.T, old), before) {
			f.Error("the retired key makes no token any more, or another")
		}

		f.search(func(k *keys.Keyset) (*keys.Keyset, error) {
			return rotate.PlanDisable(k, keys.ID(first.PrimaryID), true, now.Add(2*time.Hour))
		})
		if set = f.prfs(); !slices.Equal(slices.Collect(maps.Keys(set.PRFs)), []uint32{uint32(after.Primary().ID)}) {
			f.Errorf("a disabled key still makes tokens: %v", set.PRFs)
		}
		if s := f.ring.Status()[1]; s.Keys != 1 || s.Primary != after.Primary().ID || s.Since.IsZero() || s.Error != "" {
			f.Errorf("status %+v", s)
		}
	})
}

func TestSearchKeysOutlastAnOutageAndARewrap(t *testing.T) {
	withSearch(t, func(f *fixture) {
		first := f.prfs()
		before := output(f.T, first.PRFs[first.PrimaryID])
		f.store.SetError(keys.ErrConflict)
		if err := f.ring.Refresh(f.Context()); err == nil {
			f.Fatal("no outage")
		}
		f.prfs()
		f.store.SetError(nil)

		f.kek.Rotate(f.T)
		unwraps := f.kek.Unwraps()
		r, err := rotate.Rewrap(f.Context(), f.store, f.kek, searchName)
		if err != nil || len(r.Steps()) != 1 {
			f.Fatalf("rewrapping: %+v, %v", r.Steps(), err)
		}
		if err := f.ring.Refresh(f.Context()); err != nil || f.kek.Unwraps() == unwraps {
			f.Fatalf("the key that was wrapped anew was not looked at: %v", err)
		}
		set := f.prfs()
		if !bytes.Equal(output(f.T, set.PRFs[set.PrimaryID]), before) {
			f.Error("wrapped anew, the key makes other tokens")
		}
	})
}

// A custodian may wrap keys and write documents: see TestAKeyIsNeverExchangedUnderItsID.
func TestASearchKeyIsNeverExchangedUnderItsID(t *testing.T) {
	withSearch(t, func(f *fixture) {
		first := f.prfs()
		doc, version, err := f.store.Fetch(f.Context(), searchName)
		if err != nil {
			f.Fatal(err)
		}
		doc.Keys[0].Wrapped = f.wrapSearchKeyAs(doc.Keys[0].ID)
		if _, err := f.store.Replace(f.Context(), doc, version); err != nil {
			f.Fatal(err)
		}
		if err := f.ring.Refresh(f.Context()); err == nil || !strings.Contains(err.Error(), "other key material") {
			f.Errorf("Refresh: %v", err)
		}
		if set := f.prfs(); set.PRFs[set.PrimaryID] != first.PRFs[first.PrimaryID] {
			f.Error("the key was exchanged")
		}
	})
}

// wrapSearchKeyAs wraps a new search key under an id that is taken.
func (f *fixture) wrapSearchKeyAs(id keys.ID) []byte {
	f.Helper()
	handle, err := keyset.NewHandle(prf.HMACSHA256PRFKeyTemplate())
	if err != nil {
		f.Fatal(err)
	}
	material := insecurecleartextkeyset.KeysetMaterial(handle)
	material.PrimaryKeyId, material.Key[0].KeyId = uint32(id), uint32(id)
	cleartext, err := proto.Marshal(material)
	if err != nil {
		f.Fatal(err)
	}
	planted, err := insecurecleartextkeyset.Read(keyset.NewBinaryReader(bytes.NewReader(cleartext)))
	if err != nil {
		f.Fatal(err)
	}
	var out bytes.Buffer
	if err := planted.WriteWithContext(f.Context(), keyset.NewBinaryWriter(&out), f.kek, []byte(searchName)); err != nil {
		f.Fatal(err)
	}
	return out.Bytes()
}

func TestPayloadKeysAndSearchKeysDoNotStandInForEachOther(t *testing.T) {
	withSearch(t, func(f *fixture) {
		set, err := f.ring.PRFs(name)
		checkError(f.T, nilIfNil(set), err, keys.ErrUnavailable, "seals payloads", "--type=HMAC_SHA256_PRF")
		set, err = f.ring.PRFs("ns/unheard-of")
		checkError(f.T, nilIfNil(set), err, keys.ErrUnavailable, "is not held")
		_, aead, err := f.ring.Primary(searchName)
		checkError(f.T, aead, err, keys.ErrUnavailable, "makes search tokens")
		aead, err = f.ring.Lookup(searchName, f.prfs().PrimaryID)
		checkError(f.T, aead, err, keys.ErrUnavailable, "makes search tokens")

		for typ, unwrap := range map[keys.Type]func(id keys.ID, wrapped []byte) (any, error){
			keys.HMACSHA256PRF: func(id keys.ID, wrapped []byte) (any, error) {
				a, err := keys.Unwrap(f.Context(), f.kek, name, id, wrapped)
				if a == nil {
					return nil, err
				}
				return a, err
			},
			keys.XAES256GCM: func(id keys.ID, wrapped []byte) (any, error) {
				p, err := keys.UnwrapPRF(f.Context(), f.kek, name, id, wrapped)
				if p == nil {
					return nil, err
				}
				return p, err
			},
		} {
			id, wrapped, err := keys.Generate(f.Context(), f.kek, name, typ)
			if err != nil {
				f.Fatal(err)
			}
			if got, err := unwrap(id, wrapped); err == nil || got != nil || !strings.Contains(err.Error(), "not that one key") {
				f.Errorf("a key of type %s opened as the other kind: %v", typ, err)
			}
		}
	})
}

func nilIfNil(set *prf.Set) any {
	if set == nil {
		return nil
	}
	return set
}

// Whoever may write documents says that a keyset is of the other kind: the keys in memory go on doing what they did.
func TestAnotherTypeInTheDocumentMakesNoKeyOfThatKind(t *testing.T) {
	withSearch(t, func(f *fixture) {
		first, _, err := f.ring.Primary(name)
		if err != nil {
			f.Fatal(err)
		}
		f.change(func(k *keys.Keyset) { k.Type = keys.HMACSHA256PRF })
		_ = f.ring.Refresh(f.Context())
		set, err := f.ring.PRFs(name)
		checkError(f.T, nilIfNil(set), err, keys.ErrUnavailable)
		if id, _, err := f.ring.Primary(name); err != nil || id != first {
			f.Errorf("the key that sealed is gone: %v", err)
		}
	})
}

func TestTokensCallNobodyAndAllocateNothing(t *testing.T) {
	ring := searchRing(t)
	if n := testing.AllocsPerRun(100, func() {
		if _, err := ring.PRFs(searchName); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func searchRing(t *testing.T) *keys.Ring {
	t.Helper()
	store, kek := new(keystest.Store), keystest.NewKEK(t)
	if _, err := rotate.Create(t.Context(), store, kek, searchName, rotate.Options{Type: keys.HMACSHA256PRF}); err != nil {
		t.Fatal(err)
	}
	ring, err := keys.NewRing(t.Context(), store, kek, keys.RingOptions{Keysets: []string{searchName}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ring.Close() })
	return ring
}
