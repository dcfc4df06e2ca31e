package vault_test

import (
	"testing"

	"github.com/signet-temporal/signet/keys/vaultstore"
)

// wrap has Vault answer a write with a wrapping token.
func wrap(t *testing.T, v vault, path string, data map[string]any) string {
	t.Helper()
	wrapping, err := v.CloneWithHeaders()
	if err != nil {
		t.Fatal(err)
	}
	wrapping.SetToken(v.Token())
	wrapping.SetWrappingLookupFunc(func(string, string) string { return "60s" })
	secret, err := wrapping.Logical().WriteWithContext(t.Context(), path, data)
	if err != nil {
		t.Fatal(err)
	}
	return secret.WrapInfo.Token
}

// TestAStolenAndWrappedAgainSecretIDIsNotTaken: a thief unwraps the token on its way, and wraps the secret id again, so
// that the login would succeed and nobody would learn of it.
func TestAStolenAndWrappedAgainSecretIDIsNotTaken(t *testing.T) {
	v := startWithPolicy(t)
	roleID, _ := approle(t, v, map[string]any{"token_policies": "worker"})
	auth := func(token string) vaultstore.Auth {
		return vaultstore.Auth{AppRole: &vaultstore.AppRole{RoleID: roleID, SecretID: token, Wrapped: true}}
	}
	stolen, err := v.Logical().UnwrapWithContext(t.Context(), wrap(t, v, "auth/approle/role/worker/secret-id", nil))
	if err != nil {
		t.Fatal(err)
	}
	v.SetToken("root") // unwrapping leaves the wrapping token in the client
	again := wrap(t, v, "sys/wrapping/wrap", map[string]any{"secret_id": stolen.Data["secret_id"]})
	_, err = vaultstore.Login(t.Context(), client(t, v.Address(), ""), auth(again), nil)
	wantProblem(t, err, 0, `made at "sys/wrapping/wrap"`, "treat the secret id as stolen")

	// One of another mount, which the thief may write to.
	v.write("sys/auth/other", map[string]any{"type": "approle"})
	v.write("auth/other/role/worker", nil)
	_, err = vaultstore.Login(t.Context(), client(t, v.Address(), ""), auth(wrap(t, v, "auth/other/role/worker/secret-id", nil)), nil)
	wantProblem(t, err, 0, `made at "auth/other/role/worker/secret-id"`, "stolen")

	c, _, _ := login(t, v, auth(wrap(t, v, "auth/approle/role/worker/secret-id", nil)))
	wantWorks(t, c)
	_, err = vaultstore.Login(t.Context(), client(t, v.Address(), ""), auth("hvs.nonsense"), nil)
	wantProblem(t, err, 400, "was unwrapped before")
}
