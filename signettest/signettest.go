// Package signettest seals in tests, with keys that are made for the test and gone with it. No key store is needed, and
// nothing that was sealed outlives the test.
//
//	signettest.Configure(t, env)                  // an environment of testsuite.WorkflowTestSuite
//	signettest.Plugin(t, signet.Options{})        // for client.Options.Plugins and replayers
//
// docs/testing.md says which of your tests need which, and how sealed histories from production are replayed.
package signettest

import (
	"slices"
	"testing"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"

	"github.com/signet-temporal/signet"
	"github.com/signet-temporal/signet/keys/keystest"
)

// scope is what payloads are sealed for when the test names none: with a scope, one plugin serves clients of every
// namespace, and replayers, which do not know theirs.
const scope = "signettest"

// Plugin returns signet's plugin over throw-away keys, for clients, their workers, and replayers of what these have
// recorded in the same test. It needs a test and panics outside of one. Keysets that o names are made; a scope that o
// does not name is the same for all namespaces.
func Plugin(t testing.TB, o signet.Options) *signet.Plugin {
	t.Helper()
	if !testing.Testing() {
		panic("signettest: its keys are gone when the process ends, and what they sealed with them: use signet.NewPlugin with a keys.Ring")
	}
	if o.Scope == "" {
		o.Scope = scope
	}
	if o.Keyset == "" {
		o.Keyset = "ns/" + o.Scope
	}
	keysets := append([]string{o.Keyset}, o.AcceptKeysets...)
	if o.Principal != nil {
		if own := *o.Principal; own.Keyset == "" {
			own.Keyset = "principal/" + o.Scope
			o.Principal = &own
		}
		keysets = append(keysets, o.Principal.Keyset)
	}
	slices.Sort(keysets)
	plugin, err := signet.NewPlugin(keystest.NewRing(t, slices.Compact(keysets)...), o)
	if err != nil {
		t.Fatal(err)
	}
	return plugin
}

// Environment is a *testsuite.TestWorkflowEnvironment or *testsuite.TestActivityEnvironment, which are their own Self.
type Environment[Self any] interface {
	SetDataConverter(converter.DataConverter) Self
	SetFailureConverter(converter.FailureConverter) Self
}

// Configure has a test environment seal and open what a client with the plugin would, which the SDK does not do by
// itself: its test environments have no client. Payloads that are not sealed are refused there, too.
func Configure[Self any](t testing.TB, env Environment[Self]) {
	t.Helper()
	var o client.Options
	if err := Plugin(t, signet.Options{}).ConfigureClient(t.Context(), client.PluginConfigureClientOptions{ClientOptions: &o}); err != nil {
		t.Fatal(err)
	}
	env.SetDataConverter(o.DataConverter)
	env.SetFailureConverter(o.FailureConverter)
}
