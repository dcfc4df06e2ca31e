package parts

import (
	"context"
	"encoding/json"
	"fmt"
)

// UIOptions says which Web UI to start.
type UIOptions struct {
	// Program is [Paths].Temporal: the same program serves the UI. Required.
	Program string
	// Config is what the UI server is told; its Port may be 0 for a free one.
	Config UIConfig
	// CAFile holds the PEM certificates that the UI server trusts towards the OpenID provider; empty for
	// the system's.
	CAFile string
}

// UIConfig is the configuration of the Web UI server.
type UIConfig struct {
	// Temporal is [Temporal].Address. Required.
	Temporal string `json:"temporal"`
	// Port on 127.0.0.1.
	Port int `json:"port,omitempty"`
	// Assets is [Paths].UI258 or UI253; empty for the version compiled in, 2.55.0.
	Assets string `json:"assets,omitempty"`
	// DefaultNamespace is "default" when empty.
	DefaultNamespace string `json:"defaultNamespace,omitempty"`
	// AllowOrigins are CORS origins besides the UI's own.
	AllowOrigins []string `json:"allowOrigins,omitempty"`
	// Codec is the codec server that the UI tells browsers to use.
	Codec UICodec `json:"codec"`
	// Auth is nil for a UI without login.
	Auth *UIAuth `json:"auth,omitempty"`
}

// UICodec is the UI's codec server setting. Browsers pass tokens to https endpoints only.
type UICodec struct {
	Endpoint            string `json:"endpoint,omitempty"`
	PassAccessToken     bool   `json:"passAccessToken,omitempty"`
	IncludeCredentials  bool   `json:"includeCredentials,omitempty"`
	DefaultErrorMessage string `json:"defaultErrorMessage,omitempty"`
	DefaultErrorLink    string `json:"defaultErrorLink,omitempty"`
}

// UIAuth is the UI's login. Durations are Go durations such as "8h".
type UIAuth struct {
	ProviderURL          string            `json:"providerUrl"`
	IssuerURL            string            `json:"issuerUrl,omitempty"` // only when it differs
	ClientID             string            `json:"clientId"`
	ClientSecret         string            `json:"clientSecret"`
	Scopes               []string          `json:"scopes,omitempty"`      // openid, profile, email when empty
	CallbackURL          string            `json:"callbackUrl,omitempty"` // the UI's URL + UICallback when empty
	Options              map[string]string `json:"options,omitempty"`     // sent with the login, such as audience
	UseIDTokenAsBearer   bool              `json:"useIdTokenAsBearer,omitempty"`
	RedirectToProvider   bool              `json:"redirectToProvider,omitempty"`
	MaxSessionDuration   string            `json:"maxSessionDuration,omitempty"`
	RefreshTokenDuration string            `json:"refreshTokenDuration,omitempty"`
}

// UICallback is the path of the UI's redirect URI.
const UICallback = "/auth/sso/callback"

// UI is a running Web UI server.
type UI struct {
	*Proc
	// URL without a trailing slash.
	URL string
}

// StartUI starts a Web UI server. With a login, the OpenID provider must be running.
func StartUI(ctx context.Context, o UIOptions) (*UI, error) {
	port, err := portOr(o.Config.Port)
	if err != nil {
		return nil, err
	}
	o.Config.Port = port
	config, err := json.Marshal(o.Config)
	if err != nil {
		return nil, fmt.Errorf("write the UI's configuration: %w", err)
	}
	s := spec{
		name:  "Web UI",
		path:  o.Program,
		args:  []string{"ui", "-exit-with-stdin", "-config", "-"},
		stdin: append(config, '\n'),
	}
	if o.CAFile != "" {
		s.env = []string{"SSL_CERT_FILE=" + o.CAFile}
	}
	p, err := startProc(ctx, s)
	if err != nil {
		return nil, err
	}
	return &UI{Proc: p, URL: p.ready["ui"]}, nil
}
