package vaultstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/signet-temporal/signet/keys"
)

// authVault is a fake Vault that gives out tokens which live for lease, renews them until maxLife, and forgets them
// when told to. Its answers have the form of Vault 1.21.2's.
type authVault struct {
	fakeVault
	lease, maxLife time.Duration

	// guarded by fakeVault.mu
	down    bool
	born    map[string]time.Time
	expires map[string]time.Time
	logins  int
}

func newAuthVault(lease, maxLife time.Duration) *authVault {
	v := &authVault{lease: lease, maxLife: maxLife, born: map[string]time.Time{}, expires: map[string]time.Time{}}
	v.answer = func(r request) reply {
		switch {
		case v.down:
			return reply{err: errUnreachable}
		case r.path == "sys/wrapping/lookup" && r.body["token"] == "hvs.wrapping":
			return wrappedAt("auth/approle/role/r/secret-id")
		case r.path == "sys/wrapping/unwrap" && r.token == "hvs.wrapping":
			return reply{status: 200, body: `{"request_id":"4d1c","data":{"secret_id":"s3cret","secret_id_accessor":"8f2c","secret_id_num_uses":0,"secret_id_ttl":0},"wrap_info":null,"auth":null,"mount_type":"approle"}`}
		case r.path == "auth/approle/login" && r.token != "":
			return reply{status: 400, body: `{"errors":["a login that carries a token"]}`} // the fake's own rule
		case r.path == "auth/approle/login" && r.body["secret_id"] != "s3cret":
			return reply{status: 400, body: `{"errors":["invalid role or secret ID"]}`}
		case r.path == "auth/approle/login":
			v.logins++
			token := fmt.Sprintf("hvs.token-%d", v.logins)
			v.born[token], v.expires[token] = time.Now(), time.Now().Add(v.lease)
			return v.auth(token, v.lease)
		case !v.expires[r.token].After(time.Now()):
			return tokenRefused
		case r.path == "auth/token/renew-self":
			// Vault tells a token's life in whole seconds, up to half a second too much, and ends it a little early.
			end := v.born[r.token].Add(v.maxLife - 200*time.Millisecond)
			lease := min(v.lease, time.Until(end).Round(time.Second))
			if lease <= 0 {
				return reply{status: 500, body: `{"errors":["1 error occurred:\n\t* past the max TTL, cannot renew\n\n"]}`}
			}
			if v.expires[r.token] = time.Now().Add(lease); v.expires[r.token].After(end) {
				v.expires[r.token] = end
			}
			return v.auth(r.token, lease)
		case r.path == "auth/token/lookup-self":
			return reply{status: 200, body: fmt.Sprintf(`{"request_id":"56439e58","data":{"creation_ttl":4,"display_name":"approle","id":%q,"renewable":true,"ttl":%d,"type":"service"},"auth":null}`,
				r.token, int(time.Until(v.expires[r.token]).Seconds()))}
		case r.path == docPath:
			return live
		}
		return noSuchMount
	}
	return v
}

func (v *authVault) auth(token string, lease time.Duration) reply {
	return reply{status: 200, body: fmt.Sprintf(`{"request_id":"c40b8d62","lease_id":"","renewable":false,"lease_duration":0,"data":null,"wrap_info":null,"warnings":null,"auth":{"client_token":%q,"accessor":"W30jJETqlcAxYYNEGAwX8LVq","policies":["default","nod"],"token_policies":["default","nod"],"metadata":{"role_name":"r"},"lease_duration":%d,"renewable":true,"entity_id":"3ac12319","token_type":"service","orphan":true,"mfa_requirement":null,"num_uses":0},"mount_type":""}`, token, int(lease.Seconds()))}
}

func (v *authVault) set(change func()) {
	v.mu.Lock()
	defer v.mu.Unlock()
	change()
}

func (v *authVault) revokeAll() { v.set(func() { clear(v.expires) }) }

func (v *authVault) loginCount() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.logins
}

type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

