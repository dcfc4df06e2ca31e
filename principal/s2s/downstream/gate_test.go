package downstream_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/signet-temporal/signet/principal"
	"github.com/signet-temporal/signet/principal/s2s/downstream"
)

// tokens is a verifier that knows the services by their tokens.
type tokens map[string]principal.Caller

func (t tokens) Verify(_ context.Context, token string) (*principal.Caller, error) {
	if caller, ok := t[token]; ok {
		return &caller, nil
	}
	if token == "nobody" {
		return nil, nil
	}
	return nil, reasoned(token)
}

// reasoned is an error with a code, as package verify has it.
type reasoned string

func (r reasoned) Error() string  { return "refused for a reason" }
func (r reasoned) Reason() string { return string(r) }

const issuer = "https://vault/v1/identity/oidc"

func known() tokens {
	return tokens{
		"workflows": {Issuer: issuer, Subject: "workflows"}, "all": {Issuer: issuer, Subject: "all"}, "signing": {Issuer: issuer, Subject: "signing"},
		"old": {Issuer: issuer, Subject: "old"}, "reports": {Issuer: issuer, Subject: "reports"}, "elsewhere": {Issuer: "https://elsewhere", Subject: "workflows"},
	}
}

// signatures verifies "signed by <who>", which stands for what that user's assertion would say.
type signatures map[string]principal.Principal

func (s signatures) VerifyAssertion(_ context.Context, signed string) (principal.Principal, error) {
	if p, ok := s[signed]; ok {
		return p, nil
	}
	return principal.Principal{}, errors.New("the signature is wrong")
}

func ann() principal.Principal {
	return principal.Principal{Kind: principal.KindUser, Issuer: "https://idp", Subject: "ann-17", Tenant: "acme", Txn: "t-1",
		AuthTime: time.Unix(1764150000, 0), IssuedAt: time.Unix(1764151200, 0)}
}

func options() downstream.Options {
	bob := ann()
	bob.Subject = "bob"
	return downstream.Options{Verifier: known(), Forwarders: []downstream.Forwarder{
		{Issuer: issuer, Subject: "workflows", Tenants: []string{"acme", "globex"}},
		{Issuer: issuer, Subject: "all", AllowAllTenants: true},
		{Issuer: issuer, Subject: "old", AllowAllTenants: true, UserIssuer: "https://idp"},
		{Issuer: issuer, Subject: "signing", Tenants: []string{"acme"}, RequireAssertion: true, Assertions: signatures{"ann": ann(), "bob": bob}},
	}}
}

func newGate(t testing.TB, change func(*downstream.Options)) *downstream.Gate {
	t.Helper()
	o := options()
	if change != nil {
		change(&o)
	}
	gate, err := downstream.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return gate
}

// headers parses "Name: value" lines into a header whose names stay as they are written.
func headers(lines ...string) http.Header {
	h := http.Header{}
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		h[name] = append(h[name], value)
	}
	return h
}

func TestWhoIsAdmittedAndForWhom(t *testing.T) {
	service := principal.Principal{Kind: principal.KindService, Subject: "nightly", Tenant: "acme"}
	noTenant := principal.Principal{Kind: principal.KindUser, Issuer: "https://idp", Subject: "ann-17"}
	for name, c := range map[string]struct {
		header http.Header
		caller string
		want   principal.Principal
	}{
		"a user":                       {headers("Authorization: Bearer workflows", "X-Forwarded-User: ann-17", "X-Forwarded-Issuer: https://idp", "X-Forwarded-Tenant: acme", "X-Forwarded-Txn: t-1"), "workflows", ann()},
		"a user, in lower case":        {headers("authorization: bearer workflows", "x-forwarded-user: ann-17", "x-forwarded-issuer: https://idp", "x-forwarded-tenant: acme", "x-forwarded-txn: t-1"), "workflows", ann()},
		"a service":                    {headers("Authorization: Bearer workflows", "X-Forwarded-User: nightly", "X-Forwarded-Tenant: acme"), "workflows", service},
		"no tenant":                    {headers("Authorization: Bearer all", "X-Forwarded-User: ann-17", "X-Forwarded-Issuer: https://idp"), "all", noTenant},
		"the issuer of all its users":  {headers("Authorization: Bearer old", "X-Forwarded-User: ann-17"), "old", noTenant},
		"the same issuer":              {headers("Authorization: Bearer old", "X-Forwarded-User: ann-17", "X-Forwarded-Issuer: https://idp"), "old", noTenant},
		"signed":                       {headers("Authorization: Bearer signing", "X-Forwarded-User: ann-17", "X-Forwarded-Issuer: https://idp", "X-Forwarded-Tenant: acme", "X-Forwarded-Txn: t-1", "X-Forwarded-Assertion: ann"), "signing", ann()},
		"signed, for who does not ask": {headers("Authorization: Bearer all", "X-Forwarded-User: nightly", "X-Forwarded-Tenant: acme", "X-Forwarded-Assertion: whatever"), "all", service},
	} {
		h := c.header
		h["Accept"] = []string{"text/plain"}
		ctx, err := newGate(t, nil).Admit(t.Context(), h)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got, err := principal.FromContext(ctx)
		if err != nil || !got.Same(c.want) || got.Txn != c.want.Txn || time.Since(got.IssuedAt) > time.Minute && name != "signed" {
			t.Errorf("%s: %#v, %v", name, got, err)
		}
		if name == "signed" && got != ann() {
			t.Errorf("what was signed is not all there: %#v", got)
		}
		if caller, ok := downstream.CallerFromContext(ctx); !ok || caller.Subject != c.caller {
			t.Errorf("%s: called by %v", name, caller)
		}
		if len(h) != 1 || h.Get("Accept") == "" {
			t.Errorf("%s: the handler sees %v", name, h)
		}
	}
}

