package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/alecthomas/kong"
	"github.com/signet-temporal/signet/internal/keyconfig"
	"github.com/signet-temporal/signet/keys"
)

// backup is the file of `keyset backup`: documents as they are stored, with every key wrapped.
type backup struct {
	Format  int               `json:"format"` // always 1
	Created time.Time         `json:"created"`
	Keysets []json.RawMessage `json:"keysets"`

	parsed []*keys.Keyset
}

// readBackup reads a backup and checks every keyset in it.
func readBackup(file string) (backup, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return backup{}, codedf(exitUsage, "reading the backup: %s", err)
	}
	var b backup
	if err := json.Unmarshal(text, &b); err != nil || b.Format != 1 {
		return backup{}, codedf(exitUsage, "%s is no backup of this version of signet: name a file that \"signet keyset backup\" wrote", file)
	}
	seen := map[string]bool{}
	for i, doc := range b.Keysets {
		var named struct{ Name string }
		_ = json.Unmarshal(doc, &named) // ParseKeyset says what is wrong
		k, err := keys.ParseKeyset(named.Name, doc)
		if err == nil && seen[k.Name] {
			err = fmt.Errorf("keyset %q stands in it twice", k.Name)
		}
		if err != nil {
			return backup{}, fmt.Errorf("%s is damaged, nothing of it is used: keyset number %d: %w", file, i+1, err)
		}
		seen[k.Name] = true
		b.parsed = append(b.parsed, k)
	}
	return b, nil
}

func (b backup) names() []string {
	var names []string
	for _, k := range b.parsed {
		names = append(names, k.Name)
	}
	return names
}

// fetch returns a keyset of the backup, as a key store does.
func (b backup) fetch(_ context.Context, name string) (*keys.Keyset, keys.Version, error) {
	for _, k := range b.parsed {
		if k.Name == name {
			return k, "", nil
		}
	}
	return nil, "", codedf(exitNotFound, "keyset %q is not in the backup", name)
}

type backupCmd struct {
	Names []string `arg:"" optional:"" name:"name" help:"Names of keysets; all of them if none is given."`
	File  string   `required:"" placeholder:"FILE" help:"File to write, which must not exist yet."`
}

// Help is the long help of the command.
func (backupCmd) Help() string {
	return `The file holds no key in clear: each is wrapped by the Transit key, without which the file opens nothing. So keep a backup of
Vault itself, too. A key that is destroyed later stays in the file: delete it when that is due.

` + jsonHelp[backedUp]()
}

// backedUp is the JSON output of `keyset backup` and `keyset restore`.
type backedUp struct {
	File    string         `json:"file" help:"the file"`
	Planned bool           `json:"planned" help:"whether this is a plan, and nothing was done"`
	Keysets []backedKeyset `json:"keysets" help:"each keyset, in the order given or by name"`
}

type backedKeyset struct {
	Name string `json:"name" help:"its name"`
	Keys int    `json:"keys" help:"number of its keys that are not destroyed"`
	Does string `json:"does" help:"what was done, or would be: written; restored, brought forward, there already, or not restored because it was shredded"`

	Steps  []stepInfo `json:"steps,omitempty" help:"of one that is brought forward: what changes"`
	Forget []keys.ID  `json:"forget,omitempty" help:"of one that is brought forward: keys that were destroyed, and stand in earlier versions of it again until they are destroyed once more"`
}

func describeBacked(k *keys.Keyset, does string) backedKeyset {
	b := backedKeyset{Name: k.Name, Does: does}
	for _, key := range k.Keys {
		if key.State != keys.Destroyed {
			b.Keys++
		}
	}
	return b
}

// Run writes the file.
func (c *backupCmd) Run(a *app, at *keysetCmd, parsed *kong.Context) error {
	if err := checkNames(c.Names...); err != nil {
		return err
	}
	b, result := backup{Format: 1, Created: a.now().UTC()}, backedUp{File: c.File, Keysets: []backedKeyset{}}
	err := at.withStore(a, parsed, false, func(ctx context.Context, s *keyconfig.Opened) error {
		names, err := chosen(ctx, s, c.Names)
		if err != nil {
			return err
		}
		for _, name := range names {
			k, _, err := s.Store.Fetch(ctx, name)
			if err != nil { // half a backup is none
				return missing(err, name, s)
			}
			doc, err := json.Marshal(k)
			if err != nil {
				return err
			}
			b.Keysets = append(b.Keysets, doc)
			result.Keysets = append(result.Keysets, describeBacked(k, "written"))
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := b.write(c.File); err != nil {
		return err
	}
	return a.print(result, func(w io.Writer) {
		fmt.Fprintf(w, "Wrote %s to %s. Without the Transit key it opens nothing: back up Vault, too.\n", count(len(result.Keysets), "keyset", "keysets"), c.File)
	})
}

// write puts the backup on disk, whole or not at all, also if the process is killed meanwhile.
func (b backup) write(file string) error {
	text, err := json.MarshalIndent(b, "", "  ")
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+".*") // 0600
	if err != nil {
		return codedf(exitUsage, "writing the backup: %s", err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(append(text, '\n'))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("writing the backup: %w", err)
	}
	err = os.Link(f.Name(), file) // which, unlike a renaming, replaces nothing
	if _, absent := os.Lstat(file); err != nil && errors.Is(absent, fs.ErrNotExist) {
		err = os.Rename(f.Name(), file) // on a file system without links
	}
	if errors.Is(err, fs.ErrExist) {
		return codedf(exitRefused, "%s exists already: name another file", file)
	}
	if err != nil {
		return fmt.Errorf("writing the backup: %w", err)
	}
	return nil
}
