package s2s_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/signet-temporal/signet/principal"
	"github.com/signet-temporal/signet/principal/s2s"
)

// downstream is a service over TLS that remembers the requests it got.
type downstream struct {
	*httptest.Server
	answer func(w http.ResponseWriter, r *http.Request, body string)
	got    []*http.Request
	bodies []string
}

func newDownstream(t *testing.T) *downstream {
	t.Helper()
	d := &downstream{answer: func(http.ResponseWriter, *http.Request, string) {}}
	d.Server = httptest.NewTLSServer(d)
	t.Cleanup(d.Close)
	return d
}

func (d *downstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	d.got, d.bodies = append(d.got, r.Clone(context.Background())), append(d.bodies, string(body))
	d.answer(w, r, string(body))
}

func (d *downstream) host() string { return strings.TrimPrefix(d.URL, "https://") }

// caller is an http.Client that trusts d's certificate and shows credentials to hosts.
func (d *downstream) caller(t *testing.T, c s2s.Credentials, o s2s.TransportOptions) *http.Client {
	t.Helper()
	o.Base = d.Client().Transport
	transport, err := s2s.NewTransport(c, o)
	if err != nil {
		t.Fatal(err)
	}
	return &http.Client{Transport: transport}
}

func credentials(t testing.TB, src s2s.TokenSource) s2s.Credentials {
	return s2s.Credentials{Tokens: newCache(t, src, s2s.CacheOptions{}), Audience: "payments"}
}

func ann() principal.Principal {
	return principal.Principal{Kind: principal.KindUser, Issuer: "https://idp", Subject: "ann-17", Tenant: "acme", Txn: "t-1", IssuedAt: time.Now()}
}

func request(t testing.TB, ctx context.Context, method, url, body string) *http.Request {
	t.Helper()
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, method, url, reader)
	if err != nil {
		t.Fatal(err)
	}
	return req
}

