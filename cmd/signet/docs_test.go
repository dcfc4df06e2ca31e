package main

import (
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// TestCommandsInTheDocumentationExist parses every command line of signet that the documentation shows.
func TestCommandsInTheDocumentationExist(t *testing.T) {
	documents, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	shown := 0
	for _, document := range append(documents, "../../README.md") {
		text, err := os.ReadFile(document)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range regexp.MustCompile(`(?m)^\s*(?:\$ )?signet ((?:keyset|vault|shred|payload|census|schedules|search-token|vet|history|login|logout|version)\b.*)$`).FindAllStringSubmatch(string(text), -1) {
			shown++
			command, _, _ := strings.Cut(line[1], "#")
			command, _, _ = strings.Cut(command, "|") // what it is piped to is not signet's
			if err := parses(strings.Fields(strings.NewReplacer(`"`, "", "--key=ID", "--key=0000000a").Replace(command))); err != nil {
				t.Errorf("%s shows signet %s: %v", document, line[1], err)
			}
		}
	}
	if shown < 15 {
		t.Errorf("%d command lines were found, that cannot be all", shown)
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
