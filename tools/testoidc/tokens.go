package main

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// signingKey is the one key of this provider, private and public.
type signingKey struct {
	id  string
	key *rsa.PrivateKey
}

func (k signingKey) ID() string                                  { return k.id }
func (k signingKey) Key() any                                    { return k.key }
func (k signingKey) SignatureAlgorithm() jose.SignatureAlgorithm { return jose.RS256 }

type publicKey struct{ signingKey }

func (k publicKey) Key() any                           { return &k.key.PublicKey }
func (k publicKey) Use() string                        { return "sig" }
func (k publicKey) Algorithm() jose.SignatureAlgorithm { return jose.RS256 }

func (s *storage) SigningKey(context.Context) (op.SigningKey, error) { return s.key, nil }

func (s *storage) SignatureAlgorithms(context.Context) ([]jose.SignatureAlgorithm, error) {
	return []jose.SignatureAlgorithm{jose.RS256}, nil
}

func (s *storage) KeySet(context.Context) ([]op.Key, error) { return []op.Key{publicKey{s.key}}, nil }

// asGrant returns what any request for tokens is about.
func asGrant(request op.TokenRequest) (*grant, error) {
	switch r := request.(type) {
	case *grant:
		return r, nil
	case refreshGrant:
		return r.g, nil
	case clientGrant:
		return r.g, nil
	case *op.DeviceAuthorizationState:
		return &grant{
			clientID: r.ClientID, subject: r.Subject, audience: r.Audience, scopes: r.Scopes, authTime: r.AuthTime, amr: r.AMR,
		}, nil
	}
	return nil, fmt.Errorf("no tokens for a %T", request)
}

