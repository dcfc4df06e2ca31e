package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/envconfig"
	sdklog "go.temporal.io/sdk/log"
)

// temporalFlags say where Temporal is, in the words of the temporal CLI. What is not set here comes from where that CLI
// takes it: TEMPORAL_* variables, and a profile of its configuration file. The API key is no flag: process lists and shell
// histories would keep it.
type temporalFlags struct {
	temporalPlace
	Namespace string `group:"temporal" short:"n" env:"TEMPORAL_NAMESPACE" placeholder:"NAME" help:"Namespace in Temporal; default if nothing says otherwise."`
}

// options are the SDK's, from flags before variables before the file.
func (f temporalFlags) options() (client.Options, error) { return f.temporalPlace.options(f.Namespace) }

// temporalPlace is temporalFlags without a namespace.
type temporalPlace struct {
	Address                    string `group:"temporal" env:"TEMPORAL_ADDRESS" placeholder:"HOST:PORT" help:"Temporal's frontend; localhost:7233 if nothing says otherwise."`
	APIKeyFile                 string `group:"temporal" name:"api-key-file" env:"SIGNET_TEMPORAL_API_KEY_FILE" placeholder:"FILE" help:"File with an API key; or set TEMPORAL_API_KEY."`
	TLS                        bool   `group:"temporal" env:"TEMPORAL_TLS" help:"Use TLS; implied by the other TLS flags and by an API key."`
	TLSCAPath                  string `group:"temporal" name:"tls-ca-path" env:"TEMPORAL_TLS_SERVER_CA_CERT_PATH" placeholder:"FILE" help:"PEM file with the authority of the server's certificate."`
	TLSCertPath                string `group:"temporal" name:"tls-cert-path" env:"TEMPORAL_TLS_CLIENT_CERT_PATH" placeholder:"FILE" help:"PEM file with a client certificate."`
	TLSKeyPath                 string `group:"temporal" name:"tls-key-path" env:"TEMPORAL_TLS_CLIENT_KEY_PATH" placeholder:"FILE" help:"PEM file with its private key."`
	TLSServerName              string `group:"temporal" name:"tls-server-name" env:"TEMPORAL_TLS_SERVER_NAME" placeholder:"NAME" help:"Name in the server's certificate, if not that of the address."`
	TLSDisableHostVerification bool   `group:"temporal" name:"tls-disable-host-verification" env:"TEMPORAL_TLS_DISABLE_HOST_VERIFICATION" help:"Do not check the server's certificate: anybody in between can read and change what is said."`
	temporalProfile
}

// temporalProfile says where the configuration of the temporal CLI is.
type temporalProfile struct {
	TemporalConfig string `group:"temporal" name:"temporal-config" env:"TEMPORAL_CONFIG_FILE" placeholder:"FILE" help:"Configuration file of the temporal CLI, if not in its usual place."`
	Profile        string `group:"temporal" env:"TEMPORAL_PROFILE" placeholder:"NAME" help:"Profile in that file."`
}

func (f temporalProfile) load() (envconfig.ClientConfigProfile, error) {
	return f.loadWith(envconfig.LoadClientConfigProfileOptions{})
}

// inFile is the profile without what variables say.
func (f temporalProfile) inFile() (envconfig.ClientConfigProfile, error) {
	return f.loadWith(envconfig.LoadClientConfigProfileOptions{DisableEnv: true})
}

func (f temporalProfile) loadWith(o envconfig.LoadClientConfigProfileOptions) (envconfig.ClientConfigProfile, error) {
	o.ConfigFilePath, o.ConfigFileProfile = f.TemporalConfig, f.Profile
	p, err := envconfig.LoadClientConfigProfile(o)
	if err != nil {
		return p, codedf(exitUsage, "configuration of Temporal: %s", err)
	}
	return p, nil
}

// options are those for a namespace; an empty one is that of the environment.
func (f temporalPlace) options(namespace string) (client.Options, error) {
	p, err := f.load()
	if err != nil {
		return client.Options{}, err
	}
	set := func(to *string, value string) bool {
		if value != "" {
			*to = value
		}
		return value != ""
	}
	set(&p.Address, f.Address)
	set(&p.Namespace, namespace)
	if f.APIKeyFile != "" {
		text, err := os.ReadFile(f.APIKeyFile)
		if err != nil {
			return client.Options{}, codedf(exitUsage, "--api-key-file: %s", err)
		}
		if p.APIKey = strings.TrimSpace(string(text)); p.APIKey == "" {
			return client.Options{}, codedf(exitUsage, "--api-key-file: %s is empty", f.APIKeyFile)
		}
	}
	t := envconfig.ClientConfigTLS{}
	if p.TLS != nil {
		t = *p.TLS
	}
	typed := set(&t.ServerCACertPath, f.TLSCAPath)
	typed = set(&t.ClientCertPath, f.TLSCertPath) || typed
	typed = set(&t.ClientKeyPath, f.TLSKeyPath) || typed
	typed = set(&t.ServerName, f.TLSServerName) || typed
	if f.TLSDisableHostVerification {
		t.DisableHostVerification, typed = true, true
	}
	if typed || f.TLS {
		t.Disabled = false
		p.TLS = &t
	}
	o, err := p.ToClientOptions(envconfig.ToClientOptionsRequest{})
	if err != nil {
		return client.Options{}, codedf(exitUsage, "configuration of Temporal: %s", err)
	}
	if c := o.ConnectionOptions.TLS; c != nil {
		c.MinVersion = tls.VersionTLS12
	}
	if o.HostPort == "" {
		o.HostPort = client.DefaultHostPort
	}
	if o.Namespace == "" {
		o.Namespace = client.DefaultNamespace
	}
	o.Identity = "signet"
	o.Logger = sdklog.NewStructuredLogger(slog.New(slog.DiscardHandler))
	return o, nil
}

// dialTimeout is how long Temporal may take to answer for the first time.
const dialTimeout = 10 * time.Second

// dial connects to Temporal.
func dial(ctx context.Context, o client.Options) (client.Client, error) {
	once, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	c, err := client.DialContext(once, o)
	if err != nil {
		return nil, fmt.Errorf("cannot reach Temporal at %s: %w: check --address and the TLS flags", o.HostPort, err)
	}
	return c, nil
}
