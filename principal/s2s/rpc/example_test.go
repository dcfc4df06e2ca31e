package rpc_test

import (
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/signet-temporal/signet/principal/s2s"
	"github.com/signet-temporal/signet/principal/s2s/downstream"
	"github.com/signet-temporal/signet/principal/s2s/rpc"
)

// A worker dials the services that its activities call with credentials of its own.
func ExampleNewCredentials() {
	dial := func(tokens *s2s.Cache) (*grpc.ClientConn, error) {
		payments := s2s.Credentials{Tokens: tokens, Audience: "payments"}
		shown, err := rpc.NewCredentials(payments)
		if err != nil {
			return nil, err
		}
		return grpc.NewClient("payments.internal:443", grpc.WithTransportCredentials(credentials.NewTLS(nil)),
			grpc.WithPerRPCCredentials(shown), grpc.WithUnaryInterceptor(rpc.RetryRefused(payments)))
	}
	_ = dial
}

// The service that is called lets in what its gate admits.
func ExampleUnaryServerInterceptor() {
	serve := func(gate *downstream.Gate, tls credentials.TransportCredentials) *grpc.Server {
		return grpc.NewServer(grpc.Creds(tls),
			grpc.UnaryInterceptor(rpc.UnaryServerInterceptor(gate)),
			grpc.StreamInterceptor(rpc.StreamServerInterceptor(gate)))
	}
	_ = serve
}
