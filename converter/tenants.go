package converter

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	sdk "go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/workflow"

	"github.com/signet-temporal/signet/internal/wire"
)

// Tenants has a codec seal each tenant's payloads under a keyset of the tenant's own, so that destroying that keyset
// destroys the tenant's data and nobody else's. The zero value is off: [CodecOptions].Keyset seals everything.
//
// The workflow id decides, because it is all that the SDK names wherever it converts. What is opened in a workflow was
// sealed under the keyset of that workflow's tenant, or under one of [CodecOptions].AcceptKeysets; any other keyset is
// refused before a key is asked for. Where no workflow is known (completions by task token, replayers, codec servers),
// a payload opens under the keyset that it names itself, if that begins with Under.
//
// What belongs to no tenant is sealed under [CodecOptions].Keyset, and is not sealed at all, with [ErrNoTenant], where
// that is "".
type Tenants struct {
	// Under is what the names of tenants' keysets begin with, up to a slash: "tenant/". The rest is the tenant. "" is off.
	Under string
	// Of says whose workflow that is, by its id and the codec's scope; "" is nobody's. It runs for every payload, on
	// workflow goroutines too: it must be quick, safe for concurrent use and do no I/O, and give the same answer for the
	// same id for ever. The time that a schedule appends to ids is cut off. Nil takes what stands before the first slash of
	// the id: "acme/order-17" is acme's.
	Of func(scope, workflowID string) (tenant string, err error)
	// FromContext says for which tenant a context.Context or a workflow.Context works; "" is for all of them. Where it is
	// another tenant than that of the workflow for which is sealed, nothing is: [ErrTenantMismatch]. Where it is not ok, or
	// nil, workflow code works for the tenant of its own workflow, and everything else for all. The SDK gives no context
	// with markers, updates' results, queries and failures; there the workflow id alone decides.
	FromContext func(ctx Valuer) (tenant string, ok bool)
	// OpenOnly opens what tenants' keysets have sealed, and seals everything under [CodecOptions].Keyset as before: for the
	// time in which some processes do not know tenants yet.
	OpenOnly bool
}

// Valuer is a context.Context or a workflow.Context.
type Valuer interface{ Value(key any) any }

func (t *Tenants) on() bool { return t.Under != "" }

func (t *Tenants) check(keyset string) error {
	if !t.on() {
		if t.Of != nil || t.FromContext != nil || t.OpenOnly {
			return errors.New("converter: Tenants.Under is empty: say what the names of tenants' keysets begin with, such as \"tenant/\"")
		}
		return nil
	}
	if !strings.HasSuffix(t.Under, "/") || wire.CheckName(t.Under+"x") != nil {
		return fmt.Errorf("converter: Tenants.Under is %q: use the beginning of a keyset's name up to a slash, such as \"tenant/\"", t.Under)
	}
	if t.OpenOnly && keyset == "" {
		return errors.New("converter: Tenants.OpenOnly seals under the keyset of before: name it in Keyset")
	}
	return nil
}

// of returns the tenant of a workflow and the tenant's keyset, both "" for nobody's.
func (t *Tenants) of(scope, id string) (tenant, keyset string, err error) {
	if t.Of != nil {
		tenant, err = t.Of(scope, wire.Unscheduled(id))
	} else if before, _, found := strings.Cut(id, "/"); found {
		tenant = before
	}
	if err != nil || tenant == "" {
		return "", "", err
	}
	keyset = t.Under + tenant
	if err := wire.CheckName(keyset); err != nil {
		return "", "", err
	}
	return tenant, keyset, nil
}

// owner is whose payloads a codec seals and opens.
type owner struct {
	workflow string // the workflow id of the serialization context, also for what is sealed for no workflow
	keyset   string // that seals; "" if none may
	tenant   string // whose that is; "" for nobody's, or where no workflow is known
	other    string // the tenant that the context named, if it is another
	unknown  bool   // no workflow is known: what belongs to any tenant opens
}

