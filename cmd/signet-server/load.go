package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/signet-temporal/signet/codecserver"
	"github.com/signet-temporal/signet/codecserver/login"
	"github.com/signet-temporal/signet/codecserver/policy"
	"github.com/signet-temporal/signet/internal/loopback"
	"github.com/signet-temporal/signet/internal/strictyaml"
	"github.com/signet-temporal/signet/keys"
	"github.com/signet-temporal/signet/principal/temporalcloud"
	"github.com/signet-temporal/signet/principal/verify"
)

// loaded is a configuration that is checked as far as that is possible without a network, with what its files hold.
type loaded struct {
	config
	certificate *tls.Certificate // nil: plain HTTP
	rules       *policy.Rules
	issuers     []verify.Issuer
	machines    machines
	cloud       *temporalcloud.Accounts // nil: Temporal Cloud is no issuer
	login       *login.Options          // nil: nobody logs in
	mode        codecserver.Mode
	storage     codecserver.Storage // nil: none
	refresh     time.Duration       // 0: the ring's default
	stopDelay   time.Duration
	seen        fingerprint // of the files it was read from
}

// loadConfig reads and checks the file. An error is one line, "<file>: <field>: <problem>".
func loadConfig(file string) (*loaded, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w: name a YAML file that this user may read", err)
	}
	c := &loaded{}
	if err := strictyaml.Unmarshal(data, &c.config); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	c.seen = c.fingerprint(file) // before they are read: what changes meanwhile is another change
	for _, check := range []func() error{c.checkListen, c.checkIssuers, c.checkMachines, c.checkPolicy, c.checkNamespaces, c.checkStorage, c.Limits.check, c.checkRest, c.checkLogin, c.Audit.checkSyslog} {
		if err := check(); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
	}
	return c, nil
}

func (c *loaded) checkListen() error {
	host, _, err := net.SplitHostPort(c.Listen)
	switch {
	case c.Listen == "":
		return errors.New("listen: the address is required, such as 127.0.0.1:8234")
	case err != nil:
		return fmt.Errorf("listen: %q is not an address and port, such as 127.0.0.1:8234", c.Listen)
	case c.TLS.Cert == "" && c.TLS.Key != "":
		return errors.New("tls.cert: the certificate is required beside tls.key")
	case c.TLS.Cert != "" && c.TLS.Key == "":
		return errors.New("tls.key: the private key is required beside tls.cert")
	case c.TLS.Cert != "":
		pair, err := tls.LoadX509KeyPair(c.TLS.Cert, c.TLS.Key)
		if err != nil {
			return fmt.Errorf("tls: loading certificate and key: %w: give two PEM files that belong together", err)
		}
		c.certificate = &pair
	case !loopback.Is(host) && !c.InsecureAllowPlaintextHTTP:
		return fmt.Errorf("tls: %s can be reached from other machines: give tls.cert and tls.key, or listen on 127.0.0.1 (insecureAllowPlaintextHTTP: true where something else encrypts)", c.Listen)
	}
	return nil
}

func (c *loaded) checkIssuers() error {
	if len(c.Issuers) == 0 && c.Machines.Certificates == (certificatesConfig{}) && len(c.Machines.Tokens) == 0 {
		return errors.New("issuers: at least one issuer is required, or machines: who vouches for callers?")
	}
	for i, in := range c.Issuers {
		if err := c.asTemporalCloud(&in); err != nil {
			return fmt.Errorf("issuers[%d].%w", i, err)
		}
		issuer := verify.Issuer{
			Issuer: in.Issuer, JWKSURL: in.JWKSURL, Audiences: in.Audiences, IDTokenAudiences: in.IDTokenAudiences, Algorithms: in.Algorithms,
			TokenTypes: in.TokenTypes, AuthorizedParties: in.AuthorizedParties,
			GroupsClaim: in.GroupsClaim, EmailClaim: in.EmailClaim, AllowUnverifiedEmail: in.AllowUnverifiedEmail,
		}
		if in.MaxAge != "" {
			d, err := time.ParseDuration(in.MaxAge)
			if err != nil || d <= 0 {
				return fmt.Errorf("issuers[%d].maxAge: %q is not a time, such as 15m or 1h", i, in.MaxAge)
			}
			issuer.MaxAge = d
		}
		if err := issuer.Check(); err != nil {
			return fmt.Errorf("issuers[%d].%w", i, err)
		}
		if in.CACert != "" {
			pem, err := os.ReadFile(in.CACert)
			if err != nil {
				return fmt.Errorf("issuers[%d].caCert: %w", i, err)
			}
			issuer.RootCAs = x509.NewCertPool()
			if !issuer.RootCAs.AppendCertsFromPEM(pem) {
				return fmt.Errorf("issuers[%d].caCert: %s holds no certificate in PEM form", i, in.CACert)
			}
		}
		c.issuers = append(c.issuers, issuer)
	}
	return nil
}

