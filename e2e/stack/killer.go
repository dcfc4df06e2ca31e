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

// Victim is a process that is killed at one of its requests: at point 2n before request n is done, at point 2n+1 when it
// is done and before the process learns of that. Whatever stands in the way of the requests tells it of each.
type Victim struct {
	mu       sync.Mutex
	process  *os.Process
	point    int
	next     int
	killed   bool
	requests []string
}

// Pass does a request of the process unless it is killed before. It reports whether there is anybody to answer.
func (v *Victim) Pass(request string, do func()) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.requests = append(v.requests, request)
	v.at()
	if !v.killed {
		do()
		v.at()
	}
	return !v.killed
}

// at kills the process if its point is reached.
func (v *Victim) at() {
	if v.next == v.point && v.process != nil {
		v.killed = true
		_ = v.process.Kill() // SIGKILL; it is waited for by whoever started it
	}
	v.next++
}

// Run runs a command and kills it at point; it reports whether the point was reached. A command that is not killed has to
// succeed.
func (v *Victim) Run(t *testing.T, cmd *exec.Cmd, point int) bool {
	t.Helper()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	v.mu.Lock() // no request is looked at before the process is known
	v.point, v.next, v.killed, v.requests = point, 0, false, nil
	err := cmd.Start()
	v.process = cmd.Process
	v.mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	err = cmd.Wait()
	v.mu.Lock()
	defer v.mu.Unlock()
	var exit *exec.ExitError
	switch {
	case v.killed && (!errors.As(err, &exit) || exit.String() != "signal: killed"):
		t.Fatalf("%v was killed and ended with %v", cmd.Args, err)
	case !v.killed && err != nil:
		t.Fatalf("%v: %v: %s", cmd.Args, err, stderr.String())
	}
	return v.killed
}

// Requests returns the requests of the latest run.
func (v *Victim) Requests() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.requests)
}

// Killer is a proxy in front of Vault, for a [Victim] whose requests it names by method and path. The renewal of the token
// is none of them: it happens beside the command, which may end before it.
type Killer struct {
	victim  Victim
	stack   *Stack
	address string
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
		if strings.HasSuffix(r.URL.Path, "/renew-self") { // now at this point, now at that, or not at all
			forward.ServeHTTP(w, r)
			return
		}
		answer := httptest.NewRecorder()
		if !k.victim.Pass(r.Method+" "+r.URL.Path, func() { forward.ServeHTTP(answer, r) }) {
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

// Run runs signet with a token, see [Victim.Run].
func (k *Killer) Run(t *testing.T, token string, point int, args ...string) bool {
	t.Helper()
	cmd := exec.Command(Program(t, "signet"), args...)
	cmd.Env = append(k.stack.SignetEnv(k.address, token), "HOME="+t.TempDir(), briefExit)
	return k.victim.Run(t, cmd, point)
}

// Requests returns the requests of the latest run, each as its method and path.
func (k *Killer) Requests() []string { return k.victim.Requests() }
