package stack

import (
	"testing"

	"github.com/signet-temporal/signet/tools/parts"
)

// Audience is what access tokens for the codec server are for.
const Audience = "signet-codec"

// Clients of the OpenID provider.
const (
	// UIClient is the Web UI's, with UISecret. Its ID tokens are for the audience "temporal-ui".
	UIClient = "temporal-ui"
	UISecret = "temporal-ui-secret"
	// OpsClient is a command-line program's: PKCE or a device code, no secret. It may ask for the audiences Audience and "another-service".
	OpsClient = "ops"
	// BriefClient is OpsClient with tokens that live for one second.
	BriefClient = "ops-brief"
	// RenewingClient is OpsClient with tokens that live for ten seconds, so that signet renews them for each command.
	RenewingClient = "ops-renewing"
	// LoginClient is the codec server's own, with LoginSecret.
	LoginClient = "codec-login"
	LoginSecret = "codec-login-secret"
	// CIClient is a machine's, with CISecret: client credentials, in the group "ci".
	CIClient = "ci"
	CISecret = "ci-secret"
)

// StartOIDC starts an OpenID provider: alice is in the group payments-oncall and bob in the group orders; the password of
// both is their name and "-password", their tenant acme. A second one is an issuer that nobody has to trust.
func (s *Stack) StartOIDC(t *testing.T) *parts.OIDC {
	t.Helper()
	both := []string{Audience, "another-service"}
	// Without the first signet does not take the address. The second is for package principal.
	verified := map[string]any{"email_verified": true, "tenant_id": "acme"}
	native := []string{"http://127.0.0.1/callback"}
	grants := []string{"authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"}
	oidc, err := parts.StartOIDC(t.Context(), parts.OIDCOptions{Program: s.Paths.OIDC, Config: parts.OIDCConfig{
		Users: []parts.OIDCUser{
			{Username: "alice", Password: "alice-password", Subject: "u-alice", Email: "alice@example.com", Name: "Alice", Groups: []string{"payments-oncall"}, Claims: verified},
			{Username: "bob", Password: "bob-password", Subject: "u-bob", Email: "bob@example.com", Name: "Bob", Groups: []string{"orders"}, Claims: verified},
		},
		Clients: []parts.OIDCClient{
			{ID: UIClient, Secret: UISecret, Type: "web", Audience: []string{Audience},
				RedirectURIs: []string{"http://127.0.0.1:*" + parts.UICallback, "http://localhost:*" + parts.UICallback},
				GrantTypes:   []string{"authorization_code", "refresh_token"}},
			{ID: OpsClient, Type: "native", RedirectURIs: native, Audience: both, GrantTypes: grants},
			{ID: BriefClient, Type: "native", RedirectURIs: native, Audience: both, AccessTokenLifetime: "1s", IDTokenLifetime: "1s"},
			{ID: RenewingClient, Type: "native", RedirectURIs: native, Audience: both, AccessTokenLifetime: "10s", IDTokenLifetime: "10s"},
			{ID: LoginClient, Secret: LoginSecret, Type: "web", RedirectURIs: []string{"http://localhost:*/login/callback"}, GrantTypes: []string{"authorization_code"}},
			{ID: CIClient, Secret: CISecret, GrantTypes: []string{"client_credentials"}, Audience: []string{Audience}, Groups: []string{"ci"}},
		},
	}})
	if err != nil {
		t.Fatal(err)
	}
	stopAtEnd(t, oidc)
	return oidc
}

// Token logs user in through the provider's form and returns an access token for the codec server.
func (s *Stack) Token(t *testing.T, user string) string {
	t.Helper()
	return s.Login(t, s.OIDC, user, OpsClient, Audience).Access
}

// Login logs user in at a provider, for a native client, and returns tokens for the audience.
func (s *Stack) Login(t *testing.T, at *parts.OIDC, user, clientID, audience string) parts.Tokens {
	t.Helper()
	tokens, err := parts.Login(t.Context(), parts.LoginRequest{
		Issuer: at.Issuer, ClientID: clientID, RedirectURI: "http://127.0.0.1/callback",
		Username: user, Password: user + "-password", Audience: audience, Scopes: []string{"openid", "profile", "email"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return tokens
}

// MachineToken returns an access token of [CIClient] for the codec server.
func (s *Stack) MachineToken(t *testing.T) string {
	t.Helper()
	tokens, err := parts.ClientCredentials(t.Context(), parts.LoginRequest{
		Issuer: s.OIDC.Issuer, ClientID: CIClient, ClientSecret: CISecret, Audience: Audience,
	})
	if err != nil {
		t.Fatal(err)
	}
	return tokens.Access
}
