package codeclogin

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/signet-temporal/signet/internal/loopback"
)

// Settings are what a login needs to know, and no secrets.
type Settings struct {
	Issuer   string   `json:"issuer"`
	ClientID string   `json:"clientId"`           // of a native client: without a secret
	Audience string   `json:"audience,omitempty"` // asked for, where the provider wants to be asked
	Scopes   []string `json:"scopes,omitempty"`   // beside openid, profile, email and, where it is offered, offline_access
	IDToken  bool     `json:"idToken,omitempty"`  // the codec server gets the ID token: access tokens are no JWTs
	CAFile   string   `json:"caFile,omitempty"`   // of the provider's certificate
}

// Tokens are what a provider issued, and to whom.
type Tokens struct {
	Access  string    `json:"accessToken"`
	ID      string    `json:"idToken"`
	Refresh string    `json:"refreshToken,omitempty"`
	Expires time.Time `json:"expires,omitzero"` // of the access token, if that is known
	IDEnds  time.Time `json:"idTokenExpires"`
	Subject string    `json:"subject"`
	Email   string    `json:"email,omitempty"`
}

// ErrEnded: the provider does not renew the login.
var ErrEnded = errors.New("the login has ended")

// Provider is an OpenID provider that has told its addresses.
type Provider struct {
	settings   Settings
	oidc       *oidc.Provider
	oauth      oauth2.Config
	revocation string
	namesSelf  bool // in redirects
	http       *http.Client
}

// Discover asks the issuer for its addresses. A nil client is one with the system's authorities.
func Discover(ctx context.Context, s Settings, client *http.Client) (*Provider, error) {
	if err := secure(s.Issuer); err != nil {
		return nil, fmt.Errorf("the issuer %w", err)
	}
	p := &Provider{settings: s, http: &http.Client{Timeout: 30 * time.Second}}
	if client != nil {
		p.http.Transport = client.Transport
	}
	p.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	var err error
	if p.oidc, err = oidc.NewProvider(p.with(ctx), s.Issuer); err != nil {
		return nil, fmt.Errorf("%s does not tell its addresses: %w: check the issuer", s.Issuer, cause(err))
	}
	var more struct {
		Scopes     []string `json:"scopes_supported"`
		Revocation string   `json:"revocation_endpoint"`
		NamesSelf  bool     `json:"authorization_response_iss_parameter_supported"`
	}
	if err := p.oidc.Claims(&more); err != nil {
		return nil, fmt.Errorf("%s does not tell its addresses: %w", s.Issuer, err)
	}
	p.revocation, p.namesSelf = more.Revocation, more.NamesSelf
	scopes := []string{oidc.ScopeOpenID, "profile", "email"}
	if slices.Contains(more.Scopes, oidc.ScopeOfflineAccess) {
		scopes = append(scopes, oidc.ScopeOfflineAccess)
	}
	p.oauth = oauth2.Config{ClientID: s.ClientID, Endpoint: p.oidc.Endpoint(), Scopes: append(scopes, s.Scopes...)}
	for _, address := range []string{p.oauth.Endpoint.AuthURL, p.oauth.Endpoint.TokenURL, p.oauth.Endpoint.DeviceAuthURL, p.revocation} {
		if address != "" {
			if err := secure(address); err != nil {
				return nil, fmt.Errorf("%s names an address that %w", s.Issuer, err)
			}
		}
	}
	return p, nil
}

// secure: what goes there is secret.
func secure(address string) error {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" {
		return errors.New("is no address such as https://login.example.com")
	}
	if u.Scheme != "https" && !(u.Scheme == "http" && loopback.Is(u.Hostname())) {
		return errors.New("is not https: anybody on the way could log in")
	}
	return nil
}

func (p *Provider) with(ctx context.Context) context.Context { return oidc.ClientContext(ctx, p.http) }

func (p *Provider) audience() []oauth2.AuthCodeOption {
	if p.settings.Audience == "" {
		return nil
	}
	return []oauth2.AuthCodeOption{oauth2.SetAuthURLParam("audience", p.settings.Audience)}
}

