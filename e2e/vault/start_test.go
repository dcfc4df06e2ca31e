// Package vault_test runs keys/vaultstore against a real Vault server.
package vault_test

import (
	"bytes"
	"fmt"
	"net/http"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/signet-temporal/signet/e2e/stack"
	"github.com/signet-temporal/signet/tools/parts"
)

// vaultBinary is the path of Vault's server, which takes the flags of "vault server". It is built if it is missing.
func vaultBinary(t *testing.T) string {
	t.Helper()
	return stack.Ensure(t, parts.VaultServer).Vault
}

// startVault starts a Vault in development mode (in memory, unsealed, KV v2 at secret/) and stops it when the test
// ends.
func startVault(t *testing.T) (addr, rootToken string) {
	t.Helper()
	hostPort := freePort(t)
	runVault(t, "http://"+hostPort, "-dev", "-dev-no-store-token", "-dev-root-token-id=root", "-dev-listen-address="+hostPort, "-log-level=error")
	return "http://" + hostPort, "root"
}

// runVault runs the server until the test ends or stop is called, and waits until it answers at addr.
func runVault(t *testing.T, addr string, args ...string) (stop func()) {
	t.Helper()
	var out bytes.Buffer
	cmd := exec.Command(vaultBinary(t), args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.Env = []string{"HOME=" + t.TempDir()}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan struct{})
	go func() { defer close(exited); _ = cmd.Wait() }()
	stop = func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-exited:
		case <-time.After(10 * time.Second):
			_ = cmd.Process.Kill()
			<-exited
		}
	}
	t.Cleanup(stop)
	for deadline := time.Now().Add(30 * time.Second); ; {
		if resp, err := http.Get(addr + "/v1/sys/health"); err == nil {
			_ = resp.Body.Close()
			// A development server answers before its mounts are there: 200 is "initialized, unsealed, active".
			if resp.StatusCode == http.StatusOK || args[0] != "-dev" {
				return stop
			}
		}
		select {
		case <-exited:
			t.Fatalf("Vault ended:\n%s", out.String())
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			stop()
			t.Fatalf("Vault does not answer at %s:\n%s", addr, out.String())
		}
	}
}

func freePort(t *testing.T) string {
	t.Helper()
	return fmt.Sprintf("127.0.0.1:%d", stack.FreePort(t))
}
