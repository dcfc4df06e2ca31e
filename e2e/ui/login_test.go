package ui

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/signet-temporal/signet/e2e/stack"
	"github.com/signet-temporal/signet/tools/parts"
)

const sessionCookie = "__Host-signet-session"

// balancer sends each request to the next of several servers.
type balancer struct {
	url      string // http://localhost:<port>: no certificate
	backends atomic.Pointer[[]*url.URL]
	turn     atomic.Int64
	fault    atomic.Pointer[http.HandlerFunc] // answers instead, what it is for; nil: none
}

func newBalancer(t *testing.T) *balancer {
	t.Helper()
	b := &balancer{}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		all := *b.backends.Load()
		r.SetURL(all[int(b.turn.Add(1))%len(all)])
		r.Out.Host = r.In.Host
	}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if f := b.fault.Load(); f != nil && (r.Method == http.MethodOptions || r.URL.Path == "/decode" || r.URL.Path == "/readyz") {
			(*f)(w, r)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	b.url = strings.Replace(server.URL, "127.0.0.1", "localhost", 1)
	return b
}

func (b *balancer) to(t *testing.T, servers ...*stack.Server) {
	t.Helper()
	var all []*url.URL
	for _, s := range servers {
		u, err := url.Parse(s.URL)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, u)
	}
	b.backends.Store(&all)
}

// byCookie is a Web UI without a login of its own, which has browsers send the codec server's cookie.
func byCookie() setting { return setting{withoutLogin: true, cookies: true} }

// replicated is a world with two signet-servers behind a balancer where people log in.
func replicated(t *testing.T, maxAge time.Duration) (*world, *balancer, *stack.Server) {
	t.Helper()
	front := newBalancer(t)
	w := newWorld(t, stack.ServerOptions{AllowCredentials: true, Login: &stack.Login{URL: front.url, Ended: filepath.Join(t.TempDir(), "ended"), MaxAge: maxAge}}, byCookie())
	second := w.asked
	var err error
	if second.Port, err = parts.FreePort(); err != nil {
		t.Fatal(err)
	}
	other := w.Server(t, second)
	front.to(t, w.server, other)
	return w, front, other
}

// logInToCodec goes to the codec server's page and logs in, as a person does.
func (b *browser) logInToCodec(codec, user string) {
	b.t.Helper()
	b.awaitQuiet(b.t, "POST", codec, 0) // what a page has asked for when it is left is never answered
	b.forget()
	b.open(codec + "/login")
	b.awaitText("Log in")
	b.click("#start")
	b.click("#username")
	b.paste("#username", user)
	b.paste("#password", user+"-password")
	b.click("#login")
	b.awaitText("You are logged in", user+"@example.com")
}

func TestLoggedInToTheCodecServerThePageIsDecoded(t *testing.T) {
	t.Parallel()
	w, front, other := replicated(t, 0)
	orders := w.worker(t, "orders", func(r worker.Registry) {
		r.RegisterWorkflowWithOptions(runEcho, workflow.RegisterOptions{Name: "echo"})
	})
	for _, v := range versions() {
		t.Run(string(v), func(t *testing.T) {
			ui, b := w.uis[v][byCookie()], openBrowser(t, "")
			b.open(w.page(ui, "history"))
			b.awaitText("Log in at "+front.url+"/login and reload this page", "missing-token")
			b.holdsNothing()
			b.screenshot("before")
			if preflights := b.with("OPTIONS", front.url); len(preflights) == 0 || preflights[0].status != 204 || strings.Contains(strings.Join(preflights[0].asks, ","), "authorization") {
				t.Errorf("preflights: %+v", preflights)
			}

			b.logInToCodec(front.url, "alice")
			b.screenshot("login")
			b.forget()
			b.open(w.page(ui, "history"))
			b.awaitText(inputSecret, resultSecret, summarySecret)
			b.rendered()
			b.awaitQuiet(t, "POST", front.url, 3)
			b.screenshot("history")
			for _, x := range b.with("POST", front.url) {
				if x.status != 200 || x.bearer || x.refused != "" {
					t.Errorf("decode: %+v", x)
				}
			}
			for i, server := range []*stack.Server{w.server, other} {
				seen := 0
				for _, r := range server.Audit(t) {
					if r.Subject != "u-alice" {
						continue
					}
					if seen++; r.Decision != "allow" || r.Issuer != w.OIDC.Issuer || r.Email != "alice@example.com" || r.Rule != "payments-oncall" || r.Workflow != workflowID || r.Agent != "browser" {
						t.Errorf("audit has %+v", r)
					}
				}
				if seen == 0 {
					t.Errorf("replica %d has decoded nothing for alice", i)
				}
			}

			session := b.session(front.url)
			if got := w.replay(t, front, ui, session); !strings.Contains(got, "input-7c1e") {
				t.Fatalf("the session does not count outside of the browser either, so that its replay proves nothing: %s", got)
			}
			if got := w.replay(t, front, ui, session, "Authorization", "Bearer x"); !strings.Contains(got, "malformed-token") || strings.Contains(got, "7c1e") {
				t.Errorf("a session mends a bad token: %s", got)
			}
			if got := w.replay(t, front, "https://evil.example", session); !strings.Contains(got, "origin-not-allowed") || strings.Contains(got, "7c1e") {
				t.Errorf("a page of another origin gets %s", got)
			}
			b.open(front.url + "/login")
			b.click("#logout")
			b.awaitText("Log in to the codec server")
			b.forget() // the form was sent, and answered with a redirect, which the traffic knows as another request
			if kept := b.session(front.url); kept != "" {
				t.Error("the browser has kept the cookie")
			}
			b.open(w.page(ui, "history"))
			b.awaitText("Log in at "+front.url+"/login", "missing-token")
			b.holdsNothing()
			for range 2 { // at each replica
				if got := w.replay(t, front, ui, session); !strings.Contains(got, "ended-session") || strings.Contains(got, "7c1e") {
					t.Errorf("the session of before the logout gets %s", got)
				}
			}

			b.logInToCodec(front.url, "bob")
			b.open(w.page(ui, "history"))
			b.awaitText("You may not decode payloads of namespace", "bob@example.com", "not-granted")
			b.awaitQuiet(t, "POST", front.url, 3)
			b.holdsNothing()
			b.screenshot("bob")
			id := "by-cookie-" + string(v)
			b.startWorkflow(w, ui, "orders", id, "echo")
			b.awaitText("Workflow started successfully")
			var result string
			if err := orders.GetWorkflow(t.Context(), id, "").Get(t.Context(), &result); err != nil || result != "read "+typedSecret {
				t.Errorf("the worker got %q, %v", result, err)
			}
			w.storedNowhere(t, typedSecret)
			for _, server := range []*stack.Server{w.server, other} {
				if strings.Contains(server.Log(), session) {
					t.Error("the log holds the session")
				}
			}
		})
	}
}

