package vaultstore

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"
)

func TestAnAddressThatIsNotProtectedIsRefused(t *testing.T) {
	for address, ok := range map[string]bool{
		"https://vault.example:8200": true, "http://127.0.0.1:8200": true, "http://[::1]:8200": true, "http://localhost:8200": true, "unix:///run/vault.sock": true,
		"http://vault.example:8200": false, "http://10.0.0.1:8200": false, "http://localhost.evil.example:8200": false, "http://127.0.0.1.evil.example": false,
		"vault.example:8200": false, "ftp://x": false, "https://": false, "https://user:s3cret@vault.example": false, "http://%zz": false,
	} {
		_, err := NewClient(ClientOptions{Address: address})
		if (err == nil) != ok {
			t.Errorf("NewClient(%q) = %v, want accepted: %t", address, err, ok)
		}
		if err != nil && strings.Contains(err.Error(), "s3cret") {
			t.Errorf("error %q holds the password", err)
		}
	}
	if _, err := NewClient(ClientOptions{Address: "http://vault.example:8200", InsecureAllowHTTP: true}); err != nil {
		t.Error(err)
	}
	t.Setenv("VAULT_ADDR", "http://vault.example:8200")
	if _, err := NewClient(ClientOptions{}); err == nil {
		t.Error("VAULT_ADDR without TLS was accepted")
	}
	t.Setenv("VAULT_AGENT_ADDR", "http://127.0.0.1:8100")
	if c, err := NewClient(ClientOptions{}); err != nil || c.Address() != "http://127.0.0.1:8100" {
		t.Errorf("with VAULT_AGENT_ADDR: %v", err)
	}
	if c, err := NewClient(ClientOptions{Address: "https://given.example"}); err != nil || c.Address() != "https://given.example" {
		t.Errorf("a given address does not win over VAULT_AGENT_ADDR: %v", err)
	}
}

func TestSkippingVerificationIsRefused(t *testing.T) {
	t.Setenv("VAULT_SKIP_VERIFY", "true")
	_, err := NewClient(ClientOptions{Address: "https://vault.example"})
	wantProblem(t, err, 0, "VAULT_SKIP_VERIFY", "VAULT_CACERT")
}

func TestTheClientHasNoTokenAndABoundedTime(t *testing.T) {
	t.Setenv("VAULT_TOKEN", "hvs.environment")
	t.Setenv("VAULT_NAMESPACE", "team-a")
	c, err := NewClient(ClientOptions{Address: "https://vault.example"})
	if err != nil {
		t.Fatal(err)
	}
	if c.Token() != "" || c.ClientTimeout() != 10*time.Second || c.MaxRetries() != 2 || c.Namespace() != "team-a" {
		t.Errorf("token %q, timeout %v, retries %d, namespace %q", c.Token(), c.ClientTimeout(), c.MaxRetries(), c.Namespace())
	}
	t.Setenv("VAULT_CLIENT_TIMEOUT", "3s")
	if c, err = NewClient(ClientOptions{Namespace: "team-b"}); err != nil || c.ClientTimeout() != 3*time.Second || c.Namespace() != "team-b" {
		t.Errorf("VAULT_CLIENT_TIMEOUT or the namespace is ignored: %v", err)
	}
	if c, err = NewClient(ClientOptions{Timeout: time.Second}); err != nil || c.ClientTimeout() != time.Second {
		t.Errorf("a given timeout does not win: %v", err)
	}
	if _, err = NewClient(ClientOptions{Timeout: -1}); err == nil {
		t.Error("a negative timeout was accepted")
	}
	t.Setenv("VAULT_CLIENT_TIMEOUT", "soon")
	if _, err = NewClient(ClientOptions{}); err == nil {
		t.Error("a VAULT_CLIENT_TIMEOUT that is none was accepted")
	}
}

