package ui

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"

	"github.com/signet-temporal/signet/e2e/stack"
)

// traffic is what the network of a browser did. It keeps no tokens, so that none gets into the output of a test.
type traffic struct {
	mu    sync.Mutex
	byID  map[network.RequestID]*exchange
	order []*exchange
	last  time.Time // when anything happened
}

// exchange is one request and what became of it.
type exchange struct {
	method, url string
	asks        []string // lower case, the headers that a preflight asks for
	bearer      bool     // it had an Authorization header
	status      int64    // 0: no answer
	protocol    string   // of the answer, such as h2
	issuer      string   // who signed the certificate that the browser checked
	refused     string   // why the browser did not let the page have the answer: a CORS or network error
	ended       bool
}

func newTraffic() *traffic { return &traffic{byID: map[network.RequestID]*exchange{}} }

// event is called by chromedp for everything that happens in the tab.
func (f *traffic) event(ev any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch e := ev.(type) {
	case *network.EventRequestWillBeSent:
		x := &exchange{method: e.Request.Method, url: e.Request.URL}
		for name, value := range e.Request.Headers {
			switch strings.ToLower(name) {
			case "authorization":
				x.bearer = true
			case "access-control-request-headers":
				x.asks = strings.Split(fmt.Sprint(value), ",")
			}
		}
		f.byID[e.RequestID], f.order = x, append(f.order, x)
	case *network.EventResponseReceived:
		if x := f.byID[e.RequestID]; x != nil {
			x.status, x.protocol = e.Response.Status, e.Response.Protocol
			x.ended = x.status >= 400 // the page does not read the body of an error, and without that it never ends
			if e.Response.SecurityDetails != nil {
				x.issuer = e.Response.SecurityDetails.Issuer
			}
		}
	case *network.EventLoadingFinished:
		if x := f.byID[e.RequestID]; x != nil {
			x.ended = true
		}
	case *network.EventLoadingFailed:
		if x := f.byID[e.RequestID]; x != nil {
			x.ended, x.refused = true, e.ErrorText
			if e.CorsErrorStatus != nil {
				x.refused += " " + string(e.CorsErrorStatus.CorsError)
			}
		}
	default:
		return
	}
	f.last = time.Now()
}

// with returns the exchanges of a method with a server, in the order of their requests.
func (f *traffic) with(method, server string) []exchange {
	f.mu.Lock()
	defer f.mu.Unlock()
	var found []exchange
	for _, x := range f.order {
		if x.method == method && strings.HasPrefix(x.url, server+"/") {
			found = append(found, *x)
		}
	}
	return found
}

// forget drops what has been seen so far.
func (f *traffic) forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.order = nil
}

// awaitQuiet waits until the page has asked the server atLeast times, every answer is there, and the page has not
// used the network for a second: what it shows then is what it will go on showing.
func (f *traffic) awaitQuiet(t *testing.T, method, server string, atLeast int) {
	t.Helper()
	stack.Eventually(t, patience, func() error {
		all := f.with(method, server)
		open := slices.DeleteFunc(all, func(x exchange) bool { return x.ended })
		f.mu.Lock()
		since := time.Since(f.last)
		f.mu.Unlock()
		if len(all) < atLeast || len(open) > 0 || since < time.Second {
			return fmt.Errorf("the page has sent %d %s requests to %s of at least %d, %d are open, the last event was %s ago",
				len(all), method, server, atLeast, len(open), since)
		}
		return nil
	})
}
