package signet_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// imported is what the documentation's Go code may name without saying where it is from.
var imported = map[string]string{
	"aead": "github.com/tink-crypto/tink-go/v2/aead", "api": "github.com/hashicorp/vault/api", "assertion": "github.com/signet-temporal/signet/principal/s2s/assertion",
	"client": "go.temporal.io/sdk/client", "commonpb": "go.temporal.io/api/common/v1", "context": "context", "converter": "github.com/signet-temporal/signet/converter",
	"downstream": "github.com/signet-temporal/signet/principal/s2s/downstream", "fmt": "fmt", "grpc": "google.golang.org/grpc", "http": "net/http", "json": "encoding/json",
	"keys": "github.com/signet-temporal/signet/keys", "keyset": "github.com/tink-crypto/tink-go/v2/keyset", "labels": "github.com/signet-temporal/signet/labels",
	"legacy": "github.com/signet-temporal/signet/converter/legacy", "principal": "github.com/signet-temporal/signet/principal", "principaltest": "github.com/signet-temporal/signet/principal/principaltest",
	"propagate": "github.com/signet-temporal/signet/principal/propagate", "reflect": "reflect", "s2s": "github.com/signet-temporal/signet/principal/s2s", "sdk": "go.temporal.io/sdk/converter",
	"signet": "github.com/signet-temporal/signet", "signettest": "github.com/signet-temporal/signet/signettest", "slog": "log/slog", "strings": "strings", "temporal": "go.temporal.io/sdk/temporal",
	"testing": "testing", "testsuite": "go.temporal.io/sdk/testsuite", "time": "time", "tink": "github.com/tink-crypto/tink-go/v2/tink", "vaultstore": "github.com/signet-temporal/signet/keys/vaultstore",
	"vaulttoken": "github.com/signet-temporal/signet/principal/s2s/vaulttoken", "verify": "github.com/signet-temporal/signet/principal/verify", "worker": "go.temporal.io/sdk/worker",
	"workflow": "go.temporal.io/sdk/workflow", "io": "io",
}

// around is what a page takes for granted in its Go code: what its reader has already, or finds in their own program.
var around = map[string]string{
	"docs/history.md": `var file io.Reader; var replayer worker.WorkflowReplayer`,
	"docs/labels.md":  `var ring *keys.Ring; type Visit struct{}; type Address struct{}; type Amount struct{}`,
	"docs/migration.md": `var ring *keys.Ring; var decoders []converter.Legacy; var inClear bool; var asBefore func() client.Options
		var key2023, key2024 []byte; var file io.Reader; var kek tink.AEAD`,
	"docs/principal.md": `var ctx context.Context; var store *vaultstore.Store; var c client.Client; var options client.StartWorkflowOptions; var form string
		var claims struct{ Issuer, Subject, Tenant string }; func Intake(workflow.Context, string) error { return nil }`,
	"docs/principal-edge.md": `func Charge(context.Context, string) (string, error) { return "", nil }; func Order(workflow.Context, string) (string, error) { return "", nil }`,
	"docs/search.md":         `var patientSSN temporal.SearchAttributeKeyKeyword`,
	"docs/tenants.md":        `var ctx workflow.Context; type Caller struct{ Tenant string }; type callerKey struct{}`,
	"docs/testing.md":        `func Intake(workflow.Context, string) (string, error) { return "", nil }; func Admit(context.Context, string) error { return nil }`,
}

// shapes are what a piece of Go code may be: declarations, statements, fields of a type, or options within a literal.
var shapes = []string{"%s", "func _() {\n%s\n}", "type _ struct {\n%s\n}", "var _ = signet.Options{\n%s\n}", "var _ = converter.Tenants{\n%s\n}"}

// TestGoCodeOnThePagesCompiles type checks every piece of Go code on every page, in the first shape that it has.
func TestGoCodeOnThePagesCompiles(t *testing.T) {
	if testing.Short() {
		t.Skip("asks the go command for compiled packages")
	}
	check := newGoCheck(t)
	checked := 0
	for _, page := range pages(t) {
		text := read(t, page)
		for _, block := range goBlock.FindAllStringSubmatchIndex(text, -1) {
			checked++
			line := 1 + strings.Count(text[:block[2]], "\n")
			if err := check.piece(text[block[2]:block[3]], around[page]); err != nil {
				t.Errorf("%s:%d: %v", page, line, err)
			}
		}
	}
	if checked < 30 {
		t.Errorf("%d pieces of code were found, that cannot be all", checked)
	}
	for name, wrong := range map[string]string{"a method": "func f(r *keys.Ring) { r.Clsoe() }", "an option": `Scop: "payments",`, "a statement": "x := keys.NewRing(", "a type": "Name strng `json:\"name\"`"} {
		if check.piece(wrong, "") == nil {
			t.Errorf("%s that does not exist compiles", name)
		}
	}
}

var goBlock = regexp.MustCompile("(?ms)^ *```go\n(.*?)^ *```$")

type goCheck struct {
	set      *token.FileSet
	packages types.Importer
	imports  string
}

// newGoCheck has the go command compile what the documentation names; as a rule it has done so already, for the tests.
func newGoCheck(t *testing.T) *goCheck {
	t.Helper()
	args := []string{"list", "-export", "-deps", "-json=ImportPath,Export"}
	c := &goCheck{set: token.NewFileSet()}
	for name, path := range imported {
		args = append(args, path)
		c.imports += fmt.Sprintf("import %s %q\n", name, path)
	}
	out, err := exec.Command("go", args...).Output() // #nosec G204 -- the paths above
	if err != nil {
		var failed *exec.ExitError
		if errors.As(err, &failed) {
			err = fmt.Errorf("%w: %s", err, failed.Stderr)
		}
		t.Fatal(err)
	}
	exports := map[string]string{}
	for packages := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct{ ImportPath, Export string }
		if err := packages.Decode(&p); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		exports[p.ImportPath] = p.Export
	}
	c.packages = importer.ForCompiler(c.set, "gc", func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) })
	return c
}

// piece returns nil if code is right in one of the shapes that it may have, and otherwise what is wrong with it in the
// first of them.
func (c *goCheck) piece(code, around string) error {
	code = strings.ReplaceAll(code, "\n…\n", "\n")
	var wrong, unread error
	for _, shape := range shapes {
		file, err := parser.ParseFile(c.set, "", "package page\n"+c.imports+fmt.Sprintf(shape, code), 0)
		if err != nil {
			unread = err
			continue
		}
		if err = c.typed(file, around); err == nil {
			return nil
		}
		if wrong == nil {
			wrong = err
		}
	}
	if wrong == nil {
		return unread
	}
	return wrong
}

// typed checks types. What is declared and not used belongs to a piece of code.
func (c *goCheck) typed(file *ast.File, around string) error {
	beside, err := parser.ParseFile(c.set, "", "package page\n"+c.imports+around, 0)
	if err != nil {
		return err
	}
	var wrong []error
	config := types.Config{Importer: c.packages, Error: func(err error) {
		var at types.Error
		if !errors.As(err, &at) || !at.Soft {
			wrong = append(wrong, errors.New(at.Msg))
		}
	}}
	_, _ = config.Check("page", c.set, []*ast.File{file, beside}, nil)
	return errors.Join(slices.Compact(wrong)...)
}
