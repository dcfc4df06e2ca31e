package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io"
	"log/slog"
	"maps"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	commonpb "go.temporal.io/api/common/v1"
	sdk "go.temporal.io/sdk/converter"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/signet-temporal/signet/codecserver"
	"github.com/signet-temporal/signet/codecserver/machine"
	"github.com/signet-temporal/signet/converter"
	"github.com/signet-temporal/signet/keys"
	"github.com/signet-temporal/signet/keys/filestore"
	"github.com/signet-temporal/signet/keys/rotate"
)

const (
	arenaUI = "https://temporal.example.com"
	secret  = "PLAINTEXT-4711"
)

// arena is signet-server as its main wires it, from a configuration file and on a listener, with what stands around it:
// an identity provider, keys, and programs with certificates and a static token. Ann and the programs may decode in
// payments, and nobody may do anything else.
type arena struct {
	t               *testing.T
	dir, addr       string
	https           *http.Client // shows no certificate
	idp, cloud      *provider    // the company's, and what stands in for Temporal Cloud
	log             *syncBuffer
	audit           func() string
	authority, ours *certifier // of programs, and of the server
	jobToken        string
	codecs          map[string]*converter.Codec
	issued          []string     // tokens that were sent
	handled         atomic.Int64 // payloads that were opened or sealed
}

// counting counts what a codec hands out.
type counting struct {
	codecserver.Codec
	handled *atomic.Int64
}

func (c counting) Open(p *commonpb.Payload) (*commonpb.Payload, error) {
	return c.count(c.Codec.Open(p))
}

func (c counting) Seal(p *commonpb.Payload) (*commonpb.Payload, error) {
	return c.count(c.Codec.Seal(p))
}

func (c counting) count(out *commonpb.Payload, err error) (*commonpb.Payload, error) {
	if err == nil {
		c.handled.Add(1)
	}
	return out, err
}

type syncBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.String()
}

// newArena starts the server. records is where a configuration with audit.stdout writes.
func newArena(t *testing.T, auditTo string, records io.Writer) *arena {
	t.Helper()
	a := &arena{t: t, dir: t.TempDir(), log: &syncBuffer{}, idp: newProvider(t), cloud: newProvider(t), authority: newCertifier(t), ours: newCertifier(t), codecs: map[string]*converter.Codec{}}
	a.makeKeys("payments", "orders")
	a.ours.write(filepath.Join(a.dir, "server"), &x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	a.file("programs.pem", a.authority.pem())
	a.file("api.key", []byte("sesame"))
	token, hash := machine.NewToken()
	a.jobToken = token
	file := a.file("config.yaml", []byte(os.Expand(`
listen: 127.0.0.1:0
tls: {cert: "$DIR/server.pem", key: "$DIR/server.key"}
issuers:
  - {issuer: "$ISSUER", audiences: [codec], idTokenAudiences: [temporal-ui, codec-login]}
  - {temporalCloud: {accounts: [a2b3c], users: {apiKeyFile: "$DIR/api.key"}}}
machines:
  certificates: {ca: "$DIR/programs.pem", identity: dns}
  tokens: [{name: job, sha256: $HASH, expires: "2036-01-01T00:00:00Z"}]
namespaces: [{name: payments}, {name: orders}]
keys: {file: {dir: "$DIR/keys"}}
cors: {origins: ["https://temporal.example.com"], allowCredentials: true}
login: {url: "https://codec.example.com", issuer: "$ISSUER", clientID: codec-login, keyset: login/codec, ended: "$DIR/ended"}
audit: {$AUDIT}
policy:
  deny:
    - {name: contractors, groups: [contractors]}
  grants:
    - {name: oncall, issuer: "$ISSUER", groups: [oncall], namespaces: [payments], actions: [decode]}
    - {name: job, issuer: "signet:token", subjects: [job], namespaces: [payments], actions: [decode]}
    - {name: cloud, issuer: "https://login.tmprl.cloud/", claims: {temporal-cloud-role: [developer]}, namespaces: [payments], actions: [decode]}
    - {name: worker, issuer: "signet:certificate", subjects: [worker.example.com], namespaces: [payments], actions: [decode]}
  permissions:
    - {name: cloud-rights, issuer: "https://login.tmprl.cloud/", claim: temporal-cloud-permissions, decode: [admin]}
`, func(name string) string {
		return map[string]string{"DIR": a.dir, "ISSUER": a.idp.URL, "HASH": hash, "AUDIT": os.Expand(auditTo, func(string) string { return a.dir })}[name]
	})))
	c, err := loadConfig(file)
	if err != nil {
		t.Fatal(err)
	}
	a.replaceCloud(c)
	a.audit = func() string { data, _ := os.ReadFile(c.Audit.File); return string(data) }
	a.serve(file, c, records)
	a.https = a.client(nil)
	return a
}

func (a *arena) serve(file string, c *loaded, records io.Writer) {
	a.t.Helper()
	log := slog.New(slog.NewTextHandler(a.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	b, err := build(a.t.Context(), c, records, log)
	if err != nil {
		a.t.Fatal(err)
	}
	config, err := b.handlerConfig(log)
	if err != nil {
		a.t.Fatal(err)
	}
	for i := range config.Namespaces {
		config.Namespaces[i].Codec = counting{config.Namespaces[i].Codec, &a.handled}
	}
	whole := b.handler.(site)
	if whole.codec, err = codecserver.New(config); err != nil {
		a.t.Fatal(err)
	}
	b.handler = whole
	listener, err := net.Listen("tcp", c.Listen)
	if err != nil {
		a.t.Fatal(err)
	}
	a.addr = listener.Addr().String()
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- serveOn(ctx, listener, newLive(file, b, log), log) }()
	a.t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			a.t.Error(err)
		}
		b.close(log)
	})
}

