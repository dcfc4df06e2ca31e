package rpc_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http/httptest"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/signet-temporal/signet/principal"
	"github.com/signet-temporal/signet/principal/s2s"
	"github.com/signet-temporal/signet/principal/s2s/downstream"
	"github.com/signet-temporal/signet/principal/s2s/rpc"
)

// service remembers the context of the last call.
type service struct {
	healthpb.UnimplementedHealthServer
	ctx context.Context
}

func (s *service) Check(ctx context.Context, _ *healthpb.HealthCheckRequest) (*healthpb.HealthCheckResponse, error) {
	s.ctx = ctx
	return &healthpb.HealthCheckResponse{}, nil
}

func (s *service) Watch(_ *healthpb.HealthCheckRequest, stream grpc.ServerStreamingServer[healthpb.HealthCheckResponse]) error {
	s.ctx = stream.Context()
	return stream.Send(&healthpb.HealthCheckResponse{})
}

// tokens is a source and a verifier: a service's token is its name.
type tokens struct {
	name string
	err  error
}

func (t *tokens) Token(context.Context, string) (s2s.Token, error) {
	return s2s.NewToken(t.name, time.Now().Add(time.Hour)), t.err
}

func (t *tokens) Verify(_ context.Context, token string) (*principal.Caller, error) {
	if token == "forged" {
		return nil, errors.New("canary")
	}
	return &principal.Caller{Issuer: "vault", Subject: token}, nil
}

