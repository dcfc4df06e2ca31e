package keyconfig

import (
	"errors"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

func parse(t *testing.T, text string) Config {
	t.Helper()
	var c Config
	if err := yaml.UnmarshalWithOptions([]byte(text), &c, yaml.Strict()); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return c
}

func TestAGoodSectionPasses(t *testing.T) {
	t.Setenv("VAULT_ADDR", "")
	t.Setenv("VAULT_AGENT_ADDR", "")
	t.Setenv("VAULT_TOKEN", "t")
	for name, text := range map[string]string{
		"file":               "file: {dir: keys}",
		"token from the env": "vault: {address: 'https://v:8200'}",
		"loopback":           "vault: {address: 'http://127.0.0.1:8200'}",
		"loopback, IPv6":     "vault: {address: 'http://[::1]:8200'}",
		"agent's socket":     "vault: {address: 'unix:///run/vault/agent.sock'}",
		"plain HTTP by name": "vault: {address: 'http://v:8200', insecureAllowHTTP: true}",
		"token file":         "vault: {address: 'https://v', auth: {method: token, tokenFile: f}}",
		"approle":            "vault: {address: 'https://v', auth: {method: approle, roleID: r, secretIDFile: f, mount: a/b}}",
		"jwt":                "vault: {address: 'https://v', auth: {method: jwt, role: r, jwtFile: f}}",
		"kubernetes":         "vault: {address: 'https://v', auth: {method: kubernetes, role: r}}",
		"cert":               "vault: {address: 'https://v', clientCert: c, clientKey: k, auth: {method: cert}}",
		"cert, one role":     "vault: {address: 'https://v', caPath: d, clientCert: c, clientKey: k, auth: {method: cert, role: r, mount: m}}",
		"own Transit keys":   "vault: {address: 'https://v', ownKeysUnder: [tenant/, ns/a/tenants/]}",
		"everything": `{vault: {address: 'https://v', namespace: n, caCert: c, clientCert: c, clientKey: k, tlsServerName: s, kvMount: kv, prefix: a/b, transitMount: t, transitKey: k,
			auth: {method: kubernetes, role: r, jwtFile: f, mount: m}}}`,
	} {
		if err := parse(t, text).Check(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestVaultAddrStandsInForTheAddress(t *testing.T) {
	c := Config{Vault: &Vault{}}
	t.Setenv("VAULT_AGENT_ADDR", "")
	t.Setenv("VAULT_TOKEN", "t")
	t.Setenv("VAULT_ADDR", "https://vault.example.com:8200")
	if err := c.Check(); err != nil {
		t.Errorf("with VAULT_ADDR: %v", err)
	}
	t.Setenv("VAULT_ADDR", "http://vault.example.com:8200")
	if err := c.Check(); err == nil {
		t.Error("a plain HTTP address of another machine passed because it came from VAULT_ADDR")
	}
}

func TestABadSectionNamesTheFieldAndWhatToDo(t *testing.T) {
	t.Setenv("VAULT_ADDR", "")
	t.Setenv("VAULT_AGENT_ADDR", "")
	t.Setenv("VAULT_TOKEN", "t")
	for text, want := range map[string]struct{ field, says string }{
		"{}": {"", "set keys.vault"},
		"{file: {dir: k}, vault: {address: 'https://v'}}": {"", "remove keys.file or keys.vault"},
		"file: {}":                   {"file.dir", "is missing"},
		"vault: {}":                  {"vault.address", "VAULT_ADDR"},
		"vault: {address: 'v:8200'}": {"vault.address", "https://vault.example.com:8200"},
		"vault: {address: 'https://user:secret@v'}":                                        {"vault.address", "is not the URL"},
		"vault: {address: 'http://v:8200'}":                                                {"vault.address", "use https"},
		"vault: {address: 'http://127.0.0.1.example.com'}":                                 {"vault.address", "use https"},
		"vault: {address: 'https://v', kvMount: /secret}":                                  {"vault.kvMount", "slash"},
		"vault: {address: 'https://v', prefix: a//b}":                                      {"vault.prefix", "slash"},
		"vault: {address: 'https://v', transitMount: ../sys}":                              {"vault.transitMount", "dots"},
		"vault: {address: 'https://v', transitKey: a/}":                                    {"vault.transitKey", "slash"},
		"vault: {address: 'https://v', ownKeysUnder: [tenant]}":                            {"vault.ownKeysUnder", "write it like tenant/"},
		"vault: {address: 'https://v', ownKeysUnder: [/]}":                                 {"vault.ownKeysUnder", "up to a slash"},
		"vault: {address: 'https://v', auth: {method: kubernetes, role: r, mount: /k}}":    {"vault.auth.mount", "slash"},
		"vault: {address: 'https://v', auth: {method: ldap}}":                              {"vault.auth.method", "use token, approle, jwt, kubernetes or cert"},
		"vault: {address: 'https://v', auth: {mount: t}}":                                  {"vault.auth.mount", "does not belong to the auth method token"},
		"vault: {address: 'https://v', auth: {role: r}}":                                   {"vault.auth.role", "does not belong to the auth method token"},
		"vault: {address: 'https://v', auth: {method: approle, roleID: r}}":                {"vault.auth.secretIDFile", "is missing"},
		"vault: {address: 'https://v', auth: {method: approle, secretIDFile: f}}":          {"vault.auth.roleID", "is missing"},
		"vault: {address: 'https://v', auth: {method: jwt, role: r}}":                      {"vault.auth.jwtFile", "is missing"},
		"vault: {address: 'https://v', auth: {method: jwt, jwtFile: f}}":                   {"vault.auth.role", "is missing"},
		"vault: {address: 'https://v', auth: {method: kubernetes}}":                        {"vault.auth.role", "is missing"},
		"vault: {address: 'https://v', auth: {method: cert}}":                              {"vault.clientCert", "VAULT_CLIENT_CERT"},
		"vault: {address: 'https://v', clientCert: c}":                                     {"vault.clientKey", "VAULT_CLIENT_KEY"},
		"vault: {address: 'https://v', clientKey: k}":                                      {"vault.clientCert", "is missing"},
		"vault: {address: 'https://v', caCert: c, caPath: d}":                              {"vault.caPath", "remove one"},
		"vault: {address: 'https://v', auth: {method: kubernetes, role: r, tokenFile: f}}": {"vault.auth.tokenFile", "does not belong"},
	} {
		err := parse(t, text).Check()
		if err == nil {
			t.Errorf("%s: passed", text)
			continue
		}
		if !strings.Contains(err.Error(), want.says) || strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "secret@") {
			t.Errorf("%s: %q, want one line with %q", text, err, want.says)
		}
		var fe *FieldError
		if errors.As(err, &fe) != (want.field != "") || (fe != nil && fe.Field != want.field) {
			t.Errorf("%s: error names field %+v, want %q", text, fe, want.field)
		}
	}
}

func TestAFieldThatDoesNotExistIsRefused(t *testing.T) {
	var c Config
	err := yaml.UnmarshalWithOptions([]byte("vault: {token: hvs.secret}"), &c, yaml.Strict())
	if err == nil {
		t.Error("a token in the configuration was accepted")
	}
}
