package verify

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/signet-temporal/signet/principal"
)

// caller reads the claims of a token whose signature, issuer, audience and expiry are verified.
func (i *issuer) caller(token *oidc.IDToken) (*principal.Caller, error) {
	if token.Subject == "" {
		return nil, refuse(MalformedToken, `the token has no "sub"`)
	}
	claims := map[string]json.RawMessage{}
	if err := token.Claims(&claims); err != nil {
		return nil, refuse(MalformedToken, "the token's claims are not an object")
	}
	var notBefore float64
	if raw, ok := claims["nbf"]; ok && json.Unmarshal(raw, &notBefore) != nil {
		return nil, refuse(MalformedToken, `"nbf" is not a number`)
	}
	latest := time.Now().Add(leeway)
	if token.IssuedAt.After(latest) || notBefore > float64(latest.Unix()) {
		return nil, refuse(NotYetValid, "the token is from the future: compare the clocks")
	}
	groups, err := stringsOf(claims[i.GroupsClaim])
	if err != nil {
		return nil, refuse(MalformedToken, fmt.Sprintf("claim %q is neither a string nor a list of strings", i.GroupsClaim))
	}
	return &principal.Caller{
		Issuer:  i.Issuer.Issuer,
		Subject: token.Subject,
		Email:   i.email(claims),
		Groups:  groups,
	}, nil
}

// email returns "" for an address that nobody has verified: a user who may type in an address would choose another's.
// "email_verified" speaks about the claim "email" alone, so another claim counts by it only where it says the same. An
// address that the issuer calls not verified never counts.
func (i *issuer) email(claims map[string]json.RawMessage) string {
	var address string
	if json.Unmarshal(claims[i.EmailClaim], &address) != nil {
		return ""
	}
	verified := string(claims["email_verified"]) // some issuers write it as a string
	isVerified := verified == "true" || verified == `"true"`
	var standard string
	isStandard := json.Unmarshal(claims["email"], &standard) == nil && standard == address
	if isVerified && isStandard || i.AllowUnverifiedEmail && (isVerified || verified == "") {
		return address
	}
	return ""
}

func stringsOf(raw json.RawMessage) ([]string, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return nil, nil
	}
	var one string
	if json.Unmarshal(raw, &one) == nil {
		return []string{one}, nil
	}
	var list []string
	err := json.Unmarshal(raw, &list)
	return list, err
}
