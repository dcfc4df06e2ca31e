package verify

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// Unary is the interceptor of unary calls, a [grpc.UnaryServerInterceptor]: for grpc.ChainUnaryInterceptor, together with
// [Edge.Stream]. It looks at the call's authorization metadata as Handler does at the header. A refused call gets the
// status Unauthenticated, PermissionDenied or Unavailable, with the [Code] for a message.
func (e *Edge) Unary(ctx context.Context, request any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	ctx, err := e.admitCall(ctx)
	if err != nil {
		return nil, err
	}
	return handler(ctx, request)
}

// Stream is the same for streams, a [grpc.StreamServerInterceptor]. A stream goes on when its token has expired.
func (e *Edge) Stream(server any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	ctx, err := e.admitCall(stream.Context())
	if err != nil {
		return err
	}
	return handler(server, admitted{stream, ctx})
}

type admitted struct {
	grpc.ServerStream
	ctx context.Context
}

func (a admitted) Context() context.Context { return a.ctx }

func (e *Edge) admitCall(ctx context.Context) (context.Context, error) {
	md, _ := metadata.FromIncomingContext(ctx) // a copy
	ctx, refused := e.admit(ctx, md.Get("authorization"))
	if refused != nil {
		return nil, status.Error(grpcCode(refused.Code), string(refused.Code))
	}
	drop(md)
	return metadata.NewIncomingContext(ctx, md), nil
}

func grpcCode(code Code) codes.Code {
	switch code {
	case IssuerUnavailable:
		return codes.Unavailable
	case UnfitClaims:
		return codes.PermissionDenied
	}
	return codes.Unauthenticated
}
