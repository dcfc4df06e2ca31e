package codecserver

import (
	"net/http"
	"time"

	"github.com/signet-temporal/signet/codecserver/policy"
	"github.com/signet-temporal/signet/internal/wire"
	"github.com/signet-temporal/signet/principal"
)

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
