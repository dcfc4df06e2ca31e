package converter

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/tink"
	sdk "go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"github.com/signet-temporal/signet/internal/wire"
)

// askedFor is a ring that remembers for which keysets it was asked.
type askedFor struct {
	*memKeys
	keysets map[string]bool
}

func (a askedFor) Lookup(name string, id uint32) (tink.AEAD, error) {
	a.keysets[name] = true
	return a.memKeys.Lookup(name, id)
}

func tenantKeys(t testing.TB) askedFor {
	return askedFor{newKeys(t, aead.XAES256GCM192BitNonceKeyTemplate(), "tenant/acme", "tenant/bravo", "ns/payments", "ns/secret"), map[string]bool{}}
}

// tenantConverter makes a data converter with a keyset for each tenant, and for what belongs to none if shared names one.
func tenantConverter(t testing.TB, keys Keys, shared string, tenants Tenants) *DataConverter {
	t.Helper()
	tenants.Under = "tenant/"
	d, err := NewDataConverter(nil, newCodec(t, keys, func(o *CodecOptions) { o.Keyset, o.Tenants = shared, tenants }))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func inWorkflowOf(d *DataConverter, id string) sdk.DataConverter {
	return d.WithSerializationContext(sdk.WorkflowSerializationContext{Namespace: "payments", WorkflowID: id})
}

// sealedBy returns the keyset under which dc seals, or its error.
func sealedBy(t *testing.T, dc sdk.DataConverter) (string, error) {
	t.Helper()
	p, err := dc.ToPayload("x")
	if err != nil {
		if p != nil {
			t.Errorf("a payload came beside %v", err)
		}
		return "", err
	}
	outer, err := wire.Parse(p.GetMetadata(), p.GetData())
	if err != nil {
		t.Fatal(err)
	}
	return outer.Keyset, nil
}

func TestTheWorkflowIDDecidesWhoseKeysetSeals(t *testing.T) {
	byCustomer := func(_, id string) (string, error) {
		switch {
		case strings.HasPrefix(id, "acme-"):
			return "acme", nil
		case id == "b-2":
			return "bravo", nil
		case id == "odd":
			return "../x", nil
		case id == "shared":
			return "", nil
		}
		return "", errors.New("customer of " + id + " is not registered")
	}
	for _, test := range []struct {
		id, shared, want string
		of               func(scope, id string) (string, error)
		says             string
	}{
		{id: "acme/order-1", want: "tenant/acme"},
		{id: "bravo/2/deep", want: "tenant/bravo"},
		{id: "acme/nightly-2026-11-21T20:05:25Z", want: "tenant/acme"},
		{id: "acme/order-1", shared: "ns/payments", want: "tenant/acme"},
		{id: "order-1", says: `workflow id "order-1" names none`},
		{id: "/order-1", says: "names none"},
		{id: "order-1", shared: "ns/payments", want: "ns/payments"},
		{id: "..x/1", shared: "ns/payments", says: "keyset name"},
		{id: "", says: "no workflow id is known here"},
		{id: "", shared: "ns/payments", want: "ns/payments"},
		{id: "acme-1", of: byCustomer, want: "tenant/acme"},
		{id: "b-2-2026-11-21T20:05:25Z", of: byCustomer, want: "tenant/bravo"},
		{id: "shared", of: byCustomer, shared: "ns/payments", want: "ns/payments"},
		{id: "shared", of: byCustomer, says: "names none"},
		{id: "odd", of: byCustomer, shared: "ns/payments", says: "keyset name"},
		{id: "zulu-1", of: byCustomer, shared: "ns/payments", says: "customer of zulu-1 is not registered"},
	} {
		d := tenantConverter(t, tenantKeys(t), test.shared, Tenants{Of: test.of})
		got, err := sealedBy(t, inWorkflowOf(d, test.id))
		if got != test.want || (test.says != "") != errors.Is(err, ErrNoTenant) || err != nil && !strings.Contains(err.Error(), test.says) {
			t.Errorf("id %q, shared %q: sealed under %q, %v; want %q, %s", test.id, test.shared, got, err, test.want, test.says)
		}
	}
}

func TestWhatATenantSealedOpensForThatTenantAlone(t *testing.T) {
	keys := tenantKeys(t)
	d := tenantConverter(t, keys, "ns/payments", Tenants{})
	memo, err := inWorkflowOf(d, "acme/1").ToPayload("acme's") // without a context: bound to no workflow
	if err != nil {
		t.Fatal(err)
	}
	shared, err := d.ToPayload("everybody's")
	if err != nil {
		t.Fatal(err)
	}
	secret, err := newCodec(t, keys, func(o *CodecOptions) { o.Keyset = "ns/secret" }).Seal(jsonPayload(`"secret"`))
	if err != nil {
		t.Fatal(err)
	}
	clear(keys.keysets)
	var s string
	if err := inWorkflowOf(d, "acme/2").FromPayload(memo, &s); err != nil || s != "acme's" {
		t.Errorf("another workflow of the tenant: %q, %v", s, err)
	}
	for _, id := range []string{"bravo/1", "acme", "acme2/1", "order-1"} {
		clear(keys.keysets)
		if err := inWorkflowOf(d, id).FromPayload(memo, &s); !errors.Is(err, ErrNotAuthentic) || !strings.Contains(err.Error(), `"tenant/acme"`) {
			t.Errorf("workflow %q: %v", id, err)
		}
		if again, err := inWorkflowOf(d, id).ToPayload(sdk.NewRawValue(memo)); !errors.Is(err, ErrNotAuthentic) || again != nil {
			t.Errorf("workflow %q handed on what another tenant sealed: %v", id, err)
		}
		if len(keys.keysets) > 0 {
			t.Errorf("workflow %q: the ring was asked for %v", id, keys.keysets)
		}
	}
	for _, id := range []string{"bravo/1", "order-1", ""} {
		if err := inWorkflowOf(d, id).FromPayload(shared, &s); err != nil || s != "everybody's" {
			t.Errorf("what belongs to nobody, in %q: %q, %v", id, s, err)
		}
	}
	// No workflow is known: the payload names its keyset, and only tenants' keysets are asked for.
	replayed := d.WithSerializationContext(sdk.WorkflowSerializationContext{Namespace: "ReplayNamespace", WorkflowID: "bravo/1"})
	for name, dc := range map[string]sdk.DataConverter{"none": d, "replayer": replayed} {
		if err := dc.FromPayload(memo, &s); err != nil || s != "acme's" {
			t.Errorf("%s: %q, %v", name, s, err)
		}
		clear(keys.keysets)
		if err := dc.FromPayload(secret, &s); !errors.Is(err, ErrNotAuthentic) || len(keys.keysets) > 0 {
			t.Errorf("%s: a keyset that is nobody's: %v, the ring was asked for %v", name, err, keys.keysets)
		}
	}
}

type works struct{}

func worksFor(ctx Valuer) (string, bool) {
	w, ok := ctx.Value(works{}).(string)
	return w, ok
}

func TestTheContextAndTheWorkflowMustAgree(t *testing.T) {
	for _, test := range []struct {
		context any // the tenant, or nil
		id      string
		shared  string
		want    string // "" is a mismatch
	}{
		{"acme", "acme/1", "", "tenant/acme"},
		{nil, "acme/1", "", "tenant/acme"},
		{"", "acme/1", "", "tenant/acme"},
		{"acme", "bravo/1", "ns/payments", ""},
		{"acme", "order-1", "ns/payments", ""},
		{"acme", "", "ns/payments", "tenant/acme"},
		{"acme", "", "", "tenant/acme"},
		{"ac me", "", "ns/payments", ""},
		{nil, "", "ns/payments", "ns/payments"},
	} {
		d := tenantConverter(t, tenantKeys(t), test.shared, Tenants{FromContext: worksFor})
		ctx := t.Context()
		if test.context != nil {
			ctx = context.WithValue(ctx, works{}, test.context)
		}
		for _, dc := range []sdk.DataConverter{ // the SDK does it in either order
			d.WithContext(ctx).(*DataConverter).WithSerializationContext(sdk.WorkflowSerializationContext{WorkflowID: test.id}),
			inWorkflowOf(d, test.id).(*DataConverter).WithContext(ctx),
		} {
			got, err := sealedBy(t, dc)
			if got != test.want || (got == "") != errors.Is(err, ErrTenantMismatch) {
				t.Errorf("context of %v, workflow %q: sealed under %q, %v; want %q", test.context, test.id, got, err, test.want)
			}
			if ps, err := dc.ToPayloads("x"); (got == "") != errors.Is(err, ErrTenantMismatch) || got == "" && ps != nil {
				t.Errorf("context of %v, workflow %q: ToPayloads: %v, %v", test.context, test.id, ps, err)
			}
		}
	}
}

// TestWorkflowCodeSealsForItsOwnTenant: also what has no workflow id, as with Nexus; and nothing for a child whose id,
// made up by the SDK, is nobody's.
func TestWorkflowCodeSealsForItsOwnTenant(t *testing.T) {
	d := tenantConverter(t, tenantKeys(t), "ns/payments", Tenants{})
	env := new(testsuite.WorkflowTestSuite).NewTestWorkflowEnvironment()
	env.ExecuteWorkflow(func(ctx workflow.Context) error {
		own := workflow.GetInfo(ctx).WorkflowExecution.ID
		of := Tenants{Under: "tenant/", Of: func(_, id string) (string, error) {
			if id == own {
				return "acme", nil
			}
			before, _, _ := strings.Cut(id, "/")
			return map[string]string{"acme": "acme", "bravo": "bravo"}[before], nil
		}}
		d.codec.core.options.Tenants = of
		for id, want := range map[string]string{own: "tenant/acme", "acme/child": "tenant/acme", "": "tenant/acme", "bravo/child": "", "5d2f_7": ""} {
			dc := inWorkflowOf(d, id).(*DataConverter).WithWorkflowContext(ctx).(*DataConverter)
			p, err := dc.codec.within(dc.ctx).Seal(jsonPayload(`1`)) // the data converter would panic
			var got string
			if err == nil {
				outer, _ := wire.Parse(p.GetMetadata(), p.GetData())
				got = outer.Keyset
			}
			if got != want || (want == "") != errors.Is(err, ErrTenantMismatch) {
				t.Errorf("for workflow %q: sealed under %q, %v; want %q", id, got, err, want)
			}
		}
		return nil
	})
	if err := env.GetWorkflowError(); err != nil {
		t.Fatal(err)
	}
}

func TestTenantsThatCannotWorkAreRefused(t *testing.T) {
	for under, want := range map[string]string{"tenant": "up to a slash", "/": "up to a slash", "tenant//": "up to a slash", "te nant/": "up to a slash", "": "Under is empty"} {
		_, err := NewCodec(tenantKeys(t), CodecOptions{Keyset: "ns/payments", Scope: "payments", Tenants: Tenants{Under: under, FromContext: worksFor}})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("under %q: %v", under, err)
		}
	}
	if _, err := NewCodec(tenantKeys(t), CodecOptions{Scope: "payments"}); err == nil {
		t.Error("neither a keyset nor tenants: no error")
	}
}

