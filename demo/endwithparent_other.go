//go:build !linux

package main

import "os/exec"

// endWithParent does nothing here: a demo that is killed leaves signet-server behind.
func endWithParent(*exec.Cmd) {}
