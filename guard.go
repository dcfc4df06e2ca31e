package signet

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	commandpb "go.temporal.io/api/command/v1"
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/api/proxy"
	"go.temporal.io/api/serviceerror"
	updatepb "go.temporal.io/api/update/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/signet-temporal/signet/converter"
	"github.com/signet-temporal/signet/internal/wire"
)

// guard is the last look at a request before it leaves: it refuses one that carries a payload which is not sealed. It
// changes nothing, so that it may run again for every retry.
//
// Three kinds of payload pass. Headers: nothing seals them yet (docs/threat-model.md). Search attributes: the server must
// read them. And what the SDK only sends back as the server sent it: refusing that would hold up a workflow because of
// somebody else's plaintext. A schedule that is saved is sent back, too, and holds up nobody: of what another codec sealed
// in it, that passes which a legacy decoder opens.
type guard struct {
	allowPlaintext bool
	legacy         []converter.Legacy
}

// Marks in the context of a visit: inside a part that the server has sent before; inside a command to continue as new.
type (
	echo      struct{}
	continued struct{}
)

func (g guard) intercept(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	message, ok := req.(proto.Message)
	if !ok || !strings.HasPrefix(method, "/temporal.api.workflowservice.") || g.echoes(message) {
		return invoke(ctx, method, req, reply, cc, opts...)
	}
	_, saved := message.(*workflowservice.UpdateScheduleRequest)
	err := proxy.VisitPayloads(ctx, message, proxy.VisitPayloadsOptions{
		SkipSearchAttributes: true,
		ContextHook:          g.enter,
		Visitor: func(at *proxy.VisitPayloadsContext, payloads []*commonpb.Payload) ([]*commonpb.Payload, error) {
			if passes(at) {
				return payloads, nil
			}
			for _, p := range payloads {
				if !wire.Sealed(p.GetMetadata()) && !wire.Exempt(p.GetMetadata()) && !(saved && g.opens(p)) {
					return nil, unsealed(method, at.Parent)
				}
			}
			return payloads, nil
		},
	})
	if err != nil {
		return err
	}
	return invoke(ctx, method, req, reply, cc, opts...)
}

func (g guard) enter(ctx context.Context, part proto.Message) (context.Context, error) {
	switch part.(type) {
	case *commandpb.ContinueAsNewWorkflowExecutionCommandAttributes:
		return context.WithValue(ctx, continued{}, true), nil
	case *commonpb.Memo:
		if ctx.Value(continued{}) != nil { // the SDK hands the stored memo on, byte for byte
			return context.WithValue(ctx, echo{}, true), nil
		}
	}
	if g.echoes(part) {
		return context.WithValue(ctx, echo{}, true), nil
	}
	return ctx, nil
}

// echoes reports whether part holds what the server sent: the request of an update that is accepted or rejected, and,
// during a migration, a schedule that is saved as it was described (sdk internal_schedule_client.go).
func (g guard) echoes(part proto.Message) bool {
	switch part.(type) {
	case *updatepb.Acceptance, *updatepb.Rejection:
		return true
	case *workflowservice.UpdateScheduleRequest:
		return g.allowPlaintext
	}
	return false
}

// opens reports whether p is what a legacy codec sealed. Its marks alone would not do: anybody can write them.
func (g guard) opens(p *commonpb.Payload) bool {
	return slices.ContainsFunc(g.legacy, func(decoder converter.Legacy) bool {
		opened, err := decoder.Open(p)
		return err == nil && opened != nil
	})
}

func passes(at *proxy.VisitPayloadsContext) bool {
	_, header := at.Parent.(*commonpb.Header)
	return header || at.Value(echo{}) != nil
}

// guarded reports whether the guard stands in front of a connection: it asks through it for what the guard refuses. The
// context is over before the call begins, so that nothing is sent where there is no guard.
func guarded(c client.Client) bool {
	over, cancel := context.WithCancel(context.WithValue(context.Background(), probing{}, true))
	cancel()
	probe := &commonpb.Payload{Metadata: map[string][]byte{wire.MetadataEncoding: []byte("json/plain")}}
	_, err := c.WorkflowService().StartWorkflowExecution(over, &workflowservice.StartWorkflowExecutionRequest{
		Memo: &commonpb.Memo{Fields: map[string]*commonpb.Payload{"probe": probe}},
	})
	var refused *serviceerror.InvalidArgument
	return errors.As(err, &refused) && strings.HasPrefix(refused.Message, refusal)
}

// probing marks the context of a request that asks for the guard, and is not one of the application's.
type probing struct{}

// refusal begins the message of [unsealed].
const refusal = "signet: refused to send"

// unsealed is a status that the SDK does not retry. It says where, not what.
func unsealed(method string, parent proto.Message) error {
	call := method[strings.LastIndexByte(method, '/')+1:]
	where := parent.ProtoReflect().Descriptor().Name()
	return status.Error(codes.InvalidArgument, fmt.Sprintf(
		refusal+" %s: a payload in its %s is not sealed: look for the error that sealing it gave, or for a raw call to the service", call, where))
}
