package machine

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/signet-temporal/signet/principal"
)

// Identity is the name in a client certificate that says which program it is.
type Identity string

// The identities. A certificate that does not have exactly one of the kind is refused.
const (
	SPIFFE     Identity = "spiffe"     // the one URI among the subject's alternative names: spiffe://<trust domain>/<path>
	DNS        Identity = "dns"        // the one DNS name among them, no wildcard
	CommonName Identity = "commonName" // of the subject
)

// maxCertificates is how many certificates are remembered as good.
const maxCertificates = 1024

// Certificates knows programs by their client certificates. It is safe for concurrent use. It verifies by itself what TLS
// has verified in its handshake, when it sees a certificate for the first time, so that a connection, or a TLS session
// that is resumed, does not outlive an authority that was taken away.
type Certificates struct {
	authorities *x509.CertPool
	identity    Identity
	now         func() time.Time

	mu   sync.Mutex
	good map[[sha256.Size]byte]vouched // by the whole leaf
}

// vouched is a certificate that was verified.
type vouched struct {
	caller principal.Caller
	until  time.Time // the first end of a certificate in its chain
}

// NewCertificates trusts the authorities of a PEM text and of nobody else. An error begins with "<field>: ".
func NewCertificates(authorities []byte, identity Identity) (*Certificates, error) {
	switch identity {
	case SPIFFE, DNS, CommonName:
	default:
		return nil, fmt.Errorf("identity: %q is none of spiffe, dns, commonName: which name says who a program is?", identity)
	}
	pool, err := parseAuthorities(authorities)
	if err != nil {
		return nil, fmt.Errorf("ca: %w", err)
	}
	return &Certificates{authorities: pool, identity: identity, now: time.Now, good: map[[sha256.Size]byte]vouched{}}, nil
}

// Authorities are for the handshake: [tls.Config.ClientCAs].
func (c *Certificates) Authorities() *x509.CertPool { return c.authorities }

// Presented reports whether the request's connection has a client certificate.
func (c *Certificates) Presented(r *http.Request) bool {
	return r.TLS != nil && len(r.TLS.PeerCertificates) > 0
}

// Authenticate returns which program's certificate the connection has. The error is an [*Error]. A request with an Origin
// is refused: browsers show a certificate of the person's for whatever page makes them send a request.
func (c *Certificates) Authenticate(r *http.Request) (*principal.Caller, error) {
	if !c.Presented(r) {
		return nil, bad("the connection has no client certificate")
	}
	if len(r.Header.Values("Origin")) > 0 {
		return nil, bad("a certificate does not count in a browser, where any page can use it")
	}
	chain := r.TLS.PeerCertificates
	leaf, now := sha256.Sum256(chain[0].Raw), c.now()
	c.mu.Lock()
	known, ok := c.good[leaf]
	c.mu.Unlock()
	if !ok || !now.Before(known.until) {
		var err error
		if known, err = c.verify(chain, now); err != nil {
			return nil, err
		}
		c.mu.Lock()
		if len(c.good) >= maxCertificates {
			clear(c.good) // each can be verified again
		}
		c.good[leaf] = known
		c.mu.Unlock()
	}
	caller := known.caller
	return &caller, nil
}

func (c *Certificates) verify(chain []*x509.Certificate, now time.Time) (vouched, error) {
	between := x509.NewCertPool()
	for _, cert := range chain[1:] {
		between.AddCert(cert)
	}
	chains, err := chain[0].Verify(x509.VerifyOptions{Roots: c.authorities, Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	if err != nil {
		return vouched{}, bad(strings.Join(strings.Fields(err.Error()), " "))
	}
	subject, err := c.identity.of(chain[0])
	if err != nil {
		return vouched{}, bad(err.Error())
	}
	v := vouched{until: chain[0].NotAfter, caller: principal.Caller{Issuer: CertificateIssuer, Subject: subject, Claims: claimsOf(chain[0]), Machine: true}}
	for _, cert := range chains[0] {
		if cert.NotAfter.Before(v.until) {
			v.until = cert.NotAfter
		}
	}
	return v, nil
}

func bad(detail string) *Error { return &Error{"bad-certificate", detail} }

// of returns the name, which is one that a policy can be written about.
func (i Identity) of(cert *x509.Certificate) (string, error) {
	var names []string
	switch i {
	case SPIFFE:
		for _, u := range cert.URIs {
			if !isSPIFFE(u) {
				return "", errors.New("a URI of the certificate is not a SPIFFE ID")
			}
			names = append(names, u.String())
		}
	case DNS:
		names = cert.DNSNames
	case CommonName:
		names = append(names, cert.Subject.CommonName)
	}
	switch {
	case len(names) != 1 || names[0] == "":
		return "", fmt.Errorf("the certificate has not exactly one name of kind %s", i)
	case len(names[0]) > 256 || strings.ContainsFunc(names[0], func(r rune) bool { return r <= ' ' || r > '~' || r == '*' }):
		return "", fmt.Errorf("the certificate's name of kind %s has characters that a policy cannot be written about", i)
	}
	return names[0], nil
}

// isSPIFFE follows the SPIFFE ID standard, sections 2.1 to 2.3: a trust domain without port or user, a path, nothing else.
func isSPIFFE(u *url.URL) bool {
	return u.Scheme == "spiffe" && u.Host != "" && u.Host == u.Hostname() && u.User == nil && u.RawQuery == "" && !u.ForceQuery && u.Fragment == "" &&
		u.Opaque == "" && len(u.Path) > 1 && u.RawPath == "" && !strings.HasSuffix(u.Path, "/") && !strings.Contains(u.Path, "//") &&
		!strings.Contains(u.Path+"/", "/./") && !strings.Contains(u.Path+"/", "/../")
}

// claimsOf is what a policy can ask for beside the subject. By its fingerprint a denial can name one certificate.
func claimsOf(cert *x509.Certificate) map[string][]string {
	sum := sha256.Sum256(cert.Raw)
	claims := map[string][]string{
		"sha256":             {hex.EncodeToString(sum[:])},
		"dns":                cert.DNSNames,
		"organization":       cert.Subject.Organization,
		"organizationalUnit": cert.Subject.OrganizationalUnit,
	}
	if cert.Subject.CommonName != "" {
		claims["commonName"] = []string{cert.Subject.CommonName}
	}
	for _, u := range cert.URIs {
		claims["uri"] = append(claims["uri"], u.String())
	}
	for name, values := range claims {
		if len(values) == 0 {
			delete(claims, name) // not there, rather than there and not comparable
		}
	}
	return claims
}
