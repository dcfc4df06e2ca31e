// Package errors_test makes every mistake that a user can make with the real programs and a real Vault, and reads what
// they say: one line that names the trouble and what to do about it.
package errors_test

import (
	"fmt"
	"net"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/signet-temporal/signet/e2e/stack"
	"github.com/signet-temporal/signet/keys"
)

// oneLine fails the test unless a program failed with one line on stderr that matches want, and said nothing else.
func oneLine(t *testing.T, what string, r stack.Run, code int, want string) {
	t.Helper()
	text := strings.TrimSuffix(r.Stderr, "\n")
	var lines []string
	for _, line := range strings.Split(text, "\n") {
		if !strings.HasPrefix(line, "time=") { // signet-server's log, which is not the error
			lines = append(lines, line)
		}
	}
	t.Logf("%s: %s", what, strings.Join(lines, "\n"))
	if r.Code != code {
		t.Errorf("%s: exit code %d, want %d", what, r.Code, code)
	}
	if len(lines) != 1 || !regexp.MustCompile(want).MatchString(lines[0]) {
		t.Errorf("%s: it says %q, want one line that matches %s", what, lines, want)
	}
	if r.Stdout != "" {
		t.Errorf("%s: stdout has %q", what, r.Stdout)
	}
	for _, secret := range []string{"hvs.", "s."} {
		if regexp.MustCompile(`\b` + regexp.QuoteMeta(secret) + `[A-Za-z0-9]{20}`).MatchString(r.Stderr) {
			t.Errorf("%s: the message holds a token: %s", what, r.Stderr)
		}
	}
}

// TestEveryErrorOfTheCustodianIsOneLineThatSaysWhatToDo.
func TestEveryErrorOfTheCustodianIsOneLineThatSaysWhatToDo(t *testing.T) {
	s := stack.Start(t, stack.Options{Namespaces: []string{"payments"}, WithoutOIDC: true, WithoutTemporal: true, KeepVault: true})
	s.VaultWrite(t, "sys/mounts/kv1", map[string]any{"type": "kv", "options": map[string]string{"version": "1"}})
	s.VaultWrite(t, "transit/keys/underived", map[string]any{})
	stranger := s.VaultToken(t, "default")
	run := func(token, addr string, args ...string) stack.Run {
		return stack.Exec(t, []string{"VAULT_ADDR=" + addr, "VAULT_TOKEN=" + token, "VAULT_MAX_RETRIES=0"}, stack.Program(t, "signet"), args...)
	}
	custodian := s.Roles.CustodianToken

	oneLine(t, "missing keyset", s.SignetRun(t, "keyset", "rotate", "ns/nothing"), 4, `^signet: keyset "ns/nothing" does not exist .*signet keyset create ns/nothing`)
	oneLine(t, "keyset that exists", s.SignetRun(t, "keyset", "create", "ns/payments"), 3, `exists already .*signet keyset rotate ns/payments`)
	oneLine(t, "bad name", s.SignetRun(t, "keyset", "create", "/ns"), 2, `name`)
	oneLine(t, "wrong KV mount", s.SignetRun(t, "keyset", "status", "ns/payments", "--kv-mount=nowhere"), 1, `nowhere.*(mount|policy)`)
	oneLine(t, "KV version 1", s.SignetRun(t, "keyset", "create", "ns/new", "--kv-mount=kv1"), 1, `kv1.*(version|mount|policy)`)
	oneLine(t, "wrong Transit mount", s.SignetRun(t, "keyset", "create", "ns/new", "--transit-mount=nowhere"), 1, `transitMount, --transit-mount.*policy.*"nowhere/keys/signet"`)
	oneLine(t, "wrong Transit key", s.SignetRun(t, "keyset", "create", "ns/new", "--transit-key=nothing"), 1, `transitKey.*policy.*"transit/keys/nothing"`)
	oneLine(t, "Transit key that is not derived", run(s.Vault.Token, s.Vault.Address, "keyset", "create", "ns/new", "--transit-key=underived"), 1, `underived.*derived=true`)
	oneLine(t, "token without the policy", run(stranger, s.Vault.Address, "keyset", "status", "ns/payments"), 1, `polic`)
	oneLine(t, "worker's token", run(s.Roles.WorkerToken, s.Vault.Address, "keyset", "rotate", "ns/payments"), 1, `polic`)
	oneLine(t, "token that Vault does not know", run("hvs.nobodyknowsthisone12345678", s.Vault.Address, "keyset", "status", "ns/payments"), 1, `token`)
	oneLine(t, "no token", run("", s.Vault.Address, "keyset", "status"), 2, `VAULT_TOKEN`)
	oneLine(t, "no Vault there", run(custodian, fmt.Sprintf("http://127.0.0.1:%d", stack.FreePort(t)), "keyset", "status"), 1, `cannot be reached.*check the address`)
	oneLine(t, "promotion without a pending key", s.SignetRun(t, "keyset", "promote", "ns/payments"), 3, `no pending key.*signet keyset rotate ns/payments`)
	s.Rotate(t, "ns/payments")
	oneLine(t, "promotion too early", s.SignetRun(t, "keyset", "promote", "ns/payments"), 3, `too early.*--force`)
	primary := "--key=" + s.Promote(t, "ns/payments", "--force")
	oneLine(t, "disabling the primary key", s.SignetRun(t, "keyset", "disable", "ns/payments", primary), 3, `seals.*signet keyset rotate ns/payments`)
	oneLine(t, "a key that is not there", s.SignetRun(t, "keyset", "destroy", "ns/payments", "--key=00000001", "--schedule"), 4, `no key 00000001.*signet keyset status ns/payments`)
	oneLine(t, "destroying a key in use", s.SignetRun(t, "keyset", "destroy", "ns/payments", primary, "--carry-out"), 3, `not scheduled.*--schedule`)
	oneLine(t, "preparing Vault as the custodian", s.SignetRun(t, "vault", "setup"), 1, `grant "read" on path "sys/mounts"`)
	s.Rotate(t, "ns/payments")
	if got := s.SignetRun(t, "keyset", "status", "ns/payments"); got.Code != 0 || !strings.Contains(got.Stdout, "pending") {
		t.Errorf("status after all that: %+v", got)
	}
	if err := s.Vault.Seal(t.Context()); err != nil {
		t.Fatal(err)
	}
	oneLine(t, "sealed Vault", run(custodian, s.Vault.Address, "keyset", "status", "ns/payments"), 1, `is sealed.*vault operator unseal`)
}

