package verify_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/test/bufconn"

	"github.com/signet-temporal/signet/principal"
	"github.com/signet-temporal/signet/principal/verify"
)

// doors are the three ways into a service behind one edge: an HTTP server, and unary calls and streams of a gRPC server.
type doors struct {
	grpc_health_v1.UnimplementedHealthServer
	url    string
	client grpc_health_v1.HealthClient
	seen   []visit // what came through
}

// visit is what the service sees of a request.
type visit struct {
	principal principal.Principal
	err       error // of FromContext
	header    map[string][]string
	ctx       context.Context
}

func newEdge(t *testing.T, o verify.EdgeOptions, issuers ...verify.Issuer) *verify.Edge {
	t.Helper()
	e, err := verify.NewEdge(newVerifier(t, issuers...), o)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func newDoors(t *testing.T, e *verify.Edge) *doors {
	t.Helper()
	d := &doors{}
	web := httptest.NewServer(e.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { d.visit(r.Context(), r.Header) })))
	t.Cleanup(web.Close)
	d.url = web.URL

	server := newServer(e)
	grpc_health_v1.RegisterHealthServer(server, d)
	listener := bufconn.Listen(1 << 20)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	conn, err := grpc.NewClient("passthrough:///bufconn", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	d.client = grpc_health_v1.NewHealthClient(conn)
	return d
}

func (d *doors) visit(ctx context.Context, header map[string][]string) {
	p, err := principal.FromContext(ctx)
	d.seen = append(d.seen, visit{p, err, header, ctx})
}

func (d *doors) Check(ctx context.Context, _ *grpc_health_v1.HealthCheckRequest) (*grpc_health_v1.HealthCheckResponse, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	d.visit(ctx, md)
	return &grpc_health_v1.HealthCheckResponse{}, nil
}

func (d *doors) Watch(_ *grpc_health_v1.HealthCheckRequest, stream grpc.ServerStreamingServer[grpc_health_v1.HealthCheckResponse]) error {
	md, _ := metadata.FromIncomingContext(stream.Context())
	d.visit(stream.Context(), md)
	return nil
}

// byHTTP makes a request and returns the answer and its body.
func (d *doors) byHTTP(t *testing.T, path string, header http.Header) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, d.url+path, strings.NewReader("body"))
	if err != nil {
		t.Fatal(err)
	}
	r.Header = header
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

// byGRPC makes a unary call and a stream, and returns how they ended.
func (d *doors) byGRPC(t *testing.T, header http.Header) (unary, stream error) {
	t.Helper()
	md := metadata.MD{}
	for name, values := range header {
		md.Append(name, values...)
	}
	ctx := metadata.NewOutgoingContext(t.Context(), md)
	_, unary = d.client.Check(ctx, &grpc_health_v1.HealthCheckRequest{})
	watch, err := d.client.Watch(ctx, &grpc_health_v1.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, stream = watch.Recv(); stream == io.EOF {
		stream = nil
	}
	return unary, stream
}

// enter goes through all three doors, which must be open, and returns what was seen.
func (d *doors) enter(t *testing.T, header http.Header) []visit {
	t.Helper()
	d.seen = nil
	if resp, body := d.byHTTP(t, "/", header); resp.StatusCode != http.StatusOK {
		t.Fatalf("HTTP: %s %s", resp.Status, body)
	}
	if unary, stream := d.byGRPC(t, header); unary != nil || stream != nil {
		t.Fatalf("gRPC: %v, %v", unary, stream)
	}
	if len(d.seen) != 3 {
		t.Fatalf("%d visits", len(d.seen))
	}
	return d.seen
}
