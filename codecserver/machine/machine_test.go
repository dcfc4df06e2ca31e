package machine

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

func request(authorization ...string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/decode", nil)
	r.Header["Authorization"] = authorization
	return r
}

func wantRefusal(t *testing.T, err error, code string) {
	t.Helper()
	var refused *Error
	if !errors.As(err, &refused) || refused.Reason() != code || !refused.Machine() {
		t.Errorf("got %v, want %s", err, code)
	}
}

func TestATokenIsWhoseItIsUntilItExpires(t *testing.T) {
	token, hash := NewToken()
	other, _ := NewToken()
	ends := time.Now().Add(time.Hour)
	tokens, err := NewTokens([]Token{{"billing", hash, ends}})
	if err != nil {
		t.Fatal(err)
	}
	if token == other || len(token) != tokenLength || strings.Contains(hash, token) {
		t.Fatalf("the tokens are %q and %q", token, other)
	}
	caller, err := tokens.Authenticate(request("Bearer " + token))
	if err != nil || caller.Issuer != TokenIssuer || caller.Subject != "billing" || !caller.Machine || caller.Claims == nil {
		t.Errorf("the caller is %+v, %v", caller, err)
	}
	for says, c := range map[string]struct {
		r    *http.Request
		code string
	}{
		"another":          {request("Bearer " + other), "unknown-token"},
		"its hash":         {request("Bearer " + tokenPrefix + hash[:43]), "unknown-token"},
		"a part of it":     {request("Bearer " + token[:tokenLength-1]), "malformed-token"},
		"more than it":     {request("Bearer " + token + "x"), "malformed-token"},
		"another scheme":   {request("Basic " + token), "malformed-token"},
		"no token":         {request(), "malformed-token"},
		"twice":            {request("Bearer "+token, "Bearer "+token), "malformed-token"},
		"in capitals":      {request("Bearer " + tokenPrefix + strings.ToUpper(token[len(tokenPrefix):])), "unknown-token"},
		"a second in line": {request("Bearer " + token + ", Bearer " + token), "malformed-token"},
	} {
		got, err := tokens.Authenticate(c.r)
		if got != nil {
			t.Errorf("%s: the caller is %+v", says, got)
		}
		wantRefusal(t, err, c.code)
		if err != nil && strings.Contains(err.Error(), token) {
			t.Errorf("%s: the error holds the token", says)
		}
	}
	tokens.now = func() time.Time { return ends }
	_, err = tokens.Authenticate(request("Bearer " + token))
	wantRefusal(t, err, "expired-token")
}

func TestTwoTokensMayHaveOneNameWhileOneReplacesTheOther(t *testing.T) {
	a, hashA := NewToken()
	b, hashB := NewToken()
	tokens, err := NewTokens([]Token{{"w", hashA, time.Now().Add(time.Hour)}, {"w", strings.ToUpper(hashB), time.Now().Add(time.Hour)}})
	if err != nil {
		t.Fatal(err)
	}
	for _, token := range []string{a, b} {
		if c, err := tokens.Authenticate(request("bearer " + token)); err != nil || c.Subject != "w" {
			t.Errorf("%+v, %v", c, err)
		}
	}
}

func TestATokenIsRefusedThatSaysTooLittle(t *testing.T) {
	_, hash := NewToken()
	later := time.Now().Add(time.Hour)
	for want, tokens := range map[string][]Token{
		"[0].name: ":     {{"", hash, later}},
		`[0].name: "a b`: {{"a b", hash, later}},
		"[0].sha256: ":   {{"a", "abc", later}},
		"[0].expires: ":  {{"a", hash, time.Time{}}},
		"[1].sha256: ":   {{"a", hash, later}, {"b", strings.ToUpper(hash), later}},
		": there are":    make([]Token, maxTokens+1),
	} {
		if got, err := NewTokens(tokens); err == nil || got != nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("NewTokens = %v, %v; want %q", got, err, want)
		}
	}
}

func TestAuthenticatingATokenAllocatesLittle(t *testing.T) {
	token, hash := NewToken()
	tokens, err := NewTokens([]Token{{"a", hash, time.Now().Add(time.Hour)}})
	if err != nil {
		t.Fatal(err)
	}
	r := request("Bearer " + token)
	if n := testing.AllocsPerRun(100, func() { _, _ = tokens.Authenticate(r) }); n > 5 {
		t.Errorf("%v allocations", n)
	}
}

