package vault_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/signet-temporal/signet/e2e/stack"
	"github.com/signet-temporal/signet/keys"
	"github.com/signet-temporal/signet/keys/vaultstore"
)

// authority signs client certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	a := authority{cert: &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "machines"}, NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}}
	var err error
	if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	if a.cert.Raw, err = x509.CreateCertificate(rand.Reader, a.cert, a.cert, a.key.Public(), a.key); err != nil {
		t.Fatal(err)
	}
	return a
}

func (a authority) pem() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw}))
}

// issue writes a certificate for name and its key to two files of dir.
func (a authority) issue(t *testing.T, dir, name string) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(dir, "client.pem"), filepath.Join(dir, "client-key.pem")
	for path, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: pkcs8}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certFile, keyFile
}

// startTLS starts a Vault with TLS that knows the worker's policy, and returns it with its address and CA.
func startTLS(t *testing.T) (v vault, addr, ca string) {
	t.Helper()
	dir, hostPort := t.TempDir(), freePort(t)
	addr, ca = "https://"+hostPort, filepath.Join(dir, "vault-ca.pem")
	runTLSVault(t, addr, ca, "-dev", "-dev-tls", "-dev-tls-cert-dir="+dir, "-dev-no-store-token", "-dev-root-token-id=root", "-dev-listen-address="+hostPort, "-log-level=error")
	c, err := vaultstore.NewClient(vaultstore.ClientOptions{Address: addr, CACert: ca})
	if err != nil {
		t.Fatal(err)
	}
	c.SetToken("root")
	v = vault{Client: c, t: t}
	v.write("sys/mounts/transit", map[string]any{"type": "transit"})
	v.write("transit/keys/signet", map[string]any{"derived": true})
	policy, err := vaultstore.Options{}.WorkerPolicy()
	if err != nil {
		t.Fatal(err)
	}
	v.write("sys/policies/acl/worker", map[string]any{"policy": policy})
	return v, addr, ca
}

