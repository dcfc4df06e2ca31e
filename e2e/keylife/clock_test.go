package keylife_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/signet-temporal/signet/e2e/stack"
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
			fresh := "ns/" + strings.ReplaceAll(what, " ", "-")
			for _, args := range [][]string{
				{"create", fresh}, {"rotate", keyset}, {"rotate", "--auto", keyset}, {"promote", keyset, "--plan"}, {"promote", keyset},
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
				refused(t, s, 4, "does not exist", "status", fresh)
			}
			if tc.says != "" {
				clockIsWrong(t, s, proxy.URL)
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

// clockIsWrong: what takes a key away is refused, and what gives it back or calls something off is not.
func clockIsWrong(t *testing.T, s *stack.Stack, address string) {
	t.Helper()
	store := s.Store(t, "", s.Roles.CustodianToken)
	name := fmt.Sprintf("kill/clock%d", time.Now().UnixNano())
	g := prepare(t, store, name, true)
	key := func(id fmt.Stringer) string { return "--key=" + id.String() }
	destroyer := token(t, s, "destroyer")
	for _, tc := range []struct {
		code  int
		token string
		args  []string
	}{
		{3, s.Roles.CustodianToken, []string{"disable", name, key(g.retired)}},
		{3, s.Roles.CustodianToken, []string{"destroy", name, key(g.disabled), "--schedule", "--allow-destroying-a-key-in-use"}},
		{3, destroyer, []string{"destroy", name, key(g.scheduled), "--carry-out", "--allow-destroying-a-key-in-use"}},
		{3, s.Roles.CustodianToken, []string{"rotate", name, "--compromised=" + g.primary.String(), "--skip-census"}},
		{0, s.Roles.CustodianToken, []string{"destroy", name, key(g.scheduled), "--cancel"}},
		{0, s.Roles.CustodianToken, []string{"enable", name, key(g.disabled)}},
		{0, s.Roles.CustodianToken, []string{"retire", name, key(g.pending)}},
	} {
		if got := execAt(t, address, tc.token, append([]string{"keyset"}, tc.args...)...); got.Code != tc.code {
			t.Errorf("%v: exit code %d, %q, want %d", tc.args, got.Code, got.Stderr, tc.code)
		}
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