func TestWhoIsRefused(t *testing.T) {
	token, user, issuedBy, tenant := "Authorization: Bearer workflows", "X-Forwarded-User: ann-17", "X-Forwarded-Issuer: https://idp", "X-Forwarded-Tenant: acme"
	signed := []string{"Authorization: Bearer signing", user, issuedBy, tenant, "X-Forwarded-Txn: t-1"}
	for name, c := range map[string]struct {
		header http.Header
		status int
		reason string
	}{
		"no token":                           {headers(user, tenant), 401, "no service token"},
		"no token and a duplicate":           {headers(user, user, tenant), 401, "no service token"},
		"no bearer token":                    {headers("Authorization: Basic YTpi", user, tenant), 401, "not a bearer"},
		"an empty token":                     {headers("Authorization: Bearer ", user, tenant), 401, "not a bearer"},
		"a token that does not verify":       {headers("Authorization: Bearer forged", user, tenant), 401, "not good"},
		"a token of nobody":                  {headers("Authorization: Bearer nobody", user, tenant), 401, "no caller"},
		"a token nobody can verify now":      {headers("Authorization: Bearer identity-provider-unavailable", user, tenant), 503, "not good"},
		"two tokens":                         {headers(token, token, user, tenant), 400, "2 times"},
		"two tokens, written differently":    {headers(token, "authorization: Bearer workflows", user, tenant), 400, "2 times"},
		"a service that may not forward":     {headers("Authorization: Bearer reports", user, issuedBy, tenant), 403, "not listed"},
		"its name at another issuer":         {headers("Authorization: Bearer elsewhere", user, issuedBy, tenant), 403, "not listed"},
		"one that may not, with a duplicate": {headers("Authorization: Bearer reports", user, user), 403, "not listed"},
		"a tenant out of scope":              {headers(token, user, issuedBy, "X-Forwarded-Tenant: initech"), 403, `tenant "initech"`},
		"no tenant, which is out of scope":   {headers(token, user, issuedBy), 403, `tenant ""`},
		"a star for a tenant":                {headers(token, user, issuedBy, "X-Forwarded-Tenant: *"), 403, `tenant "*"`},
		"a user twice":                       {headers(token, user, "X-Forwarded-User: mallory", tenant), 400, "2 times"},
		"a user twice, written differently":  {headers(token, user, "x-forwarded-user: mallory", tenant), 400, "2 times"},
		"a user twice, joined by a proxy":    {headers(token, "X-Forwarded-User: ann-17,mallory", tenant), 400, "comma"},
		"a tenant twice":                     {headers(token, user, tenant, tenant), 400, "2 times"},
		"underscores beside hyphens":         {headers(token, user, tenant, "X_forwarded_user: mallory"), 400, "underscores"},
		"underscores alone":                  {headers(token, "X_Forwarded_User: mallory", tenant), 400, "underscores"},
		"one underscore":                     {headers(token, user, "X-Forwarded_tenant: acme"), 400, "underscores"},
		"no user":                            {headers(token, tenant), 400, "X-Forwarded-User is missing"},
		"nobody at all":                      {headers(token), 400, "X-Forwarded-User is missing"},
		"an empty user":                      {headers(token, "X-Forwarded-User: ", tenant), 400, "empty"},
		"a user with spaces":                 {headers(token, "X-Forwarded-User: ann 17", tenant), 400, "space"},
		"a user in other letters":            {headers(token, "X-Forwarded-User: аnn-17", tenant), 400, "ASCII"},
		"a user too long":                    {headers(token, "X-Forwarded-User: "+strings.Repeat("a", 257), tenant), 400, "256"},
		"another issuer than all its users":  {headers("Authorization: Bearer old", user, "X-Forwarded-Issuer: https://other"), 403, "UserIssuer"},
		"not signed":                         {headers(signed...), 403, "did not"},
		"signed by somebody else":            {headers(append(signed, "X-Forwarded-Assertion: forged")...), 403, "signature is wrong"},
		"signed for another user":            {headers(append(signed, "X-Forwarded-Assertion: bob")...), 403, "somebody else"},
		"signed twice":                       {headers(append(signed, "X-Forwarded-Assertion: ann", "X-Forwarded-Assertion: ann")...), 400, "2 times"},
		"signed in another transaction":      {headers(append(signed[:4:4], "X-Forwarded-Txn: t-2", "X-Forwarded-Assertion: ann")...), 403, "somebody else"},
	} {
		var told *downstream.Refusal
		var log bytes.Buffer
		gate := newGate(t, func(o *downstream.Options) {
			o.Logger = slog.New(slog.NewTextHandler(&log, nil))
			o.OnRefusal = func(_ context.Context, r *downstream.Refusal) { told = r }
		})
		ctx, err := gate.Admit(t.Context(), c.header)
		var refusal *downstream.Refusal
		if !errors.As(err, &refusal) || refusal.Status != c.status || !strings.Contains(refusal.Error(), c.reason) || ctx != nil {
			t.Errorf("%s: %v, want %d: …%s…", name, err, c.status, c.reason)
			continue
		}
		if told != refusal || !strings.Contains(log.String(), fmt.Sprintf("status=%d", c.status)) {
			t.Errorf("%s: the log has %q, the hook was told %v", name, log.String(), told)
		}
		if strings.Contains(log.String(), "ann-17") || strings.Contains(log.String(), "mallory") || strings.Contains(log.String(), "forged") {
			t.Errorf("%s: the log names a user or holds a token: %s", name, log.String())
		}
		if strings.Contains(refusal.Public(), c.reason) || strings.Contains(refusal.Public(), "\n") {
			t.Errorf("%s: the caller is told %q", name, refusal.Public())
		}
	}
}

