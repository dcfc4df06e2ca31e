package main

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/alecthomas/kong"
	"github.com/signet-temporal/signet/internal/keyconfig"
	"github.com/signet-temporal/signet/internal/version"
)

func model(t *testing.T) *kong.Application {
	t.Helper()
	parser, err := newParser(&cli{})
	if err != nil {
		t.Fatal(err)
	}
	return parser.Model
}

// visit calls do for n and every command below it.
func visit(n *kong.Node, do func(*kong.Node)) {
	do(n)
	for _, child := range n.Children {
		visit(child, do)
	}
}

func isSentence(s string) bool {
	return s != "" && unicode.IsUpper([]rune(s)[0]) && strings.HasSuffix(s, ".") && !strings.Contains(s, "  ")
}

func TestEverythingHasHelpThatIsASentence(t *testing.T) {
	commands := 0
	visit(model(t).Node, func(n *kong.Node) {
		commands++
		if n.Parent != nil && !isSentence(n.Help) {
			t.Errorf("command %s: help is no sentence: %q", n.FullPath(), n.Help)
		}
		for _, flag := range n.Flags {
			if !isSentence(flag.Help) {
				t.Errorf("%s --%s: help is no sentence: %q", n.FullPath(), flag.Name, flag.Help)
			}
		}
		for _, arg := range n.Positional {
			if !isSentence(arg.Help) {
				t.Errorf("%s %s: help is no sentence: %q", n.FullPath(), arg.Name, arg.Help)
			}
		}
		if len(n.Children) == 0 && !strings.Contains(n.Detail, "With --output json:") {
			t.Errorf("command %s: help does not list the members of its JSON", n.FullPath())
		}
	})
	if commands < 8 {
		t.Errorf("%d commands were looked at, that cannot be all", commands)
	}
}

func TestHelpFitsTheTerminal(t *testing.T) {
	t.Setenv("COLUMNS", "100")
	visit(model(t).Node, func(n *kong.Node) {
		var out strings.Builder
		parser, err := newParser(&cli{}, kong.Exit(func(int) {}), kong.Writers(&out, &out))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = parser.Parse(append(strings.Fields(n.FullPath())[1:], "--help"))
		if !strings.HasPrefix(out.String(), "Usage: "+n.FullPath()) {
			t.Errorf("%s --help: %q", n.FullPath(), out.String())
		}
		for line := range strings.Lines(out.String()) {
			if width := utf8.RuneCountInString(strings.TrimRight(line, "\n")); width > helpColumns {
				t.Errorf("%s --help: %d columns: %s", n.FullPath(), width, line)
			}
		}
	})
}

