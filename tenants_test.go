package signet

import (
	"context"
	"errors"
	"strings"
	"testing"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/client"
	sdk "go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"

	"github.com/signet-temporal/signet/converter"
	"github.com/signet-temporal/signet/internal/metricstest"
	"github.com/signet-temporal/signet/internal/wire"
	"github.com/signet-temporal/signet/keys"
	"github.com/signet-temporal/signet/keys/keystest"
)

// tenantPlugin makes a plugin over a ring that knows nothing but the keysets of two tenants.
func tenantPlugin(t *testing.T, options Options) *Plugin {
	t.Helper()
	store, kek := new(keystest.Store), keystest.NewKEK(t)
	for _, name := range []string{"tenant/acme", "tenant/bravo"} {
		keystest.NewKeyset(t, store, kek, name, keys.XAES256GCM)
	}
	ring, err := keys.NewRing(t.Context(), store, kek, keys.RingOptions{Tenants: keys.Tenants{Under: "tenant/"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ring.Close() })
	if err := ring.Preload(t.Context(), "tenant/acme", "tenant/bravo"); err != nil { // a busy machine is not what this is about
		t.Fatal(err)
	}
	options.Tenants.Under = "tenant/"
	p, err := NewPlugin(ring, options)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func workflowOf(dc sdk.DataConverter, id string) sdk.DataConverter {
	return sdk.WithDataConverterSerializationContext(dc, sdk.WorkflowSerializationContext{Namespace: "payments", WorkflowID: id})
}

func TestEachTenantsWorkflowsAreSealedUnderItsKeyset(t *testing.T) {
	p := tenantPlugin(t, Options{})
	o, metrics := metered(t, p, "payments")
	acme := workflowOf(o.DataConverter, "acme/1")
	if got := sealedFor(t, acme); got.Keyset != "tenant/acme" || got.Scope != "payments" {
		t.Errorf("sealed for %+v", got)
	}
	sealed, err := workflowOf(o.DataConverter, "bravo/1").ToPayload("bravo's")
	if err != nil {
		t.Fatal(err)
	}
	if err := acme.FromPayload(sealed, new(string)); !errors.Is(err, converter.ErrNotAuthentic) {
		t.Errorf("another tenant's payload: %v", err)
	}
	if err := o.DataConverter.FromPayload(sealed, new(string)); err != nil {
		t.Errorf("where no workflow is known: %v", err)
	}
	if p, err := o.DataConverter.ToPayload("x"); !errors.Is(err, converter.ErrNoTenant) || p != nil {
		t.Errorf("what belongs to nobody: %v, %v", p, err)
	}
	// A metric for each of thousands of tenants would be too many.
	wantMetric(t, metrics, `signet_payloads_sealed{keyset="tenant/*",namespace="payments"}`, 2)
	wantMetric(t, metrics, `signet_payloads_opened{format="v1",keyset="tenant/*",namespace="payments"}`, 1)
	wantMetric(t, metrics, metricstest.Key("signet_payloads_refused", map[string]string{"namespace": "payments", "operation": "seal", "reason": "no-tenant"}), 1)
}

func TestAClientOfTenantsIsStillProbed(t *testing.T) {
	called := false
	next := func(context.Context, client.PluginNewClientOptions) error { called = true; return nil }
	for name, undo := range map[string]func(*client.Options){
		"": func(*client.Options) {},
		"data converter": func(o *client.Options) {
			o.DataConverter = sdk.GetDefaultDataConverter()
		},
		"wrapped": func(o *client.Options) {
			o.DataConverter = sdk.NewCodecDataConverter(o.DataConverter, sdk.NewZlibCodec(sdk.ZlibCodecOptions{AlwaysEncode: true}))
		},
		"failure converter": func(o *client.Options) {
			o.FailureConverter = temporal.GetDefaultFailureConverter()
		},
		"failure converter that encodes": func(o *client.Options) {
			o.FailureConverter = temporal.NewDefaultFailureConverter(temporal.DefaultFailureConverterOptions{EncodeCommonAttributes: true})
		},
	} {
		p, o := tenantPlugin(t, Options{}), client.Options{Namespace: "payments"}
		if err := configure(p, &o); err != nil {
			t.Fatal(err)
		}
		undo(&o)
		called = false
		err := p.NewClient(t.Context(), client.PluginNewClientOptions{ClientOptions: o}, next)
		if (name == "") != (err == nil) || called != (err == nil) {
			t.Errorf("replaced %q: %v, the client was made: %t", name, err, called)
		}
	}
}

func TestTheKeysetOfWhatIsNobodysMustBeThere(t *testing.T) {
	o := client.Options{Namespace: "payments"}
	if err := configure(tenantPlugin(t, Options{Keyset: "ns/payments"}), &o); err == nil || !strings.Contains(err.Error(), `"ns/payments"`) {
		t.Errorf("a keyset that the ring does not hold: %v", err)
	}
}

// TestAReplayerOfTenantsSealsForNobody: it opens what every tenant sealed, and what it seals itself opens nowhere else.
func TestAReplayerOfTenantsSealsForNobody(t *testing.T) {
	p := tenantPlugin(t, Options{Scope: "payments"})
	o := worker.WorkflowReplayerOptions{}
	if err := p.ConfigureWorkflowReplayer(t.Context(), worker.PluginConfigureWorkflowReplayerOptions{WorkflowReplayerOptions: &o}); err != nil {
		t.Fatal(err)
	}
	c := client.Options{Namespace: "payments"}
	if err := configure(p, &c); err != nil {
		t.Fatal(err)
	}
	sealed, err := workflowOf(c.DataConverter, "acme/1").ToPayload("acme's")
	if err != nil {
		t.Fatal(err)
	}
	replayed := sdk.WithDataConverterSerializationContext(o.DataConverter, sdk.WorkflowSerializationContext{Namespace: "ReplayNamespace", WorkflowID: "ReplayId"})
	var s string
	if err := replayed.FromPayload(sealed, &s); err != nil || s != "acme's" {
		t.Errorf("a replayer reads %q, %v", s, err)
	}
	own, err := replayed.ToPayload("side effect")
	if err != nil {
		t.Fatal(err)
	}
	if err := replayed.FromPayload(own, &s); err != nil || s != "side effect" {
		t.Errorf("a replayer reads of its own %q, %v", s, err)
	}
	for name, dc := range map[string]sdk.DataConverter{"the tenant": workflowOf(c.DataConverter, "acme/1"), "a client": c.DataConverter} {
		if err := dc.FromPayload(own, &s); !errors.Is(err, converter.ErrNotAuthentic) {
			t.Errorf("%s reads what a replayer sealed: %v", name, err)
		}
	}
	forged := &commonpb.Payload{Metadata: own.Metadata, Data: append([]byte{}, own.Data...)}
	forged.Data[len(forged.Data)-1] ^= 1
	if err := replayed.FromPayload(forged, &s); !errors.Is(err, converter.ErrNotAuthentic) {
		t.Errorf("a changed byte: %v", err)
	}
	if outer, err := wire.Parse(own.Metadata, own.Data); err != nil || outer.Keyset != thrownAway {
		t.Errorf("a replayer seals as %+v, %v", outer, err)
	}
}
