// Package migrate_test moves namespaces with running workflows to signet, step by step as docs/migration.md says, on a
// real Temporal server.
package migrate_test

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/client"
	sdk "go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"google.golang.org/protobuf/proto"

	"github.com/signet-temporal/signet"
	"github.com/signet-temporal/signet/converter"
	"github.com/signet-temporal/signet/converter/legacy"
	"github.com/signet-temporal/signet/e2e/stack"
)

const taskQueue = "wards"

// TestMain turns the workers' cache off: every task then replays its whole history, so that each worker of a step reads
// all that the others have written.
func TestMain(m *testing.M) {
	worker.SetStickyWorkflowCacheSize(0)
	os.Exit(m.Run())
}

// before is how a namespace was written before signet: nothing set, or a codec in both converters.
type before struct {
	codec  sdk.PayloadCodec // nil: in clear
	legacy []converter.Legacy
}

func (b before) client() client.Options {
	if b.codec == nil {
		return client.Options{}
	}
	dc := sdk.NewCodecDataConverter(sdk.GetDefaultDataConverter(), b.codec)
	return client.Options{
		DataConverter:    dc,
		FailureConverter: temporal.NewDefaultFailureConverter(temporal.DefaultFailureConverterOptions{DataConverter: dc, EncodeCommonAttributes: true}),
	}
}

// A step is how a process is deployed; the comments are the page's headings.
type step int

const (
	old    step = iota // as it was
	reads              // 1. Everybody reads, nobody writes
	seals              // 2. Everybody writes
	strict             // 4. Only sealed payloads
)

func (s step) String() string { return [...]string{"old", "reads", "seals", "strict"}[s] }

// options is what a process of a step gives to client.Dial.
func (b before) options(t *testing.T, s *stack.Stack, at step) client.Options {
	t.Helper()
	o := b.client()
	switch at {
	case reads:
		o.Plugins = []client.Plugin{s.Plugin(t, nil, signet.Options{Legacy: b.legacy, AllowPlaintext: b.codec == nil, InsecureSealNothing: true})}
	case seals:
		o = client.Options{Plugins: []client.Plugin{s.Plugin(t, nil, signet.Options{Legacy: b.legacy, AllowPlaintext: b.codec == nil})}}
	case strict:
		o = client.Options{Plugins: []client.Plugin{s.Plugin(t, nil, signet.Options{})}}
	}
	return o
}

// process is a client with a worker.
type process struct {
	client.Client
	stop func()
}

// deploy starts a process. It ends with the test, or when stop is called.
func deploy(t *testing.T, s *stack.Stack, namespace string, o client.Options) process {
	t.Helper()
	o.HostPort, o.Namespace, o.Logger = s.Temporal.Address, namespace, stack.Quiet
	c, err := client.Dial(o)
	if err != nil {
		t.Fatal(err)
	}
	w := worker.New(c, taskQueue, worker.Options{})
	w.RegisterWorkflow(Ward)
	w.RegisterWorkflow(Nightly)
	w.RegisterActivity(Repeat)
	w.RegisterActivity(Decline)
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	ended := false
	end := func() {
		if !ended {
			ended = true
			w.Stop()
			c.Close()
		}
	}
	t.Cleanup(end)
	return process{c, end}
}

// sampleCodec writes as the encryption samples of Temporal's SDKs do. It is written here from their documentation, and
// shares nothing with package converter/legacy.
type sampleCodec struct {
	keyID string
	key   []byte
}

