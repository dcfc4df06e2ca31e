package parts

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// cliRelease is the newest version of the temporal CLI that builds from published modules alone.
var cliRelease = release{"github.com/temporalio/cli", "v1.5.1", "h1:0RZMk14BWxz44Xg6ciDQvpfAMffoG3J7/K03ql80teY="}

// cliSource unpacks the CLI and puts the package in tools/testcli/nodevserver where the CLI has its development server:
// with that one, a whole Temporal server would be compiled.
func cliSource(ctx context.Context, dir, folder string) ([]string, error) {
	archive, err := downloadModule(ctx, cliRelease)
	if err != nil {
		return nil, err
	}
	source := filepath.Join(folder, "cli")
	if err := unzip(archive, cliRelease.module+"@"+cliRelease.version+"/", source); err != nil {
		return nil, fmt.Errorf("unpack %s: %w", cliRelease, err)
	}
	server := filepath.Join(source, "temporalcli", "devserver")
	if err := os.Remove(filepath.Join(server, "log.go")); err != nil {
		return nil, err
	}
	if err := copyFile(filepath.Join(dir, "nodevserver", "devserver.go"), filepath.Join(server, "server.go"), ""); err != nil {
		return nil, err
	}
	modfile := filepath.Join(folder, "go.mod")
	replace := fmt.Sprintf("\nreplace %s => %q\n", cliRelease.module, source)
	if err := copyFile(filepath.Join(dir, "go.mod"), modfile, replace); err != nil {
		return nil, err
	}
	if err := copyFile(filepath.Join(dir, "go.sum"), filepath.Join(folder, "go.sum"), ""); err != nil {
		return nil, err
	}
	return []string{"-modfile=" + modfile}, nil
}

// copyFile copies a text file and adds to its end.
func copyFile(from, to, end string) error {
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, append(text, end...), 0o644)
}
