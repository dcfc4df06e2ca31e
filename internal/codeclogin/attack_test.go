package codeclogin

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"
)

// TestWhatOthersCanSendDuringALogin: other pages in the browser, and other users of the machine.
func TestWhatOthersCanSendDuringALogin(t *testing.T) {
	i := newIssuer(t)
	p := i.provider(t, Settings{})
	_, err := p.Loopback(t.Context(), 0, func(address string) {
		q := asked(t, address)
		i.nonce = q.Get("nonce")
		home := q.Get("redirect_uri")
		for what, send := range map[string]struct {
			method, address string
			status          int
		}{
			"a form of another page":     {"POST", home + "?code=stolen&state=" + q.Get("state"), http.StatusMethodNotAllowed},
			"a preflight":                {"OPTIONS", home + "?code=stolen&state=" + q.Get("state"), http.StatusMethodNotAllowed},
			"another path":               {"GET", strings.Replace(home, "/callback", "/callback/", 1) + "?code=stolen&state=" + q.Get("state"), http.StatusNotFound},
			"no state":                   {"GET", home + "?code=stolen", http.StatusBadRequest},
			"an empty state":             {"GET", home + "?code=stolen&state=", http.StatusBadRequest},
			"another state first":        {"GET", home + "?code=stolen&state=x&state=" + q.Get("state"), http.StatusBadRequest},
			"an error without the state": {"GET", home + "?error=access_denied", http.StatusBadRequest},
		} {
			req, err := http.NewRequestWithContext(t.Context(), send.method, send.address, nil)
			if err != nil {
				t.Error(err)
				return
			}
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Error(err)
				return
			}
			res.Body.Close()
			if res.StatusCode != send.status || res.Header.Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("%s: status %d, want %d", what, res.StatusCode, send.status)
			}
		}
		res, err := http.Get(home + "?code=c0de&state=" + q.Get("state"))
		if err != nil {
			t.Error(err)
			return
		}
		defer res.Body.Close()
		for name, want := range map[string]string{"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff", "Content-Type": "text/plain; charset=utf-8"} {
			if got := res.Header.Get(name); got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
	})
	if err != nil {
		t.Errorf("the login did not go on: %v", err)
	}
	if n := len(i.asked); n != 1 || i.asked[0]["code"][0] != "c0de" {
		t.Errorf("%d codes were exchanged", n)
	}
}

// TestAnIssuerThatLies: none of what it wrote is shown, and nobody is sent where it says.
func TestAnIssuerThatLies(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		t.Errorf("the login went elsewhere: %s %s", r.URL, body)
	}))
	defer elsewhere.Close()
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		want   string
		ended  bool
	}{
		"a redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
		}, "", true},
		"an error that steers": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(400)
			answerJSON(w, map[string]any{"error": "\x1b[2Jplanted"})
		}, "", true},
		"a broken server": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(502)
			_, _ = io.WriteString(w, "planted")
		}, "renewing the login: status 502", false},
		"no JSON": {func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "planted\x1b[2J"+strings.Repeat("planted", 100))
		}, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			i := newIssuer(t)
			liar := httptest.NewServer(c.answer)
			defer liar.Close()
			i.discovery["token_endpoint"] = liar.URL
			p := i.provider(t, Settings{})
			_, err := p.Refresh(t.Context(), &Tokens{Refresh: "old-refresh", Subject: "u-alice"})
			if err == nil || errors.Is(err, ErrEnded) != c.ended || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "planted") || strings.Contains(err.Error(), "\x1b") || len(err.Error()) > 400 {
				t.Errorf("renewing: %v", err)
			}
			_, err = p.Loopback(t.Context(), 0, func(address string) {
				q := asked(t, address)
				comeBack(t, q.Get("redirect_uri"), q.Get("state"), "code", "c")
			})
			if err == nil || strings.Contains(err.Error(), "planted") || strings.Contains(err.Error(), "\x1b") || len(err.Error()) > 400 {
				t.Errorf("logging in: %v", err)
			}
		})
	}
	t.Run("no bearer token", func(t *testing.T) {
		i := newIssuer(t)
		i.tokenType = "DPoP" // as a bearer token it would be refused, or accepted from whoever has it
		if _, err := i.provider(t, Settings{}).Refresh(t.Context(), &Tokens{Refresh: "old-refresh", Subject: "u-alice"}); err == nil || !strings.Contains(err.Error(), "issued no bearer token") {
			t.Error(err)
		}
	})
	t.Run("a long name", func(t *testing.T) {
		i := newIssuer(t)
		i.discovery["issuer"] = "https://" + strings.Repeat("planted", 100)
		if _, err := Discover(t.Context(), Settings{Issuer: i.URL, ClientID: "cli"}, nil); err == nil || strings.Contains(err.Error(), "planted") {
			t.Error(err)
		}
	})
	t.Run("a redirect of its addresses", func(t *testing.T) {
		moved := httptest.NewServer(http.RedirectHandler(elsewhere.URL, http.StatusFound))
		defer moved.Close()
		if _, err := Discover(t.Context(), Settings{Issuer: moved.URL, ClientID: "cli"}, nil); err == nil {
			t.Error("it was followed")
		}
	})
	for _, fragment := range []string{"https://login.example.com/#x", "https://login.example.com#x"} {
		if err := secure(fragment); err == nil {
			t.Errorf("%s is taken", fragment)
		}
	}
}

