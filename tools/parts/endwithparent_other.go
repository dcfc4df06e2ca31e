//go:build !linux

package parts

import "os/exec"

// endWithParent does nothing here: programs that know -exit-with-stdin still end with their parent.
func endWithParent(*exec.Cmd) {}
