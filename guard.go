package signet

import (
	"context"
	"fmt"
	"strings"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/api/proxy"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/signet-temporal/signet/internal/wire"
)

// guard is the last look at a request before it leaves: it refuses one that carries a payload which is not sealed. It
// changes nothing, so that it may run again for every retry.
//
// Headers pass: nothing seals them yet (docs/threat-model.md). Search attributes pass: the server must read them.
func guard(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	message, ok := req.(proto.Message)
	if !ok || !strings.HasPrefix(method, "/temporal.api.workflowservice.") {
		return invoke(ctx, method, req, reply, cc, opts...)
	}
	err := proxy.VisitPayloads(ctx, message, proxy.VisitPayloadsOptions{
		SkipSearchAttributes: true,
		Visitor: func(at *proxy.VisitPayloadsContext, payloads []*commonpb.Payload) ([]*commonpb.Payload, error) {
			if _, header := at.Parent.(*commonpb.Header); header {
				return payloads, nil
			}
			for _, p := range payloads {
				if !wire.Sealed(p.GetMetadata()) && !wire.Exempt(p.GetMetadata()) {
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

// unsealed is a status that the SDK does not retry. It says where, not what.
func unsealed(method string, parent proto.Message) error {
	call := method[strings.LastIndexByte(method, '/')+1:]
	where := parent.ProtoReflect().Descriptor().Name()
	return status.Error(codes.InvalidArgument, fmt.Sprintf(
		"signet: refused to send %s: a payload in its %s is not sealed: look for the error that sealing it gave, or for a raw call to the service", call, where))
}
