package parts

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

const rootModule = "github.com/signet-temporal/signet"

// Root returns the folder of the repository: the nearest one at or above dir, or above the working
// directory when dir is empty, whose go.mod declares the library's module.
func Root(dir string) (string, error) {
	if dir == "" {
		wd, err := os.Getwd()
		if err != nil {
			return "", fmt.Errorf("find the repository: %w", err)
		}
		dir = wd
	}
	for d := dir; ; d = filepath.Dir(d) {
		module, err := moduleOf(filepath.Join(d, "go.mod"))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return "", fmt.Errorf("find the repository: %w", err)
		}
		if module == rootModule {
			return d, nil
		}
		if d == filepath.Dir(d) {
			return "", fmt.Errorf("no go.mod of %s at or above %s: run this inside the repository", rootModule, dir)
		}
	}
}

// moduleOf returns the module path that a go.mod file declares.
func moduleOf(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) >= 2 && fields[0] == "module" {
			return strings.Trim(fields[1], `"`), nil
		}
	}
	return "", lines.Err()
}
