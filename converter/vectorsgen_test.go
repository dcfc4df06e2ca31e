package converter

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/cryptotest"

	"github.com/klauspost/compress/zstd"
	commonpb "go.temporal.io/api/common/v1"

	"github.com/signet-temporal/signet/internal/wire"
)

var update = flag.Bool("update", false, "write vectors that do not exist yet; those that do are never overwritten")

// The keys of the vectors. They are in clear for everybody: never use them for anything.
var (
	xaesKey   = vectorKey{"ns/payments", 0x1f2e3d4c, "XAES_256_GCM", bytes.Repeat([]byte{0x11}, 32)}
	oldKey    = vectorKey{"ns/payments", 0x0000abcd, "XAES_256_GCM", bytes.Repeat([]byte{0x22}, 32)}
	gcmKey    = vectorKey{"ns/payments", 0x89abcdef, "AES256_GCM", bytes.Repeat([]byte{0x33}, 32)}
	longName  = vectorKey{"Az09_/a-b.c/" + strings.Repeat("k", 188), 0xfedcba98, "XAES_256_GCM", bytes.Repeat([]byte{0x55}, 32)}
	tenantKey = vectorKey{"tenant/acme", 0x1f2e3d4c, "XAES_256_GCM", bytes.Repeat([]byte{0x44}, 32)}
)

// scene is a vector in the making: what was sealed how, what was done to it, and who opens it.
type scene struct {
	about, expect string
	by            vectorKey
	scope, wf     string // sealed; scope "" is "payments"
	inner         *commonpb.Payload
	flag          wire.Flag
	raw           []byte // the plaintext to seal instead of flag and inner
	tamper        func(*commonpb.Payload)
	present       *commonpb.Payload // shown instead of anything sealed
	readers       []vectorKey       // nil: by
	scopes        []string          // nil: "payments"
	keysets       []string          // nil: "ns/payments"
	found         string            // the decoder's workflow id
	plaintext     bool
	opensTo       *commonpb.Payload // nil: inner
}

// TestWriteVectors writes the files that are missing; run it with -update. The random bytes are fixed, so that the file
// of a new scene is the same wherever it is made.
func TestWriteVectors(t *testing.T) {
	if !*update {
		for name := range scenes() {
			if _, err := os.Stat(filepath.Join(vectorDir, name+".txt")); err != nil {
				t.Errorf("%v: go test ./converter -run TestWriteVectors -update", err)
			}
		}
		return
	}
	for name, s := range scenes() {
		file := filepath.Join(vectorDir, name+".txt")
		if _, err := os.Stat(file); err == nil {
			continue
		}
		t.Run(name, func(t *testing.T) {
			cryptotest.SetGlobalRandom(t, 1)
			if err := os.WriteFile(file, s.file(t), 0o644); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func (s scene) file(t *testing.T) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "about: %s\nexpect: %s\n", s.about, s.expect)
	if s.readers == nil {
		s.readers = []vectorKey{s.by}
	}
	for _, k := range s.readers {
		fmt.Fprintf(&b, "key: %s/%08x %s %x\n", k.keyset, k.id, k.typ, k.raw)
	}
	for _, name := range orElse(s.keysets, "ns/payments") {
		fmt.Fprintf(&b, "keyset: %s\n", name)
	}
	for _, scope := range orElse(s.scopes, "payments") {
		fmt.Fprintf(&b, "scope: %s\n", scope)
	}
	if s.found != "" {
		fmt.Fprintf(&b, "workflow: %s\n", s.found)
	}
	if s.plaintext {
		fmt.Fprintf(&b, "plaintext: allowed\n")
	}
	presented := s.present
	if presented == nil {
		presented = s.seal(t)
	}
	if s.tamper != nil {
		s.tamper(presented)
	}
	if s.expect == "payload" {
		if s.opensTo == nil {
			s.opensTo = s.inner
		}
		fmt.Fprintf(&b, "opens-to: %s\n", plainJSON(t, s.opensTo))
	}
	fmt.Fprintf(&b, "\n%s\n", plainJSON(t, presented))
	return []byte(b.String())
}

func (s scene) seal(t *testing.T) *commonpb.Payload {
	scope := s.scope
	if scope == "" {
		scope = "payments"
	}
	header, err := wire.Outer{Keyset: s.by.keyset, KeyID: s.by.id, Scope: scope, Workflow: s.wf}.Header()
	if err != nil {
		t.Fatal(err)
	}
	if s.raw == nil {
		body, err := appendPayload(nil, s.inner)
		if err != nil {
			t.Fatal(err)
		}
		if s.flag == wire.Zstd {
			body = zstdOf(t, body)
		}
		s.raw = append([]byte{byte(s.flag)}, body...)
	}
	data, err := s.by.aead(t).Encrypt(s.raw, header.AppendAssociatedData(nil))
	if err != nil {
		t.Fatal(err)
	}
	return &commonpb.Payload{Metadata: header.Metadata([]byte(wire.Encoding)), Data: data}
}

func orElse(list []string, otherwise string) []string {
	if list == nil {
		return []string{otherwise}
	}
	return list
}

func zstdOf(t *testing.T, body []byte) []byte {
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return w.EncodeAll(body, nil)
}

// plainJSON is proto JSON with its keys in order and no white space, which protojson does not promise.
func plainJSON(t *testing.T, p *commonpb.Payload) string {
	out := map[string]any{}
	if p.GetMetadata() != nil {
		m := map[string]string{}
		for k, v := range p.GetMetadata() {
			m[k] = base64.StdEncoding.EncodeToString(v)
		}
		out["metadata"] = m
	}
	if len(p.GetData()) > 0 {
		out["data"] = base64.StdEncoding.EncodeToString(p.GetData())
	}
	for _, e := range p.GetExternalPayloads() {
		sizes, _ := out["externalPayloads"].([]map[string]string)
		out["externalPayloads"] = append(sizes, map[string]string{"sizeBytes": fmt.Sprint(e.GetSizeBytes())})
	}
	text, err := json.Marshal(out)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func jsonPayload(value string) *commonpb.Payload {
	return &commonpb.Payload{Metadata: map[string][]byte{"encoding": []byte("json/plain")}, Data: []byte(value)}
}

func setMeta(key, value string) func(*commonpb.Payload) {
	return func(p *commonpb.Payload) { p.Metadata[key] = []byte(value) }
}

func dropMeta(key string) func(*commonpb.Payload) {
	return func(p *commonpb.Payload) { delete(p.Metadata, key) }
}

func cutTo(n int) func(*commonpb.Payload) {
	return func(p *commonpb.Payload) {
		if n < 0 {
			n += len(p.Data)
		}
		p.Data = p.Data[:n]
	}
}

func flip(at int) func(*commonpb.Payload) {
	return func(p *commonpb.Payload) { p.Data[(at+len(p.Data))%len(p.Data)] ^= 1 }
}

func scenes() map[string]scene {
	all := maps.Clone(openingScenes())
	maps.Copy(all, tamperedScenes())
	maps.Copy(all, malformedScenes())
	return all
}