// TestOpenOnlyReadsWhatTheNextStepWrites: for a rollout, in which some processes do not know tenants yet.
func TestOpenOnlyReadsWhatTheNextStepWrites(t *testing.T) {
	keys := tenantKeys(t)
	before := tenantConverter(t, keys, "ns/payments", Tenants{OpenOnly: true, FromContext: worksFor})
	after := tenantConverter(t, keys, "ns/payments", Tenants{FromContext: worksFor})
	for _, id := range []string{"acme/1", "order-1", ""} {
		if got, err := sealedBy(t, inWorkflowOf(before, id)); got != "ns/payments" {
			t.Errorf("workflow %q: sealed under %q, %v", id, got, err)
		}
	}
	other := context.WithValue(t.Context(), works{}, "bravo")
	if got, err := sealedBy(t, inWorkflowOf(before, "acme/1").(*DataConverter).WithContext(other)); got != "ns/payments" {
		t.Errorf("nothing is asked of the context yet: %q, %v", got, err)
	}
	for _, dc := range [][2]*DataConverter{{before, after}, {after, before}} {
		sealed, err := inWorkflowOf(dc[0], "acme/1").ToPayloads("x")
		if err != nil {
			t.Fatal(err)
		}
		if err := inWorkflowOf(dc[1], "acme/1").FromPayloads(sealed, new(string)); err != nil {
			t.Error(err)
		}
	}
	memo, err := inWorkflowOf(after, "acme/1").ToPayload("x")
	if err != nil {
		t.Fatal(err)
	}
	if err := inWorkflowOf(before, "bravo/1").FromPayload(memo, new(string)); !errors.Is(err, ErrNotAuthentic) || !strings.Contains(err.Error(), `"tenant/bravo"`) {
		t.Errorf("another tenant's: %v", err)
	}
	if _, err := NewCodec(keys, CodecOptions{Scope: "payments", Tenants: Tenants{Under: "tenant/", OpenOnly: true}}); err == nil || !strings.Contains(err.Error(), "name it in Keyset") {
		t.Errorf("open only, and no keyset to seal under: %v", err)
	}
}

