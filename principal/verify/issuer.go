package verify

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/signet-temporal/signet/internal/loopback"
	"github.com/signet-temporal/signet/principal/verify/internal/jwks"
)

// Issuer is one who vouches for callers. Issuer and at least one audience are required; the zero value of every other
// field is the safe choice.
type Issuer struct {
	// Issuer is the exact "iss" of its tokens, an https URL (http for a loopback address alone). Without JWKSURL the
	// keys are found by OIDC discovery beneath it.
	Issuer string
	// JWKSURL is where the keys are, for issuers without discovery. Nothing else is fetched then.
	JWKSURL string
	// Audiences are what an access token in Authorization may be meant for: its "aud" must hold one of them.
	Audiences []string
	// IDTokenAudiences are the same for an ID token in Authorization-Extras: the client id of the Web UI.
	IDTokenAudiences []string
	// Algorithms that may sign: of RS256, PS256, ES256, ES384, EdDSA. Empty: all of these.
	Algorithms []string
	// GroupsClaim holds the groups, a string or a list of strings. Empty: "groups".
	GroupsClaim string
	// EmailClaim holds the e-mail address. Empty: "email". "email_verified" speaks about the claim "email" alone: the
	// address of another claim counts only where "email" holds the same address and is verified, or with
	// AllowUnverifiedEmail.
	EmailClaim string
	// AllowUnverifiedEmail takes the address of a token without "email_verified", and of an EmailClaim that "email" does
	// not confirm; never one with "email_verified": false. Only for issuers where users cannot choose their address.
	AllowUnverifiedEmail bool
	// TokenTypes are the "typ" of its access tokens, such as "at+jwt"; a token without "typ" counts as "JWT". Empty:
	// "at+jwt" and "JWT". The type of an ID token is "JWT", always.
	TokenTypes []string
	// AuthorizedParties are the client ids to which it may have issued a token: its "azp" and "client_id", at least one
	// of which there must be then. Empty: any.
	AuthorizedParties []string
	// MaxAge is how long after its "iat" a token is taken, even if it expires later. 0: until it expires.
	MaxAge time.Duration
	// RootCAs that may certify the issuer's https server. Nil: those of the system.
	RootCAs *x509.CertPool
}

const (
	fetchTimeout = 10 * time.Second
	maxFetched   = 1 << 20 // bytes of a discovery document or key set
)

func algorithms() []string { return []string{"RS256", "PS256", "ES256", "ES384", "EdDSA"} }

// Check reports the first field that is wrong, as "<field in lower camel case>: <problem>". It fetches nothing.
func (i Issuer) Check() error {
	if err := checkURL(i.Issuer); err != nil {
		return fmt.Errorf("issuer: %w", err)
	}
	if i.JWKSURL != "" {
		if err := checkURL(i.JWKSURL); err != nil {
			return fmt.Errorf("jwksURL: %w", err)
		}
	}
	if len(i.Audiences) == 0 && len(i.IDTokenAudiences) == 0 {
		return errors.New("audiences: at least one audience is required (idTokenAudiences alone where access tokens are not JWTs)")
	}
	if slices.Contains(i.Audiences, "") {
		return errors.New("audiences: an audience is empty")
	}
	if slices.Contains(i.IDTokenAudiences, "") {
		return errors.New("idTokenAudiences: an audience is empty")
	}
	if slices.Contains(i.TokenTypes, "") {
		return errors.New(`tokenTypes: a type is empty: give "JWT" for tokens without "typ"`)
	}
	if slices.Contains(i.AuthorizedParties, "") {
		return errors.New("authorizedParties: a client id is empty")
	}
	if i.MaxAge < 0 {
		return fmt.Errorf("maxAge: %v is negative", i.MaxAge)
	}
	for _, alg := range i.Algorithms {
		if !slices.Contains(algorithms(), alg) {
			return fmt.Errorf("algorithms: %q is not allowed: use %s", alg, strings.Join(algorithms(), ", "))
		}
	}
	return nil
}

func checkURL(s string) error {
	u, err := url.Parse(s)
	switch {
	case s == "":
		return errors.New("the URL is required")
	case err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return fmt.Errorf("%q is not a plain URL such as https://login.example.com", s)
	case !isSafe(u):
		return fmt.Errorf("%q must begin with https:// (http:// is for loopback addresses alone)", s)
	}
	return nil
}

func isSafe(u *url.URL) bool {
	if u.Scheme != "http" {
		return u.Scheme == "https"
	}
	return loopback.Is(u.Hostname())
}

// issuer is an Issuer whose keys are known, or known where to fetch.
type issuer struct {
	Issuer
	keys *jwks.Set
}

func (i Issuer) connect(ctx context.Context) (*issuer, error) {
	if len(i.Algorithms) == 0 {
		i.Algorithms = algorithms()
	}
	if len(i.TokenTypes) == 0 {
		i.TokenTypes = []string{"at+jwt", "JWT"}
	}
	if i.GroupsClaim == "" {
		i.GroupsClaim = "groups"
	}
	if i.EmailClaim == "" {
		i.EmailClaim = "email"
	}
	ctx = oidc.ClientContext(ctx, i.client())
	keysURL := i.JWKSURL
	if keysURL == "" {
		provider, err := oidc.NewProvider(ctx, i.Issuer)
		if err != nil {
			return nil, fmt.Errorf("issuer: OIDC discovery of %s failed: %s: check the URL, or give jwksURL", i.Issuer, oneLine(err))
		}
		var document struct {
			JWKSURL string `json:"jwks_uri"`
		}
		if err := provider.Claims(&document); err != nil {
			return nil, fmt.Errorf("issuer: OIDC discovery of %s failed: %s", i.Issuer, oneLine(err))
		}
		if err := checkURL(document.JWKSURL); err != nil {
			return nil, fmt.Errorf("issuer: OIDC discovery of %s names a jwks_uri that cannot be used: %w", i.Issuer, err)
		}
		keysURL = document.JWKSURL
	}
	return &issuer{Issuer: i, keys: jwks.New(keysURL, i.client(), i.Algorithms)}, nil
}

// Client is an HTTP client for the issuer: it trusts RootCAs, is bounded in time and size, and is never redirected to
// another host.
func (i Issuer) Client() *http.Client { return i.client() }

// client fetches what the issuer publishes: bounded in time and size, and never redirected to another host or to http.
func (i Issuer) client() *http.Client {
	base := http.DefaultTransport.(*http.Transport).Clone()
	base.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: i.RootCAs}
	base.DisableKeepAlives = true // minutes lie between two fetches
	return &http.Client{
		Transport: capped{base},
		Timeout:   fetchTimeout,
		CheckRedirect: func(r *http.Request, via []*http.Request) error {
			if len(via) > 3 || r.URL.Host != via[0].URL.Host || r.URL.Scheme != via[0].URL.Scheme {
				return errors.New("redirected to another place")
			}
			return nil
		},
	}
}

type capped struct{ base http.RoundTripper }

func (c capped) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := c.base.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	resp.Body = http.MaxBytesReader(nil, resp.Body, maxFetched)
	return resp, nil
}

func oneLine(err error) string {
	line, _, _ := strings.Cut(strings.TrimSpace(err.Error()), "\n")
	if len(line) > 300 {
		line = line[:300] + "…"
	}
	return line
}
