package stack

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/signet-temporal/signet/tools/parts"
)

const profileEnv = "SIGNET_TEST_CPU_PROFILE"

// profileHook is a file that the build of the tests adds to signet-server; the released program has nothing of the kind.
// The first SIGUSR1 begins a CPU profile, the second one writes it.
const profileHook = `package main

import (
	"os"
	"os/signal"
	"runtime/pprof"
	"syscall"
)

func init() {
	name := os.Getenv("` + profileEnv + `")
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGUSR1)
	go func() {
		<-signals
		f, err := os.Create(name + ".tmp")
		if err != nil {
			panic(err)
		}
		if err := pprof.StartCPUProfile(f); err != nil {
			panic(err)
		}
		<-signals
		pprof.StopCPUProfile()
		if err := f.Close(); err != nil {
			panic(err)
		}
		if err := os.Rename(name+".tmp", name); err != nil {
			panic(err)
		}
	}()
}
`

// buildProfiled adds the hook to the program without writing into its folder.
func buildProfiled() (string, error) {
	root, err := parts.Root("")
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp("", "signet-profiled-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	hook, overlay := filepath.Join(dir, "hook.go"), filepath.Join(dir, "overlay.json")
	replace := map[string]map[string]string{"Replace": {filepath.Join(root, "cmd", "signet-server", "profile_of_the_tests.go"): hook}}
	text, err := json.Marshal(replace)
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(hook, []byte(profileHook), 0o600); err != nil {
		return "", err
	}
	if err := os.WriteFile(overlay, text, 0o600); err != nil {
		return "", err
	}
	return buildAs("profiled", "signet-server", "-overlay", overlay)
}

// command is the program that the options ask for.
func (v *Server) command(t *testing.T) *exec.Cmd {
	t.Helper()
	env := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), briefExit}
	program, args := "signet-server", []string{"--config", v.ConfigFile}
	switch {
	case v.options.Profiled:
		program, env = "profiled", append(env, "GOMAXPROCS=1", profileEnv+"="+v.profileFile())
	case v.options.Released:
		program, env = "released", append(env, "GOMAXPROCS=1")
	default:
		args = append(args, "--log-level", "debug")
	}
	cmd := exec.Command(Program(t, program), args...)
	cmd.Env = env
	return cmd
}

// PID is the number of the process.
func (v *Server) PID() int { return v.cmd.Process.Pid }

func (v *Server) profileFile() string { return filepath.Join(filepath.Dir(v.ConfigFile), "cpu.pprof") }

// Profile begins a CPU profile of a server that is [ServerOptions.Profiled], once; the function that it returns ends it and
// writes it to a file.
func (v *Server) Profile(t *testing.T) (end func(file string)) {
	t.Helper()
	if err := v.Signal(syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	return func(file string) {
		t.Helper()
		if err := v.Signal(syscall.SIGUSR1); err != nil {
			t.Fatal(err)
		}
		var data []byte
		err := fmt.Errorf("%s: not written", v.profileFile())
		for deadline := time.Now().Add(20 * time.Second); err != nil && time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
			data, err = os.ReadFile(v.profileFile())
		}
		if err == nil {
			err = os.WriteFile(file, data, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
