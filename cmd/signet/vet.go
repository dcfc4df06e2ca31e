package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"

	"github.com/signet-temporal/signet/internal/strictyaml"
	"github.com/signet-temporal/signet/labels/vet"
)

// asVettool is set when it is go vet that runs this program, as the checker of one package. "signet vet" sets it.
const asVettool = "SIGNET_IS_THE_VETTOOL"

// vetConfig is the default of --file.
const vetConfig = ".signet-vet.yaml"

type vetCmd struct {
	Packages []string `arg:"" optional:"" name:"package" help:"Packages as the go command names them; ./... if none is given."`
	File     string   `placeholder:"FILE" help:"What looks sensitive, beside what is known to; .signet-vet.yaml in this directory, if there is one."`
}

// vetFile is the file of --file.
type vetFile struct {
	// Fields are regular expressions for the words of names, such as member_number.
	Fields []string `yaml:"fields"`
	// OnlyFields has Fields take the place of the names that are known to look sensitive.
	OnlyFields bool `yaml:"onlyFields"`
	// Types are sensitive under any name: import/path.Name.
	Types []string `yaml:"types"`
}

// Help is the long help of the command.
func (vetCmd) Help() string {
	return `Finds fields that look sensitive and have no label, in whatever a Go program gives to Temporal; tags that are misspelled;
and workflow ids, search attributes and other clear names that are built from a labelled field. It runs go vet, which
has to be on the PATH; set GOFLAGS=-tags=… for other build tags. Exit code 1 says that something was found.

The file says what looks sensitive in your programs:

    fields: [member_number, case_(id|number)]  # expressions for words of a name, beside the known
    onlyFields: false                          # true: in place of those
    types: [example.com/intake.Member]         # sensitive under any name

` + jsonHelp[vetted]()
}

// vetted is the JSON output of `vet`.
type vetted struct {
	Findings []finding `json:"findings" help:"what was found, in the order of files and lines"`
}

type finding struct {
	Package  string `json:"package" help:"import path of the package"`
	Position string `json:"position" help:"file, line and column"`
	Message  string `json:"message" help:"what is wrong and what to do"`
}

// Run vets the packages.
func (c *vetCmd) Run(a *app) error {
	flags, err := c.flags()
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	out, err := c.goVet(ctx, a, flags)
	if err != nil {
		return err
	}
	result := vetted{Findings: []finding{}}
	if result.Findings, err = findings(out); err != nil {
		return fmt.Errorf("reading what go vet found: %w", err)
	}
	err = a.print(result, func(w io.Writer) {
		for _, f := range result.Findings {
			fmt.Fprintf(w, "%s: %s\n", f.Position, printable(f.Message))
		}
	})
	if err == nil && len(result.Findings) > 0 {
		return fmt.Errorf("%s found: see above, and docs/labels.md of Signet", count(len(result.Findings), "problem", "problems"))
	}
	return err
}

// flags are those of package labels/vet that the file asks for.
func (c *vetCmd) flags() ([]string, error) {
	name := cmp.Or(c.File, vetConfig)
	text, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) && c.File == "" {
		return nil, nil
	}
	if err != nil {
		return nil, codedf(exitUsage, "--file: %s", err)
	}
	var f vetFile
	if err := strictyaml.Unmarshal(text, &f); err != nil {
		return nil, codedf(exitUsage, "%s: %s", name, err)
	}
	for i, field := range f.Fields {
		if _, err := regexp.Compile(field); err != nil || field == "" {
			return nil, codedf(exitUsage, "%s: fields[%d]: %q is no regular expression for a name's words, such as member_number", name, i, field)
		}
	}
	for i, t := range f.Types {
		if !strings.Contains(t, ".") || strings.ContainsAny(t, ", ") {
			return nil, codedf(exitUsage, "%s: types[%d]: %q is not the name of a type, such as example.com/intake.Member", name, i, t)
		}
	}
	if f.OnlyFields && len(f.Fields) == 0 {
		return nil, codedf(exitUsage, "%s: onlyFields: without fields no name would look sensitive: give them, or leave it out", name)
	}
	var flags []string
	if len(f.Fields) > 0 {
		all := "_(" + strings.Join(f.Fields, "|") + ")_"
		if !f.OnlyFields {
			all = vet.DefaultFields + "|" + all
		}
		flags = append(flags, "-labels.fields="+all)
	}
	if len(f.Types) > 0 {
		flags = append(flags, "-labels.types="+strings.Join(f.Types, ","))
	}
	return flags, nil
}

// goVet has go vet run this binary as its tool, and returns what that found as JSON.
func (c *vetCmd) goVet(ctx context.Context, a *app, flags []string) ([]byte, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding the program itself: %w", err)
	}
	packages := c.Packages
	if len(packages) == 0 {
		packages = []string{"./..."}
	}
	args := slices.Concat([]string{"vet", "-json", "-vettool=" + self}, flags, []string{"--"}, packages)
	cmd := exec.CommandContext(ctx, "go", args...) // #nosec G204 -- packages stand behind "--"
	cmd.Env = append(os.Environ(), asVettool+"=1")
	var out, trouble bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &trouble
	err = cmd.Run()
	var failed *exec.ExitError
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return nil, codedf(exitUsage, "the go command is not on the PATH: install Go, which reads the packages")
	case ctx.Err() != nil:
		return nil, codedf(exitFailed, "interrupted")
	case errors.As(err, &failed):
		_, _ = a.stderr.Write(trouble.Bytes())
		return nil, errors.New("go vet failed: what cannot be compiled cannot be vetted, see above")
	case err != nil:
		return nil, fmt.Errorf("running go vet: %w", err)
	}
	return out.Bytes(), nil
}

// findings reads the JSON of go vet: an object for each package, that maps the package and the analyzer to what it found.
// A package with tests is vetted twice.
func findings(out []byte) ([]finding, error) {
	all := []finding{}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var packages map[string]map[string]json.RawMessage
		err := dec.Decode(&packages)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		for path, analyzers := range packages {
			path, _, _ = strings.Cut(path, " ") // "a/b [a/b.test]"
			for name, result := range analyzers {
				var found []struct{ Posn, Message string }
				if err := json.Unmarshal(result, &found); err != nil {
					return nil, fmt.Errorf("%s did not look at package %s: %s", name, path, result)
				}
				for _, f := range found {
					all = append(all, finding{path, nearby(f.Posn), f.Message})
				}
			}
		}
	}
	slices.SortFunc(all, func(a, b finding) int {
		return cmp.Or(comparePositions(a.Position, b.Position), cmp.Compare(a.Message, b.Message))
	})
	return slices.CompactFunc(all, func(a, b finding) bool { return a.Position == b.Position && a.Message == b.Message }), nil
}

// nearby shortens the path of a file below the working directory.
func nearby(position string) string {
	dir, err := os.Getwd()
	if err != nil {
		return position
	}
	if short, err := filepath.Rel(dir, position); err == nil && !strings.HasPrefix(short, "..") {
		return short
	}
	return position
}

// comparePositions compares file:line:column by file, then by the numbers.
func comparePositions(a, b string) int {
	split := func(s string) (string, int, int) {
		var line, column int
		file, rest, _ := strings.Cut(s, ".go:")
		_, _ = fmt.Sscanf(rest, "%d:%d", &line, &column)
		return file, line, column
	}
	fileA, lineA, columnA := split(a)
	fileB, lineB, columnB := split(b)
	return cmp.Or(cmp.Compare(fileA, fileB), lineA-lineB, columnA-columnB)
}
