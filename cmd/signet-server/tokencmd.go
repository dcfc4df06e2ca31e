package main

import (
	"fmt"
	"time"

	"github.com/signet-temporal/signet/codecserver/machine"
)

type tokenCmd struct {
	New newTokenCmd `cmd:"" help:"Make a token for a program, and the lines of the configuration that let it in."`
}

// Help says more.
func (*newTokenCmd) Help() string {
	return "The token is shown once and kept nowhere: put it where the program finds its secrets. The configuration gets its hash, which is no secret."
}

type newTokenCmd struct {
	Name     string        `arg:"" help:"Whose token it is: the subject in the policy and the audit log, such as billing-worker."`
	ValidFor time.Duration `default:"2160h" help:"How long it is valid. Default: 90 days."`
}

// Run makes a token. Nothing is stored.
func (t *newTokenCmd) Run(a *app) error {
	token, hash := machine.NewToken()
	expires := time.Now().Add(t.ValidFor).UTC().Truncate(time.Second)
	if t.ValidFor < time.Minute {
		return fmt.Errorf("--valid-for: %v is less than a minute", t.ValidFor)
	}
	if _, err := machine.NewTokens([]machine.Token{{Name: t.Name, SHA256: hash, Expires: expires}}); err != nil {
		return fmt.Errorf("token%w", err)
	}
	_, err := fmt.Fprintf(a.stdout, "# The program's secret, shown this once:\n%s\n\n# The configuration of signet-server:\nmachines:\n  tokens:\n    - name: %s\n      sha256: %s\n      expires: %s\n",
		token, t.Name, hash, expires.Format(time.RFC3339))
	return err
}
