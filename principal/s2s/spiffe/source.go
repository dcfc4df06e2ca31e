// Package spiffe gets service tokens from a SPIFFE Workload API, such as that of a SPIRE agent, and verifies those of
// others. It is a module of its own, because go-spiffe brings gRPC and more along.
//
// A JWT-SVID is a bearer token: whoever sees it can use it at that audience until it expires. Where both services have
// X.509-SVIDs and nothing between them ends TLS, mutual TLS proves the caller better; the gate of package downstream then
// needs a verifier of your own over the connection's certificate.
package spiffe

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spiffe/go-spiffe/v2/bundle/jwtbundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"

	"github.com/signet-temporal/signet/principal"
	"github.com/signet-temporal/signet/principal/s2s"
)

const maxToken = 8 << 10 // bytes

// Fetcher fetches a JWT-SVID; *workloadapi.JWTSource and *workloadapi.Client do.
type Fetcher interface {
	FetchJWTSVID(ctx context.Context, params jwtsvid.Params) (*jwtsvid.SVID, error)
}

// Source is a token source. It asks the Workload API at each call: put an [s2s.Cache] in front.
type Source struct {
	api Fetcher
	id  spiffeid.ID
}

// NewSource returns a source. id says which identity to use where the workload has several; zero takes the first.
func NewSource(api Fetcher, id spiffeid.ID) (*Source, error) {
	if api == nil {
		return nil, errors.New("spiffe.NewSource: no Workload API: make one with workloadapi.NewJWTSource")
	}
	return &Source{api: api, id: id}, nil
}

// Token implements [s2s.TokenSource].
func (s *Source) Token(ctx context.Context, audience string) (s2s.Token, error) {
	svid, err := s.api.FetchJWTSVID(ctx, jwtsvid.Params{Audience: audience, Subject: s.id})
	if err != nil {
		return s2s.Token{}, fmt.Errorf("the SPIFFE Workload API gives no JWT-SVID: %s: check that the agent runs and that an entry matches this workload", oneLine(err))
	}
	return s2s.NewToken(svid.Marshal(), svid.Expiry), nil
}

// Verifier verifies the JWT-SVIDs of callers; it is a downstream.Verifier.
type Verifier struct {
	bundles   jwtbundle.Source
	audiences []string
}

// NewVerifier returns a verifier with the keys of bundles, such as a *workloadapi.JWTSource. A token must be for one of the
// audiences.
func NewVerifier(bundles jwtbundle.Source, audiences ...string) (*Verifier, error) {
	if bundles == nil || len(audiences) == 0 {
		return nil, errors.New("spiffe.NewVerifier: it needs bundles, such as a *workloadapi.JWTSource, and an audience")
	}
	for _, audience := range audiences {
		if audience == "" {
			return nil, errors.New("spiffe.NewVerifier: an audience is empty")
		}
	}
	return &Verifier{bundles: bundles, audiences: audiences}, nil
}

// Verify implements downstream.Verifier. The caller's issuer is its trust domain, such as "spiffe://example.org", and its
// subject the whole SPIFFE ID.
func (v *Verifier) Verify(_ context.Context, token string) (*principal.Caller, error) {
	if len(token) > maxToken {
		return nil, errors.New("not a JWT-SVID for this service: it is longer than 8 KiB")
	}
	svid, err := jwtsvid.ParseAndValidate(token, v.bundles, v.audiences)
	if err != nil {
		return nil, fmt.Errorf("not a JWT-SVID for this service: %s", oneLine(err))
	}
	return &principal.Caller{Issuer: svid.ID.TrustDomain().IDString(), Subject: svid.ID.String()}, nil
}

func oneLine(err error) string {
	line := strings.Join(strings.Fields(err.Error()), " ")
	if len(line) > 300 {
		line = line[:300] + "…"
	}
	return line
}
