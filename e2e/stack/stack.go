// Package stack starts the real parts that the end-to-end tests run against (Temporal, Vault, an OpenID provider) and
// signet's own two programs, and prepares them as an operator would: mounts and policies in Vault, a token for each role,
// a keyset for each namespace, users and clients that can log in.
//
// A test calls [Start], which costs two to three seconds, and gets parts of its own; everything ends and is removed with
// the test. What has to be built is built once (the parts) or once per test process (signet's programs, with the race
// detector).
package stack

import (
	"maps"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/signet-temporal/signet/keys"
	"github.com/signet-temporal/signet/tools/parts"
)

// Options of a [Stack]. The zero value starts everything, with the namespaces "payments" and "orders".
type Options struct {
	// Namespaces are created in Temporal, each with the keyset "ns/<namespace>". Empty: payments and orders.
	Namespaces []string
	// Keysets are created beside those of the namespaces.
	Keysets []string
	// OwnKeysUnder is what the names of keysets begin with that have a Transit key of their own.
	OwnKeysUnder []string
	// PropagationDelay of every keyset; 0 means signet's default of five minutes.
	PropagationDelay time.Duration
	// KeepVault starts a Vault that keeps its data, so that it can be stopped, restarted, sealed and unsealed.
	KeepVault bool
	// WithoutTemporal and WithoutOIDC leave out what a test does not need.
	WithoutTemporal, WithoutOIDC bool
	// Dynamic is Temporal's dynamic config, see parts.TemporalOptions.
	Dynamic map[string]string
}

// Stack is a set of running parts. Its methods fail the test they are given, and are safe for concurrent use.
type Stack struct {
	Options  Options
	Dir      string // a folder of the test's own, removed at its end
	Paths    parts.Paths
	Temporal *parts.Temporal // nil WithoutTemporal
	Vault    *parts.Vault
	OIDC     *parts.OIDC // nil WithoutOIDC
	Roles    Roles

	mu   sync.Mutex
	ring *keys.Ring // of [Stack.DefaultRing]
}

// Start starts the parts and prepares them.
func Start(t *testing.T, o Options) *Stack {
	t.Helper()
	if len(o.Namespaces) == 0 {
		o.Namespaces = []string{"payments", "orders"}
	}
	names := []parts.Name{parts.VaultServer}
	if !o.WithoutTemporal {
		names = append(names, parts.TemporalServer)
	}
	if !o.WithoutOIDC {
		names = append(names, parts.OIDCProvider)
	}
	s := &Stack{Options: o, Dir: t.TempDir(), Paths: Ensure(t, names...)}
	s.startVault(t)
	if !o.WithoutTemporal {
		s.startTemporal(t)
	}
	if !o.WithoutOIDC {
		s.OIDC = s.StartOIDC(t)
	}
	for _, namespace := range o.Namespaces {
		s.CreateKeyset(t, Keyset(namespace))
	}
	for _, name := range o.Keysets {
		s.CreateKeyset(t, name)
	}
	return s
}

// Keyset returns the name of a namespace's keyset.
func Keyset(namespace string) string { return "ns/" + namespace }

var ensuring sync.Mutex

// Ensure returns where the named parts are, and builds them first where they are missing, which it reports on stderr.
func Ensure(t *testing.T, names ...parts.Name) parts.Paths {
	t.Helper()
	ensuring.Lock()
	defer ensuring.Unlock()
	paths, err := parts.Ensure(t.Context(), os.Stderr, names...)
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

func (s *Stack) startTemporal(t *testing.T) {
	t.Helper()
	// Temporal deletes a workflow only after the queue that closed it has written down how far it is (server,
	// isCloseExecutionTaskPending), by default every 30 s.
	dynamic := map[string]string{"history.transferProcessorUpdateAckInterval": `"1s"`, "history.visibilityProcessorUpdateAckInterval": `"1s"`}
	maps.Copy(dynamic, s.Options.Dynamic)
	var err error
	s.Temporal, err = parts.StartTemporal(t.Context(), parts.TemporalOptions{
		Program: s.Paths.Temporal, DB: filepath.Join(s.Dir, "temporal.db"),
		Namespaces: s.Options.Namespaces, Dynamic: dynamic,
	})
	if err != nil {
		t.Fatal(err)
	}
	stopAtEnd(t, s.Temporal)
}

// stopAtEnd stops a part when the test ends. One that does not end by itself is a failure of the test.
func stopAtEnd(t *testing.T, p interface{ Stop() error }) {
	t.Cleanup(func() {
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
	})
}

// WriteFile writes a file of mode 0600 into the stack's folder and returns its path.
func (s *Stack) WriteFile(t *testing.T, name, text string) string {
	t.Helper()
	file := filepath.Join(s.Dir, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// FreePort returns a port of 127.0.0.1 that is free, see [parts.FreePort].
func FreePort(t *testing.T) int {
	t.Helper()
	port, err := parts.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// Eventually calls try every 50 ms until it returns nil, and fails the test with its last error after limit.
func Eventually(t *testing.T, limit time.Duration, try func() error) {
	t.Helper()
	for deadline := time.Now().Add(limit); ; time.Sleep(50 * time.Millisecond) {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("after %s still: %v", limit, err)
		}
	}
}
