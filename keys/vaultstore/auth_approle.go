package vaultstore

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"

	"github.com/hashicorp/vault/api"
	"github.com/hashicorp/vault/api/auth/approle"
)

// appRoleAuth is vault/api's AppRole, with the unwrapping done here: theirs unwraps at every login, which works once,
// and panics when Vault answers the unwrapping with nothing.
type appRoleAuth struct {
	AppRole
	at string

	mu        sync.Mutex
	wrapping  string // the wrapping token that unwrapped came from
	unwrapped string
}

func (a *appRoleAuth) String() string      { return "AppRole" }
func (a *appRoleAuth) changed(string) bool { return false }

func (a *appRoleAuth) Login(ctx context.Context, client *api.Client) (*api.Secret, error) {
	secretID := a.SecretID
	if a.SecretIDFile != "" {
		var err error
		if secretID, err = readSecret("AppRole secret id", a.SecretIDFile); err != nil {
			return nil, err
		}
	}
	if a.Wrapped {
		var err error
		if secretID, err = a.unwrap(ctx, client, secretID); err != nil {
			return nil, err
		}
	}
	login, err := approle.NewAppRoleAuth(a.RoleID, &approle.SecretID{FromString: secretID}, approle.WithMountPath(a.at))
	if err != nil {
		return nil, err
	}
	return login.Login(ctx, client)
}

func (a *appRoleAuth) unwrap(ctx context.Context, client *api.Client, wrapping string) (string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if wrapping == a.wrapping {
		return a.unwrapped, nil
	}
	// Whoever can write the file could unwrap the token in it, read the secret id, and wrap it again or wrap another
	// one. Vault knows where a wrapping token was made, and nobody but the auth method makes one at its own path.
	if err := a.checkOrigin(ctx, client, wrapping); err != nil {
		return "", err
	}
	secret, err := client.Logical().UnwrapWithContext(ctx, wrapping)
	client.ClearToken() // unwrapping leaves the wrapping token in it
	if isStatus(err, http.StatusBadRequest) {
		return "", unwrappedBefore(err)
	}
	if err != nil {
		return "", err
	}
	var secretID string
	if secret != nil {
		secretID, _ = secret.Data["secret_id"].(string)
	}
	if secretID == "" {
		return "", errors.New("the response-wrapping token holds no AppRole secret id: wrap the answer of auth/MOUNT/role/NAME/secret-id")
	}
	a.wrapping, a.unwrapped = wrapping, secretID
	return secretID, nil
}

// checkOrigin asks Vault where a wrapping token was made, which does not use it up.
func (a *appRoleAuth) checkOrigin(ctx context.Context, client *api.Client, wrapping string) error {
	info, err := client.Logical().WriteWithContext(ctx, "sys/wrapping/lookup", map[string]any{"token": wrapping})
	if isStatus(err, http.StatusBadRequest) {
		return unwrappedBefore(err)
	}
	if err != nil {
		return err
	}
	var made string
	if info != nil {
		made, _ = info.Data["creation_path"].(string)
	}
	at := strings.TrimPrefix(made, strings.Trim(client.Namespace(), "/")+"/")
	role, ok := strings.CutPrefix(at, "auth/"+a.at+"/role/")
	_, what, _ := strings.Cut(role, "/")
	if !ok || what != "secret-id" && what != "custom-secret-id" {
		return say(nil, "the wrapping token was made at %.100q and not for a secret id of auth/%s: somebody may have exchanged it, so treat the secret id as stolen, and issue a new one with: vault write -wrap-ttl=5m -f auth/%[2]s/role/NAME/secret-id", made, a.at)
	}
	return nil
}

func unwrappedBefore(cause error) error {
	return say(cause, "the wrapped AppRole secret id has expired or was unwrapped before: issue a new one, and if nobody of yours unwrapped it, treat it as stolen")
}
