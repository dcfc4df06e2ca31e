package codecserver

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// fail answers with an error: a generic word and the request id. An error that is not a problem is an internal one.
func (h *Handler) fail(q *request, err error) {
	var p *problem
	if !errors.As(err, &p) {
		p = &problem{http.StatusInternalServerError, "internal", err.Error()}
	}
	header := q.w.Header()
	switch p.status {
	case http.StatusUnauthorized:
		header.Set("WWW-Authenticate", "Bearer")
	case http.StatusServiceUnavailable:
		header.Set("Retry-After", "1")
	case http.StatusTooManyRequests:
		header.Set("Retry-After", strconv.Itoa(1+int(q.retryAfter/time.Second)))
	}
	body, err := json.Marshal(map[string]string{"error": p.code, "requestId": q.id})
	if err != nil {
		body = []byte("{}")
	}
	header.Set("Content-Type", "application/json")
	q.w.WriteHeader(p.status)
	_, _ = q.w.Write(body) // the client has gone: nobody is left to tell
	level := slog.LevelInfo
	if p.status >= http.StatusInternalServerError {
		level = slog.LevelError
	}
	h.log.LogAttrs(q.Context(), level, "request refused", append(q.attrs(), slog.Int("status", p.status), slog.String("reason", p.code), slog.String("detail", p.detail))...)
}

// refuse answers the whole request with what follows from r.
func (h *Handler) refuse(q *request, r reason, detail string) {
	o := r.outcome()
	if !strings.HasPrefix(detail, string(r)) { // an authenticator's error begins with it
		detail = string(r) + ": " + detail
	}
	h.fail(q, &problem{o.status, o.code, detail})
}

func (h *Handler) logDone(q *request, items []*item) {
	closed, first, detail := 0, none, ""
	for _, it := range items {
		if it.reason != none {
			if closed++; closed == 1 {
				first, detail = it.reason, it.detail
			}
		}
	}
	attrs := append(q.attrs(), slog.Int("payloads", len(items)))
	if closed == 0 {
		h.log.LogAttrs(q.Context(), slog.LevelDebug, "request done", attrs...)
		return
	}
	h.log.LogAttrs(q.Context(), slog.LevelInfo, "payloads explained",
		append(attrs, slog.Int("explained", closed), slog.String("reason", string(first)), slog.String("detail", detail))...)
}

func (q *request) attrs() []slog.Attr {
	attrs := []slog.Attr{slog.String("request", q.id), slog.String("method", q.Method), slog.String("action", clip(string(q.action))),
		slog.String("client", q.RemoteAddr), slog.Duration("took", time.Since(q.start))}
	if q.caller != nil {
		attrs = append(attrs, slog.Any("caller", *q.caller))
	}
	return attrs
}

// clip keeps what a stranger wrote short in the log, and harmless on a terminal: slog's handlers let some of the
// characters pass that steer one or turn text around.
func clip(s string) string {
	if len(s) > 40 {
		s = s[:40] + "…"
	}
	if strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.QuoteToASCII(s)
	}
	return s
}
