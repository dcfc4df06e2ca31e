package verify

import (
	"fmt"
	"maps"
	"net/http"

	"github.com/signet-temporal/signet/principal/internal/forwarded"
)

// Handler returns a handler that passes on to next the requests whose token verifies: with a principal in the context, and
// without the token. The others get an answer of one line of JSON, {"error":"<code>"}, where the code is a [Code]: status
// 401 with a challenge as RFC 6750 has it, 403 where the token is good but does not say for whom ([UnfitClaims]), and 503
// with Retry-After when the issuer's keys cannot be fetched.
//
// It reads the Authorization header and nothing else: no token in the URL, in a cookie or in the body. A browser's CORS
// preflight has no token, so what answers that has to stand before.
func (e *Edge) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, refused := e.admit(r.Context(), r.Header.Values("Authorization"))
		if refused != nil {
			answer(w, refused.Code)
			return
		}
		r = r.WithContext(ctx)
		r.Header = maps.Clone(r.Header)
		drop(r.Header)
		forwarded.StripTrailers(r)
		next.ServeHTTP(w, r)
	})
}

func answer(w http.ResponseWriter, code Code) {
	status := http.StatusUnauthorized
	switch code {
	case IssuerUnavailable:
		status = http.StatusServiceUnavailable
		w.Header().Set("Retry-After", "5")
	case UnfitClaims:
		status = http.StatusForbidden
	case MissingToken:
		w.Header().Set("WWW-Authenticate", "Bearer")
	default:
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer error="invalid_token", error_description="%s"`, code))
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, "{\"error\":%q}\n", code)
}
