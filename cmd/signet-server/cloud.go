package main

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/signet-temporal/signet/codecserver"
	"github.com/signet-temporal/signet/principal"
	"github.com/signet-temporal/signet/principal/temporalcloud"
)

// temporalCloudConfig makes Temporal Cloud an issuer: its name, keys, audiences, algorithm and claims are known and cannot
// be given. It signs for all of its customers alike, so users count only if it is proved that they belong to one of
// accounts: by users, by accountClaim, or by both. Whoever logged in by the SAML of another account never counts.
type temporalCloudConfig struct {
	// Accounts are the ids that stand in the names of your namespaces behind the dot, such as a2b3c. Required.
	Accounts []string `yaml:"accounts"`
	// AccountClaim is a claim of the tokens that holds the id of the user's account. Temporal documents none: look at a
	// token of your own first.
	AccountClaim string `yaml:"accountClaim"`
	// RequireSAML refuses whoever logged in otherwise, with an account at Google or Microsoft, or a password. Default: false.
	RequireSAML bool `yaml:"requireSAML"`
	// Users are looked up by their e-mail address.
	Users cloudUsersConfig `yaml:"users"`
}

// cloudUsersConfig says how. The policy sees the role in the account as the claim temporal-cloud-role, and rights by
// namespace as temporal-cloud-permissions, which permissions can name.
type cloudUsersConfig struct {
	// APIKeyFile holds an API key of the account, with the read role and no more, for the Cloud Ops API. It is read anew for
	// each question.
	APIKeyFile string `yaml:"apiKeyFile"`
	// CacheFor is how long an answer counts, and again as long while the API cannot be asked, from 1s to 1h: so long
	// somebody who has left can decode. Default: 5m.
	CacheFor string `yaml:"cacheFor"`
}

// asTemporalCloud fills in what is known of Temporal Cloud, or refuses an issuer that leads there without saying so: its
// keys verify the tokens of every customer.
func (c *loaded) asTemporalCloud(in *issuerConfig) error {
	cloud := in.TemporalCloud
	if cloud == nil {
		for _, field := range [][2]string{{"issuer", in.Issuer}, {"jwksURL", in.JWKSURL}} {
			if temporalcloud.Signs(field[1]) {
				return fmt.Errorf("%s: %s is Temporal Cloud, whose keys sign for every customer: use temporalCloud, which asks for your accounts", field[0], field[1])
			}
		}
		return nil
	}
	for _, field := range []struct {
		name  string
		given bool
	}{
		{"issuer", in.Issuer != ""}, {"jwksURL", in.JWKSURL != ""}, {"audiences", len(in.Audiences) > 0}, {"algorithms", len(in.Algorithms) > 0}, {"tokenTypes", len(in.TokenTypes) > 0},
		{"groupsClaim", in.GroupsClaim != ""}, {"emailClaim", in.EmailClaim != ""}, {"allowUnverifiedEmail", in.AllowUnverifiedEmail}, {"caCert", in.CACert != ""},
	} {
		if field.given {
			return fmt.Errorf("%s: temporalCloud says what it is: leave it out", field.name)
		}
	}
	if c.cloud != nil {
		return errors.New("temporalCloud: it is given twice: put all accounts into one")
	}
	in.Issuer, in.JWKSURL, in.Audiences, in.Algorithms = temporalcloud.Issuer, temporalcloud.KeysURL, temporalcloud.Audiences(), []string{"RS256"}
	// Nothing in its access tokens confirms the address, which Temporal Cloud takes from the login that an account's
	// administrator has invited. One that a token calls unverified does not count.
	in.EmailClaim, in.AllowUnverifiedEmail = temporalcloud.EmailClaim, true
	o := temporalcloud.Options{Accounts: cloud.Accounts, Claim: cloud.AccountClaim, RequireSAML: cloud.RequireSAML}
	if cloud.Users != (cloudUsersConfig{}) {
		users, err := cloud.Users.open(cloud.Accounts)
		if err != nil {
			return fmt.Errorf("temporalCloud.users.%w", err)
		}
		o.Users = users
	}
	accounts, err := temporalcloud.New(o)
	if err != nil {
		return fmt.Errorf("temporalCloud.%w", err)
	}
	c.cloud = accounts
	return nil
}

func (u cloudUsersConfig) open(accounts []string) (temporalcloud.Users, error) {
	if u.APIKeyFile == "" {
		return nil, errors.New("apiKeyFile: the file with the API key is required")
	}
	if _, err := os.ReadFile(u.APIKeyFile); err != nil {
		return nil, fmt.Errorf("apiKeyFile: %w: give the file with an API key of the account", err)
	}
	var life time.Duration
	if u.CacheFor != "" {
		var err error
		if life, err = time.ParseDuration(u.CacheFor); err != nil || life <= 0 {
			return nil, fmt.Errorf("cacheFor: %q is not a time, such as 5m", u.CacheFor)
		}
	}
	api := &temporalcloud.API{KeyFile: u.APIKeyFile}
	if len(accounts) > 0 {
		api.Account = accounts[0] // New refuses more than one
	}
	return temporalcloud.NewCache(api, life)
}

// members are people who are known, without those of Temporal Cloud who belong to no account that counts.
type members struct {
	people codecserver.Authenticator
	cloud  *temporalcloud.Accounts // nil: Temporal Cloud is no issuer
}

// Authenticate implements [codecserver.Authenticator].
func (m members) Authenticate(r *http.Request) (*principal.Caller, error) {
	caller, err := m.people.Authenticate(r)
	if err != nil || m.cloud == nil {
		return caller, err
	}
	return m.cloud.Admit(r.Context(), caller)
}
