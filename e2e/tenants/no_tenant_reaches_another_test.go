package tenants_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	sdk "go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/workflow"

	"github.com/signet-temporal/signet"
	"github.com/signet-temporal/signet/converter"
	"github.com/signet-temporal/signet/e2e/stack"
	"github.com/signet-temporal/signet/keys"
)

func (w *world) tenants() converter.Tenants { return converter.Tenants{Under: under} }

// Forgets starts a child without an id, and the SDK makes one up.
func Forgets(ctx workflow.Context, item string) (out string, err error) {
	err = workflow.ExecuteChildWorkflow(ctx, Part, item, false).Get(ctx, &out)
	return out, err
}

// Sends signals another workflow.
func Sends(ctx workflow.Context, to, text string) error {
	return workflow.SignalExternalWorkflow(ctx, to, "", "ship", text).Get(ctx, nil)
}

// Waits has an activity completed by somebody else.
func (w *world) Waits(ctx workflow.Context) (out string, err error) {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: time.Minute})
	err = workflow.ExecuteActivity(ctx, w.Elsewhere).Get(ctx, &out)
	return out, err
}

// Elsewhere is that activity.
func (w *world) Elsewhere(ctx context.Context) (string, error) {
	w.ids <- activity.GetInfo(ctx).TaskToken
	return "", activity.ErrResultPending
}

// TestWorkflowCodeSealsNothingForAnotherTenant: a child whose made-up id is nobody's would carry a tenant's data away from
// its keyset, and so would a signal to another tenant. The task fails and the workflow stays open, also where there is a
// keyset for what is nobody's.
func TestWorkflowCodeSealsNothingForAnotherTenant(t *testing.T) {
	w := newWorld(t, signet.Options{Keyset: "ns/payments"}, keys.RingOptions{}, "acme", "bravo")
	w.start(t, "acme/forgets", Forgets, "tea")
	w.start(t, "acme/sends", Sends, "bravo/order-1", "tea")
	w.start(t, "acme/sends-out", Sends, "order-1", "tea")
	for id, want := range map[string]string{
		"acme/forgets":   `tenants disagree`,
		"acme/sends":     `workflow "bravo/order-1" to "bravo"`,
		"acme/sends-out": `workflow "order-1" to ""`,
	} {
		if why := w.taskFails(t, id); !strings.Contains(why, want) || !strings.Contains(why, `belongs to "acme"`) {
			t.Errorf("%s: the task fails with %q, want %q", id, why, want)
		}
	}
	// What is nobody's has children of its own, of tenants or not.
	if got := get[string](t, w.start(t, "housekeeping", Forgets, "tea")); got != "part of tea" {
		t.Errorf("nobody's child returns %q", got)
	}
	sealedUnder(t, "housekeeping", w.history(t, "housekeeping", ""), "ns/payments", 3)
}

// TestATenantsPayloadDoesNotOpenInAnothersWorkflow: what a tenant's keyset sealed for no workflow in particular, and so
// could be moved within the namespace, opens in no other tenant's workflows, though the worker has the keys.
func TestATenantsPayloadDoesNotOpenInAnothersWorkflow(t *testing.T) {
	w := newWorld(t, signet.Options{Keyset: "ns/payments"}, keys.RingOptions{}, "acme", "bravo")
	stolen := w.sealedForNobody(t, "acme", "pay mallory")
	for _, id := range []string{"bravo/part", "part"} {
		if _, err := w.raw.ExecuteWorkflow(t.Context(), w.options(id), "Part", stolen); err != nil {
			t.Fatal(err)
		}
		if why := w.taskFails(t, id); !strings.Contains(why, `not authentic: sealed under keyset "tenant/acme"`) {
			t.Errorf("%s: the task fails with %q", id, why)
		}
	}
	if _, err := w.raw.ExecuteWorkflow(t.Context(), w.options("acme/part"), "Part", stolen, w.sealedForNobody(t, "acme", false)); err != nil {
		t.Fatal(err)
	}
	if got := get[string](t, w.client.GetWorkflow(t.Context(), "acme/part", "")); got != "part of pay mallory" {
		t.Errorf("what does open, in the tenant's own workflow, returns %q", got)
	}
}

// sealedForNobody seals under a tenant's keyset and binds to no workflow, as a completion by task token does.
func (w *world) sealedForNobody(t *testing.T, tenant string, value any) sdk.RawValue {
	t.Helper()
	codec, err := converter.NewCodec(w.ring, converter.CodecOptions{Scope: "payments", Keyset: under + tenant})
	if err != nil {
		t.Fatal(err)
	}
	plain, err := sdk.GetDefaultDataConverter().ToPayload(value)
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := codec.Seal(plain)
	if err != nil {
		t.Fatal(err)
	}
	return sdk.NewRawValue(sealed)
}