func TestATLSCertificateLogsInAndIsReplacedWhileTheProcessRuns(t *testing.T) {
	t.Parallel() // it waits most of its time
	v, addr, ca := startTLS(t)
	machines, dir := newAuthority(t), t.TempDir()
	certFile, keyFile := machines.issue(t, dir, "worker-1")
	v.write("sys/auth/cert", map[string]any{"type": "cert"})
	role := func(names string) {
		v.write("auth/cert/certs/worker", map[string]any{
			"certificate": machines.pem(), "allowed_common_names": names, "token_policies": "worker", "token_ttl": "2s", "token_max_ttl": "4s",
		})
	}
	role("worker-1")
	c, err := vaultstore.NewClient(vaultstore.ClientOptions{Address: addr, CACert: ca, ClientCert: certFile, ClientKey: keyFile})
	if err != nil {
		t.Fatal(err)
	}
	log := &logs{}
	session, err := vaultstore.Login(t.Context(), c, vaultstore.Auth{Cert: &vaultstore.Cert{Role: "worker"}}, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(session.Close)
	wantWorks(t, c)
	first := c.Token()
	wantEventually(t, 20*time.Second, "a login after the maximum life of the first token", func() bool { return c.Token() != first })
	wantWorks(t, c)

	// The role takes another certificate now. Until it is there, logins fail and say so.
	role("worker-2")
	wantEventually(t, 20*time.Second, "a failed login in the log", func() bool { return strings.Contains(log.String(), "no new Vault token") })
	machines.issue(t, dir, "worker-2")
	wantEventually(t, 40*time.Second, "a login with the other certificate", func() bool {
		_, _, err := store(t, c, vaultstore.Options{Session: session}).Fetch(t.Context(), "ns/none")
		return errors.Is(err, keys.ErrNotFound)
	})

	_, err = vaultstore.Login(t.Context(), c, vaultstore.Auth{Cert: &vaultstore.Cert{Role: "nobody"}}, nil)
	wantProblem(t, err, 400, "with TLS certificate", "check the mount, the role and the credential")
	strangers := newAuthority(t)
	certFile, keyFile = strangers.issue(t, t.TempDir(), "worker-2")
	if c, err = vaultstore.NewClient(vaultstore.ClientOptions{Address: addr, CACert: ca, ClientCert: certFile, ClientKey: keyFile}); err != nil {
		t.Fatal(err)
	}
	_, err = vaultstore.Login(t.Context(), c, vaultstore.Auth{Cert: &vaultstore.Cert{}}, nil)
	wantProblem(t, err, 400, "with TLS certificate", "certificate")
}

// TestSignetFindsVaultByTheVariablesOfTheVaultCommand runs the program with nothing but these.
func TestSignetFindsVaultByTheVariablesOfTheVaultCommand(t *testing.T) {
	v, addr, ca := startTLS(t)
	policy, err := vaultstore.Options{}.Policy(vaultstore.RoleCustodian)
	if err != nil {
		t.Fatal(err)
	}
	v.write("sys/policies/acl/custodian", map[string]any{"policy": policy})
	machines, dir := newAuthority(t), t.TempDir()
	certFile, keyFile := machines.issue(t, dir, "custodian")
	v.write("sys/auth/cert", map[string]any{"type": "cert"})
	v.write("auth/cert/certs/custodian", map[string]any{"certificate": machines.pem(), "token_policies": "custodian"})
	v.write("sys/auth/approle", map[string]any{"type": "approle"})
	v.write("auth/approle/role/custodian", map[string]any{"token_policies": "custodian"})
	secret, err := v.Logical().ReadWithContext(t.Context(), "auth/approle/role/custodian/role-id")
	if err != nil {
		t.Fatal(err)
	}
	roleID, _ := secret.Data["role_id"].(string)
	byName := "https://localhost" + addr[strings.LastIndex(addr, ":"):] // the certificate is for the host's name and 127.0.0.1
	_, serverName, _ := strings.Cut(addr, "https://")
	serverName, _, _ = strings.Cut(serverName, ":")
	run := func(code int, want string, env ...string) {
		t.Helper()
		got := stack.Exec(t, env, stack.Program(t, "signet"), "keyset", "list")
		if got.Code != code || !strings.Contains(got.Stdout+got.Stderr, want) || strings.Contains(got.Stderr, "hvs.") {
			t.Errorf("%v: exit code %d, %s%s, want %d and %q", env, got.Code, got.Stdout, got.Stderr, code, want)
		}
	}
	const none = "There is no keyset"
	withCert := []string{"VAULT_CACERT=" + ca, "SIGNET_VAULT_AUTH=cert", "VAULT_CLIENT_CERT=" + certFile, "VAULT_CLIENT_KEY=" + keyFile}
	run(0, none, append(withCert, "VAULT_ADDR="+addr)...)
	run(0, none, append(withCert, "VAULT_AGENT_ADDR="+addr, "VAULT_ADDR=https://vault.example.com")...)
	run(0, none, append(withCert, "VAULT_ADDR="+addr, "VAULT_WRAP_TTL=60s")...)
	run(0, none, append(withCert, "VAULT_ADDR="+byName, "VAULT_TLS_SERVER_NAME="+serverName)...)
	authorities := t.TempDir()
	content, err := os.ReadFile(ca)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(authorities, "ca.pem"), content, 0o600); err != nil {
		t.Fatal(err)
	}
	run(0, none, "VAULT_ADDR="+addr, "VAULT_CAPATH="+authorities, "VAULT_TOKEN=root")
	run(0, none, "VAULT_ADDR="+addr, "VAULT_CACERT_BYTES="+string(content), "VAULT_TOKEN=root")
	run(1, "unknown authority", "VAULT_ADDR="+addr, "VAULT_TOKEN=root")
	run(1, "VAULT_SKIP_VERIFY is set: unset it", "VAULT_ADDR="+addr, "VAULT_TOKEN=root", "VAULT_SKIP_VERIFY=1")

	// What "vault login" left, in the home directory.
	home := t.TempDir()
	if err := os.WriteFile(filepath.Join(home, ".vault-token"), []byte("root"), 0o600); err != nil {
		t.Fatal(err)
	}
	run(0, none, "VAULT_ADDR="+addr, "VAULT_CACERT="+ca, "HOME="+home)

	// A job that is handed a wrapped secret id, used up by its one login.
	file := filepath.Join(dir, "wrapped")
	if err := os.WriteFile(file, []byte(wrap(t, v, "auth/approle/role/custodian/secret-id", nil)), 0o600); err != nil {
		t.Fatal(err)
	}
	job := []string{"VAULT_ADDR=" + addr, "VAULT_CACERT=" + ca, "SIGNET_VAULT_AUTH=approle", "SIGNET_VAULT_ROLE_ID=" + roleID, "SIGNET_VAULT_SECRET_ID_FILE=" + file, "SIGNET_VAULT_SECRET_ID_WRAPPED=true"}
	run(0, none, job...)
	run(1, "was unwrapped before", job...)
}
