package codecserver

import (
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/signet-temporal/signet/codecserver/policy"
)

// Handler serves the codec protocol. It is safe for concurrent use and keeps nothing between requests but how much each
// caller has asked for.
type Handler struct {
	byScope, byName map[string]*Namespace
	authenticator   Authenticator
	policy          Policy
	audit           Audit
	cors            *cors
	mode            Mode
	contact, login  string
	limits          Limits
	quota           *quota
	search          SearchTokens
	slots           slots
	scratch         sync.Pool // of *scratch
	storage         Storage
	downloads       slots
	bytes           *quota // that are fetched
	log             *slog.Logger
}

// New makes the handler. The error names the field of c that is missing or wrong.
func New(c Config) (*Handler, error) {
	switch {
	case c.Authenticator == nil:
		return nil, errors.New("codecserver: Config.Authenticator is required")
	case c.Policy == nil:
		return nil, errors.New("codecserver: Config.Policy is required")
	case c.Audit == nil:
		return nil, errors.New("codecserver: Config.Audit is required")
	case c.Mode != Explain && c.Mode != Strict:
		return nil, errors.New("codecserver: Config.Mode is neither Explain nor Strict")
	}
	if err := c.Limits.setDefaults(); err != nil {
		return nil, err
	}
	cors, err := newCORS(c.CORS)
	if err != nil {
		return nil, fmt.Errorf("codecserver: Config.CORS.%w", err)
	}
	h := &Handler{
		byScope: map[string]*Namespace{}, byName: map[string]*Namespace{},
		authenticator: c.Authenticator, policy: c.Policy, audit: c.Audit,
		cors: cors, mode: c.Mode, contact: c.Contact, login: c.Login, limits: c.Limits, search: c.Search, log: c.Logger,
		quota: newQuota(c.Limits.PayloadsPerSecond, c.Limits.PayloadBurst), slots: make(slots, c.Limits.MaxConcurrent),
		storage: c.Storage, downloads: make(slots, c.Limits.MaxDownloads), bytes: newQuota(c.Limits.DownloadPerSecond, int(c.Limits.DownloadBurst)),
	}
	if err := h.addNamespaces(c.Namespaces); err != nil {
		return nil, fmt.Errorf("codecserver: Config.Namespaces%w", err)
	}
	if h.log == nil {
		h.log = slog.New(slog.DiscardHandler)
	}
	return h, nil
}

func (h *Handler) addNamespaces(namespaces []Namespace) error {
	if len(namespaces) == 0 {
		return errors.New(": at least one namespace is required")
	}
	for i, n := range namespaces {
		if n.Scope == "" {
			n.Scope = n.Name
		}
		switch {
		case n.Name == "" || n.Name == undefined:
			return fmt.Errorf("[%d].Name: %q cannot name a namespace", i, n.Name)
		case n.Codec == nil:
			return fmt.Errorf("[%d].Codec is required", i)
		case h.byName[n.Name] != nil:
			return fmt.Errorf("[%d].Name: %q is given twice", i, n.Name)
		case h.byScope[n.Scope] != nil:
			return fmt.Errorf("[%d].Scope: %q is that of another namespace: a payload must lead to one", i, n.Scope)
		}
		h.byName[n.Name], h.byScope[n.Scope] = &n, &n
	}
	return nil
}

// ServeHTTP implements [http.Handler]. It matches the last segment of the path and ignores the query.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := &request{Request: r, w: w, id: rand.Text(), start: time.Now()}
	header := w.Header()
	header.Set("X-Request-Id", q.id)
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	var known bool
	q.action, known = h.action(r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:])

	err := h.cors.apply(q)
	switch {
	case err != nil:
		h.fail(q, err)
	case r.Method == http.MethodOptions: // whatever the path: a preflight that fails hides the answer, also a 404
		w.WriteHeader(http.StatusNoContent)
	case !known:
		// Also for /download without Config.Storage, which the Web UI calls for payloads in external storage: 404 is how
		// it recognises a codec server without one.
		h.fail(q, &problem{status: http.StatusNotFound, code: "not-found", detail: "no such path"})
	case r.Method != http.MethodPost:
		header.Set("Allow", "POST, OPTIONS")
		h.fail(q, &problem{status: http.StatusMethodNotAllowed, code: "method-not-allowed", detail: "method " + r.Method})
	default:
		h.post(q)
	}
}

// action is what the last segment of a path asks for. What is not known stands in the log as it is.
func (h *Handler) action(segment string) (action policy.Action, known bool) {
	switch {
	case segment == string(policy.Decode) || segment == string(policy.Encode):
		return policy.Action(segment), true
	case segment == searchPath && h.search != nil:
		return policy.Search, true
	case segment == string(policy.Download) && h.storage != nil:
		return policy.Download, true
	}
	return policy.Action(segment), false
}

func (h *Handler) post(q *request) {
	h.borrow(q)
	defer h.giveBack(q)
	err := q.checkHeaders()
	if err != nil {
		h.fail(q, err)
		return
	}
	q.explain = h.explains(q)
	caller, err := h.authenticator.Authenticate(q.Request)
	if err == nil && (caller == nil || caller.Issuer == "" || caller.Subject == "") {
		err = errors.New("the authenticator named nobody")
	}
	var program interface{ Machine() bool }
	if (err == nil && caller.Machine) || (errors.As(err, &program) && program.Machine()) {
		q.explain = false // a program that sends an Origin or an AcceptHeader would take an explanation for data
	}
	if err == nil {
		q.caller = caller
		q.masks = q.masks || q.browser && !caller.Machine
	}
	if err != nil {
		h.stranger(q, err)
		return
	}
	if !h.slots.take(q.Context()) {
		q.retryAfter = slotWait
		h.fail(q, &problem{status: http.StatusTooManyRequests, code: "busy", detail: "limits.maxConcurrent requests are under way"})
		return
	}
	defer h.slots.give()
	switch q.action {
	case policy.Encode:
		h.encode(q)
	case policy.Search:
		h.searchToken(q)
	case policy.Download:
		h.download(q)
	default:
		h.decode(q)
	}
}