func (a *arena) file(name string, data []byte) string {
	a.t.Helper()
	path := filepath.Join(a.dir, name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		a.t.Fatal(err)
	}
	return path
}

func (a *arena) makeKeys(namespaces ...string) {
	a.t.Helper()
	store, err := filestore.OpenOrCreate(filepath.Join(a.dir, "keys"))
	if err != nil {
		a.t.Fatal(err)
	}
	if _, err := rotate.Create(a.t.Context(), store, store, "login/codec", rotate.Options{PropagationDelay: time.Minute}); err != nil {
		a.t.Fatal(err)
	}
	for _, name := range namespaces {
		if _, err := rotate.Create(a.t.Context(), store, store, "ns/"+name, rotate.Options{Type: keys.XAES256GCM, PropagationDelay: time.Minute}); err != nil {
			a.t.Fatal(err)
		}
		ring, err := keys.NewRing(a.t.Context(), store, store, keys.RingOptions{Keysets: []string{"ns/" + name}})
		if err != nil {
			a.t.Fatal(err)
		}
		a.t.Cleanup(func() { _ = ring.Close() })
		if a.codecs[name], err = converter.NewCodec(ring, converter.CodecOptions{Keyset: "ns/" + name, Scope: name, CompressMin: 1 << 10}); err != nil {
			a.t.Fatal(err)
		}
	}
}

// sealed is the secret, and what else there is, as a worker of the namespace seals it.
func (a *arena) sealed(namespace string, more ...byte) *commonpb.Payload {
	a.t.Helper()
	bound := a.codecs[namespace].WithSerializationContext(sdk.WorkflowSerializationContext{Namespace: namespace, WorkflowID: "order-17"})
	out, err := bound.Encode([]*commonpb.Payload{{Metadata: map[string][]byte{"encoding": []byte("json/plain")}, Data: append([]byte(`"`+secret+`"`), more...)}})
	if err != nil {
		a.t.Fatal(err)
	}
	return out[0]
}

