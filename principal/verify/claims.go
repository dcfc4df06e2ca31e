package verify

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/signet-temporal/signet/principal"
)

// Claims are what a verified token says. They are personal data: take what is needed and let go of the rest.
type Claims struct {
	Issuer   string    // the exact "iss", as configured
	Subject  string    // "sub"; never empty
	IssuedAt time.Time // "iat"; zero where the token has none
	all      map[string]json.RawMessage
	ends     time.Time // the last moment at which the token is taken
}

// Decode reads the claim called name into what into points to, as encoding/json does. A claim that is not there, or
// null, changes nothing. The error does not hold the claim's value.
func (c Claims) Decode(name string, into any) error {
	raw, ok := c.all[name]
	if !ok || json.Unmarshal(raw, into) == nil {
		return nil
	}
	return fmt.Errorf("claim %q has another type", name)
}

// String names the issuer alone, so that no fmt verb prints a person.
func (c Claims) String() string { return "claims of " + c.Issuer }

// claims reads what a token says whose signature, issuer, audience and expiry are verified.
func (i *issuer) claims(token *oidc.IDToken) (*Claims, error) {
	if token.Subject == "" {
		return nil, refuse(MalformedToken, `the token has no "sub"`)
	}
	c := &Claims{Issuer: i.Issuer.Issuer, Subject: token.Subject, IssuedAt: token.IssuedAt, all: map[string]json.RawMessage{}, ends: token.Expiry.Add(leeway)}
	if err := token.Claims(&c.all); err != nil {
		return nil, refuse(MalformedToken, "the token's claims are not an object")
	}
	for name := range c.all {
		if isTwin(name) {
			return nil, refuse(MalformedToken, fmt.Sprintf("the token has a claim %.20q, which some read as another", name))
		}
	}
	var notBefore float64
	if err := c.Decode("nbf", &notBefore); err != nil {
		return nil, refuse(MalformedToken, `"nbf" is not a number`)
	}
	now := time.Now()
	if latest := now.Add(leeway); c.IssuedAt.After(latest) || notBefore > float64(latest.Unix()) {
		return nil, refuse(NotYetValid, "the token is from the future: compare the clocks")
	}
	if i.MaxAge > 0 && now.Sub(c.IssuedAt) > i.MaxAge+leeway {
		return nil, refuse(ExpiredToken, fmt.Sprintf(`the token is older than %v, or has no "iat"`, i.MaxAge))
	}
	if oldest := c.IssuedAt.Add(i.MaxAge + leeway); i.MaxAge > 0 && oldest.Before(c.ends) {
		c.ends = oldest
	}
	if err := i.checkParty(c); err != nil {
		return nil, err
	}
	return c, nil
}

// isTwin: encoding/json, with which the library reads a token, takes name for one of these in other letters, and so would
// believe who can have the issuer write a claim of a name of their choice.
func isTwin(name string) bool {
	return slices.ContainsFunc([]string{"iss", "sub", "aud", "exp", "iat", "nbf"}, func(registered string) bool {
		return name != registered && strings.EqualFold(name, registered)
	})
}

// checkParty looks at to whom the token was issued: "azp" in OpenID Connect, "client_id" in RFC 9068.
func (i *issuer) checkParty(c *Claims) error {
	if len(i.AuthorizedParties) == 0 {
		return nil
	}
	found := false
	for _, name := range []string{"azp", "client_id"} {
		var party string
		if err := c.Decode(name, &party); err != nil {
			return refuse(MalformedToken, fmt.Sprintf("%q is not a string", name))
		}
		if party != "" && !slices.Contains(i.AuthorizedParties, party) {
			return refuse(WrongAudience, fmt.Sprintf("the token was issued to %.200q, not to one of %q", party, i.AuthorizedParties))
		}
		found = found || party != ""
	}
	if !found {
		return refuse(WrongAudience, `the token does not say to whom it was issued ("azp" or "client_id")`)
	}
	return nil
}

// isOfType compares the "typ" of a token's header, of which RFC 7515 says how it may be written.
func isOfType(typ string, types []string) bool {
	typ = strings.ToLower(typ)
	typ = strings.TrimPrefix(typ, "application/")
	if typ == "" {
		typ = "jwt"
	}
	return slices.ContainsFunc(types, func(t string) bool { return strings.EqualFold(t, typ) })
}

// caller is who a token of the issuer speaks for.
func (i *issuer) caller(c *Claims) (*principal.Caller, error) {
	groups, err := stringsOf(c.all[i.GroupsClaim])
	if err != nil {
		return nil, refuse(MalformedToken, fmt.Sprintf("claim %q is neither a string nor a list of strings", i.GroupsClaim))
	}
	return &principal.Caller{Issuer: c.Issuer, Subject: c.Subject, Email: i.email(c.all), Groups: groups, Claims: i.texts(c.all)}, nil
}

// texts are the claims that a policy can compare: strings, lists of them, and numbers and booleans as they are written.
// Nil stands for what cannot be compared, objects and such; and for an address, which counts only if it is verified: it is
// the caller's Email then.
func (i *issuer) texts(claims map[string]json.RawMessage) map[string][]string {
	texts := make(map[string][]string, len(claims))
	for name, raw := range claims {
		var list []string
		if name != "email" && name != i.EmailClaim {
			list, _ = stringsOf(raw)
			if len(list) == 0 && !strings.ContainsAny(string(raw[:1]), `{["n`) {
				list = []string{string(raw)}
			}
		}
		texts[name] = list
	}
	return texts
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
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, err
	}
	return list, nil
}
