package codecserver_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/signet-temporal/signet/codecserver"
)

func preflight(origin string, more ...string) ask {
	h := map[string]string{"Origin": origin, "Access-Control-Request-Method": "POST",
		"Access-Control-Request-Headers": "authorization,authorization-extras,content-type,x-namespace"}
	for i := 0; i < len(more); i += 2 {
		h[more[i]] = more[i+1]
	}
	return ask{http.MethodOptions, "/decode?preserveStorageRefs=true", "", h}
}

func TestAPreflightOfAnAllowedOriginIsAnsweredWithoutALogin(t *testing.T) {
	w := newWorld(t)
	for _, path := range []string{"/decode", "/x/encode", "/download"} {
		a := preflight(ui)
		a.path = path
		r := w.send(a).want(http.StatusNoContent)
		for name, want := range map[string]string{
			"Access-Control-Allow-Origin":          ui,
			"Access-Control-Allow-Methods":         "POST",
			"Access-Control-Allow-Headers":         "Authorization, Authorization-Extras, Content-Type, X-Namespace",
			"Access-Control-Max-Age":               "7200",
			"Vary":                                 "Origin",
			"Access-Control-Allow-Credentials":     "",
			"Access-Control-Allow-Private-Network": "",
		} {
			if got := r.Header.Get(name); got != want {
				t.Errorf("%s: %s = %q, want %q", path, name, got, want)
			}
		}
	}
	if r := w.send(preflight(ui, "Access-Control-Request-Private-Network", "true")); r.Header.Get("Access-Control-Allow-Private-Network") != "true" {
		t.Error("a preflight for a private network is not answered")
	}
	w.wantAudit()
}

func TestCredentialsAreAllowedOnlyWhereTheConfigurationSaysSo(t *testing.T) {
	w := newWorld(t, func(c *codecserver.Config) { c.CORS.AllowCredentials = true })
	for _, a := range []ask{preflight(ui), fromUI("ann", "decode", "{}")} {
		if got := w.send(a).Header.Get("Access-Control-Allow-Credentials"); got != "true" {
			t.Errorf("%s: Access-Control-Allow-Credentials = %q", a.method, got)
		}
	}
}

func TestAnyOtherOriginIsRefusedAndTheLogSaysWhy(t *testing.T) {
	w := newWorld(t)
	for _, origin := range []string{"https://evil.example", "null", "*", "http://temporal.example.com", "https://temporal.example.com:8443",
		"https://temporal.example.com.evil.example", "https://eviltemporal.example.com", "https://TEMPORAL.example.com", ui + "/"} {
		for _, a := range []ask{preflight(origin), fromUI("ann", "decode", body(t, w.sealed("payments")), "Origin", origin)} {
			r := w.send(a).want(http.StatusForbidden)
			for name := range r.Header {
				if strings.HasPrefix(name, "Access-Control-") {
					t.Errorf("%s from %s: the answer has %s", a.method, origin, name)
				}
			}
			if r.Header.Get("Vary") != "Origin" {
				t.Errorf("%s from %s: no Vary", a.method, origin)
			}
			if !strings.Contains(w.log.String(), fmt.Sprintf(`origin \"%s\" is not one of cors.origins`, origin)) {
				t.Errorf("%s from %s is not in the log: %s", a.method, origin, w.log)
			}
			w.log.Reset()
		}
	}
	r := httptestRequest(t, fromUI("ann", "decode", "{}"))
	r.Header.Add("Origin", "https://evil.example")
	w.do(r).want(http.StatusForbidden)
	if w.opens != 0 {
		t.Error("a payload was opened")
	}
}

