package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestEveryCommandHasAScript wants two things of each command in testdata/script: that its help is looked at, and that it
// is seen to fail, with what to do next. Serve is also what runs without a command.
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
	parser, err := newParser(&cli{})
	if err != nil {
		t.Fatal(err)
	}
	commands := 0
	for _, n := range parser.Model.Leaves(true) {
		commands++
		if help := "exec " + n.FullPath() + " --help"; !slices.Contains(lines, help) {
			t.Errorf("no script has %q", help)
		}
		path := regexp.QuoteMeta(strings.TrimSuffix(n.FullPath(), " serve"))
		fails := regexp.MustCompile(`^! exec ` + path + `( |$)`)
		says := regexp.MustCompile(`^stderr .*signet-server: .*(:|, and|give|name|set) `)
		advised := false
		for i, line := range lines {
			if fails.MatchString(line) {
				advised = advised || slices.ContainsFunc(lines[i+1:min(i+4, len(lines))], says.MatchString)
			}
		}
		if !advised {
			t.Errorf("no script has %s fail and say what to do next", n.FullPath())
		}
	}
	if commands < 7 {
		t.Errorf("%d commands were looked at, that cannot be all", commands)
	}
}

// TestExitCodesAreDocumented: scripts see 0 and 1 alone ("exec" and "! exec"); the help and the manual say so.
func TestExitCodesAreDocumented(t *testing.T) {
	parser, err := newParser(&cli{})
	if err != nil {
		t.Fatal(err)
	}
	manual, err := os.ReadFile("../../docs/codec-server.md")
	if err != nil {
		t.Fatal(err)
	}
	for code, meaning := range map[string]string{
		"0": "done; of serve: it was told to stop",
		"1": "failed, for the reason that the one line on standard error says",
	} {
		if line := code + "  " + meaning; !strings.Contains(parser.Model.Help, line) {
			t.Errorf("the help lacks %q", line)
		}
		if row := "| " + code + " | " + meaning + " |"; !strings.Contains(string(manual), row) {
			t.Errorf("docs/codec-server.md lacks %q", row)
		}
	}
	for args, want := range map[string]int{"config check --config=none.yaml": 1, "bogus": 1, "--bogus": 1, "policy test": 1} {
		var out strings.Builder
		if code := run(strings.Fields(args), &out, &out); code != want {
			t.Errorf("signet-server %s: exit code %d, want %d", args, code, want)
		}
	}
}