var appRole = Auth{AppRole: &AppRole{RoleID: "r", SecretID: "s3cret"}}

// inSession runs body in a bubble of its own time, with a session over v and a store that uses it, and checks what
// was logged.
func inSession(t *testing.T, v *authVault, body func(t *testing.T, s *Session, client *api.Client, store *Store)) {
	synctest.Test(t, func(t *testing.T) {
		var log syncBuffer
		client := v.client(t)
		client.SetToken("hvs.left-over")
		s, err := Login(t.Context(), client, appRole, slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})))
		if err != nil {
			t.Fatal(err)
		}
		store, err := New(client, Options{Session: s})
		if err != nil {
			t.Fatal(err)
		}
		body(t, s, client, store)
		s.Close()
		for _, secret := range []string{"hvs.", "s3cret"} {
			if strings.Contains(log.String(), secret) {
				t.Errorf("the log holds %q:\n%s", secret, log.String())
			}
		}
	})
}

func wantFetch(t *testing.T, s *Store) {
	t.Helper()
	if _, _, err := s.Fetch(t.Context(), "ns/a"); err != nil {
		t.Fatalf("Fetch: %v", err)
	}
}

func TestATokenIsRenewedAsLongAsVaultAllows(t *testing.T) {
	v := newAuthVault(time.Minute, 24*time.Hour)
	inSession(t, v, func(t *testing.T, _ *Session, client *api.Client, store *Store) {
		for range 100 {
			time.Sleep(10 * time.Minute)
			wantFetch(t, store)
		}
		if n := v.loginCount(); n != 1 || client.Token() != "hvs.token-1" {
			t.Errorf("%d logins and token %q, want the first one renewed", n, client.Token())
		}
	})
}

func TestATokenIsReplacedBeforeItsLastLeaseEnds(t *testing.T) {
	for lease, maxLife := range map[time.Duration]time.Duration{
		time.Minute: 10 * time.Minute, 10 * time.Minute: 15 * time.Minute, 2 * time.Second: 5 * time.Second, 3 * time.Second: 8 * time.Second, time.Hour: time.Hour, 32 * time.Minute: 51 * time.Minute,
	} {
		v := newAuthVault(lease, maxLife)
		inSession(t, v, func(t *testing.T, _ *Session, client *api.Client, _ *Store) {
			store, err := New(client, Options{}) // without the session, whose help would hide a gap
			if err != nil {
				t.Fatal(err)
			}
			for range 1000 {
				time.Sleep(maxLife / 100)
				wantFetch(t, store)
			}
			if n := v.loginCount(); n < 10 || n > 25 {
				t.Errorf("%d logins in ten times the maximum life of %v, want one for each", n, maxLife)
			}
		})
	}
}

func TestARenewalPastTheMaximumLifeIsFollowedByALoginAtOnce(t *testing.T) {
	v := newAuthVault(10*time.Minute, 24*time.Hour)
	answer, renewals := v.answer, 0
	v.answer = func(r request) reply {
		if r.path == "auth/token/renew-self" {
			if renewals++; renewals == 3 {
				return reply{status: 500, body: `{"errors":["1 error occurred:\n\t* past the max TTL, cannot renew\n\n"]}`}
			}
		}
		return answer(r)
	}
	inSession(t, v, func(t *testing.T, _ *Session, _ *api.Client, _ *Store) {
		for v.count("PUT", "auth/token/renew-self") < 3 {
			time.Sleep(time.Second)
		}
		synctest.Wait()
		if n := v.loginCount(); n != 2 {
			t.Errorf("%d logins, want a second one right after the refused renewal", n)
		}
	})
}

