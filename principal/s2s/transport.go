package s2s

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/signet-temporal/signet/internal/loopback"
)

// TransportOptions says where a [Transport] may send credentials. Hosts is required; the zero value of every other field
// is the safe choice.
type TransportOptions struct {
	// Hosts that may be called, such as "payments.internal" or "payments.internal:8443": exact names, no patterns. All of
	// them get tokens for the same audience and see for whom the call is made.
	Hosts []string
	// Base makes the requests; nil means http.DefaultTransport.
	Base http.RoundTripper
	// AllowLoopbackHTTP lets requests without TLS go to a loopback address: a sidecar, or a test.
	AllowLoopbackHTTP bool
}

// Transport is an http.RoundTripper that shows a service's credentials with every request, for the principal in the
// request's context. Whatever the caller set of those headers is removed.
//
// It refuses to send them without TLS, to a host that is not listed, and after a redirect to another host, listed or not:
// who is called is for this service to decide, and not for another. The error matches [ErrRefused], and nothing was sent.
// After a 401 it has the cache drop the token and tries once more, if the body can be had again.
type Transport struct {
	credentials Credentials
	hosts       map[string]bool
	base        http.RoundTripper
	loopback    bool
}

// NewTransport returns a transport, for http.Client.Transport.
func NewTransport(c Credentials, o TransportOptions) (*Transport, error) {
	if err := c.Check(); err != nil {
		return nil, fmt.Errorf("s2s.NewTransport: %w", err)
	}
	if len(o.Hosts) == 0 {
		return nil, errors.New("s2s.NewTransport: no Hosts: list those that may see the credentials")
	}
	t := &Transport{credentials: c, hosts: map[string]bool{}, base: o.Base, loopback: o.AllowLoopbackHTTP}
	for _, host := range o.Hosts {
		at, err := url.Parse("https://" + host)
		if err != nil || at.Host != host || at.Hostname() == "" || strings.ContainsAny(host, "*,") {
			return nil, fmt.Errorf("s2s.NewTransport: %.100q in Hosts is not a host: write it like payments.internal or payments.internal:8443", host)
		}
		t.hosts[plain(at)] = true
	}
	if t.base == nil {
		t.base = http.DefaultTransport
	}
	return t, nil
}

// RoundTrip implements http.RoundTripper. A client calls it for every hop of a redirect anew.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := t.check(req); err != nil {
		closeBody(req)
		return nil, err
	}
	out, token, err := t.signed(req)
	if err != nil {
		closeBody(req)
		return nil, err
	}
	resp, err := t.base.RoundTrip(out)
	if err != nil || resp.StatusCode != http.StatusUnauthorized {
		return resp, err
	}
	again := t.again(req, token)
	if again == nil {
		return resp, nil
	}
	_, _ = io.CopyN(io.Discard, resp.Body, 4<<10) // so that the connection can be used again
	_ = resp.Body.Close()
	return t.base.RoundTrip(again)
}

// check says why req must not carry credentials.
func (t *Transport) check(req *http.Request) error {
	if req.URL == nil {
		return refuse(nil, "the request has no URL")
	}
	host := plain(req.URL)
	switch {
	case req.URL.Scheme != "https" && (req.URL.Scheme != "http" || !t.loopback || !loopback.Is(req.URL.Hostname())):
		return refuse(nil, "%.100q is not https: credentials are not sent in clear", req.URL.Scheme+"://"+req.URL.Host)
	case !t.hosts[host]:
		return refuse(nil, "host %.100q is not listed in Hosts", req.URL.Host)
	case req.Host != "" && !strings.EqualFold(req.Host, req.URL.Host):
		return refuse(nil, "the request's Host %.100q is not that of its URL", req.Host)
	}
	// Response is the answer that redirected the client here.
	if from := req.Response; from != nil && (from.Request == nil || plain(from.Request.URL) != host || from.Request.URL.Scheme != req.URL.Scheme) {
		return refuse(nil, "a redirect leads to another host, %.100q: call that one directly if it is to see the credentials", req.URL.Host)
	}
	return nil
}

// signed returns a copy of req that carries credentials.
func (t *Transport) signed(req *http.Request) (*http.Request, Token, error) {
	out := req.WithContext(req.Context()) // a RoundTripper must not change the request
	out.Header = make(http.Header, len(req.Header)+6)
	maps.Copy(out.Header, req.Header)
	Strip(out.Header)
	for name := range out.Header {
		if strings.EqualFold(name, "Connection") { // it could name ours as headers that the next proxy has to remove
			delete(out.Header, name)
		}
	}
	token, err := t.credentials.Write(req.Context(), func(name, value string) { out.Header[name] = []string{value} })
	return out, token, err
}

// again returns req once more with another token, or nil if it cannot be repeated or there is no other token.
func (t *Transport) again(req *http.Request, refused Token) *http.Request {
	dropper, ok := t.credentials.Tokens.(interface{ Drop(string, Token) bool })
	if !ok || !dropper.Drop(t.credentials.Audience, refused) {
		return nil
	}
	hasBody := req.Body != nil && req.Body != http.NoBody
	if hasBody && req.GetBody == nil {
		return nil
	}
	out, token, err := t.signed(req)
	if err != nil || token.Reveal() == refused.Reveal() {
		return nil
	}
	if hasBody {
		if out.Body, err = req.GetBody(); err != nil {
			return nil
		}
	}
	return out
}

// plain is the host of u in lower case, without the port that its scheme has anyway.
func plain(u *url.URL) string {
	host, port := strings.ToLower(u.Hostname()), u.Port()
	if port == "" || u.Scheme == "https" && port == "443" {
		return host
	}
	return net.JoinHostPort(host, port)
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		_ = req.Body.Close()
	}
}
