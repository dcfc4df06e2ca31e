package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/signet-temporal/signet/codecserver"
	"github.com/signet-temporal/signet/codecserver/login"
	"github.com/signet-temporal/signet/codecserver/machine"
	"github.com/signet-temporal/signet/principal"
)

// machinesConfig is how programs say who they are: workers of other languages that use the server as their remote codec,
// gateways, jobs. They get errors, and never an explanation. The policy names them by the issuers signet:certificate and
// signet:token.
type machinesConfig struct {
	// Certificates lets programs in by the client certificate of their connection. It needs tls.
	Certificates certificatesConfig `yaml:"certificates"`
	// Tokens are static tokens. signet-server token new makes one, and the lines to put here.
	Tokens []tokenConfig `yaml:"tokens"`
}

// certificatesConfig: both or none are given.
type certificatesConfig struct {
	// CA is a PEM file with the authorities that certify programs, and nobody else: whom they certify is let in.
	CA string `yaml:"ca"`
	// Identity is the name in the certificate that is the caller's subject: spiffe (its one URI), dns (its one DNS name) or
	// commonName. The policy can ask for other names by claims: uri, dns, commonName, organization, organizationalUnit,
	// and sha256, the fingerprint.
	Identity string `yaml:"identity"`
}

// tokenConfig is one token. All fields are required.
type tokenConfig struct {
	Name    string `yaml:"name"`    // whose: the caller's subject. A second token of that name may replace the first
	SHA256  string `yaml:"sha256"`  // the token's hash; the token itself stands nowhere
	Expires string `yaml:"expires"` // RFC 3339
}

// machines are the programs that a configuration knows. The zero value knows none.
type machines struct {
	certificates *machine.Certificates
	tokens       *machine.Tokens
}

// machineIssuers are those that a rule of the policy can name.
func (c *loaded) machineIssuers() []string {
	var issuers []string
	if c.machines.certificates != nil {
		issuers = append(issuers, machine.CertificateIssuer)
	}
	if len(c.Machines.Tokens) > 0 {
		issuers = append(issuers, machine.TokenIssuer)
	}
	return issuers
}

func (c *loaded) checkMachines() (err error) {
	if in := c.Machines.Certificates; in != (certificatesConfig{}) {
		if c.certificate == nil {
			return errors.New("machines.certificates: client certificates need tls.cert and tls.key: nobody shows one without TLS")
		}
		authorities, err := os.ReadFile(in.CA)
		if err != nil {
			return fmt.Errorf("machines.certificates.ca: %w: give the PEM file of the authorities that certify programs", err)
		}
		if c.machines.certificates, err = machine.NewCertificates(authorities, machine.Identity(in.Identity)); err != nil {
			return fmt.Errorf("machines.certificates.%w", err)
		}
	}
	var tokens []machine.Token
	for i, in := range c.Machines.Tokens {
		t := machine.Token{Name: in.Name, SHA256: in.SHA256}
		if in.Expires != "" {
			if t.Expires, err = time.Parse(time.RFC3339, in.Expires); err != nil {
				return fmt.Errorf("machines.tokens[%d].expires: %q is not a time such as 2027-01-31T18:00:00Z", i, in.Expires)
			}
		}
		tokens = append(tokens, t)
	}
	// Also without any: the program whose last token was removed is refused as a program is.
	if c.machines.tokens, err = machine.NewTokens(tokens); err != nil {
		return fmt.Errorf("machines.tokens%w", err)
	}
	return nil
}

// tokenWarning is how long before its end a token is worth a line in the log.
const tokenWarning = 14 * 24 * time.Hour

// warnOfTokens says which tokens end soon: a worker that stops in the night is a bad reminder.
func (c *loaded) warnOfTokens(log *slog.Logger, now time.Time) {
	for _, t := range c.Machines.Tokens {
		expires, err := time.Parse(time.RFC3339, t.Expires)
		if err == nil && now.Add(tokenWarning).After(expires) {
			log.Warn("a machine's token ends soon: make another with signet-server token new", "name", t.Name, "expires", expires, "expired", !now.Before(expires))
		}
	}
}

// callers asks whoever can judge what a request shows. One credential decides: an Authorization header, or else the
// certificate of the connection or the session of the browser. A bad one is never mended by another.
type callers struct {
	people   codecserver.Authenticator
	sessions *login.Login // nil: there are none
	machines
}

// Authenticate implements [codecserver.Authenticator].
func (c callers) Authenticate(r *http.Request) (*principal.Caller, error) {
	if c.tokens != nil && c.tokens.Presented(r) {
		return c.tokens.Authenticate(r)
	}
	named := len(r.Header.Values("Authorization")) > 0 || len(r.Header.Values("Authorization-Extras")) > 0
	// Whoever has an Origin is a person in a browser, which may show a certificate without being asked to by anybody.
	browser := len(r.Header.Values("Origin")) > 0
	certified := c.certificates != nil && c.certificates.Presented(r)
	if certified && !named && !browser {
		return c.certificates.Authenticate(r)
	}
	if c.sessions != nil && !named && c.sessions.Presented(r) {
		return c.sessions.Authenticate(r)
	}
	caller, err := c.people.Authenticate(r)
	if err != nil && certified {
		return nil, programs{err}
	}
	return caller, err
}

// programs is the refusal of whoever shows a program's certificate and nothing else that is good: a program that sends an
// Origin would take an explanation for data.
type programs struct{ error }

// Unwrap returns why.
func (p programs) Unwrap() error { return p.error }

// Machine is true.
func (programs) Machine() bool { return true }

// handshake is the TLS configuration of a connection that begins now: with the certificate and the authorities that are in
// use now.
func (l *live) handshake(*tls.ClientHelloInfo) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: l.certificate, NextProtos: []string{"h2", "http/1.1"}}
	if known := l.now.Load().config.machines.certificates; known != nil {
		// People come without one. A certificate of others fails the handshake, so that its owner hears of it early; that it
		// is good is looked at again with every request.
		c.ClientAuth, c.ClientCAs = tls.VerifyClientCertIfGiven, known.Authorities()
	}
	return c, nil
}
