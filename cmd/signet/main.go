// Signet is the key custodian's tool: it makes keysets, rotates their keys in two steps, and shows what the outside of
// sealed payloads says. See signet --help.
package main

import (
	"io"
	"os"
	"time"

	"github.com/alecthomas/kong"
	"github.com/signet-temporal/signet/internal/keyconfig"
	"github.com/signet-temporal/signet/labels/vet"
)

func main() {
	if os.Getenv(asVettool) != "" {
		vet.Main()
	}
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// cli is the command line: its tags are the only source of the help.
type cli struct {
	Keyset    keysetCmd    `cmd:"" help:"Create keysets, look at them, and take their keys through their lives."`
	Census    censusCmd    `cmd:"" help:"Count which keys a namespace still needs."`
	Schedules schedulesCmd `cmd:"" help:"Move schedules to the primary key."`
	Vault     vaultCmd     `cmd:"" help:"Prepare Vault for keysets."`
	Shred     shredCmd     `cmd:"" help:"Erase a tenant: shred the tenant's keyset, in two steps with a waiting period between them."`

	Login       loginCmd       `cmd:"" help:"Log in for a codec server, and print what the temporal CLI takes as TEMPORAL_CODEC_AUTH."`
	Logout      logoutCmd      `cmd:"" help:"Forget the login for a codec server."`
	History     historyCmd     `cmd:"" help:"Read the history of a workflow, decoded by a codec server."`
	Payload     payloadCmd     `cmd:"" help:"Look at sealed payloads."`
	SearchToken searchTokenCmd `cmd:"" help:"Turn a value into the tokens that stand for it in a search attribute."`

	Vet     vetCmd     `cmd:"" help:"Find sensitive data without a label in Go programs, and labelled data in what Temporal stores in clear."`
	Version versionCmd `cmd:"" help:"Print the version of signet."`

	Output string `short:"o" enum:"table,json" default:"table" env:"SIGNET_OUTPUT" help:"How to print the result: table or json. The help of each command lists the members of its JSON."`
}

// app is what a command works with.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	now            func() time.Time
	json           bool
}

const description = `Keep the keysets that seal Temporal payloads, and look at sealed payloads from outside.

A keyset has a name such as ns/payments. Its primary key seals; every other key in use only opens. Rotation is two
steps: "keyset rotate" adds a pending key, and "keyset promote" makes it primary once every worker has had time to
fetch it. What changes something shows with --plan what it would do, and may be repeated after it was interrupted.`

// run is the whole program but for the exit.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		args = []string{"--help"}
	}
	var c cli
	parser, err := newParser(&c, kong.Writers(stdout, stderr))
	if err != nil {
		return report(stderr, err)
	}
	parsed, err := parser.Parse(args)
	if err != nil {
		return report(stderr, usageError(parsed, err))
	}
	a := &app{stdin: stdin, stdout: stdout, stderr: stderr, now: time.Now, json: c.Output == "json"}
	if err := parsed.Run(a, &c.Keyset, &c.Vault, &c.Schedules); err != nil {
		return report(stderr, err)
	}
	return exitOK
}

func newParser(c *cli, options ...kong.Option) (*kong.Kong, error) {
	return kong.New(c, append([]kong.Option{
		kong.Name("signet"),
		kong.Description(description + "\n\n" + exitHelp()),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, FlagsLast: true, WrapUpperBound: 100}),
		kong.ExplicitGroups([]kong.Group{
			{Key: "store", Title: "Key store (one of --config, --keys-file, --vault-addr):"},
			{Key: "vault", Title: "Key store in Vault:"},
			{Key: "codec", Title: "Codec server, as for the temporal CLI:"},
			{Key: "login", Title: "Login:"},
			{Key: "temporal", Title: "Temporal, as for the temporal CLI:"},
		}),
		kong.Vars{
			"propagation_delay": defaultPropagationDelay,
			"kv_mount":          keyconfig.DefaultKVMount, "kv_prefix": keyconfig.DefaultPrefix,
			"transit_mount": keyconfig.DefaultTransitMount, "transit_key": keyconfig.DefaultTransitKey,
		},
	}, options...)...)
}