func TestACallForNobodyIsAdmittedOnlyWhereThatIsAllowed(t *testing.T) {
	gate := newGate(t, func(o *downstream.Options) { o.AllowAnonymous = true })
	outer := principal.NewContext(t.Context(), ann()) // of whatever runs the server
	ctx, err := gate.Admit(outer, headers("Authorization: Bearer workflows"))
	if err != nil {
		t.Fatal(err)
	}
	if p, err := principal.FromContext(ctx); !errors.Is(err, principal.ErrNone) {
		t.Errorf("a call for nobody runs for %v", p)
	}
	if caller, ok := downstream.CallerFromContext(ctx); !ok || caller.Subject != "workflows" {
		t.Errorf("called by %v", caller)
	}
	for name, h := range map[string]http.Header{
		"half of a principal":   headers("Authorization: Bearer workflows", "X-Forwarded-Tenant: acme"),
		"one that has to sign":  headers("Authorization: Bearer signing"),
		"one that is no caller": headers("Authorization: Bearer reports"),
		"nobody":                headers("Accept: x"),
	} {
		if _, err := gate.Admit(t.Context(), h); err == nil {
			t.Errorf("%s is admitted", name)
		}
	}
}

func TestAGateThatWouldLetAnybodyInIsNotMade(t *testing.T) {
	for name, change := range map[string]func(*downstream.Options){
		"no Verifier":              func(o *downstream.Options) { o.Verifier = nil },
		"no Forwarders":            func(o *downstream.Options) { o.Forwarders = nil },
		"it needs Issuer and Subj": func(o *downstream.Options) { o.Forwarders[1].Subject = "" },
		"Issuer and Subject":       func(o *downstream.Options) { o.Forwarders[1].Issuer = "" },
		"set AllowAllTenants":      func(o *downstream.Options) { o.Forwarders[0].Tenants = []string{"*"} },
		"either Tenants":           func(o *downstream.Options) { o.Forwarders[0].Tenants = nil },
		"or AllowAllTenants":       func(o *downstream.Options) { o.Forwarders[0].AllowAllTenants = true },
		"no Assertions":            func(o *downstream.Options) { o.Forwarders[0].RequireAssertion = true },
		"Forwarders[4]":            func(o *downstream.Options) { o.Forwarders = append(o.Forwarders, o.Forwarders[0]) },
		"given twice: put all it":  func(o *downstream.Options) { o.Forwarders = append(o.Forwarders, o.Forwarders[0]) },
	} {
		o := options()
		change(&o)
		if _, err := downstream.New(o); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTheHandlerSeesAPrincipalAndNoHeaders(t *testing.T) {
	var seen http.Header
	var who principal.Principal
	handler := newGate(t, nil).Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		seen = r.Header
		who, _ = principal.FromContext(r.Context())
	}))
	do := func(h http.Header) *httptest.ResponseRecorder {
		seen, who = nil, principal.Principal{}
		r, w := httptest.NewRequest("POST", "/", strings.NewReader("x")), httptest.NewRecorder()
		r.Header = h
		handler.ServeHTTP(w, r)
		return w
	}
	w := do(headers("Authorization: Bearer workflows", "X-Forwarded-User: ann-17", "X-Forwarded-Tenant: acme", "Accept: text/plain"))
	if w.Code != 200 || who.Subject != "ann-17" || len(seen) != 1 {
		t.Errorf("%d for %v with %v", w.Code, who, seen)
	}
	for name, c := range map[string]struct {
		header    http.Header
		status    int
		challenge string
	}{
		"none":      {headers("X-Forwarded-User: mallory"), 401, "Bearer"},
		"bad":       {headers("Authorization: Bearer forged", "X-Forwarded-User: mallory"), 401, `Bearer error="invalid_token"`},
		"forbidden": {headers("Authorization: Bearer reports", "X-Forwarded-User: mallory"), 403, ""},
		"malformed": {headers("Authorization: Bearer workflows"), 400, ""},
		"outage":    {headers("Authorization: Bearer identity-provider-unavailable"), 503, ""},
	} {
		w := do(c.header)
		if body := w.Body.String(); w.Code != c.status || w.Header().Get("WWW-Authenticate") != c.challenge || strings.Count(body, "\n") != 1 || len(body) > 60 {
			t.Errorf("%s: %d %q %q", name, w.Code, w.Header().Get("WWW-Authenticate"), body)
		}
		if seen != nil {
			t.Errorf("%s: the handler was called", name)
		}
	}
}

