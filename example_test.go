package signet_test

import (
	"context"
	"os"
	"strings"
	"testing"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"

	"github.com/signet-temporal/signet"
	"github.com/signet-temporal/signet/keys"
	"github.com/signet-temporal/signet/keys/vaultstore"
)

// The functions below are the README's code: TestTheREADMEShowsThisCode compares them.

func startWorker(ctx context.Context, store *vaultstore.Store) (worker.Worker, error) {
	ring, err := keys.NewRing(ctx, store, store, keys.RingOptions{Keysets: []string{"ns/default"}})
	if err != nil {
		return nil, err
	}
	plugin, err := signet.NewPlugin(ring, signet.Options{})
	if err != nil {
		return nil, err
	}
	c, err := client.Dial(client.Options{Plugins: []client.Plugin{plugin}})
	if err != nil {
		return nil, err
	}
	return worker.New(c, "intake", worker.Options{}), nil // the plugin comes with the client
}

func openVault(ctx context.Context) (*vaultstore.Store, error) {
	vault, err := vaultstore.NewClient(vaultstore.ClientOptions{}) // VAULT_ADDR, VAULT_CACERT, …
	if err != nil {
		return nil, err
	}
	session, err := vaultstore.Login(ctx, vault, vaultstore.Auth{TokenEnv: "VAULT_TOKEN"}, nil)
	if err != nil {
		return nil, err
	}
	return vaultstore.New(vault, vaultstore.Options{Session: session})
}

func Example() {
	ctx := context.Background()
	store, err := openVault(ctx)
	if err != nil {
		return // one line that says what to do
	}
	w, err := startWorker(ctx, store)
	if err != nil {
		return
	}
	_ = w.Run(worker.InterruptCh())
}

func TestTheREADMEShowsThisCode(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"startWorker", "openVault"} {
		code, ok := function(string(source), name)
		if !ok || !strings.Contains(string(readme), code) {
			t.Errorf("README.md does not show func %s as it stands here", name)
		}
	}
}

func function(source, name string) (string, bool) {
	start := strings.Index(source, "func "+name+"(")
	if start < 0 {
		return "", false
	}
	code, _, ok := strings.Cut(source[start:], "\n}\n")
	return code + "\n}\n", ok
}
