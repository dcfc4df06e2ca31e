package main

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// taketoken VAR FILE CONFIG reads what "token new" has printed: the token into VAR, its lines to the end of CONFIG.
func cmdTakeToken(ts *testscript.TestScript, _ bool, args []string) {
	said := ts.ReadFile(args[1])
	ts.Setenv(args[0], regexp.MustCompile(`(?m)^signet_\S+$`).FindString(said))
	appendMachines(ts, said, args[2])
}

// addexpired FILE CONFIG is the second half of that, after the token has expired.
func cmdAddExpired(ts *testscript.TestScript, _ bool, args []string) {
	appendMachines(ts, regexp.MustCompile(`expires: \S+`).ReplaceAllString(ts.ReadFile(args[0]), "expires: 2026-01-31T18:00:00Z"), args[1])
}

func appendMachines(ts *testscript.TestScript, said, file string) {
	_, lines, ok := strings.Cut(said, "\nmachines:")
	if !ok {
		ts.Fatalf("token new printed no configuration: %s", said)
	}
	check(ts, os.WriteFile(ts.MkAbs(file), []byte(ts.ReadFile(file)+"machines:"+lines), 0o600))
}

func TestMachinesThatAreUnclearNameTheField(t *testing.T) {
	const tokens = "machines: {tokens: [{name: a, sha256: 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef, expires: '2027-01-31T18:00:00Z'}]}\n"
	if _, err := load(t, good+tokens); err != nil {
		t.Fatal(err)
	}
	for says, c := range map[string]struct{ text, want string }{
		"certificates without TLS":    {good + "machines: {certificates: {ca: ca.pem, identity: dns}}\n", "machines.certificates: client certificates need tls.cert"},
		"a token's name":              {good + strings.Replace(tokens, "name: a,", "", 1), "machines.tokens[0].name: "},
		"a token and no hash":         {good + strings.Replace(tokens, "0123456789abcdef", "", 1), "machines.tokens[0].sha256: "},
		"a token for ever":            {good + strings.Replace(tokens, ", expires: '2027-01-31T18:00:00Z'", "", 1), "machines.tokens[0].expires: the time is required"},
		"a token until some day":      {good + strings.Replace(tokens, "2027-01-31T18:00:00Z", "2027", 1), `machines.tokens[0].expires: "2027" is not a time`},
		"a field that does not exist": {good + strings.Replace(tokens, "name: a", "name: a, token: x", 1), "line "},
		"a rule for tokens that are not there": {replaced(t, "policy: {grants: []}", "policy: {grants: [{name: a, issuer: 'signet:token', subjects: [g], namespaces: [n], actions: [decode]}]}"),
			`policy: a rule is for issuer "signet:token", which is neither`},
	} {
		if got, err := load(t, c.text); err == nil || got != nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want one line with %q", says, err, c.want)
		}
	}
}
