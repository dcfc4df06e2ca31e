package codecserver

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"strings"

	commonpb "go.temporal.io/api/common/v1"

	"github.com/signet-temporal/signet/codecserver/audit"
	"github.com/signet-temporal/signet/codecserver/policy"
	"github.com/signet-temporal/signet/internal/wire"
)

// verdict is what becomes of one payload.
type verdict struct {
	sealed  bool       // signet's, or a legacy payload; the rest of the fields is for these alone
	outer   wire.Outer // what the outside claims; zero where it is malformed
	ns      *Namespace // whose it is, if that is known
	rule    string     // the rule that decided
	glass   bool       // a break-glass grant allows it
	bulk    bool       // and does not count towards what the caller may have
	reason  reason     // why it stays closed
	detail  string     // the same for the log
	opened  bool       // authenticated: the outside is true
	already bool       // encode: it came sealed

	legacy    bool   // it is a legacy payload
	legacyKey string // of which, as Legacy.Takes names it

	labels, glassLabels policy.Labels // whose values may be shown, and with the emergency,
	glassRule           string        // by this rule
	shown, masked       []string      // labels whose values are shown, and for want of which values are masked
}

func (v *verdict) close(r reason, detail string) { v.reason, v.detail = r, detail }

func (h *Handler) decode(q *request) {
	items, err := h.readPayloads(q, h.limits.MaxBody)
	if err != nil {
		h.fail(q, err)
		return
	}
	for _, it := range items {
		h.judge(q, it)
	}
	h.limitRate(q, items)
	if worst := worstOf(items); worst == nil || q.explain {
		h.open(q, items)
	}
	h.finish(q, items)
}

// judge decides by the sealed namespace whether the payload may be opened, and opens nothing.
func (h *Handler) judge(q *request, it *item) {
	outer, same, err := q.outsides.Parse(it.payload.GetMetadata(), it.payload.GetData())
	switch {
	case errors.Is(err, wire.ErrForeign):
		h.judgeLegacy(q, it)
		return
	case same: // the same is asked, and so the same answered
		it.verdict = q.judged
		return
	}
	it.sealed, it.outer = true, outer
	if err != nil {
		it.close(reasonOf(err), err.Error())
		return
	}
	h.judgeOuter(q, &it.verdict)
	q.judged = it.verdict
}

func (h *Handler) judgeOuter(q *request, v *verdict) {
	if v.ns = h.byScope[v.outer.Scope]; v.ns == nil {
		v.close(unknownNamespace, fmt.Sprintf("no namespace has scope %.100q", v.outer.Scope))
		return
	}
	if q.namespace != "" && q.namespace != v.ns.Name {
		v.close(namespaceMismatch, fmt.Sprintf("X-Namespace is %.100q, sealed is %q", q.namespace, v.ns.Name))
		return
	}
	h.ask(q, v, v.ns.tenantOf(v.outer))
}

// ask puts the question to the policy: may this caller do this with this payload? It is judged by what the outside says,
// which is true if the payload opens.
func (h *Handler) ask(q *request, v *verdict, tenant string) {
	d := h.policy.Decide(policy.Request{
		Caller: *q.caller, Action: q.action, Namespace: v.ns.Name, Workflow: v.outer.Workflow, Tenant: tenant,
		Legacy: v.legacy, BreakGlass: q.breakGlass, Time: q.start,
	})
	v.rule, v.glass, v.bulk = d.Rule, d.BreakGlass, d.Bulk
	v.labels, v.glassLabels, v.glassRule = d.Labels, d.GlassLabels, d.GlassRule
	if !d.Allowed {
		v.close(reasonOfDenial(d.Reason), fmt.Sprintf("%s in namespace %q: %s", q.action, v.ns.Name, d.Reason))
	}
}

// tenantOf is whose keyset the outside names, "" for one that is no tenant's. A keyset that has kept its name since before
// TenantsUnder is that of the same tenant: else a denial would not find it.
func (n *Namespace) tenantOf(outer wire.Outer) string {
	for _, under := range [...]string{cmp.Or(n.TenantsUnder, anyTenants), anyTenants} {
		if tenant, isTenants := strings.CutPrefix(outer.Keyset, under); isTenants {
			return tenant
		}
	}
	return ""
}

// anyTenants is what the names of tenants' keysets begin with where nothing else is said.
const anyTenants = "tenant/"