// ownerOf is called for every context that the SDK makes. Why there is no keyset is found out by whoever seals.
func (c *core) ownerOf(workflow string) owner {
	o := owner{workflow: workflow, keyset: c.options.Keyset}
	t := &c.options.Tenants
	switch {
	case !t.on():
	case workflow == "":
		o.unknown = true
	default:
		tenant, keyset, err := t.of(c.options.Scope, workflow)
		o.tenant = tenant
		if err != nil || tenant != "" {
			o.keyset = keyset
		}
	}
	if t.OpenOnly {
		o.keyset = c.options.Keyset
	}
	return o
}

// within returns the codec that seals in a context: c itself, unless the context names a tenant and c's workflow does
// not, or it names another one. Then nothing is sealed.
func (c *Codec) within(ctx Valuer) *Codec {
	if ctx == nil || c.core.options.Tenants.OpenOnly {
		return c
	}
	tenant := c.core.tenantIn(ctx)
	if tenant == "" || tenant == c.owner.tenant {
		return c
	}
	n := *c
	if keyset := c.core.options.Tenants.Under + tenant; c.owner.unknown && wire.CheckName(keyset) == nil {
		n.owner.keyset, n.owner.tenant = keyset, tenant
	} else {
		n.owner.keyset, n.owner.other = "", tenant
	}
	return &n
}

// tenantIn returns the tenant for whom a context works; "" is for all, or for whom is not known.
func (c *core) tenantIn(ctx Valuer) string {
	t := &c.options.Tenants
	if t.FromContext != nil {
		if tenant, ok := t.FromContext(ctx); ok {
			return tenant
		}
	}
	running, ok := ctx.(sdk.WorkflowContext)
	if !ok {
		return ""
	}
	tenant, _, _ := t.of(c.options.Scope, workflow.GetInfo(running).WorkflowExecution.ID) // nobody's, if it cannot be told
	return tenant
}

// accepts reports whether payloads under a keyset may open here.
func (c *Codec) accepts(keyset string) bool {
	o := &c.core.options
	if slices.Contains(o.AcceptKeysets, keyset) {
		return true
	}
	tenant, ok := strings.CutPrefix(keyset, o.Tenants.Under)
	return ok && (c.owner.unknown || c.owner.tenant != "" && c.owner.tenant == tenant)
}

// accepted is what accepts accepts, for people.
func (c *Codec) accepted() []string {
	o := &c.core.options
	switch {
	case c.owner.unknown:
		return append(slices.Clone(o.AcceptKeysets), o.Tenants.Under+"…")
	case c.owner.tenant != "":
		return append(slices.Clone(o.AcceptKeysets), o.Tenants.Under+c.owner.tenant)
	}
	return o.AcceptKeysets
}

// unowned says why this codec has no keyset to seal under. Tenants and workflow ids are no secrets: Temporal has both.
func (c *Codec) unowned() *Error {
	t := &c.core.options.Tenants
	switch {
	case c.owner.other != "" && c.owner.unknown:
		return &Error{kind: ErrTenantMismatch, detail: fmt.Sprintf("the context works for %q, which cannot be part of a keyset's name", c.owner.other)}
	case c.owner.other != "":
		return &Error{kind: ErrTenantMismatch, detail: fmt.Sprintf("what is sealed belongs to %q, and workflow %q to %q: give children and whoever else gets its data workflow ids of the same tenant", c.owner.other, c.owner.workflow, c.owner.tenant)}
	case c.owner.workflow == "":
		return &Error{kind: ErrNoTenant, detail: "no workflow id is known here: name a keyset for such payloads in Options.Keyset"}
	}
	_, _, err := t.of(c.core.options.Scope, c.owner.workflow)
	return &Error{kind: ErrNoTenant, cause: err, detail: fmt.Sprintf("workflow id %q names none: begin it with the tenant and a slash, as Options.Tenants asks, or name a keyset for such payloads in Options.Keyset", c.owner.workflow)}
}
