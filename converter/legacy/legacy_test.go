package legacy

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"
	commonpb "go.temporal.io/api/common/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/signet-temporal/signet/converter"
)

// fixture is a file of testdata; the README there documents the members.
type fixture struct {
	Keys                                map[string][]byte
	Keyset, KEK, Encoding, KeyID, Binds string
	Payloads                            []struct{ Payload, OpensTo json.RawMessage }
}

func fixtures(t *testing.T, pattern string) map[string]fixture {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", pattern))
	if err != nil || len(files) < 5 {
		t.Fatalf("%d files are like %s, %v", len(files), pattern, err)
	}
	all := map[string]fixture{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var f fixture
		if err := json.Unmarshal(text, &f); err != nil || len(f.Payloads) == 0 {
			t.Fatalf("%s: %d payloads, %v", file, len(f.Payloads), err)
		}
		all[file] = f
	}
	return all
}

func (f fixture) decoder(t *testing.T) converter.Legacy {
	t.Helper()
	if f.Keyset == "" {
		d, err := NewAESGCM(f.Keys)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	o := TinkOptions{Encoding: f.Encoding, KeyID: f.KeyID}
	if f.Binds != "" {
		o.AssociatedData = func(p *commonpb.Payload) []byte { return p.GetMetadata()[f.Binds] }
	}
	d, err := NewTink(f.aead(t), o)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func (f fixture) aead(t *testing.T) tink.AEAD {
	t.Helper()
	if f.KEK == "" {
		return cleartext(t, f.Keyset)
	}
	handle, err := keyset.Read(keyset.NewJSONReader(strings.NewReader(f.Keyset)), cleartext(t, f.KEK))
	if err != nil {
		t.Fatal(err)
	}
	return primitive(t, handle)
}

func cleartext(t *testing.T, text string) tink.AEAD {
	t.Helper()
	handle, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(strings.NewReader(text)))
	if err != nil {
		t.Fatal(err)
	}
	return primitive(t, handle)
}

func primitive(t *testing.T, handle *keyset.Handle) tink.AEAD {
	t.Helper()
	a, err := aead.New(handle)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func payload(t *testing.T, text []byte) *commonpb.Payload {
	t.Helper()
	p := &commonpb.Payload{}
	if err := protojson.Unmarshal(text, p); err != nil {
		t.Fatal(err)
	}
	return p
}

// TestWhatOthersSealedOpensAndNothingElse runs over payloads that were made by other programs: each opens, and does not
// any more when one bit of it, its keys or what it is bound to is another.
func TestWhatOthersSealedOpensAndNothingElse(t *testing.T) {
	all := fixtures(t, "aesgcm-*.json")
	maps.Copy(all, fixtures(t, "tink-*.json"))
	for file, f := range all {
		d := f.decoder(t)
		for i, e := range f.Payloads {
			p, want := payload(t, e.Payload), payload(t, e.OpensTo)
			before := proto.Clone(p)
			got, err := d.Open(p)
			if err != nil || !proto.Equal(got, want) {
				t.Errorf("%s, payload %d: %v, %v", file, i, got, err)
				continue
			}
			if !proto.Equal(p, before) {
				t.Errorf("%s, payload %d: Open changed its argument", file, i)
			}
			for at := range p.Data {
				p.Data[at] ^= 1
				if got, err := d.Open(p); !errors.Is(err, converter.ErrNotAuthentic) || got != nil {
					t.Fatalf("%s, payload %d with byte %d changed: %v, %v", file, i, at, got, err)
				}
				p.Data[at] ^= 1
			}
			if f.Binds != "" {
				p.Metadata[f.Binds] = []byte("orders")
				if got, err := d.Open(p); !errors.Is(err, converter.ErrNotAuthentic) || got != nil {
					t.Errorf("%s, payload %d of another namespace: %v, %v", file, i, got, err)
				}
			}
		}
	}
}

func TestADecoderTakesOnlyItsOwnFormat(t *testing.T) {
	sample, err := NewAESGCM(map[string][]byte{"k": bytes.Repeat([]byte{1}, 32)})
	if err != nil {
		t.Fatal(err)
	}
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		t.Fatal(err)
	}
	anyID, err := NewTink(primitive(t, handle), TinkOptions{Encoding: "binary/tink"})
	if err != nil {
		t.Fatal(err)
	}
	oneID, err := NewTink(primitive(t, handle), TinkOptions{Encoding: "binary/tink", KeyID: "old"})
	if err != nil {
		t.Fatal(err)
	}
	type meta = map[string]string
	for _, tc := range []struct {
		about string
		meta  meta
		mine  []converter.Legacy // the others say that it is not theirs
		kind  error              // of trouble where it is
	}{
		{"plaintext", meta{"encoding": "json/plain"}, nil, nil},
		{"no metadata", nil, nil, nil},
		{"encrypted by who knows whom", meta{"encoding": "binary/encrypted"}, nil, nil},
		{"an envelope with its key", meta{"encoding": "binary/encrypted", "encryption-key-id": "k", "encryption-dek": "x"}, nil, nil},
		{"the sample's", meta{"encoding": "binary/encrypted", "encryption-key-id": "k"}, []converter.Legacy{sample}, converter.ErrMalformed},
		{"the sample's, of Java", meta{"encoding": "binary/encrypted", "encryption-key-id": "k", "encryption-cipher": "AES/GCM/NoPadding"}, []converter.Legacy{sample}, converter.ErrMalformed},
		{"the sample's, under a key we do not have", meta{"encoding": "binary/encrypted", "encryption-key-id": "other"}, []converter.Legacy{sample}, converter.ErrKeyUnavailable},
		{"Tink's", meta{"encoding": "binary/tink"}, []converter.Legacy{anyID}, converter.ErrNotAuthentic},
		{"Tink's, with the key id", meta{"encoding": "binary/tink", "encryption-key-id": "old"}, []converter.Legacy{anyID, oneID}, converter.ErrNotAuthentic},
		{"Tink's, with another key id", meta{"encoding": "binary/tink", "encryption-key-id": "new"}, []converter.Legacy{anyID}, converter.ErrNotAuthentic},
	} {
		p := &commonpb.Payload{Metadata: map[string][]byte{}, Data: []byte("short")}
		for k, v := range tc.meta {
			p.Metadata[k] = []byte(v)
		}
		for _, d := range []converter.Legacy{sample, anyID, oneID} {
			want := converter.ErrNotSealed
			if slices.Contains(tc.mine, d) {
				want = tc.kind
			}
			if got, err := d.Open(p); !errors.Is(err, want) || got != nil {
				t.Errorf("%s, decoder %T: %v, %v; want %v", tc.about, d, got, err, want)
			}
		}
	}
}

func TestWhatIsNoPayloadInsideIsMalformed(t *testing.T) {
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		t.Fatal(err)
	}
	a := primitive(t, handle)
	d, err := NewTink(a, TinkOptions{Encoding: "e"})
	if err != nil {
		t.Fatal(err)
	}
	data, err := a.Encrypt([]byte("SECRET"), nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := d.Open(&commonpb.Payload{Metadata: map[string][]byte{"encoding": []byte("e")}, Data: data})
	if !errors.Is(err, converter.ErrMalformed) || got != nil || strings.Contains(err.Error(), "SECRET") {
		t.Errorf("%v, %v", got, err)
	}
}

func TestADecoderThatCannotWorkIsNotMade(t *testing.T) {
	for _, keys := range []map[string][]byte{nil, {"k": nil}, {"k": make([]byte, 31)}} {
		if d, err := NewAESGCM(keys); err == nil || d != nil {
			t.Errorf("keys %v: %v, %v", keys, d, err)
		}
	}
	if d, err := NewTink(nil, TinkOptions{Encoding: "e"}); err == nil || d != nil {
		t.Errorf("no AEAD: %v, %v", d, err)
	}
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		t.Fatal(err)
	}
	if d, err := NewTink(primitive(t, handle), TinkOptions{}); err == nil || d != nil {
		t.Errorf("no encoding: %v, %v", d, err)
	}
}
