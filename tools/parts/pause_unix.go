//go:build unix

package parts

import (
	"fmt"
	"syscall"
)

// Pause stops the program in its tracks: it keeps its connections and answers nothing, as in a network
// that swallows packets. Resume lets it go on.
func (p *Proc) Pause() error { return p.signal(syscall.SIGSTOP) }

// Resume ends a Pause.
func (p *Proc) Resume() error { return p.signal(syscall.SIGCONT) }

func (p *Proc) signal(sig syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.run.cmd.Process.Signal(sig); err != nil {
		return fmt.Errorf("send %v to %s: %w", sig, p.spec.name, err)
	}
	return nil
}

func (r *run) wake() { _ = r.cmd.Process.Signal(syscall.SIGCONT) }
