// Command testoidc runs a real OpenID provider for tests and the demo: users and clients come from a JSON
// file, everything else lives in memory. See README.md for the file and the flags.
//
// When it can be used it prints one line on stdout, "ready " and a JSON object; errors go to stderr. It ends
// on SIGTERM, on SIGINT and, with -exit-with-stdin, when its standard input is closed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"
)

func main() {
	if err := run(os.Args[1:], os.Stdin, os.Stdout); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			os.Exit(2)
		}
		fmt.Fprintln(os.Stderr, "testoidc:", err)
		os.Exit(1)
	}
}

// flags is what the command was asked to do.
type flags struct {
	config, ip, cert, key string
	port                  int
	exitWithStdin         bool
}

func run(args []string, stdin io.Reader, stdout io.Writer) error {
	var f flags
	fs := flag.NewFlagSet("testoidc", flag.ContinueOnError)
	fs.StringVar(&f.config, "config", "", "JSON `file` with users and clients, or - for standard input (required)")
	fs.StringVar(&f.ip, "ip", "127.0.0.1", "`address` to listen on")
	fs.IntVar(&f.port, "port", 0, "`port`, 0 for a free one")
	fs.StringVar(&f.cert, "cert", "", "PEM `file` with the certificate; without it plain HTTP is served")
	fs.StringVar(&f.key, "key", "", "PEM `file` with the certificate's key")
	fs.BoolVar(&f.exitWithStdin, "exit-with-stdin", false, "end when standard input is closed")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if (f.cert == "") != (f.key == "") {
		return errors.New("TLS wants both files: give -cert and -key, or neither")
	}
	cfg, err := readConfig(f.config, stdin)
	if err != nil {
		return err
	}
	ctx, stop := lifetime(f.exitWithStdin, stdin)
	defer stop()
	return serve(ctx, f, cfg, stdout)
}

func serve(ctx context.Context, f flags, cfg config, stdout io.Writer) error {
	listener, err := net.Listen("tcp", net.JoinHostPort(f.ip, strconv.Itoa(f.port)))
	if err != nil {
		return fmt.Errorf("port %d on %s is taken: choose another with -port: %w", f.port, f.ip, err)
	}
	issuer := "http://" + listener.Addr().String()
	if f.cert != "" {
		issuer = "https://" + listener.Addr().String()
	}
	handler, err := newProvider(issuer, cfg)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	failed := make(chan error, 1)
	go func() {
		if f.cert != "" {
			failed <- server.ServeTLS(listener, f.cert, f.key)
			return
		}
		failed <- server.Serve(listener)
	}()
	if err := ready(stdout, map[string]string{"issuer": issuer}); err != nil {
		return err
	}
	select {
	case err := <-failed:
		return fmt.Errorf("serve %s: %w", issuer, err)
	case <-ctx.Done():
		return server.Close()
	}
}
