package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/signet-temporal/signet/principal/temporalcloud"
)

const cloudIssuer = "issuer: https://login.example.com\n    audiences: [codec]"

func TestTemporalCloudIsAnIssuerOfWhichNothingCanBeReplaced(t *testing.T) {
	c, err := load(t, replaced(t, cloudIssuer, "temporalCloud: {accounts: [a2b3c], accountClaim: account}\n    idTokenAudiences: [ui]\n    maxAge: 15m"))
	if err != nil {
		t.Fatal(err)
	}
	i := c.issuers[0]
	if i.Issuer != "https://login.tmprl.cloud/" || i.JWKSURL != "https://login.tmprl.cloud/.well-known/jwks.json" || !slices.Equal(i.Audiences, temporalcloud.Audiences()) || i.IDTokenAudiences[0] != "ui" ||
		!slices.Equal(i.Algorithms, []string{"RS256"}) || i.EmailClaim != temporalcloud.EmailClaim || i.MaxAge != 15*time.Minute || c.cloud == nil {
		t.Errorf("issuer %+v, accounts %v", i, c.cloud)
	}
	const preset = "temporalCloud: {accounts: [a2b3c], accountClaim: account}"
	for says, text := range map[string][2]string{
		"its keys":                    {preset + "\n    jwksURL: https://keys.example.com", "issuers[0].jwksURL: temporalCloud says"},
		"its name":                    {preset + "\n    issuer: https://login.tmprl.cloud/", "issuers[0].issuer: temporalCloud says"},
		"its audiences":               {preset + "\n    audiences: [x]", "issuers[0].audiences: temporalCloud says"},
		"its algorithms":              {preset + "\n    algorithms: [ES256]", "issuers[0].algorithms: temporalCloud says"},
		"its address claim":           {preset + "\n    emailClaim: x", "issuers[0].emailClaim: temporalCloud says"},
		"its certificates":            {preset + "\n    caCert: config.yaml", "issuers[0].caCert: temporalCloud says"},
		"without the preset":          {"issuer: https://login.tmprl.cloud/\n    audiences: [x]", "issuers[0].issuer: https://login.tmprl.cloud/ is Temporal Cloud"},
		"its keys for another":        {cloudIssuer + "\n    jwksURL: https://Login.tmprl.cloud/.well-known/jwks.json", "issuers[0].jwksURL: https://Login.tmprl.cloud"},
		"no accounts":                 {"temporalCloud: {accountClaim: x}", "issuers[0].temporalCloud.accounts: "},
		"a namespace as account":      {"temporalCloud: {accounts: [payments.a2b3c], accountClaim: x}", "issuers[0].temporalCloud.accounts: "},
		"nothing that proves":         {"temporalCloud: {accounts: [a2b3c]}", "issuers[0].temporalCloud.users: what proves"},
		"no key":                      {"temporalCloud: {accounts: [a2b3c], users: {cacheFor: 5m}}", "issuers[0].temporalCloud.users.apiKeyFile: the file"},
		"a key that is not there":     {"temporalCloud: {accounts: [a2b3c], users: {apiKeyFile: none}}", "issuers[0].temporalCloud.users.apiKeyFile: open none"},
		"a life without unit":         {"temporalCloud: {accounts: [a2b3c], users: {apiKeyFile: config.yaml, cacheFor: 5}}", `issuers[0].temporalCloud.users.cacheFor: "5" is not`},
		"a long life":                 {"temporalCloud: {accounts: [a2b3c], users: {apiKeyFile: config.yaml, cacheFor: 24h}}", "issuers[0].temporalCloud.users.cacheFor: "},
		"users of several accounts":   {"temporalCloud: {accounts: [a2b3c, zzzzz], users: {apiKeyFile: config.yaml}}", "issuers[0].temporalCloud.users: they are those of one"},
		"twice":                       {preset + "\n  - " + preset, "issuers[1].temporalCloud: it is given twice"},
		"a field that does not exist": {"temporalCloud: {accounts: [a2b3c], jwksURL: x}", `unknown field "jwksURL"`},
	} {
		if got, err := load(t, replaced(t, cloudIssuer, text[0])); err == nil || got != nil || !strings.Contains(err.Error(), text[1]) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want one line with %q", says, err, text[1])
		}
	}
	if _, err := load(t, replaced(t, cloudIssuer, "temporalCloud: {accounts: [a2b3c], users: {apiKeyFile: config.yaml, cacheFor: 1m}}")); err != nil {
		t.Error(err)
	}
}
