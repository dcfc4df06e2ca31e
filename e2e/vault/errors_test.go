package vault_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/signet-temporal/signet/keys"
	"github.com/signet-temporal/signet/keys/vaultstore"
)

func TestAWrongKVMountIsNeverANotFound(t *testing.T) {
	v := start(t)
	v.write("sys/mounts/old", map[string]any{"type": "kv", "options": map[string]any{"version": "1"}})
	v.write("old/data/signet/keysets/ns/a", map[string]any{"keyset": "x"})
	narrow := v.token(`path "secret/data/signet/keysets/*" { capabilities = ["read"] }
		path "old/*" { capabilities = ["read", "list", "create", "update"] }
		path "transit/*" { capabilities = ["read", "list"] }`)
	for _, test := range []struct {
		name, mount string
		client      *api.Client
		status      int
		want        string
	}{
		{"missing", "secrt", v.Client, 404, `Vault has no KV v2 engine at "secrt": check the KV mount (kvMount, --kv-mount)`},
		{"missing, to a narrow token", "secrt", narrow, 403, `no engine at "secrt", or the token may use nothing in it: check the KV mount (kvMount, --kv-mount)`},
		{"KV v1", "old", v.Client, 0, `"old" is KV version 1`},
		{"KV v1, to a narrow token", "old", narrow, 0, `"old" is KV version 1`},
		{"Transit", "transit", v.Client, 404, `no KV v2 engine at "transit" but one of type "transit"`},
		{"Transit, to a narrow token", "transit", narrow, 404, `no KV v2 engine at "transit" but one of type "transit"`},
		{"below a mount", "secret/below", v.Client, 0, `no KV v2 engine at "secret/below"`},
		{"the system", "sys", v.Client, 404, `no KV v2 engine at "sys"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := store(t, test.client, vaultstore.Options{KVMount: test.mount})
			for _, name := range []string{"ns/a", "ns/none"} {
				_, _, err := s.Fetch(t.Context(), name)
				if errors.Is(err, keys.ErrNotFound) {
					t.Errorf("Fetch(%q) = %v, which is ErrNotFound", name, err)
				}
				wantProblem(t, err, test.status, test.want)
			}
			_, err := s.Replace(t.Context(), keyset("ns/b"), "")
			wantProblem(t, err, test.status, test.want)
			_, err = s.List(t.Context())
			wantProblem(t, err, test.status, test.want)
		})
	}
	if doc, err := v.Logical().ReadWithContext(t.Context(), "old/data/signet/keysets/ns/b"); err != nil || doc != nil {
		t.Errorf("a keyset was written to the KV v1 engine: %v, %v", doc, err)
	}
}

func TestAWrongTransitMountIsNamed(t *testing.T) {
	v := start(t)
	v.write("sys/mounts/old", map[string]any{"type": "kv", "options": map[string]any{"version": "1"}})
	for mount, want := range map[string]string{
		"trans":  `no Transit engine at "trans"`,
		"secret": `no Transit engine at "secret"`,
		"old":    `no Transit engine at "old"`,
	} {
		s := store(t, v.Client, vaultstore.Options{TransitMount: mount})
		_, err := s.EncryptWithContext(t.Context(), []byte("key"), []byte("ns/a"))
		if err == nil {
			t.Fatalf("%s: no error", mount)
		}
		t.Log(err)
		wantWords(t, err, want, "transitMount")
		_, err = s.DecryptWithContext(t.Context(), []byte("vault:v1:AAAA"), []byte("ns/a"))
		if err == nil {
			t.Fatalf("%s: no error", mount)
		}
		t.Log(err)
		if mount != "old" { // KV v1 takes the write with a 204, which is an empty answer
			wantWords(t, err, want, "transitMount")
		}
	}
}

func wantWords(t *testing.T, err error, words ...string) {
	t.Helper()
	var answer *api.ResponseError
	status := 0
	if errors.As(err, &answer) {
		status = answer.StatusCode
	}
	wantProblem(t, err, status, words...)
}

func TestAPermissionDeniedNamesThePathAndTheCapability(t *testing.T) {
	v := start(t)
	s := store(t, v.token(`path "secret/data/elsewhere" { capabilities = ["read"] }`), vaultstore.Options{})
	_, _, err := s.Fetch(t.Context(), "ns/a")
	wantProblem(t, err, 403, `must grant "read" on path "secret/data/signet/keysets/ns/a"`)
	_, err = s.DecryptWithContext(t.Context(), []byte("vault:v1:AAAA"), []byte("ns/a"))
	wantProblem(t, err, 403, `grants "update" on path "transit/decrypt/signet"`)
}

func TestARefusedTokenIsToldFromAMissingPermission(t *testing.T) {
	v := start(t)
	_, _, err := store(t, client(t, v.Address(), "hvs.nonsense"), vaultstore.Options{}).Fetch(t.Context(), "ns/a")
	wantProblem(t, err, 403, "refuses the token", "log in again")
	_, _, err = store(t, client(t, v.Address(), ""), vaultstore.Options{}).Fetch(t.Context(), "ns/a")
	wantProblem(t, err, 403, "no token was sent")
}

func TestAKeyWrappedForAnotherKeysetOrAlteredIsExplained(t *testing.T) {
	v := start(t)
	s := store(t, v.Client, vaultstore.Options{})
	wrapped, err := s.EncryptWithContext(t.Context(), []byte("key"), []byte("ns/a"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.DecryptWithContext(t.Context(), wrapped, []byte("ns/b"))
	wantProblem(t, err, 400, "wrapped for another keyset")
	_, err = s.DecryptWithContext(t.Context(), []byte("garbage"), []byte("ns/a"))
	wantProblem(t, err, 400, "invalid ciphertext: no prefix")
}

func TestAThrottledCallSaysSo(t *testing.T) {
	v := start(t)
	c := client(t, v.Address(), v.Token())
	c.SetMaxRetries(0)
	v.write("sys/quotas/rate-limit/q", map[string]any{"path": "secret/", "rate": 1, "interval": "60s"})
	s := store(t, c, vaultstore.Options{})
	var err error
	for range 3 {
		_, _, err = s.Fetch(t.Context(), "ns/a")
	}
	wantProblem(t, err, 429, "throttles", "rate limit quota exceeded")
	if errors.Is(err, keys.ErrNotFound) {
		t.Error("a throttled call is ErrNotFound")
	}
}

func TestASealedVaultSaysSo(t *testing.T) {
	t.Parallel() // it waits most of its time
	v := start(t)
	s := store(t, v.Client, vaultstore.Options{})
	wrapped, err := s.EncryptWithContext(t.Context(), []byte("key"), []byte("ns/a"))
	if err != nil {
		t.Fatal(err)
	}
	v.write("sys/seal", nil)
	_, _, err = s.Fetch(t.Context(), "ns/a")
	wantProblem(t, err, 503, "is sealed", "vault operator unseal")
	_, err = s.Replace(t.Context(), keyset("ns/a"), "")
	wantProblem(t, err, 503, "is sealed")
	_, err = s.List(t.Context())
	wantProblem(t, err, 503, "is sealed")
	_, err = s.EncryptWithContext(t.Context(), []byte("key"), []byte("ns/a"))
	wantProblem(t, err, 503, "is sealed")
	_, err = s.DecryptWithContext(t.Context(), wrapped, []byte("ns/a"))
	wantProblem(t, err, 503, "is sealed")
	_, err = vaultstore.Login(t.Context(), client(t, v.Address(), ""), vaultstore.Auth{Token: "hvs.x"}, nil)
	wantProblem(t, err, 503, "is sealed")
}

func TestAVaultThatWasNeverInitializedSaysSo(t *testing.T) {
	t.Parallel() // it waits most of its time
	addr, _, _ := fileVault(t)
	_, _, err := store(t, client(t, addr, "hvs.x"), vaultstore.Options{}).Fetch(t.Context(), "ns/a")
	wantProblem(t, err, 503, "sealed") // Vault's answer does not tell the two apart
}

func TestAnUnreachableOrCancelledCallSaysSo(t *testing.T) {
	t.Parallel() // it waits most of its time
	addr := "http://" + freePort(t)
	_, _, err := store(t, client(t, addr, "hvs.x"), vaultstore.Options{}).Fetch(t.Context(), "ns/a")
	wantProblem(t, err, 0, "cannot be reached", addr)
	_, err = vaultstore.Login(t.Context(), client(t, addr, ""), vaultstore.Auth{Token: "hvs.x"}, nil)
	wantProblem(t, err, 0, "cannot be reached", addr)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, err = store(t, client(t, addr, "hvs.x"), vaultstore.Options{}).Fetch(ctx, "ns/a")
	wantProblem(t, err, 0, "cancelled")
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %q is not context.Canceled", err)
	}
}

func TestTLSNeedsTheRightAuthority(t *testing.T) {
	dir, hostPort := t.TempDir(), freePort(t)
	addr := "https://" + hostPort
	runTLSVault(t, addr, filepath.Join(dir, "vault-ca.pem"), "-dev", "-dev-tls", "-dev-tls-cert-dir="+dir, "-dev-no-store-token", "-dev-root-token-id=root",
		"-dev-listen-address="+hostPort, "-log-level=error")
	_, _, err := store(t, client(t, addr, "root"), vaultstore.Options{}).Fetch(t.Context(), "ns/a")
	wantProblem(t, err, 0, "unknown authority", "VAULT_CACERT")
	c, err := vaultstore.NewClient(vaultstore.ClientOptions{Address: addr, CACert: filepath.Join(dir, "vault-ca.pem")})
	if err != nil {
		t.Fatal(err)
	}
	c.SetToken("root")
	if _, _, err := store(t, c, vaultstore.Options{}).Fetch(t.Context(), "ns/a"); !errors.Is(err, keys.ErrNotFound) {
		t.Errorf("with the right authority: %v, want ErrNotFound", err)
	}
	plain := client(t, "http://"+hostPort, "root")
	_, _, err = store(t, plain, vaultstore.Options{}).Fetch(t.Context(), "ns/a")
	wantProblem(t, err, 400, "use https://")
}

// runTLSVault waits for the CA file and lets the server come up; [runVault] asks without TLS.
func runTLSVault(t *testing.T, addr, ca string, args ...string) {
	t.Helper()
	runVault(t, "http"+addr[len("https"):], append([]string{"-log-format=json"}, args...)...)
	for range 200 {
		if _, err := os.Stat(ca); err == nil {
			c, err := vaultstore.NewClient(vaultstore.ClientOptions{Address: addr, CACert: ca})
			if err != nil {
				t.Fatal(err)
			}
			if h, err := c.Sys().HealthWithContext(t.Context()); err == nil && !h.Sealed {
				return
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatal("Vault with TLS does not come up")
}

// fileVault starts a Vault that keeps its data in a file and is not initialized yet. stop ends the server, run starts
// it again, sealed.
func fileVault(t *testing.T) (addr string, stop func(), run func()) {
	t.Helper()
	dir, hostPort := t.TempDir(), freePort(t)
	addr = "http://" + hostPort
	config := filepath.Join(dir, "vault.hcl")
	content := `disable_mlock = true
storage "file" { path = "` + dir + `/data" }
listener "tcp" {
  address     = "` + hostPort + `"
  tls_disable = true
}
`
	if err := os.WriteFile(config, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	start := func() func() { return runVault(t, addr, "-config="+config, "-log-level=error") }
	stopServer := start()
	return addr, func() { stopServer() }, func() { stopServer = start() }
}

func unseal(t *testing.T, c *api.Client, key string) {
	t.Helper()
	for range 100 {
		if status, err := c.Sys().UnsealWithContext(t.Context(), key); err == nil && !status.Sealed {
			if h, err := c.Sys().HealthWithContext(t.Context()); err == nil && !h.Standby {
				return
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatal("Vault does not unseal")
}
