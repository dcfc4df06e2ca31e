package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/signet-temporal/signet/keys"
	"github.com/signet-temporal/signet/keys/filestore"
	"github.com/signet-temporal/signet/keys/rotate"
)

// TestABackupIsThereWholeOrNotAtAll kills the command with SIGKILL at the moment at which the file appears: the file is
// whole then, and where it has not appeared the command can be run again.
func TestABackupIsThereWholeOrNotAtAll(t *testing.T) {
	dir := t.TempDir()
	store, err := filestore.OpenOrCreate(filepath.Join(dir, "keys"))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	k, err := rotate.PlanNew("ns/large", rotate.Options{}, rotate.Generated(t.Context(), store), now)
	if err != nil {
		t.Fatal(err)
	}
	for len(k.Keys) < 20_000 { // it takes a while to write them
		k.Keys = append(k.Keys, keys.Key{ID: k.Keys[0].ID ^ keys.ID(len(k.Keys)), State: keys.Destroyed, Created: now, Destroyed: now})
	}
	if _, err := store.Replace(t.Context(), k, ""); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	signet := filepath.Join(dir, "signet") // by which name TestMain knows that it is the program
	if err := os.Symlink(self, signet); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "backups", "b.json")
	for range 5 {
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), signet, "keyset", "backup", "--file="+file, "--keys-file="+filepath.Join(dir, "keys"))
		cmd.Env = []string{"HOME=" + dir, "GORACE=atexit_sleep_ms=10"}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		for there := false; !there; {
			select {
			case err := <-ended: // on a busy machine before anybody looked for the file
				if _, missing := os.Stat(file); err != nil || missing != nil {
					t.Fatalf("the command ended and the file is not there: %v, %v", err, missing)
				}
				ended <- nil
				there = true
			case <-time.After(100 * time.Microsecond): // looking without a pause takes a core from the command
				_, err := os.Stat(file)
				there = err == nil
			}
		}
		_ = cmd.Process.Kill()
		<-ended
		if b, err := readBackup(file); err != nil || len(b.parsed[0].Keys) != 20_000 {
			t.Errorf("killed, it left half a backup: %v", err)
		}
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("the mode of the file is %v, %v", info.Mode(), err)
		}
		if err := os.RemoveAll(filepath.Dir(file)); err != nil {
			t.Fatal(err)
		}
	}
	// What is there stays, and nothing is left beside it.
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := (backup{Format: 1}).write(file); err != nil {
		t.Fatal(err)
	}
	if err := (backup{Format: 1, Created: now}).write(file); err == nil || !strings.Contains(err.Error(), "exists already: name another file") {
		t.Errorf("written over another: %v", err)
	}
	if entries, err := os.ReadDir(filepath.Dir(file)); err != nil || len(entries) != 1 {
		t.Errorf("in the directory are %v, %v", entries, err)
	}
}
