package parts

import (
	"archive/zip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
)

const (
	uiModule = "github.com/temporalio/ui-server/v2"
	uiFolder = "ui/assets/local/" // in the module
)

// release is one version of a module and the checksum that go.sum would have for it.
type release struct{ module, version, sum string }

func (r release) String() string { return r.module + " " + r.version }

// ensureAssets returns a folder in .parts with the browser code of a Web UI version, taken out of its
// module's zip. The module cannot be a requirement, nor be unpacked by the go command, where it asks for a
// newer Go than this one; its browser code does not care.
func ensureAssets(ctx context.Context, out io.Writer, root string, r release) (string, error) {
	store := filepath.Join(root, ".parts")
	dir := filepath.Join(store, "ui-"+r.version)
	if isFile(filepath.Join(dir, "index.html")) {
		return dir, nil
	}
	if err := os.MkdirAll(store, 0o755); err != nil {
		return "", fmt.Errorf("create the folder for the Web UI: %w", err)
	}
	lock, err := lockFile(ctx, out, dir+".lock")
	if err != nil {
		return "", err
	}
	defer lock.unlock()
	if isFile(filepath.Join(dir, "index.html")) {
		return dir, nil
	}
	fmt.Fprintf(out, "parts: downloading the Web UI %s (once)\n", r.version)
	archive, err := downloadModule(ctx, r)
	if err != nil {
		return "", err
	}
	temp, err := os.MkdirTemp(store, "ui-tmp-")
	if err != nil {
		return "", fmt.Errorf("create a folder for the Web UI: %w", err)
	}
	defer os.RemoveAll(temp)
	prefix := r.module + "@" + r.version + "/" + uiFolder
	if err := unzip(archive, prefix, temp); err != nil {
		return "", fmt.Errorf("unpack the Web UI %s: %w", r.version, err)
	}
	if !isFile(filepath.Join(temp, "index.html")) {
		return "", fmt.Errorf("unpack the Web UI %s: no index.html under %s in %s", r.version, uiFolder, archive)
	}
	if err := os.Rename(temp, dir); err != nil {
		return "", fmt.Errorf("put the Web UI %s in place: %w", r.version, err)
	}
	return dir, nil
}

// downloadModule returns the module's zip in the module cache.
func downloadModule(ctx context.Context, r release) (string, error) {
	// Without a module of its own the command would read, and could change, the one around it.
	empty, err := os.MkdirTemp("", "parts-download-")
	if err != nil {
		return "", fmt.Errorf("create a folder for the download: %w", err)
	}
	defer os.RemoveAll(empty)
	if err := os.WriteFile(filepath.Join(empty, "go.mod"), []byte("module empty\n"), 0o600); err != nil {
		return "", fmt.Errorf("create a module for the download: %w", err)
	}
	stdout, failed := goCommand(ctx, empty, nil, "mod", "download", "-json", r.module+"@"+r.version)
	var module struct{ Zip, Sum, Error string }
	if err := json.Unmarshal([]byte(stdout), &module); err != nil {
		return "", fmt.Errorf("download %s: %w", r, failed)
	}
	// A module that asks for a newer Go comes with an error, and yet with its zip and checksum.
	if module.Zip == "" {
		return "", fmt.Errorf("download %s: %s", r, module.Error)
	}
	if module.Sum != r.sum {
		return "", fmt.Errorf("download %s: its checksum is %s, not %s: do not use it", r, module.Sum, r.sum)
	}
	return module.Zip, nil
}

// unzip writes the files below prefix in the archive into dir.
func unzip(archive, prefix, dir string) error {
	z, err := zip.OpenReader(archive)
	if err != nil {
		return err
	}
	defer z.Close()
	for _, f := range z.File {
		name, ok := strings.CutPrefix(f.Name, prefix)
		if !ok || name == "" || strings.HasSuffix(name, "/") {
			continue
		}
		if !filepath.IsLocal(filepath.FromSlash(name)) {
			return fmt.Errorf("unsafe name %q", f.Name)
		}
		if err := unzipFile(f, filepath.Join(dir, filepath.FromSlash(path.Clean(name)))); err != nil {
			return err
		}
	}
	return os.Chmod(dir, 0o755)
}

func unzipFile(f *zip.File, target string) (err error) {
	in, err := f.Open()
	if err != nil {
		return err
	}
	defer in.Close()
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	out, err := os.OpenFile(target, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer func() {
		if closed := out.Close(); err == nil {
			err = closed
		}
	}()
	_, err = io.Copy(out, in) // as large as the archive says: its checksum is known
	return err
}
