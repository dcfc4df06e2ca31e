package main

import (
	"context"
	"fmt"
	"io"

	"github.com/alecthomas/kong"
	"github.com/signet-temporal/signet/internal/keyconfig"
	"github.com/signet-temporal/signet/keys"
	"github.com/signet-temporal/signet/keys/rotate"
)

type rewrapCmd struct {
	Names []string `arg:"" optional:"" name:"name" help:"Names of keysets; all of them if none is given."`
	planFlag
}

// Help is the long help of the command.
func (rewrapCmd) Help() string {
	return `For the time after "vault write -f transit/keys/NAME/rotate". No payload is touched and no key is shown: Vault wraps each
anew. When "keyset status" finds no key under an older version, min_decryption_version of the Transit key may rise.

` + jsonHelp[changes]()
}

// Run wraps the lagging keys of each keyset anew.
func (c *rewrapCmd) Run(a *app, at *keysetCmd, parsed *kong.Context) error {
	if err := checkNames(c.Names...); err != nil {
		return err
	}
	return at.each(a, parsed, c.Names, func(ctx context.Context, s *keyconfig.Opened, name string) (change, error) {
		kek, ok := s.KEK.(rotate.VersionedKEK)
		if !ok {
			return change{}, codedf(exitRefused, "the key-encryption key of %s has no versions, so there is nothing to rewrap: keep keysets in Vault for that", s)
		}
		r, err := c.rewrap(ctx, s.Store, kek, name)
		if err != nil {
			return change{}, missing(err, name, s)
		}
		return describeChange(r, 0, c.Plan), nil
	}, func(w io.Writer, r change) {
		switch {
		case r.plan(w):
		case len(r.Steps) == 0:
			fmt.Fprintf(w, "%s: every key is wrapped by the newest version already.\n", r.Keyset)
		default:
			fmt.Fprintf(w, "%s: %s wrapped anew.\n", r.Keyset, count(len(r.Steps), "key", "keys"))
		}
	})
}

func (c *rewrapCmd) rewrap(ctx context.Context, store keys.Store, kek rotate.VersionedKEK, name string) (rotate.Result, error) {
	if c.Plan {
		return rotate.PreviewRewrap(ctx, store, kek, name)
	}
	return rotate.Rewrap(ctx, store, kek, name)
}
