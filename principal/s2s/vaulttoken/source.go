// Package vaulttoken gets service tokens from Vault's identity engine: Vault signs a JWT that names the entity behind the
// service's own Vault login, so a service that has a Vault login for its keys needs no other credential. The services that
// are called verify it by OpenID Connect discovery at <vault>/v1/identity/oidc, and need no login.
//
// # What has to be in Vault
//
// A signing key, and a role for each audience, whose client_id is the audience:
//
//	vault write identity/oidc/key/services allowed_client_ids=payments rotation_period=24h verification_ttl=24h
//	vault write identity/oidc/role/payments key=services client_id=payments ttl=10m
//
// The policy of the services that call payments:
//
//	path "identity/oidc/token/payments" { capabilities = ["read"] }
//
// A login through an auth method has an entity. A root token and one from "vault token create" have none.
package vaulttoken

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/signet-temporal/signet/principal/s2s"
)

// Source is a token source. It asks Vault at each call: put an [s2s.Cache] in front.
type Source struct {
	client *api.Client
	roles  map[string]string
}

// New returns a source over a client that is logged in, and stays so: vaultstore.Login does that. roles maps each audience
// to the role that mints tokens for it; nil takes the audience itself for the role's name.
func New(client *api.Client, roles map[string]string) (*Source, error) {
	if client == nil {
		return nil, errors.New("vaulttoken.New: no Vault client: make one with vaultstore.NewClient")
	}
	for audience, role := range roles {
		if audience == "" || !isRole(role) {
			return nil, fmt.Errorf("vaulttoken.New: %.100q is no audience, or %.100q is no name of a role", audience, role)
		}
	}
	return &Source{client: client, roles: roles}, nil
}

// Token implements [s2s.TokenSource].
func (s *Source) Token(ctx context.Context, audience string) (s2s.Token, error) {
	role := audience
	if s.roles != nil {
		role = s.roles[audience]
	}
	if !isRole(role) {
		return s2s.Token{}, errors.New("no Vault role is configured for this audience: add it to the roles of vaulttoken.New")
	}
	path := "identity/oidc/token/" + role
	asked := time.Now()
	secret, err := s.client.Logical().ReadWithContext(ctx, path)
	if err != nil {
		return s2s.Token{}, explain(path, err)
	}
	if secret == nil {
		return s2s.Token{}, fmt.Errorf("there is no Vault role %q: create it with: vault write identity/oidc/role/%s key=… client_id=%s", role, role, audience)
	}
	value, _ := secret.Data["token"].(string)
	ttl, _ := secret.Data["ttl"].(json.Number)
	seconds, err := ttl.Int64()
	if value == "" || err != nil {
		return s2s.Token{}, fmt.Errorf("the answer of Vault at %q is without a token and its ttl", path)
	}
	if id, _ := secret.Data["client_id"].(string); id != audience {
		return s2s.Token{}, fmt.Errorf("the Vault role %q mints tokens for the audience %.100q: set its client_id to %s", role, id, audience)
	}
	return s2s.NewToken(value, asked.Add(time.Duration(seconds)*time.Second)), nil
}

// isRole reports whether Vault takes name for that of a role.
func isRole(name string) bool {
	return name != "" && strings.IndexFunc(name, func(c rune) bool {
		return c != '-' && c != '_' && c != '.' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z')
	}) < 0
}

// explain makes one line of Vault's answer.
func explain(path string, err error) error {
	var answer *api.ResponseError
	if !errors.As(err, &answer) {
		return fmt.Errorf("reading %q from Vault: %w", path, err)
	}
	said := strings.Join(strings.Fields(strings.Join(answer.Errors, "; ")), " ")
	hint := "see Vault's log"
	switch {
	case strings.Contains(said, "no entity"):
		hint = "log in through an auth method such as AppRole or Kubernetes; a root or orphan token has no entity"
	case answer.StatusCode == http.StatusForbidden:
		hint = fmt.Sprintf("the token's policy must grant \"read\" on path %q", path)
	case strings.Contains(said, "not found"):
		hint = "create the role, with the audience as its client_id"
	case answer.StatusCode == http.StatusBadRequest:
		hint = "check the role and that its key allows its client_id"
	}
	return fmt.Errorf("reading %q from Vault: %d (%.200s): %s", path, answer.StatusCode, said, hint)
}
