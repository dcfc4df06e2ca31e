package selftest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/signet-temporal/signet/codecserver"
	"github.com/signet-temporal/signet/codecserver/audit"
	"github.com/signet-temporal/signet/codecserver/policy"
	"github.com/signet-temporal/signet/converter"
	"github.com/signet-temporal/signet/keys/keystest"
	"github.com/signet-temporal/signet/principal"
)

// cookies knows whoever sends a cookie by its value.
type cookies struct{}

func (cookies) Authenticate(r *http.Request) (*principal.Caller, error) {
	c, err := r.Cookie("who")
	if err != nil {
		return nil, errors.New("nobody")
	}
	return &principal.Caller{Issuer: "https://login.example", Subject: c.Value}, nil
}

const ui = "https://temporal.example.com"

func newTest(t *testing.T, mode codecserver.Mode) (http.Handler, *bytes.Buffer) {
	t.Helper()
	codec, err := converter.NewCodec(keystest.NewRing(t, "ns/payments"), converter.CodecOptions{Keyset: "ns/payments", Scope: "pay-1"})
	if err != nil {
		t.Fatal(err)
	}
	rules, err := policy.New(policy.Document{Grants: &[]policy.Grant{{Name: "ann", Issuer: "https://login.example", Subjects: []string{"ann"}, Namespaces: []string{"payments"}, Actions: []policy.Action{policy.Decode}}}})
	if err != nil {
		t.Fatal(err)
	}
	log := &bytes.Buffer{}
	server, err := codecserver.New(codecserver.Config{
		Namespaces: []codecserver.Namespace{{Name: "payments", Scope: "pay-1", Codec: codec}}, Authenticator: cookies{}, Policy: rules, Audit: audit.New(log),
		CORS: codecserver.CORS{AllowedOrigins: []string{ui}, AllowCredentials: true}, Mode: mode,
	})
	if err != nil {
		t.Fatal(err)
	}
	return New(server, Options{LoginPage: "https://codec.example.com/login", Scopes: map[string]string{"payments": "pay-1"}}), log
}

func probe(h http.Handler, body string, change func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, "https://codec.example.com/self-test/probe", strings.NewReader(body))
	r.Header.Set("Origin", "https://codec.example.com")
	r.Header.Set("Content-Type", "application/json")
	if change != nil {
		change(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func as(who string) func(*http.Request) {
	return func(r *http.Request) {
		if who != "" {
			r.AddCookie(&http.Cookie{Name: "who", Value: who})
		}
	}
}

func TestTheServerPlaysTheWebUIForThePage(t *testing.T) {
	explain, log := newTest(t, codecserver.Explain)
	strict, _ := newTest(t, codecserver.Strict)
	for says, c := range map[string]struct {
		h                      http.Handler
		who, origin, namespace string
		want                   played
	}{
		"may":               {explain, "ann", ui, "payments", played{preflight{204, ui, true}, true, true, decode{Status: 200, Reason: "not-authentic", Caller: "ann"}}},
		"may not":           {explain, "bob", ui, "payments", played{preflight{204, ui, true}, true, true, decode{Status: 200, Reason: "not-granted", Caller: "bob"}}},
		"nobody":            {explain, "", ui, "payments", played{preflight{204, ui, true}, false, true, decode{Status: 200, Reason: "unauthenticated"}}},
		"another namespace": {explain, "ann", ui, "orders", played{preflight{204, ui, true}, true, false, decode{Status: 200, Reason: "unknown-namespace", Caller: "ann"}}},
		"another Web UI":    {explain, "ann", "https://other.example", "payments", played{preflight{403, "", false}, true, true, decode{Status: 403, Error: "origin-not-allowed"}}},
		"strict, may":       {strict, "ann", ui, "payments", played{preflight{204, ui, true}, true, true, decode{Status: 422, Error: "unreadable"}}},
		"strict, may not":   {strict, "bob", ui, "payments", played{preflight{204, ui, true}, true, true, decode{Status: 403, Error: "denied"}}},
	} {
		t.Run(says, func(t *testing.T) {
			log.Reset()
			body, err := json.Marshal(question{c.origin, c.namespace})
			if err != nil {
				t.Fatal(err)
			}
			w := probe(c.h, string(body), as(c.who))
			var got played
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != 200 {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			if (got.Decode.Message == "") != (c.want.Decode.Reason == "") || got.Decode.Request == "" {
				t.Errorf("it says %+v", got.Decode)
			}
			if c.h == explain && c.want.Decode.Error == "" && !strings.Contains(log.String(), got.Decode.Request) {
				t.Errorf("the audit log does not have it: %s", log)
			}
			got.Decode.Message, got.Decode.Request = "", ""
			if got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

func TestOnlyThePageItselfMayHaveItPlayed(t *testing.T) {
	h, log := newTest(t, codecserver.Explain)
	const good = `{"origin":"` + ui + `","namespace":"payments"}`
	for says, c := range map[string]struct {
		body   string
		change func(*http.Request)
		want   int
	}{
		"no origin":       {good, func(r *http.Request) { r.Header.Del("Origin") }, 403},
		"the Web UI":      {good, func(r *http.Request) { r.Header.Set("Origin", ui) }, 403},
		"null":            {good, func(r *http.Request) { r.Header.Set("Origin", "null") }, 403},
		"two, ours first": {good, func(r *http.Request) { r.Header["Origin"] = []string{r.Header.Get("Origin"), ui} }, 403},
		"two origins":     {good, func(r *http.Request) { r.Header.Add("Origin", "https://codec.example.com") }, 403},
		"a form":          {good, func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }, 403},
		"GET":             {good, func(r *http.Request) { r.Method = "GET" }, 405},
		"no JSON":         {"x", nil, 400},
		"another member":  {`{"payload":"x"}`, nil, 400},
		"a header in it":  {`{"origin":"https://a\r\nX: y","namespace":"payments"}`, nil, 400},
		"too much":        {`{"namespace":"` + strings.Repeat("x", maxBody) + `"}`, nil, 400},
	} {
		t.Run(says, func(t *testing.T) {
			w := probe(h, c.body, func(r *http.Request) {
				as("ann")(r)
				if c.change != nil {
					c.change(r)
				}
			})
			if w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("X-Content-Type-Options") != "nosniff" || w.Header().Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("headers %v", w.Header())
			}
			if w.Code != c.want || strings.Contains(w.Body.String(), "decode") {
				t.Errorf("%d %s, want %d", w.Code, w.Body, c.want)
			}
		})
	}
	if log.Len() > 0 {
		t.Errorf("something was asked: %s", log)
	}
}

func TestThePageRunsItsOwnScriptAndNoOther(t *testing.T) {
	h, _ := newTest(t, codecserver.Explain)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "https://codec.example.com/self-test?ui=%22%3E%3Cscript%3E", nil))
	csp := w.Header().Get("Content-Security-Policy")
	if !strings.HasPrefix(csp, "default-src 'none'; style-src 'sha256-") || !strings.Contains(csp, "; script-src 'sha256-") || strings.Contains(csp, "unsafe") || !strings.Contains(csp, "connect-src 'self'") {
		t.Errorf("policy %q", csp)
	}
	body, err := io.ReadAll(w.Body)
	if err != nil || w.Code != 200 || strings.Contains(string(body), "ZgotmplZ") || strings.Count(string(body), "<script") != 1 || !strings.Contains(string(body), `data-login="https://codec.example.com/login"`) {
		t.Errorf("%d %v %s", w.Code, err, body)
	}
}
