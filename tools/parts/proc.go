package parts

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	startTimeout = 90 * time.Second
	stopTimeout  = 20 * time.Second
)

// spec is how to start a program and how to see that it can be used.
type spec struct {
	name string
	path string
	args []string
	env  []string // added to the environment
	// stdin is written first; the pipe then stays open while the process may live.
	stdin []byte
	// usable returns nil when the program answers. It is nil for a program that prints a ready line.
	usable func(context.Context) error
}

// Proc is one started program. Its methods may be called from several goroutines.
type Proc struct {
	spec  spec
	ready map[string]string // of the first start

	mu  sync.Mutex // held through Stop, Kill and Restart
	run *run
}

// run is one life of a program.
type run struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stderr *tail
	ready  chan map[string]string
	done   chan struct{} // closed after err is set
	err    error
}

// startProc starts s and waits until it can be used. ctx bounds the wait.
func startProc(ctx context.Context, s spec) (*Proc, error) {
	if s.path == "" {
		return nil, fmt.Errorf("start %s: no program: take its path from Ensure", s.name)
	}
	p := &Proc{spec: s}
	if err := p.start(ctx); err != nil {
		return nil, err
	}
	return p, nil
}

func (p *Proc) start(ctx context.Context) error {
	r, err := launch(p.spec)
	if err != nil {
		return fmt.Errorf("start %s: %w", p.spec.name, err)
	}
	p.run = r
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := p.await(ctx, r); err != nil {
		r.kill()
		return fmt.Errorf("start %s: %w", p.spec.name, err)
	}
	return nil
}

func (p *Proc) await(ctx context.Context, r *run) error {
	if p.spec.usable == nil {
		select {
		case ready := <-r.ready:
			p.ready = ready
			return nil
		case <-r.done:
			return r.failure()
		case <-ctx.Done():
			return fmt.Errorf("not ready in time: %w: %s", ctx.Err(), r.stderr.last(3))
		}
	}
	for {
		err := p.spec.usable(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-r.done:
			return r.failure()
		case <-ctx.Done():
			return fmt.Errorf("not usable in time: %w: %s", err, r.stderr.last(3))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// launch starts a process that does not outlive this program, and hands it its input.
func launch(s spec) (*run, error) {
	cmd := exec.Command(s.path, s.args...)
	cmd.Env = append(os.Environ(), s.env...)
	r := &run{cmd: cmd, stderr: &tail{}, ready: make(chan map[string]string, 1), done: make(chan struct{})}
	cmd.Stderr = r.stderr
	cmd.Stdout = &tail{line: r.stdoutLine}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	r.stdin = stdin
	if err := Start(cmd, func(err error) {
		r.err = err
		close(r.done)
	}); err != nil {
		return nil, err
	}
	if _, err := stdin.Write(s.stdin); err != nil && !errors.Is(err, syscall.EPIPE) {
		r.kill()
		return nil, fmt.Errorf("write its input: %w", err)
	}
	return r, nil
}

func (r *run) stdoutLine(line string) {
	text, ok := strings.CutPrefix(line, "ready ")
	if !ok {
		return
	}
	var ready map[string]string
	if err := json.Unmarshal([]byte(text), &ready); err != nil {
		return
	}
	select {
	case r.ready <- ready:
	default:
	}
}

func (r *run) failure() error {
	return fmt.Errorf("it ended (%v): %s", r.cmd.ProcessState, r.stderr.last(3))
}

func (r *run) kill() {
	_ = r.cmd.Process.Kill()
	<-r.done
}

func (r *run) ended() bool {
	select {
	case <-r.done:
		return true
	default:
		return false
	}
}

// Stop asks the program to end and waits; after 20 seconds it is killed, which is an error. Stopping what
// has ended does nothing.
func (p *Proc) Stop() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stop()
}

func (p *Proc) stop() error {
	r := p.run
	if r.ended() {
		return nil
	}
	r.wake() // a paused program could not end
	if err := r.cmd.Process.Signal(os.Interrupt); err != nil && !errors.Is(err, os.ErrProcessDone) {
		r.kill()
		return fmt.Errorf("stop %s: %w", p.spec.name, err)
	}
	select {
	case <-r.done:
		return nil
	case <-time.After(stopTimeout):
		r.kill()
		return fmt.Errorf("stop %s: killed, for it had not ended after %s: %s", p.spec.name, stopTimeout, r.stderr.last(3))
	}
}

// Kill ends the program at once, as a crash would (SIGKILL), and waits until it is gone.
func (p *Proc) Kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.run.kill()
}

// Restart stops the program if it runs and starts it again on the same port with the same files. What it
// kept in memory is lost. ctx bounds the start.
func (p *Proc) Restart(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.stop(); err != nil {
		return err
	}
	return p.start(ctx)
}

// Done returns a channel that is closed when the program, as started last, has ended.
func (p *Proc) Done() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.run.done
}

// Pid returns the process id of the program as started last.
func (p *Proc) Pid() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.run.cmd.Process.Pid
}

// Stderr returns the last lines that the program wrote to stderr, joined by " | ".
func (p *Proc) Stderr() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.run.stderr.last(tailLines)
}
