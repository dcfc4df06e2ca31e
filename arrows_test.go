package signet

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/signet-temporal/signet"

// TestImportArrows holds the structure that docs/design.md draws: what a package must not reach, however indirectly.
func TestImportArrows(t *testing.T) {
	vault := []string{"github.com/hashicorp/"}
	sdk := []string{"go.temporal.io/sdk/"}
	besides := append([]string{module + "/keys", module + "/converter", module + "/codecserver", "go.temporal.io/"}, vault...)
	for pkg, forbidden := range map[string][]string{
		"internal/wire":             {"go.temporal.io/", "github.com/", "google.golang.org/"},
		"principal":                 {"go.temporal.io/", "github.com/", "google.golang.org/"},
		"converter":                 append([]string{module + "/keys", module + "/codecserver", module + "/principal"}, vault...),
		"converter/legacy":          append([]string{module + "/keys", module + "/codecserver", module + "/principal", "go.temporal.io/sdk/client"}, vault...),
		"keys":                      append(append([]string{module + "/keys/", module + "/converter", "go.temporal.io/"}, vault...), sdk...),
		"keys/rotate":               append([]string{module + "/converter", "go.temporal.io/"}, vault...),
		"keys/filestore":            append([]string{module + "/converter", "go.temporal.io/"}, vault...),
		"keys/vaultstore":           {module + "/converter", module + "/codecserver", "go.temporal.io/"},
		"keys/legacykeys":           append([]string{module + "/codecserver", module + "/principal", "go.temporal.io/sdk/client"}, vault...),
		"keys/keyimport":            append([]string{module + "/converter", "go.temporal.io/"}, vault...),
		"codecserver":               append(append([]string{module + "/keys", module + "/converter", "github.com/prometheus/"}, vault...), sdk...),
		"codecserver/policy":        append(append([]string{module + "/keys", module + "/converter", "go.temporal.io/"}, vault...), sdk...),
		"codecserver/audit":         append(append([]string{module + "/keys", module + "/converter", "go.temporal.io/"}, vault...), sdk...),
		"principal/verify":          append(append([]string{module + "/keys", module + "/converter", module + "/codecserver"}, vault...), sdk...),
		"principal/temporalcloud":   append(append([]string{module + "/keys", module + "/converter", module + "/codecserver", module + "/principal/verify", "github.com/coreos/", "google.golang.org/"}, vault...), "go.temporal.io/"),
		"codecserver/machine":       append([]string{module + "/keys", module + "/converter", module + "/principal/", "github.com/coreos/", "github.com/tink-crypto/", "google.golang.org/", "go.temporal.io/"}, vault...),
		"codecserver/storage":       append(append([]string{module + "/keys", module + "/converter"}, vault...), sdk...),
		"codecserver/login":         append(append([]string{module + "/keys", module + "/converter", "go.temporal.io/"}, vault...), sdk...),
		"codecserver/audit/forward": append(append([]string{module + "/keys", module + "/converter", "go.temporal.io/"}, vault...), sdk...),
		"codecserver/selftest":      append(append([]string{module + "/keys", module + "/converter", module + "/codecserver/login"}, vault...), sdk...),
		"principal/principaltest": append(append([]string{module + "/keys", module + "/converter", module + "/codecserver", module + "/principal/verify",
			module + "/principal/s2s", module + "/principal/propagate"}, vault...), "go.temporal.io/"),
		".":          append([]string{module + "/codecserver", "github.com/coreos/", "golang.org/x/tools/"}, vault...),
		"signettest": append([]string{module + "/codecserver", module + "/principal/verify", "github.com/coreos/"}, vault...),
		"cmd/signet": {module + "/codecserver"},

		"principal/propagate":      append([]string{module + "/keys", module + "/converter", module + "/codecserver", "github.com/coreos/"}, vault...),
		"principal/s2s":            append([]string{module + "/principal/verify", "github.com/tink-crypto/", "github.com/coreos/", "google.golang.org/", "golang.org/x/oauth2"}, besides...),
		"principal/s2s/downstream": append([]string{module + "/principal/verify", "github.com/tink-crypto/", "github.com/coreos/", "google.golang.org/", "golang.org/x/oauth2"}, besides...),
		"principal/s2s/rpc":        append([]string{module + "/principal/verify", "github.com/tink-crypto/", "github.com/coreos/", "golang.org/x/oauth2"}, besides...),
		"principal/s2s/assertion":  append([]string{module + "/principal/verify", "github.com/coreos/", "google.golang.org/grpc", "golang.org/x/oauth2"}, besides...),
		"principal/s2s/oauthtoken": append([]string{"github.com/tink-crypto/", "google.golang.org/"}, besides...),
		"principal/s2s/vaulttoken": {module + "/keys", module + "/converter", module + "/codecserver", "go.temporal.io/", "google.golang.org/", "golang.org/x/oauth2"},

		"keys/census":                append(append([]string{module + "/converter", module + "/codecserver"}, vault...), sdk...),
		"internal/codecclient":       append([]string{module + "/keys", module + "/converter", module + "/codecserver"}, append(vault, sdk...)...),
		"internal/codeclogin":        append([]string{module + "/keys", module + "/converter", module + "/codecserver", module + "/principal", "go.temporal.io/"}, vault...),
		"internal/rawjson":           {"go.temporal.io/", "github.com/", "google.golang.org/"},
		"labels":                     {"go.temporal.io/", "github.com/"},
		"labels/mask":                append([]string{module + "/keys", module + "/converter", module + "/codecserver"}, append(vault, sdk...)...),
		"keys/census/censusworkflow": append([]string{module + "/converter", module + "/codecserver"}, vault...),
		"labels/labelspb":            {"go.temporal.io/", "github.com/"},
		"labels/vet":                 append([]string{module + "/keys", module + "/converter", module + "/codecserver", "go.temporal.io/"}, vault...),
	} {
		for _, dep := range deps(t, pkg) {
			for _, prefix := range forbidden {
				self := module + "/" + pkg
				if strings.HasPrefix(dep, prefix) && dep != self && !strings.HasPrefix(dep, module+"/internal/") {
					t.Errorf("%s reaches %s", pkg, dep)
				}
			}
		}
	}
}

