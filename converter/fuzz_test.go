package converter

import (
	"os"
	"path/filepath"
	"testing"

	commonpb "go.temporal.io/api/common/v1"
	"google.golang.org/protobuf/proto"

	"github.com/signet-temporal/signet/internal/wire"
)

// fuzzed is a codec with the key of the vector "open-xaes" and its payload, the same in every run: what a corpus holds
// stays what it was.
func fuzzed(f *testing.F) (*Codec, *vector) {
	f.Helper()
	v := readVector(f, filepath.Join(vectorDir, "open-xaes.txt"))
	return v.codec(f), v
}

func readVector(t testing.TB, file string) *vector {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	v, err := parseVector(text)
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return v
}

// FuzzDecode: whatever is presented, nothing panics, an error comes without payloads, and nothing opens but what the
// vectors hold, which were sealed with the key.
func FuzzDecode(f *testing.F) {
	c, _ := fuzzed(f)
	files, err := filepath.Glob(filepath.Join(vectorDir, "*.txt"))
	if err != nil || len(files) < 25 {
		f.Fatalf("%d vectors to begin with, there must be at least 25: %v", len(files), err)
	}
	presented := func(encoding, keyID, context, data []byte) *commonpb.Payload {
		return &commonpb.Payload{Metadata: map[string][]byte{
			wire.MetadataEncoding: encoding, wire.MetadataKeyID: keyID, wire.MetadataContext: context,
		}, Data: data}
	}
	var genuine []*commonpb.Payload // or not: TestVectors knows which of them must not open
	for _, file := range files {
		p := readVector(f, file).presented
		m := p.GetMetadata()
		f.Add(m[wire.MetadataEncoding], m[wire.MetadataKeyID], m[wire.MetadataContext], p.GetData())
		genuine = append(genuine, presented(m[wire.MetadataEncoding], m[wire.MetadataKeyID], m[wire.MetadataContext], p.GetData()))
	}
	f.Fuzz(func(t *testing.T, encoding, keyID, context, data []byte) {
		p := presented(encoding, keyID, context, data)
		out, err := c.Decode([]*commonpb.Payload{p})
		if (err == nil) == (out == nil) {
			t.Fatalf("Decode = %v, %v", out, err)
		}
		if err != nil {
			return
		}
		for _, g := range genuine {
			if proto.Equal(p, g) {
				return
			}
		}
		t.Fatal("a payload that was never sealed opened")
	})
}

// FuzzPlaintext goes where FuzzDecode cannot: behind the seal. Whatever a holder of the key has sealed (flag, frame,
// message), nothing panics, an error comes without a payload, and an uncompressed body opens to what package proto reads.
func FuzzPlaintext(f *testing.F) {
	c, v := fuzzed(f)
	outer, err := wire.Parse(v.presented.GetMetadata(), v.presented.GetData())
	if err != nil {
		f.Fatal(err)
	}
	key, err := c.core.keys.Lookup(outer.Keyset, outer.KeyID)
	if err != nil {
		f.Fatal(err)
	}
	associated := wire.HeaderOf(v.presented.GetMetadata()).AppendAssociatedData(nil)
	inner, err := proto.Marshal(v.opensTo)
	if err != nil {
		f.Fatal(err)
	}
	plain := append([]byte{byte(wire.Plain)}, inner...)
	f.Add(plain)
	f.Add(c.core.zstd.compress(append([]byte{byte(wire.Plain)}, make([]byte, 4<<10)...)))
	f.Add([]byte{})
	f.Add([]byte{byte(wire.Zstd)})
	f.Add([]byte{2})
	f.Fuzz(func(t *testing.T, plaintext []byte) {
		data, err := key.Encrypt(plaintext, associated)
		if err != nil {
			t.Fatal(err)
		}
		opened, err := c.Open(&commonpb.Payload{Metadata: v.presented.GetMetadata(), Data: data})
		if (err == nil) == (opened == nil) {
			t.Fatalf("Open = %v, %v", opened, err)
		}
		if len(plaintext) == 0 || plaintext[0] != byte(wire.Plain) {
			return
		}
		want := new(commonpb.Payload)
		if wantErr := proto.Unmarshal(plaintext[1:], want); (err == nil) != (wantErr == nil) || err == nil && !proto.Equal(opened, want) {
			t.Fatalf("opened %v, %v; package proto reads %v, %v", opened, err, want, wantErr)
		}
	})
}
