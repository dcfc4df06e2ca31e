package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/signet-temporal/signet/principal/temporalcloud"
)

// replaceCloud puts the arena's own in the place of Temporal Cloud's keys and its API, where carol is a developer of the
// account and dave has read access. It is a program that does so, and not the configuration, which cannot.
func (a *arena) replaceCloud(c *loaded) {
	a.t.Helper()
	c.issuers[1].JWKSURL = a.cloud.URL + "/keys"
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who, _, _ := strings.Cut(r.URL.Query().Get("email"), "@example.com")
		role, known := map[string]string{"carol": "ROLE_DEVELOPER", "dave": "ROLE_READ"}[who]
		var users []any
		switch {
		case r.Header.Get("Authorization") != "Bearer sesame", who == "outage":
			http.Error(w, "no", http.StatusServiceUnavailable)
			return
		case known:
			users = append(users, map[string]any{"state": "RESOURCE_STATE_ACTIVE", "spec": map[string]any{"email": who + "@example.com", "access": map[string]any{"accountAccess": map[string]any{"role": role}}}})
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"users": users})
	}))
	a.t.Cleanup(api.Close)
	users, err := temporalcloud.NewCache(&temporalcloud.API{Address: api.URL, KeyFile: a.dir + "/api.key", Account: "a2b3c"}, 0)
	if err != nil {
		a.t.Fatal(err)
	}
	if c.cloud, err = temporalcloud.New(temporalcloud.Options{Accounts: []string{"a2b3c"}, Users: users}); err != nil {
		a.t.Fatal(err)
	}
}

// cloudClaims are those of a user of Temporal Cloud, as its documentation and samples have them.
func cloudClaims(who string, changes fields) fields {
	c := fields{"iss": temporalcloud.Issuer, "aud": temporalcloud.Audiences(), "sub": "google-oauth2|" + who, temporalcloud.EmailClaim: who + "@example.com",
		"iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix()}
	for name, value := range changes {
		c[name] = value
	}
	return c
}

// ofCloud is a token that Temporal Cloud has signed.
func (a *arena) ofCloud(who string, changes fields) string {
	return a.cloud.token(cloudClaims(who, changes), jose.RS256, a.cloud.rsa, nil)
}

func cloudAttacks() []attack {
	const stranger, forged = "explained unknown-account", "explained bad-signature"
	refused := func(name, explained string, token func(a *arena) string) attack {
		return attack{name, func(a *arena) []answer { return a.both(shot{token: token(a)}) }, []string{unauthenticated, explained}, false}
	}
	return []attack{
		refused("other account's Cloud token", stranger, func(a *arena) string { return a.ofCloud("eve", nil) }),
		refused("other account's Cloud token that names itself a user", stranger, func(a *arena) string {
			return a.ofCloud("eve", fields{"temporal-cloud-role": "developer", "temporal-cloud-permissions": []string{"payments:admin"}, "email": "carol@example.com", "email_verified": true})
		}),
		refused("other account's SAML that writes our user's address", stranger, func(a *arena) string {
			return a.ofCloud("carol", fields{"sub": "samlp|evil-saml|carol@example.com"})
		}),
		refused("a Cloud token with an address that is not verified", stranger, func(a *arena) string { return a.ofCloud("carol", fields{"email_verified": false}) }),
		refused("a Cloud token without an address", stranger, func(a *arena) string { return a.ofCloud("carol", fields{temporalcloud.EmailClaim: ""}) }),
		refused("a Cloud token for another audience", "explained wrong-audience", func(a *arena) string { return a.ofCloud("carol", fields{"aud": "codec"}) }),
		refused("Cloud key swap: the company's key in Cloud's name", forged, func(a *arena) string {
			return a.idp.token(cloudClaims("carol", nil), jose.RS256, a.idp.rsa, nil)
		}),
		refused("Cloud key swap: Cloud's key in the company's name", forged, func(a *arena) string {
			return a.cloud.token(a.idp.claims("ann", nil), jose.RS256, a.cloud.rsa, nil)
		}),
		{"two tokens of two issuers", func(a *arena) []answer {
			return a.both(shot{token: a.ofCloud("dave", nil), header: map[string][]string{"Authorization-Extras": {a.idp.of("ann", fields{"aud": "temporal-ui"})}}})
		}, []string{unauthenticated, "explained token-mismatch"}, false},
		{"a Cloud user who may nothing, and says otherwise", func(a *arena) []answer {
			return a.both(shot{token: a.ofCloud("dave", fields{"temporal-cloud-role": "developer", "temporal-cloud-permissions": []string{"payments:admin"}})})
		}, []string{denied, "explained not-granted"}, false},
		{"an outage of Cloud's API", func(a *arena) []answer { return a.both(shot{token: a.ofCloud("outage", nil)}) }, []string{"503 unavailable", "explained identity-provider-unavailable"}, false},
	}
}