func TestAnOutageShorterThanTheLeaseNeedsNoLogin(t *testing.T) {
	v := newAuthVault(10*time.Minute, 24*time.Hour)
	inSession(t, v, func(t *testing.T, _ *Session, client *api.Client, store *Store) {
		time.Sleep(time.Minute)
		v.set(func() { v.down = true })
		time.Sleep(8 * time.Minute)
		_, _, err := store.Fetch(t.Context(), "ns/a")
		wantProblem(t, err, 0, "cannot be reached")
		v.set(func() { v.down = false })
		time.Sleep(time.Hour)
		wantFetch(t, store)
		if n := v.loginCount(); n != 1 || client.Token() != "hvs.token-1" {
			t.Errorf("%d logins, want the first token renewed after the outage", n)
		}
	})
}

func TestAnOutageLongerThanTheLeaseEndsInALogin(t *testing.T) {
	v := newAuthVault(time.Minute, 24*time.Hour)
	inSession(t, v, func(t *testing.T, _ *Session, _ *api.Client, store *Store) {
		v.set(func() { v.down = true })
		before := v.requests()
		time.Sleep(time.Hour)
		v.set(func() { v.down = false })
		// vault/api makes three requests of one try; a try comes every 30 s or so.
		if n := v.requests() - before; n < 100 || n > 1000 {
			t.Errorf("%d requests in an outage of an hour, want it bounded and not given up", n)
		}
		time.Sleep(longestPause * 2)
		wantFetch(t, store)
		if n := v.loginCount(); n != 2 {
			t.Errorf("%d logins, want 2", n)
		}
	})
}

func TestARefusedTokenIsReplacedOnceAndNotMoreOftenThanThePause(t *testing.T) {
	v := newAuthVault(24*time.Hour, 24*time.Hour)
	v.delay = 10 * time.Millisecond // so that all calls meet the revoked token
	inSession(t, v, func(t *testing.T, _ *Session, _ *api.Client, store *Store) {
		time.Sleep(time.Minute)
		v.revokeAll()
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() {
				if _, _, err := store.Fetch(t.Context(), "ns/a"); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if n := v.loginCount(); n != 2 {
			t.Errorf("%d logins for 50 calls, want 2", n)
		}
		v.revokeAll()
		_, _, err := store.Fetch(t.Context(), "ns/a")
		wantProblem(t, err, 403, "log in again")
		time.Sleep(invalidPause)
		wantFetch(t, store)
		if n := v.loginCount(); n != 3 {
			t.Errorf("%d logins, want 3", n)
		}
	})
}

func TestALackingPermissionAsksForALoginOnceInAMinute(t *testing.T) {
	v := newAuthVault(24*time.Hour, 24*time.Hour)
	answer := v.answer
	v.answer = func(r request) reply {
		if r.path == docPath {
			return denied
		}
		return answer(r)
	}
	inSession(t, v, func(t *testing.T, _ *Session, _ *api.Client, store *Store) {
		time.Sleep(deniedPause)
		for range 60 {
			if _, _, err := store.Fetch(t.Context(), "ns/a"); !isStatus(err, http.StatusForbidden) || errors.Is(err, keys.ErrNotFound) {
				t.Fatalf("Fetch = %v, want permission denied", err)
			}
			time.Sleep(time.Second)
		}
		if n := v.loginCount(); n < 2 || n > 3 {
			t.Errorf("%d logins in a minute, want one more than the first, or two", n)
		}
	})
}

func TestCloseEndsTheSessionEvenInAnOutage(t *testing.T) {
	v := newAuthVault(time.Minute, 24*time.Hour)
	inSession(t, v, func(t *testing.T, s *Session, _ *api.Client, store *Store) {
		v.set(func() { v.down = true })
		time.Sleep(10 * time.Minute)
		begin := time.Now()
		s.Close()
		if took := time.Since(begin); took > defaultTimeout {
			t.Errorf("Close took %v, want at most the client's timeout", took)
		}
		asked := v.requests()
		time.Sleep(time.Hour)
		if v.requests() != asked {
			t.Errorf("%d requests after Close", v.requests()-asked)
		}
		v.set(func() { v.down = false })
		_, _, err := store.Fetch(t.Context(), "ns/a")
		wantProblem(t, err, 403, "log in again")
	})
}

func TestALoginThatFailsSaysWhyAndLeavesNothingRunning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newAuthVault(time.Minute, time.Hour)
		client := v.client(t)
		_, err := Login(t.Context(), client, Auth{AppRole: &AppRole{RoleID: "r", SecretID: "wr0ng"}}, nil)
		wantProblem(t, err, 400, "with AppRole", "invalid role or secret ID")
		if strings.Contains(err.Error(), "wr0ng") {
			t.Errorf("error %q holds the secret id", err)
		}
		_, err = Login(t.Context(), client, Auth{Token: "hvs.unknown"}, nil)
		wantProblem(t, err, 403, "set a new one")
		v.down = true
		_, err = Login(t.Context(), client, appRole, nil)
		wantProblem(t, err, 0, "cannot be reached")
		v.answer = func(request) reply { return reply{} }
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = Login(ctx, client, appRole, nil)
		wantProblem(t, err, 0, "did not answer in time")
		if client.Token() != "hvs.first" {
			t.Errorf("the client's token is %q after failed logins", client.Token())
		}
	})
}

