// Package signet seals everything a Temporal application stores in Temporal, with Tink AEAD under keysets that HashiCorp
// Vault manages. This package is the front door: one plugin for client, worker and replayer.
//
//	ring, err := keys.NewRing(ctx, store, store, keys.RingOptions{Keysets: []string{"ns/default"}})
//	…
//	plugin, err := signet.NewPlugin(ring, signet.Options{})
//	…
//	c, err := client.Dial(client.Options{Plugins: []client.Plugin{plugin}})
//	w := worker.New(c, "task-queue", worker.Options{}) // sealed as well: the plugin comes with the client
//
// What is sealed, what cannot be, and what an error does to a workflow stands in package converter and in
// docs/threat-model.md.
//
// # Compatibility
//
// Until v1.0.0 the Go API may change with a note in CHANGELOG.md. The format of sealed payloads is versioned on its own
// (docs/spec/payload-v1.md): what any released version has sealed, every later version opens.
package signet

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"go.temporal.io/sdk/client"
	sdk "go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/worker"
	"google.golang.org/grpc"

	"github.com/signet-temporal/signet/converter"
	"github.com/signet-temporal/signet/labels"
	"github.com/signet-temporal/signet/principal/propagate"
)

// Options of a [Plugin]. The zero value seals for the client's namespace under the keyset "ns/<namespace>".
type Options struct {
	// Scope is sealed into every payload; "" means the client's namespace. Set it where namespaces are renamed, and for
	// replayers, which do not know the namespace. Every process that reads must accept it.
	Scope string
	// AcceptScopes are other scopes whose payloads open: former names, parents in other namespaces.
	AcceptScopes []string
	// Keyset is the name of the keyset that seals; "" means "ns/" and the scope.
	Keyset string
	// AcceptKeysets names other keysets whose payloads open. The ring must hold them.
	AcceptKeysets []string
	// Tenants seals the payloads of each tenant's workflows under a keyset of the tenant's own, and only what belongs to
	// nobody under Keyset, which then has no default: without one such payloads are refused. The ring must hold the keysets,
	// see keys.RingOptions.Tenants. With Principal, whom a context says must be of that tenant too, unless
	// Tenants.FromContext says otherwise. docs/tenants.md has the whole story.
	Tenants converter.Tenants
	// Legacy opens payloads of the codecs that were used before: for the time of a migration. They are asked in this
	// order, before AllowPlaintext is considered. Package converter/legacy has decoders.
	Legacy []converter.Legacy
	// AllowPlaintext lets payloads decode that are not sealed: for the time of a migration.
	AllowPlaintext bool
	// InsecureSealNothing opens what is sealed and seals nothing, so that the converters which are set already write as
	// before: for the first step of a migration, see docs/migration.md. There is no guard then.
	InsecureSealNothing bool
	// AllowUnsealedRequests turns the guard off that refuses requests to Temporal which carry a payload that is not
	// sealed. The SDK sends a memo in clear when sealing it fails; without the guard nobody would notice. A client made
	// from an existing one that has no plugin then sends the errors of queries in clear as well.
	AllowUnsealedRequests bool
	// Principal carries for whom a workflow runs, sealed, from the context that starts it to its children and activities,
	// and refuses whatever comes without: see package principal/propagate and docs/principal.md. The zero Options are the
	// strict ones. The ring must hold the keyset "principal/<scope>" as well. Nil: nothing is carried and nothing is asked for.
	Principal *propagate.Options
	// CompressMin is the size in bytes from which payloads are compressed; 0 means never. See converter.CodecOptions.
	CompressMin int
	// Labels writes which parts of a value are sensitive beside it, sealed as it is, so that a codec server can mask them:
	// see docs/labels.md. Nil: nothing is labelled.
	Labels *labels.Types
}

// Plugin seals what passes through a client, its workers and replayers. It is safe for concurrent use and may serve
// several clients. It keeps nothing running: closing the keys is the caller's.
type Plugin struct {
	//lint:ignore U1000 the SDK requires it: the interface has an unexported method
	clientBase
	workerBase
	keys    converter.Keys
	options Options
	dial    grpc.DialOption // what stands on the connection: queryErrors, and the guard unless it is turned off

	mu      sync.Mutex
	watched map[string]bool // keysets whose state is reported to somebody's metrics
}

