package verify_test

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/signet-temporal/signet/principal"
	"github.com/signet-temporal/signet/principal/principaltest"
	"github.com/signet-temporal/signet/principal/verify"
)

func trusting(issuer *principaltest.Issuer) verify.Issuer {
	return verify.Issuer{Issuer: issuer.URL, Audiences: []string{principaltest.Audience}}
}

func bearing(token string) http.Header { return http.Header{"Authorization": {"Bearer " + token}} }

func TestTheEdgeSaysForWhomARequestIsMade(t *testing.T) {
	issuer := principaltest.NewIssuer(t)
	d := newDoors(t, newEdge(t, verify.EdgeOptions{}, trusting(issuer)))
	token := issuer.Token(map[string]any{"sub": "auth0|ann", "auth_time": 1_790_000_000, "iat": time.Now().Add(-time.Hour).Unix(), "txn": "t-1"})
	for _, v := range d.enter(t, bearing(token)) {
		want := principal.Principal{Kind: principal.KindUser, Issuer: issuer.URL, Subject: "auth0|ann", Tenant: "acme", Txn: "t-1",
			AuthTime: time.Unix(1_790_000_000, 0).UTC(), IssuedAt: v.principal.IssuedAt}
		if v.err != nil || !reflect.DeepEqual(v.principal, want) {
			t.Errorf("got %#v, %v", v.principal, v.err)
		}
		if age := time.Since(v.principal.IssuedAt); age < 0 || age > time.Minute { // of the record, not of the token
			t.Errorf("issued %v ago", age)
		}
	}
}

func TestEachRequestHasATransactionOfItsOwn(t *testing.T) {
	issuer := principaltest.NewIssuer(t)
	d := newDoors(t, newEdge(t, verify.EdgeOptions{}, trusting(issuer)))
	seen := map[string]bool{}
	for _, v := range d.enter(t, bearing(issuer.Token(nil))) {
		seen[v.principal.Txn] = true
	}
	if len(seen) != 3 || seen[""] {
		t.Errorf("got %v", seen)
	}
}

func TestWhatComesAfterTheEdgeSeesNoTokenAndNoForwardedHeader(t *testing.T) {
	issuer := principaltest.NewIssuer(t)
	token := issuer.Token(nil)
	for says, c := range map[string]struct {
		o      verify.EdgeOptions
		header http.Header
	}{
		"with a token": {verify.EdgeOptions{}, bearing(token)},
		"anonymous":    {verify.EdgeOptions{AllowAnonymous: true}, http.Header{}},
	} {
		header := c.header
		for _, name := range []string{"Authorization-Extras", "authorization_extras", "X-Forwarded-User", "X_Forwarded_User", "x_forwarded-tenant", "X-Forwarded-Tenant",
			"X-Forwarded-Issuer", "X-Forwarded-Txn", "X-Forwarded-Assertion"} {
			header[name] = []string{"eve", token}
		}
		header["X-Forwarded-For"], header["Accept-Language"] = []string{"192.0.2.1"}, []string{"tlh"}
		for n, v := range newDoors(t, newEdge(t, c.o, trusting(issuer))).enter(t, header) {
			for name, values := range v.header {
				if strings.Contains(strings.Join(values, " "), "eve") || strings.Contains(strings.Join(values, " "), token) {
					t.Errorf("%s, door %d: %s is still there", says, n, name)
				}
			}
			rest := http.Header{}
			for name, values := range v.header {
				rest[http.CanonicalHeaderKey(name)] = values
			}
			if rest.Get("X-Forwarded-For") == "" || rest.Get("Accept-Language") == "" {
				t.Errorf("%s, door %d: other headers are gone: %v", says, n, v.header)
			}
		}
	}
}

func TestARequestPassedOnHoldsNoTokenAnywhere(t *testing.T) {
	issuer := principaltest.NewIssuer(t)
	token := issuer.Token(nil)
	var passed *http.Request
	h := newEdge(t, verify.EdgeOptions{}, trusting(issuer)).Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { passed = r }))
	r := httptest.NewRequest(http.MethodPost, "/", nil)
	r.Header = bearing(token)
	if !holds(reflect.ValueOf(r), token, map[any]bool{}) {
		t.Fatal("the search does not find the token where it is")
	}
	h.ServeHTTP(httptest.NewRecorder(), r)
	if passed == nil || holds(reflect.ValueOf(passed), token, map[any]bool{}) {
		t.Error("the token is still there")
	}
	if r.Header.Get("Authorization") == "" {
		t.Error("the request of those who come before has changed")
	}
}

