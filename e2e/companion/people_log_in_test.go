package companion_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/signet-temporal/signet/e2e/stack"
	"github.com/signet-temporal/signet/tools/parts"
)

// terminal is the environment of somebody at a terminal, with a folder for logins of their own.
type terminal struct {
	s   *stack.Stack
	env []string
}

func newTerminal(t *testing.T, s *stack.Stack, server *stack.Server) *terminal {
	return &terminal{s, []string{"TEMPORAL_ADDRESS=" + s.Temporal.Address, "TEMPORAL_NAMESPACE=" + namespace, "TEMPORAL_CODEC_ENDPOINT=" + server.URL,
		"SIGNET_CODEC_CA=" + server.Cert.CAFile, "SIGNET_LOGIN_DIR=" + filepath.Join(t.TempDir(), "logins")}}
}

func (w *terminal) run(t *testing.T, args ...string) stack.Run {
	t.Helper()
	return stack.Exec(t, w.env, stack.Program(t, "signet"), args...)
}

var shown = regexp.MustCompile(`https?://\S+`)

// login runs signet login, and hands the line with the address to somebody with a browser.
func (w *terminal) login(t *testing.T, browser func(address, line string), args ...string) stack.Run {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), stack.Program(t, "signet"), append([]string{"login"}, args...)...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}, w.env...)
	var stdout bytes.Buffer
	cmd.Stdout = &stdout
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(stderr)
	first, err := lines.ReadString('\n')
	if err != nil {
		t.Fatalf("signet login says %q, %v", first, err)
	}
	if address := shown.FindString(first); address != "" {
		browser(address, first)
	}
	rest, err := io.ReadAll(lines)
	if err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // the code says it
	return stack.Run{Stdout: stdout.String(), Stderr: first + string(rest), Code: cmd.ProcessState.ExitCode()}
}

// browserOf opens the address as a browser does, types name and password into the provider's form, and follows it home.
func browserOf(t *testing.T, user string) func(address, line string) {
	return func(address, _ string) {
		res, err := parts.SubmitLogin(t.Context(), &http.Client{Timeout: 30 * time.Second}, address, user, user+"-password")
		if err != nil {
			t.Error(err)
			return
		}
		defer res.Body.Close()
		if page, err := io.ReadAll(res.Body); err != nil || !strings.Contains(string(page), "Go back to the terminal") {
			t.Errorf("the browser shows %q, %v", page, err)
		}
	}
}

func mayRead(t *testing.T, w *terminal) {
	t.Helper()
	shown := w.run(t, "history", "show", workflowID)
	if shown.Code != 0 || !strings.Contains(shown.Stdout, inputSecret) || !strings.Contains(shown.Stdout, resultSecret) {
		t.Errorf("exit code %d: %s", shown.Code, shown.Stderr)
	}
}

func mayNotRead(t *testing.T, w *terminal) {
	t.Helper()
	shown := w.run(t, "history", "show", workflowID)
	if shown.Code != 1 || !strings.Contains(shown.Stderr, "does not accept the login") || strings.Contains(shown.Stdout, "planted") {
		t.Errorf("exit code %d: %s", shown.Code, shown.Stderr)
	}
}

