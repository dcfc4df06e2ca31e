package ui

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/signet-temporal/signet/e2e/stack"
	"github.com/signet-temporal/signet/tools/parts"
)

// leeway is signet's for clocks that differ.
const leeway = 30 * time.Second

// TestTokensThatAreNotGoodEnough plants access tokens where the UI keeps those of a login, beside the ID token of a real
// one: the Web UI's own server verifies the ID token and serves no page without it, but it leaves the access token alone.
func TestTokensThatAreNotGoodEnough(t *testing.T) {
	t.Parallel()
	w := newWorld(t, stack.ServerOptions{}, setting{})
	alice := w.uiTokens(t, "alice")
	with := func(access string) parts.Tokens { return parts.Tokens{Access: access, ID: alice.ID} }
	cases := []struct {
		name   string
		tokens parts.Tokens
		reason string
		says   []string // what to do
	}{
		{"another audience", with(w.Login(t, w.OIDC, "alice", stack.OpsClient, "another-service").Access),
			"wrong-audience", []string{"was not issued for this codec server", "must add its audience"}},
		{"unsigned", with(unsigned(t, alice.Access)),
			"bad-signature", []string{"could not be verified", "Reload the page and log in again"}},
		{"of somebody else", with(w.uiTokens(t, "bob").Access),
			"token-mismatch", []string{"name different users", "Log out and in again"}},
		{"another namespace", w.uiTokens(t, "bob"),
			"not-granted", []string{"You may not decode payloads of namespace", contact}},
		// The UI goes on sending an access token that has expired.
		{"expired", with(w.Login(t, w.OIDC, "alice", stack.BriefClient, stack.Audience).Access),
			"expired-token", []string{"your login has expired", "Reload the page and log in again"}},
	}
	for _, v := range versions() {
		t.Run(string(v), func(t *testing.T) {
			ui, b := w.uis[v][setting{}], openBrowser(t, w.server.Cert.CAFile)
			for _, c := range cases {
				t.Run(c.name, func(t *testing.T) {
					if c.reason == "expired-token" {
						time.Sleep(time.Until(expiry(t, c.tokens.Access).Add(leeway + time.Second)))
					}
					b := b.in(t)
					b.plant(ui, c.tokens)
					w.explains(t, b, ui, c.reason, c.says...)
				})
			}
		})
	}
}

// TestALoginOfAnotherIssuerIsExplained has a Web UI where people log in at a provider that signet-server does not know.
func TestALoginOfAnotherIssuerIsExplained(t *testing.T) {
	t.Parallel()
	w := newWorld(t, stack.ServerOptions{}, setting{otherIssuer: true})
	for _, v := range versions() {
		t.Run(string(v), func(t *testing.T) {
			ui, b := w.uis[v][setting{otherIssuer: true}], openBrowser(t, w.server.Cert.CAFile)
			b.logIn(w.page(ui, "history"), "alice")
			w.explains(t, b, ui, "unknown-issuer", "from an identity provider that this codec server does not know")
		})
	}
}

// TestWithoutALoginThePageExplainsThat has a Web UI without login, which has no token to send.
func TestWithoutALoginThePageExplainsThat(t *testing.T) {
	t.Parallel()
	w := newWorld(t, stack.ServerOptions{}, setting{withoutLogin: true}, setting{})
	for _, v := range versions() {
		t.Run(string(v), func(t *testing.T) {
			ui, b := w.uis[v][setting{withoutLogin: true}], openBrowser(t, w.server.Cert.CAFile)
			w.explains(t, b, ui, "missing-token", "no login came with this request", "Log in again")
		})
		t.Run(string(v)+" with a login that nobody used", func(t *testing.T) {
			ui, b := w.uis[v][setting{}], openBrowser(t, w.server.Cert.CAFile)
			b.open(w.page(ui, "history"))
			b.awaitText("Continue to SSO")
			b.awaitQuiet(t, "POST", w.server.URL, 0)
			b.screenshot("login")
			if calls := b.with("POST", w.server.URL); len(calls) > 0 {
				t.Errorf("the codec server was asked: %+v", calls)
			}
		})
	}
}

// explains opens the history page: it must render, with the explanation in place of each payload and nothing decoded.
func (w *world) explains(t *testing.T, b *browser, ui, reason string, says ...string) {
	t.Helper()
	b.awaitQuiet(t, "POST", w.server.URL, 0)
	before := len(w.server.Audit(t))
	b.forget()
	b.open(w.page(ui, "history"))
	b.awaitText(append(says, reason)...)
	b.awaitQuiet(t, "POST", w.server.URL, 3)
	b.rendered()
	b.holdsNothing()
	b.screenshot("history")
	for _, x := range b.with("POST", w.server.URL) {
		if x.status != 200 || x.bearer != (reason != "missing-token") {
			t.Errorf("decode: %+v", x)
		}
	}
	records := w.server.Audit(t)[before:]
	if len(records) < 3 {
		t.Errorf("audit has %d records of %s, want one for each request", len(records), reason)
	}
	for _, r := range records {
		if r.Decision != "deny" || r.Reason != reason || r.Rule != "" || r.Namespace != "" || (r.Subject == "") != (reason != "not-granted") {
			t.Errorf("audit has %+v", r)
		}
	}
}

// uiTokens returns what the Web UI gets when a user logs in.
func (w *world) uiTokens(t *testing.T, user string) parts.Tokens {
	t.Helper()
	tokens, err := parts.Login(t.Context(), parts.LoginRequest{
		Issuer: w.OIDC.Issuer, ClientID: stack.UIClient, ClientSecret: stack.UISecret, RedirectURI: "http://127.0.0.1:1" + parts.UICallback,
		Username: user, Password: user + "-password", Audience: stack.Audience,
	})
	if err != nil {
		t.Fatal(err)
	}
	return tokens
}

// plant puts tokens where the UI keeps those of a login. ui is its address.
func (b *browser) plant(ui string, tokens parts.Tokens) {
	b.t.Helper()
	user, err := json.Marshal(map[string]string{
		"accessToken": tokens.Access, "idToken": tokens.ID, "name": "Planted", "email": "planted@example.com", "picture": "",
	})
	if err != nil {
		b.t.Fatal(err)
	}
	b.open(ui + "/login")
	b.awaitText("Continue to SSO")
	b.eval(fmt.Sprintf(`(localStorage.clear(), localStorage.setItem("AuthUser", %q), "")`, user))
}

// unsigned returns the token with "alg": "none" and no signature.
func unsigned(t *testing.T, token string) string {
	t.Helper()
	fields := strings.Split(token, ".")
	if len(fields) != 3 {
		t.Fatal("the access token is not a JWT")
	}
	return base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"JWT"}`)) + "." + fields[1] + "."
}

// expiry reads the "exp" of a token.
func expiry(t *testing.T, token string) time.Time {
	t.Helper()
	var claims struct{ Exp int64 }
	fields := strings.Split(token, ".")
	if len(fields) != 3 {
		t.Fatal("the access token is not a JWT")
	}
	text, err := base64.RawURLEncoding.DecodeString(fields[1])
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &claims); err != nil || claims.Exp == 0 {
		t.Fatalf("the access token has no expiry: %v", err)
	}
	return time.Unix(claims.Exp, 0)
}
