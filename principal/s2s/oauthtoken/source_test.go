package oauthtoken_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2/clientcredentials"

	"github.com/signet-temporal/signet/principal/s2s/oauthtoken"
)

// server is a token endpoint that answers with status and body and remembers what it was asked.
type server struct {
	status int
	body   string
	asked  url.Values
	user   string
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm()
	s.asked = r.PostForm
	s.user, _, _ = r.BasicAuth()
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Location", "http://localhost:1/")
	w.WriteHeader(s.status)
	fmt.Fprint(w, s.body)
}

func newSource(t *testing.T, s *server, o oauthtoken.Options) *oauthtoken.Source {
	t.Helper()
	at := httptest.NewServer(s)
	t.Cleanup(at.Close)
	o.Config.ClientID, o.Config.ClientSecret, o.Config.TokenURL = "worker", "canary-secret", at.URL
	source, err := oauthtoken.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return source
}

func TestATokenIsAskedForByAudience(t *testing.T) {
	s := &server{status: 200, body: `{"access_token":"abc","token_type":"Bearer","expires_in":300}`}
	source := newSource(t, s, oauthtoken.Options{Config: clientcredentials.Config{Scopes: []string{"call"}, EndpointParams: url.Values{"tenant": {"x"}}}})
	token, err := source.Token(t.Context(), "payments")
	if err != nil || token.Reveal() != "abc" || time.Until(token.Expiry).Round(10*time.Second) != 5*time.Minute {
		t.Errorf("%v, %v", token, err)
	}
	if got := s.asked.Encode(); got != "audience=payments&grant_type=client_credentials&scope=call&tenant=x" || s.user != "worker" {
		t.Errorf("the server was asked %s by %s", got, s.user)
	}
	if _, err := newSource(t, s, oauthtoken.Options{AudienceParam: "resource"}).Token(t.Context(), "https://payments"); err != nil || s.asked.Get("resource") != "https://payments" {
		t.Errorf("asked %s, %v", s.asked.Encode(), err)
	}
	if _, err := newSource(t, s, oauthtoken.Options{IgnoreAudience: true}).Token(t.Context(), "payments"); err != nil || s.asked.Has("audience") {
		t.Errorf("asked %s, %v", s.asked.Encode(), err)
	}
}

func TestATokenWithoutALifetimeIsTakenToLiveAMinute(t *testing.T) {
	source := newSource(t, &server{status: 200, body: `{"access_token":"abc","token_type":"bearer"}`}, oauthtoken.Options{})
	token, err := source.Token(t.Context(), "payments")
	if left := time.Until(token.Expiry); err != nil || left > time.Minute || left < 50*time.Second {
		t.Errorf("it lives %s, %v", left, err)
	}
}

func TestARefusalIsOneLineWithoutSecretsAndWithoutTheServersText(t *testing.T) {
	for name, c := range map[string]struct {
		server
		want string
	}{
		"refused":         {server{status: 401, body: `{"error":"invalid_client","error_description":"canary-text"}`}, `401 ("invalid_client")`},
		"down":            {server{status: 503, body: "canary-text\nmore"}, `503 ("Service Unavailable")`},
		"redirects":       {server{status: 307}, "307"},
		"no JSON":         {server{status: 200, body: "canary-text"}, "token endpoint"},
		"no token":        {server{status: 200, body: `{"canary-text":1}`}, "token endpoint"},
		"another type":    {server{status: 200, body: `{"access_token":"canary-text","token_type":"mac"}`}, "not a bearer token"},
		"a huge answer":   {server{status: 200, body: `{"access_token":"` + strings.Repeat("canary-text", 1<<14) + `"}`}, "token endpoint"},
		"an odd error id": {server{status: 400, body: `{"error":"a\nb"}`}, `"a\nb"`},
	} {
		_, err := newSource(t, &c.server, oauthtoken.Options{}).Token(t.Context(), "payments")
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "canary") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAServerThatIsAwayIsSaidToBe(t *testing.T) {
	at := httptest.NewServer(http.NotFoundHandler())
	at.Close()
	source, err := oauthtoken.New(oauthtoken.Options{Config: clientcredentials.Config{ClientID: "a", ClientSecret: "canary", TokenURL: at.URL}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := source.Token(t.Context(), "payments"); err == nil || !strings.Contains(err.Error(), "cannot be asked") || strings.Contains(err.Error(), "canary") {
		t.Error(err)
	}
}

func TestASecretGoesNowhereInClear(t *testing.T) {
	for _, at := range []string{"http://login.example.com/token", "", "login.example.com", "https://user:pass@login.example.com", "ftp://127.0.0.1/"} {
		if _, err := oauthtoken.New(oauthtoken.Options{Config: clientcredentials.Config{ClientID: "a", ClientSecret: "b", TokenURL: at}}); err == nil || strings.Contains(err.Error(), "pass") {
			t.Errorf("%q: %v", at, err)
		}
	}
	if _, err := oauthtoken.New(oauthtoken.Options{Config: clientcredentials.Config{TokenURL: "https://login.example.com"}}); err == nil {
		t.Error("a client without id and secret")
	}
}
