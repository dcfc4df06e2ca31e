package legacykeys_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"
	commonpb "go.temporal.io/api/common/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/signet-temporal/signet/converter"
	"github.com/signet-temporal/signet/keys"
	"github.com/signet-temporal/signet/keys/filestore"
	"github.com/signet-temporal/signet/keys/keyimport"
	"github.com/signet-temporal/signet/keys/keystest"
	"github.com/signet-temporal/signet/keys/legacykeys"
	"github.com/signet-temporal/signet/keys/rotate"
)

const name = "ns/payments"

type world struct {
	*testing.T
	store keys.Store
	kek   *keystest.KEK
	ring  *keys.Ring
}

func newWorld(t *testing.T) *world {
	store, err := filestore.OpenOrCreate(filepath.Join(t.TempDir(), "keys"))
	if err != nil {
		t.Fatal(err)
	}
	w := &world{T: t, store: store, kek: keystest.NewKEK(t)}
	if _, err := rotate.Create(t.Context(), w.store, w.kek, name, rotate.Options{}); err != nil {
		t.Fatal(err)
	}
	if w.ring, err = keys.NewRing(t.Context(), w.store, w.kek, keys.RingOptions{Keysets: []string{name}, RefreshInterval: time.Hour}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.ring.Close() })
	return w
}

// step changes the keyset, and has the ring notice it.
func (w *world) step(plan rotate.Plan) {
	w.Helper()
	if _, err := rotate.Change(w.Context(), w.store, name, plan); err != nil {
		w.Fatal(err)
	}
	if err := w.ring.Refresh(w.Context()); err != nil {
		w.Fatal(err)
	}
}

func (w *world) imports(in *keyimport.Keys, err error, legacy keys.Legacy) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
	imports, err := in.Imports(w.Context(), w.kek, name, keys.Retired, &legacy)
	if err != nil {
		w.Fatal(err)
	}
	w.step(func(k *keys.Keyset) (*keys.Keyset, error) { return rotate.PlanImport(k, imports, time.Now()) })
}

func (w *world) decoder() *legacykeys.Decoder {
	w.Helper()
	d, err := legacykeys.New(w.ring, name)
	if err != nil {
		w.Fatal(err)
	}
	return d
}

// fixture is a file of converter/legacy/testdata: made by other programs.
type fixture struct {
	Keys                                map[string][]byte
	Keyset, KEK, Encoding, KeyID, Binds string
	Payloads                            []struct{ Payload, OpensTo json.RawMessage }
}

type fileKEK struct{ tink.AEAD }

func (k fileKEK) DecryptWithContext(_ context.Context, ciphertext, associatedData []byte) ([]byte, error) {
	return k.Decrypt(ciphertext, associatedData)
}

func TestWhatOthersSealedOpensWithImportedKeys(t *testing.T) {
	files, err := filepath.Glob("../../converter/legacy/testdata/*.json")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	opened := 0
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var f fixture
			if err := json.Unmarshal(text, &f); err != nil {
				t.Fatal(err)
			}
			w := newWorld(t)
			for id, key := range f.Keys {
				in, err := keyimport.AES(key, keyimport.Raw)
				if len(key) == 24 { // AES-192, which Tink does not do
					if in != nil || !errors.Is(err, keyimport.ErrUnfit) {
						t.Errorf("a key of 24 bytes: %v", err)
					}
					return
				}
				w.imports(in, err, keys.Legacy{Codec: keys.LegacyAESGCM, KeyID: id})
			}
			if f.Keyset != "" {
				in, err := f.tink(t)
				w.imports(in, err, keys.Legacy{Codec: keys.LegacyTink, Encoding: f.Encoding, KeyID: f.KeyID, AssociatedData: f.Binds})
			}
			d := w.decoder()
			for i, e := range f.Payloads {
				p, want := &commonpb.Payload{}, &commonpb.Payload{}
				if err := errors.Join(protojson.Unmarshal(e.Payload, p), protojson.Unmarshal(e.OpensTo, want)); err != nil {
					t.Fatal(err)
				}
				if _, ok := d.Takes(p); !ok {
					t.Errorf("payload %d is not taken", i)
				}
				got, err := d.Open(p)
				if err != nil || !proto.Equal(got, want) {
					t.Errorf("payload %d: %v, %v", i, got, err)
				}
				p.Data[len(p.Data)/2] ^= 1
				if got, err := d.Open(p); !errors.Is(err, converter.ErrNotAuthentic) || got != nil {
					t.Errorf("payload %d, changed: %v, %v", i, got, err)
				}
				opened++
			}
		})
	}
	if opened < 10 {
		t.Errorf("%d payloads were opened", opened)
	}
}

