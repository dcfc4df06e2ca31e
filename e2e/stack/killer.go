package stack

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Killer is a proxy in front of Vault that kills the process which speaks through it at one of its requests: at point
// 2n before request n reaches Vault, at point 2n+1 when Vault has done it and before the process learns of that. The
// renewal of the token is none of them: it happens beside the command, which may end before it.
type Killer struct {
	stack   *Stack
	address string

	mu     sync.Mutex
	victim *os.Process
	point  int
	next   int
	killed bool
	paths  []string
}

// NewKiller stands in front of the stack's Vault until the test ends.
func (s *Stack) NewKiller(t *testing.T) *Killer {
	t.Helper()
	target, err := url.Parse(s.Vault.Address)
	if err != nil {
		t.Fatal(err)
	}
	k := &Killer{stack: s}
	forward := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/renew-self") { // made beside the command: now at this point, now at that, or not at all
			forward.ServeHTTP(w, r)
			return
		}
		k.mu.Lock()
		defer k.mu.Unlock()
		counts := r.URL.Path != "/v1/auth/token/renew-self"
		if counts {
			k.paths = append(k.paths, r.Method+" "+r.URL.Path)
			k.at()
		}
		answer := httptest.NewRecorder()
		if !k.killed {
			forward.ServeHTTP(answer, r)
		}
		if counts && !k.killed {
			k.at()
		}
		if k.killed {
			panic(http.ErrAbortHandler) // nobody is there to read an answer
		}
		for name, values := range answer.Header() {
			w.Header()[name] = values
		}
		w.WriteHeader(answer.Code)
		_, _ = w.Write(answer.Body.Bytes())
	}))
	t.Cleanup(server.Close)
	k.address = server.URL
	return k
}

// at kills the process if its point is reached.
func (k *Killer) at() {
	if k.next == k.point && k.victim != nil {
		k.killed = true
		_ = k.victim.Kill() // SIGKILL; it is waited for by whoever started it
	}
	k.next++
}

// Run runs signet with a token and kills it at point; it reports whether the point was reached.
func (k *Killer) Run(t *testing.T, token string, point int, args ...string) bool {
	t.Helper()
	cmd := exec.Command(Program(t, "signet"), args...)
	cmd.Env = append(k.stack.SignetEnv(k.address, token), "HOME="+t.TempDir())
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	k.mu.Lock() // no request is looked at before the process is known
	k.point, k.next, k.killed, k.paths = point, 0, false, nil
	err := cmd.Start()
	k.victim = cmd.Process
	k.mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	err = cmd.Wait()
	k.mu.Lock()
	defer k.mu.Unlock()
	var exit *exec.ExitError
	switch {
	case k.killed && (!errors.As(err, &exit) || exit.String() != "signal: killed"):
		t.Fatalf("signet %v was killed and ended with %v", args, err)
	case !k.killed && err != nil:
		t.Fatalf("signet %v: %v: %s", args, err, stderr.String())
	}
	return k.killed
}

// Requests returns the requests of the latest run, each as its method and path.
func (k *Killer) Requests() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.paths)
}
