package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/alecthomas/kong"
	"github.com/signet-temporal/signet/keys"
	"github.com/signet-temporal/signet/keys/rotate"
)

// Exit codes. They are part of the command line: scripts rely on them.
const (
	exitOK = iota
	exitFailed
	exitUsage
	exitRefused
	exitNotFound
	exitPartly
)

func exitHelp() string {
	return `Exit codes:

    0  done
    1  failed: the key store cannot be reached, a payload is malformed, …
    2  wrong use: an unknown flag, a missing argument, a bad configuration
    3  refused as things stand: too early, would lose data, or exists already; nothing was changed
    4  there is no such keyset, key or workflow
    5  done in part: payloads of a history stayed closed, or something in them is masked`
}

// coded is an error that decides the exit code. Its text is shown as it is, whatever wraps it.
type coded struct {
	code int
	text string
}

func (e *coded) Error() string { return e.text }

func codedf(code int, format string, args ...any) error {
	return &coded{code: code, text: fmt.Sprintf(format, args...)}
}

// report prints err as one line and returns the exit code.
func report(stderr io.Writer, err error) int {
	code, text := exitFailed, err.Error()
	var c *coded
	switch {
	case errors.As(err, &c):
		code, text = c.code, c.text
	case errors.Is(err, keys.ErrNotFound), errors.Is(err, rotate.ErrNoKey):
		code = exitNotFound
	case errors.Is(err, keys.ErrConflict), errors.Is(err, rotate.ErrTooEarly), errors.Is(err, rotate.ErrRefused):
		code = exitRefused
	}
	fmt.Fprintf(stderr, "signet: %s\n", oneLine(text))
	return code
}

// usageError makes one line of what kong found wrong, and says where the help is.
func usageError(parsed *kong.Context, err error) error {
	command := "signet"
	var pe *kong.ParseError
	if errors.As(err, &pe) {
		parsed = pe.Context
	}
	if parsed != nil && parsed.Selected() != nil {
		command = parsed.Selected().FullPath()
	}
	return codedf(exitUsage, "%s: see %s --help", err, command)
}
