package legacytink

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/tink/go/aead"
	"github.com/google/tink/go/insecurecleartextkeyset"
	"github.com/google/tink/go/keyset"
	tinkpb "github.com/google/tink/go/proto/tink_go_proto"
	"github.com/google/tink/go/tink"
	commonpb "go.temporal.io/api/common/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

var update = flag.Bool("update", false, "make the fixtures anew")

const dir = "../../converter/legacy/testdata"

// fixture is one file tink-*.json; the README there documents the members.
type fixture struct {
	About    string     `json:"about"`
	Keyset   string     `json:"keyset"`        // Tink's JSON: in clear, or encrypted under the key in KEK
	KEK      string     `json:"kek,omitempty"` // a keyset in clear
	Encoding string     `json:"encoding"`
	KeyID    string     `json:"keyID,omitempty"`
	Binds    string     `json:"binds,omitempty"` // the metadata whose value is the associated data
	Payloads []exchange `json:"payloads"`
}

type exchange struct {
	Payload json.RawMessage `json:"payload"`
	OpensTo json.RawMessage `json:"opensTo"`
}

type recipe struct {
	about, keyID, binds string
	templates           []*tinkpb.KeyTemplate // each sealed a payload while it was primary; the last one stayed
	encrypted           bool
}

var recipes = map[string]recipe{
	"tink-aes256gcm":           {about: "AES256-GCM, keyset in clear", templates: []*tinkpb.KeyTemplate{aead.AES256GCMKeyTemplate()}},
	"tink-aes128gcm":           {about: "AES128-GCM, keyset in clear", templates: []*tinkpb.KeyTemplate{aead.AES128GCMKeyTemplate()}},
	"tink-no-prefix":           {about: "AES256-GCM without Tink's prefix", templates: []*tinkpb.KeyTemplate{aead.AES256GCMNoPrefixKeyTemplate()}},
	"tink-aes256ctrhmac":       {about: "AES256-CTR with HMAC-SHA256", templates: []*tinkpb.KeyTemplate{aead.AES256CTRHMACSHA256KeyTemplate()}},
	"tink-chacha20poly1305":    {about: "ChaCha20-Poly1305", templates: []*tinkpb.KeyTemplate{aead.ChaCha20Poly1305KeyTemplate()}},
	"tink-xchacha20poly1305":   {about: "XChaCha20-Poly1305", templates: []*tinkpb.KeyTemplate{aead.XChaCha20Poly1305KeyTemplate()}},
	"tink-encrypted-keyset":    {about: "AES256-GCM, keyset encrypted under another key", templates: []*tinkpb.KeyTemplate{aead.AES256GCMKeyTemplate()}, encrypted: true},
	"tink-rotated-bound":       {about: "a keyset that was rotated once; a key id, and a namespace as associated data", keyID: "payments-2023", binds: "namespace", templates: []*tinkpb.KeyTemplate{aead.AES256GCMKeyTemplate(), aead.AES256GCMKeyTemplate()}},
	"tink-rotated-to-xchacha":  {about: "a keyset of two kinds of key", templates: []*tinkpb.KeyTemplate{aead.AES128GCMKeyTemplate(), aead.XChaCha20Poly1305KeyTemplate()}},
	"tink-encrypted-and-bound": {about: "an encrypted keyset, and a namespace as associated data", binds: "namespace", templates: []*tinkpb.KeyTemplate{aead.AES256CTRHMACSHA256KeyTemplate()}, encrypted: true},
}

