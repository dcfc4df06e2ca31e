// Signet-server is the codec server: it lets the Temporal Web UI and the temporal CLI show the payloads that signet
// sealed, to those whom its policy names, and keeps a record of it. Its one configuration file is described in config.go.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// cli is the command line: its tags are the only source of the help.
type cli struct {
	Serve  serveCmd  `cmd:"" default:"withargs" help:"Serve the codec protocol until SIGTERM or SIGINT. This is what happens without a command."`
	Config configCmd `cmd:"" help:"Look at the configuration."`
	Audit  auditCmd  `cmd:"" help:"Look at the audit log."`
	Policy policyCmd `cmd:"" help:"Try the policy."`
	Token  tokenCmd  `cmd:"" help:"Make tokens for programs."`
	Doctor doctorCmd `cmd:"" help:"Say why the Web UI or the CLI cannot decode, step by step."`

	Version versionCmd `cmd:"" help:"Print the version of signet-server."`
}

type configFlag struct {
	Config string `name:"config" required:"" placeholder:"FILE" env:"SIGNET_SERVER_CONFIG" help:"The YAML configuration file."`
}

type serveCmd struct {
	configFlag
	LogLevel slog.Level `default:"info" help:"What to log on standard error: debug, info, warn or error."`
}

type configCmd struct {
	Check checkCmd `cmd:"" help:"Check the configuration and the files it names, without starting or connecting to anything."`
}

type checkCmd struct {
	configFlag
}

// app is what a command works with.
type app struct {
	stdout, stderr io.Writer
}

// run is the whole program but for the exit: 0 when it was told to stop, 1 with one line on stderr when it cannot go on.
func run(args []string, stdout, stderr io.Writer) int {
	var c cli
	parser, err := newParser(&c, kong.Writers(stdout, stderr))
	if err != nil {
		return report(stderr, err)
	}
	parsed, err := parser.Parse(args)
	if err != nil {
		return report(stderr, fmt.Errorf("%w: see %s --help", err, selected(parsed, err)))
	}
	if err := parsed.Run(&app{stdout, stderr}); err != nil {
		return report(stderr, err)
	}
	return 0
}

const description = `The codec server of signet: shows sealed Temporal payloads to those who may see them.

Exit codes:

    0  done; of serve: it was told to stop
    1  failed, for the reason that the one line on standard error says`

func newParser(c *cli, options ...kong.Option) (*kong.Kong, error) {
	return kong.New(c, append([]kong.Option{kong.Name("signet-server"), kong.Description(description)}, options...)...)
}

// selected is the command that was typed, as far as that is known.
func selected(parsed *kong.Context, err error) string {
	var pe *kong.ParseError
	if errors.As(err, &pe) {
		parsed = pe.Context
	}
	if parsed == nil || parsed.Selected() == nil {
		return "signet-server"
	}
	return strings.TrimSuffix(parsed.Selected().FullPath(), " serve") // which is what runs without a command
}

// report prints an error as one line, whatever its parts made of it.
func report(stderr io.Writer, err error) int {
	fmt.Fprintln(stderr, "signet-server: "+strings.Join(strings.Fields(err.Error()), " "))
	return 1
}

// Run serves.
func (s *serveCmd) Run(a *app) error {
	log := slog.New(slog.NewTextHandler(a.stderr, &slog.HandlerOptions{Level: s.LogLevel}))
	c, err := loadConfig(s.Config)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	b, err := build(ctx, c, a.stdout, log)
	if err != nil {
		return fmt.Errorf("%s: %w", s.Config, err)
	}
	l := newLive(s.Config, b, log)
	defer func() { l.now.Load().close(log) }()
	defer b.forward()()
	if err := serve(ctx, l, log); err != nil {
		return fmt.Errorf("%s: %w", s.Config, err)
	}
	return nil
}

// Run checks.
func (s *checkCmd) Run(a *app) error {
	c, err := loadConfig(s.Config)
	if err != nil {
		return err
	}
	programs := ""
	if n := len(c.Machines.Tokens); n > 0 {
		programs = count(n, "machine token") + ", "
	}
	if ca := c.Machines.Certificates.CA; ca != "" {
		programs += fmt.Sprintf("machines certified by %s, ", ca)
	}
	if c.login != nil {
		programs += fmt.Sprintf("people log in at %s/login, ", c.login.URL)
	}
	_, err = fmt.Fprintf(a.stdout, "%s is valid: %s, %s, %skeys in %s\n", s.Config, count(len(c.Namespaces), "namespace"), count(len(c.Issuers), "issuer"), programs, c.Keys)
	return err
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
