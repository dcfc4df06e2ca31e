package main

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// grant is what tokens are made from: a login that is under way or done, or a refresh token.
type grant struct {
	id       string
	clientID string
	subject  string
	audience []string // of access tokens
	scopes   []string
	authTime time.Time
	amr      []string
	request  *oidc.AuthRequest // nil for a client's own grant
	forID    bool              // the access token is made: what is asked now is for the ID token
}

var (
	_ op.AuthRequest         = (*grant)(nil)
	_ op.RefreshTokenRequest = refreshGrant{}
)

func (g *grant) GetID() string          { return g.id }
func (g *grant) GetACR() string         { return "" }
func (g *grant) GetAMR() []string       { return g.amr }
func (g *grant) GetAuthTime() time.Time { return g.authTime }
func (g *grant) GetClientID() string    { return g.clientID }
func (g *grant) GetScopes() []string    { return g.scopes }
func (g *grant) GetSubject() string     { return g.subject }
func (g *grant) Done() bool             { return g.subject != "" }

// GetAudience is asked first for the access token, then for the ID token. The library has one audience for
// both; here, as with the common providers, an ID token is for its client alone.
func (g *grant) GetAudience() []string {
	if g.forID {
		return nil // the library adds the client
	}
	return g.audience
}

func (g *grant) GetCodeChallenge() *oidc.CodeChallenge {
	if g.request.CodeChallenge == "" {
		return nil
	}
	return &oidc.CodeChallenge{Challenge: g.request.CodeChallenge, Method: g.request.CodeChallengeMethod}
}

func (g *grant) GetNonce() string                   { return g.request.Nonce }
func (g *grant) GetRedirectURI() string             { return g.request.RedirectURI }
func (g *grant) GetResponseType() oidc.ResponseType { return g.request.ResponseType }
func (g *grant) GetResponseMode() oidc.ResponseMode { return g.request.ResponseMode }
func (g *grant) GetState() string                   { return g.request.State }

// copied returns a grant that one request may change.
func (g *grant) copied() *grant {
	c := *g
	c.audience, c.scopes = slices.Clone(g.audience), slices.Clone(g.scopes)
	return &c
}

// refreshGrant is a grant used through a refresh token. It is a type of its own because the library tells
// a refresh from a login by its methods.
type refreshGrant struct{ g *grant }

func (r refreshGrant) GetAMR() []string                 { return r.g.GetAMR() }
func (r refreshGrant) GetAudience() []string            { return r.g.GetAudience() }
func (r refreshGrant) GetAuthTime() time.Time           { return r.g.GetAuthTime() }
func (r refreshGrant) GetClientID() string              { return r.g.GetClientID() }
func (r refreshGrant) GetScopes() []string              { return r.g.GetScopes() }
func (r refreshGrant) GetSubject() string               { return r.g.GetSubject() }
func (r refreshGrant) SetCurrentScopes(scopes []string) { r.g.scopes = scopes }

// clientGrant is a client's own grant, "client_credentials".
type clientGrant struct{ g *grant }

func (c clientGrant) GetAudience() []string { return c.g.GetAudience() }
func (c clientGrant) GetClientID() string   { return c.g.GetClientID() }
func (c clientGrant) GetScopes() []string   { return c.g.GetScopes() }
func (c clientGrant) GetSubject() string    { return c.g.GetSubject() }

type audienceKey struct{}

// withAudience hands the audience that a request asks for, as "audience" or "resource", to the storage: the
// library does not know these parameters.
func withAudience(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil {
			http.Error(w, "cannot read the form: "+err.Error(), http.StatusBadRequest)
			return
		}
		asked := append(slices.Clone(r.Form["audience"]), r.Form["resource"]...)
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), audienceKey{}, asked)))
	})
}

func askedAudience(ctx context.Context) []string {
	asked, _ := ctx.Value(audienceKey{}).([]string)
	return asked
}
