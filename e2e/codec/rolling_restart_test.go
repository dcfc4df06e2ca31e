package codec_test

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/signet-temporal/signet/e2e/stack"
)

// balancer sends each request to one of the servers that said lately that they are ready, in turn, and never twice.
type balancer struct {
	servers []*stack.Server
	urls    []string // which a restart leaves as they are, and writes
	proxies []*httputil.ReverseProxy
	ready   []atomic.Bool
	served  []atomic.Int64
	turn    atomic.Int64
}

func newBalancer(t *testing.T, servers ...*stack.Server) *balancer {
	t.Helper()
	b := &balancer{servers: servers, ready: make([]atomic.Bool, len(servers)), served: make([]atomic.Int64, len(servers))}
	for _, server := range servers {
		to, err := url.Parse(server.URL)
		if err != nil {
			t.Fatal(err)
		}
		proxy := httputil.NewSingleHostReverseProxy(to)
		proxy.Transport = server.HTTP.Transport
		b.proxies = append(b.proxies, proxy)
		b.urls = append(b.urls, server.URL)
	}
	return b
}

// watch asks for readiness ten times a second, until done is closed.
func (b *balancer) watch(done chan struct{}) {
	for {
		for i, server := range b.servers {
			res, err := server.HTTP.Get(b.urls[i] + "/readyz")
			if err == nil {
				_ = res.Body.Close()
			}
			b.ready[i].Store(err == nil && res.StatusCode == http.StatusOK)
		}
		select {
		case <-done:
			return
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (b *balancer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	turn := int(b.turn.Add(1))
	for k := range b.servers {
		i := (turn + k) % len(b.servers)
		if b.ready[i].Load() {
			b.served[i].Add(1)
			b.proxies[i].ServeHTTP(w, r)
			return
		}
	}
	http.Error(w, "no server is ready", http.StatusBadGateway)
}

// TestARollingRestartUnderLoadDropsNoRequest: two servers behind a balancer behave as one, and each can be restarted
// while people read.
func TestARollingRestartUnderLoadDropsNoRequest(t *testing.T) {
	s := startStack(t)
	ports := []int{stack.FreePort(t), stack.FreePort(t)}
	servers := make([]*stack.Server, 2)
	for i := range servers {
		servers[i] = s.Server(t, stack.ServerOptions{Port: ports[i], StopDelay: 2 * time.Second, PayloadBurst: 1_000_000})
	}
	b := newBalancer(t, servers...)
	done := make(chan struct{})
	var watching, reading sync.WaitGroup
	watching.Go(func() { b.watch(done) })
	for !b.ready[0].Load() || !b.ready[1].Load() {
		time.Sleep(10 * time.Millisecond)
	}
	front := httptest.NewServer(b)
	defer front.Close()

	alice, bob := s.Token(t, "alice"), s.Token(t, "bob")
	payload := sealed(t, s, "payments", "order-4711", "4711 euros")
	var asked, wrong atomic.Int64
	stop := make(chan struct{})
	for i := range 6 {
		token, want := alice, "200 \"4711 euros\""
		if i%3 == 2 {
			token, want = bob, "403 "
		}
		reading.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				asked.Add(1)
				if got := decodeAt(front.Client(), front.URL, token, payload); got != want {
					wrong.Add(1)
					t.Errorf("got %s, want %s", got, want)
				}
			}
		})
	}
	for i, server := range servers {
		time.Sleep(time.Second)
		before := b.served[1-i].Load()
		if code := server.Stop(); code != 0 {
			t.Errorf("server %d ended with code %d", i, code)
		}
		if b.served[1-i].Load() == before {
			t.Errorf("nobody was served while server %d stopped", i)
		}
		server.Restart(t)
		for deadline := time.Now().Add(20 * time.Second); !b.ready[i].Load() && time.Now().Before(deadline); {
			time.Sleep(10 * time.Millisecond)
		}
	}
	time.Sleep(time.Second)
	close(stop)
	reading.Wait()
	close(done)
	watching.Wait()
	if wrong.Load() > 0 || asked.Load() < 100 || b.served[0].Load() < 30 || b.served[1].Load() < 30 {
		t.Errorf("%d requests, %d of them wrong; %d and %d to each server", asked.Load(), wrong.Load(), b.served[0].Load(), b.served[1].Load())
	}
	t.Logf("%d requests, %d and %d to each server, through two restarts", asked.Load(), b.served[0].Load(), b.served[1].Load())
	for _, server := range servers {
		if out, err := verifyAudit(t, server); err != nil || !strings.Contains(out, "the chain is whole") {
			t.Errorf("audit: %v: %s", err, out)
		}
	}
}
