// Package rpc is package s2s and package downstream for gRPC.
package rpc

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/signet-temporal/signet/principal/s2s"
)

// NewCredentials returns credentials for grpc.WithPerRPCCredentials, which show with every call who calls and, by the
// principal in the call's context, for whom. They are sent over TLS alone; which server that is, the connection decides.
//
// A call that must not be made fails with PermissionDenied before it is sent, and one for which no token is to be had with
// Unavailable. Per-RPC credentials can add metadata and cannot remove any, so a call whose outgoing metadata has one of
// these keys already is refused; s2s.Strip removes them.
func NewCredentials(c s2s.Credentials) (credentials.PerRPCCredentials, error) {
	if err := c.Check(); err != nil {
		return nil, fmt.Errorf("rpc.NewCredentials: %w", err)
	}
	return perCall{c}, nil
}

type perCall struct{ credentials s2s.Credentials }

// RequireTransportSecurity implements credentials.PerRPCCredentials.
func (perCall) RequireTransportSecurity() bool { return true }

// GetRequestMetadata implements credentials.PerRPCCredentials.
func (c perCall) GetRequestMetadata(ctx context.Context, _ ...string) (map[string]string, error) {
	if info, ok := credentials.RequestInfoFromContext(ctx); ok && credentials.CheckSecurityLevel(info.AuthInfo, credentials.PrivacyAndIntegrity) != nil {
		return nil, status.Error(codes.PermissionDenied, "s2s: call refused: the connection has no TLS: credentials are not sent in clear")
	}
	if md, ok := metadata.FromOutgoingContext(ctx); ok {
		before := len(md)
		if s2s.Strip(md); len(md) != before { // md is a copy
			return nil, status.Error(codes.PermissionDenied, "s2s: call refused: the outgoing metadata has an authorization or x-forwarded key already: remove it with s2s.Strip")
		}
	}
	shown := map[string]string{}
	_, err := c.credentials.Write(ctx, func(name, value string) { shown[strings.ToLower(name)] = value })
	switch {
	case errors.Is(err, s2s.ErrRefused):
		return nil, status.Error(codes.PermissionDenied, err.Error())
	case ctx.Err() != nil:
		return nil, status.FromContextError(ctx.Err()).Err()
	case err != nil:
		return nil, status.Error(codes.Unavailable, err.Error())
	}
	return shown, nil
}
