package vault_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/hashicorp/vault/api"

	"github.com/signet-temporal/signet/keys"
	"github.com/signet-temporal/signet/keys/vaultstore"
)

// logs is a log that may be read while it is written.
type logs struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// login logs in with a client of its own and checks, when the test ends, that no secret was logged.
func login(t *testing.T, v vault, auth vaultstore.Auth, secrets ...string) (*api.Client, *vaultstore.Session, *logs) {
	t.Helper()
	c, log := client(t, v.Address(), ""), &logs{}
	session, err := vaultstore.Login(t.Context(), c, auth, slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		session.Close()
		t.Logf("log:\n%s", log)
		for _, secret := range append(secrets, c.Token(), "hvs.") {
			if strings.Contains(log.String(), secret) {
				t.Errorf("the log holds a secret:\n%s", log)
			}
		}
	})
	return c, session, log
}

// wantWorks checks that the client's token may do what a worker does.
func wantWorks(t *testing.T, c *api.Client) {
	t.Helper()
	if _, _, err := store(t, c, vaultstore.Options{}).Fetch(t.Context(), "ns/none"); !errors.Is(err, keys.ErrNotFound) {
		t.Errorf("Fetch = %v, want ErrNotFound", err)
	}
}

// startWithPolicy starts a Vault that has the worker's policy under the name worker.
func startWithPolicy(t *testing.T) vault {
	t.Helper()
	v := start(t)
	policy, err := vaultstore.Options{}.WorkerPolicy()
	if err != nil {
		t.Fatal(err)
	}
	v.write("sys/policies/acl/worker", map[string]any{"policy": policy})
	return v
}

func approle(t *testing.T, v vault, role map[string]any) (roleID, secretID string) {
	t.Helper()
	v.write("sys/auth/approle", map[string]any{"type": "approle"})
	v.write("auth/approle/role/worker", role)
	secret, err := v.Logical().ReadWithContext(t.Context(), "auth/approle/role/worker/role-id")
	if err != nil {
		t.Fatal(err)
	}
	return secret.Data["role_id"].(string), v.write("auth/approle/role/worker/secret-id", nil)["secret_id"].(string)
}

func file(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestAppRoleLogsInWithASecretIDOrItsFile(t *testing.T) {
	v := startWithPolicy(t)
	roleID, secretID := approle(t, v, map[string]any{"token_policies": "worker"})
	c, _, _ := login(t, v, vaultstore.Auth{AppRole: &vaultstore.AppRole{RoleID: roleID, SecretID: secretID}}, secretID)
	wantWorks(t, c)
	c, _, _ = login(t, v, vaultstore.Auth{AppRole: &vaultstore.AppRole{RoleID: roleID, SecretIDFile: file(t, "secret-id", secretID+"\n")}}, secretID)
	wantWorks(t, c)

	_, err := vaultstore.Login(t.Context(), client(t, v.Address(), ""), vaultstore.Auth{AppRole: &vaultstore.AppRole{RoleID: roleID, SecretID: "wrong-secret"}}, nil)
	wantProblem(t, err, 400, "with AppRole", "invalid role or secret ID")
	if strings.Contains(err.Error(), "wrong-secret") {
		t.Errorf("error %q holds the secret id", err)
	}
	_, err = vaultstore.Login(t.Context(), client(t, v.Address(), ""), vaultstore.Auth{AppRole: &vaultstore.AppRole{RoleID: roleID, SecretID: secretID, Mount: "elsewhere"}}, nil)
	wantProblem(t, err, 403, `at "auth/elsewhere"`, "check the mount")
}

func TestAWrappedSecretIDIsUnwrappedOnceAndServesLaterLogins(t *testing.T) {
	t.Parallel() // it waits most of its time
	v := startWithPolicy(t)
	roleID, _ := approle(t, v, map[string]any{"token_policies": "worker", "token_ttl": "2s", "token_max_ttl": "4s"})
	wrapping := client(t, v.Address(), v.Token())
	wrapping.SetWrappingLookupFunc(func(string, string) string { return "60s" })
	secret, err := wrapping.Logical().WriteWithContext(t.Context(), "auth/approle/role/worker/secret-id", nil)
	if err != nil {
		t.Fatal(err)
	}
	auth := vaultstore.Auth{AppRole: &vaultstore.AppRole{RoleID: roleID, SecretIDFile: file(t, "wrapped", secret.WrapInfo.Token), Wrapped: true}}
	c, _, log := login(t, v, auth, secret.WrapInfo.Token)
	first := c.Token()
	wantEventually(t, 15*time.Second, "a login after the maximum life of the first token", func() bool { return c.Token() != first })
	wantWorks(t, c)
	if n := strings.Count(log.String(), "logged in to Vault"); n < 2 {
		t.Errorf("%d logins, want at least 2", n)
	}
	_, err = vaultstore.Login(t.Context(), client(t, v.Address(), ""), auth, nil)
	wantProblem(t, err, 400, "was unwrapped before", "treat it as stolen")
}

func wantEventually(t *testing.T, patience time.Duration, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("after %v still not: %s", patience, what)
		}
	}
}

