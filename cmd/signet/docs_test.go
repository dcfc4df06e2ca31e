package main

import (
	"cmp"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// TestCommandsInTheDocumentationExist parses every command line of signet that the documentation shows. Those within
// sentences may leave out what is required; so may those of "Usage".
func TestCommandsInTheDocumentationExist(t *testing.T) {
	const commands = `signet ((?:keyset|vault|shred|payload|census|schedules|search-token|vet|history|login|logout|version)\b[^\n` + "`" + `]*)`
	line := regexp.MustCompile(`(?m)^\s*(?:\$ )?(?:temporal [^\n]*\| )?` + commands)
	inSentence := regexp.MustCompile("`(?:[a-z]+ .*\\| )?" + commands + "`|\\$\\(" + commands + "\\)")
	shown := 0
	for _, page := range manual(t) {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range line.FindAllStringSubmatch(string(text), -1) {
			shown++
			if err := parses(words(found[1])); err != nil {
				t.Errorf("%s shows signet %s: %v", page, found[1], err)
			}
		}
		for _, found := range inSentence.FindAllStringSubmatch(string(text), -1) {
			shown++
			command := cmp.Or(found[1], found[2])
			if err := parses(words(command)); err != nil && !strings.HasPrefix(err.Error(), "expected ") && !strings.HasPrefix(err.Error(), "missing ") {
				t.Errorf("%s speaks of signet %s: %v", page, command, err)
			}
		}
	}
	if shown < 80 {
		t.Errorf("%d command lines were found, that cannot be all", shown)
	}
}

// manual are the pages for users.
func manual(t *testing.T) []string {
	t.Helper()
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil || len(pages) < 10 {
		t.Fatalf("%d pages, %v", len(pages), err)
	}
	return append(pages, "../../README.md", "../../SECURITY.md", "../../demo/README.md")
}

// words are those of signet's command line: without comments, what it is piped to, and the shell's quotes.
func words(line string) []string {
	command, _, _ := strings.Cut(line, " #")
	command, _, _ = strings.Cut(command, "|")
	command, _, _ = strings.Cut(command, " <") // input, or a name that stands for one
	command, _, _ = strings.Cut(command, ")\"")
	return strings.Fields(strings.NewReplacer(`"`, "", "--key=ID", "--key=0000000a", " …", "").Replace(command))
}

// TestTheFileOfVetInTheDocumentationIsRead gives what docs/labels.md shows to the command.
func TestTheFileOfVetInTheDocumentationIsRead(t *testing.T) {
	page, err := os.ReadFile("../../docs/labels.md")
	if err != nil {
		t.Fatal(err)
	}
	shown := regexp.MustCompile("(?ms)^```yaml\n(fields:.*?)^```$").FindSubmatch(page)
	if shown == nil {
		t.Fatal("docs/labels.md does not show the file")
	}
	file := filepath.Join(t.TempDir(), "vet.yaml")
	if err := os.WriteFile(file, shown[1], 0o600); err != nil {
		t.Fatal(err)
	}
	flags, err := (&vetCmd{File: file}).flags()
	if err != nil || !strings.Contains(strings.Join(flags, " "), "member_number") {
		t.Errorf("the flags are %v, %v", flags, err)
	}
}

func parses(args []string) error {
	parser, err := newParser(&cli{}, kong.Exit(func(int) {}), kong.Writers(io.Discard, io.Discard))
	if err != nil {
		return err
	}
	_, err = parser.Parse(args)
	return err
}

// TestCommandsThatErrorsAdviseExist looks for commands in the texts of the library and of the programs.
func TestCommandsThatErrorsAdviseExist(t *testing.T) {
	commands := map[string]bool{}
	visit(model(t).Node, func(n *kong.Node) { commands[n.FullPath()] = true })
	advised := 0
	err := filepath.WalkDir("../..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && path != "../.." && (strings.HasPrefix(entry.Name(), ".") || entry.Name() == "testdata") {
			return fs.SkipDir
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, command := range regexp.MustCompile(`signet (?:keyset|vault|payload) [a-z]+`).FindAllString(string(text), -1) {
			if advised++; !commands[command] {
				t.Errorf("%s advises %q, which is no command", path, command)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if advised < 20 {
		t.Errorf("%d commands were found, that cannot be all", advised)
	}
}
