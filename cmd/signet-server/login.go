package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/signet-temporal/signet/codecserver"
	"github.com/signet-temporal/signet/codecserver/login"
	"github.com/signet-temporal/signet/codecserver/selftest"
	"github.com/signet-temporal/signet/keys"
	"github.com/signet-temporal/signet/principal/verify"
)

// loginConfig is how people log in to this server, at <url>/login. All fields but the last four are required. It needs
// cors.origins and cors.allowCredentials, so that the Web UI may send the cookie.
type loginConfig struct {
	// URL of this server as browsers reach it, without a path: https://codec.example.com, or http://localhost:8234. The
	// OpenID provider must know <url>/login/callback as a redirect URI. Web UIs have to be on the same site: the same
	// registrable domain and scheme, or the same loopback host.
	URL string `yaml:"url"`
	// Issuer is one of issuers, with discovery. It vouches for a session as for a token, and the policy sees no difference.
	Issuer string `yaml:"issuer"`
	// ClientID of this server at the issuer: one of the issuer's idTokenAudiences.
	ClientID string `yaml:"clientID"`
	// Keyset that seals the cookies, and nothing else; replicas have the same. "signet keyset create login/codec".
	Keyset string `yaml:"keyset"`
	// Ended is a directory for the sessions that were ended by logging out: a small file for each until it would have
	// expired. Replicas share the directory. Where it cannot be read no session counts.
	Ended string `yaml:"ended"`

	// ClientSecretFile has the client's secret. Default: a public client, with PKCE alone.
	ClientSecretFile string `yaml:"clientSecretFile"`
	// Scopes to ask for besides openid. Default: email and profile.
	Scopes []string `yaml:"scopes"`
	// MaxAge of a session, such as 8h. Default: as long as the ID token. A session never lives longer than that.
	MaxAge string `yaml:"maxAge"`
	// AllowCrossSite is for Web UIs on another site: cookies with SameSite=None, which many browsers do not send there.
	AllowCrossSite bool `yaml:"allowCrossSite"`
}

func (c *loaded) checkLogin() error {
	in := c.Login
	if reflect.DeepEqual(in, loginConfig{}) {
		return nil
	}
	c.login = &login.Options{URL: in.URL, Issuer: in.Issuer, ClientID: in.ClientID, Keyset: in.Keyset, Ended: in.Ended, Origins: c.CORS.Origins,
		Scopes: in.Scopes, AllowCrossSite: in.AllowCrossSite}
	if in.Scopes == nil {
		c.login.Scopes = []string{"email", "profile"}
	}
	if in.MaxAge != "" {
		d, err := time.ParseDuration(in.MaxAge)
		if err != nil || d <= 0 {
			return fmt.Errorf("login.maxAge: %q is not a time, such as 8h", in.MaxAge)
		}
		c.login.MaxAge = d
	}
	if len(c.CORS.Origins) == 0 {
		return errors.New("cors.origins: login needs the origin of a Web UI: who else would use the session?")
	}
	if err := c.login.Check(); err != nil {
		return fmt.Errorf("login.%w", err)
	}
	n := slices.IndexFunc(c.issuers, func(i verify.Issuer) bool { return i.Issuer == in.Issuer })
	switch {
	case n < 0:
		return fmt.Errorf("login.issuer: %q is none of issuers", in.Issuer)
	case !slices.Contains(c.issuers[n].IDTokenAudiences, in.ClientID):
		return fmt.Errorf("login.clientID: add %q to issuers[%d].idTokenAudiences: its ID tokens are for this client", in.ClientID, n)
	case !c.CORS.AllowCredentials:
		return errors.New("cors.allowCredentials: login needs it, so that the Web UI may send the cookie")
	case slices.Contains(c.payloadKeysets(), in.Keyset):
		return fmt.Errorf("login.keyset: %q seals payloads: create another one for cookies", in.Keyset)
	case slices.ContainsFunc(c.tenants(), func(under string) bool { return strings.HasPrefix(in.Keyset, under) }):
		return fmt.Errorf("login.keyset: %q is a tenant's by its name, and workers that have it could log in as anybody: create another one for cookies", in.Keyset)
	}
	if err := keys.CheckName(in.Keyset); err != nil {
		return fmt.Errorf("login.keyset: %w", err)
	}
	if in.ClientSecretFile != "" {
		secret, err := os.ReadFile(in.ClientSecretFile)
		if err != nil {
			return fmt.Errorf("login.clientSecretFile: %w", err)
		}
		if c.login.ClientSecret = strings.TrimSpace(string(secret)); c.login.ClientSecret == "" {
			return fmt.Errorf("login.clientSecretFile: %s is empty", in.ClientSecretFile)
		}
	}
	return nil
}

// newLogin returns nil where nobody logs in, and that of old where nothing of it has changed: the issuer may be away.
func (b *built) newLogin(ctx context.Context, old *built, log *slog.Logger) (*login.Login, error) {
	c := b.config
	if c.login == nil {
		return nil, nil
	}
	if old.login != nil && b.verifier == old.verifier && b.keys == old.keys && reflect.DeepEqual(c.login, old.config.login) {
		return old.login, nil
	}
	o := *c.login
	o.Tokens, o.Keys, o.Logger, o.Observe = b.verifier, b.keys.Ring, log, b.metrics.login
	n := slices.IndexFunc(c.issuers, func(i verify.Issuer) bool { return i.Issuer == o.Issuer })
	o.HTTPClient = c.issuers[n].Client()
	l, err := login.New(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("login.%w", err)
	}
	return l, nil
}

// site has the pages for people beside the codec protocol.
type site struct {
	codec    *codecserver.Handler
	login    *login.Login // nil: nobody logs in
	selfTest http.Handler
}

// ServeHTTP implements [http.Handler].
func (s site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case s.login != nil && login.Handles(r):
		s.login.ServeHTTP(w, r)
	case selftest.Handles(r):
		s.selfTest.ServeHTTP(w, r)
	case r.URL.Path == "/" && (r.Method == http.MethodGet || r.Method == http.MethodHead):
		w.Header().Set("Cache-Control", "no-store")
		http.Redirect(w, r, s.front(), http.StatusSeeOther)
	default:
		s.codec.ServeHTTP(w, r)
	}
}

// front is the page for people who type the server's address into their browser.
func (s site) front() string {
	if s.login != nil {
		return "/login"
	}
	return "/self-test"
}