func TestJWTLogsInWithAFreshlyReadFile(t *testing.T) {
	t.Parallel() // it waits most of its time
	v := startWithPolicy(t)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	v.write("sys/auth/jwt", map[string]any{"type": "jwt"})
	v.write("auth/jwt/config", map[string]any{"jwt_validation_pubkeys": []string{string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))}})
	v.write("auth/jwt/role/worker", map[string]any{
		"role_type": "jwt", "bound_audiences": []string{"vault"}, "user_claim": "sub", "bound_subject": "worker-1",
		"token_policies": "worker", "token_ttl": "2s", "token_max_ttl": "4s",
	})
	sign := func(audience string) string {
		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, nil)
		if err != nil {
			t.Fatal(err)
		}
		token, err := jwt.Signed(signer).Claims(jwt.Claims{
			Subject: "worker-1", Audience: jwt.Audience{audience}, IssuedAt: jwt.NewNumericDate(time.Now()), Expiry: jwt.NewNumericDate(time.Now().Add(time.Minute)),
		}).Serialize()
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	good, wrong := sign("vault"), sign("somebody else")
	path := file(t, "jwt", good)
	auth := vaultstore.Auth{JWT: &vaultstore.JWT{Role: "worker", TokenFile: path}}
	c, _, log := login(t, v, auth, good, wrong)
	wantWorks(t, c)

	// The file goes bad: the next login fails and says why. It is good again: the one after works.
	if err := os.WriteFile(path, []byte(wrong), 0o600); err != nil {
		t.Fatal(err)
	}
	wantEventually(t, 15*time.Second, "a failed login in the log", func() bool { return strings.Contains(log.String(), "audience") })
	if err := os.WriteFile(path, []byte(good), 0o600); err != nil {
		t.Fatal(err)
	}
	wantEventually(t, 20*time.Second, "a second login in the log", func() bool { return strings.Count(log.String(), "logged in to Vault") > 1 })
	wantWorks(t, c)

	_, err = vaultstore.Login(t.Context(), client(t, v.Address(), ""), vaultstore.Auth{JWT: &vaultstore.JWT{Role: "worker", TokenFile: file(t, "jwt", wrong)}}, nil)
	wantProblem(t, err, 400, "with JWT", "audience")
	if strings.Contains(err.Error(), wrong) {
		t.Errorf("error %q holds the JWT", err)
	}
	_, err = vaultstore.Login(t.Context(), client(t, v.Address(), ""), vaultstore.Auth{JWT: &vaultstore.JWT{Role: "worker", TokenFile: path + ".none"}}, nil)
	wantProblem(t, err, 0, "reading the JWT", "no such file")
}