func (c *loaded) checkPolicy() error {
	switch {
	case c.Policy.File == "" && c.Policy.Grants == nil:
		return errors.New("policy: policy.file or policy.grants is required: who may decode what?")
	case c.Policy.File != "" && (c.Policy.Grants != nil || c.Policy.Deny != nil || c.Policy.Permissions != nil):
		return errors.New("policy: policy.file and rules beside it exclude each other: move them into the file")
	}
	if err := c.loadPolicy(); err != nil {
		return err
	}
	for _, issuer := range c.rules.Issuers() {
		if !slices.ContainsFunc(c.issuers, func(i verify.Issuer) bool { return i.Issuer == issuer }) && !slices.Contains(c.machineIssuers(), issuer) {
			return fmt.Errorf("policy: a rule is for issuer %q, which is neither one of issuers nor signet:certificate or signet:token of machines: write it exactly as it stands there", issuer)
		}
	}
	return nil
}

func (c *loaded) loadPolicy() error {
	if c.Policy.File == "" {
		rules, err := policy.New(c.Policy.Document)
		if err != nil {
			return fmt.Errorf("policy.%w", err)
		}
		c.rules = rules
		return nil
	}
	data, err := os.ReadFile(c.Policy.File)
	if err != nil {
		return fmt.Errorf("policy.file: %w: give the path of the policy file", err)
	}
	if c.rules, err = policy.Parse(data); err != nil {
		return fmt.Errorf("policy.file: %s: %w", c.Policy.File, err)
	}
	return nil
}

func (c *loaded) checkNamespaces() error {
	if len(c.Namespaces) == 0 {
		return errors.New("namespaces: at least one namespace is required")
	}
	names, scopes := map[string]bool{}, map[string]bool{}
	for i := range c.Namespaces {
		n := &c.Namespaces[i]
		if n.Name == "" {
			return fmt.Errorf("namespaces[%d].name: the name is required", i)
		}
		if n.Scope == "" {
			n.Scope = n.Name
		}
		if n.Keyset == "" {
			n.Keyset = "ns/" + n.Name
		}
		if names[n.Name] {
			return fmt.Errorf("namespaces[%d].name: %q is given twice", i, n.Name)
		}
		if scopes[n.Scope] {
			return fmt.Errorf("namespaces[%d].scope: %q is that of another namespace: a payload must lead to one", i, n.Scope)
		}
		names[n.Name], scopes[n.Scope] = true, true
		if err := keys.CheckName(n.Keyset); err != nil {
			return fmt.Errorf("namespaces[%d].keyset: %w", i, err)
		}
		if err := n.Search.check(); err != nil {
			return fmt.Errorf("namespaces[%d].search.%w", i, err)
		}
		for j, name := range n.AcceptKeysets {
			if err := keys.CheckName(name); err != nil {
				return fmt.Errorf("namespaces[%d].acceptKeysets[%d]: %w", i, j, err)
			}
		}
		if under := n.Tenants.Under; under != "" && (!strings.HasSuffix(under, "/") || keys.CheckName(under+"x") != nil) {
			return fmt.Errorf("namespaces[%d].tenants.under: %q is not the beginning of keysets' names up to a slash: write it like tenant/", i, under)
		}
	}
	return nil
}

