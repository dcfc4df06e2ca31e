package vaulttoken_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/signet-temporal/signet/principal/s2s/vaulttoken"
)

// vault answers every request with status and body. The texts of errors below are those of Vault 1.21.2; e2e/s2s meets them
// in the real one.
func vault(t *testing.T, status int, body string) (*api.Client, *string) {
	t.Helper()
	asked := new(string)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*asked = r.Method + " " + r.URL.EscapedPath()
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}))
	t.Cleanup(server.Close)
	config := api.DefaultConfig()
	config.Address, config.MaxRetries = server.URL, 0
	client, err := api.NewClient(config)
	if err != nil {
		t.Fatal(err)
	}
	client.SetToken("hvs.canary")
	return client, asked
}

const minted = `{"data":{"client_id":"payments","token":"a.b.c","ttl":600}}`

func TestATokenIsMintedByTheRoleOfItsAudience(t *testing.T) {
	client, asked := vault(t, 200, minted)
	for _, c := range []struct {
		roles map[string]string
		path  string
	}{{nil, "payments"}, {map[string]string{"payments": "to-payments"}, "to-payments"}} {
		source, err := vaulttoken.New(client, c.roles)
		if err != nil {
			t.Fatal(err)
		}
		token, err := source.Token(t.Context(), "payments")
		if err != nil || token.Reveal() != "a.b.c" || time.Until(token.Expiry).Round(10*time.Second) != 10*time.Minute {
			t.Errorf("%v, %v", token, err)
		}
		if *asked != "GET /v1/identity/oidc/token/"+c.path {
			t.Errorf("Vault was asked %s", *asked)
		}
	}
}

func TestWhateverVaultAnswersTheErrorSaysWhatToDoAndHoldsNoToken(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		body   string
		want   string
	}{
		"another audience": {200, `{"data":{"client_id":"other","token":"canary","ttl":600}}`, "set its client_id to payments"},
		"no token":         {200, `{"data":{"client_id":"payments","ttl":600}}`, "without a token"},
		"no ttl":           {200, `{"data":{"client_id":"payments","token":"canary"}}`, "without a token and its ttl"},
		"no entity":        {400, `{"errors":["no entity associated with the request's token"]}`, "AppRole"},
		"no role":          {400, `{"errors":["role \"payments\" not found"]}`, "create the role"},
		"nothing there":    {404, `{"errors":[]}`, "vault write identity/oidc/role/payments"},
		"denied":           {403, "{\"errors\":[\"1 error occurred:\\n\\t* permission denied\\n\\n\"]}", `must grant "read" on path "identity/oidc/token/payments"`},
		"sealed":           {503, `{"errors":["Vault is sealed"]}`, "Vault is sealed"},
	} {
		client, _ := vault(t, c.status, c.body)
		source, err := vaulttoken.New(client, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, err = source.Token(t.Context(), "payments")
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "canary") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAnAudienceWithoutARoleIsAMistake(t *testing.T) {
	client, _ := vault(t, 200, minted)
	source, err := vaulttoken.New(client, map[string]string{"other": "other"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := source.Token(t.Context(), "payments"); err == nil {
		t.Error("a token of no role")
	}
	if source, err = vaulttoken.New(client, nil); err != nil {
		t.Fatal(err)
	}
	for _, audience := range []string{"", "https://payments", "../../../sys/seal", "payments?x"} {
		if _, err := source.Token(t.Context(), audience); err == nil || !strings.Contains(err.Error(), "add it to the roles") {
			t.Errorf("audience %q is taken for a role: %v", audience, err)
		}
	}
	if _, err := vaulttoken.New(nil, nil); err == nil {
		t.Error("a source without a client")
	}
	if _, err := vaulttoken.New(client, map[string]string{"payments": ""}); err == nil {
		t.Error("an audience with an empty role")
	}
}
