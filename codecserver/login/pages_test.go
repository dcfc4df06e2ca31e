package login

import (
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
)

func TestNoParameterSaysWhereToGoNext(t *testing.T) {
	w := newWorld(t)
	l, v := w.replica(t, nil), newVisitor(t)
	const evil = "https://evil.example/"
	extra := "returnUrl=" + evil + "&return_to=" + evil + "&next=" + evil + "&redirect_uri=" + evil
	resp := v.do(l, "GET", pathStart+"?"+extra, http.Header{"Referer": {evil}, "X-Forwarded-Host": {"evil.example"}})
	location := resp.Header.Get("Location")
	if strings.Contains(location, "evil") || !strings.Contains(location, "redirect_uri=http%3A%2F%2Flocalhost%3A8081%2Flogin%2Fcallback") || !strings.Contains(location, "scope=openid+email+groups&") {
		t.Errorf("start leads to %s", location)
	}
	resp = v.do(l, "GET", pathCallback+"?"+w.authorize(location).Encode()+"&"+extra, nil)
	if got := resp.Header.Get("Location"); got != "/login" {
		t.Errorf("callback leads to %q", got)
	}
	resp = v.do(l, "POST", pathLogout+"?"+extra, http.Header{"Origin": {l.o.URL}})
	if got := resp.Header.Get("Location"); got != "/login" {
		t.Errorf("logout leads to %q", got)
	}
	for _, path := range []string{"/login//evil.example", "/login/", "/login/start/", "/login/../x", "/login/callback/x"} {
		if resp := v.do(l, "GET", path, nil); resp.StatusCode != http.StatusNotFound || resp.Header.Get("Location") != "" {
			t.Errorf("%s: %s", path, resp.Status)
		}
	}
}

func TestPagesRunAndLoadNothingAndQuoteNobody(t *testing.T) {
	w := newWorld(t)
	l, v := w.replica(t, nil), newVisitor(t)
	check := func(resp *http.Response) string {
		t.Helper()
		csp := resp.Header.Get("Content-Security-Policy")
		if !strings.HasPrefix(csp, "default-src 'none'; style-src 'sha256-") || strings.Contains(csp, "unsafe") || strings.Contains(csp, "script-src") ||
			!strings.Contains(csp, "frame-ancestors 'none'") || resp.Header.Get("Cache-Control") != "no-store" || resp.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("headers %v", resp.Header)
		}
		for name, want := range map[string]string{"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin", "Referrer-Policy": "same-origin", "Content-Type": "text/html; charset=utf-8"} {
			if got := resp.Header.Get(name); got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
		for _, want := range []string{"form-action 'self'", "base-uri 'none'"} {
			if !strings.Contains(csp, want) {
				t.Errorf("the policy is %q, without %s", csp, want)
			}
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(body), "ZgotmplZ") || strings.Contains(string(body), "<script") || !strings.Contains(string(body), "</html>") {
			t.Errorf("the page is %s", body)
		}
		return string(body)
	}
	check(v.do(l, "GET", "/login", nil))
	check(v.do(l, "GET", "/login/nothing", nil))
	check(v.do(l, "POST", pathLogout, http.Header{"Origin": {"https://evil.example"}}))
	// What leads on is kept by nobody, and takes no address with a code or state along.
	for _, resp := range []*http.Response{v.do(l, "GET", pathStart, nil), v.do(l, "POST", pathLogout, http.Header{"Origin": {l.o.URL}})} {
		if resp.StatusCode != http.StatusSeeOther || resp.Header.Get("Cache-Control") != "no-store" || resp.Header.Get("Referrer-Policy") != "no-referrer" {
			t.Errorf("%s: headers %v", resp.Status, resp.Header)
		}
	}
	evil := "%3Cscript%3Ealert(1)%3C%2Fscript%3E"
	v.do(l, "GET", pathStart, nil)
	if body := check(v.do(l, "GET", pathCallback+"?error="+evil+"&error_description="+evil+"&state="+evil, nil)); strings.Contains(body, "alert") {
		t.Errorf("the page quotes the request: %s", body)
	}
	w.change = func(c map[string]any) { c["email"] = nil; c["sub"] = `<script>alert(2)</script>` }
	v.logIn(w.provider, l)
	if body := check(v.do(l, "GET", "/login", nil)); !strings.Contains(body, "&lt;script&gt;alert(2)") {
		t.Errorf("the page does not show the subject: %s", body)
	}
}

func TestWhatTheProviderSaysIsCountedAndKeptOutOfTheLog(t *testing.T) {
	w := newWorld(t)
	var log strings.Builder
	counts := map[string]int{}
	l := w.replica(t, func(o *Options) {
		o.Logger = slog.New(slog.NewTextHandler(&log, nil))
		o.Observe = func(result string) { counts[result]++ }
	})
	v := newVisitor(t)
	v.logIn(w.provider, l)
	session := v.cookies[sessionCookie]
	v.do(l, "POST", pathLogout, http.Header{"Origin": {l.o.URL}})
	again := func() int {
		q := w.authorize(v.do(l, "GET", pathStart, nil).Header.Get("Location"))
		return v.do(l, "GET", pathCallback+"?"+q.Encode(), nil).StatusCode
	}
	w.fail = "invalid_grant"
	if status := again(); status != http.StatusBadRequest {
		t.Errorf("refused by the provider: %d", status)
	}
	w.fail = ""
	w.change = func(c map[string]any) {
		var groups []string
		for range 190 {
			groups = append(groups, rand.Text())
		}
		c["groups"] = groups
	}
	if status := again(); status != http.StatusServiceUnavailable {
		t.Errorf("too much for a cookie: %d", status)
	}
	w.Close()
	v.do(l, "GET", pathStart, nil)
	if got := fmt.Sprint(counts); got != "map[failed:1 logout:1 ok:1 refused:1]" {
		t.Errorf("counted %s", got)
	}
	text := log.String()
	for _, secret := range []string{"planted-description", "ann@example.com", session, secret, "oncall"} {
		if strings.Contains(text, secret) {
			t.Errorf("the log holds %q:\n%s", secret, text)
		}
	}
	for _, want := range []string{`msg=login caller.issuer=` + w.URL + ` caller.subject=u-ann`, `msg=logout`, `invalid_grant`, "have the provider send this client the groups"} {
		if !strings.Contains(text, want) {
			t.Errorf("the log does not hold %q:\n%s", want, text)
		}
	}
}

func TestOptionsThatAreWrongAreNamed(t *testing.T) {
	good := Options{URL: "https://codec.example.com", Issuer: "https://login.example.com", ClientID: "c", Origins: []string{ui}, Ended: "d", Keyset: "k"}
	if err := good.Check(); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*Options){
		"url: the address":                                      func(o *Options) { o.URL = "" },
		`url: "https://codec.example.com/"`:                     func(o *Options) { o.URL += "/" },
		`url: "https://CODEC`:                                   func(o *Options) { o.URL = "https://CODEC.example.com" },
		`url: "http://codec.example.com" must begin with https`: func(o *Options) { o.URL = "http://codec.example.com" },
		"issuer: ":   func(o *Options) { o.Issuer = "" },
		"clientID: ": func(o *Options) { o.ClientID = "" },
		"keyset: ":   func(o *Options) { o.Keyset = "" },
		"ended: ":    func(o *Options) { o.Ended = "" },
		"maxAge: ":   func(o *Options) { o.MaxAge = -1 },
		"origins: ":  func(o *Options) { o.Origins = nil },
	} {
		o := good
		change(&o)
		if err := o.Check(); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("Check = %v, want %q", err, want)
		}
	}
}