// holds reports whether text can be reached from v, through unexported fields and contexts as well.
func holds(v reflect.Value, text string, visited map[any]bool) bool {
	switch v.Kind() {
	case reflect.String:
		return strings.Contains(v.String(), text) || strings.Contains(text, v.String()) && v.Len() > 40
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			return false
		}
		if v.Kind() == reflect.Pointer {
			if visited[v.Pointer()] {
				return false
			}
			visited[v.Pointer()] = true
		}
		return holds(v.Elem(), text, visited)
	case reflect.Struct:
		return slices.ContainsFunc(slices.Collect(fields(v)), func(f reflect.Value) bool { return holds(f, text, visited) })
	case reflect.Slice, reflect.Array:
		if v.Type().Elem().Kind() == reflect.Uint8 && v.Kind() == reflect.Slice {
			return strings.Contains(string(v.Bytes()), text)
		}
		for i := range v.Len() {
			if holds(v.Index(i), text, visited) {
				return true
			}
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			if holds(v.MapIndex(key), text, visited) {
				return true
			}
		}
	}
	return false
}

func fields(v reflect.Value) func(func(reflect.Value) bool) {
	return func(yield func(reflect.Value) bool) {
		for i := range v.NumField() {
			if !yield(v.Field(i)) {
				return
			}
		}
	}
}

func TestNobodyComesInUnlessThatIsAllowedByName(t *testing.T) {
	issuer := principaltest.NewIssuer(t)
	for _, header := range []http.Header{{}, {"Authorization": {""}}, {"Authorization": {"Bearer "}}} {
		for _, v := range newDoors(t, newEdge(t, verify.EdgeOptions{AllowAnonymous: true}, trusting(issuer))).enter(t, header) {
			if !errors.Is(v.err, principal.ErrNone) {
				t.Errorf("%v: %v, %v", header, v.principal, v.err)
			}
		}
	}
	// A principal from before does not count either.
	var err error
	h := newEdge(t, verify.EdgeOptions{AllowAnonymous: true}, trusting(issuer)).Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, err = principal.FromContext(r.Context())
	}))
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(principaltest.Context(t, "eve", "acme"), http.MethodGet, "/", nil))
	if !errors.Is(err, principal.ErrNone) {
		t.Errorf("the principal of before: %v", err)
	}
}

func TestATenantMayHaveAnotherNameOrNotBeThere(t *testing.T) {
	issuer := principaltest.NewIssuer(t)
	type org struct{ ID string }
	for says, c := range map[string]struct {
		o      verify.EdgeOptions
		claims map[string]any
		want   string
	}{
		"another claim": {verify.EdgeOptions{TenantClaim: "urn:zitadel:iam:user:resourceowner:id"}, map[string]any{"urn:zitadel:iam:user:resourceowner:id": "3141"}, "3141"},
		"none":          {verify.EdgeOptions{AllowNoTenant: true}, map[string]any{"tenant_id": nil}, ""},
		"within a claim": {verify.EdgeOptions{Map: func(c verify.Claims, p principal.Principal) (principal.Principal, error) {
			var o org
			err := c.Decode("org", &o)
			p.Tenant = o.ID
			return p, err
		}}, map[string]any{"org": org{"acme-17"}}, "acme-17"},
	} {
		for _, v := range newDoors(t, newEdge(t, c.o, trusting(issuer))).enter(t, bearing(issuer.Token(c.claims))) {
			if v.err != nil || v.principal.Subject != "ann" || v.principal.Tenant != c.want {
				t.Errorf("%s: %#v, %v", says, v.principal, v.err)
			}
		}
	}
}

func TestAMachineCanBeMappedToAService(t *testing.T) {
	issuer := principaltest.NewIssuer(t)
	o := verify.EdgeOptions{Map: func(c verify.Claims, _ principal.Principal) (principal.Principal, error) {
		return principal.Service(c.Subject, "acme"), nil
	}}
	for _, v := range newDoors(t, newEdge(t, o, trusting(issuer))).enter(t, bearing(issuer.Token(nil))) {
		if v.err != nil || !v.principal.Same(principal.Service("ann", "acme")) {
			t.Errorf("%#v, %v", v.principal, v.err)
		}
	}
}

