package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/alecthomas/kong"
	"github.com/signet-temporal/signet/internal/keyconfig"
	"github.com/signet-temporal/signet/keys/vaultstore"
)

type vaultCmd struct {
	storeFlags

	Setup  vaultSetupCmd  `cmd:"" help:"Prepare Vault: engines, the Transit key and the policies of all roles. What is there already stays."`
	Policy vaultPolicyCmd `cmd:"" help:"Print the Vault policy of a role, with what it needs and nothing more."`
}

type vaultPolicyCmd struct {
	Names []string `arg:"" optional:"" name:"name" help:"Names of keysets that the policy is for; all of them if none is given."`
	Role  string   `required:"" enum:"worker,server,custodian,destroyer,shredder,auditor" help:"The role: worker, server, custodian, destroyer, shredder or auditor."`
}

// Help is the long help of the command.
func (vaultPolicyCmd) Help() string {
	return `    worker     reads keysets and unwraps their keys
    server     the same, for signet-server
    custodian  creates and changes keysets, wraps and rewraps keys, and cannot unwrap one
    destroyer  carries out what a custodian has scheduled: "keyset destroy --carry-out"
    shredder   carries out a shredding that a custodian has scheduled: "shred --carry-out"
    auditor    sees keysets and the states of their keys, for "keyset list" and "keyset status"

With names, the policy is for these keysets alone: for a worker that shall not open what belongs to another namespace.
Such a role cannot list keysets, since a list tells of all. For shredding, give somebody the role shredder for the one
keyset alone, for as long as it takes. With --own-keys-under the policies know the Transit keys of keysets' own. Vault itself is not asked. Paths are those of --kv-mount and its siblings, or of --config.

` + jsonHelp[rolePolicy]()
}

// rolePolicy is the JSON output of `vault policy`.
type rolePolicy struct {
	Role   string `json:"role" help:"the role"`
	Policy string `json:"policy" help:"its policy, in HCL"`
}

// Run prints the policy.
func (c *vaultPolicyCmd) Run(a *app, at *vaultCmd) error {
	places, err := at.places()
	if err != nil {
		return err
	}
	text, err := places.Policy(vaultstore.Role(c.Role), c.Names...)
	if err != nil {
		return codedf(exitUsage, "%s", err)
	}
	return a.print(rolePolicy{c.Role, text}, func(w io.Writer) { fmt.Fprint(w, text) })
}

// places returns where in Vault the keysets are, whether or not it is said where Vault is.
func (f storeFlags) places() (vaultstore.Options, error) {
	if f.Config == "" {
		return (&keyconfig.Vault{KVMount: f.KVMount, Prefix: f.KVPrefix, TransitMount: f.TransitMount, TransitKey: f.TransitKey, OwnKeysUnder: f.OwnKeysUnder}).Places(), nil
	}
	config, err := keyconfig.Load(f.Config)
	if err == nil && config.Vault == nil {
		err = fmt.Errorf("%s: its keysets are not in Vault: name another configuration, or the paths with --kv-mount and its siblings", f.Config)
	}
	if err != nil {
		return vaultstore.Options{}, codedf(exitUsage, "%s", err)
	}
	return config.Vault.Places(), nil
}

type vaultSetupCmd struct{ planFlag }

// Help is the long help of the command.
func (vaultSetupCmd) Help() string {
	return `For whoever administers Vault: it needs sudo on sys/mounts, and to write policies called signet-ROLE. An engine or a key of
another kind at the same place is refused and not touched. It may be repeated.

` + jsonHelp[prepared]()
}

// prepared is the JSON output of `vault setup`.
type prepared struct {
	Planned bool        `json:"planned" help:"whether this is a plan, and nothing was done"`
	Steps   []setupStep `json:"steps" help:"what was done, or with --plan would be; empty if Vault was prepared already"`
}

type setupStep struct {
	Path string `json:"path" help:"path in Vault that is written to"`
	Does string `json:"does" help:"what for, in words"`
}

// Run prepares Vault.
func (c *vaultSetupCmd) Run(a *app, at *vaultCmd, parsed *kong.Context) error {
	result := prepared{Planned: c.Plan, Steps: []setupStep{}}
	err := at.withStore(a, parsed, false, func(ctx context.Context, s *keyconfig.Opened) error {
		store, ok := s.Store.(*vaultstore.Store)
		if !ok {
			return codedf(exitUsage, "%s is not in Vault: name Vault with --vault-addr", s)
		}
		steps, err := store.PlanSetup(ctx)
		if err != nil {
			return err
		}
		for _, step := range steps {
			result.Steps = append(result.Steps, setupStep{step.Path, step.Does})
		}
		if c.Plan {
			return nil
		}
		return store.Setup(ctx, steps)
	})
	if err != nil {
		return err
	}
	return a.print(result, result.table)
}

func (p prepared) table(w io.Writer) {
	switch {
	case len(p.Steps) == 0:
		fmt.Fprintln(w, "Vault is prepared: nothing is to be done.")
		return
	case p.Planned:
		fmt.Fprintln(w, "Plan for Vault, of which nothing was done:")
	default:
		fmt.Fprintln(w, "Done in Vault:")
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, step := range p.Steps {
		fmt.Fprintf(tw, "  %s\t%s\n", step.Path, step.Does)
	}
	tw.Flush()
}
