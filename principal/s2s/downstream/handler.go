package downstream

import (
	"net/http"

	"github.com/signet-temporal/signet/principal/internal/forwarded"
)

// Handler returns a handler that lets in what the gate admits. next sees the request without the token and without the
// forwarded headers; what they said is in its context.
func (g *Gate) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := r.Header.Clone()
		s := take(header)
		// Nobody who checks looks at trailers, and somebody who does not may.
		for name := range r.Trailer {
			if forwarded.Is(name) {
				s.badClaims = malformed("%.40q is a trailer", name)
			}
		}
		ctx, refusal := g.admit(r.Context(), s)
		if refusal != nil {
			refuse(w, refusal)
			return
		}
		r = r.WithContext(ctx)
		r.Header = header
		forwarded.StripTrailers(r)
		next.ServeHTTP(w, r)
	})
}

func refuse(w http.ResponseWriter, refusal *Refusal) {
	if refusal.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", refusal.challenge())
	}
	w.Header().Set("Cache-Control", "no-store")
	http.Error(w, refusal.Public(), refusal.Status)
}
