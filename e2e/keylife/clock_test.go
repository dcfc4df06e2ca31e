package keylife_test

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"
)

// TestAWrongClockChangesNothing: delays and waiting periods are reckoned by the clock of the machine that signet runs on.
// Where that is not the time of Vault, which all machines share, nothing is promoted too early, destroyed too early or
// stamped with a time that others do not reach.
func TestAWrongClockChangesNothing(t *testing.T) {
	s := start(t, time.Millisecond)
	target, err := url.Parse(s.Vault.Address)
	if err != nil {
		t.Fatal(err)
	}
	for what, tc := range map[string]struct {
		date func() string
		says string // "": it is good enough
	}{
		"an hour ahead":       {func() string { return dated(-time.Hour) }, "the clock of this machine is 1h0m"},
		"two days behind":     {func() string { return dated(48 * time.Hour) }, "the clock of this machine is 4"},
		"a few seconds apart": {func() string { return dated(-10 * time.Second) }, ""},
		"nobody says":         {func() string { return "" }, ""},
	} {
		t.Run(what, func(t *testing.T) {
			proxy := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }, ModifyResponse: func(r *http.Response) error {
				if r.Header.Del("Date"); tc.date() != "" {
					r.Header.Set("Date", tc.date())
				} else {
					r.Header["Date"] = nil
				}
				return nil
			}})
			defer proxy.Close()
			for _, args := range [][]string{
				{"create", "ns/new"}, {"rotate", keyset}, {"rotate", "--auto", keyset}, {"promote", keyset, "--plan"}, {"promote", keyset},
				{"policy", keyset, "--rotate-every=720h"},
			} {
				before := s.VaultRead(t, "secret/metadata/signet/keysets/"+keyset).Data["current_version"]
				got := execAt(t, proxy.URL, s.Roles.CustodianToken, append([]string{"keyset"}, args...)...)
				after := s.VaultRead(t, "secret/metadata/signet/keysets/"+keyset).Data["current_version"]
				if tc.says == "" {
					if got.Code == 3 && args[0] != "promote" && args[0] != "create" || got.Code != 0 && got.Code != 3 {
						t.Errorf("%v: exit code %d, %s", args, got.Code, got.Stderr)
					}
					continue
				}
				if got.Code != 3 || !contains(got.Stderr, tc.says, "set it, or that of Vault, right") || before != after {
					t.Errorf("%v: exit code %d, %q, version %v after %v", args, got.Code, got.Stderr, after, before)
				}
			}
			if tc.says != "" {
				refused(t, s, 4, `keyset "ns/new" does not exist`, "status", "ns/new")
			}
			// Looking is allowed.
			for _, args := range [][]string{{"status", keyset}, {"list"}} {
				if got := execAt(t, proxy.URL, s.Roles.CustodianToken, append([]string{"keyset"}, args...)...); got.Code != 0 {
					t.Errorf("%v: exit code %d, %s", args, got.Code, got.Stderr)
				}
			}
		})
	}
}

func dated(by time.Duration) string { return time.Now().Add(by).UTC().Format(http.TimeFormat) }

func contains(text string, parts ...string) bool {
	for _, part := range parts {
		if !strings.Contains(text, part) {
			return false
		}
	}
	return true
}