func TestACallSaysWhoCallsAndForWhom(t *testing.T) {
	d := newDownstream(t)
	client := d.caller(t, credentials(t, &source{life: time.Hour}), s2s.TransportOptions{Hosts: []string{d.host()}})
	req := request(t, principal.NewContext(t.Context(), ann()), "POST", d.URL+"/pay?x=1", "body")
	req.Header = http.Header{ // what whoever called this service had sent, handed on without care
		"Authorization": {"Bearer of-the-user"}, "authorization": {"Bearer another"}, "X-Forwarded-User": {"eve"}, "X_forwarded_tenant": {"other"},
		"X-Forwarded-Assertion": {"old"}, "Accept": {"text/plain"},
		"Connection": {"X-Forwarded-Issuer"}, "connection": {"X-Forwarded-Tenant"},
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	got := d.got[0]
	for name, want := range map[string]string{
		"Authorization": "Bearer token-1", "X-Forwarded-User": "ann-17", "X-Forwarded-Issuer": "https://idp", "X-Forwarded-Tenant": "acme",
		"X-Forwarded-Txn": "t-1", "Accept": "text/plain", "X-Forwarded-Assertion": "", "X_forwarded_tenant": "", "Connection": "", "connection": "",
	} {
		if values := got.Header[name]; strings.Join(values, "|") != want {
			t.Errorf("%s is %q, want %q", name, values, want)
		}
	}
	if d.bodies[0] != "body" || got.URL.RawQuery != "x=1" {
		t.Errorf("got %s with %q", got.URL, d.bodies[0])
	}
	if req.Header.Get("X-Forwarded-User") != "eve" || req.Header.Get("Authorization") != "Bearer of-the-user" {
		t.Error("the caller's request was changed")
	}
}

func TestAServicePrincipalIsForwardedWithoutAnIssuer(t *testing.T) {
	d := newDownstream(t)
	client := d.caller(t, credentials(t, &source{life: time.Hour}), s2s.TransportOptions{Hosts: []string{d.host()}})
	resp, err := client.Do(request(t, principal.NewContext(t.Context(), principal.Service("nightly", "")), "GET", d.URL, ""))
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if h := d.got[0].Header; h.Get("X-Forwarded-User") != "nightly" || h["X-Forwarded-Issuer"] != nil || h["X-Forwarded-Tenant"] != nil || h["X-Forwarded-Txn"] != nil {
		t.Errorf("sent %v", h)
	}
}

func TestARequestForNobodyIsSentOnlyWhereThatIsAllowed(t *testing.T) {
	d := newDownstream(t)
	src := &source{life: time.Hour}
	strict := d.caller(t, credentials(t, src), s2s.TransportOptions{Hosts: []string{d.host()}})
	loose := credentials(t, src)
	loose.AllowAnonymous = true
	anonymous := d.caller(t, loose, s2s.TransportOptions{Hosts: []string{d.host()}})
	refused := context.WithValue(t.Context(), principal.Key{}, errors.New("forged"))
	withComma := ann()
	withComma.Subject = "ann,bob"
	withoutKind := ann()
	withoutKind.Kind = ""
	for name, c := range map[string]struct {
		client *http.Client
		ctx    context.Context
	}{
		"no principal":                  {strict, t.Context()},
		"a refused one":                 {strict, refused},
		"a refused one, anonymous":      {anonymous, refused},
		"one that a header cannot hold": {strict, principal.NewContext(t.Context(), withComma)},
		"a malformed one":               {anonymous, principal.NewContext(t.Context(), withoutKind)},
	} {
		if _, err := c.client.Do(request(t, c.ctx, "GET", d.URL, "")); !errors.Is(err, s2s.ErrRefused) {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := strict.Do(request(t, refused, "GET", d.URL, ""))
	if err == nil || !strings.Contains(err.Error(), "forged") {
		t.Errorf("a refused principal: %v, want to know why it was refused", err)
	}
	if src.asked() != 0 || len(d.got) != 0 {
		t.Errorf("refused requests asked for %d tokens, and %d were sent", src.asked(), len(d.got))
	}
	resp, err := anonymous.Do(request(t, t.Context(), "GET", d.URL, ""))
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if h := d.got[0].Header; h.Get("Authorization") == "" || h["X-Forwarded-User"] != nil {
		t.Errorf("sent %v", h)
	}
}

func TestCredentialsGoNowhereElse(t *testing.T) {
	here, there := newDownstream(t), newDownstream(t)
	clear := httptest.NewServer(there)
	defer clear.Close()
	to := map[string]string{"/there": there.URL, "/clear": clear.URL, "/same": here.URL + "/end", "/loop": here.URL + "/loop"}
	here.answer = func(w http.ResponseWriter, r *http.Request, _ string) {
		if url := to[r.URL.Path]; url != "" {
			http.Redirect(w, r, url, http.StatusTemporaryRedirect)
		}
	}
	c := credentials(t, &source{life: time.Hour})
	ctx := principal.NewContext(t.Context(), ann())
	one := here.caller(t, c, s2s.TransportOptions{Hosts: []string{here.host()}})
	both := here.caller(t, c, s2s.TransportOptions{Hosts: []string{here.host(), there.host()}, AllowLoopbackHTTP: true})
	for name, c := range map[string]struct {
		client    *http.Client
		url, want string
	}{
		"a host that is not listed":         {one, there.URL, "not listed"},
		"the same name, another port":       {one, "https://127.0.0.1/", "not listed"},
		"plain http":                        {one, "http://" + here.host(), "not https"},
		"plain http elsewhere":              {both, "http://192.0.2.1/", "not https"},
		"a name that begins with localhost": {both, "http://localhost.example.com/", "not https"},
		"another scheme":                    {both, "file:///etc/passwd", "not https"},
		"a redirect to an unlisted host":    {one, here.URL + "/there", "not listed"},
		"a redirect to a listed host":       {both, here.URL + "/there", "redirect"},
		"a redirect to plain http":          {one, here.URL + "/clear", "not https"},
	} {
		_, err := c.client.Do(request(t, ctx, "POST", c.url, "body"))
		if !errors.Is(err, s2s.ErrRefused) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := one.Transport.RoundTrip(&http.Request{Header: http.Header{}}); !errors.Is(err, s2s.ErrRefused) {
		t.Errorf("no URL: %v", err)
	}
	wrongHost := request(t, ctx, "GET", here.URL, "")
	wrongHost.Host = "admin.internal"
	if _, err := one.Do(wrongHost); !errors.Is(err, s2s.ErrRefused) {
		t.Errorf("another Host than that of the URL: %v", err)
	}
	if len(there.got) != 0 {
		t.Errorf("%d requests reached the other host: %v", len(there.got), there.got[0].Header)
	}
	before := len(here.got)
	resp, err := one.Do(request(t, ctx, "POST", here.URL+"/same", "body"))
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if last := here.got[len(here.got)-1]; len(here.got)-before != 2 || last.URL.Path != "/end" || last.Header.Get("X-Forwarded-User") != "ann-17" {
		t.Errorf("a redirect within the host ends at %s with %v", last.URL, last.Header)
	}
	if _, err := one.Do(request(t, ctx, "GET", here.URL+"/loop", "")); err == nil || errors.Is(err, s2s.ErrRefused) {
		t.Errorf("a redirect loop: %v, want the client's own error", err)
	}
}

func TestARedirectToTheSameHostWithoutTLSIsRefusedAlsoWhereThatMayBeCalled(t *testing.T) {
	transport, err := s2s.NewTransport(credentials(t, &source{life: time.Hour}), s2s.TransportOptions{Hosts: []string{"localhost"}, Base: instant, AllowLoopbackHTTP: true})
	if err != nil {
		t.Fatal(err)
	}
	ctx := principal.NewContext(t.Context(), ann())
	direct := request(t, ctx, "GET", "http://localhost/", "")
	if _, err := transport.RoundTrip(direct); err != nil {
		t.Errorf("called directly: %v", err)
	}
	direct.Response = &http.Response{Request: request(t, ctx, "GET", "https://localhost/", "")}
	if _, err := transport.RoundTrip(direct); !errors.Is(err, s2s.ErrRefused) {
		t.Errorf("after a redirect from https: %v", err)
	}
}

func TestALoopbackAddressMayBeCalledInClearWhereThatIsAllowed(t *testing.T) {
	d := newDownstream(t)
	clear := httptest.NewServer(d)
	defer clear.Close()
	client := d.caller(t, credentials(t, &source{life: time.Hour}), s2s.TransportOptions{Hosts: []string{strings.TrimPrefix(clear.URL, "http://")}, AllowLoopbackHTTP: true})
	resp, err := client.Do(request(t, principal.NewContext(t.Context(), ann()), "GET", clear.URL, ""))
	if err != nil || len(d.got) != 1 {
		t.Fatalf("%v, %d requests", err, len(d.got))
	}
	_ = resp.Body.Close()
}

// once is a body that cannot be had again.
type once struct{ io.Reader }

func TestARefusedTokenIsReplacedAndTheRequestRepeatedOnce(t *testing.T) {
	for name, c := range map[string]struct {
		age    time.Duration // of the token when it is refused
		body   func() io.Reader
		accept string // the token that the service accepts
		sent   int
		status int
	}{
		"with a body":                      {time.Minute, func() io.Reader { return strings.NewReader("body") }, "token-2", 2, 200},
		"without one":                      {time.Minute, func() io.Reader { return nil }, "token-2", 2, 200},
		"with a body that is there once":   {time.Minute, func() io.Reader { return once{strings.NewReader("body")} }, "token-2", 1, 401},
		"by a service that accepts none":   {time.Minute, func() io.Reader { return nil }, "", 2, 401},
		"though the token was just minted": {time.Second, func() io.Reader { return nil }, "token-2", 1, 401},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var bodies []string
				var answers []*closer
				service := roundTripper(func(r *http.Request) (*http.Response, error) {
					answers = append(answers, &closer{Reader: strings.NewReader("answer")})
					answer := &http.Response{StatusCode: http.StatusOK, Body: answers[len(answers)-1], Request: r}
					if r.Header.Get("Authorization") != "Bearer "+c.accept {
						answer.StatusCode = http.StatusUnauthorized
					}
					if r.Body == nil {
						bodies = append(bodies, "")
						return answer, nil
					}
					body, err := io.ReadAll(r.Body)
					bodies = append(bodies, string(body))
					return answer, err
				})
				cache := newCache(t, &source{life: time.Hour}, s2s.CacheOptions{})
				transport, err := s2s.NewTransport(s2s.Credentials{Tokens: cache, Audience: "payments"}, s2s.TransportOptions{Hosts: []string{"payments"}, Base: service})
				if err != nil {
					t.Fatal(err)
				}
				wantToken(t, cache, "token-1")
				time.Sleep(c.age)
				body := c.body()
				resp, err := transport.RoundTrip(requestOf(t, principal.NewContext(t.Context(), ann()), "https://payments", body))
				if err != nil {
					t.Fatal(err)
				}
				if text, err := io.ReadAll(resp.Body); err != nil || string(text) != "answer" {
					t.Errorf("the answer reads %q, %v", text, err)
				}
				if len(bodies) != c.sent || resp.StatusCode != c.status {
					t.Errorf("%d requests and then %d, want %d and %d", len(bodies), resp.StatusCode, c.sent, c.status)
				}
				if c.sent == 2 && !answers[0].closed {
					t.Error("the first answer is left open")
				}
				for _, got := range bodies {
					if body != nil && got != "body" {
						t.Errorf("a request with the body %q", got)
					}
				}
			})
		})
	}
}

