// Package temporalcloud decides which users of Temporal Cloud count as callers. Temporal Cloud signs the tokens of all its
// customers with the same keys, for the same audiences, and no account stands in them by documentation: whoever takes a
// token because it verifies takes those of every customer. [Accounts] takes the ones of users who are proved to belong to
// the accounts that are named, and nobody else.
//
// What the tokens look like is known from Temporal's documentation and samples; no token of the real service has been seen
// by the tests.
package temporalcloud

import (
	"net/url"
	"strings"
)

// Issuer is the "iss" of Temporal Cloud's tokens, and KeysURL where the keys are that sign them.
const (
	Issuer  = "https://login.tmprl.cloud/"
	KeysURL = "https://login.tmprl.cloud/.well-known/jwks.json"
)

// EmailClaim is the claim with a user's e-mail address.
const EmailClaim = "https://saas-api.tmprl.cloud/user/email"

// Audiences returns what the access tokens are for that Temporal Cloud's Web UI passes to codec servers.
func Audiences() []string {
	return []string{"https://saas-api.tmprl.cloud", "https://prod-tmprl.us.auth0.com/userinfo"}
}

// Signs reports whether Temporal Cloud answers for what a URL leads to: its issuer, in any spelling, or its keys.
func Signs(address string) bool {
	u, err := url.Parse(address)
	if err != nil {
		return false
	}
	host := strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	return host == "login.tmprl.cloud" || host == "prod-tmprl.us.auth0.com"
}
