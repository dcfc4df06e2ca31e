package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/temporalio/ui-server/v2/server/config"
)

// uiConfig is the UI's configuration file: the part of ui-server's own that tests and the demo use,
// with its names.
type uiConfig struct {
	Temporal         string   `json:"temporal"`         // frontend address of the Temporal server, required
	IP               string   `json:"ip"`               // address to listen on, 127.0.0.1 when empty
	Port             int      `json:"port"`             // 0 for a free one
	Assets           string   `json:"assets"`           // folder with index.html; empty: those compiled in
	DefaultNamespace string   `json:"defaultNamespace"` // "default" when empty
	AllowOrigins     []string `json:"allowOrigins"`     // CORS
	Codec            uiCodec  `json:"codec"`
	Auth             *uiAuth  `json:"auth"` // nil: no login
}

type uiCodec struct {
	Endpoint            string `json:"endpoint"`
	PassAccessToken     bool   `json:"passAccessToken"`
	IncludeCredentials  bool   `json:"includeCredentials"`
	DefaultErrorMessage string `json:"defaultErrorMessage"`
	DefaultErrorLink    string `json:"defaultErrorLink"`
}

type uiAuth struct {
	ProviderURL          string            `json:"providerUrl"`
	IssuerURL            string            `json:"issuerUrl"` // only when it differs from providerUrl
	ClientID             string            `json:"clientId"`
	ClientSecret         string            `json:"clientSecret"`
	Scopes               []string          `json:"scopes"`               // openid, profile, email when empty
	CallbackURL          string            `json:"callbackUrl"`          // the UI's own address + /auth/sso/callback when empty
	Options              map[string]string `json:"options"`              // sent to the provider with the login, such as audience
	UseIDTokenAsBearer   bool              `json:"useIdTokenAsBearer"`   // towards Temporal, not the codec server
	RedirectToProvider   bool              `json:"redirectToProvider"`   // skip the UI's own login page
	MaxSessionDuration   string            `json:"maxSessionDuration"`   // Go duration
	RefreshTokenDuration string            `json:"refreshTokenDuration"` // Go duration
}

// server is c as ui-server wants it.
func (c uiConfig) server() (*config.Config, error) {
	if c.Temporal == "" {
		return nil, errors.New("UI configuration: set \"temporal\" to the server's address")
	}
	namespace := c.DefaultNamespace
	if namespace == "" {
		namespace = "default"
	}
	cfg := &config.Config{
		TemporalGRPCAddress: c.Temporal,
		Host:                c.IP,
		Port:                c.Port,
		UIAssetPath:         c.Assets,
		EnableUI:            true,
		DefaultNamespace:    namespace,
		DisableNewsFetch:    true,
		HideLogs:            true,
		CORS: config.CORS{
			AllowOrigins: c.AllowOrigins,
			// The UI is served without TLS here; with a Secure cookie no browser could change anything.
			CookieInsecure: true,
		},
		Codec: config.Codec(c.Codec),
	}
	if c.Auth == nil {
		return cfg, nil
	}
	auth, err := c.Auth.server(fmt.Sprintf("http://%s:%d/auth/sso/callback", c.IP, c.Port))
	if err != nil {
		return nil, err
	}
	cfg.Auth = auth
	return cfg, nil
}

func (a uiAuth) server(callback string) (config.Auth, error) {
	session, err := optionalDuration("maxSessionDuration", a.MaxSessionDuration)
	if err != nil {
		return config.Auth{}, err
	}
	refresh, err := optionalDuration("refreshTokenDuration", a.RefreshTokenDuration)
	if err != nil {
		return config.Auth{}, err
	}
	if a.CallbackURL != "" {
		callback = a.CallbackURL
	}
	scopes := a.Scopes
	if len(scopes) == 0 {
		scopes = []string{"openid", "profile", "email"}
	}
	options := make(map[string]any, len(a.Options))
	for k, v := range a.Options {
		options[k] = v
	}
	return config.Auth{
		Enabled:            true,
		RedirectToProvider: a.RedirectToProvider,
		MaxSessionDuration: session,
		Providers: []config.AuthProvider{{
			Label:                "Sign in",
			Type:                 "oidc",
			ProviderURL:          a.ProviderURL,
			IssuerUrl:            a.IssuerURL,
			ClientID:             a.ClientID,
			ClientSecret:         a.ClientSecret,
			Scopes:               scopes,
			CallbackURL:          callback,
			Options:              options,
			UseIDTokenAsBearer:   a.UseIDTokenAsBearer,
			RefreshTokenDuration: refresh,
		}},
	}, nil
}

func optionalDuration(name, text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf("UI configuration: %s: %w", name, err)
	}
	return d, nil
}
