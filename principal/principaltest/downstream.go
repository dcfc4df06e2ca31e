package principaltest

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/signet-temporal/signet/principal"
	"github.com/signet-temporal/signet/principal/internal/forwarded"
)

// Downstream is a service that an activity calls, over TLS. It keeps for whom it was called, and believes everybody: who
// may forward is checked by principal/s2s in a real one.
type Downstream struct {
	*httptest.Server // Client and Certificate are for those who call it
	mu               sync.Mutex
	calls            []Call
}

// Call is one request to a [Downstream].
type Call struct {
	Method, Path string
	// For is on whose behalf the call was made, as the headers have it; the zero value where there were none. Headers do
	// not carry times, so compare with Same.
	For principal.Principal
	// Token is the caller's own, of the Authorization header, without "Bearer ". "" where there was none.
	Token string
}

// NewDownstream starts a service that ends with the test. Its answers are those of next; nil: 204 and nothing else.
func NewDownstream(t testing.TB, next http.Handler) *Downstream {
	t.Helper()
	d := &Downstream{}
	d.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d.record(r)
		if next == nil {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		next.ServeHTTP(w, r)
	}))
	t.Cleanup(d.Close)
	return d
}

func (d *Downstream) record(r *http.Request) {
	c := Call{Method: r.Method, Path: r.URL.Path}
	if user := r.Header.Get(forwarded.User); user != "" {
		c.For = principal.Principal{Kind: principal.KindUser, Issuer: r.Header.Get(forwarded.Issuer), Subject: user,
			Tenant: r.Header.Get(forwarded.Tenant), Txn: r.Header.Get(forwarded.Txn)}
		if c.For.Issuer == "" {
			c.For.Kind = principal.KindService
		}
	}
	c.Token, _ = strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	d.mu.Lock()
	defer d.mu.Unlock()
	d.calls = append(d.calls, c)
}

// Calls returns the calls so far, the oldest first.
func (d *Downstream) Calls() []Call {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.calls)
}
