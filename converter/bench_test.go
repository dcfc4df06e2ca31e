package converter

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/tink-crypto/tink-go/v2/aead"
	tinkpb "github.com/tink-crypto/tink-go/v2/proto/tink_go_proto"
	commonpb "go.temporal.io/api/common/v1"
	sdk "go.temporal.io/sdk/converter"
	"google.golang.org/protobuf/proto"
)

// The baselines stand in the same run, because these figures only mean something as ratios:
//
//	go test -run '^$' -bench . -benchmem ./converter
//
// "sample" is an AES-GCM codec in the format that Temporal's SDK samples share (binary/encrypted, encryption-key-id,
// nonce before ciphertext, no associated data), written for this comparison.

var benchSizes = []int{100, 1 << 10, 64 << 10, 1 << 20}

func benchPayload(size int) *commonpb.Payload {
	data := make([]byte, size)
	_, _ = rand.Read(data)
	return &commonpb.Payload{Metadata: map[string][]byte{"encoding": []byte("json/plain")}, Data: data}
}

func benchCodec(b *testing.B, template *tinkpb.KeyTemplate) sdk.PayloadCodec {
	b.Helper()
	c, err := NewCodec(newKeys(b, template, "ns/default"), CodecOptions{Keyset: "ns/default", Scope: "default"})
	if err != nil {
		b.Fatal(err)
	}
	return c.WithSerializationContext(sdk.WorkflowSerializationContext{Namespace: "default", WorkflowID: "order-1234567890123"})
}

