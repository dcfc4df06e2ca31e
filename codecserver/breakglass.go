package codecserver

import (
	"log/slog"
	"strings"
	"unicode"
	"unicode/utf8"
)

// BreakGlassHeader holds the reason of a caller who needs access in an emergency, for which the policy may have a
// break-glass grant: 10 to 300 printable characters, such as "INC-4711 order stuck, customer waits". The temporal CLI
// sends it with --codec-header. The Web UI cannot, and CORS does not let pages send it: a reason that a browser kept
// and sent with every page would be no reason, and the grant a standing one.
const BreakGlassHeader = "Signet-Break-Glass"

func (q *request) readBreakGlass() error {
	values := q.Header.Values(BreakGlassHeader)
	if len(values) == 0 {
		return nil
	}
	reason := strings.TrimSpace(values[0])
	unprintable := strings.ContainsFunc(reason, func(r rune) bool { return !unicode.IsPrint(r) })
	if n := utf8.RuneCountInString(reason); len(values) > 1 || n < 10 || n > 300 || unprintable || !utf8.ValidString(reason) {
		return badRequest(BreakGlassHeader + " is not a reason of 10 to 300 printable characters")
	}
	q.breakGlass = reason
	return nil
}

// shout: whoever is on call shall hear of it without reading the audit log. The reason stands in the audit log alone.
func (h *Handler) shout(q *request, items []*item) {
	n, rule := 0, ""
	for _, it := range items {
		if it.glass {
			n++
			rule = it.rule
		}
	}
	if n > 0 {
		h.log.LogAttrs(q.Context(), slog.LevelWarn, "break glass", append(q.attrs(), slog.Int("payloads", n), slog.String("rule", rule))...)
	}
}
