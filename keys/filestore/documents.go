package filestore

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/signet-temporal/signet/keys"
)

const (
	docExt = ".json"
	// dirMark ends the directory of a name segment that looks like a document, so that keysets "a.json/b" and "a" can
	// live beside each other. No name has a '%'.
	dirMark = "%"
)

// document is what a file holds: the keyset, and a count of its changes, so that no two versions have the same bytes.
type document struct {
	Revision uint64 `json:"revision"`
	*keys.Keyset
}

// Fetch implements keys.Store.
func (s *Store) Fetch(ctx context.Context, name string) (*keys.Keyset, keys.Version, error) {
	if err := ctx.Err(); err != nil {
		return nil, "", err
	}
	if err := keys.CheckName(name); err != nil {
		return nil, "", err
	}
	path := s.path(name)
	doc, err := readPrivate(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := checkDir(s.dir); err != nil { // the whole store is away: that is no answer about one keyset
			return nil, "", err
		}
		return nil, "", fmt.Errorf("keyset %q: %w in %s", name, keys.ErrNotFound, s.dir)
	}
	if err != nil {
		return nil, "", err
	}
	k, err := keys.ParseKeyset(name, doc)
	if err != nil {
		return nil, "", fmt.Errorf("%w (in %s: restore that file)", err, path)
	}
	return k, version(doc), nil
}

// Replace implements keys.Store.
func (s *Store) Replace(ctx context.Context, k *keys.Keyset, old keys.Version) (keys.Version, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	if err := k.Check(); err != nil {
		return "", err
	}
	if err := checkDir(s.dir); err != nil {
		return "", err
	}
	unlock, err := s.lock(ctx)
	if err != nil {
		return "", err
	}
	defer unlock()
	path := s.path(k.Name)
	stored, revision, err := current(path)
	if err != nil {
		return "", err
	}
	if stored != old {
		return "", fmt.Errorf("keyset %q: %w", k.Name, keys.ErrConflict)
	}
	doc, err := json.MarshalIndent(document{revision + 1, k}, "", "  ")
	if err != nil {
		return "", fmt.Errorf("keyset %q: %w", k.Name, err)
	}
	doc = append(doc, '\n')
	if err := makeDirs(filepath.Join(s.dir, docsDir), filepath.Dir(path)); err != nil {
		return "", fmt.Errorf("keyset %q: %w", k.Name, err)
	}
	if err := writeFile(path, doc); err != nil {
		return "", fmt.Errorf("keyset %q: %w", k.Name, err)
	}
	return version(doc), nil
}

// Forget implements keys.Store. There are no earlier versions here but the one that a crash may have left half written.
func (s *Store) Forget(ctx context.Context, name string) error {
	if err := errors.Join(ctx.Err(), keys.CheckName(name)); err != nil {
		return err
	}
	unlock, err := s.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if err := os.Remove(tempFor(s.path(name))); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("forgetting earlier versions of keyset %q: %w", name, err)
	}
	return nil
}

// List implements keys.Store.
func (s *Store) List(ctx context.Context) ([]string, error) {
	if err := checkDir(s.dir); err != nil {
		return nil, err
	}
	return s.names(ctx)
}

// names returns the sorted names of all documents. Other files are passed over.
func (s *Store) names(ctx context.Context) ([]string, error) {
	var names []string
	root := filepath.Join(s.dir, docsDir)
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		inside, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		name, isDoc := strings.CutSuffix(filepath.ToSlash(inside), docExt)
		name = strings.ReplaceAll(name, dirMark+"/", "/")
		if isDoc && keys.CheckName(name) == nil && s.path(name) == path {
			names = append(names, name)
		}
		return nil
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("listing keysets: %w", err)
	}
	slices.Sort(names) // a walk sorts by segments
	return names, nil
}

// path is where the document of a keyset lies. The name must have been checked: no segment begins with a dot.
func (s *Store) path(name string) string {
	segments := strings.Split(name, "/")
	last := len(segments) - 1
	for i, segment := range segments[:last] {
		if strings.HasSuffix(segment, docExt) {
			segments[i] += dirMark
		}
	}
	segments[last] += docExt
	return filepath.Join(s.dir, docsDir, filepath.Join(segments...))
}

// current returns the version and the revision of what is stored; neither for no file. A file that is no document has
// a version too, so that nobody who has not seen it writes over it.
func current(path string) (keys.Version, uint64, error) {
	stored, err := readPrivate(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", 0, nil
	}
	if err != nil {
		return "", 0, err
	}
	var doc struct {
		Revision uint64 `json:"revision"`
	}
	_ = json.Unmarshal(stored, &doc) // a Replace has fetched and so read it; if not, it fails on the version
	return version(stored), doc.Revision, nil
}

func version(doc []byte) keys.Version {
	sum := sha256.Sum256(doc)
	return keys.Version(hex.EncodeToString(sum[:16]))
}

// readPrivate reads a file and refuses it when other users may.
func readPrivate(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading a key file: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("reading a key file: %w", err)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("key file %s is open to other users (mode %04o): chmod 600 %[1]s", path, mode)
	}
	out, err := io.ReadAll(f)
	if err != nil {
		return nil, fmt.Errorf("reading a key file: %w", err)
	}
	return out, nil
}

// writeFile puts content in place of the file at path, whole or not at all, and returns when it is on disk. The caller
// holds the lock, so the temporary file, if there is one, is what a crash left behind.
func writeFile(path string, content []byte) error {
	temp := tempFor(path)
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	err := writeSynced(temp, content)
	if err == nil {
		err = os.Rename(temp, path)
	}
	if err != nil {
		_ = os.Remove(temp)
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return syncDir(filepath.Dir(path))
}

// tempFor is where a file is written before it is renamed to path.
func tempFor(path string) string {
	dir, base := filepath.Split(path)
	return filepath.Join(dir, "."+base+".tmp") // no keyset name has a segment that begins with a dot
}

func writeSynced(path string, content []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// makeDirs makes the directories from root down to dir, each on disk before the next.
func makeDirs(root, dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	if dir != root {
		if err := makeDirs(root, filepath.Dir(dir)); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDir(filepath.Dir(dir))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