func TestEveryAnswerToAnAllowedOriginHasItsHeaders(t *testing.T) {
	w := newWorld(t, strict)
	get, delete := fromUI("ann", "decode", ""), fromUI("ann", "decode", "{}")
	get.method, delete.method = http.MethodGet, http.MethodDelete
	for says, c := range map[string]struct {
		ask    ask
		status int
	}{
		"decoded":         {fromUI("ann", "decode", body(t, w.sealed("payments"))), 200},
		"unauthenticated": {fromUI("", "decode", "{}"), 401},
		"denied":          {fromUI("bob", "decode", body(t, w.sealed("payments"))), 403},
		"encode denied":   {fromUI("bob", "encode", body(t, plain("1"))), 403},
		"not JSON":        {fromUI("ann", "decode", "payloads"), 400},
		"text/plain":      {fromUI("ann", "decode", "{}", "Content-Type", "text/plain"), 415},
		"download":        {fromUI("ann", "download", "{}"), 404},
		"nowhere":         {fromUI("ann", "else", "{}"), 404},
		"GET":             {get, 405},
		"DELETE":          {delete, 405},
	} {
		r := w.send(c.ask).want(c.status)
		for name, want := range map[string]string{"Access-Control-Allow-Origin": ui, "Vary": "Origin", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Content-Type": "application/json"} {
			if got := r.Header.Get(name); got != want {
				t.Errorf("%s: %s = %q, want %q", says, name, got, want)
			}
		}
		id := r.Header.Get("X-Request-Id")
		if len(id) < 20 || r.Header.Get("Access-Control-Expose-Headers") != "X-Request-Id, Signet-Payloads" {
			t.Errorf("%s: request id %q", says, id)
		}
		if !strings.Contains(w.log.String(), id) {
			t.Errorf("%s: the log does not have the request id", says)
		}
		if c.status == 401 && r.Header.Get("WWW-Authenticate") != "Bearer" {
			t.Errorf("%s: no WWW-Authenticate", says)
		}
		if c.status != 200 {
			var got map[string]string
			if err := json.Unmarshal([]byte(r.text), &got); err != nil || len(got) != 2 || got["requestId"] != id || got["error"] == "" {
				t.Errorf("%s: body %s", says, r.text)
			}
		}
	}
}

func TestWhatIsNotTheProtocolIsRefused(t *testing.T) {
	w := newWorld(t)
	p := body(t, w.sealed("payments"))
	for says, c := range map[string]struct {
		ask    ask
		status int
	}{
		"text/plain":           {fromMachine("ann", "decode", p, "Content-Type", "text/plain"), 415},
		"a form":               {fromMachine("ann", "decode", p, "Content-Type", "application/x-www-form-urlencoded"), 415},
		"two types":            {fromMachine("ann", "decode", p, "Content-Type", "text/plain, application/json"), 415},
		"no type":              {fromMachine("ann", "decode", p, "Content-Type", ""), 415},
		"JSON of another kind": {fromMachine("ann", "decode", p, "Content-Type", "application/json-patch+json"), 415},
		"JSON in UTF-8":        {fromMachine("ann", "decode", p, "Content-Type", "Application/JSON; charset=utf-8"), 200},
		"compressed":           {fromMachine("ann", "decode", p, "Content-Encoding", "gzip"), 415},
		"empty body":           {fromMachine("ann", "decode", ""), 400},
		"not an object":        {fromMachine("ann", "decode", "[]"), 400},
		"null":                 {fromMachine("ann", "decode", "null"), 400},
		"payloads not a list":  {fromMachine("ann", "decode", `{"payloads":{}}`), 400},
		"null payload":         {fromMachine("ann", "decode", `{"payloads":[null]}`), 400},
		"payload not base64":   {fromMachine("ann", "decode", `{"payloads":[{"data":"%"}]}`), 400},
		"cut off":              {fromMachine("ann", "decode", p[:len(p)-2]), 400},
		"two objects":          {fromMachine("ann", "decode", p+"{}"), 400},
		"payloads twice":       {fromMachine("ann", "decode", `{"payloads":[],"payloads":[]}`), 400},
		"metadata twice":       {fromMachine("ann", "decode", `{"payloads":[{"metadata":{},"metadata":{}}]}`), 400},
		"deeply nested":        {fromMachine("ann", "decode", `{"x":`+strings.Repeat("[", 20000)+strings.Repeat("]", 20000)+`}`), 400},
		"not the ASCII name":   {fromMachine("ann", "decode", `{"Payloads":[{"data":"%"}]}`), 200}, // an unknown member
	} {
		t.Run(says, func(t *testing.T) {
			if r := w.send(c.ask).want(c.status); c.status != 200 && strings.Contains(r.text, "payloads") {
				t.Errorf("answer %s", r.text)
			}
		})
	}
	r := httptestRequest(t, fromUI("ann", "decode", p))
	r.Header.Add("X-Namespace", "orders")
	w.do(r).want(http.StatusBadRequest)
}

