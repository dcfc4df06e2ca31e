package main

import (
	"fmt"
	"io"

	"github.com/signet-temporal/signet/internal/version"
)

type versionCmd struct{}

// Help is the long help of the command.
func (versionCmd) Help() string { return jsonHelp[version.Info]() }

// Run prints what the Go toolchain wrote into the program.
func (versionCmd) Run(a *app) error {
	v, err := version.Read()
	if err != nil {
		return err
	}
	return a.print(v, func(w io.Writer) { fmt.Fprintln(w, "signet", v) })
}
