package deploy

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"sigs.k8s.io/yaml"
)

// bin has signet-server and signet, built once by the Dockerfile's own command.
var bin string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		var err error
		if bin, err = build(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(bin)
		return m.Run()
	}())
}

func build() (string, error) {
	dockerfile, err := os.ReadFile("Dockerfile")
	if err != nil {
		return "", err
	}
	command := regexp.MustCompile(`(?m)^RUN (CGO_ENABLED=0 go build .*)$`).FindSubmatch(dockerfile)
	if command == nil {
		return "", errors.New("the Dockerfile builds nothing")
	}
	out, err := os.MkdirTemp("", "signet-image-")
	if err != nil {
		return "", err
	}
	build := exec.Command("sh", "-c", strings.ReplaceAll(string(command[1]), "/out/", out+"/"))
	build.Dir = ".."
	if text, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, text)
	}
	return out, nil
}

func TestTheConfigurationOfTheChartIsOneThatTheServerTakes(t *testing.T) {
	for _, file := range []string{"smallest-values.yaml", "everything-values.yaml"} {
		dir := t.TempDir()
		certify(t, dir)
		check := exec.Command(filepath.Join(bin, "signet-server"), "config", "check", "--config", mounted(t, file, dir))
		for _, e := range newRelease(t, valuesOf(t, file)).pods.Spec.Template.Spec.Containers[0].Env {
			check.Env = append(check.Env, e.Name+"="+e.Value)
		}
		text, err := check.CombinedOutput()
		if err != nil || !strings.Contains(string(text), " is valid: ") {
			t.Errorf("%s: %v: %s", file, err, text)
		}
	}
}

// mounted writes what a pod of the chart finds below /etc/signet into dir, and the paths in it as they are there.
func mounted(t *testing.T, file, dir string) (config string) {
	t.Helper()
	for name, text := range newRelease(t, valuesOf(t, file)).config.Data {
		for _, there := range []string{"/etc/signet/config", "/etc/signet/tls", "/etc/signet/ca"} {
			text = strings.ReplaceAll(text, there, dir)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "config.yaml")
}

// certify writes tls.crt, tls.key and, the same certificate, ca.pem.
func certify(t *testing.T, dir string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	for name, data := range map[string][]byte{"tls.crt": cert, "ca.pem": cert, "tls.key": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(cert)
	return pool
}

// TestTheServerRunsInAnEmptyRootAsNobody is the image without a container runtime: a root directory that holds the two
// binaries and what the chart mounts, read-only files, and user 65532.
func TestTheServerRunsInAnEmptyRootAsNobody(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("changing the root directory needs root")
	}
	root := t.TempDir()
	etc := filepath.Join(root, "etc", "signet")
	for _, dir := range []string{"etc/signet/config", "etc/signet/tls", "var/log/signet"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, program := range []string{"signet-server", "signet"} {
		if err := os.Link(filepath.Join(bin, program), filepath.Join(root, program)); err != nil {
			t.Fatal(err)
		}
	}
	pool := certify(t, filepath.Join(etc, "tls"))
	address := configure(t, root)
	give(t, root)

	asNobody := func(program string, args ...string) *exec.Cmd {
		cmd := exec.Command("/"+program, args...)
		cmd.Path, cmd.Dir, cmd.Env = "/"+program, "/", []string{}
		cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Credential: &syscall.Credential{Uid: 65532, Gid: 65532}}
		cmd.Err = nil // exec looked outside of the root
		return cmd
	}
	if text, err := asNobody("signet", "keyset", "create", "ns/payments", "--keys-file", "/var/log/signet/keys").CombinedOutput(); err != nil {
		t.Fatalf("signet: %v: %s", err, text)
	}
	var log bytes.Buffer
	server := asNobody("signet-server", "--config", "/etc/signet/config/config.yaml")
	server.Stderr = &log
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	defer client.CloseIdleConnections()
	body, err := poll(client, "https://"+address+"/readyz")
	if err != nil || !strings.Contains(body, `"ready":true`) {
		t.Errorf("%v: %s", err, body)
	}
	if err := server.Process.Signal(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	if err := server.Wait(); err != nil {
		t.Errorf("%v: %s", err, log.String())
	}
	if info, err := os.Stat(filepath.Join(root, "var/log/signet/audit.jsonl")); err != nil || info.Mode().Perm()&0o077 != 0 {
		t.Errorf("the audit log: %v %v", info, err)
	}
}

// configure writes the chart's configuration with an issuer and keys that are here, and returns the server's address.
func configure(t *testing.T, root string) string {
	t.Helper()
	var issuer *httptest.Server
	issuer = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q}`, issuer.URL, issuer.URL+"/keys")
	}))
	t.Cleanup(issuer.Close)
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	var config map[string]any
	data := newRelease(t, valuesOf(t, "smallest-values.yaml")).config.Data
	if err := yaml.Unmarshal([]byte(strings.ReplaceAll(data["config.yaml"], "https://login.example.com", issuer.URL)), &config); err != nil {
		t.Fatal(err)
	}
	config["listen"], config["keys"], config["stopDelay"] = address, map[string]any{"file": map[string]any{"dir": "/var/log/signet/keys"}}, "0s"
	delete(config, "metrics") // its port may be taken
	text, err := yaml.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(root, "etc", "signet", "config")
	for name, text := range map[string]string{"config.yaml": string(text), "policy.yaml": strings.ReplaceAll(data["policy.yaml"], "https://login.example.com", issuer.URL)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return address
}

// give makes the audit log's directory and the certificate the server's own, as Kubernetes does by fsGroup.
func give(t *testing.T, root string) {
	t.Helper()
	for _, name := range []string{"var/log/signet", "etc/signet/tls/tls.key", "etc/signet/tls/tls.crt"} {
		if err := os.Chown(filepath.Join(root, name), 65532, 65532); err != nil {
			t.Fatal(err)
		}
	}
	for dir := root; strings.HasPrefix(dir, os.TempDir()+"/"); dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

func poll(client *http.Client, url string) (body string, err error) {
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		var resp *http.Response
		if resp, err = client.Get(url); err != nil {
			continue
		}
		var data []byte
		data, err = io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		return string(data), err
	}
	return "", err
}
