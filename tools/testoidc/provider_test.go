package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

const testConfig = `{
  "users": [{"username": "ada", "password": "lovelace", "sub": "u-1", "email": "ada@example.com", "groups": ["support"]}],
  "clients": [{"id": "cli", "type": "native", "audience": ["codec"], "accessTokenLifetime": "1s",
               "grantTypes": ["urn:ietf:params:oauth:grant-type:device_code", "refresh_token"]}]
}`

// provide serves the provider until the test ends and returns its issuer.
func provide(t *testing.T, text string) string {
	t.Helper()
	cfg, err := readConfig("-", strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	out, stdout := io.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- serve(ctx, flags{ip: "127.0.0.1"}, cfg, stdout) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	line := make([]byte, 200)
	n, err := out.Read(line)
	if err != nil {
		t.Fatal(err)
	}
	var ready struct{ Issuer string }
	if err := json.Unmarshal([]byte(strings.TrimPrefix(string(line[:n]), "ready ")), &ready); err != nil {
		t.Fatalf("%q: %v", line[:n], err)
	}
	return ready.Issuer
}

// post sends a form and returns the status and the answer, JSON or not.
func post(t *testing.T, address string, form url.Values) (int, map[string]any) {
	t.Helper()
	res, err := http.PostForm(address, form)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	answer := map[string]any{}
	_ = json.NewDecoder(res.Body).Decode(&answer)
	return res.StatusCode, answer
}

// TestDeviceFlow: a program without a browser gets tokens once its user has logged in elsewhere.
func TestDeviceFlow(t *testing.T) {
	issuer := provide(t, testConfig)
	status, asked := post(t, issuer+"/device_authorization", url.Values{
		"client_id": {"cli"}, "scope": {"openid email groups offline_access"}, "audience": {"codec"},
	})
	if status != http.StatusOK {
		t.Fatalf("%d %v", status, asked)
	}
	form := url.Values{
		"client_id":   {"cli"},
		"grant_type":  {"urn:ietf:params:oauth:grant-type:device_code"},
		"device_code": {asked["device_code"].(string)},
	}
	if status, answer := post(t, issuer+"/oauth/token", form); answer["error"] != "authorization_pending" {
		t.Fatalf("before the login: %d %v", status, answer)
	}
	people := url.Values{"user_code": {asked["user_code"].(string)}, "username": {"ada"}, "password": {"wrong"}}
	if status, _ := post(t, issuer+devicePath, people); status != http.StatusUnauthorized {
		t.Fatalf("wrong password: %d", status)
	}
	people.Set("password", "lovelace")
	if status, _ := post(t, issuer+devicePath, people); status != http.StatusOK {
		t.Fatalf("login: %d", status)
	}
	status, tokens := post(t, issuer+"/oauth/token", form)
	if status != http.StatusOK || tokens["access_token"] == nil || tokens["id_token"] == nil || tokens["refresh_token"] == nil {
		t.Fatalf("after the login: %d %v", status, tokens)
	}
	if status, answer := post(t, issuer+"/oauth/token", form); status == http.StatusOK {
		t.Errorf("tokens were given twice: %v", answer)
	}
	checkUserinfo(t, issuer, tokens["access_token"].(string))
}

// checkUserinfo asks for the user until the token, which lasts a second, has expired.
func checkUserinfo(t *testing.T, issuer, token string) {
	t.Helper()
	ask := func() (int, map[string]any) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, issuer+"/userinfo", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		answer := map[string]any{}
		_ = json.NewDecoder(res.Body).Decode(&answer)
		return res.StatusCode, answer
	}
	if status, user := ask(); status != http.StatusOK || user["email"] != "ada@example.com" || user["groups"] == nil {
		t.Errorf("userinfo: %d %v", status, user)
	}
	time.Sleep(2100 * time.Millisecond)
	if status, user := ask(); status == http.StatusOK {
		t.Errorf("userinfo for an expired token: %v", user)
	}
}

func TestConfigRefuses(t *testing.T) {
	for _, text := range []string{
		`{"users": [{"username": "ada"}]}`,
		`{"clients": [{"secret": "s"}]}`,
		`{"clients": [{"id": "web"}]}`,
		`{"clients": [{"id": "a", "type": "spa"}]}`,
		`{"clients": [{"id": "a", "secret": "s", "grantTypes": ["implicit"]}]}`,
		`{"clients": [{"id": "a", "secret": "s", "accessTokenLifetime": "10ms"}]}`,
		`{"clients": [{"id": "a", "secret": "s", "audiences": ["x"]}]}`,
	} {
		if cfg, err := readConfig("-", strings.NewReader(text)); err == nil {
			t.Errorf("taken: %s: %v", text, cfg)
		} else if strings.Contains(err.Error(), "\n") {
			t.Errorf("more than one line: %v", err)
		}
	}
}
