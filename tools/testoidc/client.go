package main

import (
	"slices"
	"strings"
	"time"

	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// client is a clientConfig as the provider library asks for it.
type client struct{ *clientConfig }

var _ op.HasRedirectGlobs = client{}

func (c client) GetID() string { return c.ID }

func (c client) RedirectURIs() []string {
	return slices.DeleteFunc(slices.Clone(c.clientConfig.RedirectURIs), isGlob)
}

func (c client) RedirectURIGlobs() []string {
	return slices.DeleteFunc(slices.Clone(c.clientConfig.RedirectURIs), func(uri string) bool { return !isGlob(uri) })
}

func isGlob(uri string) bool { return strings.Contains(uri, "*") }

func (c client) PostLogoutRedirectURIs() []string     { return nil }
func (c client) PostLogoutRedirectURIGlobs() []string { return nil }

func (c client) ApplicationType() op.ApplicationType {
	if c.Type == "native" {
		return op.ApplicationTypeNative
	}
	return op.ApplicationTypeWeb
}

// AuthMethod is basic for a client with a secret; the provider takes the secret from the form as well.
func (c client) AuthMethod() oidc.AuthMethod {
	if c.Secret == "" {
		return oidc.AuthMethodNone
	}
	return oidc.AuthMethodBasic
}

func (c client) ResponseTypes() []oidc.ResponseType {
	return []oidc.ResponseType{oidc.ResponseTypeCode}
}

func (c client) GrantTypes() []oidc.GrantType { return c.clientConfig.GrantTypes }

func (c client) LoginURL(id string) string { return loginPath + "?id=" + id }

func (c client) AccessTokenType() op.AccessTokenType {
	if c.OpaqueAccessToken {
		return op.AccessTokenTypeBearer
	}
	return op.AccessTokenTypeJWT
}

func (c client) IDTokenLifetime() time.Duration { return time.Duration(c.clientConfig.IDTokenLifetime) }

// DevMode allows redirects to plain HTTP: everything here is on the loopback interface.
func (c client) DevMode() bool { return true }

func (c client) RestrictAdditionalIdTokenScopes() func([]string) []string {
	return func(scopes []string) []string { return scopes }
}

func (c client) RestrictAdditionalAccessTokenScopes() func([]string) []string {
	return func(scopes []string) []string { return scopes }
}

func (c client) IsScopeAllowed(scope string) bool { return scope == scopeGroups }

// IDTokenUserinfoClaimsAssertion puts email, name and groups into ID tokens, as the common providers do.
func (c client) IDTokenUserinfoClaimsAssertion() bool { return true }

func (c client) ClockSkew() time.Duration { return 0 }
