package parts

import (
	"os/exec"
	"runtime"
)

// Start starts a program that ends with this one, also when this one is killed, where the system can do that (on Linux). It
// calls ended, from another goroutine, with what cmd.Wait returned; not if starting fails. Set cmd.Stdout and
// cmd.Stderr rather than making pipes of them: Start waits for the program.
func Start(cmd *exec.Cmd, ended func(error)) error {
	endWithParent(cmd)
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // the parent is the thread, which has to stay until the program has ended
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			ended(cmd.Wait())
		}
	}()
	return <-started
}
