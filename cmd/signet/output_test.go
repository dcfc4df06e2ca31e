package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"
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
