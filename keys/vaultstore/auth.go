package vaultstore

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"

	"github.com/hashicorp/vault/api"
	"github.com/hashicorp/vault/api/auth/kubernetes"
)

// Auth says how to get a Vault token. Exactly one field must be set. Files are read again at every login.
type Auth struct {
	// Token is a Vault token. It is renewed while Vault allows it, and cannot be replaced after that.
	Token string
	// TokenEnv is the name of an environment variable that holds a token, such as VAULT_TOKEN.
	TokenEnv string
	// TokenFile is a file that holds a token, such as a Vault Agent's sink. A changed file is noticed within 10 s.
	TokenFile string
	// AppRole, JWT, Kubernetes and Cert log in with Vault's auth methods of these names.
	AppRole    *AppRole
	JWT        *JWT
	Kubernetes *Kubernetes
	Cert       *Cert
}

// AppRole logs in with a role id and a secret id.
type AppRole struct {
	// RoleID is required.
	RoleID string
	// SecretID or SecretIDFile, exactly one, holds the secret id, or with Wrapped a response-wrapping token for it.
	SecretID     string
	SecretIDFile string
	// Wrapped says that the secret id is response-wrapped. It is unwrapped once and kept in memory for later logins,
	// until the file holds another wrapping token. A token that was not made for a secret id of this auth mount, or
	// that somebody has unwrapped before, is an error that says so.
	Wrapped bool
	// Mount of the auth method. Default "approle".
	Mount string
}

// JWT logs in with a JSON Web Token that something else keeps fresh in a file.
type JWT struct {
	// Role and TokenFile are required.
	Role      string
	TokenFile string
	// Mount of the auth method. Default "jwt".
	Mount string
}

// Kubernetes logs in with the pod's service-account token.
type Kubernetes struct {
	// Role is required.
	Role string
	// TokenFile defaults to /var/run/secrets/kubernetes.io/serviceaccount/token.
	TokenFile string
	// Mount of the auth method. Default "kubernetes".
	Mount string
}

// Cert logs in with the TLS client certificate of the client: [ClientOptions].ClientCert, or VAULT_CLIENT_CERT.
type Cert struct {
	// Role of the auth method that the certificate must match. Default: any that it matches.
	Role string
	// Mount of the auth method. Default "cert".
	Mount string
}

// method is one way to log in. Its Login is given a client of its own, without a token, and may change that.
type method interface {
	api.AuthMethod
	// String names the method for logs and errors.
	String() string
	// changed reports whether the credential is a token of which there is another one now.
	changed(current string) bool
}

func (a Auth) method() (method, error) {
	var chosen []method
	if a.Token != "" {
		chosen = append(chosen, tokenAuth{from: "given token", read: func() (string, error) { return a.Token, nil }})
	}
	if a.TokenEnv != "" {
		chosen = append(chosen, tokenAuth{from: "token in " + a.TokenEnv, read: func() (string, error) {
			if token := strings.TrimSpace(os.Getenv(a.TokenEnv)); token != "" {
				return token, nil
			}
			return "", fmt.Errorf("environment variable %s holds no Vault token: set it", a.TokenEnv)
		}})
	}
	if a.TokenFile != "" {
		chosen = append(chosen, tokenAuth{from: "token file", file: true, read: func() (string, error) { return readSecret("Vault token", a.TokenFile) }})
	}
	if a.AppRole != nil {
		if a.AppRole.RoleID == "" || (a.AppRole.SecretID == "") == (a.AppRole.SecretIDFile == "") {
			return nil, say(nil, "Vault AppRole login: set the role id, and either the secret id or its file")
		}
		chosen = append(chosen, &appRoleAuth{AppRole: *a.AppRole, at: mountOr(a.AppRole.Mount, "approle")})
	}
	if a.JWT != nil {
		if a.JWT.Role == "" || a.JWT.TokenFile == "" {
			return nil, say(nil, "Vault JWT login: set the role and the token file")
		}
		chosen = append(chosen, jwtAuth{JWT: *a.JWT, at: mountOr(a.JWT.Mount, "jwt")})
	}
	if a.Kubernetes != nil {
		if a.Kubernetes.Role == "" {
			return nil, say(nil, "Vault Kubernetes login: set the role")
		}
		k := kubernetesAuth{Kubernetes: *a.Kubernetes, at: mountOr(a.Kubernetes.Mount, "kubernetes")}
		if k.TokenFile == "" {
			k.TokenFile = "/var/run/secrets/kubernetes.io/serviceaccount/token"
		}
		chosen = append(chosen, k)
	}
	if a.Cert != nil {
		chosen = append(chosen, certAuth{Cert: *a.Cert, at: mountOr(a.Cert.Mount, "cert")})
	}
	if len(chosen) != 1 {
		return nil, say(nil, "Vault login: %d methods are configured: set exactly one of token, tokenEnv, tokenFile, appRole, jwt, kubernetes, cert", len(chosen))
	}
	if at := authMount(chosen[0]); at != "" {
		for seg := range strings.SplitSeq(at, "/") {
			if !segment.MatchString(seg) {
				return nil, say(nil, "Vault login: auth mount %q: use letters, digits, '_', '-', '.' in segments separated by '/'", at)
			}
		}
	}
	return chosen[0], nil
}

