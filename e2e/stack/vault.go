package stack

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/hashicorp/vault/api"

	"github.com/signet-temporal/signet/keys/vaultstore"
	"github.com/signet-temporal/signet/tools/parts"
)

// Roles holds what each program logs in to Vault with. None of them is the root token.
type Roles struct {
	// WorkerToken and CustodianToken are renewable tokens with the policy of package vaultstore for that role.
	WorkerToken, CustodianToken string
	// ServerRoleID and ServerSecretIDFile are the AppRole of signet-server, which has the worker's policy.
	ServerRoleID, ServerSecretIDFile string
}

func (s *Stack) startVault(t *testing.T) {
	t.Helper()
	o := parts.VaultOptions{Program: s.Paths.Vault}
	if s.Options.KeepVault {
		o.Dir = filepath.Join(s.Dir, "vault")
	}
	var err error
	if s.Vault, err = parts.StartVault(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	stopAtEnd(t, s.Vault)
	s.prepareVault(t)
}

// prepareVault does what the documentation of vaultstore asks an operator to do.
func (s *Stack) prepareVault(t *testing.T) {
	t.Helper()
	if s.Options.KeepVault { // a dev server has this one already
		s.VaultWrite(t, "sys/mounts/secret", map[string]any{"type": "kv", "options": map[string]string{"version": "2"}})
	}
	s.VaultWrite(t, "sys/mounts/transit", map[string]any{"type": "transit"})
	s.VaultWrite(t, "transit/keys/signet", map[string]any{"derived": true})
	for name, text := range map[string]func() (string, error){
		"signet-worker":    vaultstore.Options{OwnKeysUnder: s.Options.OwnKeysUnder}.WorkerPolicy,
		"signet-custodian": vaultstore.Options{OwnKeysUnder: s.Options.OwnKeysUnder}.CustodianPolicy,
	} {
		policy, err := text()
		if err != nil {
			t.Fatal(err)
		}
		s.VaultWrite(t, "sys/policies/acl/"+name, map[string]any{"policy": policy})
	}
	s.Roles.WorkerToken = s.VaultToken(t, "signet-worker")
	s.Roles.CustodianToken = s.VaultToken(t, "signet-custodian")

	s.VaultWrite(t, "sys/auth/approle", map[string]any{"type": "approle"})
	s.VaultWrite(t, "auth/approle/role/signet-server", map[string]any{"token_policies": "signet-worker", "token_period": "1h"})
	role := s.VaultRead(t, "auth/approle/role/signet-server/role-id")
	secret := s.VaultWrite(t, "auth/approle/role/signet-server/secret-id", nil)
	s.Roles.ServerRoleID = text(t, role, "role_id")
	s.Roles.ServerSecretIDFile = s.WriteFile(t, "server-secret-id", text(t, secret, "secret_id"))
}

// VaultToken makes a renewable token with the given policy and Vault's own "default".
func (s *Stack) VaultToken(t *testing.T, policy string) string {
	t.Helper()
	answer := s.VaultWrite(t, "auth/token/create", map[string]any{"policies": []string{policy}, "period": "1h"})
	if answer.Auth == nil || answer.Auth.ClientToken == "" {
		t.Fatalf("Vault made no token with policy %s", policy)
	}
	return answer.Auth.ClientToken
}

// VaultWrite and VaultRead call Vault with the root token: what the operator of Vault does, never signet.
func (s *Stack) VaultWrite(t *testing.T, path string, data map[string]any) *api.Secret {
	t.Helper()
	answer, err := s.root(t).Logical().WriteWithContext(t.Context(), path, data)
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

// VaultRead reads with the root token. See [Stack.VaultWrite].
func (s *Stack) VaultRead(t *testing.T, path string) *api.Secret {
	t.Helper()
	answer, err := s.root(t).Logical().ReadWithContext(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

func (s *Stack) root(t *testing.T) *api.Client {
	t.Helper()
	client, err := vaultstore.NewClient(vaultstore.ClientOptions{Address: s.Vault.Address})
	if err != nil {
		t.Fatal(err)
	}
	client.SetToken(s.Vault.Token)
	return client
}

// Store opens the key store in Vault with a token, as programs do. An empty address is that of the stack's Vault.
func (s *Stack) Store(t *testing.T, address, token string) *vaultstore.Store {
	t.Helper()
	if address == "" {
		address = s.Vault.Address
	}
	client, err := vaultstore.NewClient(vaultstore.ClientOptions{Address: address})
	if err != nil {
		t.Fatal(err)
	}
	session, err := vaultstore.Login(context.WithoutCancel(t.Context()), client, vaultstore.Auth{Token: token}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(session.Close)
	store, err := vaultstore.New(client, vaultstore.Options{Session: session, OwnKeysUnder: s.Options.OwnKeysUnder})
	if err != nil {
		t.Fatal(err)
	}
	return store
}

func text(t *testing.T, answer *api.Secret, field string) string {
	t.Helper()
	if answer == nil {
		t.Fatalf("Vault answered nothing, wanted %s", field)
	}
	value, ok := answer.Data[field].(string)
	if !ok || value == "" {
		t.Fatalf("Vault's answer has no %s", field)
	}
	return value
}