// start returns a client of a service behind a gate, and what dials it with other options.
func start(t *testing.T, t2 *tokens) (healthpb.HealthClient, *service, func(...grpc.DialOption) healthpb.HealthClient) {
	t.Helper()
	certified := httptest.NewTLSServer(nil) // for its certificate
	certified.Close()
	roots := x509.NewCertPool()
	roots.AddCert(certified.Certificate())

	gate, err := downstream.New(downstream.Options{Verifier: t2, Forwarders: []downstream.Forwarder{{Issuer: "vault", Subject: "workflows", Tenants: []string{"acme"}}}})
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(grpc.Creds(credentials.NewTLS(&tls.Config{Certificates: certified.TLS.Certificates, MinVersion: tls.VersionTLS12})),
		grpc.UnaryInterceptor(rpc.UnaryServerInterceptor(gate)), grpc.StreamInterceptor(rpc.StreamServerInterceptor(gate)))
	s := &service{}
	healthpb.RegisterHealthServer(server, s)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	dial := func(o ...grpc.DialOption) healthpb.HealthClient {
		t.Helper()
		conn, err := grpc.NewClient(listener.Addr().String(), append([]grpc.DialOption{grpc.WithTransportCredentials(credentials.NewClientTLSFromCert(roots, ""))}, o...)...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		return healthpb.NewHealthClient(conn)
	}
	shown, err := rpc.NewCredentials(s2s.Credentials{Tokens: t2, Audience: "payments"})
	if err != nil {
		t.Fatal(err)
	}
	return dial(grpc.WithPerRPCCredentials(shown)), s, dial
}

func ann() principal.Principal {
	return principal.Principal{Kind: principal.KindUser, Issuer: "https://idp", Subject: "ann-17", Tenant: "acme", Txn: "t-1", IssuedAt: time.Now()}
}

// calls makes a unary call and a stream.
func calls(ctx context.Context, client healthpb.HealthClient) map[string]error {
	_, unary := client.Check(ctx, &healthpb.HealthCheckRequest{})
	stream, err := client.Watch(ctx, &healthpb.HealthCheckRequest{})
	if err == nil {
		_, err = stream.Recv()
	}
	return map[string]error{"unary": unary, "stream": err}
}

func TestACallAndAStreamSayWhoCallsAndForWhom(t *testing.T) {
	client, s, _ := start(t, &tokens{name: "workflows"})
	ctx := principal.NewContext(metadata.AppendToOutgoingContext(t.Context(), "trace", "1"), ann())
	for kind, err := range calls(ctx, client) {
		if err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
		p, err := principal.FromContext(s.ctx)
		if err != nil || !p.Same(ann()) || p.Txn != "t-1" {
			t.Errorf("%s: for %#v, %v", kind, p, err)
		}
		if caller, ok := downstream.CallerFromContext(s.ctx); !ok || caller.Subject != "workflows" {
			t.Errorf("%s: by %v", kind, caller)
		}
		md, _ := metadata.FromIncomingContext(s.ctx)
		if len(md["trace"]) != 1 || md["authorization"] != nil || md["x-forwarded-user"] != nil {
			t.Errorf("%s: the handler sees %v", kind, md)
		}
	}
}

func TestACallThatMustNotBeMadeIsNotSent(t *testing.T) {
	source := &tokens{name: "workflows"}
	client, s, dial := start(t, source)
	ctx := principal.NewContext(t.Context(), ann())
	for name, c := range map[string]struct {
		ctx context.Context
		err error
		at  codes.Code
	}{
		"for nobody":            {t.Context(), nil, codes.PermissionDenied},
		"with another user":     {metadata.AppendToOutgoingContext(ctx, "x-forwarded-user", "mallory"), nil, codes.PermissionDenied},
		"with underscores":      {metadata.AppendToOutgoingContext(ctx, "x_forwarded_user", "mallory"), nil, codes.PermissionDenied},
		"with another token":    {metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer of-the-user"), nil, codes.PermissionDenied},
		"without a token":       {ctx, errors.New("Vault is away"), codes.Unavailable},
		"when the time is over": {expired(ctx), nil, codes.DeadlineExceeded},
	} {
		source.err = c.err
		for kind, err := range calls(c.ctx, client) {
			if status.Code(err) != c.at || s.ctx != nil {
				t.Errorf("%s, %s: %v", name, kind, err)
			}
		}
	}
	source.err = nil
	shown, err := rpc.NewCredentials(s2s.Credentials{Tokens: source, Audience: "payments"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := dial(grpc.WithTransportCredentials(insecure.NewCredentials())).Check(ctx, &healthpb.HealthCheckRequest{}, grpc.PerRPCCredentials(shown)); err == nil {
		t.Error("credentials are sent in clear")
	}
	source.err = context.Canceled
	if _, err := shown.GetRequestMetadata(expired(ctx)); status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("a call that is over before there is a token: %v", err)
	}
	if !shown.RequireTransportSecurity() {
		t.Error("credentials do not ask for TLS")
	}
	if _, err := rpc.NewCredentials(s2s.Credentials{}); err == nil {
		t.Error("credentials of nothing")
	}
}

// dropping is a source whose first token is refused, and which has another after a Drop.
type dropping struct {
	tokens
	willing bool // to drop
	drops   int
}

func (d *dropping) Drop(_ string, refused s2s.Token) bool {
	if refused.Reveal() != d.name {
		return false
	}
	d.drops++
	if d.willing {
		d.name = "workflows"
	}
	return d.willing
}

func TestARefusedTokenIsReplacedAndTheCallMadeOnceMore(t *testing.T) {
	ctx := principal.NewContext(t.Context(), ann())
	for name, c := range map[string]struct {
		first   string
		willing bool
		drops   int
		at      codes.Code
	}{
		"a good token":                         {"workflows", true, 0, codes.OK},
		"a refused one":                        {"forged", true, 1, codes.OK},
		"a refused one, and there is no other": {"forged", false, 1, codes.Unauthenticated},
		"of a service that may not call":       {"reports", true, 0, codes.PermissionDenied},
	} {
		_, s, dial := start(t, &tokens{})
		source := &dropping{tokens: tokens{name: c.first}, willing: c.willing}
		shown := s2s.Credentials{Tokens: source, Audience: "payments"}
		perCall, err := rpc.NewCredentials(shown)
		if err != nil {
			t.Fatal(err)
		}
		_, err = dial(grpc.WithPerRPCCredentials(perCall), grpc.WithUnaryInterceptor(rpc.RetryRefused(shown))).Check(ctx, &healthpb.HealthCheckRequest{})
		if status.Code(err) != c.at || source.drops != c.drops || (s.ctx != nil) != (c.at == codes.OK) {
			t.Errorf("%s: %v, %d drops", name, err, source.drops)
		}
	}
}

func expired(ctx context.Context) context.Context {
	ctx, cancel := context.WithTimeout(ctx, -1)
	cancel()
	return ctx
}

func TestACallThatIsNotAdmittedReachesNoHandler(t *testing.T) {
	_, s, dial := start(t, &tokens{})
	client := dial()
	for name, c := range map[string]struct {
		md []string
		at codes.Code
	}{
		"no token":              {[]string{"x-forwarded-user", "mallory", "x-forwarded-tenant", "acme"}, codes.Unauthenticated},
		"a forged token":        {[]string{"authorization", "Bearer forged", "x-forwarded-user", "mallory"}, codes.Unauthenticated},
		"who may not forward":   {[]string{"authorization", "Bearer reports", "x-forwarded-user", "mallory", "x-forwarded-tenant", "acme"}, codes.PermissionDenied},
		"a tenant out of scope": {[]string{"authorization", "Bearer workflows", "x-forwarded-user", "mallory", "x-forwarded-tenant", "globex"}, codes.PermissionDenied},
		"a user twice":          {[]string{"authorization", "Bearer workflows", "x-forwarded-user", "a", "x-forwarded-user", "b", "x-forwarded-tenant", "acme"}, codes.InvalidArgument},
		"underscores":           {[]string{"authorization", "Bearer workflows", "x-forwarded-user", "a", "x_forwarded_user", "b", "x-forwarded-tenant", "acme"}, codes.InvalidArgument},
	} {
		for kind, err := range calls(metadata.AppendToOutgoingContext(t.Context(), c.md...), client) {
			if status.Code(err) != c.at || s.ctx != nil || len(status.Convert(err).Message()) > 50 {
				t.Errorf("%s, %s: %v", name, kind, err)
			}
		}
	}
}
