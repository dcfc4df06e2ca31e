package stack

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/signet-temporal/signet/tools/parts"
)

// built holds signet's programs, one build per test process.
var built = map[string]func() (string, error){
	"signet":        sync.OnceValues(func() (string, error) { return build("signet") }),
	"signet-server": sync.OnceValues(func() (string, error) { return build("signet-server") }),
	"released":      sync.OnceValues(func() (string, error) { return buildAs("released", "signet-server") }),
	"profiled":      sync.OnceValues(buildProfiled),
}

// Program returns the path of one of signet's own programs, "signet" or "signet-server", built with the race detector;
// "released" is signet-server without it, and "profiled" that with the hook of [Server.Profile].
func Program(t *testing.T, name string) string {
	t.Helper()
	path, err := built[name]()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func build(name string) (string, error) { return buildAs("race", name, "-race") }

// buildAs compiles into a folder beside the parts, under a name of this process first: another test process may be running
// the program of before, or building it as well. It begins with a copy of that one, which go leaves as it is, without linking
// it again, where nothing has changed.
func buildAs(folder, name string, flags ...string) (string, error) {
	root, err := parts.Root("")
	if err != nil {
		return "", err
	}
	binary := filepath.Join(root, ".parts", folder, name)
	if err := os.MkdirAll(filepath.Dir(binary), 0o755); err != nil {
		return "", err
	}
	temp := fmt.Sprintf("%s.tmp-%d", binary, os.Getpid())
	defer os.Remove(temp)
	if before, err := os.ReadFile(binary); err == nil {
		if err := os.WriteFile(temp, before, 0o755); err != nil {
			return "", err
		}
	}
	args := append([]string{"build", "-buildvcs=false", "-o", temp}, flags...)
	cmd := exec.Command("go", append(args, "./cmd/"+name)...)
	cmd.Dir, cmd.Env = root, append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=readonly")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", name, err, out)
	}
	if err := os.Rename(temp, binary); err != nil {
		return "", err
	}
	return binary, nil
}

// Run is what a program said and how it ended.
type Run struct {
	Stdout, Stderr string
	Code           int
}

// briefExit leaves out the race detector's own second of sleep at the end of a process.
const briefExit = "GORACE=atexit_sleep_ms=10"

// Exec runs a program with nothing but env (and PATH, HOME, an empty folder, and briefExit) in its environment, for a
// minute at most.
func Exec(t *testing.T, env []string, program string, args ...string) Run {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), briefExit}, env...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || ctx.Err() != nil {
		t.Fatalf("%s %v: %v, %v", filepath.Base(program), args, err, ctx.Err())
	}
	failOnRace(t, program, stderr.Bytes())
	return Run{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

func failOnRace(t *testing.T, program string, stderr []byte) {
	t.Helper()
	if bytes.Contains(stderr, []byte("WARNING: DATA RACE")) {
		t.Errorf("%s has a data race:\n%s", filepath.Base(program), stderr)
	}
}

// Signet runs the CLI as the custodian of the stack's Vault and returns what it printed. Another exit code than 0 fails
// the test.
func (s *Stack) Signet(t *testing.T, args ...string) string {
	t.Helper()
	run := s.SignetRun(t, args...)
	if run.Code != 0 {
		t.Fatalf("signet %v: exit code %d: %s", args, run.Code, run.Stderr)
	}
	return run.Stdout
}

// SignetRun is [Stack.Signet] for what is expected to fail, too.
func (s *Stack) SignetRun(t *testing.T, args ...string) Run {
	t.Helper()
	return s.SignetAs(t, s.Roles.CustodianToken, args...)
}

// SignetAs runs the CLI with another token.
func (s *Stack) SignetAs(t *testing.T, token string, args ...string) Run {
	t.Helper()
	return Exec(t, s.SignetEnv(s.Vault.Address, token), Program(t, "signet"), args...)
}

// SignetEnv is the environment in which the CLI finds the keysets of the stack, over an address of its Vault.
func (s *Stack) SignetEnv(address, token string) []string {
	env := []string{"VAULT_ADDR=" + address, "VAULT_TOKEN=" + token}
	if len(s.Options.OwnKeysUnder) > 0 {
		env = append(env, "SIGNET_OWN_KEYS_UNDER="+strings.Join(s.Options.OwnKeysUnder, ","))
	}
	return env
}

// CreateKeyset creates a keyset with the CLI and returns the id of its primary key, eight hex digits.
func (s *Stack) CreateKeyset(t *testing.T, name string) string {
	t.Helper()
	args := []string{"keyset", "create", name}
	if delay := s.Options.PropagationDelay; delay != 0 {
		args = append(args, "--propagation-delay="+delay.String())
	}
	return s.keyCommand(t, args...)
}

// Rotate adds a pending key with the CLI and returns its id.
func (s *Stack) Rotate(t *testing.T, name string) string {
	t.Helper()
	return s.keyCommand(t, "keyset", "rotate", name)
}

// Promote makes the pending key primary with the CLI and returns its id. More flags, such as --force, may follow.
func (s *Stack) Promote(t *testing.T, name string, flags ...string) string {
	t.Helper()
	return s.keyCommand(t, append([]string{"keyset", "promote", name}, flags...)...)
}

func (s *Stack) keyCommand(t *testing.T, args ...string) string {
	t.Helper()
	var answer struct{ Key string }
	out := s.Signet(t, append(args, "--output=json")...)
	if err := json.Unmarshal([]byte(out), &answer); err != nil || len(answer.Key) != 8 {
		t.Fatalf("signet %v printed %q, no key id in it: %v", args, out, err)
	}
	return answer.Key
}