func mountOr(mount, def string) string {
	if mount == "" {
		return def
	}
	return mount
}

// authMount is where the auth method is mounted below auth/, "" for tokens, which need no login.
func authMount(m method) string {
	switch m := m.(type) {
	case *appRoleAuth:
		return m.at
	case jwtAuth:
		return m.at
	case kubernetesAuth:
		return m.at
	case certAuth:
		return m.at
	}
	return ""
}

// readSecret reads a file that holds one secret and perhaps white space around it.
func readSecret(what, path string) (string, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("reading the %s: %w", what, err)
	}
	secret := strings.TrimSpace(string(content))
	if secret == "" {
		return "", fmt.Errorf("reading the %s: file %q is empty", what, path)
	}
	return secret, nil
}

// tokenAuth takes a token from somewhere and asks Vault how long it lives.
type tokenAuth struct {
	from string
	file bool
	read func() (string, error)
}

func (t tokenAuth) String() string { return t.from }

func (t tokenAuth) changed(current string) bool {
	if !t.file {
		return false
	}
	token, err := t.read()
	return err == nil && token != current
}

func (t tokenAuth) Login(ctx context.Context, client *api.Client) (*api.Secret, error) {
	token, err := t.read()
	if err != nil {
		return nil, err
	}
	client.SetToken(token)
	auth := &api.SecretAuth{ClientToken: token}
	self, err := client.Auth().Token().LookupSelfWithContext(ctx)
	switch {
	case isStatus(err, http.StatusForbidden) && !invalidToken(err):
		// A valid token whose policies do not let it look at itself: it works, for how long is not known.
		return &api.Secret{Auth: auth}, nil
	case err != nil:
		return nil, err
	case self == nil:
		return nil, say(nil, "Vault answered a token lookup with nothing")
	}
	auth.Renewable, _ = self.Data["renewable"].(bool)
	if ttl, ok := self.Data["ttl"].(json.Number); ok {
		seconds, _ := ttl.Int64()
		auth.LeaseDuration = int(seconds)
	}
	return &api.Secret{Auth: auth}, nil
}

type jwtAuth struct {
	JWT
	at string
}

func (j jwtAuth) String() string      { return "JWT" }
func (j jwtAuth) changed(string) bool { return false }

func (j jwtAuth) Login(ctx context.Context, client *api.Client) (*api.Secret, error) {
	token, err := readSecret("JWT", j.TokenFile)
	if err != nil {
		return nil, err
	}
	return client.Logical().WriteWithContext(ctx, "auth/"+j.at+"/login", map[string]any{"role": j.Role, "jwt": token})
}

// kubernetesAuth is vault/api's Kubernetes method, made anew for every login: theirs keeps the service-account token
// it was made with, which expires.
type kubernetesAuth struct {
	Kubernetes
	at string
}

func (k kubernetesAuth) String() string      { return "Kubernetes" }
func (k kubernetesAuth) changed(string) bool { return false }

func (k kubernetesAuth) Login(ctx context.Context, client *api.Client) (*api.Secret, error) {
	token, err := readSecret("service-account token", k.TokenFile)
	if err != nil {
		return nil, err
	}
	login, err := kubernetes.NewKubernetesAuth(k.Role, kubernetes.WithServiceAccountToken(token), kubernetes.WithMountPath(k.at))
	if err != nil {
		return nil, err
	}
	return login.Login(ctx, client)
}

type certAuth struct {
	Cert
	at string
}

func (c certAuth) String() string      { return "TLS certificate" }
func (c certAuth) changed(string) bool { return false }

func (c certAuth) Login(ctx context.Context, client *api.Client) (*api.Secret, error) {
	config := client.CloneConfig()
	if settings := config.TLSConfig(); settings == nil || settings.GetClientCertificate == nil {
		return nil, say(nil, "there is no TLS client certificate: set it and its private key (clientCert and clientKey, VAULT_CLIENT_CERT and VAULT_CLIENT_KEY)")
	}
	config.HttpClient.CloseIdleConnections() // which were made with the certificate of their time
	body := map[string]any{}
	if c.Role != "" {
		body["name"] = c.Role
	}
	return client.Logical().WriteWithContext(ctx, "auth/"+c.at+"/login", body)
}