// tokenReview is a Kubernetes API server that knows one service account's token.
func tokenReview(t *testing.T, serviceAccountToken string) *httptest.Server {
	t.Helper()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var review struct {
			Spec struct{ Token string }
		}
		if r.URL.Path != "/apis/authentication.k8s.io/v1/tokenreviews" || json.NewDecoder(r.Body).Decode(&review) != nil {
			http.NotFound(w, r)
			return
		}
		status := map[string]any{"authenticated": false, "error": "unknown token"}
		if review.Spec.Token == serviceAccountToken {
			status = map[string]any{"authenticated": true, "user": map[string]any{
				"username": "system:serviceaccount:payments:worker", "uid": "u-1", "groups": []string{"system:serviceaccounts"},
			}}
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusCreated)
		_ = json.NewEncoder(w).Encode(map[string]any{"kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1", "status": status})
	}))
	t.Cleanup(server.Close)
	return server
}

func TestKubernetesLogsInWithTheServiceAccountToken(t *testing.T) {
	v := startWithPolicy(t)
	// Vault looks into the token before it asks Kubernetes: it must be a JWT of a service account.
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, nil)
	if err != nil {
		t.Fatal(err)
	}
	token, err := jwt.Signed(signer).Claims(map[string]any{
		"iss": "kubernetes/serviceaccount", "sub": "system:serviceaccount:payments:worker", "exp": time.Now().Add(time.Hour).Unix(),
		"iat": time.Now().Unix(), "nbf": time.Now().Add(-time.Minute).Unix(),
		"kubernetes.io": map[string]any{"namespace": "payments", "serviceaccount": map[string]any{"name": "worker", "uid": "u-1"}},
	}).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	cluster := tokenReview(t, token)
	v.write("sys/auth/kubernetes", map[string]any{"type": "kubernetes"})
	v.write("auth/kubernetes/config", map[string]any{
		"kubernetes_host": cluster.URL, "token_reviewer_jwt": token, "disable_local_ca_jwt": true,
		"kubernetes_ca_cert": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cluster.Certificate().Raw})),
	})
	v.write("auth/kubernetes/role/worker", map[string]any{
		"bound_service_account_names": "worker", "bound_service_account_namespaces": "payments", "token_policies": "worker", "audience": "",
	})
	c, _, _ := login(t, v, vaultstore.Auth{Kubernetes: &vaultstore.Kubernetes{Role: "worker", TokenFile: file(t, "token", token+"\n")}}, token)
	wantWorks(t, c)

	_, err = vaultstore.Login(t.Context(), client(t, v.Address(), ""), vaultstore.Auth{Kubernetes: &vaultstore.Kubernetes{Role: "other", TokenFile: file(t, "token", token)}}, nil)
	wantProblem(t, err, 400, "with Kubernetes", "role")
	v.write("auth/kubernetes/role/elsewhere", map[string]any{
		"bound_service_account_names": "somebody", "bound_service_account_namespaces": "payments", "token_policies": "worker",
	})
	_, err = vaultstore.Login(t.Context(), client(t, v.Address(), ""), vaultstore.Auth{Kubernetes: &vaultstore.Kubernetes{Role: "elsewhere", TokenFile: file(t, "token", token)}}, nil)
	wantProblem(t, err, 403, "with Kubernetes", "service account name not authorized")
}

// workerToken makes a token with the worker's policy.
func workerToken(t *testing.T, v vault, ttl string) string {
	t.Helper()
	secret, err := v.Auth().Token().CreateWithContext(t.Context(), &api.TokenCreateRequest{Policies: []string{"worker"}, TTL: ttl})
	if err != nil {
		t.Fatal(err)
	}
	return secret.Auth.ClientToken
}

