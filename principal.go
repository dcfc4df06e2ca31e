package signet

import (
	"slices"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/signet-temporal/signet/principal/propagate"
)

// carryPrincipals puts what carries principals into the options of a client: what judges before all other interceptors,
// what seals after them.
func (p *Plugin) carryPrincipals(o *client.Options, namespace string) error {
	carrier, err := p.propagator(namespace)
	if err != nil {
		return err
	}
	if err := carrier.Ready(); err != nil {
		return err
	}
	o.ContextPropagators = append(slices.Clip(o.ContextPropagators), workflow.ContextPropagator(carrier))
	o.Interceptors = slices.Concat([]interceptor.ClientInterceptor{carrier.WorkerInterceptor()}, o.Interceptors,
		[]interceptor.ClientInterceptor{carrier.ClientInterceptor()})
	return nil
}

// replayPrincipals does the same for a replayer.
func (p *Plugin) replayPrincipals(o *worker.WorkflowReplayerOptions) error {
	carrier, err := p.propagator(p.options.Scope)
	if err != nil {
		return err
	}
	if !p.options.Principal.InsecureReplayWithoutKeys {
		if err := carrier.Ready(); err != nil {
			return err
		}
	}
	carrier = carrier.Replayer()
	o.ContextPropagators = append(slices.Clip(o.ContextPropagators), workflow.ContextPropagator(carrier))
	o.Interceptors = append([]interceptor.WorkerInterceptor{carrier.WorkerInterceptor()}, o.Interceptors...)
	return nil
}

func (p *Plugin) propagator(namespace string) (*propagate.Propagator, error) {
	options := *p.options.Principal
	if options.Scope == "" {
		options.Scope = p.options.Scope
	}
	if options.Scope == "" {
		options.Scope = namespace
	}
	return propagate.New(p.keys, options)
}