// Both bases are called PluginBase; a struct can embed them only under names of their own.
type (
	//lint:ignore U1000 see Plugin
	clientBase = client.PluginBase
	workerBase = worker.PluginBase
)

var (
	_ client.Plugin = (*Plugin)(nil)
	_ worker.Plugin = (*Plugin)(nil)
)

// NewPlugin makes the plugin; keys is a *keys.Ring, or whatever else holds keys. Put it last in client.Options.Plugins:
// it wraps the data converter and the failure converter that are set when its turn comes, and a plugin after it must not
// replace them.
func NewPlugin(keys converter.Keys, options Options) (*Plugin, error) {
	if keys == nil {
		return nil, errors.New("signet: no keys: give a ring made by keys.NewRing")
	}
	if options.Principal != nil {
		own := *options.Principal
		options.Principal = &own
	}
	p := &Plugin{keys: keys, options: options, watched: make(map[string]bool)}
	chain := []grpc.UnaryClientInterceptor{queryErrors{p.failures, options.InsecureSealNothing}.intercept}
	if !options.AllowUnsealedRequests && !options.InsecureSealNothing {
		chain = append(chain, guard{options.AllowPlaintext, options.Legacy}.intercept) // last: it sees what really leaves
	}
	p.dial = grpc.WithChainUnaryInterceptor(chain...)
	return p, nil
}

// Name implements the SDK's plugin interfaces. The server shows it with the worker.
func (p *Plugin) Name() string { return "signet" }

// ConfigureClient implements client.Plugin. It fails when the keyset has no primary key in the ring, so that a process
// which cannot seal does not start. What the client's data converter then does is counted by its MetricsHandler, if it
// has one, and so is the state of its keysets, if the keys are a *keys.Ring: docs/operations.md lists the metrics.
func (p *Plugin) ConfigureClient(_ context.Context, o client.PluginConfigureClientOptions) error {
	namespace := o.ClientOptions.Namespace
	if namespace == "" {
		namespace = client.DefaultNamespace
	}
	metrics := o.ClientOptions.MetricsHandler
	dc, fc, err := p.converters(namespace, o.ClientOptions.DataConverter, o.ClientOptions.FailureConverter, metrics)
	if err != nil {
		return err
	}
	o.ClientOptions.DataConverter, o.ClientOptions.FailureConverter = dc, fc
	if p.options.Principal != nil {
		if err := p.carryPrincipals(o.ClientOptions, namespace); err != nil {
			return fmt.Errorf("signet: no principal can be carried: %w", err)
		}
	}
	connection := &o.ClientOptions.ConnectionOptions
	connection.DialOptions = slices.Clip(connection.DialOptions)
	if metrics != nil && !p.options.AllowUnsealedRequests {
		connection.DialOptions = append(connection.DialOptions, countRefusals(metrics, namespace))
	}
	connection.DialOptions = append(connection.DialOptions, p.dial)
	return nil
}

// NewClient implements client.Plugin. It refuses options that a later plugin changed so that they no longer seal, and a
// client made from an existing one whose connection has no guard.
func (p *Plugin) NewClient(ctx context.Context, o client.PluginNewClientOptions, next func(context.Context, client.PluginNewClientOptions) error) error {
	if o.ClientOptions.DataConverter == nil || o.ClientOptions.FailureConverter == nil {
		return errUndone
	}
	if p.options.Principal != nil && !propagate.Wired(o.ClientOptions) {
		return errUndone
	}
	if p.options.InsecureSealNothing {
		return next(ctx, o)
	}
	if err := seals(o.ClientOptions.DataConverter, o.ClientOptions.FailureConverter); err != nil {
		return err
	}
	if o.FromExisting == nil && !slices.Contains(o.ClientOptions.ConnectionOptions.DialOptions, p.dial) {
		return errUndone
	}
	if !p.options.AllowUnsealedRequests && o.FromExisting != nil && !guarded(o.FromExisting) {
		return errors.New("signet: the existing client's connection has no guard against unsealed requests: give the plugin to that client as well, or set signet.Options.AllowUnsealedRequests")
	}
	return next(ctx, o)
}

var errUndone = errors.New("signet: a plugin after signet replaced or wrapped the data converter, the failure converter, the dial options, the context propagators or the interceptors: put signet last in client.Options.Plugins")

