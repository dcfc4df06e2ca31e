package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/alecthomas/kong"
	"golang.org/x/term"

	"github.com/signet-temporal/signet/converter"
	"github.com/signet-temporal/signet/internal/keyconfig"
	"github.com/signet-temporal/signet/keys"
)

type searchTokenCmd struct {
	storeFlags
	Namespace string `short:"n" required:"" env:"TEMPORAL_NAMESPACE" placeholder:"NAME" help:"Namespace whose workflows are searched."`
	Attribute string `required:"" placeholder:"NAME" help:"Search attribute that holds tokens."`
	Tenant    string `placeholder:"NAME" help:"Tenant whose workflows are searched, where tenants have keysets of their own."`
	Query     bool   `help:"Print the query for \"temporal workflow list --query\" and the Web UI, and not the bare tokens."`
	Keyset    string `env:"SIGNET_SEARCH_KEYSET" placeholder:"NAME" help:"Keyset that makes the tokens; search/NAMESPACE, or tenant/TENANT/search with --tenant, if nothing says otherwise."`
	Scope     string `env:"SIGNET_SCOPE" placeholder:"NAME" help:"What tokens are made for, if not for the namespace's name."`
	Bits      int    `env:"SIGNET_SEARCH_BITS" default:"80" help:"Length of tokens, as those who store them have it: a multiple of 5 from 20 to 125."`
}

// maxSearchValue bounds a value: more is a file by mistake.
const maxSearchValue = 64 << 10

// tokenTimeout bounds the reading of one keyset.
const tokenTimeout = 10 * time.Second

// Help is the long help of the command.
func (searchTokenCmd) Help() string {
	return `The value is read from standard input or, at a terminal, asked for and not shown. It is no argument: process lists and
shell histories would keep it. A line break at its end does not belong to it; everything else does, so bring it into the
form in which it was stored: tokens of other spellings are others.

There is one token for each key in use, that of the primary key first; older workflows have tokens of older keys:

    temporal workflow list --query "$(signet search-token -n intake --attribute PatientSSN --query)"

It takes the rights of a worker for that keyset, and whoever has them can ask for any value.

` + jsonHelp[searchTokens]()
}

// searchTokens is the JSON output of `search-token`.
type searchTokens struct {
	Keyset    string   `json:"keyset" help:"the keyset that made the tokens"`
	Scope     string   `json:"scope" help:"what they are made for"`
	Attribute string   `json:"attribute" help:"the search attribute"`
	Tokens    []string `json:"tokens" help:"one for each key in use, that of the primary key first"`
	Query     string   `json:"query" help:"the query that finds workflows with one of them"`
}

// Run makes the tokens.
func (c *searchTokenCmd) Run(a *app, parsed *kong.Context) error {
	result := searchTokens{Keyset: c.keyset(), Scope: c.Scope, Attribute: c.Attribute}
	if result.Scope == "" {
		result.Scope = c.Namespace
	}
	if err := errors.Join(c.check(), checkNames(result.Keyset)); err != nil {
		return err
	}
	value, err := a.secretValue("Value of " + c.Attribute)
	if err != nil {
		return err
	}
	err = c.withStore(a, parsed, false, func(ctx context.Context, s *keyconfig.Opened) error {
		result.Tokens, err = c.tokens(ctx, s, result, value)
		return err
	})
	if err != nil {
		return err
	}
	result.Query = listFilter(c.Attribute, result.Tokens)
	return a.print(result, func(w io.Writer) {
		if c.Query {
			fmt.Fprintln(w, result.Query)
			return
		}
		fmt.Fprintln(w, strings.Join(result.Tokens, "\n"))
	})
}

func (c *searchTokenCmd) keyset() string {
	switch {
	case c.Keyset != "":
		return c.Keyset
	case c.Tenant != "":
		return "tenant/" + c.Tenant + "/search"
	}
	return "search/" + c.Namespace
}

// attributeName is what Temporal takes as the name of a search attribute that this program can put into a query.
var attributeName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]*$`)

func (c *searchTokenCmd) check() error {
	switch {
	case c.Namespace == "":
		return codedf(exitUsage, "--namespace is empty: name the namespace whose workflows are searched")
	case !attributeName.MatchString(c.Attribute):
		return codedf(exitUsage, "--attribute=%q is not the name of a search attribute, such as PatientSSN", c.Attribute)
	case c.Tenant != "" && (c.Keyset != "" || strings.Contains(c.Tenant, "/")):
		return codedf(exitUsage, "--tenant is a tenant's name, without a slash and without --keyset: leave one of them out")
	case c.Bits < 20 || c.Bits > 125 || c.Bits%5 != 0:
		return codedf(exitUsage, "--bits=%d is no length of tokens: use a multiple of 5 from 20 to 125, the same as those who store them", c.Bits)
	}
	return nil
}

func (c *searchTokenCmd) tokens(ctx context.Context, s *keyconfig.Opened, about searchTokens, value string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, tokenTimeout)
	defer cancel()
	k, _, err := s.Store.Fetch(ctx, about.Keyset) // a ring would try again what fails; a person wants to know
	switch {
	case errors.Is(err, keys.ErrNotFound):
		return nil, codedf(exitNotFound, "keyset %q does not exist in %s: name the one that makes the tokens with --keyset, or create it with \"signet keyset create %s --type=%s\"", about.Keyset, s, about.Keyset, keys.HMACSHA256PRF)
	case err != nil:
		return nil, err
	case !k.Type.Searches():
		return nil, codedf(exitUsage, "keyset %q seals payloads and makes no search tokens: name another with --keyset", k.Name)
	}
	ring, err := keys.NewRing(ctx, s.Store, s.KEK, keys.RingOptions{Keysets: []string{k.Name}})
	if err != nil {
		return nil, err
	}
	defer ring.Close()
	search, err := converter.NewSearchTokens(ring, converter.SearchTokenOptions{Keyset: k.Name, Scope: about.Scope, Bits: c.Bits})
	if err != nil {
		return nil, err
	}
	return search.Candidates(about.Attribute, value)
}

// listFilter is the query for workflows whose attribute is one of tokens.
func listFilter(attribute string, tokens []string) string {
	if strings.ContainsAny(attribute, ".-") {
		attribute = "`" + attribute + "`"
	}
	return attribute + " IN ('" + strings.Join(tokens, "', '") + "')"
}

// secretValue reads a value that nobody else is to see: at a terminal without showing it.
func (a *app) secretValue(what string) (string, error) {
	var value []byte
	var err error
	if f, ok := a.stdin.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		fmt.Fprintf(a.stderr, "%s (not shown): ", what)
		value, err = term.ReadPassword(int(f.Fd()))
		fmt.Fprintln(a.stderr)
	} else {
		value, err = io.ReadAll(io.LimitReader(a.stdin, maxSearchValue+1))
		value = bytes.TrimSuffix(bytes.TrimSuffix(value, []byte("\n")), []byte("\r"))
	}
	switch {
	case err != nil && !errors.Is(err, io.EOF):
		return "", codedf(exitUsage, "reading the value: %s", err)
	case len(value) == 0:
		return "", codedf(exitUsage, "there is no value: type it, or give it on standard input")
	case len(value) > maxSearchValue:
		return "", codedf(exitUsage, "the value has more than %d bytes: is it the right file?", maxSearchValue)
	case bytes.ContainsAny(value, "\r\n"):
		return "", codedf(exitUsage, "the value has several lines: give one value, on one line")
	}
	return string(value), nil
}
