package parts

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
)

// OIDCOptions says which OpenID provider to start.
type OIDCOptions struct {
	// Program is [Paths].OIDC. Required.
	Program string
	// Port on 127.0.0.1; 0 for a free one.
	Port int
	// Config holds the users and clients.
	Config OIDCConfig
	// CertFile and KeyFile are PEM files, see [WriteCert]; both empty for plain HTTP.
	CertFile, KeyFile string
}

// OIDCConfig is the configuration of the OpenID provider.
type OIDCConfig struct {
	Users   []OIDCUser   `json:"users"`
	Clients []OIDCClient `json:"clients"`
}

// OIDCUser is a person who can log in.
type OIDCUser struct {
	Username string   `json:"username"`
	Password string   `json:"password"`
	Subject  string   `json:"sub"` // Username when empty
	Email    string   `json:"email,omitempty"`
	Name     string   `json:"name,omitempty"`
	Groups   []string `json:"groups,omitempty"`
	// Claims are added to ID tokens and access tokens.
	Claims map[string]any `json:"claims,omitempty"`
}

// OIDCClient is a program that may ask for tokens. Durations are Go durations such as "1s".
type OIDCClient struct {
	ID string `json:"id"`
	// Secret is empty for a native client, which uses PKCE alone.
	Secret       string   `json:"secret,omitempty"`
	Type         string   `json:"type,omitempty"` // "web" (default) or "native"
	RedirectURIs []string `json:"redirectUris,omitempty"`
	// GrantTypes are authorization_code and refresh_token when empty; also client_credentials and
	// urn:ietf:params:oauth:grant-type:device_code.
	GrantTypes []string `json:"grantTypes,omitempty"`
	// Audience is what the client may ask for, and what its access tokens are for when it does not ask.
	// When empty it may ask for anything.
	Audience []string `json:"audience,omitempty"`
	// AccessTokenLifetime is "5m" when empty.
	AccessTokenLifetime string `json:"accessTokenLifetime,omitempty"`
	// IDTokenLifetime is "1h" when empty.
	IDTokenLifetime string `json:"idTokenLifetime,omitempty"`
	// OpaqueAccessToken gives access tokens that are no JWT.
	OpaqueAccessToken bool `json:"opaqueAccessToken,omitempty"`
	// Groups and Claims are put into the access tokens of client_credentials.
	Groups []string       `json:"groups,omitempty"`
	Claims map[string]any `json:"claims,omitempty"`
}

// OIDC is a running OpenID provider.
type OIDC struct {
	*Proc
	// Issuer is the provider's URL, without a trailing slash.
	Issuer string
}

// StartOIDC starts an OpenID provider. A restart gives it new signing keys.
func StartOIDC(ctx context.Context, o OIDCOptions) (*OIDC, error) {
	port, err := portOr(o.Port)
	if err != nil {
		return nil, err
	}
	config, err := json.Marshal(o.Config)
	if err != nil {
		return nil, fmt.Errorf("write the OpenID provider's configuration: %w", err)
	}
	args := []string{"-exit-with-stdin", "-config", "-", "-port", strconv.Itoa(port)}
	if o.CertFile != "" {
		args = append(args, "-cert", o.CertFile, "-key", o.KeyFile)
	}
	p, err := startProc(ctx, spec{name: "OpenID provider", path: o.Program, args: args, stdin: append(config, '\n')})
	if err != nil {
		return nil, err
	}
	return &OIDC{Proc: p, Issuer: p.ready["issuer"]}, nil
}
