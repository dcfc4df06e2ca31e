// Package s2s_test calls one service from another for a user: real Vault logins, identity tokens that Vault minted and
// that the called service verifies by OpenID Connect discovery, and real TLS in between.
package s2s_test

import (
	"crypto/x509"
	"log/slog"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/signet-temporal/signet/e2e/stack"
	"github.com/signet-temporal/signet/keys/vaultstore"
	"github.com/signet-temporal/signet/principal"
	"github.com/signet-temporal/signet/principal/s2s"
	"github.com/signet-temporal/signet/principal/s2s/vaulttoken"
	"github.com/signet-temporal/signet/tools/parts"
)

// world has a Vault that was made ready as the documentation says, services that may log in to it, and the service
// payments, which they call.
type world struct {
	t        *testing.T
	vault    *parts.Vault
	root     *api.Client // may do everything
	issuer   string      // of identity tokens
	roots    *x509.CertPool
	entities map[string]string // by service
	payments *payments
}

func start(t *testing.T, o parts.VaultOptions) *world {
	t.Helper()
	o.Program, o.TLS, o.CertDir = stack.Ensure(t, parts.VaultServer).Vault, true, t.TempDir()
	vault, err := parts.StartVault(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := vault.Stop(); err != nil {
			t.Error(err)
		}
	})
	w := &world{t: t, vault: vault, issuer: vault.Address + "/v1/identity/oidc", roots: x509.NewCertPool(), entities: map[string]string{}}
	pem, err := os.ReadFile(vault.CAFile)
	if err != nil || !w.roots.AppendCertsFromPEM(pem) {
		t.Fatal(err)
	}
	w.root = w.client(vault.Token)
	w.entities["workflow-service"] = runDocumented(t, w.root)["entity"]

	// More than the documentation needs: another audience, and services that may not do what the first one may.
	w.write("identity/oidc/key/services", map[string]any{"allowed_client_ids": "payments,reports", "rotation_period": "24h", "verification_ttl": "24h"})
	w.write("sys/policies/acl/any-token", map[string]any{"policy": `path "identity/oidc/token/*" { capabilities = ["read"] }`})
	w.addRole("reports", "reports", "10m")
	w.addService("reports", "any-token")
	w.addService("signing-service", "any-token")
	w.startPayments()
	return w
}

func (w *world) client(token string) *api.Client {
	w.t.Helper()
	client, err := vaultstore.NewClient(vaultstore.ClientOptions{Address: w.vault.Address, CACert: w.vault.CAFile})
	if err != nil {
		w.t.Fatal(err)
	}
	client.SetToken(token)
	return client
}

func (w *world) write(path string, data map[string]any) map[string]any {
	w.t.Helper()
	secret, err := w.root.Logical().WriteWithContext(w.t.Context(), path, data)
	if err != nil {
		w.t.Fatalf("%s: %v", path, err)
	}
	if secret == nil {
		return nil
	}
	return secret.Data
}

// addRole makes a role that mints tokens for audience.
func (w *world) addRole(role, audience, ttl string) {
	w.t.Helper()
	w.write("identity/oidc/role/"+role, map[string]any{"key": "services", "client_id": audience, "ttl": ttl})
}

// allowAnyRole lets workflow-service use roles that the documentation does not have, from its next login on.
func (w *world) allowAnyRole() {
	w.t.Helper()
	w.write("auth/approle/role/workflow-service", map[string]any{"token_policies": "any-token"})
}

// addService lets a service log in.
func (w *world) addService(name, policy string) {
	w.t.Helper()
	w.write("auth/approle/role/"+name, map[string]any{"token_policies": policy})
	entity := w.write("identity/entity", map[string]any{"name": name})["id"].(string)
	mount, err := w.root.Logical().ReadWithContext(w.t.Context(), "sys/auth/approle")
	if err != nil {
		w.t.Fatal(err)
	}
	w.write("identity/entity-alias", map[string]any{"name": w.roleID(name), "canonical_id": entity, "mount_accessor": mount.Data["accessor"]})
	w.entities[name] = entity
}

func (w *world) roleID(service string) string {
	w.t.Helper()
	secret, err := w.root.Logical().ReadWithContext(w.t.Context(), "auth/approle/role/"+service+"/role-id")
	if err != nil {
		w.t.Fatal(err)
	}
	return secret.Data["role_id"].(string)
}

// login logs a service in and keeps it logged in until the test ends.
func (w *world) login(service string) *api.Client {
	w.t.Helper()
	client := w.client("")
	secretID := w.write("auth/approle/role/"+service+"/secret-id", nil)["secret_id"].(string)
	session, err := vaultstore.Login(w.t.Context(), client, vaultstore.Auth{AppRole: &vaultstore.AppRole{RoleID: w.roleID(service), SecretID: secretID}}, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(session.Close)
	return client
}

// tokens are a service's, with what its cache logs.
func (w *world) tokens(service string, roles map[string]string) (*s2s.Cache, *buffer) {
	w.t.Helper()
	source, err := vaulttoken.New(w.login(service), roles)
	if err != nil {
		w.t.Fatal(err)
	}
	log := &buffer{}
	cache, err := s2s.NewCache(source, s2s.CacheOptions{Logger: slog.New(slog.NewTextHandler(log, nil))})
	if err != nil {
		w.t.Fatal(err)
	}
	return cache, log
}

// bearer is the Authorization header of a service's token.
func (w *world) bearer(service, audience string) string {
	w.t.Helper()
	cache, _ := w.tokens(service, nil)
	token, err := cache.Token(w.t.Context(), audience)
	if err != nil {
		w.t.Fatal(err)
	}
	return "Authorization: Bearer " + token.Reveal()
}

// calling is an http.Client of a service that calls payments.
func (w *world) calling(c s2s.Credentials) *http.Client {
	w.t.Helper()
	transport, err := s2s.NewTransport(c, s2s.TransportOptions{Hosts: []string{w.payments.host()}, Base: w.payments.Client().Transport})
	if err != nil {
		w.t.Fatal(err)
	}
	return &http.Client{Transport: transport}
}

func ann() principal.Principal {
	return principal.Principal{Kind: principal.KindUser, Issuer: "https://login", Subject: "ann-17", Tenant: "acme", Txn: "t-1", IssuedAt: time.Now()}
}