func BenchmarkEncode(b *testing.B) {
	for _, size := range benchSizes {
		p := []*commonpb.Payload{benchPayload(size)}
		plaintext, _ := proto.Marshal(p[0])
		plaintext = append([]byte{0}, plaintext...)
		associated := make([]byte, 120)
		for name, template := range benchTypes() {
			_, key, _ := newKeys(b, template, "k").Primary("k")
			b.Run(fmt.Sprintf("size=%d/tink-%s", size, name), func(b *testing.B) {
				measure(b, size, func() error { _, err := key.Encrypt(plaintext, associated); return err })
			})
			codec := benchCodec(b, template)
			b.Run(fmt.Sprintf("size=%d/signet-%s", size, name), func(b *testing.B) {
				measure(b, size, func() error { _, err := codec.Encode(p); return err })
			})
		}
		bare := newGCM()
		b.Run(fmt.Sprintf("size=%d/bare-gcm-seal", size), func(b *testing.B) {
			measure(b, size, func() error {
				nonce := make([]byte, bare.NonceSize(), bare.NonceSize()+len(plaintext)+bare.Overhead())
				_, err := rand.Read(nonce)
				bare.Seal(nonce, nonce, plaintext, nil)
				return err
			})
		})
		sample := sampleCodec{gcm: newGCM()}
		b.Run(fmt.Sprintf("size=%d/sample", size), func(b *testing.B) {
			measure(b, size, func() error { _, err := sample.Encode(p); return err })
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, size := range benchSizes {
		p := []*commonpb.Payload{benchPayload(size)}
		plaintext, _ := proto.Marshal(p[0])
		associated := make([]byte, 120)
		codecs := map[string]sdk.PayloadCodec{"sample": sampleCodec{gcm: newGCM()}}
		for name, template := range benchTypes() {
			_, key, _ := newKeys(b, template, "k").Primary("k")
			ciphertext, _ := key.Encrypt(plaintext, associated)
			b.Run(fmt.Sprintf("size=%d/tink-%s", size, name), func(b *testing.B) {
				measure(b, size, func() error { _, err := key.Decrypt(ciphertext, associated); return err })
			})
			codecs["signet-"+name] = benchCodec(b, template)
		}
		for name, codec := range codecs {
			sealed, err := codec.Encode(p)
			if err != nil {
				b.Fatal(err)
			}
			b.Run(fmt.Sprintf("size=%d/%s", size, name), func(b *testing.B) {
				measure(b, size, func() error { _, err := codec.Decode(sealed); return err })
			})
		}
	}
}

// BenchmarkManyGoroutines seals and opens 1 KiB from 64 goroutines at once (with GOMAXPROCS=2; see SetParallelism). A lock on
// the way would show beside the same work by one goroutine, and in -mutexprofile:
//
//	go test -run '^$' -bench ManyGoroutines -cpu 1,2 -mutexprofile mutex.prof ./converter
func BenchmarkManyGoroutines(b *testing.B) {
	p := []*commonpb.Payload{benchPayload(1 << 10)}
	for name, codec := range map[string]sdk.PayloadCodec{"signet-xaes": benchCodec(b, benchTypes()["xaes"]), "sample": sampleCodec{gcm: newGCM()}} {
		b.Run(name, func(b *testing.B) {
			b.SetParallelism(32)
			b.SetBytes(1 << 10)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					sealed, err := codec.Encode(p)
					if err == nil {
						_, err = codec.Decode(sealed)
					}
					if err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}

// TestSealingAddsAFixedNumberOfBytes holds what docs/threat-model.md says of length, and the budget of 200 bytes: for the
// namespace "default" and a workflow id of 20 characters, whatever the payload's size.
func TestSealingAddsAFixedNumberOfBytes(t *testing.T) {
	for name, want := range map[string]int{"xaes": 195, "gcm": 183} {
		c, err := NewCodec(newKeys(t, benchTypes()[name], "ns/default"), CodecOptions{Keyset: "ns/default", Scope: "default"})
		if err != nil {
			t.Fatal(err)
		}
		codec := c.WithSerializationContext(sdk.WorkflowSerializationContext{Namespace: "default", WorkflowID: "order-12345678901234"})
		for _, size := range []int{1000, 5000, 10000} {
			p := []*commonpb.Payload{benchPayload(size)}
			sealed, err := codec.Encode(p)
			if err != nil {
				t.Fatal(err)
			}
			added := proto.Size(sealed[0]) - proto.Size(p[0])
			if added != want || added > 200 {
				t.Errorf("%s: sealing %d bytes adds %d, want %d and never more than 200", name, size, added, want)
			}
		}
	}
}

// TestSealingAllocatesLittle holds the budget for 1 KiB: at most five allocations more than Tink's own Encrypt of the same
// bytes, and four more than its Decrypt. An observer adds none.
func TestSealingAllocatesLittle(t *testing.T) {
	sealingAllocatesLittle(t, nil)
	sealingAllocatesLittle(t, new(counts))
}

func sealingAllocatesLittle(t *testing.T, observer Observer) {
	t.Helper()
	p := []*commonpb.Payload{benchPayload(1 << 10)}
	for name, template := range benchTypes() {
		keys := newKeys(t, template, "ns/default")
		c, err := NewCodec(keys, CodecOptions{Keyset: "ns/default", Scope: "default", Observer: observer})
		if err != nil {
			t.Fatal(err)
		}
		codec := c.WithSerializationContext(sdk.WorkflowSerializationContext{WorkflowID: "order-1234567890123"})
		_, key, _ := keys.Primary("ns/default")
		plaintext, associated := make([]byte, proto.Size(p[0])+1), make([]byte, 120)
		base := leastAllocs(func() { _, _ = key.Encrypt(plaintext, associated) })
		ours := leastAllocs(func() { _, _ = codec.Encode(p) })
		t.Logf("%s: Tink %v, Encode %v allocations", name, base, ours)
		if ours > base+5 {
			t.Errorf("%s: Encode makes %v allocations, Tink's Encrypt %v: more than 5 above", name, ours, base)
		}
		sealed, _ := codec.Encode(p)
		ad := []byte{}
		ciphertext, _ := key.Encrypt(plaintext, ad)
		base = leastAllocs(func() { _, _ = key.Decrypt(ciphertext, ad) })
		ours = leastAllocs(func() { _, _ = codec.Decode(sealed) })
		t.Logf("%s: Tink %v, Decode %v allocations", name, base, ours)
		if ours > base+4 {
			t.Errorf("%s: Decode makes %v allocations, Tink's Decrypt %v: more than 4 above", name, ours, base)
		}
	}
}

// leastAllocs is the smallest number of allocations of one call: the race detector makes a sync.Pool forget at random.
func leastAllocs(do func()) float64 {
	least := testing.AllocsPerRun(1, do)
	for range 100 {
		least = min(least, testing.AllocsPerRun(1, do))
	}
	return least
}

func benchTypes() map[string]*tinkpb.KeyTemplate {
	return map[string]*tinkpb.KeyTemplate{"xaes": aead.XAES256GCM192BitNonceKeyTemplate(), "gcm": aead.AES256GCMKeyTemplate()}
}

// measure reports, beside the time, the CPU time of the whole process: the collector works on other cores, and what a codec
// leaves to it is part of its price.
func measure(b *testing.B, size int, do func() error) {
	b.ReportAllocs()
	b.SetBytes(int64(size))
	before := processCPU(b)
	for b.Loop() {
		if err := do(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(processCPU(b)-before)/float64(b.N), "cpu-ns/op")
}

func processCPU(b *testing.B) time.Duration {
	b.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

func newGCM() cipher.AEAD {
	key := make([]byte, 32)
	_, _ = rand.Read(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	return gcm
}

type sampleCodec struct{ gcm cipher.AEAD }

func (s sampleCodec) Encode(in []*commonpb.Payload) ([]*commonpb.Payload, error) {
	out := make([]*commonpb.Payload, len(in))
	for i, p := range in {
		plaintext, err := proto.Marshal(p)
		if err != nil {
			return nil, err
		}
		nonce := make([]byte, s.gcm.NonceSize(), s.gcm.NonceSize()+len(plaintext)+s.gcm.Overhead())
		if _, err := rand.Read(nonce); err != nil {
			return nil, err
		}
		out[i] = &commonpb.Payload{
			Metadata: map[string][]byte{"encoding": []byte("binary/encrypted"), "encryption-key-id": []byte("test")},
			Data:     s.gcm.Seal(nonce, nonce, plaintext, nil),
		}
	}
	return out, nil
}

func (s sampleCodec) Decode(in []*commonpb.Payload) ([]*commonpb.Payload, error) {
	out := make([]*commonpb.Payload, len(in))
	for i, p := range in {
		n := s.gcm.NonceSize()
		plaintext, err := s.gcm.Open(nil, p.Data[:n], p.Data[n:], nil)
		if err != nil {
			return nil, err
		}
		out[i] = new(commonpb.Payload)
		if err := proto.Unmarshal(plaintext, out[i]); err != nil {
			return nil, err
		}
	}
	return out, nil
}
