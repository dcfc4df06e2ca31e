package codecserver_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/signet-temporal/signet/codecserver"
)

func TestWherePeopleLogInStandsInTheExplanation(t *testing.T) {
	const page = "https://codec.example.com/login"
	w := newWorld(t, func(c *codecserver.Config) { c.Login = page })
	p := body(t, w.sealed("payments"))
	for token, why := range map[string]string{
		"":                  "no login came with this request",
		"expired-session":   "your login has expired",
		"ended-session":     "you have logged out",
		"malformed-session": "could not be verified",
	} {
		reason := token
		if token == "" {
			reason = "missing-token"
		}
		e := explained(t, w.send(fromUI(token, "decode", p)).payloads(1)[0], reason)
		if !strings.HasPrefix(e.Message, "Log in at "+page+" and reload this page: ") || !strings.Contains(e.Message, why) {
			t.Errorf("%s: %q", reason, e.Message)
		}
	}
	// What logging in does not mend says something else: to a person, and to a machine that may try again.
	for reason, want := range map[string]string{"sessions-unavailable": "cannot read which logins were ended", "identity-provider-unavailable": "identity provider cannot be reached"} {
		if e := explained(t, w.send(fromUI(reason, "decode", p)).payloads(1)[0], reason); strings.Contains(e.Message, page) || !strings.Contains(e.Message, want) {
			t.Errorf("%s: %q", reason, e.Message)
		}
		w.send(fromMachine(reason, "decode", p)).want(http.StatusServiceUnavailable)
	}
	if e := explained(t, w.send(fromUI("bob", "decode", p)).payloads(1)[0], "not-granted"); strings.Contains(e.Message, page) {
		t.Errorf("not-granted: %q", e.Message)
	}
}
