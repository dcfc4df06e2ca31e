package parts

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
)

// ensureChromium returns the browser in PATH; where it is missing and the package manager is apt and may be
// used, it installs it.
func ensureChromium(ctx context.Context, out io.Writer) (string, error) {
	if path := findChromium(); path != "" {
		return path, nil
	}
	apt, err := exec.LookPath("apt-get")
	if err != nil || os.Geteuid() != 0 {
		return "", errors.New("no Chromium in PATH: install the package \"chromium\" (or Google Chrome) and run this again")
	}
	fmt.Fprintln(out, "parts: installing Chromium with apt-get (once; a minute or two)")
	for _, args := range [][]string{
		{"update"},
		{"install", "-y", "--no-install-recommends", "chromium"},
	} {
		if err := runQuiet(ctx, apt, args...); err != nil {
			return "", fmt.Errorf("apt-get %s: install the package \"chromium\" by hand: %w", args[0], err)
		}
	}
	path := findChromium()
	if path == "" {
		return "", errors.New("apt-get installed no chromium: install it by hand and run this again")
	}
	fmt.Fprintln(out, "parts: installed Chromium")
	return path, nil
}

func findChromium() string {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

// runQuiet runs a command without input; its error carries the last lines of the command's stderr.
func runQuiet(ctx context.Context, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	stderr := &tail{}
	cmd.Stderr = stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%w: %s", err, stderr.last(3))
	}
	return nil
}
