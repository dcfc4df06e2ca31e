package vaultstore

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/signet-temporal/signet/internal/loopback"
)

// ClientOptions are the settings of a Vault client that signet's own configuration may give. What is empty comes from
// the VAULT_* environment variables that every Vault client knows, then from Vault's defaults.
type ClientOptions struct {
	// Address of Vault, such as https://vault.example:8200. Default VAULT_ADDR, then https://127.0.0.1:8200.
	Address string
	// CACert is a PEM file with the authority of Vault's certificate. Default VAULT_CACERT, then the system's.
	CACert string
	// Namespace of Vault Enterprise. Default VAULT_NAMESPACE.
	Namespace string
	// Timeout of one call with all its tries. Default VAULT_CLIENT_TIMEOUT, then 10 s.
	Timeout time.Duration
	// InsecureAllowHTTP permits http:// to another host than this one. Tokens and unwrapped keys then cross the
	// network in clear.
	InsecureAllowHTTP bool
}

// NewClient makes a Vault client that holds no token: [Login] gives it one. A call takes at most Timeout; a failed
// one is tried up to two more times (VAULT_MAX_RETRIES), 0.25 to 1 s apart. VAULT_SKIP_VERIFY is refused: whoever
// can pose as Vault receives the token and with it every key.
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
	if opts.CACert != "" {
		if err := config.ConfigureTLS(&api.TLSConfig{CACert: opts.CACert}); err != nil {
			return nil, say(err, "reading Vault's CA certificate %q: %v", opts.CACert, err)
		}
	}
	client, err := api.NewClient(config)
	if err != nil {
		return nil, say(err, "making the Vault client: %v", err)
	}
	client.ClearToken()
	if opts.Namespace != "" {
		client.SetNamespace(opts.Namespace)
	}
	return client, nil
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
