package parts

import (
	"context"
	"fmt"
	"io"
)

// Name is one thing that [Ensure] can provide.
type Name string

const (
	// TemporalServer is the program with the Temporal server and its Web UI server.
	TemporalServer Name = "testtemporal"
	// VaultServer is HashiCorp Vault.
	VaultServer Name = "testvault"
	// OIDCProvider is the OpenID provider.
	OIDCProvider Name = "testoidc"
	// CLI is the temporal command line, without "temporal server start-dev".
	CLI Name = "testcli"
	// UI258 is the browser code of Web UI 2.58.0: a failed decode shows ciphertext and one banner.
	UI258 Name = "ui-2.58.0"
	// UI253 is the browser code of Web UI 2.53.3: a failed decode shows an error in place.
	UI253 Name = "ui-2.53.3"
	// Chromium is the browser.
	Chromium Name = "chromium"
)

// All returns every name, the slowest first.
func All() []Name {
	return []Name{TemporalServer, VaultServer, OIDCProvider, CLI, UI258, UI253, Chromium}
}

// Paths says where the parts are; what was not asked for is empty.
type Paths struct {
	Root     string // of the repository
	Temporal string // program
	Vault    string // program
	OIDC     string // program
	CLI      string // program
	UI258    string // folder with index.html, for [UIConfig].Assets
	UI253    string // folder with index.html, for [UIConfig].Assets
	Chromium string // program
}

// Ensure provides the named parts, all of them when none is named: it builds, downloads or installs what is
// missing and reports on out what it does, as a progress bar when out is a terminal and as a plain line
// every ten seconds at most when it is not. It works from any folder of the repository. Several processes
// may call it at once: each part is built by one of them and the others wait.
func Ensure(ctx context.Context, out io.Writer, names ...Name) (Paths, error) {
	root, err := Root("")
	if err != nil {
		return Paths{}, err
	}
	if len(names) == 0 {
		names = All()
	}
	paths := Paths{Root: root}
	for _, name := range names {
		if err := ensureOne(ctx, out, &paths, name); err != nil {
			return paths, fmt.Errorf("provide %s: %w", name, err)
		}
	}
	return paths, nil
}

func ensureOne(ctx context.Context, out io.Writer, paths *Paths, name Name) (err error) {
	switch name {
	case TemporalServer:
		paths.Temporal, err = ensureProgram(ctx, out, paths.Root, program{name: name, hint: "5 to 8 minutes on two cores"})
	case VaultServer:
		paths.Vault, err = ensureProgram(ctx, out, paths.Root, program{name: name, tags: "minimal", hint: "2 to 5 minutes on two cores"})
	case OIDCProvider:
		paths.OIDC, err = ensureProgram(ctx, out, paths.Root, program{name: name, hint: "under a minute"})
	case CLI:
		paths.CLI, err = ensureProgram(ctx, out, paths.Root, program{name: name, hint: "a minute on two cores", prepare: cliSource})
	case UI258:
		paths.UI258, err = ensureAssets(ctx, out, paths.Root, release{uiModule, "v2.58.0", "h1:oAAOfPCPYSor8qN0iCuHSCl+WJ0jGbTK5C/QHcBcPlY="})
	case UI253:
		paths.UI253, err = ensureAssets(ctx, out, paths.Root, release{uiModule, "v2.53.3", "h1:93j28Rf6Nf24CzWSfpES394byllitRCtae3KcBFsDjw="})
	case Chromium:
		paths.Chromium, err = ensureChromium(ctx, out)
	default:
		err = fmt.Errorf("no such part: use one of %v", All())
	}
	return err
}
