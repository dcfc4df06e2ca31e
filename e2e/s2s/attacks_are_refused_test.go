package s2s_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/signet-temporal/signet/principal"
	"github.com/signet-temporal/signet/principal/s2s"
	"github.com/signet-temporal/signet/tools/parts"
)

func TestAttacksOnPaymentsAreRefused(t *testing.T) {
	w := start(t, parts.VaultOptions{})
	p := w.payments
	workflow, reports, signing := w.bearer("workflow-service", "payments"), w.bearer("reports", "payments"), w.bearer("signing-service", "payments")
	forReports := w.bearer("reports", "reports")
	user, issuer, tenant, txn := "X-Forwarded-User: ann-17", "X-Forwarded-Issuer: https://login", "X-Forwarded-Tenant: acme", "X-Forwarded-Txn: t-1"
	signed := func(p principal.Principal, audience string) string {
		text, err := w.payments.signer.Assert(t.Context(), p, audience)
		if err != nil {
			t.Fatal(err)
		}
		return "X-Forwarded-Assertion: " + text
	}
	bob := ann()
	bob.Subject = "bob"
	for _, c := range []struct {
		name   string
		header []string
		status int
		reason string // in the log of payments
	}{
		{"the control", []string{workflow, user, issuer, tenant, txn}, 200, ""},
		{"the control, signed", []string{signing, user, issuer, tenant, txn, signed(ann(), "payments")}, 200, ""},
		{"no token", []string{user, issuer, tenant}, 401, "no service token"},
		{"a forged token", []string{workflow[:len(workflow)-20] + strings.Repeat("A", 20), user, issuer, tenant}, 401, "bad-signature"},
		{"a Vault token instead of an identity token", []string{"Authorization: Bearer " + w.vault.Token, user, issuer, tenant}, 401, "malformed-token"},
		{"a token for another audience", []string{forReports, user, issuer, tenant}, 401, "wrong-audience"},
		{"a token that may not forward", []string{reports, user, issuer, tenant}, 403, "not listed"},
		{"a tenant out of scope", []string{workflow, user, issuer, "X-Forwarded-Tenant: initech"}, 403, "initech"},
		{"no tenant", []string{workflow, user, issuer}, 403, "tenant"},
		{"a duplicate user", []string{workflow, user, "X-Forwarded-User: mallory", issuer, tenant}, 400, "2 times"},
		{"a duplicate user, written differently", []string{workflow, user, "x-forwarded-user: mallory", issuer, tenant}, 400, "2 times"},
		{"a user with underscores", []string{workflow, user, "X_Forwarded_User: mallory", issuer, tenant}, 400, "underscores"},
		{"a user joined by a proxy", []string{workflow, "X-Forwarded-User: ann-17,mallory", issuer, tenant}, 400, "comma"},
		{"no user", []string{workflow, tenant}, 400, "X-Forwarded-User is missing"},
		{"unsigned", []string{signing, user, issuer, tenant, txn}, 403, "did not"},
		{"signed for another audience", []string{signing, user, issuer, tenant, txn, signed(ann(), "reports")}, 403, "assertion is not good"},
		{"signed for another user", []string{signing, user, issuer, tenant, txn, signed(bob, "payments")}, 403, "somebody else"},
	} {
		before, logged := p.calls.Load(), len(p.log.String())
		status, _ := p.send(t, c.header...)
		log := p.log.String()[logged:]
		if status != c.status || !strings.Contains(log, c.reason) {
			t.Errorf("%s: %d and in the log %q, want %d and %q", c.name, status, log, c.status, c.reason)
		}
		if reached := p.calls.Load() - before; reached != 0 && c.status != 200 {
			t.Errorf("%s: the handler was called", c.name)
		}
		if strings.Contains(log, "mallory") || strings.Contains(log, "ann-17") || strings.Contains(log, "eyJ") {
			t.Errorf("%s: the log names a user or holds a token: %s", c.name, log)
		}
	}
}

func TestAnExpiredTokenIsRefusedAndTheCacheHasAFreshOne(t *testing.T) {
	t.Parallel() // it waits most of its time
	w := start(t, parts.VaultOptions{})
	w.allowAnyRole()
	w.addRole("brief", "payments", "2s")
	tokens, _ := w.tokens("workflow-service", map[string]string{"payments": "brief"})
	old, err := tokens.Token(t.Context(), "payments")
	if err != nil || time.Until(old.Expiry) > 2*time.Second {
		t.Fatalf("%v, %v", old, err)
	}
	header := []string{"Authorization: Bearer " + old.Reveal(), "X-Forwarded-User: ann-17", "X-Forwarded-Tenant: acme"}
	if status, _ := w.payments.send(t, header...); status != 200 {
		t.Errorf("a fresh token: %d, %s", status, w.payments.log)
	}
	time.Sleep(time.Until(old.Expiry.Add(30 * time.Second))) // the verifier forgives so much to clocks, and "exp" is in whole seconds
	status := 200
	for end := time.Now().Add(30 * time.Second); status == 200 && time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		status, _ = w.payments.send(t, header...)
	}
	if status != 401 || !strings.Contains(w.payments.log.String(), "expired-token") {
		t.Errorf("an expired token: %d, %s", status, w.payments.log)
	}
	if status, _ := w.payments.call(t, w.calling(s2s.Credentials{Tokens: tokens, Audience: "payments"}), ann()); status != 200 {
		t.Errorf("through the cache: %d, %s", status, w.payments.log)
	}
}

func TestATokenIsSentNowhereElse(t *testing.T) {
	w := start(t, parts.VaultOptions{})
	var leaked []http.Header
	listening := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { leaked = append(leaked, r.Header) })
	elsewhere := httptest.NewTLSServer(listening)
	defer elsewhere.Close()
	clear := httptest.NewServer(listening)
	defer clear.Close()
	redirecting := httptest.NewTLSServer(http.RedirectHandler(elsewhere.URL, http.StatusTemporaryRedirect))
	defer redirecting.Close()

	tokens, _ := w.tokens("workflow-service", nil)
	transport, err := s2s.NewTransport(s2s.Credentials{Tokens: tokens, Audience: "payments"}, s2s.TransportOptions{
		Hosts: []string{strings.TrimPrefix(redirecting.URL, "https://"), strings.TrimPrefix(clear.URL, "http://")}, Base: w.payments.Client().Transport,
	})
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: transport}
	for name, url := range map[string]string{"plain http": clear.URL, "an unlisted host": elsewhere.URL, "a redirect to another host": redirecting.URL} {
		req, err := http.NewRequestWithContext(principal.NewContext(t.Context(), ann()), http.MethodPost, url, strings.NewReader("body"))
		if err != nil {
			t.Fatal(err)
		}
		if resp, err := client.Do(req); !errors.Is(err, s2s.ErrRefused) {
			t.Errorf("%s: %v, %v", name, resp, err)
		}
	}
	if len(leaked) != 0 {
		t.Errorf("sent: %v", leaked)
	}
}