func TestATokenComesFromTheEnvironmentOrIsGiven(t *testing.T) {
	v := startWithPolicy(t)
	token := workerToken(t, v, "1h")
	t.Setenv("VAULT_TOKEN", token)
	c, _, _ := login(t, v, vaultstore.Auth{TokenEnv: "VAULT_TOKEN"}, token)
	wantWorks(t, c)
	c, _, _ = login(t, v, vaultstore.Auth{Token: v.Token()})
	wantWorks(t, c)
	_, err := vaultstore.Login(t.Context(), client(t, v.Address(), ""), vaultstore.Auth{Token: "hvs.nonsense"}, nil)
	wantProblem(t, err, 403, "with given token", "set a new one")
	t.Setenv("VAULT_TOKEN", "")
	_, err = vaultstore.Login(t.Context(), client(t, v.Address(), ""), vaultstore.Auth{TokenEnv: "VAULT_TOKEN"}, nil)
	wantProblem(t, err, 0, "VAULT_TOKEN holds no Vault token")
}

func TestATokenThatMayNotLookAtItselfWorks(t *testing.T) {
	v := startWithPolicy(t)
	policy, err := vaultstore.Options{}.WorkerPolicy()
	if err != nil {
		t.Fatal(err)
	}
	c, _, _ := login(t, v, vaultstore.Auth{Token: v.token(policy).Token()})
	wantWorks(t, c)
}

func TestAChangedTokenFileIsUsedAtTheNextLookOrTheNextRefusal(t *testing.T) {
	t.Parallel() // it waits most of its time
	v := startWithPolicy(t)
	first, second, third := workerToken(t, v, "1h"), workerToken(t, v, "1h"), workerToken(t, v, "1h")
	path := file(t, "token", first)
	c, session, _ := login(t, v, vaultstore.Auth{TokenFile: path}, first, second, third)
	if err := os.WriteFile(path, []byte(second+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	wantEventually(t, 15*time.Second, "the second token in use", func() bool { return c.Token() == second })

	if err := os.WriteFile(path, []byte(third), 0o600); err != nil {
		t.Fatal(err)
	}
	v.write("auth/token/revoke", map[string]any{"token": second})
	if _, _, err := store(t, c, vaultstore.Options{Session: session}).Fetch(t.Context(), "ns/none"); !errors.Is(err, keys.ErrNotFound) {
		t.Errorf("Fetch = %v, want ErrNotFound with the third token", err)
	}
	if c.Token() != third {
		t.Error("the client does not hold the third token")
	}
}

func TestAFourSecondTokenLivesForTwelveSeconds(t *testing.T) {
	t.Parallel() // it waits most of its time
	v := startWithPolicy(t)
	token := workerToken(t, v, "4s")
	c, _, _ := login(t, v, vaultstore.Auth{Token: token}, token)
	for end := time.Now().Add(12 * time.Second); time.Now().Before(end); time.Sleep(500 * time.Millisecond) {
		wantWorks(t, c)
	}
	if c.Token() != token {
		t.Error("the token was replaced, want it renewed")
	}
}

func TestARenewedTokenIsReplacedAtItsMaximumLife(t *testing.T) {
	t.Parallel() // it waits most of its time
	v := startWithPolicy(t)
	roleID, secretID := approle(t, v, map[string]any{"token_policies": "worker", "token_ttl": "4s", "token_max_ttl": "10s"})
	c, _, log := login(t, v, vaultstore.Auth{AppRole: &vaultstore.AppRole{RoleID: roleID, SecretID: secretID}}, secretID)
	for end := time.Now().Add(24 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		wantWorks(t, c)
	}
	if n := strings.Count(log.String(), "logged in to Vault"); n < 3 || n > 6 {
		t.Errorf("%d logins in 24 s with a maximum life of 10 s, want 3 or 4", n)
	}
}

func TestARevokedTokenIsReplacedOnceForAllCallsThatMeetIt(t *testing.T) {
	t.Parallel() // it waits most of its time
	v := startWithPolicy(t)
	roleID, secretID := approle(t, v, map[string]any{"token_policies": "worker", "token_ttl": "1h"})
	c, session, log := login(t, v, vaultstore.Auth{AppRole: &vaultstore.AppRole{RoleID: roleID, SecretID: secretID}}, secretID)
	s := store(t, c, vaultstore.Options{Session: session})
	v.write("auth/token/revoke", map[string]any{"token": c.Token()})
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if _, _, err := s.Fetch(t.Context(), "ns/none"); !errors.Is(err, keys.ErrNotFound) {
				t.Errorf("Fetch = %v, want ErrNotFound", err)
			}
		})
	}
	all.Wait()
	if n := strings.Count(log.String(), "logged in to Vault"); n != 2 {
		t.Errorf("%d logins, want the first and one more", n)
	}
	// Refused again within the pause: no further login, the call says what is wrong.
	v.write("auth/token/revoke", map[string]any{"token": c.Token()})
	_, _, err := s.Fetch(t.Context(), "ns/none")
	wantProblem(t, err, 403, "refuses the token")
	if n := strings.Count(log.String(), "logged in to Vault"); n != 2 {
		t.Errorf("%d logins, want still 2", n)
	}
	wantEventually(t, 10*time.Second, "a login after the pause", func() bool {
		_, _, err := s.Fetch(t.Context(), "ns/none")
		return errors.Is(err, keys.ErrNotFound)
	})
}

