// Command testtemporal runs a real Temporal server ("server") or a real Temporal Web UI server ("ui"),
// for tests and the demo. See README.md for flags and the UI's configuration.
//
// When it can be used it prints one line on stdout, "ready " and a JSON object; everything else goes to
// stderr. It ends on SIGTERM, on SIGINT and, with -exit-with-stdin, when its standard input is closed.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
)

func main() {
	if err := run(os.Args[1:], os.Stdin, os.Stdout); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			os.Exit(2)
		}
		fmt.Fprintln(os.Stderr, "testtemporal:", err)
		os.Exit(1)
	}
}

func run(args []string, stdin io.Reader, stdout io.Writer) error {
	if len(args) == 0 {
		return errors.New("no command: use \"server\" or \"ui\"")
	}
	switch args[0] {
	case "server":
		return runServer(args[1:], stdin, stdout)
	case "ui":
		return runUI(args[1:], stdin, stdout)
	}
	return fmt.Errorf("unknown command %q: use \"server\" or \"ui\"", args[0])
}
