package temporalcloud

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/signet-temporal/signet/principal"
)

// Claims that [Accounts] adds to a caller whom [Users] know, for policies. A token cannot bring them: they are overwritten.
const (
	RoleClaim        = "temporal-cloud-role"        // in the account: owner, admin, developer, finance-admin, read
	PermissionsClaim = "temporal-cloud-permissions" // "<namespace>:<permission>", such as payments.a2b3c:write; for policy.Permissions
)

// User is what Temporal Cloud says about one of an account.
type User struct {
	Role        string            // in the account
	Permissions map[string]string // by namespace: admin, write or read. The namespaces that a role gives access to are not among them
}

// Users are those of one account. Temporal Cloud's API has them, see [API]; put a [Cache] before it.
type Users interface {
	// User returns the active user with an e-mail address, and nil if there is none. An error is one of the moment: nobody
	// knows whether there is.
	User(ctx context.Context, email string) (*User, error)
}

// Options of [New]. Accounts and at least one of Claim and Users are required.
type Options struct {
	// Accounts are ids, as they stand in the names of namespaces behind the dot: a2b3c.
	Accounts []string
	// Claim is the claim of the tokens that holds the id of the user's account, where yours have one.
	Claim string
	// Users of the account: who is not among them is nobody. There is one account then.
	Users Users
	// RequireSAML refuses whoever has not logged in by the SAML of one of Accounts: with an account at Google or Microsoft,
	// say, or with a password.
	RequireSAML bool
}

// Accounts decides whether a user of Temporal Cloud counts. It is safe for concurrent use.
type Accounts struct{ o Options }

var accountID = regexp.MustCompile(`^[a-z0-9]{3,32}$`)

// New checks the options; an error begins with "<field>: ".
func New(o Options) (*Accounts, error) {
	if len(o.Accounts) == 0 {
		return nil, errors.New("accounts: the ids of your accounts are required: Temporal Cloud's keys sign for all of its customers")
	}
	for _, id := range o.Accounts {
		if !accountID.MatchString(id) {
			return nil, fmt.Errorf("accounts: %q is not the id of an account, which stands behind the dot in the names of its namespaces", id)
		}
	}
	switch {
	case o.Claim == "" && o.Users == nil:
		return nil, errors.New("users: what proves that a user belongs to an account? Give users, or accountClaim if your tokens have such a claim")
	case o.Users != nil && len(o.Accounts) > 1:
		return nil, errors.New("users: they are those of one account, and accounts names several")
	}
	o.Accounts = slices.Clone(o.Accounts)
	return &Accounts{o}, nil
}

// Error is the refusal of a user. Its text is for the log, and holds nothing of the token but the connection by which
// somebody logged in.
type Error struct{ code, detail string }

// Error returns one line.
func (e *Error) Error() string { return e.code + ": " + e.detail }

// Reason returns a code that is safe to show: "unknown-account" or "identity-provider-unavailable".
func (e *Error) Reason() string { return e.code }

func unknown(detail string) *Error { return &Error{"unknown-account", detail} }

// Admit returns the caller, with what is known about them, if they belong to an account, and else an [*Error]. Callers
// whom Temporal Cloud does not vouch for are returned as they are.
func (a *Accounts) Admit(ctx context.Context, c *principal.Caller) (*principal.Caller, error) {
	if c.Issuer != Issuer {
		return c, nil
	}
	if err := a.checkLogin(c.Subject); err != nil {
		return nil, err
	}
	if claim := a.o.Claim; claim != "" && !slices.ContainsFunc(c.Claims[claim], func(id string) bool { return slices.Contains(a.o.Accounts, id) }) {
		return nil, unknown(fmt.Sprintf("the claim %q of the token names none of accounts", claim))
	}
	admitted := *c
	admitted.Claims = maps.Clone(c.Claims)
	if admitted.Claims == nil {
		admitted.Claims = map[string][]string{}
	}
	delete(admitted.Claims, RoleClaim)
	delete(admitted.Claims, PermissionsClaim)
	if a.o.Users == nil {
		return &admitted, nil
	}
	// Letters that only look like others, or become others when case is folded, are no address of a user.
	if c.Email == "" || strings.ContainsFunc(c.Email, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, unknown("the token has no e-mail address that counts, by which the user is looked up")
	}
	user, err := a.o.Users.User(ctx, c.Email)
	switch {
	case err != nil:
		return nil, &Error{"identity-provider-unavailable", "looking up the user: " + oneLine(err)}
	case user == nil:
		return nil, unknown("the user is not one of the account's")
	}
	admitted.Claims[RoleClaim] = []string{user.Role}
	for _, namespace := range slices.Sorted(maps.Keys(user.Permissions)) {
		admitted.Claims[PermissionsClaim] = append(admitted.Claims[PermissionsClaim], namespace+":"+user.Permissions[namespace])
	}
	return &admitted, nil
}

// checkLogin refuses who logged in by the company login of another account, whose administrator writes what addresses they
// like into it. A subject is "<kind>|<id>", and of company logins "<kind>|<connection>|<id>"; each account's connection is
// called <account>-saml.
func (a *Accounts) checkLogin(subject string) error {
	parts := strings.SplitN(subject, "|", 3)
	if len(parts) < 3 && parts[0] != "samlp" {
		if a.o.RequireSAML {
			return unknown("the user did not log in by the SAML of an account")
		}
		return nil
	}
	if !slices.ContainsFunc(a.o.Accounts, func(id string) bool { return len(parts) == 3 && parts[0] == "samlp" && parts[1] == id+"-saml" }) {
		return unknown(fmt.Sprintf("the user logged in by %.100q, which is the SAML of none of accounts", strings.Join(parts[:len(parts)-1], "|")))
	}
	return nil
}

func oneLine(err error) string {
	line, _, _ := strings.Cut(strings.TrimSpace(err.Error()), "\n")
	return line[:min(len(line), 300)]
}