// TestEveryErrorAtTheStartOfTheServerIsOneLineThatSaysWhatToDo.
func TestEveryErrorAtTheStartOfTheServerIsOneLineThatSaysWhatToDo(t *testing.T) {
	s := stack.Start(t, stack.Options{Namespaces: []string{"payments"}, WithoutTemporal: true, KeepVault: true})
	good, err := os.ReadFile(s.ServerConfig(t, stack.ServerOptions{Port: stack.FreePort(t)}).File())
	if err != nil {
		t.Fatal(err)
	}
	start := func(what, old, new, want string, more ...string) {
		t.Helper()
		text := string(good)
		for pair := append([]string{old, new}, more...); len(pair) > 0; pair = pair[2:] {
			if !strings.Contains(text, pair[0]) {
				t.Fatalf("%s: the configuration has no %q:\n%s", what, pair[0], text)
			}
			text = strings.Replace(text, pair[0], pair[1], 1)
		}
		file := s.WriteFile(t, "bad.yaml", text)
		oneLine(t, what, stack.Exec(t, nil, stack.Program(t, "signet-server"), "--config", file), 1, `^signet-server: .*bad\.yaml: `+want)
	}
	listen := regexp.MustCompile(`listen: (\S+)`).FindStringSubmatch(string(good))
	taken, err := net.Listen("tcp", listen[1])
	if err != nil {
		t.Fatal(err)
	}
	start("port taken", listen[0], listen[0], `listen: .* is taken by another program: stop it, or choose another port`)
	if err := taken.Close(); err != nil {
		t.Fatal(err)
	}
	start("broken YAML", "namespaces:", "namespaces: [", `line \d+: `)
	start("unknown field", "namespaces:", "colour: red\nnamespaces:", `line \d+: unknown field "colour"`)
	start("field twice", listen[0], listen[0]+"\n"+listen[0], `line \d+: .*listen`)
	issuers := regexp.MustCompile(`issuers:\n(  .*\n)+`).FindString(string(good))
	start("missing issuer", issuers, "", `issuers: at least one issuer is required`)
	start("missing audience", "audiences: [", "algorithms: [RS256] #", `issuers\[0\]\.audiences: `, "    idTokenAudiences: [", "    #")
	start("public address without TLS", "listen: 127.0.0.1", "listen: 0.0.0.0", `tls: .*give tls\.cert and tls\.key`, "tls: {", "#")
	start("missing keyset", `- {name: "payments"`, `- {name: "nothing"`, `keys: .*keyset "ns/nothing" not found: create it with "signet keyset create ns/nothing"`)
	start("wrong KV mount", "  vault:\n", "  vault:\n    kvMount: nowhere\n", `keys: .*nowhere.*(mount|policy)`)
	start("wrong Transit mount", "  vault:\n", "  vault:\n    transitMount: nowhere\n", `keys: .*(transitMount.*nowhere|nowhere.*transitMount)`)
	start("wrong role", "roleID: ", "roleID: x", `keys: .*(role|AppRole)`)
	start("no certificate", "server.pem", "none.pem", `tls: .*none\.pem`)
	start("no policy file", "policy.yaml", "none.yaml", `policy\.file: .*none\.yaml`)
	start("another issuer", s.OIDC.Issuer, "http://127.0.0.1:1", `(issuers\[0\]\.issuer|policy): .*`)
	start("audit file that cannot be", "audit.jsonl", "no/such/audit.jsonl", `audit\.file: .*directory must exist`)
	missing := stack.Exec(t, nil, stack.Program(t, "signet-server"), "--config", s.Dir+"/none.yaml")
	oneLine(t, "no configuration", missing, 1, `none\.yaml: no such file or directory`)

	if err := s.Vault.Seal(t.Context()); err != nil {
		t.Fatal(err)
	}
	start("sealed Vault", "payments", "payments", `keys: .*is sealed.*vault operator unseal`)
}

// TestARingWithoutItsKeysetSaysSo: the same for a worker, whose program is the user's own.
func TestARingWithoutItsKeysetSaysSo(t *testing.T) {
	s := stack.Start(t, stack.Options{Namespaces: []string{"payments"}, WithoutOIDC: true, WithoutTemporal: true})
	store := s.Store(t, "", s.Roles.WorkerToken)
	_, err := keys.NewRing(t.Context(), store, store, keys.RingOptions{Keysets: []string{"ns/nothing"}})
	want := `keyset "ns/nothing" not found: create it with "signet keyset create ns/nothing"`
	if err == nil || err.Error() != want {
		t.Errorf("NewRing says %v, want %s", err, want)
	}
}