// TestADeviceLoginThatLeadsElsewhere: the address is shown to a person, who opens it.
func TestADeviceLoginThatLeadsElsewhere(t *testing.T) {
	for _, address := range []string{"http://login.example.com/device", "javascript:alert(1)", "file:///etc/passwd", "https://login.example.com@evil.example/device"} {
		i := newIssuer(t)
		device := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			answerJSON(w, map[string]any{"device_code": "d", "user_code": "U", "verification_uri": address, "expires_in": 60, "interval": 1})
		}))
		defer device.Close()
		i.discovery["device_authorization_endpoint"] = device.URL
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		_, err := i.provider(t, Settings{}).Device(ctx, func(string, string) { t.Errorf("%s is shown", address) })
		cancel()
		if err == nil || !strings.Contains(err.Error(), "names an address that") {
			t.Errorf("%s: %v", address, err)
		}
	}
}

// TestAFileThatHoldsAnotherServersLogin, because somebody has moved it there, gives its token to nobody.
func TestAFileThatHoldsAnotherServersLogin(t *testing.T) {
	i, s := newIssuer(t), Store{t.TempDir()}
	login := kept(t, i, s)
	const other = "https://evil.example"
	for what, put := range map[string]func() error{
		"moved":  func() error { return os.Link(s.File(login.Server), s.File(other)) },
		"linked": func() error { return os.Symlink(s.File(login.Server), s.File(other)) },
	} {
		if err := put(); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Load(other); got != nil || err == nil || !strings.Contains(err.Error(), "is no login for "+other) {
			t.Errorf("%s: %v", what, err)
		}
		if _, err := s.Forget(other); err != nil { // what lies there goes, and not what it leads to
			t.Errorf("%s: %v", what, err)
		}
		if got, err := s.Load(login.Server); err != nil || got.Tokens == nil {
			t.Errorf("%s: the login itself is gone: %v", what, err)
		}
	}
	// A login is saved over a link, and not through it.
	target := s.Dir + "/target"
	if err := os.WriteFile(target, []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, s.File(other)); err != nil {
		t.Fatal(err)
	}
	moved := *login
	moved.Server = other
	if err := s.Save(&moved); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(target); err != nil || string(text) != "mine" {
		t.Errorf("it was written through a link: %s, %v", text, err)
	}
	if info, err := os.Lstat(s.File(other)); err != nil || info.Mode() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
}
