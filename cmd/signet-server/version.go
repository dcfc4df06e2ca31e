package main

import (
	"fmt"

	"github.com/signet-temporal/signet/internal/version"
)

type versionCmd struct{}

// Run prints what the Go toolchain wrote into the program.
func (*versionCmd) Run(a *app) error {
	v, err := version.Read()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(a.stdout, "signet-server", v)
	return err
}

// running is the version for the log.
func running() string {
	v, err := version.Read()
	if err != nil {
		return "unknown"
	}
	return v.Version
}
