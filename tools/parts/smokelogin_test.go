package parts

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func claimsOf(t *testing.T, token string) map[string]any {
	t.Helper()
	fields := strings.Split(token, ".")
	if len(fields) != 3 {
		t.Fatalf("no JWT: %q", token)
	}
	b, err := base64.RawURLEncoding.DecodeString(fields[1])
	if err != nil {
		t.Fatal(err)
	}
	claims := map[string]any{}
	if err := json.Unmarshal(b, &claims); err != nil {
		t.Fatal(err)
	}
	return claims
}

func testOIDCConfig() OIDCConfig {
	return OIDCConfig{
		Users: []OIDCUser{{
			Username: "ada", Password: "lovelace", Subject: "u-1", Email: "ada@example.com", Name: "Ada", Groups: []string{"support", "payments"},
			Claims: map[string]any{"tenant": "acme"},
		}},
		Clients: []OIDCClient{
			{ID: "ui", Secret: "s", RedirectURIs: []string{"http://127.0.0.1:*" + UICallback}, Audience: []string{"codec", "other"}},
			{ID: "short", Type: "native", RedirectURIs: []string{"http://127.0.0.1/cb"}, AccessTokenLifetime: "1s"},
			{ID: "opaque", Secret: "s", RedirectURIs: []string{"http://127.0.0.1/cb"}, OpaqueAccessToken: true},
			{ID: "svc", Secret: "s", GrantTypes: []string{"client_credentials"}, Audience: []string{"api"}, Groups: []string{"services"}},
		},
	}
}

func TestSmokeOIDC(t *testing.T) {
	ctx, paths := smoke(t, OIDCProvider)
	cert, err := WriteCert(t.TempDir(), "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	for _, withTLS := range []bool{false, true} {
		options := OIDCOptions{Program: paths.OIDC, Config: testOIDCConfig()}
		if withTLS {
			options.CertFile, options.KeyFile = cert.CertFile, cert.KeyFile
		}
		provider, err := StartOIDC(ctx, options)
		if err != nil {
			t.Fatal(err)
		}
		stopAtEnd(t, provider.Proc)
		login := LoginRequest{
			Issuer: provider.Issuer, ClientID: "ui", ClientSecret: "s", RedirectURI: "http://127.0.0.1:1" + UICallback,
			Username: "ada", Password: "lovelace", Audience: "codec",
		}
		if withTLS {
			login.CAFile = cert.CAFile
		}
		checkLogin(ctx, t, login)
	}
}

func checkLogin(ctx context.Context, t *testing.T, login LoginRequest) {
	t.Helper()
	tokens, err := Login(ctx, login)
	if err != nil {
		t.Fatal(err)
	}
	access, id := claimsOf(t, tokens.Access), claimsOf(t, tokens.ID)
	t.Logf("access %v\nid %v", access, id)
	for _, claims := range []map[string]any{access, id} {
		groups, _ := claims["groups"].([]any)
		if claims["email"] != "ada@example.com" || claims["name"] != "Ada" || claims["sub"] != "u-1" || claims["tenant"] != "acme" ||
			!slices.Contains(groups, any("support")) || claims["iss"] != login.Issuer {
			t.Errorf("claims %v", claims)
		}
	}
	if aud, _ := json.Marshal([]any{access["aud"], id["aud"]}); string(aud) != `[["codec"],["ui"]]` {
		t.Errorf("audiences of access and ID token: %s", aud)
	}
	fresh, err := Refresh(ctx, login, tokens.Refresh)
	if err != nil {
		t.Fatal(err)
	}
	if aud, _ := json.Marshal([]any{claimsOf(t, fresh.Access)["aud"], claimsOf(t, fresh.ID)["aud"]}); string(aud) != `[["codec"],["ui"]]` {
		t.Errorf("audiences after a refresh: %s", aud)
	}
	if _, err := Refresh(ctx, login, tokens.Refresh); err == nil {
		t.Error("a refresh token was taken twice")
	}
	bad := login
	bad.Password = "x"
	if _, err := Login(ctx, bad); err == nil {
		t.Error("a wrong password was taken")
	}
	bad = login
	bad.Audience = "elsewhere"
	if _, err := Login(ctx, bad); err == nil {
		t.Error("an audience that is not the client's was given")
	} else {
		t.Log(err)
	}
	checkOtherClients(ctx, t, login)
}