// TestTheEnvironmentOfTheVaultCommandIsHonoured sends one call and looks at what reached Vault, by a client and by its
// clones, which log in and write with check-and-set.
func TestTheEnvironmentOfTheVaultCommandIsHonoured(t *testing.T) {
	var seen []*http.Request
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = append(seen, r)
		if r.URL.Path == "/v1/secret/data/elsewhere" {
			t.Error("a redirect was followed")
		}
		http.Redirect(w, r, "/v1/secret/data/elsewhere", http.StatusTemporaryRedirect)
	}))
	defer server.Close()
	for name, value := range map[string]string{
		"VAULT_ADDR": "https://not.this.one", "VAULT_AGENT_ADDR": server.URL, "VAULT_NAMESPACE": "team/a", "VAULT_HEADERS": `{"X-Tenant": "blue"}`,
		"VAULT_MFA": "totp:1234,other:5678", "VAULT_WRAP_TTL": "60s", "VAULT_DISABLE_REDIRECTS": "true", "VAULT_TOKEN": "hvs.environment",
	} {
		t.Setenv(name, value)
	}
	client, err := NewClient(ClientOptions{})
	if err != nil {
		t.Fatal(err)
	}
	cloned, err := clone(client)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []*api.Client{client, cloned} {
		_, _ = c.Logical().WriteWithContext(t.Context(), "secret/data/x", nil)
	}
	if len(seen) != 2 {
		t.Fatalf("%d calls, want 2", len(seen))
	}
	for i, r := range seen {
		h := r.Header
		if h.Get("X-Vault-Namespace") != "team/a" || h.Get("X-Tenant") != "blue" || len(h.Values("X-Vault-MFA")) != 2 || h.Get("X-Vault-Wrap-TTL") != "" || h.Get("X-Vault-Token") != "" {
			t.Errorf("call %d has the headers %v", i, h)
		}
	}
}

// certificate writes a certificate for name and its key into dir, and returns their paths.
func certificate(t *testing.T, dir, name string) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for path, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: pkcs8}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certFile, keyFile
}

// TestTheClientCertificateIsReadForEveryConnection: from options or from the environment, and again after it was replaced.
func TestTheClientCertificateIsReadForEveryConnection(t *testing.T) {
	var names []string
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		names = append(names, r.TLS.PeerCertificates[0].Subject.CommonName)
		_, _ = w.Write([]byte(`{"auth":{"client_token":"hvs.new","lease_duration":0}}`))
	}))
	server.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	server.StartTLS()
	defer server.Close()
	dir, authorities := t.TempDir(), t.TempDir()
	ca := filepath.Join(authorities, "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	certFile, keyFile := certificate(t, dir, "first")
	_, port, _ := strings.Cut(strings.TrimPrefix(server.URL, "https://"), ":")
	// The server's certificate is for example.com and 127.0.0.1, not for localhost.
	opts := ClientOptions{Address: "https://localhost:" + port, CACert: ca, TLSServerName: "example.com", ClientCert: certFile, ClientKey: keyFile}
	login := func(opts ClientOptions) {
		t.Helper()
		client, err := NewClient(opts)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			s, err := Login(t.Context(), client, Auth{Cert: &Cert{}}, nil)
			if err != nil {
				t.Fatal(err)
			}
			s.Close()
			certificate(t, dir, "second")
		}
	}
	login(opts)
	t.Setenv("VAULT_CLIENT_CERT", certFile)
	t.Setenv("VAULT_CLIENT_KEY", keyFile)
	t.Setenv("VAULT_TLS_SERVER_NAME", "example.com")
	t.Setenv("VAULT_CACERT", "")
	t.Setenv("VAULT_CAPATH", "")
	login(ClientOptions{Address: opts.Address, CAPath: authorities})
	if got := strings.Join(names, " "); got != "first second second second" {
		t.Errorf("the server saw the certificates %s", got)
	}
	t.Setenv("VAULT_CLIENT_KEY", "")
	if _, err := NewClient(ClientOptions{Address: opts.Address, CACert: ca}); err == nil {
		t.Error("a certificate without its key was accepted from the environment")
	}
	t.Setenv("VAULT_CLIENT_CERT", "")
	_, err := NewClient(ClientOptions{Address: opts.Address, ClientKey: keyFile})
	wantProblem(t, err, 0, "set both", "VAULT_CLIENT_CERT")
	_, err = NewClient(ClientOptions{Address: opts.Address, ClientCert: ca, ClientKey: keyFile})
	if err == nil {
		t.Fatal("a certificate with the key of another one was accepted")
	}
	wantProblem(t, err, 0, keyFile, "belong together")
}