func TestVaultStopsAndComesBack(t *testing.T) {
	t.Parallel() // it waits most of its time
	addr, stop, run := fileVault(t)
	c := client(t, addr, "")
	init, err := c.Sys().InitWithContext(t.Context(), &api.InitRequest{SecretShares: 1, SecretThreshold: 1})
	if err != nil {
		t.Fatal(err)
	}
	unseal(t, c, init.Keys[0])
	v := vault{Client: client(t, addr, init.RootToken), t: t}
	v.write("sys/mounts/secret", map[string]any{"type": "kv", "options": map[string]any{"version": "2"}})
	v.write("sys/mounts/transit", map[string]any{"type": "transit"})
	v.write("transit/keys/signet", map[string]any{"derived": true})
	policy, err := vaultstore.Options{}.CustodianPolicy()
	if err != nil {
		t.Fatal(err)
	}
	v.write("sys/policies/acl/worker", map[string]any{"policy": policy})
	roleID, secretID := approle(t, v, map[string]any{"token_policies": "worker", "token_ttl": "3s"})
	client, session, log := login(t, v, vaultstore.Auth{AppRole: &vaultstore.AppRole{RoleID: roleID, SecretID: secretID}}, secretID)
	s := store(t, client, vaultstore.Options{Session: session})
	wantEventually(t, 5*time.Second, "the new KV engine ready", func() bool {
		_, err := s.Replace(t.Context(), keyset("ns/payments"), "")
		return err == nil
	})

	stop()
	_, _, err = s.Fetch(t.Context(), "ns/payments")
	wantProblem(t, err, 0, "cannot be reached")
	if errors.Is(err, keys.ErrNotFound) {
		t.Error("an outage is ErrNotFound")
	}
	time.Sleep(4 * time.Second) // the lease ends meanwhile
	run()
	_, _, err = s.Fetch(t.Context(), "ns/payments")
	wantProblem(t, err, 503, "is sealed")
	unseal(t, c, init.Keys[0])
	wantEventually(t, 15*time.Second, "the keyset again", func() bool {
		_, _, err := s.Fetch(t.Context(), "ns/payments")
		return err == nil
	})
	if !strings.Contains(log.String(), "no new Vault token, trying again") {
		t.Error("the log does not tell of the outage")
	}
}

func TestCloseStopsTheRenewal(t *testing.T) {
	t.Parallel() // it waits most of its time
	v := startWithPolicy(t)
	token := workerToken(t, v, "3s")
	c, session, _ := login(t, v, vaultstore.Auth{Token: token}, token)
	session.Close()
	session.Close()
	wantEventually(t, 10*time.Second, "the token expired", func() bool {
		_, _, err := store(t, c, vaultstore.Options{Session: session}).Fetch(t.Context(), "ns/none")
		return err != nil && strings.Contains(err.Error(), "refuses the token")
	})
}