// TestTheArchivedLibraryMadeTheFixtures opens every fixture with the library that made it. With -update it makes them.
func TestTheArchivedLibraryMadeTheFixtures(t *testing.T) {
	if *update {
		for name, r := range recipes {
			text, err := json.MarshalIndent(r.make(t), "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, name+".json"), append(text, '\n'), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, r := range recipes {
		f := load(t, name)
		if f.About != r.about || len(f.Payloads) != len(r.templates) {
			t.Errorf("%s is not what its recipe says", name)
		}
		primitive := f.open(t)
		for i, e := range f.Payloads {
			p := parse(t, e.Payload)
			plaintext, err := primitive.Decrypt(p.GetData(), p.GetMetadata()[f.Binds])
			if err != nil {
				t.Errorf("%s, payload %d: %v", name, i, err)
				continue
			}
			inner := &commonpb.Payload{}
			if err := proto.Unmarshal(plaintext, inner); err != nil || !proto.Equal(inner, parse(t, e.OpensTo)) {
				t.Errorf("%s, payload %d: %v, %v", name, i, inner, err)
			}
		}
	}
}

func (r recipe) make(t *testing.T) fixture {
	f := fixture{About: r.about, Encoding: "binary/tink", KeyID: r.keyID, Binds: r.binds}
	manager := keyset.NewManager()
	var handle *keyset.Handle
	for i, template := range r.templates {
		id, err := manager.Add(template)
		must(t, err)
		must(t, manager.SetPrimary(id))
		handle, err = manager.Handle()
		must(t, err)
		f.Payloads = append(f.Payloads, r.seal(t, handle, byte(i)))
	}
	keyset, kek := &bytes.Buffer{}, &bytes.Buffer{}
	if r.encrypted {
		key := newHandle(t)
		must(t, insecurecleartextkeyset.Write(key, newWriter(kek)))
		must(t, handle.Write(newWriter(keyset), primitiveOf(t, key)))
	} else {
		must(t, insecurecleartextkeyset.Write(handle, newWriter(keyset)))
	}
	f.Keyset, f.KEK = strings.TrimSpace(keyset.String()), strings.TrimSpace(kek.String())
	return f
}

func (r recipe) seal(t *testing.T, handle *keyset.Handle, n byte) exchange {
	inner := &commonpb.Payload{Metadata: map[string][]byte{"encoding": []byte("json/plain")}, Data: []byte(`"made with the archived library, ` + string('1'+n) + `"`)}
	outer := &commonpb.Payload{Metadata: map[string][]byte{"encoding": []byte("binary/tink")}}
	if r.keyID != "" {
		outer.Metadata["encryption-key-id"] = []byte(r.keyID)
	}
	if r.binds != "" {
		outer.Metadata[r.binds] = []byte("payments")
	}
	plaintext, err := proto.Marshal(inner)
	must(t, err)
	outer.Data, err = primitiveOf(t, handle).Encrypt(plaintext, outer.Metadata[r.binds])
	must(t, err)
	return exchange{Payload: written(t, outer), OpensTo: written(t, inner)}
}

func (f fixture) open(t *testing.T) tink.AEAD {
	if f.KEK == "" {
		return primitiveOf(t, cleartext(t, f.Keyset))
	}
	handle, err := keyset.Read(keyset.NewJSONReader(strings.NewReader(f.Keyset)), primitiveOf(t, cleartext(t, f.KEK)))
	must(t, err)
	return primitiveOf(t, handle)
}

func load(t *testing.T, name string) (f fixture) {
	text, err := os.ReadFile(filepath.Join(dir, name+".json"))
	must(t, err)
	must(t, json.Unmarshal(text, &f))
	return f
}

func cleartext(t *testing.T, text string) *keyset.Handle {
	handle, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(strings.NewReader(text)))
	must(t, err)
	return handle
}

func newHandle(t *testing.T) *keyset.Handle {
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	must(t, err)
	return handle
}

func newWriter(to *bytes.Buffer) keyset.Writer { return keyset.NewJSONWriter(to) }

func primitiveOf(t *testing.T, handle *keyset.Handle) tink.AEAD {
	primitive, err := aead.New(handle)
	must(t, err)
	return primitive
}

func parse(t *testing.T, text []byte) *commonpb.Payload {
	p := &commonpb.Payload{}
	must(t, protojson.Unmarshal(text, p))
	return p
}

func written(t *testing.T, p *commonpb.Payload) json.RawMessage {
	text, err := protojson.Marshal(p)
	must(t, err)
	return text
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
