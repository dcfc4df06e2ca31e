//go:build !unix

package parts

import "errors"

// Pause returns an error: this system cannot stop a process in its tracks.
func (p *Proc) Pause() error { return errors.New("pause a program: use a Unix system") }

// Resume returns an error, as Pause does.
func (p *Proc) Resume() error { return errors.New("resume a program: use a Unix system") }

func (r *run) wake() {}
