package codecserver

import (
	"errors"
	"fmt"

	"github.com/signet-temporal/signet/internal/wire"
)

// encode seals all payloads for the namespace of X-Namespace, or none. It never explains: what comes back is stored.
func (h *Handler) encode(q *request) {
	if q.namespace == "" {
		h.fail(q, badRequest("to encode, X-Namespace must say for which namespace"))
		return
	}
	items, err := h.readPayloads(q, h.limits.MaxBody)
	if err != nil {
		h.fail(q, err)
		return
	}
	if err := refuseMarks(items); err != nil {
		h.fail(q, err)
		return
	}
	denied := h.judgeEncode(q)
	for _, it := range items {
		it.verdict = denied
		it.sealed = true
	}
	h.limitRate(q, items)
	q.asOne = len(items) > 1 && items[0].reason != none // nothing is known of one that is not known of the others
	for _, it := range items {
		if it.reason == none {
			it.seal()
		}
	}
	h.finish(q, items)
}

func (h *Handler) judgeEncode(q *request) verdict {
	v := verdict{ns: h.byName[q.namespace]}
	if v.ns == nil {
		v.outer.Scope = q.namespace
		v.close(unknownNamespace, fmt.Sprintf("X-Namespace is %.100q", q.namespace))
		return v
	}
	h.ask(q, &v, "")
	return v
}

// seal is idempotent, because the codec is: a payload that is sealed already comes back as it is, since the Web UI sends
// the header payloads of a schedule here again when it is edited.
func (it *item) seal() {
	sealed, err := it.ns.Codec.Seal(it.payload)
	if err == nil && sealed == nil {
		err = errors.New("the codec returned nothing")
	}
	if err != nil {
		it.close(reasonOf(err), err.Error())
		return
	}
	if sealed == it.payload {
		it.already = true
		return
	}
	if it.outer, err = wire.Parse(sealed.GetMetadata(), sealed.GetData()); err != nil {
		it.close(internal, "the codec returned a payload that is not sealed: "+err.Error())
		return
	}
	it.out, it.opened = sealed, true
}
