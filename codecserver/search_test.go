package codecserver_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/prf"

	"github.com/signet-temporal/signet/codecserver"
	"github.com/signet-temporal/signet/codecserver/audit"
	"github.com/signet-temporal/signet/converter"
)

// searcher makes tokens with real keys: one keyset for payments, one for the tenant acme of it, none for orders.
type searcher struct {
	mu    sync.Mutex
	by    map[string]*converter.SearchTokens // by scope and tenant
	err   error
	asked int
}

func newSearcher(t *testing.T) *searcher {
	t.Helper()
	s := &searcher{by: map[string]*converter.SearchTokens{}}
	for _, who := range []string{"payments/", "payments/acme"} {
		manager := keyset.NewManager()
		for range 2 {
			id, err := manager.Add(prf.HMACSHA256PRFKeyTemplate())
			if err != nil {
				t.Fatal(err)
			}
			if err := manager.SetPrimary(id); err != nil {
				t.Fatal(err)
			}
		}
		handle, err := manager.Handle()
		if err != nil {
			t.Fatal(err)
		}
		ring, err := converter.NewSearchKeyring(map[string]*keyset.Handle{"search/x": handle})
		if err != nil {
			t.Fatal(err)
		}
		if s.by[who], err = converter.NewSearchTokens(ring, converter.SearchTokenOptions{Keyset: "search/x", Scope: "payments"}); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func (s *searcher) SearchTokens(scope, tenant, attribute, value string) ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	switch tokens := s.by[scope+"/"+tenant]; {
	case s.err != nil:
		return nil, s.err
	case tokens == nil:
		return nil, fmt.Errorf("scope %q: %w", scope, codecserver.ErrNoSearchKeys)
	default:
		return tokens.Candidates(attribute, value)
	}
}

const searchers = `
deny:
  - {name: not-evil, tenants: [evil]}
grants:
  - {name: search, issuer: "https://idp", groups: [oncall], namespaces: [payments, orders], actions: [search]}
  - {name: one-tenant, issuer: "https://idp", subjects: [u-bob], namespaces: [payments], tenants: [acme], actions: [search]}
`

func searchWorld(t *testing.T, change ...func(*codecserver.Config)) (*world, *searcher) {
	t.Helper()
	s := newSearcher(t)
	change = append([]func(*codecserver.Config){withPolicy(t, searchers), func(c *codecserver.Config) { c.Search = s }}, change...)
	return newWorld(t, change...), s
}

const askSSN = `{"attribute":"PatientSSN","value":"` + secret + `"}`

func TestASearchTokenIsThatOfTheLibrary(t *testing.T) {
	w, s := searchWorld(t)
	for _, c := range []struct{ who, body, tenant, attribute, filter string }{
		{"ann", askSSN, "", "PatientSSN", "PatientSSN"},
		{"ann", `{"tenant":"acme","attribute":"patient.ssn-1","value":"` + secret + `"}`, "acme", "patient.ssn-1", "`patient.ssn-1`"},
		{"bob", `{"tenant":"acme","attribute":"PatientSSN","value":"` + secret + `"}`, "acme", "PatientSSN", "PatientSSN"},
	} {
		want, err := s.by["payments/"+c.tenant].Candidates(c.attribute, secret)
		if err != nil || len(want) != 2 {
			t.Fatal(want, err)
		}
		for _, a := range []ask{fromUI(c.who, "search-token", c.body), fromMachine(c.who, "team/search-token", c.body, "X-Namespace", "payments")} {
			r := w.send(a).want(http.StatusOK)
			var got struct {
				Attribute, Query string
				Tokens           []string
			}
			if err := json.Unmarshal([]byte(r.text), &got); err != nil || fmt.Sprint(got.Tokens) != fmt.Sprint(want) || got.Attribute != c.attribute ||
				got.Query != c.filter+" IN ('"+want[0]+"', '"+want[1]+"')" {
				t.Errorf("%s: answer %s, %v; want tokens %v", c.body, r.text, err, want)
			}
			if r.Header.Get("Cache-Control") != "no-store" || r.Header.Get("Content-Type") != "application/json" ||
				a.header["Origin"] != r.Header.Get("Access-Control-Allow-Origin") {
				t.Errorf("headers %v", r.Header)
			}
			w.nothingLeaks(r)
			rec := w.wantAudit("allow - " + map[string]string{"ann": "search", "bob": "one-tenant"}[c.who] + " payments/")[0]
			if rec.Action != "search" || rec.Attribute != c.attribute || rec.Tenant != c.tenant || rec.RequestID != r.Header.Get("X-Request-Id") ||
				rec.Payload != 0 || strings.Contains(rec.raw, want[0]) || strings.Contains(rec.raw, want[1]) {
				t.Errorf("record %s", rec.raw)
			}
		}
	}
}

func TestWhoMayNotSearchGetsNothingAndIsOnRecord(t *testing.T) {
	w, s := searchWorld(t)
	tenant := func(name string) string { return strings.Replace(askSSN, "{", `{"tenant":"`+name+`",`, 1) }
	for says, c := range map[string]struct {
		a      ask
		status int
		audit  []string
	}{
		"no grant":          {fromUI("bob", "search-token", askSSN), http.StatusForbidden, []string{"deny not-granted - (payments/)"}},
		"another tenant":    {fromUI("bob", "search-token", tenant("evil")), http.StatusForbidden, []string{"deny denied not-evil (payments/)"}},
		"a denied tenant":   {fromUI("ann", "search-token", tenant("evil")), http.StatusForbidden, []string{"deny denied not-evil (payments/)"}},
		"unknown namespace": {fromUI("ann", "search-token", askSSN, "X-Namespace", "elsewhere"), http.StatusForbidden, []string{"deny unknown-namespace - (elsewhere/)"}},
		"a scope as name":   {fromUI("ann", "search-token", askSSN, "X-Namespace", "orders-v1"), http.StatusForbidden, []string{"deny unknown-namespace - (orders-v1/)"}},
		"nobody":            {fromUI("", "search-token", askSSN), http.StatusUnauthorized, []string{"deny missing-token - /"}},
		"no namespace":      {fromMachine("ann", "search-token", askSSN), http.StatusBadRequest, nil},
		"undefined":         {fromUI("ann", "search-token", askSSN, "X-Namespace", "undefined"), http.StatusBadRequest, nil},
		"another origin":    {fromUI("ann", "search-token", askSSN, "Origin", "https://evil.example.com"), http.StatusForbidden, nil},
		"text":              {fromUI("ann", "search-token", askSSN, "Content-Type", "text/plain"), http.StatusUnsupportedMediaType, nil},
	} {
		r := w.send(c.a).want(c.status)
		if strings.Contains(r.text, "tokens") || strings.Contains(r.text, "explanation") {
			t.Errorf("%s: %s", says, r.text)
		}
		w.nothingLeaks(r)
		for _, rec := range w.wantAudit(c.audit...) {
			if rec.Action != "search" {
				t.Errorf("%s: record %s", says, rec.raw)
			}
		}
	}
	if s.asked != 0 {
		t.Errorf("%d tokens were made", s.asked)
	}
}

func TestAnUnclearSearchIsABadRequest(t *testing.T) {
	w, s := searchWorld(t)
	for says, text := range map[string]string{
		"nothing": "", "not JSON": "x", "a list": "[]", "null": "null", "no value": `{"attribute":"A"}`, "no attribute": `{"value":"` + secret + `"}`,
		"a quote in the attribute": `{"attribute":"A' OR 'x","value":"` + secret + `"}`, "a backtick": "{\"attribute\":\"A`\",\"value\":\"" + secret + `"}`,
		"an empty value": `{"attribute":"A","value":""}`, "a number": `{"attribute":"A","value":7}`, "a member too many": `{"attribute":"A","value":"` + secret + `","tenent":"acme"}`,
		"more behind": askSSN + askSSN, "not UTF-8": "{\"attribute\":\"A\",\"value\":\"" + secret + "\xff\"}",
		"a path as tenant": `{"attribute":"A","value":"` + secret + `","tenant":"a/b"}`, "control characters": `{"attribute":"A","value":"` + secret + `","tenant":"a\u0007"}`,
		"a long attribute": `{"attribute":"` + strings.Repeat("a", 300) + `","value":"x"}`,
	} {
		r := w.send(fromUI("ann", "search-token", text))
		if r.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: status %d", says, r.StatusCode)
		}
		w.nothingLeaks(r)
	}
	w.nothingLeaks(w.send(fromUI("ann", "search-token", `{"attribute":"A","value":"`+strings.Repeat("x", 64<<10)+`"}`)).want(http.StatusRequestEntityTooLarge))
	if s.asked != 0 {
		t.Errorf("%d tokens were made", s.asked)
	}
	w.wantAudit()
}