func TestWordsThatFitALineStandInIt(t *testing.T) {
	for text, want := range map[string]string{"": "", "one two three": "one two|three", "für dich da": "für|dich da", "unbreakable as it is": "unbreakable|as it|is"} {
		if got := strings.Join(wrap(text, 7), "|"); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
}

func TestEveryFlagHasAnEnvironmentVariableUnlessItIsADecisionOfTheMoment(t *testing.T) {
	ofTheMoment := []string{"help", "plan", "key", "force", "forward", "auto", "compromised", "schedule", "carry-out", "cancel", "wait", "allow-destroying-a-key-in-use", "allow-open-workflows", "workflows-beginning-with", "role", "file", "run-as-workflow",
		"insecure-cleartext-keys", "kek-transit", "kek-file", "as", "aes-key-id", "aes-encoding", "encoding", "key-id", "associated-data", "legacy-keys", "census", "skip-census", "attribute", "tenant", "query", "run-id", "codec-header", "again", "allow-keys-that-do-not-open"}
	seen := map[string]string{}
	visit(model(t).Node, func(n *kong.Node) {
		for _, flag := range n.Flags {
			if slices.Contains(ofTheMoment, flag.Name) || n.Name == "policy" && slices.Contains([]string{"propagation-delay", "rotate-every"}, flag.Name) ||
				flag.Name == "namespace" && slices.Contains([]string{"destroy", "disable", "rotate", "shred"}, n.Name) { // who is asked is said, never assumed
				if len(flag.Envs) > 0 {
					t.Errorf("--%s must be typed, not set in %s", flag.Name, flag.Envs)
				}
				continue
			}
			if len(flag.Envs) != 1 {
				t.Errorf("--%s has environment variables %v, want one", flag.Name, flag.Envs)
				continue
			}
			env := flag.Envs[0]
			if !strings.HasPrefix(env, "SIGNET_") && !strings.HasPrefix(env, "TEMPORAL_") && !slices.Contains([]string{"VAULT_ADDR", "VAULT_NAMESPACE", "VAULT_CACERT", "VAULT_CAPATH", "VAULT_CLIENT_CERT", "VAULT_CLIENT_KEY", "VAULT_TLS_SERVER_NAME"}, env) {
				t.Errorf("--%s: %s is neither Signet's nor Vault's nor Temporal's", flag.Name, env)
			}
			if other, ok := seen[env]; ok && other != flag.Name {
				t.Errorf("%s sets --%s and --%s", env, other, flag.Name)
			}
			seen[env] = flag.Name
		}
	})
}

func TestNoFlagTakesASecret(t *testing.T) {
	visit(model(t).Node, func(n *kong.Node) {
		for _, flag := range n.Flags {
			for _, word := range []string{"token", "secret", "password", "jwt"} {
				if strings.Contains(flag.Name, word) && !strings.HasSuffix(flag.Name, "-file") && !flag.IsBool() {
					t.Errorf("--%s looks like a secret: take a file", flag.Name)
				}
			}
		}
	})
}

func TestEveryJSONMemberIsDescribed(t *testing.T) {
	var check func(reflect.Type)
	check = func(typ reflect.Type) {
		for i := range typ.NumField() {
			field := typ.Field(i)
			if field.Anonymous {
				check(field.Type)
				continue
			}
			if !field.IsExported() {
				continue
			}
			if field.Tag.Get("json") == "" || field.Tag.Get("help") == "" {
				t.Errorf("%s.%s has no json or no help tag", typ, field.Name)
			}
			inner := field.Type
			for inner.Kind() == reflect.Slice || inner.Kind() == reflect.Pointer {
				inner = inner.Elem()
			}
			if inner.Kind() == reflect.Struct && inner.PkgPath() == typ.PkgPath() {
				check(inner)
			}
		}
	}
	for _, typ := range []reflect.Type{
		reflect.TypeFor[created](), reflect.TypeFor[changes](), reflect.TypeFor[policy](), reflect.TypeFor[listing](), reflect.TypeFor[status](),
		reflect.TypeFor[verified](), reflect.TypeFor[backedUp](), reflect.TypeFor[importing](), reflect.TypeFor[rolePolicy](), reflect.TypeFor[prepared](), reflect.TypeFor[inspection](), reflect.TypeFor[counted](), reflect.TypeFor[resealed](), reflect.TypeFor[version.Info](), reflect.TypeFor[askedChange](), reflect.TypeFor[compromised](), reflect.TypeFor[searchTokens](), reflect.TypeFor[vetted](), reflect.TypeFor[exported](), reflect.TypeFor[loggedIn](), reflect.TypeFor[loggedOut](),
	} {
		check(typ)
	}
}

// A new field of the configuration needs a flag, so that an error about it names what the user can type.
func TestEveryFieldOfTheConfigurationHasItsFlag(t *testing.T) {
	flags := map[string]bool{}
	visit(model(t).Node, func(n *kong.Node) {
		for _, flag := range n.Flags {
			flags["--"+flag.Name] = true
		}
	})
	var check func(string, reflect.Type)
	check = func(path string, typ reflect.Type) {
		for typ.Kind() == reflect.Pointer {
			typ = typ.Elem()
		}
		if typ.Kind() == reflect.Struct {
			for i := range typ.NumField() {
				name := typ.Field(i).Tag.Get("yaml")
				if name == "" {
					t.Errorf("%s.%s has no yaml tag", typ, typ.Field(i).Name)
				}
				check(strings.TrimPrefix(path+"."+name, "."), typ.Field(i).Type)
			}
			return
		}
		if flag := flagOf(path); !flags[flag] {
			t.Errorf("keys.%s: flagOf says %s, which is no flag", path, flag)
		}
	}
	check("", reflect.TypeFor[keyconfig.Config]())
}

func TestEveryVaultFlagReachesTheConfiguration(t *testing.T) {
	var c cli
	parser, err := newParser(&c)
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"keyset", "status"}
	visit(parser.Model.Node, func(n *kong.Node) {
		for _, flag := range n.Flags {
			switch {
			case flag.Group != nil && (flag.Group.Key == "temporal" || flag.Group.Key == "codec" || flag.Group.Key == "login"): // of other commands
			case flag.IsBool() && flag.Group != nil:
				args = append(args, "--"+flag.Name)
			case flag.Group != nil:
				args = append(args, "--"+flag.Name+"=--"+flag.Name) // each value is the name of its flag
			}
		}
	})
	if _, err := parser.Parse(args); err != nil {
		t.Fatal(err)
	}
	var check func(string, reflect.Value)
	check = func(path string, v reflect.Value) {
		for i := range v.NumField() {
			field := strings.TrimPrefix(path+"."+v.Type().Field(i).Tag.Get("yaml"), ".")
			switch inner := v.Field(i); inner.Kind() {
			case reflect.Struct:
				check(field, inner)
			case reflect.Bool:
				if !inner.Bool() {
					t.Errorf("%s does not set keys.%s", flagOf(field), field)
				}
			case reflect.Slice: // repeated by the commands that have it
				if inner.Len() == 0 || inner.Index(0).String() != flagOf(field) {
					t.Errorf("keys.%s is %v, want what %s says", field, inner, flagOf(field))
				}
			default:
				if inner.String() != flagOf(field) {
					t.Errorf("keys.%s is %q, want what %s says", field, inner, flagOf(field))
				}
			}
		}
	}
	check("vault", reflect.ValueOf(*c.Keyset.vault()))
}
