package rpc

import (
	"context"
	"errors"
	"net/http"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/signet-temporal/signet/principal/s2s/downstream"
)

// UnaryServerInterceptor lets in the calls that gate admits. The handler's context has the principal and the caller, and
// its metadata neither the token nor the forwarded keys.
func UnaryServerInterceptor(gate *downstream.Gate) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		ctx, err := admit(ctx, gate)
		if err != nil {
			return nil, err
		}
		return handler(ctx, req)
	}
}

// StreamServerInterceptor is [UnaryServerInterceptor] for streams. A stream is admitted once, when it begins.
func StreamServerInterceptor(gate *downstream.Gate) grpc.StreamServerInterceptor {
	return func(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
		ctx, err := admit(stream.Context(), gate)
		if err != nil {
			return err
		}
		return handler(srv, admitted{stream, ctx})
	}
}

type admitted struct {
	grpc.ServerStream
	ctx context.Context
}

func (a admitted) Context() context.Context { return a.ctx }

// admit returns an error that grpc sends as a status.
func admit(ctx context.Context, gate *downstream.Gate) (context.Context, error) {
	md, _ := metadata.FromIncomingContext(ctx) // a copy
	ctx, err := gate.Admit(ctx, md)
	if err != nil {
		return nil, toStatus(err)
	}
	return metadata.NewIncomingContext(ctx, md), nil
}

func toStatus(err error) error {
	var refusal *downstream.Refusal
	if !errors.As(err, &refusal) {
		return status.Error(codes.Internal, "internal error")
	}
	code := codes.Unavailable
	switch refusal.Status {
	case http.StatusBadRequest:
		code = codes.InvalidArgument
	case http.StatusUnauthorized:
		code = codes.Unauthenticated
	case http.StatusForbidden:
		code = codes.PermissionDenied
	}
	return status.Error(code, refusal.Public())
}
