package codecserver

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	commonpb "go.temporal.io/api/common/v1"

	"github.com/signet-temporal/signet/codecserver/audit"
	"github.com/signet-temporal/signet/codecserver/policy"
	"github.com/signet-temporal/signet/internal/wire"
	"github.com/signet-temporal/signet/principal"
)

// Codec seals and opens the payloads of one namespace; *converter.Codec is one. It is safe for concurrent use, changes
// nothing of a payload that it is given and keeps nothing of it: its memory is used again after the request. An error
// may have a method Reason() string (found by errors.As) that returns "not-authentic", "key-unavailable",
// "key-destroyed", "malformed" or "not-sealed"; any other error is an internal one.
type Codec interface {
	// Seal returns the sealed payload, or p itself where it is not to be sealed: it is already, or it is a storage
	// reference. A payload that claims to be sealed and is malformed is an error.
	Seal(p *commonpb.Payload) (*commonpb.Payload, error)
	// Open returns what was sealed in p.
	Open(p *commonpb.Payload) (*commonpb.Payload, error)
}

// Authenticator says who makes a request; *verify.Verifier is one. An error may have a method Reason() string that
// returns a code which is safe to show, such as "expired-token", and a method Machine() bool that reports a program.
type Authenticator interface {
	Authenticate(r *http.Request) (*principal.Caller, error)
}

// Policy says what a caller may do; *policy.Rules is one. Within a request it is asked once for payloads that come one
// after another and are alike.
type Policy interface {
	Decide(policy.Request) policy.Decision
}

// Audit keeps the record; *audit.Log is one. Records are durable when Write returns nil.
type Audit interface {
	Write(ctx context.Context, records ...audit.Record) error
}

// Namespace is one Temporal namespace whose payloads the server opens and seals.
type Namespace struct {
	// Name as Temporal and the policy call it. Required.
	Name string
	// Scope is what is sealed into its payloads. Empty: the name.
	Scope string
	// TenantsUnder is what the names of tenants' keysets begin with, up to a slash; the rest is the tenant that the policy
	// is asked about. Empty: "tenant/", which such a name may begin with in any case.
	TenantsUnder string
	// Codec of the namespace, for exactly that scope. Required.
	Codec Codec
	// Legacy says what other codecs' payloads Codec opens as well, during a migration. Nil: they pass as they are.
	Legacy Legacy
}

// Mode is how a person in a browser is told that a payload stays closed. Machines always get the strict answer.
type Mode int

// The modes.
const (
	Explain Mode = iota // the payload is replaced by an explanation; the rest of the request is answered
	Strict              // the whole request is refused
)

// Limits bound a request. Zero means the default.
type Limits struct {
	MaxBody     int64 // bytes of a request body; default 16 MiB
	MaxPayloads int   // payloads in a request; default 1000
	// MaxOpened is how many bytes of plaintext, data and metadata together, one decode request opens and holds; default
	// 64 MiB. A small sealed payload may expand to a large one, so MaxBody does not bound it. What is beyond it is
	// "too-large", and the payload that passes it is the last one that is opened.
	MaxOpened int64
	// MaxConcurrent requests of callers who are known are worked on at the same time; default 256. Others wait, a second
	// at most, and are then refused with 429.
	MaxConcurrent int
	// PayloadBurst is how many payloads a caller may have opened or sealed at once, and PayloadsPerSecond how fast that
	// comes back; defaults 3000 and 10. The Web UI asks for some 200 payloads for a page and for tens of thousands to
	// download a long history. Grants of the policy that say bulk are not counted.
	PayloadBurst      int
	PayloadsPerSecond float64

	// Of /download: how many references a request may hold, how many bytes are fetched for it, and how many such requests
	// are worked on at the same time; defaults 10, 64 MiB and 8. MaxOpened holds as well.
	MaxReferences int
	MaxDownload   int64
	MaxDownloads  int
	// DownloadBurst is how many bytes are fetched for a caller at once, and DownloadPerSecond how fast that comes back;
	// defaults 256 MiB and 1 MiB. A reference costs 64 KiB at least. There are no grants that are not counted.
	DownloadBurst     int64
	DownloadPerSecond float64
}

