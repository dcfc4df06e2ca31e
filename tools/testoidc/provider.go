package main

import (
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/zitadel/oidc/v3/pkg/op"
	"golang.org/x/text/language"
)

const (
	loginPath   = "/login"
	devicePath  = "/device"
	scopeGroups = "groups"
)

// newProvider returns the provider's HTTP handler: the library's endpoints and our login pages.
func newProvider(issuer string, cfg config) (http.Handler, error) {
	store, err := newStorage(cfg)
	if err != nil {
		return nil, err
	}
	settings := &op.Config{
		CodeMethodS256:         true,
		AuthMethodPost:         true,
		GrantTypeRefreshToken:  true,
		RequestObjectSupported: true,
		SupportedUILocales:     []language.Tag{language.English},
		SupportedScopes:        []string{"openid", "profile", "email", "offline_access", scopeGroups},
		DeviceAuthorization: op.DeviceAuthorizationConfig{
			Lifetime:     5 * time.Minute,
			PollInterval: time.Second,
			UserFormPath: devicePath,
			UserCode:     op.UserCodeBase20,
		},
	}
	if _, err := rand.Read(settings.CryptoKey[:]); err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	// The library logs each refused login and token as an error of its own; the caller is told anyway.
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError + 1}))
	provider, err := op.NewProvider(settings, store, op.StaticIssuer(issuer), op.WithAllowInsecure(), op.WithLogger(logger))
	if err != nil {
		return nil, fmt.Errorf("set up the provider: %w", err)
	}
	pages := pages{store: store, callback: op.AuthCallbackURL(provider), issuer: op.NewIssuerInterceptor(provider.IssuerFromRequest)}
	mux := http.NewServeMux()
	pages.register(mux)
	mux.Handle("/", withAudience(provider))
	return mux, nil
}