func TestAForwardedHeaderInATrailerIsRefused(t *testing.T) {
	called := false
	server := httptest.NewServer(newGate(t, nil).Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { called = true })))
	defer server.Close()
	req, err := http.NewRequestWithContext(t.Context(), "POST", server.URL, struct{ *strings.Reader }{strings.NewReader("body")})
	if err != nil {
		t.Fatal(err)
	}
	req.Header = headers("Authorization: Bearer workflows", "X-Forwarded-User: ann-17", "X-Forwarded-Tenant: acme")
	req.Trailer = headers("X-Forwarded-User: mallory")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != 400 || called {
		t.Errorf("%d, called: %v", resp.StatusCode, called)
	}
}

// Where one trailer is announced, net/http takes all that come.
func TestAForwardedTrailerThatNobodyAnnouncedIsNotSeen(t *testing.T) {
	var seen http.Header
	server := httptest.NewServer(newGate(t, nil).Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		seen = r.Trailer
	})))
	defer server.Close()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_, _ = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer workflows\r\nX-Forwarded-User: ann-17\r\nX-Forwarded-Tenant: acme\r\n"+
		"Transfer-Encoding: chunked\r\nTrailer: Digest\r\nConnection: close\r\n\r\n4\r\nbody\r\n0\r\nDigest: d\r\nX-Forwarded-User: mallory\r\n\r\n")
	if resp, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil || resp.StatusCode != 200 {
		t.Fatalf("%v, %v", resp, err)
	}
	if seen.Get("Digest") != "d" || seen.Get("X-Forwarded-User") != "" {
		t.Errorf("the handler sees the trailers %v", seen)
	}
}