// open opens what judge let pass, up to Limits.MaxOpened. It counts what was opened and not what is held, so that the
// limit bounds the work, too. As soon as one payload stays closed in a request that is all or nothing, the plaintexts
// are let go: the rest is opened one at a time, for the record and for the reason that counts most.
func (h *Handler) open(q *request, items []*item) {
	var total int64
	refused := false
	for _, it := range items {
		if !it.sealed || it.reason != none {
			continue
		}
		if total > h.limits.MaxOpened {
			it.close(tooLarge, "the payloads before it hold more than limits.maxOpened")
			continue
		}
		it.open()
		if total += it.mask(q); total > h.limits.MaxOpened {
			it.close(tooLarge, "with the payloads before it, it holds more than limits.maxOpened")
			it.out = nil
		}
		if it.reason != none && !q.explain && !refused {
			refused = true
			for _, it := range items {
				it.out = nil
			}
		}
		if refused {
			it.out = nil
		}
	}
}

// sizeOf is how many bytes of plaintext p holds.
func sizeOf(p *commonpb.Payload) int64 {
	n := len(p.GetData())
	var few [4]string
	for _, name := range namesOf(few[:0], p.GetMetadata()) {
		n += len(name) + len(p.GetMetadata()[name])
	}
	return int64(n)
}

func (it *item) open() {
	opened, err := it.ns.Codec.Open(it.payload)
	if err == nil && opened == nil {
		err = errors.New("the codec returned nothing")
	}
	if err != nil {
		it.close(reasonOf(err), err.Error())
		return
	}
	it.out, it.opened = opened, true
}

// finish writes the audit records and then the answer.
func (h *Handler) finish(q *request, items []*item) {
	worst := worstOf(items)
	if worst != nil && !q.explain {
		for _, it := range items { // all or nothing: what was opened is not shown
			if it.sealed && it.reason == none {
				it.close(requestRefused, "another payload was refused")
			}
		}
	}
	if err := h.audit.Write(q.Context(), q.records(items)...); err != nil {
		for _, it := range items {
			if it.sealed {
				it.close(auditUnavailable, err.Error())
			}
		}
		worst = worstOf(items)
		h.log.ErrorContext(q.Context(), "audit log cannot be written: nothing is decoded", "request", q.id, "error", err)
	}
	h.shout(q, items)
	if worst != nil && !q.explain {
		h.refuse(q, worst.reason, worst.detail)
		return
	}
	for _, it := range items {
		if it.sealed && it.reason != none {
			it.out = h.explain(q, it)
		}
	}
	h.answer(q, items)
}

// worstOf returns the payload that decides about a request in strict mode, or nil if nothing is wrong.
func worstOf(items []*item) *item {
	var worst *item
	for _, it := range items {
		if it.reason != none && (worst == nil || it.reason.outcome().rank < worst.reason.outcome().rank) {
			worst = it
		}
	}
	return worst
}

// strangerBody is how many bytes of a body are read for somebody who is not known: explaining is not worth
// more work than that.
const strangerBody = 256 << 10

// stranger answers a request of somebody who is not known. The attempt is one record: nothing that a stranger sends is
// worth more. A person still gets a page that renders, with the foreign payloads on it and the reason in place of ours,
// unless the page is larger than what is read for somebody unknown.
func (h *Handler) stranger(q *request, cause error) {
	why := reasonOfStranger(cause)
	var items []*item
	if q.explain {
		var err error
		items, err = h.readPayloads(q, min(h.limits.MaxBody, strangerBody))
		var p *problem
		switch {
		case errors.As(err, &p) && p.status == http.StatusRequestEntityTooLarge:
			q.explain = false
		case err != nil:
			h.fail(q, err)
			return
		}
	}
	if err := h.audit.Write(q.Context(), q.record(audit.Deny, string(why))); err != nil {
		h.log.ErrorContext(q.Context(), "audit log cannot be written", "request", q.id, "error", err)
	}
	if !q.explain {
		h.refuse(q, why, cause.Error())
		return
	}
	for _, it := range items {
		if it.sealed = wire.Sealed(it.payload.GetMetadata()); it.sealed {
			it.close(why, cause.Error())
			it.out = h.explain(q, it)
		}
	}
	h.answer(q, items)
}