func checkOtherClients(ctx context.Context, t *testing.T, login LoginRequest) {
	t.Helper()
	login.Audience = ""
	login.RedirectURI = "http://127.0.0.1/cb"
	short := login
	short.ClientID, short.ClientSecret = "short", ""
	tokens, err := Login(ctx, short)
	if err != nil {
		t.Fatal(err)
	}
	claims := claimsOf(t, tokens.Access)
	if claims["exp"].(float64)-claims["iat"].(float64) > 1 {
		t.Errorf("lifetime of a 1 s token: %v", claims)
	}
	opaque := login
	opaque.ClientID = "opaque"
	tokens, err = Login(ctx, opaque)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(tokens.Access, ".") == 2 {
		t.Errorf("not opaque: %s", tokens.Access)
	}
	service := LoginRequest{Issuer: login.Issuer, CAFile: login.CAFile, ClientID: "svc", ClientSecret: "s"}
	tokens, err = ClientCredentials(ctx, service)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("service %v", claimsOf(t, tokens.Access))
	service.ClientSecret = "wrong"
	if _, err := ClientCredentials(ctx, service); err == nil {
		t.Error("a wrong secret was taken")
	}
}

// TestSmokeUILogin: the Web UI sends a person to the provider and gets the tokens.
func TestSmokeUILogin(t *testing.T) {
	ctx, paths := smoke(t, TemporalServer, OIDCProvider)
	provider, err := StartOIDC(ctx, OIDCOptions{Program: paths.OIDC, Config: testOIDCConfig()})
	if err != nil {
		t.Fatal(err)
	}
	stopAtEnd(t, provider.Proc)
	server, err := StartTemporal(ctx, TemporalOptions{Program: paths.Temporal, DB: filepath.Join(t.TempDir(), "t.db")})
	if err != nil {
		t.Fatal(err)
	}
	stopAtEnd(t, server.Proc)
	ui, err := StartUI(ctx, UIOptions{Program: paths.Temporal, Config: UIConfig{
		Temporal: server.Address,
		Auth: &UIAuth{
			ProviderURL: provider.Issuer, ClientID: "ui", ClientSecret: "s",
			Scopes: []string{"openid", "profile", "email", "offline_access"}, Options: map[string]string{"audience": "codec"},
		},
	}})
	if err != nil {
		t.Fatal(err)
	}
	stopAtEnd(t, ui.Proc)
	client, err := HTTPClient("")
	if err != nil {
		t.Fatal(err)
	}
	var access string
	client.CheckRedirect = func(req *http.Request, _ []*http.Request) error {
		// The tokens come as cookies of the answer to the callback: user0, user1, ...
		if b, err := base64.StdEncoding.DecodeString(cookieText(req.Response)); err == nil && len(b) > 0 {
			var user struct{ AccessToken string }
			if json.Unmarshal(b, &user) == nil {
				access = user.AccessToken
			}
		}
		return nil
	}
	res, err := SubmitLogin(ctx, client, ui.URL+"/auth/sso", "ada", "lovelace")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusOK || access == "" {
		t.Fatalf("no tokens: %s at %s", res.Status, res.Request.URL)
	}
	if aud, _ := json.Marshal(claimsOf(t, access)["aud"]); string(aud) != `["codec"]` {
		t.Errorf("audience %s", aud)
	}
}

func cookieText(res *http.Response) string {
	var text strings.Builder
	for _, cookie := range res.Cookies() {
		if strings.HasPrefix(cookie.Name, "user") {
			text.WriteString(cookie.Value)
		}
	}
	return text.String()
}
