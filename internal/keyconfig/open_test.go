package keyconfig

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/signet-temporal/signet/keys"
)

// vault is the little of Vault that a login and one read need. It remembers what it was asked.
type vault struct {
	mu    sync.Mutex
	calls []string          // METHOD path token
	login map[string]string // the last login's body
}

func (v *vault) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.calls = append(v.calls, r.Method+" "+r.URL.Path+" "+r.Header.Get("X-Vault-Token")+r.Header.Get("X-Vault-Namespace"))
	switch {
	case strings.HasSuffix(r.URL.Path, "/login"):
		v.login = map[string]string{}
		if err := json.NewDecoder(r.Body).Decode(&v.login); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		_, _ = w.Write([]byte(`{"auth":{"client_token":"logged-in","lease_duration":3600,"renewable":true}}`))
	case strings.HasSuffix(r.URL.Path, "/lookup-self"):
		_, _ = w.Write([]byte(`{"data":{"ttl":3600,"renewable":false}}`))
	default:
		w.WriteHeader(http.StatusNotFound)
		_, _ = w.Write([]byte(`{"errors":[]}`))
	}
}

func (v *vault) called(part string) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, call := range v.calls {
		if strings.Contains(call, part) {
			return true
		}
	}
	return false
}

func TestEachAuthMethodLogsInWithWhatTheSectionSays(t *testing.T) {
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	token, secretID, jwt := file("token", "from-file"), file("secret", "sid"), file("jwt", "a.b.c")
	t.Setenv("VAULT_TOKEN", "from-env")
	for name, tc := range map[string]struct {
		auth Auth
		call string
		body map[string]string
	}{
		"token, environment": {Auth{}, "GET /v1/auth/token/lookup-self from-env", nil},
		"token, file":        {Auth{Method: "token", TokenFile: token}, "GET /v1/auth/token/lookup-self from-file", nil},
		"approle":            {Auth{Method: "approle", RoleID: "rid", SecretIDFile: secretID}, "PUT /v1/auth/approle/login ", map[string]string{"role_id": "rid", "secret_id": "sid"}},
		"approle, mount":     {Auth{Method: "approle", RoleID: "rid", SecretIDFile: secretID, Mount: "a/b"}, "PUT /v1/auth/a/b/login ", map[string]string{"role_id": "rid", "secret_id": "sid"}},
		"jwt":                {Auth{Method: "jwt", Role: "r", JWTFile: jwt}, "PUT /v1/auth/jwt/login ", map[string]string{"role": "r", "jwt": "a.b.c"}},
		"kubernetes":         {Auth{Method: "kubernetes", Role: "r", JWTFile: jwt, Mount: "k8s"}, "PUT /v1/auth/k8s/login ", map[string]string{"role": "r", "jwt": "a.b.c"}},
	} {
		t.Run(name, func(t *testing.T) {
			fake := &vault{}
			server := httptest.NewServer(fake)
			defer server.Close()
			opened, err := Config{Vault: &Vault{Address: server.URL, Auth: tc.auth}}.Open(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer opened.Close()
			if !fake.called(tc.call) {
				t.Errorf("Vault was asked %q, want %q", fake.calls, tc.call)
			}
			if !maps.Equal(fake.login, tc.body) {
				t.Errorf("login with %q, want %q", fake.login, tc.body)
			}
		})
	}
}

// TestTLSSettingsReachVault: each of them alone decides whether the login succeeds.
func TestTLSSettingsReachVault(t *testing.T) {
	server := httptest.NewUnstartedServer(&vault{})
	server.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	server.StartTLS()
	defer server.Close()
	dir, authorities := t.TempDir(), t.TempDir()
	write := func(dir, name, kind string, der []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	own := server.TLS.Certificates[0]
	key, err := x509.MarshalPKCS8PrivateKey(own.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := strings.Cut(strings.TrimPrefix(server.URL, "https://"), ":")
	good := Vault{
		Address: "https://localhost:" + port, TLSServerName: "example.com", CACert: write(authorities, "ca.pem", "CERTIFICATE", own.Certificate[0]),
		ClientCert: write(dir, "cert.pem", "CERTIFICATE", own.Certificate[0]), ClientKey: write(dir, "key.pem", "PRIVATE KEY", key), Auth: Auth{Method: "cert", Role: "r"},
	}
	for name, tc := range map[string]struct {
		change func(*Vault)
		ok     bool
	}{
		"all":            {func(*Vault) {}, true},
		"caPath":         {func(v *Vault) { v.CACert, v.CAPath = "", authorities }, true},
		"no authority":   {func(v *Vault) { v.CACert = "" }, false},
		"no server name": {func(v *Vault) { v.TLSServerName = "" }, false},
		"no certificate": {func(v *Vault) { v.ClientCert, v.ClientKey, v.Auth = "", "", Auth{TokenFile: good.CACert} }, false},
	} {
		v := good
		tc.change(&v)
		opened, err := Config{Vault: &v}.Open(t.Context(), nil)
		if (err == nil) != tc.ok {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil {
			opened.Close()
		}
	}
}

func TestMountsPrefixAndNamespaceReachVault(t *testing.T) {
	t.Setenv("VAULT_TOKEN", "t")
	for name, tc := range map[string]struct {
		vault          Vault
		fetch, transit string
	}{
		"defaults": {Vault{}, "/v1/secret/data/signet/keysets/ns/a t", "/v1/transit/keys/signet t"},
		"all set":  {Vault{KVMount: "kv/x", Prefix: "p/q", TransitMount: "tr", TransitKey: "k", Namespace: "team"}, "/v1/kv/x/data/p/q/ns/a tteam", "/v1/tr/keys/k tteam"},
	} {
		fake := &vault{}
		server := httptest.NewServer(fake)
		defer server.Close()
		tc.vault.Address = server.URL
		opened, err := Config{Vault: &tc.vault}.Open(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer opened.Close()
		if k, _, err := opened.Store.Fetch(t.Context(), "ns/a"); err == nil || k != nil {
			t.Errorf("%s: Fetch found %v in an empty Vault", name, k)
		}
		if _, err := opened.KEK.EncryptWithContext(t.Context(), []byte("key"), []byte("ns/a")); err == nil {
			t.Errorf("%s: wrapping without a Transit key succeeded", name)
		}
		if !fake.called(tc.fetch) || !fake.called(tc.transit) {
			t.Errorf("%s: Vault was asked %q, want %q and %q", name, fake.calls, tc.fetch, tc.transit)
		}
	}
}

func TestADirectoryIsMadeOnlyWhereThatIsAllowed(t *testing.T) {
	c := Config{File: &File{Dir: filepath.Join(t.TempDir(), "keys")}}
	if opened, err := c.Open(t.Context(), nil); !errors.Is(err, fs.ErrNotExist) || opened != nil {
		t.Fatalf("Open of no directory: %v, %v", opened, err)
	}
	if _, err := os.Stat(c.File.Dir); err == nil {
		t.Fatal("Open made the directory")
	}
	for range 2 {
		opened, err := c.OpenOrCreate(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		opened.Close()
	}
	opened, err := c.Open(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer opened.Close()
	if id, wrapped, err := keys.Generate(t.Context(), opened.KEK, "ns/a", keys.AES256GCM); err != nil {
		t.Error(err)
	} else if _, err := keys.Unwrap(t.Context(), opened.KEK, "ns/a", id, wrapped); err != nil {
		t.Error(err)
	}
}

func TestASectionThatFailsItsCheckIsNotOpened(t *testing.T) {
	if opened, err := (Config{}).Open(t.Context(), nil); err == nil || opened != nil {
		t.Errorf("Open of nothing: %v, %v", opened, err)
	}
	if opened, err := (Config{Vault: &Vault{Address: "http://vault.example.com"}}).OpenOrCreate(t.Context(), nil); err == nil || opened != nil {
		t.Errorf("Open of an insecure address: %v, %v", opened, err)
	}
}

func TestLoadReadsTheSectionAndNothingElse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "signet.yaml")
	for name, tc := range map[string]struct{ text, says string }{
		"other sections":   {"a: {b: [1]}\nkeys:\n  file:\n    dir: d\nz: 1\n", ""},
		"JSON is YAML":     {`{"keys": {"file": {"dir": "d"}}}`, ""},
		"unknown field":    {"keys:\n  file:\n    dri: hvs.x\n", `line 3: unknown field "dri"`},
		"wrong type":       {"keys:\n  vault: hvs.x\n", "line 2: "},
		"doubled section":  {"keys: {file: {dir: hvs.x}}\nkeys: {}\n", "line 2: "},
		"doubled field":    {"keys:\n  file:\n    dir: d\n    dir: hvs.x\n", "line 4: "},
		"two documents":    {"keys: {file: {dir: d}}\n---\nkeys: {file: {dir: hvs.x}}\n", "2 YAML documents"},
		"no section":       {"key: hvs.x\n", `no section "keys"`},
		"empty section":    {"keys:\n", `no section "keys", or an empty one`},
		"not a mapping":    {"- hvs.x\n", "not a YAML mapping"},
		"empty":            {"", "not a YAML mapping"},
		"broken":           {"keys: {file: hvs.x\n", "line 1: "},
		"fails the check":  {"keys: {file: {}}\n", "keys.file.dir is missing"},
		"one section only": {"other: {}\nkeys: {file: {dir: d}, vault: {}}\n", "two key stores"},
	} {
		if err := os.WriteFile(path, []byte(tc.text), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := Load(path)
		if tc.says == "" {
			if err != nil || c.File == nil || c.File.Dir != "d" {
				t.Errorf("%s: %+v, %v", name, c, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), tc.says) || !strings.HasPrefix(err.Error(), path+": ") ||
			strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "hvs") || c != (Config{}) {
			t.Errorf("%s: %+v, %q, want one line with %q", name, c, err, tc.says)
		}
	}
	if _, err := Load(filepath.Join(t.TempDir(), "none.yaml")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}
