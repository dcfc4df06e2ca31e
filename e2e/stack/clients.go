package stack

import (
	"bytes"
	"context"
	"log/slog"
	"sync"
	"testing"

	"go.temporal.io/sdk/client"
	sdklog "go.temporal.io/sdk/log"

	"github.com/signet-temporal/signet"
	"github.com/signet-temporal/signet/converter"
	"github.com/signet-temporal/signet/keys"
)

// Ring makes a key ring as a worker does: from Vault, with the worker's token. Without Keysets in o it holds those of
// the stack. It is closed when the test ends.
func (s *Stack) Ring(t *testing.T, o keys.RingOptions) *keys.Ring {
	t.Helper()
	return s.RingAt(t, "", o)
}

// RingAt is [Stack.Ring] over another address of the same Vault, such as a proxy's.
func (s *Stack) RingAt(t *testing.T, address string, o keys.RingOptions) *keys.Ring {
	t.Helper()
	if len(o.Keysets) == 0 {
		for _, namespace := range s.Options.Namespaces {
			o.Keysets = append(o.Keysets, Keyset(namespace))
		}
		o.Keysets = append(o.Keysets, s.Options.Keysets...)
	}
	store := s.Store(t, address, s.Roles.WorkerToken)
	ring, err := keys.NewRing(context.WithoutCancel(t.Context()), store, store, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ring.Close() }) // always nil
	return ring
}

// DefaultRing returns one ring of the stack with signet's defaults. Give it the test that called [Start].
func (s *Stack) DefaultRing(t *testing.T) *keys.Ring {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ring == nil {
		s.ring = s.Ring(t, keys.RingOptions{})
	}
	return s.ring
}

// Plugin makes signet's plugin. Nil holders of keys mean the [Stack.DefaultRing].
func (s *Stack) Plugin(t *testing.T, held converter.Keys, o signet.Options) *signet.Plugin {
	t.Helper()
	if held == nil {
		held = s.DefaultRing(t)
	}
	plugin, err := signet.NewPlugin(held, o)
	if err != nil {
		t.Fatal(err)
	}
	return plugin
}

// Client returns a client that seals, with the [Stack.DefaultRing]. Workers made from it seal as well.
func (s *Stack) Client(t *testing.T, namespace string, o signet.Options) client.Client {
	t.Helper()
	return s.ClientWith(t, namespace, s.Plugin(t, nil, o))
}

// ClientWith returns a client with the given plugins; without one it is a plain client, which seals nothing. It is
// closed when the test ends. What the SDK logs is shown when the test fails.
func (s *Stack) ClientWith(t *testing.T, namespace string, plugins ...client.Plugin) client.Client {
	t.Helper()
	c, err := client.Dial(client.Options{
		HostPort: s.Temporal.Address, Namespace: namespace, Plugins: plugins, Logger: sdkLog(t),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// sdkLog keeps the SDK's warnings and errors and shows them only if the test fails: many of them are provoked.
func sdkLog(t *testing.T) sdklog.Logger {
	kept := &lockedBuffer{}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the SDK logged:\n%s", kept.String())
		}
	})
	return sdklog.NewStructuredLogger(slog.New(slog.NewTextHandler(kept, &slog.HandlerOptions{Level: slog.LevelWarn})))
}

// Quiet is a logger of the SDK that says nothing.
var Quiet sdklog.Logger = sdklog.NewStructuredLogger(slog.New(slog.DiscardHandler))

// lockedBuffer is a bytes.Buffer for several goroutines.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
