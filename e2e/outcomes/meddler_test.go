package outcomes_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/api/proxy"
	"go.temporal.io/sdk/client"
	sdk "go.temporal.io/sdk/converter"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/signet-temporal/signet/converter"
	"github.com/signet-temporal/signet/e2e/stack"
	"github.com/signet-temporal/signet/keys"
)

// cause is what is wrong with a payload that is read, or with the key that would seal one.
type cause string

const (
	away      cause = "key not available yet"
	destroyed cause = "key destroyed"
	tampered  cause = "tampered"
	foreign   cause = "foreign plaintext"
)

// kind is how package converter calls a cause, and reason the same as one word.
func (c cause) kind() error {
	return map[cause]error{away: converter.ErrKeyUnavailable, destroyed: converter.ErrKeyDestroyed, tampered: converter.ErrNotAuthentic, foreign: converter.ErrNotSealed}[c]
}

func (c cause) reason() string {
	return map[cause]string{away: "key-unavailable", destroyed: "key-destroyed", tampered: "not-authentic", foreign: "not-sealed"}[c]
}

// keyError is what a ring says of a key in trouble.
func (c cause) keyError() error {
	class := keys.ErrUnavailable
	if c == destroyed {
		class = keys.ErrDestroyed
	}
	return fmt.Errorf("provoked by the test: %w", class)
}

const late = "ns/late" // the keyset of the one key that is in trouble

// held is a cell's ring: that of the stack, and one key more, in which a single payload can be sealed. While there is
// trouble that key is not there, or nothing can be sealed.
type held struct {
	*keys.Ring
	id       uint32
	aead     tink.AEAD
	cause    cause
	troubled atomic.Bool // the late key is in trouble
	refuses  atomic.Bool // so is the primary key
}

func newHeld(ring *keys.Ring, c cause) (*held, error) {
	handle, err := keyset.NewHandle(aead.XAES256GCM192BitNonceKeyTemplate())
	if err != nil {
		return nil, err
	}
	primitive, err := aead.New(handle)
	if err != nil {
		return nil, err
	}
	return &held{Ring: ring, id: handle.KeysetInfo().GetPrimaryKeyId(), aead: primitive, cause: c}, nil
}

func (h *held) Primary(keyset string) (uint32, tink.AEAD, error) {
	if h.refuses.Load() {
		return 0, nil, h.cause.keyError()
	}
	return h.Ring.Primary(keyset)
}

func (h *held) Lookup(keyset string, id uint32) (tink.AEAD, error) {
	if keyset != late {
		return h.Ring.Lookup(keyset, id)
	}
	if h.troubled.Load() {
		return nil, h.cause.keyError()
	}
	return h.aead, nil
}

// sealsLate is held by whoever sealed the one payload: it has the late key, as its primary one.
type sealsLate struct{ *held }

func (h sealsLate) Primary(string) (uint32, tink.AEAD, error) { return h.id, h.aead, nil }
func (h sealsLate) Lookup(keyset string, id uint32) (tink.AEAD, error) {
	return h.Ring.Lookup(keyset, id)
}

// meddler changes payloads in what the server answers on one client's connection, those that stand in a given place. It
// is between the server and the SDK what an attacker with access to the database, or a rotation, would be.
type meddler struct {
	client.PluginBase
	held  *held
	in    string      // the place: a run of message names, as "History/HistoryEvent"; "" for none
	on    atomic.Bool // whether it meddles with what is read
	opens *converter.Codec
	seen  atomic.Int64 // payloads that it changed
}

func newMeddler(h *held, in string) (*meddler, error) {
	codec, err := converter.NewCodec(sealsLate{h}, converter.CodecOptions{Keyset: late, AcceptKeysets: []string{stack.Keyset(namespace)}, Scope: namespace})
	return &meddler{held: h, in: in, opens: codec}, err
}

func (m *meddler) Name() string { return "meddler" }

func (m *meddler) ConfigureClient(_ context.Context, o client.PluginConfigureClientOptions) error {
	connection := &o.ClientOptions.ConnectionOptions
	connection.DialOptions = append(connection.DialOptions, grpc.WithChainUnaryInterceptor(m.intercept))
	return nil
}

type path struct{}

func (m *meddler) intercept(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	err := invoke(ctx, method, req, reply, cc, opts...)
	answer, ok := reply.(proto.Message)
	if err != nil || !ok || m.in == "" || !m.on.Load() {
		return err
	}
	return proxy.VisitPayloads(context.Background(), answer, proxy.VisitPayloadsOptions{
		SkipSearchAttributes: true,
		ContextHook: func(ctx context.Context, part proto.Message) (context.Context, error) {
			return context.WithValue(ctx, path{}, m.pathOf(ctx)+"/"+string(part.ProtoReflect().Descriptor().Name())), nil
		},
		Visitor: func(at *proxy.VisitPayloadsContext, payloads []*commonpb.Payload) ([]*commonpb.Payload, error) {
			if !strings.Contains(m.pathOf(at)+"/", "/"+m.in+"/") {
				return payloads, nil
			}
			out := make([]*commonpb.Payload, len(payloads))
			for i, p := range payloads {
				var err error
				if out[i], err = m.meddle(p); err != nil {
					return nil, err
				}
				m.seen.Add(1)
			}
			return out, nil
		},
	})
}

func (m *meddler) pathOf(ctx context.Context) string {
	p, _ := ctx.Value(path{}).(string)
	return p
}

// meddle returns what the cause makes of a payload. The keys' causes show only in who holds the key: the payload is
// sealed again, for the same workflow, with the late key.
func (m *meddler) meddle(p *commonpb.Payload) (*commonpb.Payload, error) {
	switch m.held.cause {
	case tampered:
		changed := proto.Clone(p).(*commonpb.Payload)
		changed.Data[len(changed.Data)-1] ^= 1
		return changed, nil
	case foreign:
		return sdk.GetDefaultDataConverter().ToPayload("FORGED")
	}
	var context struct {
		Workflow string `json:"wf"`
	}
	if err := json.Unmarshal(p.GetMetadata()["encryption-context"], &context); err != nil {
		return nil, fmt.Errorf("what is meddled with is not sealed: %w", err)
	}
	opened, err := m.opens.Open(p)
	if err != nil {
		return nil, err
	}
	return m.opens.WithSerializationContext(sdk.WorkflowSerializationContext{WorkflowID: context.Workflow}).(*converter.Codec).Seal(opened)
}
