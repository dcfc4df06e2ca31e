package s2s_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/vault/api"

	"github.com/signet-temporal/signet/tools/parts"
)

// shell runs the few forms of vault commands that the documentation has, against Vault's API: there is no vault program
// among the parts.
type shell struct {
	t         *testing.T
	vault     *api.Client
	variables map[string]string
	echoed    []string
}

// runDocumented runs the commands of docs/principal-s2s.md, with the address there replaced by Vault's, and returns the
// shell's variables.
func runDocumented(t *testing.T, vault *api.Client) map[string]string {
	t.Helper()
	root, err := parts.Root("")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, "docs", "principal-s2s.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), "## Vault, once")
	_, block, found2 := strings.Cut(rest, "```\n")
	block, _, found3 := strings.Cut(block, "```")
	if !found || !found2 || !found3 {
		t.Fatal("docs/principal-s2s.md has no commands under \"Vault, once\"")
	}
	s := &shell{t: t, vault: vault, variables: map[string]string{}}
	s.run(strings.ReplaceAll(block, "https://vault.internal:8200", vault.Address()))
	if entity := s.variables["entity"]; entity == "" || len(s.echoed) != 1 || !strings.Contains(s.echoed[0], entity) {
		t.Fatalf("the commands print %q", s.echoed)
	}
	return s.variables
}

func (s *shell) run(script string) {
	s.t.Helper()
	lines := strings.Split(script, "\n")
	for n := 0; n < len(lines); n++ {
		name, command, isAssignment := strings.Cut(lines[n], "=$(")
		if isAssignment {
			s.variables[name] = s.command(strings.Fields(strings.TrimSuffix(command, ")")), "")
			continue
		}
		line := os.Expand(lines[n], func(name string) string { return s.variables[name] })
		switch {
		case strings.TrimSpace(line) == "":
		case strings.HasPrefix(line, "echo "):
			s.echoed = append(s.echoed, line)
		case strings.HasSuffix(line, "<<EOF"):
			var document []string
			for n++; lines[n] != "EOF"; n++ {
				document = append(document, lines[n])
			}
			s.command(strings.Fields(line), strings.Join(document, "\n"))
		default:
			s.command(strings.Fields(line), "")
		}
	}
}

// command returns what -field asks for.
func (s *shell) command(words []string, stdin string) string {
	s.t.Helper()
	field, arguments := "", []string{}
	for _, word := range words {
		if after, ok := strings.CutPrefix(word, "-field="); ok {
			field = after
		} else {
			arguments = append(arguments, word)
		}
	}
	call := strings.Join(arguments[:3], " ")
	var secret *api.Secret
	var err error
	switch {
	case call == "vault auth enable":
		secret, err = s.vault.Logical().WriteWithContext(s.t.Context(), "sys/auth/"+arguments[3], map[string]any{"type": arguments[3]})
	case call == "vault policy write":
		secret, err = s.vault.Logical().WriteWithContext(s.t.Context(), "sys/policies/acl/"+arguments[3], map[string]any{"policy": stdin})
	case arguments[1] == "read":
		secret, err = s.vault.Logical().ReadWithContext(s.t.Context(), arguments[2])
	case arguments[1] == "write":
		data := map[string]any{}
		for _, pair := range arguments[3:] {
			key, value, _ := strings.Cut(pair, "=")
			data[key] = value
		}
		secret, err = s.vault.Logical().WriteWithContext(s.t.Context(), arguments[2], data)
	default:
		s.t.Fatalf("not understood: %q", words)
	}
	if err != nil {
		s.t.Fatalf("%q: %v", words, err)
	}
	if field == "" {
		return ""
	}
	return fmt.Sprint(secret.Data[field])
}
