package codecserver

import "github.com/signet-temporal/signet/codecserver/policy"

// AcceptHeader says what whoever asks can tell from data, beside a person in a browser, who sees both without it:
//
//   - "masks": the answer may hold masks in the place of what may not be seen. Without it a request for a payload of which
//     something would have to be masked is refused: a worker with a remote codec would take the mask for data.
//   - "explanations": it may hold explanations in the place of payloads that stay closed as well. It is for people with the
//     temporal CLI (--codec-header), which takes every error for an outage: it tries five times, and "workflow result" for
//     ever. A caller who is known to be a machine gets errors all the same.
//
// CORS does not let pages send it.
const AcceptHeader = "Signet-Accept"

func (q *request) readAccept() error {
	values := q.Header.Values(AcceptHeader)
	switch {
	case len(values) == 0:
	case len(values) == 1 && values[0] == "masks":
		q.masks = true
	case len(values) == 1 && values[0] == "explanations":
		q.masks, q.explanations = true, true
	default:
		return badRequest(AcceptHeader + ` is neither "masks" nor "explanations"`)
	}
	return nil
}

// explains reports whether the answer may hold explanations, as far as the request tells.
func (h *Handler) explains(q *request) bool {
	return (q.browser || q.explanations) && h.mode == Explain && q.action == policy.Decode
}
