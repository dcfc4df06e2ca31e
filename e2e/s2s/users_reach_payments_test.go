package s2s_test

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/signet-temporal/signet/e2e/stack"
	"github.com/signet-temporal/signet/principal"
	"github.com/signet-temporal/signet/principal/s2s"
	"github.com/signet-temporal/signet/principal/s2s/vaulttoken"
	"github.com/signet-temporal/signet/tools/parts"
)

func TestPaymentsSeesTheUserTheTenantAndTheWorkload(t *testing.T) {
	w := start(t, parts.VaultOptions{})
	tokens, log := w.tokens("workflow-service", nil)
	client := w.calling(s2s.Credentials{Tokens: tokens, Audience: "payments"})
	status, got := w.payments.call(t, client, ann())
	if want := (answer{"ann-17", "https://login", "acme", "t-1", "user", w.entities["workflow-service"]}); status != 200 || got != want {
		t.Errorf("%d, %+v, want %+v; payments logs: %s", status, got, want, w.payments.log)
	}
	status, got = w.payments.call(t, client, principal.Service("nightly", "globex"))
	if want := (answer{"nightly", "", "globex", "", "service", w.entities["workflow-service"]}); status != 200 || got != want {
		t.Errorf("%d, %+v, want %+v", status, got, want)
	}

	signing, _ := w.tokens("signing-service", nil)
	status, got = w.payments.call(t, w.calling(s2s.Credentials{Tokens: signing, Audience: "payments", Asserter: w.payments.signer}), ann())
	if want := (answer{"ann-17", "https://login", "acme", "t-1", "user", w.entities["signing-service"]}); status != 200 || got != want {
		t.Errorf("signed: %d, %+v, want %+v; payments logs: %s", status, got, want, w.payments.log)
	}

	token, err := tokens.Token(t.Context(), "payments")
	if err != nil {
		t.Fatal(err)
	}
	if lives := time.Until(token.Expiry); lives > 10*time.Minute || lives < 9*time.Minute {
		t.Errorf("a token of ten minutes lives %s", lives)
	}
	for _, secret := range []string{token.Reveal(), strings.Split(token.Reveal(), ".")[1], "ann-17"} {
		if strings.Contains(log.String()+w.payments.log.String(), secret) {
			t.Errorf("a log holds %.20q…", secret)
		}
	}
}

func TestCallsGoOnWhileVaultIsSealed(t *testing.T) {
	t.Parallel() // it waits most of its time
	w := start(t, parts.VaultOptions{Dir: filepath.Join(t.TempDir(), "vault")})
	w.allowAnyRole()
	w.addRole("brief", "payments", "20s") // asked for anew after 13.5 s, served for 15 s
	tokens, log := w.tokens("workflow-service", map[string]string{"payments": "brief"})
	client := w.calling(s2s.Credentials{Tokens: tokens, Audience: "payments"})
	began := time.Now()
	if status, _ := w.payments.call(t, client, ann()); status != 200 {
		t.Fatalf("%d, %s", status, w.payments.log)
	}
	if err := w.vault.Seal(t.Context()); err != nil {
		t.Fatal(err)
	}
	for time.Since(began) < 14500*time.Millisecond {
		if status, _ := w.payments.call(t, client, ann()); status != 200 {
			t.Fatalf("after %s: %d, %s", time.Since(began), status, w.payments.log)
		}
		time.Sleep(100 * time.Millisecond)
	}
	time.Sleep(time.Until(began.Add(15500 * time.Millisecond)))
	if _, err := tokens.Token(t.Context(), "payments"); err == nil || !strings.Contains(err.Error(), "sealed") {
		t.Errorf("a token about to expire is served: %v", err)
	}
	if !strings.Contains(log.String(), "Vault is sealed") {
		t.Errorf("the cache does not tell of the outage: %s", log)
	}
	if err := w.vault.Unseal(t.Context()); err != nil {
		t.Fatal(err)
	}
	stack.Eventually(t, 30*time.Second, func() error { _, err := tokens.Token(t.Context(), "payments"); return err })
	if status, _ := w.payments.call(t, client, ann()); status != 200 {
		t.Errorf("after the outage: %d, %s", status, w.payments.log)
	}
}

func TestWhatVaultAnswersIsExplained(t *testing.T) {
	w := start(t, parts.VaultOptions{})
	w.write("identity/oidc/role/typo", map[string]any{"key": "services", "client_id": "elsewhere"}) // which the key does not allow
	w.addService("idle", "default")
	reports, idle := w.login("reports"), w.login("idle")
	for name, c := range map[string]struct {
		client *api.Client
		role   string
		want   string
	}{
		"a root token":           {w.root, "payments", "log in through an auth method"},
		"a role of another name": {reports, "none", "create the role"},
		"another audience":       {reports, "reports", "set its client_id to payments"},
		"a key that forbids it":  {reports, "typo", "its key allows its client_id"},
		"no permission":          {idle, "payments", `must grant "read" on path "identity/oidc/token/payments"`},
		"no Vault token":         {w.client(""), "payments", `must grant "read"`},
	} {
		source, err := vaulttoken.New(c.client, map[string]string{"payments": c.role})
		if err != nil {
			t.Fatal(err)
		}
		_, err = source.Token(t.Context(), "payments")
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "eyJ") {
			t.Errorf("%s: %v, want …%s…", name, err, c.want)
		}
		t.Logf("%s: %v", name, err)
	}
}