// TestATenantsPayloadCostsNoMore: as many allocations as with one keyset for all, as long as one tenant follows itself.
func TestATenantsPayloadCostsNoMore(t *testing.T) {
	keys := tenantKeys(t)
	single := newCodec(t, keys).forWorkflow("acme/1")
	tenants := newCodec(t, keys, func(o *CodecOptions) { o.Keyset, o.Tenants.Under = "", "tenant/" }).forWorkflow("acme/1")
	var allocs [2]struct{ seal, open float64 }
	for i, c := range []*Codec{single, tenants} {
		sealed, err := c.Seal(jsonPayload(`"x"`))
		if err != nil {
			t.Fatal(err)
		}
		allocs[i].seal = leastAllocs(func() { _, _ = c.Seal(jsonPayload(`"x"`)) })
		allocs[i].open = leastAllocs(func() { _, _ = c.Open(sealed) })
	}
	if allocs[0] != allocs[1] {
		t.Errorf("one keyset allocates %+v, a tenant's %+v", allocs[0], allocs[1])
	}
}

func TestAFailureIsItsTenantsOwn(t *testing.T) {
	d := tenantConverter(t, tenantKeys(t), "", Tenants{})
	f, err := NewFailureConverter(nil, d)
	if err != nil {
		t.Fatal(err)
	}
	at := func(id string) sdk.FailureConverter {
		return f.WithSerializationContext(sdk.WorkflowSerializationContext{WorkflowID: id})
	}
	failure := at("acme/1").ErrorToFailure(errors.New("SECRET"))
	if got := at("acme/2").FailureToError(failure); !strings.Contains(got.Error(), "SECRET") {
		t.Errorf("another workflow of the tenant reads %v", got)
	}
	if got := at("bravo/1").FailureToError(failure); strings.Contains(got.Error(), "SECRET") || !strings.Contains(got.Error(), "not authentic") {
		t.Errorf("another tenant reads %v", got)
	}
	// Handed on, it is sealed anew for the workflow that hands it on.
	again := at("acme/parent").ErrorToFailure(at("acme/1").FailureToError(failure))
	if got := at("acme/parent").FailureToError(again); !strings.Contains(got.Error(), "SECRET") {
		t.Errorf("handed on, it reads %v", got)
	}
	withheld := f.ErrorToFailure(errors.New("SECRET"))
	if strings.Contains(withheld.String(), "SECRET") || !strings.Contains(withheld.GetMessage(), "no-tenant") {
		t.Errorf("for no workflow: %v", withheld)
	}
}
