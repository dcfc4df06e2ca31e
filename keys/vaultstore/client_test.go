package vaultstore

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
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