func (s sampleCodec) gcm() cipher.AEAD {
	block, err := aes.NewCipher(s.key)
	if err != nil {
		panic(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	return gcm
}

func (s sampleCodec) Encode(in []*commonpb.Payload) ([]*commonpb.Payload, error) {
	return each(in, func(p *commonpb.Payload) (*commonpb.Payload, error) {
		plaintext, err := proto.Marshal(p)
		if err != nil {
			return nil, err
		}
		nonce := make([]byte, 12)
		rand.Read(nonce)
		return &commonpb.Payload{
			Metadata: map[string][]byte{"encoding": []byte("binary/encrypted"), "encryption-key-id": []byte(s.keyID)},
			Data:     s.gcm().Seal(nonce, nonce, plaintext, nil),
		}, nil
	})
}

func (s sampleCodec) Decode(in []*commonpb.Payload) ([]*commonpb.Payload, error) {
	return each(in, func(p *commonpb.Payload) (*commonpb.Payload, error) {
		if string(p.GetMetadata()["encoding"]) != "binary/encrypted" {
			return p, nil
		}
		if len(p.GetData()) < 12 {
			return nil, errors.New("ciphertext too short")
		}
		return unmarshal(s.gcm().Open(nil, p.GetData()[:12], p.GetData()[12:], nil))
	})
}

// tinkCodec writes as codecs with Tink do, bound to a namespace that stands beside the ciphertext.
type tinkCodec struct {
	aead      tink.AEAD
	namespace string
}

const tinkEncoding, tinkNamespace = "binary/tink", "namespace"

func (c tinkCodec) Encode(in []*commonpb.Payload) ([]*commonpb.Payload, error) {
	return each(in, func(p *commonpb.Payload) (*commonpb.Payload, error) {
		plaintext, err := proto.Marshal(p)
		if err != nil {
			return nil, err
		}
		data, err := c.aead.Encrypt(plaintext, []byte(c.namespace))
		return &commonpb.Payload{Metadata: map[string][]byte{"encoding": []byte(tinkEncoding), tinkNamespace: []byte(c.namespace)}, Data: data}, err
	})
}

func (c tinkCodec) Decode(in []*commonpb.Payload) ([]*commonpb.Payload, error) {
	return each(in, func(p *commonpb.Payload) (*commonpb.Payload, error) {
		if string(p.GetMetadata()["encoding"]) != tinkEncoding {
			return p, nil
		}
		return unmarshal(c.aead.Decrypt(p.GetData(), p.GetMetadata()[tinkNamespace]))
	})
}

func unmarshal(plaintext []byte, err error) (*commonpb.Payload, error) {
	if err != nil {
		return nil, err
	}
	p := &commonpb.Payload{}
	return p, proto.Unmarshal(plaintext, p)
}

func each(in []*commonpb.Payload, do func(*commonpb.Payload) (*commonpb.Payload, error)) (out []*commonpb.Payload, err error) {
	for _, p := range in {
		p, err := do(p)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

func fromSample(t *testing.T) before {
	t.Helper()
	codec := sampleCodec{"wards-2023", []byte("an old key of thirty-two letters")}
	decoder, err := legacy.NewAESGCM(map[string][]byte{codec.keyID: codec.key})
	if err != nil {
		t.Fatal(err)
	}
	return before{codec, []converter.Legacy{decoder}}
}

// fromTink uses a keyset that github.com/google/tink/go wrote, encrypted: a fixture of package converter/legacy.
func fromTink(t *testing.T, namespace string) before {
	t.Helper()
	keysetJSON, kek := tinkFixture(t, "tink-encrypted-keyset.json")
	kekHandle, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(kek))
	if err != nil {
		t.Fatal(err)
	}
	handle, err := keyset.Read(keyset.NewJSONReader(keysetJSON), primitive(t, kekHandle))
	if err != nil {
		t.Fatal(err)
	}
	decoder, err := legacy.NewTink(primitive(t, handle), legacy.TinkOptions{
		Encoding: tinkEncoding, AssociatedData: func(p *commonpb.Payload) []byte { return p.GetMetadata()[tinkNamespace] },
	})
	if err != nil {
		t.Fatal(err)
	}
	return before{tinkCodec{primitive(t, handle), namespace}, []converter.Legacy{decoder}}
}

func primitive(t *testing.T, handle *keyset.Handle) tink.AEAD {
	t.Helper()
	a, err := aead.New(handle)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

var patience = 30 * time.Second