func deps(t *testing.T, pkg string) []string {
	t.Helper()
	path := module
	if pkg != "." {
		path += "/" + pkg
	}
	// Not -race and no cgo: the list must be the same everywhere.
	cmd := exec.Command("go", "list", "-deps", path)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list -deps %s: %v", path, err)
	}
	list := strings.Fields(string(out))
	if len(list) < 10 {
		t.Fatalf("go list -deps %s lists %d packages", path, len(list))
	}
	return list
}

// TestTheLibrarysModuleStaysLean: servers and browsers are for modules of their own.
func TestTheLibrarysModuleStaysLean(t *testing.T) {
	text, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	reasons, err := os.ReadFile("docs/dependencies.md")
	if err != nil {
		t.Fatal(err)
	}
	direct := 0
	for line := range strings.SplitSeq(string(text), "\n") {
		path, _, ok := strings.Cut(strings.TrimSpace(line), " v")
		if !ok || !strings.HasPrefix(line, "\t") || strings.HasSuffix(line, "// indirect") {
			continue
		}
		direct++
		if !strings.Contains(string(reasons), "`"+path+"`") {
			t.Errorf("docs/dependencies.md gives no reason for %s", path)
		}
	}
	if direct < 5 {
		t.Errorf("only %d direct requirements found in go.mod", direct)
	}
	for _, heavy := range []string{"go.temporal.io/server", "hashicorp/vault ", "temporalio/ui-server", "chromedp", "zitadel", "google/tink"} {
		if strings.Contains(string(text), heavy) {
			t.Errorf("go.mod requires %s", heavy)
		}
	}
}
