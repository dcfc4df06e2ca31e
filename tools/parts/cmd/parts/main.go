// Command parts builds, downloads and installs what the end-to-end tests and the demo start: all of it, or
// what is named on the command line. It prints where each part is.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/signet-temporal/signet/tools/parts"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "parts:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	fs := flag.NewFlagSet("parts", flag.ContinueOnError)
	fs.Usage = func() {
		fmt.Fprintf(stderr, "usage: parts [name ...]\nProvides the named parts, or all: %v\n", parts.All())
	}
	if err := fs.Parse(args); err != nil {
		return err
	}
	var names []parts.Name
	for _, arg := range fs.Args() {
		names = append(names, parts.Name(arg))
	}
	paths, err := parts.Ensure(ctx, stderr, names...)
	if err != nil {
		return err
	}
	for _, row := range []struct {
		name parts.Name
		path string
	}{
		{parts.TemporalServer, paths.Temporal},
		{parts.VaultServer, paths.Vault},
		{parts.OIDCProvider, paths.OIDC},
		{parts.CLI, paths.CLI},
		{parts.UI258, paths.UI258},
		{parts.UI253, paths.UI253},
		{parts.Chromium, paths.Chromium},
	} {
		if row.path != "" {
			fmt.Fprintf(stdout, "%-13s %s\n", row.name, row.path)
		}
	}
	return nil
}
