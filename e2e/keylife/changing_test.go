package keylife_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/signet-temporal/signet/e2e/stack"
)

// TestEveryChangingCommandIsKilledSomewhere reads from the program's own help which commands change something, those that
// take --plan, and wants each in a test that kills it at every request and runs it again.
func TestEveryChangingCommandIsKilledSomewhere(t *testing.T) {
	files, err := filepath.Glob("../*/*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	var killing strings.Builder // the files with such tests
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if regexp.MustCompile(`(?m)^func Test\w*KilledAtEveryRequest\w*\(`).Match(text) {
			killing.Write(text)
		}
	}
	program := stack.Program(t, "signet")
	help := func(command ...string) string {
		got := stack.Exec(t, nil, program, append(command, "--help")...)
		if got.Code != 0 {
			t.Fatalf("%v --help: exit code %d", command, got.Code)
		}
		return got.Stdout
	}
	_, commands, _ := strings.Cut(help(), "\nCommands:\n")
	changing := 0
	for _, line := range regexp.MustCompile(`(?m)^  ([a-z][a-z-]*(?: [a-z]+)?)  +[A-Z]`).FindAllStringSubmatch(commands, -1) {
		command := strings.Fields(line[1])
		text := help(command...)
		if !strings.Contains(text, "--plan ") {
			continue
		}
		changing++
		ways := []string{""}
		for _, flag := range []string{"--schedule", "--carry-out", "--cancel", "--auto", "--compromised", "--as"} { // each another change
			if regexp.MustCompile(`(?m)^ +`+flag+`[ =]`).MatchString(text) && command[0] == "keyset" && command[1] != "import" {
				ways = append(ways, flag)
			}
		}
		for _, way := range ways {
			words := `(?:"` + strings.Join(command, `", "`) + `"|\[\]string\{"` + command[len(command)-1] + `", )`
			if way != "" {
				words += `.*"` + way
			}
			if !regexp.MustCompile(words).MatchString(killing.String()) {
				t.Errorf("no test kills signet %s %s", line[1], way)
			}
		}
	}
	if changing < 13 {
		t.Errorf("%d commands change something, that cannot be all: %s", changing, commands)
	}
}
