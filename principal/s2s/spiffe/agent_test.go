package spiffe_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/spiffe/go-spiffe/v2/proto/spiffe/workload"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// agent serves the part of the SPIFFE Workload API that JWT-SVIDs need, over a socket as a real one does.
type agent struct {
	workload.UnimplementedSpiffeWorkloadAPIServer
	t   *testing.T
	at  string // its address
	key *ecdsa.PrivateKey

	mu      sync.Mutex
	denied  bool // no entry matches the workload
	fetches int
}

func startAgent(t *testing.T) *agent {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(t.TempDir(), "agent.sock")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	a := &agent{t: t, at: "unix://" + socket, key: key}
	server := grpc.NewServer()
	workload.RegisterSpiffeWorkloadAPIServer(server, a)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	return a
}

// source connects a workload to the agent.
func (a *agent) source() *workloadapi.JWTSource {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(a.t.Context(), 10*time.Second)
	defer cancel()
	source, err := workloadapi.NewJWTSource(ctx, workloadapi.WithClientOptions(workloadapi.WithAddr(a.at)))
	if err != nil {
		a.t.Fatal(err)
	}
	a.t.Cleanup(func() { _ = source.Close() })
	return source
}

func (a *agent) sign(id, audience string, expiry time.Time) string {
	a.t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: a.key, KeyID: "one"}}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		a.t.Fatal(err)
	}
	token, err := jwt.Signed(signer).Claims(jwt.Claims{Subject: id, Audience: jwt.Audience{audience}, IssuedAt: jwt.NewNumericDate(time.Now()), Expiry: jwt.NewNumericDate(expiry)}).Serialize()
	if err != nil {
		a.t.Fatal(err)
	}
	return token
}

func (a *agent) deny() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.denied = true
}

func (a *agent) asked() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.fetches
}

// FetchJWTSVID implements the Workload API.
func (a *agent) FetchJWTSVID(ctx context.Context, req *workload.JWTSVIDRequest) (*workload.JWTSVIDResponse, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.fetches++
	if md, _ := metadata.FromIncomingContext(ctx); len(md["workload.spiffe.io"]) != 1 {
		return nil, status.Error(codes.InvalidArgument, "no security header")
	}
	if a.denied {
		return nil, status.Error(codes.PermissionDenied, "no identity issued")
	}
	ids := []string{"spiffe://example.org/workflows", "spiffe://example.org/reports"}
	response := &workload.JWTSVIDResponse{}
	for _, id := range ids {
		if req.GetSpiffeId() == "" || req.GetSpiffeId() == id {
			response.Svids = append(response.Svids, &workload.JWTSVID{SpiffeId: id, Svid: a.sign(id, req.GetAudience()[0], time.Now().Add(5*time.Minute))})
		}
	}
	return response, nil
}

// FetchJWTBundles implements the Workload API.
func (a *agent) FetchJWTBundles(_ *workload.JWTBundlesRequest, stream grpc.ServerStreamingServer[workload.JWTBundlesResponse]) error {
	set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: a.key.Public(), KeyID: "one", Use: "jwt-svid"}}})
	if err != nil {
		return err
	}
	if err := stream.Send(&workload.JWTBundlesResponse{Bundles: map[string][]byte{"spiffe://example.org": set}}); err != nil {
		return err
	}
	<-stream.Context().Done()
	return nil
}
