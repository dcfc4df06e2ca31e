package converter

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"
	tinkpb "github.com/tink-crypto/tink-go/v2/proto/tink_go_proto"
	"github.com/tink-crypto/tink-go/v2/tink"
)

// memKeys is a ring without a store: keysets of real Tink keys that a test can take away and bring back.
type memKeys struct {
	primary map[string]uint32
	aeads   map[string]map[uint32]tink.AEAD
	err     atomic.Pointer[error]
}

func newKeys(t testing.TB, template *tinkpb.KeyTemplate, names ...string) *memKeys {
	t.Helper()
	k := &memKeys{primary: map[string]uint32{}, aeads: map[string]map[uint32]tink.AEAD{}}
	for _, name := range names {
		k.add(t, name, template)
	}
	return k
}

// add makes a new key the primary one and keeps the others.
func (k *memKeys) add(t testing.TB, name string, template *tinkpb.KeyTemplate) uint32 {
	t.Helper()
	handle, err := keyset.NewHandle(template)
	if err != nil {
		t.Fatal(err)
	}
	primitive, err := aead.New(handle)
	if err != nil {
		t.Fatal(err)
	}
	if k.aeads[name] == nil {
		k.aeads[name] = map[uint32]tink.AEAD{}
	}
	id := handle.KeysetInfo().GetPrimaryKeyId()
	k.primary[name], k.aeads[name][id] = id, primitive
	return id
}

func (k *memKeys) fail(err error) {
	if err == nil {
		k.err.Store(nil)
		return
	}
	k.err.Store(&err)
}

func (k *memKeys) Primary(name string) (uint32, tink.AEAD, error) {
	if err := k.err.Load(); err != nil {
		return 0, nil, *err
	}
	id, ok := k.primary[name]
	if !ok {
		return 0, nil, fmt.Errorf("no keyset %q", name)
	}
	return id, k.aeads[name][id], nil
}

func (k *memKeys) Lookup(name string, id uint32) (tink.AEAD, error) {
	if err := k.err.Load(); err != nil {
		return nil, *err
	}
	a, ok := k.aeads[name][id]
	if !ok {
		return nil, fmt.Errorf("no key %08x in keyset %q", id, name)
	}
	return a, nil
}

// goneError is what a ring says of a destroyed key.
type goneError struct{}

func (goneError) Error() string   { return "key 00000001 is destroyed" }
func (goneError) Permanent() bool { return true }
