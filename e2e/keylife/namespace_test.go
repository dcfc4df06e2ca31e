package keylife_test

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/signet-temporal/signet/e2e/stack"
)

// TestEveryRequestNamesTheVaultNamespace: Vault's namespaces are not part of the Vault that there is for everybody, so a
// proxy stands for one: it refuses what does not name the namespace, as Vault does when a path is looked for at its root,
// and hands on the rest. Every command is played through it, by the variable and by the flag.
func TestEveryRequestNamesTheVaultNamespace(t *testing.T) {
	s := start(t, time.Millisecond)
	target, err := url.Parse(s.Vault.Address)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	asked, without := 0, []string{}
	forward := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Header.Del("X-Vault-Namespace")
	}}
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if asked++; r.Header.Get("X-Vault-Namespace") != "team/a" {
			without = append(without, r.Method+" "+r.URL.Path)
			http.Error(w, `{"errors":["no handler for route"]}`, http.StatusNotFound)
			return
		}
		forward.ServeHTTP(w, r)
	}))
	defer proxy.Close()
	played := 0
	play := func(token string, args ...string) stack.Run {
		t.Helper()
		env := []string{"VAULT_ADDR=" + proxy.URL, "VAULT_TOKEN=" + token}
		if played++; played%2 == 0 {
			env = append(env, "VAULT_NAMESPACE=team/a")
		} else {
			args = append(args, "--vault-namespace=team/a")
		}
		got := stack.Exec(t, env, stack.Program(t, "signet"), args...)
		if got.Code != 0 {
			t.Errorf("signet %v: exit code %d: %s", args, got.Code, got.Stderr)
		}
		return got
	}
	custodian, file := s.Roles.CustodianToken, s.Dir+"/backup.json"
	play(s.Vault.Token, "vault", "setup")
	play(custodian, "keyset", "create", "ns/x", "--propagation-delay=1ms")
	first := states(t, s)["primary"][0]
	for _, args := range [][]string{
		{"list"}, {"rotate", keyset}, {"promote", keyset}, {"rewrap"}, {"rotate", "--auto"}, {"status"}, {"policy", keyset, "--rotate-every=720h"},
		{"disable", keyset, "--key=" + first, "--force"}, {"enable", keyset, "--key=" + first}, {"disable", keyset, "--key=" + first, "--force"},
		{"destroy", keyset, "--key=" + first, "--schedule", "--wait=1ms", "--allow-destroying-a-key-in-use"}, {"backup", "--file=" + file}, {"restore", "--file=" + file},
	} {
		play(custodian, append([]string{"keyset"}, args...)...)
	}
	play(token(t, s, "destroyer"), "keyset", "destroy", keyset, "--key="+first, "--carry-out", "--allow-destroying-a-key-in-use")
	play(s.Roles.WorkerToken, "keyset", "verify", keyset, "ns/x")
	mu.Lock()
	defer mu.Unlock()
	if len(without) > 0 || asked < 50 {
		t.Errorf("%d requests, without the namespace: %q", asked, without)
	}
}
