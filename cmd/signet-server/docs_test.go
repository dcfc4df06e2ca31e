package main

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/alecthomas/kong"
	"github.com/goccy/go-yaml"
	"github.com/signet-temporal/signet/codecserver/policy"
	"github.com/signet-temporal/signet/internal/strictyaml"
)

// TestConfigurationsInTheDocumentationLoad reads all YAML that the documentation shows, as `config check` and `policy
// test` do. A configuration with `listen` is whole, and stands as it is but for the places of its files. Every other one
// is a part: what it does not say is taken from the whole one in docs/operations.md, where its page sends the reader.
func TestConfigurationsInTheDocumentationLoad(t *testing.T) {
	whole := theWholeOne(t)
	configurations := map[string]int{}
	policies := 0
	for _, s := range shownYAML(t) {
		switch has := s.members(t); {
		case within(has, "deny", "grants", "permissions"):
			policies++
			text := s.text
			if !slices.Contains(has, "grants") {
				text += "\ngrants: []" // a denial alone is a part
			}
			if _, err := policy.Parse([]byte(text)); err != nil {
				t.Errorf("%s: a policy is wrong: %v", s.place, err)
			}
		case within(has, "cases"):
			if _, err := policy.ParseCases([]byte(s.text)); err != nil {
				t.Errorf("%s: cases are wrong: %v", s.place, err)
			}
		case slices.Contains(has, "config"): // values of the Helm chart: deploy/ renders them
		case within(has, "fields", "onlyFields", "types"): // of signet vet, whose tests read it
		default:
			configurations[filepath.Base(s.page)]++
			if err := newFiles(t).check(s.completed(t, whole)); err != nil {
				t.Errorf("%s: signet-server config check says: %v", s.place, err)
			}
		}
	}
	if configurations["codec-server.md"] < 6 || configurations["operations.md"] < 1 || policies < 3 {
		t.Errorf("%v configurations and %d policies were found, that cannot be all", configurations, policies)
	}
}

// shown is a piece of YAML on a page.
type shown struct{ page, place, text string }

var (
	yamlBlock = regexp.MustCompile("(?ms)^```yaml\n(.*?)^```$")
	// inlineYAML is a member of a configuration within a sentence.
	inlineYAML = regexp.MustCompile("`((?:metrics|traces|audit|limits|login|cors|machines|deny|grants|storage): ?[\\[{][^`\n]*[\\]}])`")
)

func shownYAML(t *testing.T) []shown {
	t.Helper()
	var all []shown
	for _, page := range manual(t) {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, pattern := range []*regexp.Regexp{yamlBlock, inlineYAML} {
			for _, found := range pattern.FindAllStringSubmatchIndex(string(text), -1) {
				line := bytes.Count(text[:found[2]], []byte("\n")) + 1
				all = append(all, shown{page, page + ":" + strconv.Itoa(line), string(text[found[2]:found[3]])})
			}
		}
	}
	return all
}

// manual are the pages for users.
func manual(t *testing.T) []string {
	t.Helper()
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil || len(pages) < 10 {
		t.Fatalf("%d pages, %v", len(pages), err)
	}
	return append(pages, "../../README.md", "../../demo/README.md")
}

func (s shown) members(t *testing.T) []string {
	t.Helper()
	var members yaml.MapSlice
	if err := strictyaml.Unmarshal([]byte(s.text), &members); err != nil {
		t.Errorf("%s: no YAML: %v", s.place, err)
	}
	var names []string
	for _, m := range members {
		names = append(names, m.Key.(string))
	}
	return names
}

func within(names []string, all ...string) bool {
	return !slices.ContainsFunc(names, func(name string) bool { return !slices.Contains(all, name) })
}

func theWholeOne(t *testing.T) yaml.MapSlice {
	t.Helper()
	for _, s := range shownYAML(t) {
		if filepath.Base(s.page) == "operations.md" && slices.Contains(s.members(t), "listen") {
			var members yaml.MapSlice
			if err := yaml.Unmarshal([]byte(s.text), &members); err != nil {
				t.Fatal(err)
			}
			return members
		}
	}
	t.Fatal("docs/operations.md shows no whole configuration")
	return nil
}

// completed is the text itself, and behind it what whole says beside it.
func (s shown) completed(t *testing.T, whole yaml.MapSlice) string {
	t.Helper()
	has := s.members(t)
	if slices.Contains(has, "listen") {
		return s.text
	}
	rest := slices.DeleteFunc(slices.Clone(whole), func(m yaml.MapItem) bool { return slices.Contains(has, m.Key.(string)) })
	text, err := yaml.Marshal(rest)
	if err != nil {
		t.Fatal(err)
	}
	return s.text + "\n" + string(text)
}

// aPath is where the documentation's configurations have the name of a file or folder that has to be there.
var aPath = regexp.MustCompile(`\b(cert|ca|caCert|clientSecretFile|apiKeyFile|file|folder|ended|key): ([\w./-]+\.\w+|/[\w./-]+)`)