func (s *storage) CreateAccessToken(_ context.Context, request op.TokenRequest) (string, time.Time, error) {
	g, err := asGrant(request)
	if err != nil {
		return "", time.Time{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.issue(g)
}

// issue records an access token; callers hold the lock.
func (s *storage) issue(g *grant) (string, time.Time, error) {
	c, err := s.client(g.clientID)
	if err != nil {
		return "", time.Time{}, err
	}
	id, expires := rand.Text(), time.Now().Add(time.Duration(c.AccessTokenLifetime))
	s.access[id] = issued{grant: g.copied(), expires: expires}
	// An opaque token is complete with its id, so that the next question is about the ID token; a JWT is
	// complete when its claims have been asked for.
	g.forID = c.OpaqueAccessToken
	return id, expires, nil
}

func (s *storage) CreateAccessAndRefreshTokens(_ context.Context, request op.TokenRequest, current string) (string, string, time.Time, error) {
	g, err := asGrant(request)
	if err != nil {
		return "", "", time.Time{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if current != "" {
		if _, ok := s.refresh[current]; !ok {
			return "", "", time.Time{}, op.ErrInvalidRefreshToken
		}
		delete(s.refresh, current) // a refresh token is used once
	}
	next := rand.Text()
	s.refresh[next] = issued{grant: g.copied(), expires: time.Now().Add(refreshLifetime)}
	id, expires, err := s.issue(g)
	return id, next, expires, err
}

func (s *storage) TokenRequestByRefreshToken(_ context.Context, token string) (op.RefreshTokenRequest, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, ok := s.refresh[token]
	if !ok || time.Now().After(t.expires) {
		return nil, op.ErrInvalidRefreshToken
	}
	return refreshGrant{t.grant.copied()}, nil
}

func (s *storage) GetRefreshTokenInfo(_ context.Context, _ string, token string) (string, string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, ok := s.refresh[token]
	if !ok {
		return "", "", op.ErrInvalidRefreshToken
	}
	return t.grant.subject, token, nil
}

func (s *storage) RevokeToken(_ context.Context, token, _, clientID string) *oidc.Error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, tokens := range []map[string]issued{s.access, s.refresh} {
		if t, ok := tokens[token]; ok && t.grant.clientID != clientID {
			return oidc.ErrInvalidClient().WithDescription("the token is another client's")
		}
		delete(tokens, token)
	}
	return nil
}

func (s *storage) TerminateSession(_ context.Context, subject, clientID string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, tokens := range []map[string]issued{s.access, s.refresh} {
		maps.DeleteFunc(tokens, func(_ string, t issued) bool {
			return t.grant.subject == subject && t.grant.clientID == clientID
		})
	}
	return nil
}

// GetPrivateClaimsFromRequest gives the claims of an access token beside the registered ones.
func (s *storage) GetPrivateClaimsFromRequest(_ context.Context, request op.TokenRequest, _ []string) (map[string]any, error) {
	g, err := asGrant(request)
	if err != nil {
		return nil, err
	}
	g.forID = true
	claims := s.claims(g)
	if len(g.scopes) > 0 {
		claims["scope"] = strings.Join(g.scopes, " ")
	}
	return claims, nil
}

// GetPrivateClaimsFromScopes is not asked, for the method above is.
func (s *storage) GetPrivateClaimsFromScopes(context.Context, string, string, []string) (map[string]any, error) {
	return nil, errors.New("claims need the request")
}

// claims are those of the user or, in a client's own grant, of the client.
func (s *storage) claims(g *grant) map[string]any {
	s.mu.Lock()
	defer s.mu.Unlock()
	claims := map[string]any{}
	if u, ok := s.byUserID[g.subject]; ok {
		maps.Copy(claims, u.Claims)
		claims["preferred_username"] = u.Username
		setIf(claims, "email", u.Email)
		setIf(claims, "name", u.Name)
		if len(u.Groups) > 0 {
			claims["groups"] = slices.Clone(u.Groups)
		}
		return claims
	}
	if c, ok := s.clients[g.subject]; ok {
		maps.Copy(claims, c.Claims)
		if len(c.Groups) > 0 {
			claims["groups"] = slices.Clone(c.Groups)
		}
	}
	return claims
}

func setIf(claims map[string]any, name, value string) {
	if value != "" {
		claims[name] = value
	}
}

// SetUserinfoFromScopes does nothing, for SetUserinfoFromRequest is asked as well.
func (s *storage) SetUserinfoFromScopes(context.Context, *oidc.UserInfo, string, string, []string) error {
	return nil
}

// SetUserinfoFromRequest gives the claims of an ID token.
func (s *storage) SetUserinfoFromRequest(_ context.Context, info *oidc.UserInfo, request op.IDTokenRequest, _ []string) error {
	s.setUserinfo(info, &grant{subject: request.GetSubject()})
	return nil
}

// SetUserinfoFromToken gives the answer of the userinfo endpoint.
func (s *storage) SetUserinfoFromToken(_ context.Context, info *oidc.UserInfo, tokenID, _, _ string) error {
	t, err := s.valid(tokenID)
	if err != nil {
		return err
	}
	s.setUserinfo(info, t.grant)
	return nil
}

func (s *storage) setUserinfo(info *oidc.UserInfo, g *grant) {
	info.Subject = g.subject
	for name, value := range s.claims(g) {
		switch text, _ := value.(string); name {
		case "email":
			info.Email, info.EmailVerified = text, oidc.Bool(true)
		case "name":
			info.Name = text
		case "preferred_username":
			info.PreferredUsername = text
		default:
			info.AppendClaims(name, value)
		}
	}
}

// SetIntrospectionFromToken gives the answer of the introspection endpoint to any client that knows its
// secret.
func (s *storage) SetIntrospectionFromToken(_ context.Context, r *oidc.IntrospectionResponse, tokenID, _, _ string) error {
	t, err := s.valid(tokenID)
	if err != nil {
		return err
	}
	info := new(oidc.UserInfo)
	s.setUserinfo(info, t.grant)
	r.SetUserInfo(info)
	r.Scope, r.ClientID, r.Audience = t.grant.scopes, t.grant.clientID, t.grant.audience
	r.Expiration = oidc.FromTime(t.expires)
	return nil
}

func (s *storage) valid(tokenID string) (issued, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, ok := s.access[tokenID]
	if !ok || time.Now().After(t.expires) {
		return issued{}, errors.New("the token has expired or was revoked")
	}
	return t, nil
}
