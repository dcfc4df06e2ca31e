package vaultstore

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/signet-temporal/signet/internal/loopback"
)

// ClientOptions are the settings of a Vault client that signet's own configuration may give. What is empty comes from
// the VAULT_* environment variables that every Vault client knows, then from Vault's defaults.
type ClientOptions struct {
	// Address of Vault, such as https://vault.example:8200. Default VAULT_ADDR, then https://127.0.0.1:8200.
	Address string
	// CACert is a PEM file with the authority of Vault's certificate, CAPath a directory of such files; CACert goes
	// first. Default VAULT_CACERT, VAULT_CACERT_BYTES, VAULT_CAPATH, then the system's.
	CACert, CAPath string
	// ClientCert and ClientKey are PEM files with the certificate that this process shows to Vault, and its private
	// key. They are read again for every connection. Default VAULT_CLIENT_CERT and VAULT_CLIENT_KEY, then none.
	ClientCert, ClientKey string
	// TLSServerName is the name that Vault's certificate must have, if not that of the address. Default
	// VAULT_TLS_SERVER_NAME.
	TLSServerName string
	// Namespace of Vault Enterprise. Default VAULT_NAMESPACE.
	Namespace string
	// Timeout of one call with all its tries. Default VAULT_CLIENT_TIMEOUT, then 10 s.
	Timeout time.Duration
	// InsecureAllowHTTP permits http:// to another host than this one. Tokens and unwrapped keys then cross the
	// network in clear.
	InsecureAllowHTTP bool
}

// NewClient makes a Vault client that holds no token: [Login] gives it one. A call takes at most Timeout; one that
// meets 412, 429, 5xx but 501, or no answer is tried up to two more times (VAULT_MAX_RETRIES), 0.25 to 1 s apart with
// jitter, or as Retry-After says.
//
// It honours what the vault command does: of the environment also VAULT_AGENT_ADDR, VAULT_HEADERS, VAULT_HTTP_PROXY,
// VAULT_PROXY_ADDR, VAULT_SRV_LOOKUP, VAULT_RATE_LIMIT, VAULT_DISABLE_REDIRECTS and VAULT_MFA. Two are not:
// VAULT_SKIP_VERIFY is refused, since whoever can pose as Vault receives the token and with it every key, and
// VAULT_WRAP_TTL would wrap every answer, keysets included, and is ignored.
func NewClient(opts ClientOptions) (*api.Client, error) {
	if skip, _ := strconv.ParseBool(os.Getenv(api.EnvVaultSkipVerify)); skip {
		return nil, errors.New("VAULT_SKIP_VERIFY is set: unset it and name Vault's CA certificate in VAULT_CACERT")
	}
	config := api.DefaultConfig()
	if config.Error != nil {
		return nil, say(config.Error, "reading the VAULT_* environment: %v", config.Error)
	}
	config.MinRetryWait, config.MaxRetryWait = 250*time.Millisecond, time.Second
	switch {
	case opts.Timeout < 0:
		return nil, fmt.Errorf("vault timeout %v: must be positive", opts.Timeout)
	case opts.Timeout > 0:
		config.Timeout = opts.Timeout
	case os.Getenv(api.EnvVaultClientTimeout) == "":
		config.Timeout = defaultTimeout
	}
	if opts.Address != "" {
		config.Address, config.AgentAddress = opts.Address, ""
	}
	address := config.Address
	if config.AgentAddress != "" {
		address = config.AgentAddress
	}
	if err := checkAddress(address, opts.InsecureAllowHTTP); err != nil {
		return nil, err
	}
	if err := opts.configureTLS(config); err != nil {
		return nil, err
	}
	client, err := newClient(config)
	if err != nil {
		return nil, say(err, "making the Vault client: %v", err)
	}
	if opts.Namespace != "" {
		client.SetNamespace(opts.Namespace)
	}
	return client, nil
}

// newClient makes a client that holds no token and that the environment does not have wrap every answer.
func newClient(config *api.Config) (*api.Client, error) {
	client, err := api.NewClient(config)
	if err != nil {
		return nil, err
	}
	client.ClearToken()
	client.SetWrappingLookupFunc(func(string, string) string { return "" })
	if codes := os.Getenv(api.EnvVaultMFA); codes != "" {
		client.SetMFACreds(strings.Split(codes, ","))
	}
	return client, nil
}

// clone returns a client like the given one, over the same connections, without a token. That of vault/api follows
// redirects where the client does not.
func clone(client *api.Client) (*api.Client, error) {
	another, err := newClient(client.CloneConfig())
	if err != nil {
		return nil, err
	}
	another.SetHeaders(client.Headers()) // the namespace is one
	return another, nil
}

func (o ClientOptions) configureTLS(config *api.Config) error {
	if err := config.ConfigureTLS(&api.TLSConfig{CACert: o.CACert, CAPath: o.CAPath, TLSServerName: o.TLSServerName}); err != nil {
		return say(err, "reading Vault's CA certificate %q: %v", o.CACert+o.CAPath, err)
	}
	certFile, keyFile := cmp.Or(o.ClientCert, os.Getenv(api.EnvVaultClientCert)), cmp.Or(o.ClientKey, os.Getenv(api.EnvVaultClientKey))
	if certFile == "" && keyFile == "" {
		return nil
	}
	if certFile == "" || keyFile == "" {
		return say(nil, "Vault's TLS client certificate: set both the certificate (clientCert, VAULT_CLIENT_CERT) and its private key (clientKey, VAULT_CLIENT_KEY)")
	}
	if err := config.ConfigureTLS(&api.TLSConfig{ClientCert: certFile, ClientKey: keyFile}); err != nil {
		return say(err, "reading the TLS client certificate %q and its private key %q: %v: give two PEM files that belong together", certFile, keyFile, err)
	}
	// vault/api keeps what it has read; a certificate that lives for hours is replaced while this process runs.
	transport, ok := config.HttpClient.Transport.(*http.Transport)
	if !ok {
		return fmt.Errorf("the Vault client has a transport of type %T, and no TLS settings", config.HttpClient.Transport)
	}
	transport.TLSClientConfig.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		pair, err := tls.LoadX509KeyPair(certFile, keyFile)
		return &pair, err
	}
	return nil
}

func checkAddress(address string, allowHTTP bool) error {
	u, err := url.Parse(address)
	if err != nil || u.User != nil {
		// Not quoted: an address that does not parse, or that holds credentials, may hold a secret.
		return errors.New("the Vault address is not a plain URL: use one such as https://vault.example:8200")
	}
	switch {
	case u.Scheme == "unix", u.Scheme == "https" && u.Host != "":
		return nil
	case u.Scheme != "http" || u.Host == "":
		return say(nil, "Vault address %q: use https://HOST:PORT", address)
	case allowHTTP, loopback.Is(u.Hostname()):
		return nil
	}
	return say(nil, "Vault address %q would send tokens and keys in clear: use https://", address)
}