func TestLimitsHoldWhileTheBodyIsRead(t *testing.T) {
	w := newWorld(t, func(c *codecserver.Config) { c.Limits = codecserver.Limits{MaxBody: 10_000, MaxPayloads: 3} })
	w.send(fromUI("ann", "decode", `{"payloads":[{},{},{}]}`)).payloads(3)
	w.send(fromUI("ann", "decode", `{"payloads":[{},{},{},{}]}`)).want(http.StatusRequestEntityTooLarge)
	for _, b := range []string{
		`{"payloads":[{"data":"` + strings.Repeat("A", 10_000) + `"}]}`,
		`{"x":"` + strings.Repeat("A", 10_000) + `"}`,
		`{}` + strings.Repeat(" ", 10_000),
	} {
		w.send(fromUI("ann", "decode", b)).want(http.StatusRequestEntityTooLarge)
	}
	// The default: 16 MiB and 1000 payloads, and the millionth payload is never reached.
	w = newWorld(t)
	w.send(fromUI("ann", "decode", `{"payloads":[`+strings.Repeat("{},", 999)+`{}]}`)).payloads(1000)
	w.send(fromUI("ann", "decode", `{"payloads":[`+strings.Repeat("{},", 1e6)+`{}]}`)).want(http.StatusRequestEntityTooLarge)
	w.send(fromUI("ann", "decode", `{"payloads":[{"data":"`+strings.Repeat("A", 16<<20)+`"}]}`)).want(http.StatusRequestEntityTooLarge)
}

func TestAMachineWithoutALoginIsNotRead(t *testing.T) {
	w := newWorld(t)
	r := httptestRequest(t, fromMachine("", "decode", ""))
	r.Body = unread{t}
	w.do(r).want(http.StatusUnauthorized)
}

type unread struct{ t *testing.T }

func (u unread) Read([]byte) (int, error) {
	u.t.Error("the body was read")
	return 0, http.ErrBodyNotAllowed
}
func (unread) Close() error { return nil }

func TestAHandlerIsNotMadeWithoutItsGuards(t *testing.T) {
	good := newWorld(t).config
	for want, change := range map[string]func(*codecserver.Config){
		"Config.Authenticator":            func(c *codecserver.Config) { c.Authenticator = nil },
		"Config.Policy":                   func(c *codecserver.Config) { c.Policy = nil },
		"Config.Audit":                    func(c *codecserver.Config) { c.Audit = nil },
		"Config.Mode":                     func(c *codecserver.Config) { c.Mode = 7 },
		"Config.Limits":                   func(c *codecserver.Config) { c.Limits.MaxBody = -1 },
		"Config.Limits: a limit":          func(c *codecserver.Config) { c.Limits.MaxOpened = -1 },
		"Config.Namespaces: at least one": func(c *codecserver.Config) { c.Namespaces = nil },
		"Config.Namespaces[0].Name":       func(c *codecserver.Config) { c.Namespaces = []codecserver.Namespace{{Codec: c.Namespaces[0].Codec}} },
		"Config.Namespaces[0].Codec":      func(c *codecserver.Config) { c.Namespaces = []codecserver.Namespace{{Name: "a"}} },
		"Config.Namespaces[1].Name": func(c *codecserver.Config) {
			c.Namespaces = []codecserver.Namespace{c.Namespaces[0], {Name: "payments", Scope: "x", Codec: c.Namespaces[0].Codec}}
		},
		"Config.Namespaces[1].Scope": func(c *codecserver.Config) {
			c.Namespaces = []codecserver.Namespace{c.Namespaces[0], {Name: "x", Scope: "payments", Codec: c.Namespaces[0].Codec}}
		},
	} {
		c := good
		change(&c)
		if h, err := codecserver.New(c); err == nil || h != nil || !strings.Contains(err.Error(), want) {
			t.Errorf("New = %v, %v; want an error that names %s", h, err, want)
		}
	}
	for _, origin := range []string{"", "*", "null", "temporal.example.com", "https://*.example.com", "https://a.example/", "https://A.example",
		"https://a.example:443", "http://a.example:80", "ftp://a.example", "https://u@a.example", "https://a.example?x"} {
		c := good
		c.CORS.AllowedOrigins = []string{ui, origin}
		if _, err := codecserver.New(c); err == nil || !strings.Contains(err.Error(), "CORS.AllowedOrigins[1]") {
			t.Errorf("origin %q: %v, want an error", origin, err)
		}
	}
}