func (f fixture) tink(t *testing.T) (*keyimport.Keys, error) {
	t.Helper()
	if f.KEK == "" {
		return keyimport.Tink([]byte(f.Keyset))
	}
	handle, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(strings.NewReader(f.KEK)))
	if err != nil {
		t.Fatal(err)
	}
	primitive, err := aead.New(handle)
	if err != nil {
		t.Fatal(err)
	}
	return keyimport.EncryptedTink(t.Context(), []byte(f.Keyset), fileKEK{primitive})
}

func TestTheStateOfTheKeyDecides(t *testing.T) {
	w := newWorld(t)
	d := w.decoder()
	p := &commonpb.Payload{Metadata: map[string][]byte{"encoding": []byte("binary/encrypted"), "encryption-key-id": []byte("old")}, Data: bytes.Repeat([]byte{7}, 60)}
	other := proto.CloneOf(p)
	other.Metadata["encryption-key-id"] = []byte("another")
	plain := &commonpb.Payload{Metadata: map[string][]byte{"encoding": []byte("json/plain")}, Data: []byte("1")}
	envelope := proto.CloneOf(p)
	envelope.Metadata["encryption-dek"] = []byte("x")
	want := func(about string, p *commonpb.Payload, kind error, says string) {
		t.Helper()
		got, err := d.Open(p)
		if !errors.Is(err, kind) || got != nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, %v; want %v with %q", about, got, err, kind, says)
		}
		if _, takes := d.Takes(p); takes != (kind != converter.ErrNotSealed) {
			t.Errorf("%s: taken: %t", about, takes)
		}
	}
	want("without any key", p, converter.ErrNotSealed, "")
	in, err := keyimport.AES(make([]byte, 32), keyimport.Raw)
	w.imports(in, err, keys.Legacy{Codec: keys.LegacyAESGCM, KeyID: "old"})
	legacy, err := w.ring.Legacy(name)
	if err != nil {
		t.Fatal(err)
	}
	id := legacy[0].ID
	want("forged", p, converter.ErrNotAuthentic, "")
	if key, _ := d.Takes(p); key != name+"/"+id.String() {
		t.Errorf("the key is %q", key)
	}
	want("under another key", other, converter.ErrKeyUnavailable, `no key "another": import it with "signet keyset import ns/payments"`)
	want("in clear", plain, converter.ErrNotSealed, "")
	want("in another format", envelope, converter.ErrNotSealed, "")
	w.step(func(k *keys.Keyset) (*keys.Keyset, error) { return rotate.PlanDisable(k, id, true, time.Now()) })
	want("disabled", p, converter.ErrKeyUnavailable, "is disabled: enable it again")
	w.step(func(k *keys.Keyset) (*keys.Keyset, error) {
		return rotate.PlanScheduleDestroy(k, id, rotate.DestroyOptions{Evidence: rotate.Evidence{AllowKeyInUse: true}}, time.Now().Add(-time.Hour*24*30))
	})
	w.step(func(k *keys.Keyset) (*keys.Keyset, error) {
		return rotate.PlanDestroy(k, id, rotate.Evidence{AllowKeyInUse: true}, time.Now())
	})
	want("destroyed", p, converter.ErrKeyDestroyed, id.String())
}

func TestADecoderWithoutItsKeysetIsNotMade(t *testing.T) {
	w := newWorld(t)
	for _, names := range [][]string{nil, {"ns/other"}, {name, "ns/other"}} {
		if d, err := legacykeys.New(w.ring, names...); err == nil || d != nil {
			t.Errorf("%v: %v, %v", names, d, err)
		}
	}
	if d, err := legacykeys.New(nil, name); err == nil || d != nil {
		t.Errorf("no ring: %v, %v", d, err)
	}
}