func TestAWrappedSecretIDIsUnwrappedOnceForAllLogins(t *testing.T) {
	v := newAuthVault(time.Minute, 10*time.Minute)
	synctest.Test(t, func(t *testing.T) {
		s, err := Login(t.Context(), v.client(t), Auth{AppRole: &AppRole{RoleID: "r", SecretID: "hvs.wrapping", Wrapped: true}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		s.Close()
		if n, unwraps := v.loginCount(), v.count("PUT", "sys/wrapping/unwrap"); n < 5 || unwraps != 1 {
			t.Errorf("%d logins and %d unwraps in six lives of a token, want one unwrap", n, unwraps)
		}
	})
}

func TestAWrappingTokenThatHoldsNothingIsAnError(t *testing.T) {
	for name, answer := range map[string]reply{
		"204": noContent, "no data": {status: 200, body: `{"data":null}`}, "another secret": {status: 200, body: `{"data":{"password":"x"}}`},
	} {
		f := script(map[string][]reply{"PUT sys/wrapping/lookup": {wrappedAt("auth/approle/role/r/secret-id")}, "PUT sys/wrapping/unwrap": {answer}})
		_, err := Login(t.Context(), f.client(t), Auth{AppRole: &AppRole{RoleID: "r", SecretID: "hvs.wrap", Wrapped: true}}, nil)
		if err == nil {
			t.Fatalf("%s: no error", name)
		}
		wantProblem(t, err, 0, "holds no AppRole secret id")
	}
}

func wrappedAt(path string) reply {
	return reply{status: 200, body: fmt.Sprintf(`{"request_id":"1f2e","data":{"creation_path":%q,"creation_time":"2026-11-26T12:00:00.000000001Z","creation_ttl":60},"wrap_info":null,"auth":null,"mount_type":"system"}`, path)}
}

// TestAnExchangedWrappingTokenIsNotUnwrapped: somebody unwrapped the token, and put one of their own in its place, made
// with sys/wrapping/wrap or at another mount.
func TestAnExchangedWrappingTokenIsNotUnwrapped(t *testing.T) {
	for path, ok := range map[string]bool{
		"auth/approle/role/r/secret-id": true, "auth/approle/role/r/custom-secret-id": true, "team/auth/approle/role/r/secret-id": true,
		"sys/wrapping/wrap": false, "auth/other/role/r/secret-id": false, "auth/approle/role/r/role-id": false, "auth/approle/role/secret-id": false,
		"secret/data/auth/approle/role/r/secret-id": false, "other/auth/approle/role/r/secret-id": false, "": false,
	} {
		f := script(map[string][]reply{
			"PUT sys/wrapping/lookup": {wrappedAt(path)},
			"PUT sys/wrapping/unwrap": {{status: 200, body: `{"data":{"secret_id":"s3cret"}}`}},
			"PUT auth/approle/login":  {{status: 200, body: `{"auth":{"client_token":"hvs.new","lease_duration":0}}`}},
		})
		client := f.client(t)
		client.SetNamespace("team")
		s, err := Login(t.Context(), client, Auth{AppRole: &AppRole{RoleID: "r", SecretID: "hvs.wrap", Wrapped: true}}, nil)
		if ok {
			if err != nil {
				t.Errorf("%q: %v", path, err)
				continue
			}
			s.Close()
			continue
		}
		wantProblem(t, err, 0, "treat the secret id as stolen")
		if n := f.count("PUT", "sys/wrapping/unwrap"); n != 0 {
			t.Errorf("%q: unwrapped %d times", path, n)
		}
	}
}

func TestAChangedTokenFileIsNoticed(t *testing.T) {
	v := newAuthVault(time.Hour, 24*time.Hour)
	path := filepath.Join(t.TempDir(), "token")
	synctest.Test(t, func(t *testing.T) {
		for _, token := range []string{"hvs.one", "hvs.two"} {
			v.born[token], v.expires[token] = time.Now(), time.Now().Add(time.Hour)
		}
		if err := os.WriteFile(path, []byte("hvs.one\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		client := v.client(t)
		s, err := Login(t.Context(), client, Auth{TokenFile: path}, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if err := os.WriteFile(path, []byte("hvs.two"), 0o600); err != nil {
			t.Fatal(err)
		}
		time.Sleep(filePoll + time.Second)
		if client.Token() != "hvs.two" {
			t.Errorf("the client holds %q, want the file's new token", client.Token())
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Hour) // longer than the lease: renewed, though the file is gone
		var alive bool
		v.set(func() { alive = v.expires["hvs.two"].After(time.Now()) })
		if client.Token() != "hvs.two" || !alive {
			t.Error("the token was not kept alive without its file")
		}
	})
}

func TestExactlyOneMethodOfLoginIsRequired(t *testing.T) {
	client := script(nil).client(t)
	for name, test := range map[string]struct {
		auth Auth
		want string
	}{
		"none":               {Auth{}, "set exactly one"},
		"two":                {Auth{Token: "x", TokenFile: "y"}, "set exactly one"},
		"no role id":         {Auth{AppRole: &AppRole{SecretID: "x"}}, "set the role id"},
		"no secret id":       {Auth{AppRole: &AppRole{RoleID: "x"}}, "the secret id or its file"},
		"two secret ids":     {Auth{AppRole: &AppRole{RoleID: "x", SecretID: "y", SecretIDFile: "z"}}, "the secret id or its file"},
		"no JWT role":        {Auth{JWT: &JWT{TokenFile: "x"}}, "set the role"},
		"no JWT":             {Auth{JWT: &JWT{Role: "x"}}, "the token file"},
		"no Kubernetes role": {Auth{Kubernetes: &Kubernetes{}}, "set the role"},
		"a mount elsewhere":  {Auth{JWT: &JWT{Role: "x", TokenFile: "y", Mount: "../sys"}}, "auth mount"},
		"a missing file":     {Auth{TokenFile: filepath.Join(t.TempDir(), "none")}, "no such file"},
		"an unset variable":  {Auth{TokenEnv: "SIGNET_TEST_NO_SUCH_VARIABLE"}, "holds no Vault token"},
		"no certificate":     {Auth{Cert: &Cert{}}, "no TLS client certificate"},
		"no pod":             {Auth{Kubernetes: &Kubernetes{Role: "x"}}, "/var/run/secrets/kubernetes.io"},
	} {
		s, err := Login(t.Context(), client, test.auth, nil)
		if s != nil {
			t.Errorf("%s: a session came", name)
		}
		if err == nil {
			t.Fatalf("%s: no error", name)
		}
		wantProblem(t, err, 0, test.want)
	}
	if _, err := Login(t.Context(), nil, Auth{Token: "x"}, nil); err == nil {
		t.Error("no client was accepted")
	}
}
