package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/signet-temporal/signet/codecserver/policy"
	"github.com/signet-temporal/signet/principal"
)

type policyCmd struct {
	Test    policyTestCmd    `cmd:"" help:"Check a policy against a table of cases."`
	Explain policyExplainCmd `cmd:"" help:"Say which rule decides about one request, and why the others do not."`
}

// policyFlags name a policy: its own file, or a configuration that holds or names it.
type policyFlags struct {
	Policy string `placeholder:"FILE" xor:"policy" help:"The policy file."`
	Config string `placeholder:"FILE" xor:"policy" env:"SIGNET_SERVER_CONFIG" help:"The configuration file of the server, which names or holds the policy."`
}

func (f policyFlags) load() (*policy.Rules, error) {
	if f.Policy == "" {
		if f.Config == "" {
			return nil, errors.New("no policy: name it with --policy FILE, or the server's configuration with --config FILE")
		}
		c, err := loadConfig(f.Config)
		if err != nil {
			return nil, err
		}
		return c.rules, nil
	}
	data, err := os.ReadFile(f.Policy)
	if err != nil {
		return nil, fmt.Errorf("reading the policy: %w: name a YAML file that this user may read", err)
	}
	rules, err := policy.Parse(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.Policy, err)
	}
	return rules, nil
}

type policyTestCmd struct {
	policyFlags
	Cases string `arg:"" name:"cases" help:"The YAML file with the cases."`
}

// Help is shown below the usage.
func (c *policyTestCmd) Help() string {
	return `The file of cases, each a request and what has to become of it:

cases:
  - name: on call decodes payments
    caller: {issuer: https://login.example.com, subject: u-1, groups: [payments-oncall], claims: {acr: [mfa]}}
    action: decode
    namespace: payments
    workflow: order-4711            # optional, as are tenant and legacy
    at: 2027-01-01T00:00:00Z        # optional; default: now
    breakGlass: INC-4711 why        # optional: the reason that the caller gives
    want: allow                     # or deny
    rule: payments-oncall           # optional: the rule that has to decide
    labels: [pii]                   # optional: the labels that have to be shown, exactly: [] for none, ["*"] for all

Exits with 1 when a case is decided otherwise, and shows what is wanted (-), what is decided (+) and why.`
}

// Run tests.
func (c *policyTestCmd) Run(a *app) error {
	rules, err := c.load()
	if err != nil {
		return err
	}
	data, err := os.ReadFile(c.Cases)
	if err != nil {
		return fmt.Errorf("reading the cases: %w: name a YAML file that this user may read", err)
	}
	cases, err := policy.ParseCases(data)
	if err != nil {
		return fmt.Errorf("%s: %w", c.Cases, err)
	}
	failed, now := 0, time.Now()
	for _, one := range cases {
		if diff := one.Check(rules, now); diff != nil {
			failed++
			fmt.Fprintf(a.stdout, "%s\n  %s\n", one.Name, strings.Join(diff, "\n  "))
		}
	}
	if failed > 0 {
		return fmt.Errorf("%s: %d of %d cases are decided otherwise: change the policy, or what the case wants", c.Cases, failed, len(cases))
	}
	_, err = fmt.Fprintf(a.stdout, "%d cases are decided as wanted\n", len(cases))
	return err
}

type policyExplainCmd struct {
	policyFlags
	Issuer     string    `required:"" help:"The issuer of the caller's token, exactly as the policy has it."`
	Subject    string    `required:"" help:"The caller: the claim sub."`
	Groups     []string  `name:"group" sep:"none" placeholder:"GROUP" help:"A group of the caller. May be given several times."`
	Email      string    `help:"The e-mail address of the caller, where the issuer has verified it."`
	Claims     []string  `name:"claim" sep:"none" placeholder:"NAME=VALUE" help:"Another claim of the token. May be given several times, also with the same name."`
	Action     string    `default:"decode" enum:"decode,encode,download,search" help:"What the caller wants to do: decode, encode, download or search."`
	Namespace  string    `required:"" help:"The Temporal namespace."`
	Workflow   string    `help:"The workflow id, where it is known."`
	Tenant     string    `help:"The tenant under whose keyset the payload is sealed, where it is."`
	Legacy     bool      `help:"The payload was sealed by another codec, so that nobody knows of which workflow and tenant it is."`
	BreakGlass string    `placeholder:"REASON" help:"The reason that the caller gives in an emergency."`
	At         time.Time `placeholder:"TIME" help:"When, such as 2027-01-31T18:00:00Z. Now, if it is not given."`
}

// Run explains. A denial is an answer and no failure.
func (c *policyExplainCmd) Run(a *app) error {
	rules, err := c.load()
	if err != nil {
		return err
	}
	claims := map[string][]string{}
	for _, claim := range c.Claims {
		name, value, ok := strings.Cut(claim, "=")
		if !ok || name == "" || value == "" {
			return fmt.Errorf("--claim %q is not NAME=VALUE", claim)
		}
		claims[name] = append(claims[name], value)
	}
	if c.At.IsZero() {
		c.At = time.Now()
	}
	q := policy.Request{
		Caller: principal.Caller{Issuer: c.Issuer, Subject: c.Subject, Email: c.Email, Groups: c.Groups, Claims: claims},
		Action: policy.Action(c.Action), Namespace: c.Namespace, Workflow: c.Workflow, Tenant: c.Tenant, Legacy: c.Legacy, BreakGlass: c.BreakGlass, Time: c.At,
	}
	fmt.Fprintln(a.stdout, rules.Decide(q))
	for _, line := range rules.Explain(q) {
		fmt.Fprintln(a.stdout, "  "+line)
	}
	return nil
}
