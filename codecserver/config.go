package codecserver

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"math"
	"net/http"

	commonpb "go.temporal.io/api/common/v1"

	"github.com/signet-temporal/signet/codecserver/audit"
	"github.com/signet-temporal/signet/codecserver/policy"
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