// TestThePolicyOnThePageDecidesAsThePageSays runs `policy test` and `policy explain` with what docs/codec-server.md shows.
func TestThePolicyOnThePageDecidesAsThePageSays(t *testing.T) {
	page, err := os.ReadFile("../../docs/codec-server.md")
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	for _, file := range []string{"policy.yaml", "cases.yaml"} {
		_, text, ok := strings.Cut(string(page), "```yaml\n# "+file)
		text, _, _ = strings.Cut(text, "```")
		if text = strings.ReplaceAll(text, "2027-01-31", "9999-01-31"); !ok || os.WriteFile(file, []byte("#"+text), 0o600) != nil {
			t.Fatalf("the page does not show %s", file)
		}
	}
	var out strings.Builder
	if code := run([]string{"policy", "test", "--policy", "policy.yaml", "cases.yaml"}, &out, &out); code != 0 {
		t.Errorf("policy test: %s", out.String())
	}
	_, shown, _ := strings.Cut(string(page), "$ signet-server policy explain ")
	line, shown, _ := strings.Cut(shown, "\n")
	shown, _, ok := strings.Cut(shown, "```")
	out.Reset()
	run(append([]string{"policy", "explain"}, strings.Fields(line)...), &out, &out)
	if !ok || out.String() != shown {
		t.Errorf("policy explain says\n%s\nand the page\n%s", out.String(), shown)
	}
}

// files are what the documentation's configurations name, in a folder of their own.
type files struct {
	t         *testing.T
	dir       string
	cert, key []byte
}

func newFiles(t *testing.T) *files {
	t.Helper()
	c := newCertifier(t)
	der, err := x509.MarshalECPrivateKey(c.key)
	if err != nil {
		t.Fatal(err)
	}
	return &files{t, t.TempDir(), c.pem(), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})}
}

// check is `config check` where every file is there that text names.
func (f *files) check(text string) error {
	f.t.Helper()
	text = aPath.ReplaceAllStringFunc(text, func(member string) string {
		found := aPath.FindStringSubmatch(member)
		return found[1] + ": " + f.make(found[1], filepath.Base(found[2]))
	})
	config := filepath.Join(f.dir, "signet-server.yaml")
	f.write(config, []byte(text))
	_, err := loadConfig(config)
	return err
}

func (f *files) make(member, name string) string {
	path := filepath.Join(f.dir, member+"-"+name)
	switch {
	case member == "folder" || member == "ended":
		if err := os.MkdirAll(path, 0o700); err != nil {
			f.t.Fatal(err)
		}
	case member == "key":
		f.write(path, f.key)
	case member == "cert" || member == "ca" || member == "caCert":
		f.write(path, f.cert)
	case strings.HasSuffix(name, ".yaml"):
		f.write(path, []byte("grants: []\n"))
	default:
		f.write(path, []byte("a secret that is none"))
	}
	return path
}

func (f *files) write(path string, content []byte) {
	f.t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		f.t.Fatal(err)
	}
}

// TestCommandsInTheDocumentationExist parses every command line of signet-server that the documentation shows, within
// sentences as well.
func TestCommandsInTheDocumentationExist(t *testing.T) {
	line := regexp.MustCompile("(?m)(?:^ *(?:\\$ )?(?:[A-Z_]+=\\S+ )?|`)signet-server ((?:serve|config|audit|policy|token|doctor|version|--)[^`\n]*)")
	shown := 0
	for _, page := range manual(t) {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range line.FindAllStringSubmatch(string(text), -1) {
			shown++
			command, _, _ := strings.Cut(strings.NewReplacer("…", "", `"`, "").Replace(found[1]), " #")
			if err := named(strings.Fields(command)); err != nil {
				t.Errorf("%s shows signet-server %s: %v", page, found[1], err)
			}
		}
	}
	if shown < 10 {
		t.Errorf("%d command lines were found, that cannot be all", shown)
	}
}

// named is whether commands and flags exist; a sentence may leave out what is required.
func named(args []string) error {
	parser, err := newParser(&cli{}, kong.Exit(func(int) {}), kong.Writers(io.Discard, io.Discard))
	if err != nil {
		return err
	}
	if _, err = parser.Parse(args); err != nil && (strings.HasPrefix(err.Error(), "missing ") || strings.HasPrefix(err.Error(), "expected ")) {
		return nil
	}
	return err
}

func TestHelpFitsTheTerminal(t *testing.T) {
	var out bytes.Buffer
	parser, err := newParser(&cli{}, kong.Exit(func(int) {}), kong.Writers(&out, &out))
	if err != nil {
		t.Fatal(err)
	}
	pages := 0
	for _, n := range append(parser.Model.Leaves(true), parser.Model.Node) {
		pages++
		out.Reset()
		_, _ = parser.Parse(append(strings.Fields(n.FullPath())[1:], "--help"))
		if out.Len() == 0 {
			t.Errorf("%s has no help", n.FullPath())
		}
		for line := range strings.Lines(out.String()) {
			if width := utf8.RuneCountInString(strings.TrimRight(line, "\n")); width > 100 {
				t.Errorf("%s --help: %d columns: %s", n.FullPath(), width, line)
			}
		}
	}
	if pages < 8 {
		t.Errorf("%d pages of help were looked at, that cannot be all", pages)
	}
}