func (c *loaded) checkRest() error {
	if err := c.Keys.Check(); err != nil {
		return err
	}
	switch c.Mode {
	case "", "explain":
		c.mode = codecserver.Explain
	case "strict":
		c.mode = codecserver.Strict
	default:
		return fmt.Errorf("mode: %q is neither explain nor strict", c.Mode)
	}
	if c.RefreshInterval != "" {
		d, err := time.ParseDuration(c.RefreshInterval)
		if err != nil || d < time.Second {
			return fmt.Errorf("refreshInterval: %q is not a time of at least 1s, such as 30s or 1m", c.RefreshInterval)
		}
		c.refresh = d
	}
	if c.StopDelay != "" {
		d, err := time.ParseDuration(c.StopDelay)
		if err != nil || d < 0 || d > time.Minute {
			return fmt.Errorf("stopDelay: %q is not a time of at most 1m, such as 10s", c.StopDelay)
		}
		c.stopDelay = d
	}
	if c.Metrics.Listen != "" {
		if _, _, err := net.SplitHostPort(c.Metrics.Listen); err != nil || c.Metrics.Listen == c.Listen {
			return fmt.Errorf("metrics.listen: %q is not an address and port of its own, such as 127.0.0.1:9464", c.Metrics.Listen)
		}
	}
	if err := c.Traces.check(); err != nil {
		return err
	}
	switch {
	case c.Audit.File == "" && !c.Audit.Stdout:
		return errors.New("audit: audit.file or audit.stdout is required: without a record nothing is decoded")
	case c.Audit.File != "" && c.Audit.Stdout:
		return errors.New("audit: audit.file and audit.stdout exclude each other")
	case c.Audit.MaxFileBytes < 0:
		return errors.New("audit.maxFileBytes: it must be positive")
	case c.Audit.MaxFileBytes > 0 && c.Audit.Stdout:
		return errors.New("audit.maxFileBytes: it is for audit.file, and standard output is not a file that this server rotates")
	case c.Limits.MaxBodyBytes < 0:
		return errors.New("limits.maxBodyBytes: it must be positive")
	case c.Limits.MaxPayloads < 0:
		return errors.New("limits.maxPayloads: it must be positive")
	case c.Limits.MaxOpenedBytes < 0:
		return errors.New("limits.maxOpenedBytes: it must be positive")
	case c.Limits.MaxConcurrent < 0:
		return errors.New("limits.maxConcurrent: it must be positive")
	case c.Limits.PayloadBurst < 0:
		return errors.New("limits.payloadBurst: it must be positive")
	case !(c.Limits.PayloadsPerSecond >= 0): // also .nan, which would be no limit
		return errors.New("limits.payloadsPerSecond: it must be positive")
	}
	if i, err := codecserver.CheckOrigins(c.CORS.Origins); err != nil {
		return fmt.Errorf("cors.origins[%d]: %w", i, err)
	}
	return nil
}

func (c tracesConfig) check() error {
	if c.Endpoint == "" && c.Sample != nil {
		return errors.New("traces.endpoint: the collector's address is required beside traces.sample")
	}
	if c.Endpoint == "" {
		return nil
	}
	u, err := url.Parse(c.Endpoint)
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Scheme != "http" && u.Scheme != "https":
		return fmt.Errorf("traces.endpoint: %q is not a plain URL such as https://collector.example.com:4318", c.Endpoint)
	case u.Scheme == "http" && !loopback.Is(u.Hostname()):
		return fmt.Errorf("traces.endpoint: %q must begin with https:// (http:// is for loopback addresses alone)", c.Endpoint)
	case !(c.fraction() > 0 && c.fraction() <= 1):
		return errors.New("traces.sample: it must be more than 0 and at most 1")
	}
	return nil
}
