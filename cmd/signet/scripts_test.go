package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// TestEveryCommandHasAScript wants two things of each command in testdata/script: that its help is looked at, and that it
// is seen to fail, with what to do next.
func TestEveryCommandHasAScript(t *testing.T) {
	files, err := filepath.Glob("testdata/script/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, strings.Split(string(text), "\n")...)
	}
	commands := 0
	visit(model(t).Node, func(n *kong.Node) {
		if len(n.Children) > 0 {
			return
		}
		commands++
		command := regexp.QuoteMeta(n.FullPath())
		helps := regexp.MustCompile(`^exits 0 ` + command + ` --help$`)
		if !slices.ContainsFunc(lines, helps.MatchString) {
			t.Errorf("no script runs %s --help", n.FullPath())
		}
		fails := regexp.MustCompile(`^(exits|refuses) [1-9] ` + command + `( |$)`)
		says := regexp.MustCompile(`^stderr .*(:|see |, such as )`)
		failed, advised := 0, false
		for i, line := range lines {
			if fails.MatchString(line) {
				failed++
				advised = advised || slices.ContainsFunc(lines[i+1:min(i+6, len(lines))], says.MatchString)
			}
		}
		if failed == 0 || !advised {
			t.Errorf("scripts have %s fail %d times, and say what to do next: %t", n.FullPath(), failed, advised)
		}
	})
	if commands < 20 {
		t.Errorf("%d commands were looked at, that cannot be all", commands)
	}
}

// TestEveryExitCodeHappensAndIsDocumented: scripts show each, help and documentation say what it means, and there is no
// other.
func TestEveryExitCodeHappensAndIsDocumented(t *testing.T) {
	files, err := filepath.Glob("testdata/script/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, code := range regexp.MustCompile(`(?m)^(?:exits|refuses) ([0-9]+) signet`).FindAllStringSubmatch(string(text), -1) {
			seen[code[1]] = true
		}
	}
	operations, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, code := range []string{"0", "1", "2", "3", "4", "5"} {
		if !seen[code] && code != "5" { // that one needs a codec server: history_test.go
			t.Errorf("no script ends with %s", code)
		}
		delete(seen, code)
		meaning := regexp.MustCompile(`(?m)^ +` + code + `  (.*)$`).FindStringSubmatch(exitHelp())
		if meaning == nil {
			t.Errorf("the help does not say what %s means", code)
			continue
		}
		if row := "| " + code + " | " + meaning[1] + " |"; !strings.Contains(string(operations), row) {
			t.Errorf("docs/operations.md lacks the row %q", row)
		}
	}
	if len(seen) > 0 {
		t.Errorf("scripts end with codes that the help does not have: %v", seen)
	}
}
