package main

import (
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// loginClient is the arena's server at its identity provider, and loginURL where browsers find it.
const (
	loginClient = "codec-login"
	loginURL    = "https://codec.example.com"
)

// tokens is the provider's token endpoint: whoever brings a code is who logs in next.
func (p *provider) tokens(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"access_token": "opaque", "token_type": "Bearer", "id_token": *p.logsIn.Load()})
}

// cookieOf is a cookie that an answer sets, as a browser sends it.
func cookieOf(got answer, name string) string {
	for _, c := range (&http.Response{Header: got.header}).Cookies() {
		if c.Name == name && c.Value != "" {
			return c.Name + "=" + c.Value
		}
	}
	return ""
}

// session logs somebody in, and returns the cookie of the session, and that of the attempt.
func (a *arena) session(who string) (session, attempt string) {
	a.t.Helper()
	began := a.fire(shot{method: http.MethodGet, path: "/login/start"})
	to, err := url.Parse(began.header.Get("Location"))
	if err != nil {
		a.t.Fatal(err)
	}
	attempt = cookieOf(began, "__Host-signet-login")
	token := a.idp.of(who, fields{"aud": loginClient, "nonce": to.Query().Get("nonce")})
	a.idp.logsIn.Store(&token)
	done := a.fire(shot{method: http.MethodGet, path: "/login/callback?code=c&state=" + to.Query().Get("state"), header: map[string][]string{"Cookie": {attempt}}})
	if session = cookieOf(done, "__Host-signet-session"); session == "" {
		a.t.Fatalf("%s has no session: %s", who, done.whole)
	}
	a.issued = append(a.issued, token, session, attempt)
	return session, attempt
}

// sessionAttacks are about the cookie of a login, alone and beside whatever else says who somebody is.
func sessionAttacks() []attack {
	// with is a shot of a page of the Web UI with a cookie and further headers, as name and value in turn.
	with := func(cookie string, more ...string) shot {
		s := shot{header: map[string][]string{"Cookie": {cookie}, "Origin": {arenaUI}}}
		for i := 0; i < len(more); i += 2 {
			s.header[more[i]] = []string{more[i+1]}
		}
		return s
	}
	without := func(s shot, header string) shot {
		delete(s.header, header)
		return s
	}
	return []attack{
		{"a session beside something bad", func(a *arena) []answer {
			ann, _ := a.session("ann")
			a.issued = append(a.issued, a.jobToken)
			return a.all(
				with(ann, "Authorization", "Bearer "+a.idp.of("ann", fields{"aud": "vault"})),
				with(ann, "Authorization", ""),
				with(ann, "Authorization-Extras", "x"),
				with(ann, "Authorization", "Basic x"),
				with(ann, "Authorization", "Bearer "+a.jobToken+"x"), // a program's: it gets no explanation
			)
		}, []string{"explained wrong-audience", "explained missing-token", "explained malformed-token", unauthenticated}, false},
		{"a session without a page of the Web UI's", func(a *arena) []answer {
			ann, _ := a.session("ann")
			return a.all(
				without(with(ann), "Origin"),
				without(with(ann, "Signet-Accept", "explanations"), "Origin"),
				with(ann, "Origin", loginURL),
				with(ann, "Origin", "https://evil.example"),
				with(ann, "Content-Type", "text/plain"),
			)
		}, []string{unauthenticated, "explained session-not-usable-here", "403 origin-not-allowed", "415 unsupported-media-type"}, false},
		{"a session and a program's certificate", func(a *arena) []answer {
			bob, _ := a.session("bob")
			ann, _ := a.session("ann")
			worker := a.client(a.authority.worker(nil))
			other := a.client(a.authority.worker(func(c *x509.Certificate) { c.DNSNames = []string{"other.example.com"} }))
			mine, broken, theirs := with(bob), with(ann+"x"), without(with(ann), "Origin")
			mine.client, broken.client, theirs.client = worker, worker, other
			return a.all(mine, broken, theirs)
		}, []string{"explained not-granted", "explained malformed-session", denied}, false},
		{"two sessions, half of one, and what is none", func(a *arena) []answer {
			ann, attempt := a.session("ann")
			bob, _ := a.session("bob")
			_, sealed, _ := strings.Cut(attempt, "=")
			return a.all(
				with(bob+"; "+ann), with(ann+"; "+ann), with(ann[:len(ann)-8]), with(ann+"A"),
				with("__Host-signet-session="+sealed), with("__Host-signet-session="), with("__Host-signet-session="+strings.Repeat("A", 60<<10)[:8<<10]),
				with(strings.Replace(ann, "__Host-", "", 1)), with(strings.Replace(ann, "__Host-", "__host-", 1)),
			)
		}, []string{"explained malformed-session", "explained missing-token"}, false},
		{"a session of somebody who has logged out", func(a *arena) []answer {
			ann, _ := a.session("ann")
			out := a.fire(shot{method: http.MethodPost, path: "/login/logout", header: map[string][]string{"Cookie": {ann}, "Origin": {loginURL}}})
			if !strings.HasPrefix(out.says, fmt.Sprint(http.StatusSeeOther)) {
				a.t.Errorf("logging out is answered with %s", out.whole)
			}
			return a.all(with(ann))
		}, []string{"explained ended-session"}, false},
		{"a session that asks for more", func(a *arena) []answer {
			ann, _ := a.session("ann")
			encode, orders := with(ann), with(ann, "X-Namespace", "orders")
			encode.path, encode.body = "/encode", `{"payloads":[{"metadata":{"encoding":"anNvbi9wbGFpbg=="},"data":"MQ=="}]}`
			orders.body = bodyOf(a.t, a.sealed("orders"))
			return a.all(encode, orders)
		}, []string{denied, "explained not-granted"}, false},
		{"what a page may not send", func(a *arena) (got []answer) {
			for _, name := range []string{"Signet-Accept", "Signet-Break-Glass", "Cookie", "Origin"} {
				x := a.fire(shot{method: http.MethodOptions, header: map[string][]string{"Origin": {arenaUI}, "Access-Control-Request-Method": {"POST"}, "Access-Control-Request-Headers": {strings.ToLower(name)}}})
				if allowed := x.header.Get("Access-Control-Allow-Headers"); strings.Contains(strings.ToLower(allowed), strings.ToLower(name)) || strings.Contains(allowed, "*") {
					a.t.Errorf("a page may send %s: %s", name, allowed)
				}
				got = append(got, x)
			}
			return got
		}, []string{"204"}, false},
		{"a program that says that it takes explanations", func(a *arena) []answer {
			orders := bodyOf(a.t, a.sealed("orders"))
			accept := map[string][]string{"Signet-Accept": {"explanations"}, "X-Namespace": nil}
			return a.all(
				shot{token: a.jobToken, body: orders, header: accept},
				shot{client: a.client(a.authority.worker(nil)), body: orders, header: accept},
				shot{token: a.idp.of("ann", nil), header: map[string][]string{"Signet-Accept": {"explanations", "masks"}}},
				shot{token: a.idp.of("bob", nil), path: "/encode", header: map[string][]string{"Signet-Accept": {"explanations"}}},
			)
		}, []string{denied, badBody}, false},
	}
}
