package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode"
)

// Texts of Vault, Temporal and files reach a terminal in errors: they are one line there, and move no cursor.
func TestAnErrorIsOneLineAndMovesNoCursor(t *testing.T) {
	var stderr bytes.Buffer
	code := report(&stderr, errors.New("Vault says \x1b[2J\u202e\x07 käse\r\n  and\x9b more \xff"))
	if want := "signet: Vault says \\x1b[2J\\u202e\\a käse and\\x9b more \\xff\n"; code != exitFailed || stderr.String() != want {
		t.Errorf("exit code %d, %q, want %q", code, stderr.String(), want)
	}
	stderr.Reset()
	if code := run([]string{"\x1b]0;signet\x07"}, nil, &stderr, &stderr); code != exitUsage || strings.ContainsAny(stderr.String(), "\x1b\x07") {
		t.Errorf("exit code %d, %q", code, stderr.String())
	}
}

// Ids of workflows, which anybody chooses who may start one, stand in results as well.
func TestJSONMovesNoCursorAndStaysWhatItWas(t *testing.T) {
	var stdout bytes.Buffer
	wild := "a\u009b2Jb\u202ec\u2028\x1b[0m\x7f käse 😀\U000e0041"
	if err := (&app{stdout: &stdout, json: true}).print(struct{ ID string }{wild}, nil); err != nil {
		t.Fatal(err)
	}
	if odd := func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }; strings.ContainsFunc(stdout.String(), odd) || strings.Count(stdout.String(), "\n") != 3 {
		t.Errorf("%q", stdout.String())
	}
	var back struct{ ID string }
	if err := json.Unmarshal(stdout.Bytes(), &back); err != nil || back.ID != wild {
		t.Errorf("%q, %v", back.ID, err)
	}
}