func TestAnIssuerSpeaksForItsOwnTenantsAlone(t *testing.T) {
	staff, partner := principaltest.NewIssuer(t), principaltest.NewIssuer(t)
	tenants := map[string][]string{staff.URL: {"*"}, partner.URL: {"umbrella", "wayne"}}
	token := func(i *principaltest.Issuer, tenant any) http.Header {
		return bearing(i.Token(map[string]any{"tenant_id": tenant}))
	}
	d := newDoors(t, newEdge(t, verify.EdgeOptions{Tenants: tenants, AllowNoTenant: true}, trusting(staff), trusting(partner)))
	d.enter(t, token(staff, "acme"))
	d.enter(t, token(partner, "wayne"))
	d.enter(t, token(partner, nil))
	d.wantClosed(t, "/", token(partner, "acme"), verify.UnfitClaims)
	d.wantClosed(t, "/", token(partner, "*"), verify.UnfitClaims)
	asMachine := func(c verify.Claims, _ principal.Principal) (principal.Principal, error) {
		return principal.Service(c.Subject, "acme"), nil
	}
	d = newDoors(t, newEdge(t, verify.EdgeOptions{Tenants: tenants, Map: asMachine}, trusting(staff), trusting(partner)))
	d.enter(t, token(staff, nil))
	d.wantClosed(t, "/", token(partner, nil), verify.UnfitClaims)
}

func TestAnEdgeThatCouldNotJudgeIsNotMade(t *testing.T) {
	issuer := principaltest.NewIssuer(t)
	v := newVerifier(t, trusting(issuer))
	two := newVerifier(t, trusting(issuer), trusting(principaltest.NewIssuer(t)))
	mapper := func(_ verify.Claims, p principal.Principal) (principal.Principal, error) { return p, nil }
	for says, made := range map[string]func() (*verify.Edge, error){
		"the verifier is nil": func() (*verify.Edge, error) { return verify.NewEdge(nil, verify.EdgeOptions{}) },
		"exclude each other": func() (*verify.Edge, error) {
			return verify.NewEdge(v, verify.EdgeOptions{TenantClaim: "t", Map: mapper})
		},
		"for which tenants each": func() (*verify.Edge, error) { return verify.NewEdge(two, verify.EdgeOptions{AllowNoTenant: true}) },
		"has none for the issuer": func() (*verify.Edge, error) {
			return verify.NewEdge(two, verify.EdgeOptions{Map: mapper, Tenants: map[string][]string{issuer.URL: {"*"}}})
		},
		"which is no issuer": func() (*verify.Edge, error) {
			return verify.NewEdge(v, verify.EdgeOptions{Tenants: map[string][]string{issuer.URL: {"*"}, issuer.URL + "/": {"*"}}})
		},
	} {
		if e, err := made(); e != nil || err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("got %v, %v; want %q", e, err, says)
		}
	}
}

func TestTheLogSaysWhyAndNotWho(t *testing.T) {
	issuer := principaltest.NewIssuer(t)
	var log bytes.Buffer
	e := newEdge(t, verify.EdgeOptions{Logger: slog.New(slog.NewTextHandler(&log, nil))}, trusting(issuer))
	h := e.Handler(http.NotFoundHandler())
	for _, claims := range []map[string]any{{"tenant_id": "ac me"}, {"exp": 1}, {"sub": "zq\nzq"}} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header = bearing(issuer.Token(claims))
		h.ServeHTTP(httptest.NewRecorder(), r)
	}
	if lines := strings.Count(log.String(), "level=INFO"); lines != 3 {
		t.Errorf("%d lines:\n%s", lines, log.String())
	}
	away := principaltest.NewIssuer(t)
	h = newEdge(t, verify.EdgeOptions{Logger: slog.New(slog.NewTextHandler(&log, nil))}, trusting(away)).Handler(http.NotFoundHandler())
	away.Close()
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header = bearing(away.Token(nil))
	h.ServeHTTP(httptest.NewRecorder(), r)
	for _, want := range []string{"level=WARN", "identity-provider-unavailable: fetching keys", "unfit-claims: principal: the tenant has", "expired-token", "unfit-claims: principal: the subject has", issuer.URL} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log does not say %q:\n%s", want, log.String())
		}
	}
	for _, private := range []string{"ac me", "zq", "eyJ"} {
		if strings.Contains(log.String(), private) {
			t.Errorf("the log says %q:\n%s", private, log.String())
		}
	}
}

func TestWhatComesAfterTheEdgeSeesNoForwardedTrailer(t *testing.T) {
	issuer := principaltest.NewIssuer(t)
	var seen http.Header
	server := httptest.NewServer(newEdge(t, verify.EdgeOptions{}, trusting(issuer)).Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		seen = r.Trailer
	})))
	defer server.Close()
	req, err := http.NewRequestWithContext(t.Context(), "POST", server.URL, struct{ *strings.Reader }{strings.NewReader("body")})
	if err != nil {
		t.Fatal(err)
	}
	req.Header, req.Trailer = bearing(issuer.Token(nil)), http.Header{"Digest": {"d"}, "X-Forwarded-User": {"eve"}}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if seen.Get("Digest") != "d" || seen.Get("X-Forwarded-User") != "" {
		t.Errorf("%s, and the handler sees the trailers %v", resp.Status, seen)
	}
}
