package codeclogin

import (
	"crypto/sha256"
	"encoding/base64"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// comeBack sends the redirect that a browser would be sent, with these parameters beside the state.
func comeBack(t *testing.T, address, state string, more ...string) (status int, page string) {
	t.Helper()
	q := url.Values{"state": {state}}
	for i := 0; i < len(more); i += 2 {
		q.Set(more[i], more[i+1])
	}
	res, err := http.Get(address + "?" + q.Encode())
	if err != nil {
		t.Error(err)
		return 0, ""
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Error(err)
	}
	return res.StatusCode, string(text)
}

func asked(t *testing.T, address string) url.Values {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return u.Query()
}

func TestALoginByABrowser(t *testing.T) {
	i := newIssuer(t)
	p := i.provider(t, Settings{Audience: "signet-codec", Scopes: []string{"groups"}})
	var q url.Values
	tokens, err := p.Loopback(t.Context(), 0, func(address string) {
		q = asked(t, address)
		i.nonce = q.Get("nonce")
		// Any page can send the browser here: it goes on waiting.
		if status, _ := comeBack(t, q.Get("redirect_uri"), "another", "code", "stolen"); status != 400 {
			t.Errorf("a redirect without the state: status %d", status)
		}
		if status, page := comeBack(t, q.Get("redirect_uri"), q.Get("state"), "code", "c0de"); status != 200 || strings.Contains(page, "c0de") {
			t.Errorf("status %d: %s", status, page)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if tokens.Subject != "u-alice" || tokens.Email != "alice@example.com" || tokens.Access == "" || tokens.Refresh == "" || tokens.Expires.IsZero() {
		t.Errorf("tokens of %s", tokens.Subject)
	}
	if q.Get("audience") != "signet-codec" || q.Get("scope") != "openid profile email offline_access groups" || q.Get("code_challenge_method") != "S256" || !strings.HasPrefix(q.Get("redirect_uri"), "http://127.0.0.1:") {
		t.Errorf("asked with %v", q)
	}
	form := url.Values(i.asked[0])
	challenge := sha256.Sum256([]byte(form.Get("code_verifier")))
	if form.Get("code") != "c0de" || base64.RawURLEncoding.EncodeToString(challenge[:]) != q.Get("code_challenge") {
		t.Error("the code is not bound to the login by PKCE")
	}
	if ok, err := p.Revoke(t.Context(), tokens); !ok || err != nil || url.Values(i.asked[1]).Get("token") != tokens.Refresh {
		t.Errorf("revoked: %v, %v", ok, err)
	}
}

func TestALoginThatIsNotTheOneThatWasStarted(t *testing.T) {
	for name, c := range map[string]struct {
		lie  func(*issuer, url.Values)
		more []string
		want string
	}{
		"another nonce":     {func(i *issuer, _ url.Values) { i.nonce = "another" }, []string{"code", "c"}, "is of another login"},
		"another issuer":    {nil, []string{"code", "c", "iss", "https://evil.example"}, "another issuer answered"},
		"refused":           {nil, []string{"error", "access_denied", "error_description", "planted"}, "refuses the login: access_denied"},
		"refused strangely": {nil, []string{"error", "\x1b[2J"}, "refuses the login: an error without a name"},
		"no code":           {nil, nil, "sent no code"},
		"no ID token":       {func(i *issuer, _ url.Values) { i.withoutID = true }, []string{"code", "c"}, "issued no ID token"},
		"code refused":      {func(i *issuer, _ url.Values) { i.refuse = "invalid_grant" }, []string{"code", "c"}, "gives no token: invalid_grant"},
	} {
		t.Run(name, func(t *testing.T) {
			i := newIssuer(t)
			_, err := i.provider(t, Settings{}).Loopback(t.Context(), 0, func(address string) {
				q := asked(t, address)
				i.nonce = q.Get("nonce")
				if c.lie != nil {
					c.lie(i, q)
				}
				comeBack(t, q.Get("redirect_uri"), q.Get("state"), c.more...)
			})
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "planted") {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

func TestAProviderThatNamesItselfInRedirectsHasTo(t *testing.T) {
	i := newIssuer(t)
	i.discovery["authorization_response_iss_parameter_supported"] = true
	_, err := i.provider(t, Settings{}).Loopback(t.Context(), 0, func(address string) {
		q := asked(t, address)
		comeBack(t, q.Get("redirect_uri"), q.Get("state"), "code", "c")
	})
	if err == nil || !strings.Contains(err.Error(), "another issuer answered") {
		t.Error(err)
	}
}

func TestAddressesThatAreNotSecureAreRefused(t *testing.T) {
	for _, issuer := range []string{"", "login.example.com", "http://login.example.com", "ftp://127.0.0.1", "https://u:p@login.example.com"} {
		if _, err := Discover(t.Context(), Settings{Issuer: issuer, ClientID: "cli"}, nil); err == nil || !strings.HasPrefix(err.Error(), "the issuer is no") {
			t.Errorf("%q: %v", issuer, err)
		}
	}
	for _, endpoint := range []string{"authorization_endpoint", "token_endpoint", "revocation_endpoint", "device_authorization_endpoint"} {
		i := newIssuer(t)
		i.discovery[endpoint] = "http://login.example.com/x"
		if _, err := Discover(t.Context(), Settings{Issuer: i.URL, ClientID: "cli"}, nil); err == nil || !strings.Contains(err.Error(), "names an address that is not https") {
			t.Errorf("%s: %v", endpoint, err)
		}
	}
	i := newIssuer(t)
	if _, err := i.provider(t, Settings{}).Device(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "has no login with a device code") {
		t.Error(err)
	}
}
