package stack

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
)

// Proxy is an HTTP proxy in front of the stack's Vault: it counts what passes, and it can be cut, as a network is.
type Proxy struct {
	Address string // to give to programs in place of Vault's

	cut   atomic.Bool
	mu    sync.Mutex
	paths []string
}

// Proxy starts a proxy that ends with the test.
func (s *Stack) Proxy(t *testing.T) *Proxy {
	t.Helper()
	target, err := url.Parse(s.Vault.Address)
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{}
	forward := &httputil.ReverseProxy{
		Rewrite:      func(r *httputil.ProxyRequest) { r.SetURL(target) },
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) }, // as Vault itself would
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p.cut.Load() {
			panic(http.ErrAbortHandler) // closes the connection without an answer
		}
		p.mu.Lock()
		p.paths = append(p.paths, r.Method+" "+r.URL.Path)
		p.mu.Unlock()
		forward.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	p.Address = server.URL
	return p
}

// Cut closes every connection without an answer from now on; Mend ends that.
func (p *Proxy) Cut() { p.cut.Store(true) }

// Mend ends a Cut.
func (p *Proxy) Mend() { p.cut.Store(false) }

// Requests returns method and path of every request that was forwarded.
func (p *Proxy) Requests() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.paths...)
}
