package assertion

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/tink-crypto/tink-go/v2/jwt"
	"github.com/tink-crypto/tink-go/v2/keyset"

	"github.com/signet-temporal/signet/principal"
)

const (
	typ      = "principal+jwt"
	lifetime = time.Minute
)

// Signer signs assertions; it is an s2s.Asserter. It is safe for concurrent use.
type Signer struct {
	signer           jwt.Signer
	issuer, workload string
}

// NewSigner returns a signer with the primary key of private, a Tink keyset made from jwt.ES256Template. issuer is the
// name under which the receivers know this service's keys, workload the subject of its own service tokens.
func NewSigner(private *keyset.Handle, issuer, workload string) (*Signer, error) {
	if private == nil || issuer == "" || workload == "" {
		return nil, errors.New("assertion.NewSigner: it needs a keyset, an issuer and a workload")
	}
	public, err := private.Public()
	if err != nil {
		return nil, fmt.Errorf("assertion.NewSigner: the keyset has no private keys to sign with: %w", err)
	}
	if _, err := jwks(public); err != nil {
		return nil, fmt.Errorf("assertion.NewSigner: %w", err)
	}
	signer, err := jwt.NewSigner(private)
	if err != nil {
		return nil, fmt.Errorf("assertion.NewSigner: the keyset does not sign: %w", err)
	}
	return &Signer{signer: signer, issuer: issuer, workload: workload}, nil
}

// Assert implements s2s.Asserter.
func (s *Signer) Assert(_ context.Context, p principal.Principal, audience string) (string, error) {
	if err := p.Check(); err != nil {
		return "", err
	}
	kind, now := typ, time.Now()
	expiry := now.Add(lifetime)
	raw, err := jwt.NewRawJWT(&jwt.RawJWTOptions{
		TypeHeader: &kind, Issuer: &s.issuer, Audience: &audience, Subject: &p.Subject, IssuedAt: &now, ExpiresAt: &expiry, CustomClaims: s.claims(p),
	})
	if err != nil {
		return "", fmt.Errorf("assertion: %w", err)
	}
	signed, err := s.signer.SignAndEncode(raw)
	if err != nil {
		return "", fmt.Errorf("assertion: %w", err)
	}
	return signed, nil
}

func (s *Signer) claims(p principal.Principal) map[string]any {
	c := map[string]any{"act": map[string]any{"sub": s.workload}}
	if p.Kind == principal.KindUser {
		c["sub_id"] = map[string]any{"format": "iss_sub", "iss": p.Issuer, "sub": p.Subject}
	}
	if p.Tenant != "" {
		c["tenant"] = p.Tenant
	}
	if p.Txn != "" {
		c["txn"] = p.Txn
	}
	if !p.AuthTime.IsZero() {
		c["auth_time"] = float64(p.AuthTime.Unix())
	}
	return c
}

// Handler publishes the public keys of handle, which may hold the private ones as well, as a JWK set: at whatever URL the
// receivers are given. It needs no protection but TLS.
func Handler(handle *keyset.Handle) (http.Handler, error) {
	if handle == nil {
		return nil, errors.New("assertion.Handler: no keyset")
	}
	public, err := handle.Public()
	if err != nil {
		public = handle // it holds public keys alone
	}
	set, err := jwks(public)
	if err != nil {
		return nil, fmt.Errorf("assertion.Handler: %w", err)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
			return
		}
		w.Header().Set("Content-Type", "application/jwk-set+json")
		w.Header().Set("Cache-Control", "public, max-age=300")
		_, _ = w.Write(set)
	}), nil
}

func jwks(public *keyset.Handle) ([]byte, error) {
	set, err := jwt.JWKSetFromPublicKeysetHandle(public)
	if err != nil {
		return nil, fmt.Errorf("the keyset is not one of ES256 keys, make it from jwt.ES256Template: %w", err)
	}
	return set, nil
}
