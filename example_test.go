package signet_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/signet-temporal/signet"
	"github.com/signet-temporal/signet/converter"
	"github.com/signet-temporal/signet/keys"
	"github.com/signet-temporal/signet/keys/vaultstore"
	"github.com/signet-temporal/signet/principal"
	"github.com/signet-temporal/signet/principal/propagate"
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

// tenantWorker is the code of docs/tenants.md.
func tenantWorker(ctx context.Context, store *vaultstore.Store) (worker.Worker, error) {
	ring, err := keys.NewRing(ctx, store, store, keys.RingOptions{
		Keysets: []string{"ns/default"},         // for what is no tenant's
		Tenants: keys.Tenants{Under: "tenant/"}, // each from its first use on
	})
	if err != nil {
		return nil, err
	}
	plugin, err := signet.NewPlugin(ring, signet.Options{
		Keyset:  "ns/default",
		Tenants: converter.Tenants{Under: "tenant/"}, // workflow "acme/order-17": keyset "tenant/acme"
	})
	if err != nil {
		return nil, err
	}
	c, err := client.Dial(client.Options{Plugins: []client.Plugin{plugin}})
	if err != nil {
		return nil, err
	}
	return worker.New(c, "orders", worker.Options{}), nil
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

// A keyset for each tenant, so that one can be erased: docs/tenants.md.
func ExampleNewPlugin_tenants() {
	ctx := context.Background()
	store, err := openVault(ctx)
	if err != nil {
		return
	}
	w, err := tenantWorker(ctx, store)
	if err != nil {
		return
	}
	_ = w.Run(worker.InterruptCh())
}

// A replay test of sealed histories needs the keys that sealed them. docs/testing.md says where to run it.
func ExampleNewPlugin_replay() {
	ctx := context.Background()
	store, err := openVault(ctx)
	if err != nil {
		return
	}
	ring, err := keys.NewRing(ctx, store, store, keys.RingOptions{Keysets: []string{"ns/payments"}})
	if err != nil {
		return
	}
	defer ring.Close()
	plugin, err := signet.NewPlugin(ring, signet.Options{Scope: "payments"}) // the histories' namespace
	if err != nil {
		return
	}
	replayer, err := worker.NewWorkflowReplayerWithOptions(worker.WorkflowReplayerOptions{Plugins: []worker.Plugin{plugin}})
	if err != nil {
		return
	}
	replayer.RegisterWorkflow(settle)
	if err := replayer.ReplayWorkflowHistoryFromJSONFile(nil, "sealed-history.json"); err != nil {
		fmt.Println("settle is not deterministic any more:", err)
	}
}

// For whom a workflow runs: set at the edge, read in an activity. The keyset "principal/payments" seals it.
func ExampleOptions_principal() {
	ctx := context.Background()
	store, err := openVault(ctx)
	if err != nil {
		return
	}
	ring, err := keys.NewRing(ctx, store, store, keys.RingOptions{Keysets: []string{"ns/payments", "principal/payments"}})
	if err != nil {
		return
	}
	defer ring.Close()
	plugin, err := signet.NewPlugin(ring, signet.Options{Principal: &propagate.Options{}})
	if err != nil {
		return
	}
	c, err := client.Dial(client.Options{Namespace: "payments", Plugins: []client.Plugin{plugin}})
	if err != nil {
		return
	}
	defer c.Close()

	// At the edge, for whoever the request's token proved; or for a service, where no person started the work.
	ctx = principal.NewContext(ctx, principal.Service("nightly-billing", "acme"))
	if _, err := c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{TaskQueue: "billing"}, settle); err != nil {
		return
	}
	charge := func(ctx context.Context) error { // an activity of settle
		who, err := principal.FromContext(ctx)
		if err != nil {
			return err
		}
		fmt.Println("charging for", who.Tenant)
		return nil
	}
	w := worker.New(c, "billing", worker.Options{})
	w.RegisterActivity(charge)
	_ = w.Run(worker.InterruptCh())
}

func settle(workflow.Context) error { return nil }

func TestTheREADMEShowsThisCode(t *testing.T) {
	source, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for name, page := range map[string]string{"startWorker": "README.md", "openVault": "README.md", "tenantWorker": "docs/tenants.md"} {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		code, ok := function(string(source), name)
		if !ok || !strings.Contains(string(text), code) {
			t.Errorf("%s does not show func %s as it stands here", page, name)
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
