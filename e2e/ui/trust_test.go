package ui

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// trust makes a browser whose home is the given folder trust the authority in caFile, as an administrator would: with an
// entry in the user's NSS database, which Chromium reads on Linux.
func trust(t *testing.T, home, caFile string) {
	t.Helper()
	certutil, err := ensureCertutil()
	if err != nil {
		t.Fatal(err)
	}
	db := filepath.Join(home, ".pki", "nssdb")
	if err := os.MkdirAll(db, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"-N", "--empty-password"},
		{"-A", "-n", "signet test authority", "-t", "C,,", "-i", caFile},
	} {
		cmd := exec.CommandContext(t.Context(), certutil, append([]string{"-d", "sql:" + db}, args...)...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("certutil %s: %v: %s", args[0], err, out)
		}
	}
}

// ensureCertutil returns the path of certutil; where it is missing and apt may be used, it installs it, once.
var ensureCertutil = sync.OnceValues(func() (string, error) {
	if path, err := exec.LookPath("certutil"); err == nil {
		return path, nil
	}
	const byHand = `install the package "libnss3-tools" (certutil) by hand and run this again`
	apt, err := exec.LookPath("apt-get")
	if err != nil || os.Geteuid() != 0 {
		return "", errors.New("no certutil in PATH: " + byHand)
	}
	fmt.Fprintln(os.Stderr, "e2e/ui: installing libnss3-tools (certutil) with apt-get (once; a few seconds)")
	for _, args := range [][]string{
		{"update"},
		{"-o", "DPkg::Lock::Timeout=120", "install", "-y", "--no-install-recommends", "libnss3-tools"},
	} {
		cmd := exec.Command(apt, args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("apt-get %v: %s: %w: %.300s", args, byHand, err, out)
		}
	}
	path, err := exec.LookPath("certutil")
	if err != nil {
		return "", errors.New("apt-get installed no certutil: " + byHand)
	}
	return path, nil
})