// authority certifies programs.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, key: newKey(t)}
	a.cert = a.certify(&x509.Certificate{Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return a
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (a *authority) certify(c *x509.Certificate) *x509.Certificate {
	a.t.Helper()
	if c.SerialNumber = big.NewInt(1); c.NotAfter.IsZero() {
		c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	}
	parent, key := a.cert, newKey(a.t)
	if parent == nil {
		parent, key = c, a.key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, key.Public(), a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert
}

func (a *authority) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
}

func program(uris ...string) *x509.Certificate {
	c := &x509.Certificate{Subject: pkix.Name{CommonName: "cn", Organization: []string{"acme"}}, DNSNames: []string{"worker.example.com"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	for _, s := range uris {
		u, _ := url.Parse(s)
		c.URIs = append(c.URIs, u)
	}
	return c
}

func showing(certs ...*x509.Certificate) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/decode", nil)
	r.TLS = &tls.ConnectionState{PeerCertificates: certs}
	return r
}

func TestACertificateIsWhoItsNameSays(t *testing.T) {
	a := newAuthority(t)
	cert := a.certify(program("spiffe://prod.example/ns/pay/sa/worker"))
	for identity, want := range map[Identity]string{SPIFFE: "spiffe://prod.example/ns/pay/sa/worker", DNS: "worker.example.com", CommonName: "cn"} {
		certs, err := NewCertificates(a.pem(), identity)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second is remembered
			c, err := certs.Authenticate(showing(cert))
			if err != nil || c.Issuer != CertificateIssuer || c.Subject != want || !c.Machine || !slices.Equal(c.Claims["organization"], []string{"acme"}) ||
				!slices.Equal(c.Claims["dns"], cert.DNSNames) || len(c.Claims["sha256"][0]) != 64 {
				t.Errorf("%s: %+v, %v", identity, c, err)
			}
		}
	}
}

func TestACertificateThatIsNotGoodNamesNobody(t *testing.T) {
	a, other := newAuthority(t), newAuthority(t)
	certs, err := NewCertificates(a.pem(), SPIFFE)
	if err != nil {
		t.Fatal(err)
	}
	good := "spiffe://prod.example/worker"
	server := program(good)
	server.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	old := program(good)
	old.NotBefore, old.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
	browser := showing(a.certify(program(good)))
	browser.Header.Set("Origin", "https://temporal.example.com")
	for says, r := range map[string]*http.Request{
		"none":                showing(),
		"no TLS":              httptest.NewRequest(http.MethodPost, "/decode", nil),
		"another authority":   showing(other.certify(program(good))),
		"with its authority":  showing(other.certify(program(good)), other.cert),
		"of a server":         showing(a.certify(server)),
		"expired":             showing(a.certify(old)),
		"no SPIFFE ID":        showing(a.certify(program())),
		"two":                 showing(a.certify(program(good, good+"2"))),
		"https":               showing(a.certify(program("https://prod.example/worker"))),
		"a port":              showing(a.certify(program("spiffe://prod.example:1/worker"))),
		"no path":             showing(a.certify(program("spiffe://prod.example"))),
		"a trick in the path": showing(a.certify(program("spiffe://prod.example/a/../worker"))),
		"an escape":           showing(a.certify(program("spiffe://prod.example/%2e%2e/worker"))),
		"a query":             showing(a.certify(program("spiffe://prod.example/worker?x"))),
		"in a browser":        browser,
	} {
		t.Run(says, func(t *testing.T) {
			c, err := certs.Authenticate(r)
			if c != nil {
				t.Errorf("the caller is %+v", c)
			}
			wantRefusal(t, err, "bad-certificate")
		})
	}
}

// TestAConnectionDoesNotOutliveItsCertificate: what is remembered ends with the certificate.
func TestAConnectionDoesNotOutliveItsCertificate(t *testing.T) {
	a := newAuthority(t)
	certs, err := NewCertificates(a.pem(), CommonName)
	if err != nil {
		t.Fatal(err)
	}
	r := showing(a.certify(program()))
	if _, err := certs.Authenticate(r); err != nil {
		t.Fatal(err)
	}
	certs.now = func() time.Time { return time.Now().Add(2 * time.Hour) }
	_, err = certs.Authenticate(r)
	wantRefusal(t, err, "bad-certificate")
}

// TestWhatIsRememberedEndsWithTheAuthorityToo: as its certificate in between does, which lives shorter than the leaf's.
func TestWhatIsRememberedEndsWithTheAuthorityToo(t *testing.T) {
	root := newAuthority(t)
	between := &authority{t: t, key: newKey(t)}
	template := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "between"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Minute)}
	der, err := x509.CreateCertificate(rand.Reader, template, root.cert, between.key.Public(), root.key)
	if err == nil {
		between.cert, err = x509.ParseCertificate(der)
	}
	if err != nil {
		t.Fatal(err)
	}
	certs, err := NewCertificates(root.pem(), CommonName)
	if err != nil {
		t.Fatal(err)
	}
	r := showing(between.certify(program()), between.cert)
	if _, err := certs.Authenticate(r); err != nil {
		t.Fatal(err)
	}
	certs.now = func() time.Time { return time.Now().Add(2 * time.Minute) } // the leaf is good for an hour
	_, err = certs.Authenticate(r)
	wantRefusal(t, err, "bad-certificate")
}

func TestAWildcardIsNobodysName(t *testing.T) {
	a := newAuthority(t)
	certs, err := NewCertificates(a.pem(), DNS)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"*.example.com", "*"} {
		wild := program()
		wild.DNSNames = []string{name}
		_, err = certs.Authenticate(showing(a.certify(wild)))
		wantRefusal(t, err, "bad-certificate")
	}
}

func TestAuthoritiesAreReadStrictly(t *testing.T) {
	a := newAuthority(t)
	leaf := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.certify(program()).Raw})
	for says, c := range map[string]struct {
		text     []byte
		identity Identity
		want     string
	}{
		"no identity":       {a.pem(), "", `identity: "" is none of`},
		"nothing":           {nil, DNS, "ca: there is no certificate"},
		"no authority":      {leaf, DNS, "ca: certificate 1"},
		"a key":             {pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY"}), DNS, "ca: a PRIVATE KEY"},
		"cut short":         {append(a.pem(), a.pem()[:100]...), DNS, "ca: there is text"},
		"not a certificate": {pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")}), DNS, "ca: certificate 1: "},
	} {
		if got, err := NewCertificates(c.text, c.identity); err == nil || got != nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: %v, %v; want %q", says, got, err, c.want)
		}
	}
}
