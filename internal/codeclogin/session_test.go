package codeclogin

import (
	"encoding/base64"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/oauth2"
)

func kept(t *testing.T, i *issuer, s Store) *Login {
	t.Helper()
	login := &Login{Server: "https://codec.example.com", Settings: Settings{Issuer: i.URL, ClientID: "cli"},
		Tokens: &Tokens{Access: "old-access", ID: "old-id", Refresh: "old-refresh", Subject: "u-alice", Expires: time.Now().Add(time.Second), IDEnds: time.Now().Add(time.Second)}}
	if err := s.Save(login); err != nil {
		t.Fatal(err)
	}
	return login
}

func TestALoginIsRenewedBeforeItEnds(t *testing.T) {
	i, s := newIssuer(t), Store{t.TempDir()}
	session := NewSession(s, kept(t, i, s), nil)
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			if got, err := session.Authorization(t.Context()); err != nil || got == "Bearer old-access" || !strings.HasPrefix(got, "Bearer ") {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if len(i.asked) != 1 {
		t.Errorf("renewed %d times", len(i.asked))
	}
	now, err := s.Load("https://codec.example.com")
	if err != nil || now.Tokens.Access != session.Login().Tokens.Access || now.Tokens.Refresh == "old-refresh" {
		t.Errorf("what was renewed is not kept: %v", err)
	}
	// A second process that read the file before finds the refresh token used up, and the new login kept.
	i.refuse = "invalid_grant"
	old := *now
	old.Tokens = &Tokens{Access: "old-access", Refresh: "old-refresh", Subject: "u-alice", Expires: time.Now().Add(-time.Second)}
	if got, err := NewSession(s, &old, nil).Authorization(t.Context()); err != nil || got != now.Header() {
		t.Errorf("%v", err)
	}
}

func TestALoginThatIsNotRenewed(t *testing.T) {
	for name, c := range map[string]struct {
		lie  func(*issuer, Store, *Login)
		want string
	}{
		"refused":       {func(i *issuer, _ Store, _ *Login) { i.refuse = "invalid_grant" }, ErrEnded.Error()},
		"no refresh":    {func(_ *issuer, _ Store, l *Login) { l.Tokens.Refresh = "" }, ErrEnded.Error()},
		"somebody else": {func(i *issuer, _ Store, _ *Login) { i.subject = "u-bob" }, "for somebody else"},
		"logged out":    {func(_ *issuer, s Store, l *Login) { _, _ = s.Forget(l.Server) }, ErrEnded.Error()},
		"no new ID":     {func(i *issuer, _ Store, l *Login) { i.withoutID, l.IDToken = true, true }, ErrEnded.Error()},
		"away":          {func(i *issuer, _ Store, _ *Login) { i.Close() }, "does not tell its addresses"},
	} {
		t.Run(name, func(t *testing.T) {
			i, s := newIssuer(t), Store{t.TempDir()}
			login := kept(t, i, s)
			login.Tokens.Expires, login.Tokens.IDEnds = time.Now().Add(-time.Second), time.Now().Add(-time.Second)
			c.lie(i, s, login)
			if got, err := NewSession(s, login, nil).Authorization(t.Context()); err == nil || got != "" || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
	// While it is still good, an issuer that is away does not matter.
	i, s := newIssuer(t), Store{t.TempDir()}
	session := NewSession(s, kept(t, i, s), nil)
	session.login.Tokens.Expires = time.Now().Add(early / 2)
	i.Close()
	if got, err := session.Authorization(t.Context()); err != nil || got != "Bearer old-access" {
		t.Errorf("%v", err)
	}
}

func TestTheFileOfALoginIsItsOwners(t *testing.T) {
	i, s := newIssuer(t), Store{filepath.Join(t.TempDir(), "signet", "logins")}
	login := kept(t, i, s)
	file := s.File(login.Server)
	info, err := os.Stat(file)
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if dir, err := os.Stat(s.Dir); err != nil || dir.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", dir, err)
	}
	if left, err := filepath.Glob(filepath.Join(s.Dir, ".*")); err != nil || len(left) > 0 {
		t.Errorf("%v, %v", left, err)
	}
	for _, other := range []string{"https://codec.example.org", "http://codec.example.com", "https://codec.example.com:8443"} {
		if got, err := s.Load(other); got != nil || err != nil {
			t.Errorf("%s gets a login, %v", other, err)
		}
	}
	if err := os.Chmod(file, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Load(login.Server); err == nil || !strings.Contains(err.Error(), "others may read the login") {
		t.Error(err)
	}
	was, err := s.Forget(login.Server)
	if err != nil || was.Tokens == nil || was.Tokens.Refresh != "old-refresh" {
		t.Errorf("%v", err)
	}
	text, err := os.ReadFile(file)
	if err != nil || strings.Contains(string(text), "old-") || !strings.Contains(string(text), i.URL) {
		t.Errorf("after logging out the file is %s, %v", text, err)
	}
	if err := os.WriteFile(file, []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Load(login.Server); err == nil || !strings.Contains(err.Error(), "is no login for") {
		t.Error(err)
	}
	if _, err := s.Forget(login.Server); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

func TestOneNameForACodecServer(t *testing.T) {
	for endpoint, want := range map[string]string{
		"https://Codec.example.com/{namespace}":       "https://codec.example.com",
		"https://codec.example.com:443":               "https://codec.example.com",
		"https://{namespace}.codec.example.com:8443/": "https://_namespace_.codec.example.com:8443",
		"http://localhost:80/x":                       "http://localhost",
	} {
		if got, err := ServerOf(endpoint); err != nil || got != want {
			t.Errorf("%s: %q, %v", endpoint, got, err)
		}
	}
	for _, endpoint := range []string{"", "codec.example.com", "ftp://codec.example.com", "https://u:p@codec.example.com"} {
		if _, err := ServerOf(endpoint); err == nil {
			t.Errorf("%q is one", endpoint)
		}
	}
	s := Store{"/x"}
	if a, b := s.File("https://a.example"), s.File("http://a.example"); a == b || filepath.Dir(s.File("https://../../etc")) != "/x" {
		t.Errorf("%s, %s, %s", a, b, s.File("https://../../etc"))
	}
}

func TestWhenAnAccessTokenEnds(t *testing.T) {
	jwt := "e30." + base64.RawURLEncoding.EncodeToString([]byte(`{"exp":1800000000}`)) + ".x"
	for _, c := range []struct {
		token oauth2.Token
		want  int64
	}{
		{oauth2.Token{AccessToken: jwt, Expiry: time.Unix(1700000000, 0)}, 1700000000},
		{oauth2.Token{AccessToken: jwt}, 1800000000}, // a provider that says 0, or nothing
	} {
		if got := endOf(&c.token); got.Unix() != c.want {
			t.Errorf("%s, want %d", got, c.want)
		}
	}
	for _, opaque := range []string{"opaque", "a.b.c", "..", ""} {
		if got := endOf(&oauth2.Token{AccessToken: opaque}); !got.IsZero() {
			t.Errorf("%q ends at %s", opaque, got)
		}
	}
}

// TestALoginIsNotReadForAnotherServer: a file under another's name, as whoever can write to the folder could put it there,
// would send the token where it was not issued for.
func TestALoginIsNotReadForAnotherServer(t *testing.T) {
	s := Store{t.TempDir()}
	if err := s.Save(&Login{Server: "https://codec.example.com", Tokens: &Tokens{Access: "t"}}); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(s.File("https://codec.example.com"), s.File("https://evil.example")); err != nil {
		t.Fatal(err)
	}
	if login, err := s.Load("https://evil.example"); err == nil || login != nil {
		t.Errorf("%+v, %v", login, err)
	}
}