// read verifies the ID token among what the token endpoint answered. An empty nonce is not compared.
func (p *Provider) read(ctx context.Context, t *oauth2.Token, nonce string) (*Tokens, error) {
	raw, _ := t.Extra("id_token").(string)
	if raw == "" {
		return nil, fmt.Errorf("%s issued no ID token: it is no OpenID provider, or does not let %s have one", p.settings.Issuer, p.settings.ClientID)
	}
	id, err := p.oidc.VerifierContext(p.with(context.WithoutCancel(ctx)), &oidc.Config{ClientID: p.settings.ClientID}).Verify(p.with(ctx), raw)
	if err != nil {
		return nil, fmt.Errorf("the ID token of %s does not verify: %w", p.settings.Issuer, cause(err))
	}
	if nonce != "" && id.Nonce != nonce {
		return nil, fmt.Errorf("the ID token of %s is of another login: log in again", p.settings.Issuer)
	}
	var claims struct {
		Email string `json:"email"`
	}
	if err := id.Claims(&claims); err != nil {
		return nil, fmt.Errorf("the ID token of %s: %w", p.settings.Issuer, err)
	}
	if !strings.EqualFold(t.Type(), "Bearer") {
		return nil, fmt.Errorf("%s issued no bearer token", p.settings.Issuer)
	}
	return &Tokens{Access: t.AccessToken, ID: raw, Refresh: t.RefreshToken, Expires: endOf(t), IDEnds: id.Expiry, Subject: id.Subject, Email: claims.Email}, nil
}

// endOf is when an access token ends, as the provider says, or as it says itself if it is a JWT. Nobody is believed for
// it: it only decides when to renew.
func endOf(t *oauth2.Token) time.Time {
	if !t.Expiry.IsZero() {
		return t.Expiry
	}
	var claims struct {
		Ends int64 `json:"exp"`
	}
	if parts := strings.Split(t.AccessToken, "."); len(parts) == 3 {
		text, err := base64.RawURLEncoding.DecodeString(parts[1])
		if err == nil && json.Unmarshal(text, &claims) == nil && claims.Ends > 0 {
			return time.Unix(claims.Ends, 0)
		}
	}
	return time.Time{}
}

// Refresh renews tokens. What the provider does not issue anew stays, but for an ID token where that is what is sent.
func (p *Provider) Refresh(ctx context.Context, old *Tokens) (*Tokens, error) {
	t, err := p.oauth.TokenSource(p.with(ctx), &oauth2.Token{RefreshToken: old.Refresh}).Token()
	var refused *oauth2.RetrieveError
	if errors.As(err, &refused) && refused.Response.StatusCode < 500 {
		return nil, ErrEnded
	}
	if err != nil {
		return nil, fmt.Errorf("renewing the login: %w", cause(err))
	}
	if raw, _ := t.Extra("id_token").(string); raw == "" {
		if p.settings.IDToken {
			return nil, ErrEnded
		}
		renewed := *old
		renewed.Access, renewed.Refresh, renewed.Expires = t.AccessToken, t.RefreshToken, endOf(t)
		return &renewed, nil
	}
	renewed, err := p.read(ctx, t, "")
	if err != nil {
		return nil, err
	}
	if renewed.Subject != old.Subject {
		return nil, fmt.Errorf("%s renewed the login for somebody else: log in again", p.settings.Issuer)
	}
	return renewed, nil
}

// Revoke tells the provider that the login is over. It reports whether the provider takes that.
func (p *Provider) Revoke(ctx context.Context, t *Tokens) (bool, error) {
	if p.revocation == "" || t.Refresh == "" {
		return false, nil
	}
	form := url.Values{"token": {t.Refresh}, "token_type_hint": {"refresh_token"}, "client_id": {p.settings.ClientID}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.revocation, strings.NewReader(form.Encode()))
	if err != nil {
		return false, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	res, err := p.http.Do(req)
	if err != nil {
		return false, cause(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return false, fmt.Errorf("status %d", res.StatusCode)
	}
	return true, nil
}

// cause is err without what a provider wrote, but for its error code, and without addresses with queries.
func cause(err error) error {
	var refused *oauth2.RetrieveError
	if errors.As(err, &refused) {
		if isCode(refused.ErrorCode) {
			return errors.New(refused.ErrorCode)
		}
		return fmt.Errorf("status %d", refused.Response.StatusCode)
	}
	var broken *url.Error
	if errors.As(err, &broken) {
		return broken.Err
	}
	if text := err.Error(); strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) || len(text) > 300 {
		return errors.New("its answer is not what an OpenID provider answers")
	}
	return err
}

// isCode: such as access_denied.
func isCode(s string) bool {
	return s != "" && len(s) <= 64 && !strings.ContainsFunc(s, func(r rune) bool {
		return r != '_' && r != '-' && r != '.' && (r < 'a' || r > 'z') && (r < '0' || r > '9')
	})
}
