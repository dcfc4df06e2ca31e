package parts

import (
	"os/exec"
	"syscall"
)

// endWithParent has the system kill cmd when the thread that starts it ends. The caller keeps that thread
// until the command has ended.
func endWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
