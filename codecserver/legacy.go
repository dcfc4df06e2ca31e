package codecserver

import (
	commonpb "go.temporal.io/api/common/v1"

	"github.com/signet-temporal/signet/internal/wire"
)

// Legacy knows the payloads of codecs that were used before, which the Codec of its namespace opens as well;
// *legacykeys.Decoder is one. It is safe for concurrent use.
type Legacy interface {
	// Takes reports whether p is one of them, by its metadata alone, and under which key of which keyset if that is known,
	// for the record: "ns/payments/1a2b3c4d".
	Takes(p *commonpb.Payload) (key string, ok bool)
}

// judgeLegacy decides about a payload that signet did not seal. What another codec sealed names no namespace. It is
// taken for one of the namespace that the request names, and opens with keys of that namespace alone: a key that two
// namespaces have shared opens in both. Without a name in the request it stays as it is, as all foreign payloads do.
func (h *Handler) judgeLegacy(q *request, it *item) {
	ns := h.byName[q.namespace]
	if ns == nil || ns.Legacy == nil {
		return
	}
	key, ok := ns.Legacy.Takes(it.payload)
	if !ok {
		return
	}
	it.sealed, it.ns, it.legacy, it.legacyKey = true, ns, true, key
	it.outer = wire.Outer{Scope: ns.Scope}
	h.ask(q, &it.verdict, "")
}