func TestAnOperatorLogsInReadsAndLogsOut(t *testing.T) {
	s := stack.Start(t, stack.Options{})
	server := s.Server(t, stack.ServerOptions{})
	ran(t, s, false)
	w := newTerminal(t, s, server)
	mayNotRead(t, w)

	in := w.login(t, browserOf(t, "alice"), "--no-browser", "--issuer="+s.OIDC.Issuer, "--client-id="+stack.OpsClient, "--audience="+stack.Audience)
	value := strings.TrimSuffix(in.Stdout, "\n")
	if in.Code != 0 || !strings.HasPrefix(value, "Bearer ey") || strings.Contains(value, "\n") || !strings.Contains(in.Stderr, "Logged in at "+s.OIDC.Issuer+" as alice@example.com.") {
		t.Fatalf("exit code %d: %s", in.Code, in.Stderr)
	}
	mayRead(t, w)
	// What is printed is what the temporal CLI sends.
	other := signetAs(t, s, server, strings.TrimPrefix(value, "Bearer "), "history", "show", workflowID)
	if other.Code != 0 || !strings.Contains(other.Stdout, inputSecret) {
		t.Errorf("exit code %d: %s", other.Code, other.Stderr)
	}
	if n, _ := requests(t, server, "u-alice"); n == 0 {
		t.Error("the audit log does not know who it was")
	}
	// A second login asks nobody, and needs no options.
	again := w.run(t, "login", "--output=json")
	var said struct {
		CodecServer, Authorization, Subject, Email, Issuer, File string
		Renewable                                                bool
		Expires                                                  time.Time
	}
	if err := json.Unmarshal([]byte(again.Stdout), &said); err != nil || again.Code != 0 || again.Stderr != "" || said.Authorization != value || said.Subject != "u-alice" ||
		said.Email != "alice@example.com" || said.CodecServer != server.URL || !said.Renewable || time.Until(said.Expires) < time.Minute {
		t.Errorf("exit code %d: %s, %v", again.Code, again.Stderr, err)
	}
	if info, err := os.Stat(said.File); err != nil || info.Mode() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	kept, err := os.ReadFile(said.File)
	if err != nil {
		t.Fatal(err)
	}

	t.Run("another codec server does not get the token", func(t *testing.T) {
		elsewhere := s.Server(t, stack.ServerOptions{})
		stranger := &terminal{s, append(append([]string{}, w.env...), "TEMPORAL_CODEC_ENDPOINT="+elsewhere.URL)}
		mayNotRead(t, stranger)
	})
	out := w.run(t, "logout")
	if out.Code != 0 || out.Stdout != "logged out for "+server.URL+", and at "+s.OIDC.Issuer+"\n" {
		t.Errorf("exit code %d: %s%s", out.Code, out.Stdout, out.Stderr)
	}
	mayNotRead(t, w)
	if twice := w.run(t, "logout"); twice.Code != 0 || !strings.HasPrefix(twice.Stdout, "not logged in") {
		t.Errorf("exit code %d: %s%s", twice.Code, twice.Stdout, twice.Stderr)
	}
	// A copy of the file renews nothing any more: the provider was told.
	var copied map[string]any
	if err := json.Unmarshal(kept, &copied); err != nil {
		t.Fatal(err)
	}
	refresh, _ := copied["tokens"].(map[string]any)["refreshToken"].(string)
	if _, err := parts.Refresh(t.Context(), parts.LoginRequest{Issuer: s.OIDC.Issuer, ClientID: stack.OpsClient}, refresh); refresh == "" || err == nil {
		t.Errorf("the refresh token of before still renews: %v", err)
	}

	t.Run("with a code", func(t *testing.T) { device(t, s, w) })
	t.Run("tokens that live for seconds", func(t *testing.T) { brief(t, s, w) })
}

// device: the browser is on another machine, and somebody types the code there. Issuer and client are remembered.
func device(t *testing.T, s *stack.Stack, w *terminal) {
	code := regexp.MustCompile(`the code ([A-Z0-9-]+)\.`)
	types := func(address, line string) {
		at, _, _ := strings.Cut(address, "?")
		res, err := http.PostForm(strings.TrimSuffix(at, ","), url.Values{"user_code": {code.FindStringSubmatch(line)[1]}, "username": {"alice"}, "password": {"alice-password"}})
		if err != nil {
			t.Error(err)
			return
		}
		defer res.Body.Close()
		if res.StatusCode != http.StatusOK {
			t.Errorf("the provider answers %s", res.Status)
		}
	}
	in := w.login(t, types, "--device")
	if in.Code != 0 || !strings.HasPrefix(in.Stdout, "Bearer ey") {
		t.Fatalf("exit code %d: %s", in.Code, in.Stderr)
	}
	mayRead(t, w)
	// Somebody else logs in: what is kept is replaced.
	bob := w.login(t, browserOf(t, "bob"), "--no-browser", "--again")
	if bob.Code != 0 || !strings.Contains(bob.Stderr, "as bob@example.com.") {
		t.Fatalf("exit code %d: %s", bob.Code, bob.Stderr)
	}
	if shown := w.run(t, "history", "show", workflowID); shown.Code != 5 || strings.Contains(shown.Stdout, "planted") {
		t.Errorf("exit code %d: %s", shown.Code, shown.Stderr)
	}
}

// brief: the token is nearly over from the start, so each command renews it.
func brief(t *testing.T, s *stack.Stack, w *terminal) {
	in := w.login(t, browserOf(t, "alice"), "--no-browser", "--client-id="+stack.RenewingClient)
	if in.Code != 0 {
		t.Fatalf("exit code %d: %s", in.Code, in.Stderr)
	}
	mayRead(t, w)
	mayRead(t, w)
	// The provider is away: once the last token is over, the command says so, and shows nothing.
	if err := s.OIDC.Stop(); err != nil {
		t.Fatal(err)
	}
	stack.Eventually(t, time.Minute, func() error {
		shown := w.run(t, "history", "show", workflowID)
		if shown.Code != 1 || !strings.Contains(shown.Stderr, "does not tell its addresses") || strings.Contains(shown.Stdout, "planted") {
			return fmt.Errorf("exit code %d: %s", shown.Code, shown.Stderr)
		}
		return nil
	})
}
