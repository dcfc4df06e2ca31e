package signet

import (
	"context"
	"strings"
	"testing"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/signet-temporal/signet/principal/propagate"
)

// users is an interceptor that the user of the plugin has set.
type users struct{ interceptor.InterceptorBase }

func TestPrincipalsAreJudgedBeforeEveryInterceptorAndSealedAfterIt(t *testing.T) {
	p := newPlugin(t, Options{Principal: &propagate.Options{}}, "ns/payments", "principal/payments")
	o := client.Options{Namespace: "payments", Interceptors: []interceptor.ClientInterceptor{&users{}}}
	if err := configure(p, &o); err != nil {
		t.Fatal(err)
	}
	if !propagate.Wired(o) || len(o.Interceptors) != 3 || len(o.ContextPropagators) != 1 {
		t.Fatalf("the plugin has set %v and %v", o.Interceptors, o.ContextPropagators)
	}
	_, judges := o.Interceptors[0].(interceptor.WorkerInterceptor)
	_, kept := o.Interceptors[1].(*users)
	_, alsoWorks := o.Interceptors[2].(interceptor.WorkerInterceptor)
	if !judges || !kept || alsoWorks {
		t.Errorf("the interceptors are %T, %T, %T", o.Interceptors[0], o.Interceptors[1], o.Interceptors[2])
	}
}

func TestWithoutTheOptionNothingIsCarried(t *testing.T) {
	var o client.Options
	if err := configure(newPlugin(t, Options{}, "ns/default"), &o); err != nil {
		t.Fatal(err)
	}
	if len(o.Interceptors)+len(o.ContextPropagators) != 0 {
		t.Errorf("the plugin has set %v and %v", o.Interceptors, o.ContextPropagators)
	}
}

func TestAProcessWithoutThePrincipalKeysetDoesNotStart(t *testing.T) {
	p := newPlugin(t, Options{Scope: "payments", Principal: &propagate.Options{}}, "ns/payments")
	var o client.Options
	if err := configure(p, &o); err == nil || !strings.Contains(err.Error(), "principal/payments") {
		t.Errorf("a client: %v", err)
	}
	if err := p.ConfigureWorkflowReplayer(t.Context(), worker.PluginConfigureWorkflowReplayerOptions{WorkflowReplayerOptions: &worker.WorkflowReplayerOptions{}}); err == nil || !strings.Contains(err.Error(), "principal/payments") {
		t.Errorf("a replayer: %v", err)
	}
}

// laterPlugin changes a client's options after signet.
type laterPlugin struct {
	clientBase
	change func(*client.Options)
}

func (laterPlugin) Name() string { return "later" }

func (l laterPlugin) ConfigureClient(_ context.Context, o client.PluginConfigureClientOptions) error {
	l.change(o.ClientOptions)
	return nil
}

func TestALaterPluginMustNotLosePrincipals(t *testing.T) {
	for name, undo := range map[string]func(*client.Options){
		"propagators":        func(o *client.Options) { o.ContextPropagators = nil },
		"client interceptor": func(o *client.Options) { o.Interceptors = o.Interceptors[:1] },
		"worker interceptor": func(o *client.Options) { o.Interceptors = o.Interceptors[1:] },
	} {
		p := newPlugin(t, Options{Principal: &propagate.Options{}}, "ns/default", "principal/default")
		_, err := client.NewLazyClient(client.Options{Plugins: []client.Plugin{p, laterPlugin{change: undo}}})
		if err == nil || !strings.Contains(err.Error(), "last") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAReplayerCarriesPrincipalsToo(t *testing.T) {
	p := newPlugin(t, Options{Scope: "payments", Principal: &propagate.Options{}}, "ns/payments", "principal/payments")
	o := worker.WorkflowReplayerOptions{ContextPropagators: []workflow.ContextPropagator{nil}, Interceptors: []interceptor.WorkerInterceptor{&users{}}}
	if err := p.ConfigureWorkflowReplayer(t.Context(), worker.PluginConfigureWorkflowReplayerOptions{WorkflowReplayerOptions: &o}); err != nil {
		t.Fatal(err)
	}
	if _, kept := o.Interceptors[1].(*users); len(o.ContextPropagators) != 2 || len(o.Interceptors) != 2 || !kept {
		t.Errorf("the plugin has set %v and %v", o.Interceptors, o.ContextPropagators)
	}
}

func TestAPluginKeepsTheOptionsItWasMadeWith(t *testing.T) {
	options := propagate.Options{}
	p := newPlugin(t, Options{Principal: &options}, "ns/default", "principal/default")
	options.Keyset = "principal/other"
	var o client.Options
	if err := configure(p, &o); err != nil {
		t.Error(err)
	}
}