// TestAPassingTroubleIsTriedAgain: what each status does to one read, with the answer after it a good one.
func TestAPassingTroubleIsTriedAgain(t *testing.T) {
	for status, again := range map[int]bool{412: true, 429: true, 500: true, 502: true, 503: true, 400: false, 403: false, 501: false} {
		asked := 0
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if asked++; asked == 1 {
				w.WriteHeader(status)
				_, _ = w.Write([]byte(`{"errors":["as the test says"]}`))
				return
			}
			_, _ = w.Write([]byte(liveDoc))
		}))
		client, err := NewClient(ClientOptions{Address: server.URL})
		if err != nil {
			t.Fatal(err)
		}
		store, err := New(client, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err = store.Fetch(t.Context(), "ns/a"); (err == nil) != again {
			t.Errorf("status %d and then an answer: %v", status, err)
		}
		server.Close()
	}
}

func TestAMissingOrBrokenCAFileIsNamed(t *testing.T) {
	broken := filepath.Join(t.TempDir(), "broken.pem")
	if err := os.WriteFile(broken, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{broken, broken + ".none"} {
		_, err := NewClient(ClientOptions{Address: "https://vault.example", CACert: path})
		if err == nil {
			t.Fatalf("%s was accepted", path)
		}
		wantProblem(t, err, 0, path)
	}
}

func TestACallIsTriedThreeTimesAndAWriteWithCheckAndSetOnce(t *testing.T) {
	n := map[string]int{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n[r.Method]++
		w.WriteHeader(503)
		_, _ = w.Write([]byte(sealed.body))
	}))
	defer server.Close()
	c, err := NewClient(ClientOptions{Address: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(c, Options{})
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = s.Fetch(t.Context(), "ns/a")
	wantProblem(t, err, 503, "is sealed")
	if _, err = s.putOnce(t.Context(), call{path: docPath}, nil); !isStatus(err, 503) {
		t.Errorf("putOnce = %v", err)
	}
	if n["GET"] != 3 || n["PUT"] != 1 {
		t.Errorf("%d reads and %d writes, want 3 and 1", n["GET"], n["PUT"])
	}
}

func TestPoliciesNameOnlyConfiguredPlaces(t *testing.T) {
	opts := Options{KVMount: "team/kv", Prefix: "a/b", TransitMount: "team/tr", TransitKey: "k1"}
	for role, paths := range map[Role][]string{
		RoleWorker:    {`"team/kv/data/a/b/*"`, `"team/tr/decrypt/k1"`},
		RoleServer:    {`"team/kv/data/a/b/*"`, `"team/tr/decrypt/k1"`},
		RoleCustodian: {`"team/kv/data/a/b/*"`, `"team/kv/metadata/a/b/*"`, `"team/tr/encrypt/k1"`, `"team/tr/rewrap/k1"`, `"team/tr/keys/k1"`},
		RoleDestroyer: {`"team/kv/data/a/b/*"`, `"team/kv/destroy/a/b/*"`},
		RoleShredder:  {`"team/kv/data/a/b/*"`, `"team/kv/destroy/a/b/*"`},
		RoleAuditor:   {`"team/kv/data/a/b/*"`, `"team/kv/metadata/a/b/*"`, `"team/tr/keys/k1"`},
	} {
		policy, err := opts.Policy(role)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Count(policy, "\npath "); got != len(paths) {
			t.Errorf("%d paths in the policy, want %d:\n%s", got, len(paths), policy)
		}
		for _, path := range paths {
			if !strings.Contains(policy, "path "+path+" {") {
				t.Errorf("the policy lacks path %s:\n%s", path, policy)
			}
		}
	}
	for _, role := range Roles() {
		text, err := os.ReadFile(string(role) + ".hcl")
		if err != nil {
			t.Fatal(err)
		}
		if def, err := (Options{}).Policy(role); def != string(text) || err != nil {
			t.Errorf("the policy of the role %s is not what the default options give: %v", role, err)
		}
	}
	if text, err := (Options{}).Policy("../worker"); err == nil || text != "" {
		t.Errorf("a role that is none has the policy %q, %v", text, err)
	}
}
