package converter

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/tink-crypto/tink-go/v2/tink"
	commonpb "go.temporal.io/api/common/v1"
	sdk "go.temporal.io/sdk/converter"

	"github.com/signet-temporal/signet/internal/wire"
)

// Keys is what the codec needs of a key ring; *keys.Ring is one. Both methods are called for every payload, on workflow
// goroutines too: they must be safe for concurrent use and answer at once or, for a key that is not known yet, within a
// few hundred milliseconds. An error that will never go away has a method Permanent() bool that returns true.
type Keys interface {
	// Primary returns the id and the AEAD of the keyset's primary key.
	Primary(keyset string) (id uint32, aead tink.AEAD, err error)
	// Lookup returns the AEAD of one key of the keyset.
	Lookup(keyset string, id uint32) (tink.AEAD, error)
}

// CodecOptions says what a codec seals with and what it accepts. Keyset and Scope are required; with Tenants, Keyset is not.
type CodecOptions struct {
	// Keyset is the name of the keyset whose primary key seals. Payloads under it open.
	Keyset string
	// Tenants seals under a keyset for each tenant, and under Keyset only what belongs to none.
	Tenants Tenants
	// AcceptKeysets names other keysets whose payloads open as well.
	AcceptKeysets []string
	// Scope is sealed into every payload as "ns": the namespace, or a name of your own where namespaces are renamed.
	Scope string
	// AcceptScopes are other scopes whose payloads open as well: former namespaces, parents in other namespaces.
	AcceptScopes []string
	// Legacy opens payloads of other codecs, asked in this order, before AllowPlaintext is considered: for the time of a
	// migration, see docs/migration.md. What one of them takes for its own and cannot open is an error.
	Legacy []Legacy
	// AllowPlaintext lets payloads decode that are not sealed: for the time of a migration, see docs/migration.md.
	AllowPlaintext bool
	// InsecureSealNothing leaves what is encoded as it is, and opens all the same: for the first step of a migration, in
	// which every process learns to read what none writes yet.
	InsecureSealNothing bool
	// CompressMin is the size in bytes of a marshalled payload from which zstd is tried; 0 means never. The sealed size
	// then depends on the content: read "What length reveals" in docs/threat-model.md first.
	CompressMin int
	// Observer is told of every payload that is sealed, opened or refused; nil: nobody is, and nothing is measured.
	Observer Observer
}

// Codec seals and opens payloads. It implements the SDK's PayloadCodec and PayloadCodecWithSerializationContext.
// It always returns errors, also in workflows: use it through a [DataConverter] there.
type Codec struct {
	core     *core
	owner    owner
	workflow string       // the workflow id that is sealed, "" where there is none
	context  wire.Context // scope and workflow as they are sealed; nil if they cannot be
}

var (
	_ sdk.PayloadCodec                         = (*Codec)(nil)
	_ sdk.PayloadCodecWithSerializationContext = (*Codec)(nil)
)

// core is what all contexts of a codec share.
type core struct {
	keys     Keys
	options  CodecOptions
	encoding []byte
	zstd     compressor
	scratch  sync.Pool                // of *scratch
	keyID    atomic.Pointer[sealedID] // of the last primary key
}

type sealedID struct {
	keyset  string
	id      uint32
	written wire.KeyID
}

// NewCodec makes a codec. It does not look for the keyset in keys: the first payload does.
func NewCodec(keys Keys, options CodecOptions) (*Codec, error) {
	if keys == nil {
		return nil, errors.New("converter: no keys: give a keys.Ring")
	}
	if err := options.Tenants.check(options.Keyset); err != nil {
		return nil, err
	}
	options.AcceptKeysets = slices.Clone(options.AcceptKeysets)
	if options.Keyset != "" || !options.Tenants.on() {
		options.AcceptKeysets = append(options.AcceptKeysets, options.Keyset)
	}
	options.AcceptScopes = append(slices.Clone(options.AcceptScopes), options.Scope)
	options.Legacy = slices.Clone(options.Legacy)
	if slices.Contains(options.Legacy, nil) {
		return nil, errors.New("converter: CodecOptions.Legacy holds a nil decoder")
	}
	for _, name := range options.AcceptKeysets {
		if err := wire.CheckName(name); err != nil {
			return nil, fmt.Errorf("converter: %w", err)
		}
	}
	for _, scope := range options.AcceptScopes {
		if _, err := wire.NewContext(scope, ""); err != nil {
			return nil, fmt.Errorf("converter: %w: set CodecOptions.Scope to the namespace", err)
		}
	}
	zstd, err := newCompressor()
	if err != nil {
		return nil, fmt.Errorf("converter: %w", err)
	}
	c := &core{keys: keys, options: options, encoding: []byte(wire.Encoding), zstd: zstd}
	c.scratch.New = func() any { return new(scratch) }
	return c.codec(""), nil
}

func (c *core) codec(workflow string) *Codec {
	context, _ := wire.NewContext(c.options.Scope, workflow) // nil is found by Seal, which can return an error
	return &Codec{core: c, owner: c.ownerOf(workflow), workflow: workflow, context: context}
}

// unbound returns a codec that seals for no workflow in particular and opens what was sealed for any. The tenant stays.
func (c *Codec) unbound() *Codec {
	if c.workflow == "" {
		return c
	}
	n := *c
	n.workflow = ""
	n.context, _ = wire.NewContext(c.core.options.Scope, "")
	return &n
}

// WithSerializationContext returns a codec that seals for the context's workflow, and opens what was sealed for that
// workflow or for none. The namespace of the context is not used: the scope of the options counts. Cheap.
func (c *Codec) WithSerializationContext(sc sdk.SerializationContext) sdk.PayloadCodec {
	return c.forWorkflow(workflowOf(sc))
}

func (c *Codec) forWorkflow(id string) *Codec {
	if id == c.workflow && id == c.owner.workflow {
		return c
	}
	return c.core.codec(id)
}

// Encode seals each payload as [Codec.Seal] does. On an error no payload is returned.
func (c *Codec) Encode(payloads []*commonpb.Payload) ([]*commonpb.Payload, error) {
	return each(payloads, c.Seal)
}

// Decode opens each payload as [Codec.Open] does. On an error no payload is returned.
func (c *Codec) Decode(payloads []*commonpb.Payload) ([]*commonpb.Payload, error) {
	return each(payloads, c.Open)
}

func each(in []*commonpb.Payload, do func(*commonpb.Payload) (*commonpb.Payload, error)) ([]*commonpb.Payload, error) {
	out := make([]*commonpb.Payload, len(in))
	for i, p := range in {
		var err error
		if out[i], err = do(p); err != nil {
			return nil, err
		}
	}
	return out, nil
}