func bodyOf(t *testing.T, payloads ...*commonpb.Payload) string {
	t.Helper()
	text, err := protojson.Marshal(&commonpb.Payloads{Payloads: payloads})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// client is one that shows a certificate, if there is one.
func (a *arena) client(shows *tls.Certificate) *http.Client {
	c := &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
	c.RootCAs.AddCert(a.ours.cert)
	if shows != nil { // also to a server that would not ask for one of this authority
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return shows, nil }
	}
	transport := &http.Transport{TLSClientConfig: c, ForceAttemptHTTP2: true}
	a.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 30 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// provider is an issuer with keys of its own.
type provider struct {
	*httptest.Server
	t       *testing.T
	rsa     *rsa.PrivateKey
	fetches atomic.Int32           // of its keys
	logsIn  atomic.Pointer[string] // the ID token of whom a code is for
}

func newProvider(t *testing.T) *provider {
	t.Helper()
	p := &provider{t: t}
	var err error
	if p.rsa, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		t.Fatal(err)
	}
	p.Server = httptest.NewServer(p)
	t.Cleanup(p.Close)
	return p
}

func (p *provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/keys" {
		p.fetches.Add(1)
		_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: p.rsa.Public(), KeyID: "1", Use: "sig", Algorithm: "RS256"}}})
		return
	}
	if r.URL.Path == "/token" {
		p.tokens(w)
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]string{"issuer": p.URL, "jwks_uri": p.URL + "/keys", "authorization_endpoint": p.URL + "/authorize", "token_endpoint": p.URL + "/token"})
}

type fields map[string]any

// claims of subject, which are good but for the changes; nil takes one away.
func (p *provider) claims(subject string, changes fields) fields {
	c := fields{"iss": p.URL, "aud": "codec", "sub": subject, "groups": []string{}, "iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix()}
	if subject == "ann" {
		c["groups"] = []string{"oncall"}
	}
	maps.Copy(c, changes)
	maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
	return c
}

// token signs claims as the issuer does, but for what is given: algorithm, key and further members of the header.
func (p *provider) token(c fields, alg jose.SignatureAlgorithm, key any, header fields) string {
	p.t.Helper()
	o := (&jose.SignerOptions{}).WithType("JWT").WithHeader("kid", "1")
	for name, value := range header {
		o = o.WithHeader(jose.HeaderKey(name), value)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, o)
	if err != nil {
		p.t.Fatal(err)
	}
	text, err := json.Marshal(c)
	if err != nil {
		p.t.Fatal(err)
	}
	jws, err := signer.Sign(text)
	if err != nil {
		p.t.Fatal(err)
	}
	token, err := jws.CompactSerialize()
	if err != nil {
		p.t.Fatal(err)
	}
	return token
}

// of is a good token of subject, but for the changes.
func (p *provider) of(subject string, changes fields) string {
	return p.token(p.claims(subject, changes), jose.RS256, p.rsa, nil)
}

// rewritten is a token with other members in its header, and the signature as it was.
func rewritten(token string, header string) string {
	parts := strings.Split(token, ".")
	return base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + parts[1] + "." + parts[2]
}

// certifier is an authority.
type certifier struct {
	t    *testing.T
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newCertifier(t *testing.T) *certifier {
	t.Helper()
	c := &certifier{t: t}
	pair := c.certify(&x509.Certificate{Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true})
	c.cert, c.key = pair.Leaf, pair.PrivateKey.(*ecdsa.PrivateKey)
	return c
}

func (c *certifier) certify(template *x509.Certificate) *tls.Certificate {
	c.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		c.t.Fatal(err)
	}
	if template.SerialNumber = big.NewInt(time.Now().UnixNano()); template.NotAfter.IsZero() {
		template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	}
	parent, signer := c.cert, c.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		c.t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		c.t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

func (c *certifier) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.cert.Raw})
}

// worker is a good certificate of the worker, but for the change.
func (c *certifier) worker(change func(*x509.Certificate)) *tls.Certificate {
	template := &x509.Certificate{DNSNames: []string{"worker.example.com"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	if change != nil {
		change(template)
	}
	return c.certify(template)
}

func (c *certifier) write(path string, template *x509.Certificate) {
	c.t.Helper()
	pair := c.certify(template)
	key, err := x509.MarshalECPrivateKey(pair.PrivateKey.(*ecdsa.PrivateKey))
	if err != nil {
		c.t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{path + ".pem": {Type: "CERTIFICATE", Bytes: pair.Certificate[0]}, path + ".key": {Type: "EC PRIVATE KEY", Bytes: key}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			c.t.Fatal(err)
		}
	}
}