func requestOf(t *testing.T, ctx context.Context, url string, body io.Reader) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, "POST", url, body)
	if err != nil {
		t.Fatal(err)
	}
	return req
}

// closer tells whether a body was closed.
type closer struct {
	io.Reader
	closed bool
}

func (c *closer) Close() error { c.closed = true; return nil }

func TestARefusedRequestHasItsBodyClosed(t *testing.T) {
	transport, err := s2s.NewTransport(credentials(t, &source{down: errors.New("down")}), s2s.TransportOptions{Hosts: []string{"payments"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, url := range []string{"http://payments", "https://payments"} {
		body := &closer{Reader: strings.NewReader("x")}
		if _, err := transport.RoundTrip(requestOf(t, principal.NewContext(t.Context(), ann()), url, body)); err == nil || !body.closed {
			t.Errorf("%s: %v, closed: %v", url, err, body.closed)
		}
	}
}

func TestATransportThatCouldSendToAnybodyIsNotMade(t *testing.T) {
	good := credentials(t, &source{})
	for name, c := range map[string]struct {
		c     s2s.Credentials
		hosts []string
	}{
		"no hosts":    {good, nil},
		"a pattern":   {good, []string{"*.internal"}},
		"a URL":       {good, []string{"https://payments"}},
		"a path":      {good, []string{"payments/x"}},
		"empty":       {good, []string{""}},
		"a port":      {good, []string{":443"}},
		"a user":      {good, []string{"a@payments"}},
		"no tokens":   {s2s.Credentials{Audience: "payments"}, []string{"payments"}},
		"no audience": {s2s.Credentials{Tokens: good.Tokens}, []string{"payments"}},
	} {
		if _, err := s2s.NewTransport(c.c, s2s.TransportOptions{Hosts: c.hosts}); err == nil || !strings.HasPrefix(err.Error(), "s2s.NewTransport: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAHostIsTheSameInAnyCaseAndWithTheUsualPort(t *testing.T) {
	var asked []string
	base := roundTripper(func(r *http.Request) (*http.Response, error) {
		asked = append(asked, r.URL.Host)
		return &http.Response{StatusCode: 200, Body: http.NoBody, Request: r}, nil
	})
	transport, err := s2s.NewTransport(credentials(t, &source{life: time.Hour}), s2s.TransportOptions{Hosts: []string{"Payments.internal:443", "[::1]:8443"}, Base: base})
	if err != nil {
		t.Fatal(err)
	}
	for _, url := range []string{"https://payments.internal", "https://PAYMENTS.internal:443/", "https://[::1]:8443/"} {
		if _, err := transport.RoundTrip(request(t, principal.NewContext(t.Context(), ann()), "GET", url, "")); err != nil {
			t.Error(err)
		}
	}
	if len(asked) != 3 {
		t.Errorf("asked %q", asked)
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
