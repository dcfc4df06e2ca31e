package filestore_test

import (
	"context"
	"fmt"
	"os"

	"github.com/signet-temporal/signet"
	"github.com/signet-temporal/signet/keys"
	"github.com/signet-temporal/signet/keys/filestore"
	"github.com/signet-temporal/signet/keys/rotate"
)

// A plugin without Vault, for local development. The directory is that of the key CLI, too:
//
//	signet keyset create ns/default --keys-file keys
func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	store, err := filestore.OpenOrCreate(dir + "/keys")
	if err != nil {
		panic(err)
	}
	if _, err := rotate.Create(ctx, store, store, "ns/default", rotate.Options{}); err != nil { // or the command above
		panic(err)
	}
	ring, err := keys.NewRing(ctx, store, store, keys.RingOptions{Keysets: []string{"ns/default"}})
	if err != nil {
		panic(err)
	}
	defer ring.Close()
	plugin, err := signet.NewPlugin(ring, signet.Options{})
	fmt.Println(plugin != nil, err) // goes into client.Options.Plugins
	// Output: true <nil>
}