// TestWhereNoWorkflowIsKnownTheCallerSaysWhose: an activity that is completed by its task token alone.
func TestWhereNoWorkflowIsKnownTheCallerSaysWhose(t *testing.T) {
	o := signet.Options{Tenants: converter.Tenants{FromContext: tenantIn}}
	w := newWorld(t, o, keys.RingOptions{}, "acme")
	run := w.start(t, "acme/waits", w.Waits)
	token := <-w.ids
	if err := w.client.CompleteActivity(t.Context(), token, "nobody's", nil); !errors.Is(err, converter.ErrNoTenant) {
		t.Errorf("completed for nobody: %v", err)
	}
	if err := w.client.CompleteActivity(workFor(t.Context(), "acme"), token, "acme's", nil); err != nil {
		t.Fatal(err)
	}
	if got := get[string](t, run); got != "acme's" {
		t.Errorf("the workflow returns %q", got)
	}
	sealedUnder(t, "acme/waits", w.history(t, "acme/waits", ""), "tenant/acme", 2)
}

type tenantKey struct{}

func workFor(ctx context.Context, tenant string) context.Context {
	return context.WithValue(ctx, tenantKey{}, tenant)
}

// tenantIn reads the tenant from a context as an application's hook does: from whatever carries it.
func tenantIn(ctx converter.Valuer) (string, bool) {
	tenant, ok := ctx.Value(tenantKey{}).(string)
	return tenant, ok
}

// carrier carries the tenant from the client into the workflow, as package principal's propagator carries a principal.
type carrier struct{}

func (carrier) Inject(ctx context.Context, h workflow.HeaderWriter) error {
	if tenant, ok := tenantIn(ctx); ok {
		h.Set("tenant", &commonpb.Payload{Data: []byte(tenant)})
	}
	return nil
}

func (carrier) InjectFromWorkflow(ctx workflow.Context, h workflow.HeaderWriter) error {
	if tenant, ok := tenantIn(ctx); ok {
		h.Set("tenant", &commonpb.Payload{Data: []byte(tenant)})
	}
	return nil
}

func (carrier) Extract(ctx context.Context, h workflow.HeaderReader) (context.Context, error) {
	if p, ok := h.Get("tenant"); ok {
		ctx = workFor(ctx, string(p.GetData()))
	}
	return ctx, nil
}

func (carrier) ExtractToWorkflow(ctx workflow.Context, h workflow.HeaderReader) (workflow.Context, error) {
	if p, ok := h.Get("tenant"); ok {
		ctx = workflow.WithValue(ctx, tenantKey{}, string(p.GetData()))
	}
	return ctx, nil
}

// TestWhoWorksForATenantSealsForThatTenantAlone: in a client call and in workflow code.
func TestWhoWorksForATenantSealsForThatTenantAlone(t *testing.T) {
	o := signet.Options{Tenants: converter.Tenants{FromContext: tenantIn}, Keyset: "ns/payments"}
	w := newWorld(t, o, keys.RingOptions{}, "acme", "bravo")
	o.Tenants.Under = under
	c, err := client.Dial(client.Options{HostPort: w.Temporal.Address, Namespace: "payments",
		Logger:  stack.Quiet,
		Plugins: []client.Plugin{w.Plugin(t, w.ring, o)}, ContextPropagators: []workflow.ContextPropagator{carrier{}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	w.work(t, c)
	w.client = c
	for id, call := range map[string]func(ctx context.Context, id string) error{
		"bravo/start": func(ctx context.Context, id string) error {
			_, err := c.ExecuteWorkflow(ctx, w.options(id), Part, "tea", false)
			return err
		},
		"bravo/signal": func(ctx context.Context, id string) error { return c.SignalWorkflow(ctx, id, "", "ship", "tea") },
		"start": func(ctx context.Context, id string) error {
			_, err := c.ExecuteWorkflow(ctx, w.options(id), Part, "tea", false)
			return err
		},
	} {
		if err := call(workFor(t.Context(), "acme"), id); !errors.Is(err, converter.ErrTenantMismatch) {
			t.Errorf("acme reaches %s: %v", id, err)
		}
	}
	run, err := c.ExecuteWorkflow(workFor(t.Context(), "acme"), w.options("acme/own"), Part, "tea", false)
	if err != nil {
		t.Fatal(err)
	}
	if got := get[string](t, run); got != "part of tea" {
		t.Errorf("acme's own workflow returns %q", got)
	}
	if _, err := c.ExecuteWorkflow(workFor(t.Context(), ""), w.options("acme/sends"), Sends, "bravo/order", "tea"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.ExecuteWorkflow(workFor(t.Context(), "acme"), w.options("acme/sends-2"), Sends, "bravo/order", "tea"); err != nil {
		t.Fatal(err)
	}
	if why := w.taskFails(t, "acme/sends-2"); !strings.Contains(why, `workflow "bravo/order" to "bravo"`) {
		t.Errorf("workflow code that works for acme signals bravo: %q", why)
	}
	// Who works for all tenants may: there is no such workflow, and that is what Temporal says.
	if err := c.GetWorkflow(t.Context(), "acme/sends", "").Get(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "external workflow") {
		t.Errorf("who works for everybody: %v", err)
	}
}