// ConfigureWorker implements worker.Plugin. It refuses a worker whose panic policy would turn a missing key into a failed
// workflow, and one that got the plugin without its client, which then would not seal. The SDK turns the error into a
// panic of worker.New.
func (p *Plugin) ConfigureWorker(_ context.Context, o worker.PluginConfigureWorkerOptions) error {
	if slices.Contains(o.WorkerOptions.Plugins, worker.Plugin(p)) {
		return errors.New("signet: a worker seals with its client's data converter: put the plugin into client.Options.Plugins, not into worker.Options.Plugins")
	}
	if o.WorkerOptions.WorkflowPanicPolicy != worker.BlockWorkflow {
		return errors.New("signet: WorkflowPanicPolicy must be worker.BlockWorkflow (the default): with FailWorkflow a key that is missing for a moment fails the workflow for good")
	}
	return nil
}

// ConfigureWorkflowReplayer implements worker.Plugin. A replayer does not know its namespace, so Options.Scope is required.
func (p *Plugin) ConfigureWorkflowReplayer(_ context.Context, o worker.PluginConfigureWorkflowReplayerOptions) error {
	if p.options.Scope == "" {
		return errors.New("signet: a replayer does not know the namespace of a history: set signet.Options.Scope to it")
	}
	p, err := p.replaying()
	if err != nil {
		return err
	}
	dc, fc, err := p.converters("", o.WorkflowReplayerOptions.DataConverter, o.WorkflowReplayerOptions.FailureConverter, nil)
	if err != nil {
		return err
	}
	o.WorkflowReplayerOptions.DataConverter, o.WorkflowReplayerOptions.FailureConverter = dc, fc
	if p.options.Principal != nil {
		if err := p.replayPrincipals(o.WorkflowReplayerOptions); err != nil {
			return fmt.Errorf("signet: no principal can be carried: %w", err)
		}
	}
	return nil
}

// failures makes the failure converter of a namespace by itself, over the SDK's default one.
func (p *Plugin) failures(namespace string) (*converter.FailureConverter, error) {
	codec, err := converter.NewCodec(p.keys, p.codecOptions(namespace))
	if err != nil {
		return nil, err
	}
	dc, err := converter.NewDataConverter(nil, codec)
	if err != nil {
		return nil, err
	}
	return converter.NewFailureConverter(nil, dc)
}

func (p *Plugin) codecOptions(namespace string) converter.CodecOptions {
	options := converter.CodecOptions{
		Keyset: p.options.Keyset, AcceptKeysets: p.options.AcceptKeysets, Tenants: p.tenants(),
		Scope: p.options.Scope, AcceptScopes: p.options.AcceptScopes,
		AllowPlaintext: p.options.AllowPlaintext, CompressMin: p.options.CompressMin,
		Legacy: p.options.Legacy, InsecureSealNothing: p.options.InsecureSealNothing,
	}
	if options.Scope == "" {
		options.Scope = namespace
	}
	if options.Keyset == "" && options.Tenants.Under == "" {
		options.Keyset = "ns/" + options.Scope
	}
	return options
}

// converters wraps what the user has set, both or none. Nil metrics: nothing is measured.
func (p *Plugin) converters(namespace string, dc sdk.DataConverter, fc sdk.FailureConverter, metrics client.MetricsHandler) (*converter.DataConverter, *converter.FailureConverter, error) {
	options := p.codecOptions(namespace)
	if metrics != nil {
		options.Observer = newMeter(metrics, namespace, options)
	}
	codec, err := converter.NewCodec(p.keys, options)
	if err != nil {
		return nil, nil, fmt.Errorf("signet: %w", err)
	}
	if p.options.Labels != nil && !options.InsecureSealNothing {
		if dc, err = converter.NewLabeller(dc, p.options.Labels); err != nil {
			return nil, nil, fmt.Errorf("signet: %w", err)
		}
	}
	if options.Keyset != "" {
		if _, _, err := p.keys.Primary(options.Keyset); err != nil {
			return nil, nil, fmt.Errorf("signet: nothing can be sealed for %q: %w", options.Scope, err)
		}
	}
	sealing, err := converter.NewDataConverter(dc, codec)
	if err != nil {
		return nil, nil, fmt.Errorf("signet: %w", err)
	}
	failures, err := converter.NewFailureConverter(fc, sealing)
	if err != nil {
		return nil, nil, fmt.Errorf("signet: %w", err)
	}
	if metrics != nil {
		p.watchKeys(metrics, keysetsOf(options))
	}
	return sealing, failures, nil
}