func TestASearchWithoutKeysSaysWhich(t *testing.T) {
	w, s := searchWorld(t)
	w.send(fromUI("ann", "search-token", askSSN, "X-Namespace", "orders")).want(http.StatusNotFound)
	w.wantAudit("unreadable no-search-keyset search (orders/)")
	s.err = reasonError("key-unavailable")
	w.send(fromUI("ann", "search-token", askSSN)).want(http.StatusServiceUnavailable)
	s.err = errors.New("broken")
	w.nothingLeaks(w.send(fromUI("ann", "search-token", askSSN)).want(http.StatusInternalServerError))
	w.wantAudit("unreadable key-unavailable search (payments/)", "unreadable internal search (payments/)")

	none := newWorld(t, withPolicy(t, searchers))
	for _, path := range []string{"search-token", "search"} {
		none.send(fromUI("ann", path, askSSN)).want(http.StatusNotFound)
	}
	w.send(fromUI("ann", "search", askSSN)).want(http.StatusNotFound) // the action's name is not the path's
}

func TestASearchWithoutARecordIsNotAnswered(t *testing.T) {
	w, _ := searchWorld(t, func(c *codecserver.Config) { c.Audit = audit.New(brokenSink{}) })
	r := w.send(fromUI("ann", "search-token", askSSN)).want(http.StatusServiceUnavailable)
	if strings.Contains(r.text, "tokens") {
		t.Error(r.text)
	}
	w.nothingLeaks(r)
}

// Whoever may ask can try values: that is what the limit is for.
func TestSearchesCountTowardsWhatACallerMayHave(t *testing.T) {
	w, s := searchWorld(t, func(c *codecserver.Config) { c.Limits.PayloadBurst, c.Limits.PayloadsPerSecond = 3, 0.001 })
	for i := range 5 {
		status := http.StatusOK
		if i >= 3 {
			status = http.StatusTooManyRequests
		}
		w.send(fromMachine("ann", "search-token", askSSN, "X-Namespace", "payments")).want(status)
	}
	if s.asked != 3 {
		t.Errorf("%d tokens were made", s.asked)
	}
	if got, _ := w.audited(); len(got) != 5 || got[4] != "deny rate-limited search (payments/)" {
		t.Errorf("records %q", got)
	}
}
