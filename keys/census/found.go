package census

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/api/proxy"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/signet-temporal/signet/internal/wire"
	"github.com/signet-temporal/signet/keys"
)

// Found is what one item carries.
type Found struct {
	Keys map[string]*Use `json:"keys,omitempty"`

	Events     int64 `json:"events,omitempty"`
	Unsealed   int64 `json:"unsealed,omitempty"`
	Malformed  int64 `json:"malformed,omitempty"`
	Later      int64 `json:"later,omitempty"`
	References int64 `json:"references,omitempty"`

	Gone bool `json:"gone,omitempty"` // it was removed before it could be looked at
}

// Use is what one item carries under one key.
type Use struct {
	Payloads map[Place]int64 `json:"payloads"`
	Oldest   time.Time       `json:"oldest,omitzero"`
	Newest   time.Time       `json:"newest,omitzero"`
}

// clone copies f, which may be nil, so that an item can be looked at again.
func (f *Found) clone() *Found {
	if f == nil {
		return &Found{}
	}
	c := *f
	c.Keys = make(map[string]*Use, len(f.Keys))
	for id, u := range f.Keys {
		c.Keys[id] = &Use{Payloads: maps.Clone(u.Payloads), Oldest: u.Oldest, Newest: u.Newest}
	}
	return &c
}

// principalEncoding marks the record of a principal in a header, which is sealed in a format of its own under the same keys.
const principalEncoding = "binary/principal-v1"

// maxDepth bounds how deep envelopes of Temporal's own may stand in each other.
const maxDepth = 4

// visit counts every payload in m, search attributes excepted: the server must read those, nothing ever seals them.
func (f *Found) visit(ctx context.Context, m proto.Message, place Place, at time.Time) error {
	return f.visitAt(ctx, m, place, at, 0)
}

func (f *Found) visitAt(ctx context.Context, m proto.Message, place Place, at time.Time, depth int) error {
	return proxy.VisitPayloads(ctx, m, proxy.VisitPayloadsOptions{
		SkipSearchAttributes: true,
		Visitor: func(v *proxy.VisitPayloadsContext, payloads []*commonpb.Payload) ([]*commonpb.Payload, error) {
			where := place
			if _, ok := v.Parent.(*commonpb.Header); ok {
				where = InHeader
			}
			for _, p := range payloads {
				if err := f.payload(ctx, p, where, at, depth); err != nil {
					return nil, err
				}
			}
			return payloads, nil
		},
		WellKnownAnyVisitor: func(_ *proxy.VisitPayloadsContext, any *anypb.Any) error {
			m, err := any.UnmarshalNew()
			if err != nil || depth == maxDepth {
				f.Later++ // what is inside cannot be told
				return nil
			}
			return f.visitAt(ctx, m, place, at, depth+1)
		},
	})
}

func (f *Found) payload(ctx context.Context, p *commonpb.Payload, place Place, at time.Time, depth int) error {
	metadata := p.GetMetadata()
	if wire.Sealed(metadata) {
		outer, err := wire.Parse(metadata, p.GetData())
		switch {
		case errors.Is(err, wire.ErrVersion):
			f.Later++
		case err != nil:
			f.Malformed++
		default:
			f.use(outer.Keyset+"/"+keys.ID(outer.KeyID).String(), place, at)
		}
		return nil
	}
	switch {
	case string(metadata[wire.MetadataEncoding]) == principalEncoding:
		if id := string(metadata[wire.MetadataKeyID]); isKeyID(id) {
			f.use(id, place, at)
		} else {
			f.Malformed++
		}
	case !wire.Exempt(metadata):
		f.Unsealed++
	case string(metadata[wire.MetadataEncoding]) == "json/protobuf":
		f.References++
	default:
		return f.envelope(ctx, p, place, at, depth)
	}
	return nil
}

// envelope counts what stands in a message that Temporal itself sends as a payload.
func (f *Found) envelope(ctx context.Context, p *commonpb.Payload, place Place, at time.Time, depth int) error {
	kind, err := protoregistry.GlobalTypes.FindMessageByName(protoreflect.FullName(p.GetMetadata()["messageType"]))
	if err != nil || depth == maxDepth {
		f.Later++ // what is inside cannot be told
		return nil
	}
	m := kind.New().Interface()
	if proto.Unmarshal(p.GetData(), m) != nil {
		f.Malformed++
		return nil
	}
	if p, ok := m.(*commonpb.Payload); ok { // which the visitor does not take on its own
		return f.payload(ctx, p, place, at, depth+1)
	}
	return f.visitAt(ctx, m, place, at, depth+1)
}

func (f *Found) use(key string, place Place, at time.Time) {
	u := f.Keys[key]
	if u == nil {
		if f.Keys == nil {
			f.Keys = map[string]*Use{}
		}
		u = &Use{Payloads: map[Place]int64{}}
		f.Keys[key] = u
	}
	u.Payloads[place]++
	u.Oldest, u.Newest = earlier(u.Oldest, at), later(u.Newest, at)
}

// isKeyID reports whether text is what stands in encryption-key-id: a keyset's name, a slash, and a key id.
func isKeyID(text string) bool { return checkKeyID(text) == nil }

func checkKeyID(text string) error {
	slash := strings.LastIndexByte(text, '/')
	var id keys.ID
	if slash < 0 || keys.CheckName(text[:slash]) != nil || id.UnmarshalText([]byte(text[slash+1:])) != nil {
		return fmt.Errorf("%.220q is no key id: write <keyset>/<8 hex digits>, such as ns/payments/1f2e3d4c", text)
	}
	return nil
}