func TestAnExpiredSessionIsExplained(t *testing.T) {
	t.Parallel()
	const maxAge = 2 * time.Second
	w, front, _ := replicated(t, maxAge)
	for _, v := range versions() {
		t.Run(string(v), func(t *testing.T) {
			ui, b := w.uis[v][byCookie()], openBrowser(t, "")
			b.open(front.url + "/login/start")
			b.click("#username")
			b.paste("#username", "alice")
			b.paste("#password", "alice-password")
			b.click("#login")
			stack.Eventually(t, patience, func() error {
				if b.session(front.url) == "" {
					return fmt.Errorf("there is no session yet")
				}
				return nil
			})
			time.Sleep(maxAge + time.Second) // nothing tells of it: the browser keeps the cookie
			b.open(w.page(ui, "history"))
			b.awaitText("Log in at "+front.url+"/login and reload this page: your login has expired", "expired-session")
			b.awaitQuiet(t, "POST", front.url, 3)
			b.holdsNothing()
			b.screenshot("history")
			b.open(front.url + "/login")
			b.awaitText("Your session has expired")
			b.screenshot("login")
		})
	}
}

func TestAPageOfAnotherSiteSendsNoSession(t *testing.T) {
	t.Parallel()
	w, front, _ := replicated(t, 0)
	// The same Web UI under another host is on another site, also for a server that allows its origin.
	for _, v := range versions() {
		t.Run(string(v), func(t *testing.T) {
			b := openBrowser(t, "")
			b.logInToCodec(front.url, "alice")
			ui := strings.Replace(w.uis[v][byCookie()], "localhost", "127.0.0.1", 1)
			b.open(w.page(ui, "history"))
			b.awaitText("missing-token")
			b.awaitQuiet(t, "POST", front.url, 3)
			b.holdsNothing()
		})
	}
}

// session returns the value of the session's cookie that the browser has for a server.
func (b *browser) session(server string) string {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	got, err := chromedp.Call(ctx, network.GetCookies, network.GetCookiesParams{URLs: []string{server + "/login"}})
	if err != nil {
		b.t.Fatal(err)
	}
	for _, c := range got.Cookies {
		if c.Name == sessionCookie {
			if !c.HTTPOnly || !c.Secure || c.SameSite != network.CookieSameSiteLax {
				b.t.Errorf("the cookie is HttpOnly %t, Secure %t, SameSite %s", c.HTTPOnly, c.Secure, c.SameSite)
			}
			return c.Value
		}
	}
	return ""
}

// replay asks for the workflow's input with a session, as from another computer, with a header more if there is one. It
// returns the answer with its data in clear.
func (w *world) replay(t *testing.T, front *balancer, origin, session string, header ...string) string {
	t.Helper()
	input := w.firstEvent(t, "payments", workflowID).GetInput()
	body, err := protojsonOf(input)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, front.url+"/decode", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Origin", origin)
	if len(header) == 2 {
		r.Header.Set(header[0], header[1])
	}
	r.Header.Set("Content-Type", "application/json")
	r.AddCookie(&http.Cookie{Name: sessionCookie, Value: session})
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return dataOf(text)
}