func (l *Limits) setDefaults() error {
	if l.MaxBody < 0 || l.MaxPayloads < 0 || l.MaxOpened < 0 || l.MaxConcurrent < 0 || l.PayloadBurst < 0 || !(l.PayloadsPerSecond >= 0) ||
		l.MaxReferences < 0 || l.MaxDownload < 0 || l.MaxDownloads < 0 || l.DownloadBurst < 0 || !(l.DownloadPerSecond >= 0) {
		return errors.New("codecserver: Config.Limits: a limit is negative, or no number")
	}
	l.MaxBody = cmp.Or(l.MaxBody, 16<<20)
	l.MaxPayloads = cmp.Or(l.MaxPayloads, 1000)
	l.MaxOpened = cmp.Or(l.MaxOpened, 64<<20)
	l.MaxConcurrent = cmp.Or(l.MaxConcurrent, 256)
	l.PayloadBurst = cmp.Or(l.PayloadBurst, 3000)
	l.PayloadsPerSecond = cmp.Or(l.PayloadsPerSecond, 10)
	l.MaxReferences, l.MaxDownload, l.MaxDownloads = cmp.Or(l.MaxReferences, 10), cmp.Or(l.MaxDownload, 64<<20), cmp.Or(l.MaxDownloads, 8)
	l.DownloadBurst, l.DownloadPerSecond = min(cmp.Or(l.DownloadBurst, 256<<20), math.MaxInt32), cmp.Or(l.DownloadPerSecond, 1<<20)
	return nil
}

// Config is what a [Handler] is made of. Namespaces, Authenticator, Policy and Audit are required: there is no default
// for who may read what.
type Config struct {
	Namespaces    []Namespace // at least one; names and scopes are unique
	Authenticator Authenticator
	Policy        Policy
	Audit         Audit
	CORS          CORS         // zero: no browser may use the server
	Mode          Mode         // zero: Explain
	Contact       string       // one sentence for explanations: who to ask for access. May be empty
	Login         string       // address of the page where people log in, for explanations; "": they log in in the Web UI
	Limits        Limits       // zero: the defaults
	Search        SearchTokens // for /search-token; nil: there is no such path
	Storage       Storage      // for /download; nil: there is no such path
	Logger        *slog.Logger // one line per request; nil: none
}

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

// request is one HTTP request on its way.
type request struct {
	*http.Request
	w            http.ResponseWriter
	id           string
	start        time.Time
	action       policy.Action
	namespace    string // X-Namespace, "" where it is absent
	breakGlass   string // why, where the caller says that it is an emergency
	browser      bool   // from an allowed origin
	explain      bool
	masks        bool              // whoever asks can tell a mask from data
	explanations bool              // and an explanation
	caller       *principal.Caller // nil while nobody is known
	scratch      *scratch
	outsides     wire.Reader
	judged       verdict // of the last payload that outsides has read without an error
	payloads     int
	asOne        bool          // it is refused as a whole, and one record says so
	retryAfter   time.Duration // of a refusal that passes by itself
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

// record starts an audit record with what is known of the request.
func (q *request) record(d audit.Decision, reason string) audit.Record {
	r := audit.Record{RequestID: q.id, Action: string(q.action), Decision: d, Reason: reason, Payloads: q.payloads, Client: q.RemoteAddr, Agent: "other"}
	if host, _, err := net.SplitHostPort(q.RemoteAddr); err == nil {
		r.Client = host
	}
	switch {
	case q.browser:
		r.Agent = "browser"
	case strings.HasPrefix(q.UserAgent(), "Go-http-client/"): // the temporal CLI and Go workers
		r.Agent = "go"
	}
	if q.caller != nil {
		r.Issuer, r.Subject, r.Email = q.caller.Issuer, q.caller.Subject, q.caller.Email
	}
	return r
}
