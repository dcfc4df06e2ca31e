package codecserver

import "github.com/signet-temporal/signet/codecserver/policy"

// ReaderHeader with the value "person" says that a person reads the answer, who wants explanations in place of errors. It is
// for the temporal CLI, which takes every error for an outage: it tries five times, and "workflow result" tries for ever.
// A caller who is known to be a machine gets errors all the same, and CORS does not let pages send it.
const ReaderHeader = "Signet-Reader"

// explains reports whether the answer may hold explanations, as far as the request tells.
func (h *Handler) explains(q *request) bool {
	person := q.browser || q.Header.Get(ReaderHeader) == "person"
	return person && h.mode == Explain && q.action == policy.Decode
}
