package parts

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The tests of Proc start this test binary again as the program; PARTS_TEST_PROGRAM says what it does.
func TestMain(m *testing.M) {
	switch os.Getenv("PARTS_TEST_PROGRAM") {
	case "":
		os.Exit(m.Run())
	case "good":
		os.Stdout.WriteString("noise\nready {\"at\":\"here\"}\n")
		time.Sleep(time.Hour)
	case "fails":
		os.Stderr.WriteString("first\nport 1 is taken\n")
		os.Exit(3)
	case "silent":
		time.Sleep(time.Minute)
	case "parent":
		p, err := startProc(context.Background(), testSpec("good"))
		if err != nil {
			panic(err)
		}
		os.Stdout.WriteString("ready {\"child\":\"" + childStat(p) + "\"}\n")
		time.Sleep(time.Hour)
	}
}

func childStat(p *Proc) string {
	return fmt.Sprintf("/proc/%d/stat", p.Pid())
}

func testSpec(what string) spec {
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	return spec{name: what, path: self, env: []string{"PARTS_TEST_PROGRAM=" + what}}
}

func TestProcLife(t *testing.T) {
	p, err := startProc(t.Context(), testSpec("good"))
	if err != nil {
		t.Fatal(err)
	}
	if p.ready["at"] != "here" {
		t.Errorf("ready line: %v", p.ready)
	}
	first := p.Pid()
	if err := p.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if p.Pid() == first {
		t.Error("not another process")
	}
	p.Kill()
	<-p.Done()
	if err := p.Stop(); err != nil {
		t.Errorf("stop after kill: %v", err)
	}
	if err := p.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
}

func TestProcPause(t *testing.T) {
	p, err := startProc(t.Context(), testSpec("good"))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Pause(); err != nil {
		t.Fatal(err)
	}
	if err := p.Stop(); err != nil {
		t.Errorf("stop of a paused program: %v", err)
	}
}

func TestProcFails(t *testing.T) {
	_, err := startProc(t.Context(), testSpec("fails"))
	if err == nil || !strings.Contains(err.Error(), "port 1 is taken") || strings.Contains(err.Error(), "\n") {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := startProc(ctx, testSpec("silent")); err == nil || !strings.Contains(err.Error(), "not ready in time") {
		t.Errorf("got %v", err)
	}
	if _, err := startProc(t.Context(), spec{name: "none"}); err == nil {
		t.Error("a start without a program")
	}
}

// TestProcEndsWithParent: a killed parent leaves no process behind.
func TestProcEndsWithParent(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("other systems have no such signal")
	}
	// The parent is started without Proc, so that nothing but its own death can end its child.
	self := testSpec("parent")
	cmd := exec.Command(self.path)
	cmd.Env = append(os.Environ(), self.env...)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	lines := make(chan string, 1)
	cmd.Stdout = &tail{line: func(s string) { lines <- s }}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_, stat, _ := strings.Cut(<-lines, `"child":"`)
	stat, _, _ = strings.Cut(stat, `"`)
	if _, err := os.Stat(stat); err != nil {
		t.Fatalf("no child: %v", err)
	}
	if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	for range 100 {
		if b, err := os.ReadFile(stat); err != nil || strings.Contains(string(b), ") Z ") {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Error("the child outlives its parent")
}
