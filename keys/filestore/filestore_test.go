package filestore_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/signet-temporal/signet/keys"
	"github.com/signet-temporal/signet/keys/filestore"
	"github.com/signet-temporal/signet/keys/keystest"
	"github.com/signet-temporal/signet/keys/rotate"
)

var (
	_ keys.Store = (*filestore.Store)(nil)
	_ keys.KEK   = (*filestore.Store)(nil)
)

const name = "ns/payments"

// otherProcess makes the test binary add so many keys to the store in that directory: "DIR:COUNT".
const otherProcess = "FILESTORE_TEST_ADD_KEYS"

func TestMain(m *testing.M) {
	if dir, count, ok := strings.Cut(os.Getenv(otherProcess), ":"); ok {
		if err := addKeys(dir, count); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// addKeys prints the id of each key it added.
func addKeys(dir, count string) error {
	var n int
	if _, err := fmt.Sscan(count, &n); err != nil {
		return err
	}
	s, err := filestore.Open(dir)
	if err != nil {
		return err
	}
	for range n {
		id, err := rotate.Add(context.Background(), s, s, name)
		if err != nil {
			return err
		}
		fmt.Println(id)
	}
	return nil
}

func otherProcessAdding(t *testing.T, dir string, count int) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s:%d", otherProcess, dir, count))
	return cmd
}

func create(t *testing.T) (*filestore.Store, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "keys")
	s, err := filestore.Create(dir)
	if err != nil {
		t.Fatal(err)
	}
	return s, dir
}

// plantable lets the conformance suite write what it likes where a document lies.
type plantable struct {
	*filestore.Store
	dir string
}

func (p plantable) Plant(_ context.Context, name string, doc []byte) error {
	return os.WriteFile(docPath(p.dir, name), doc, 0o600)
}

func docPath(dir, name string) string {
	return filepath.Join(dir, "keysets", filepath.FromSlash(name)+".json")
}

func wantError(t *testing.T, err error, texts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one that says %q", texts)
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("error %q does not say %q", err, text)
		}
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("error %q has more than one line", err)
	}
}

func TestFileStoreConforms(t *testing.T) {
	keystest.TestStore(t, func(t *testing.T) keys.Store {
		s, dir := create(t)
		return plantable{s, dir}
	})
}

func TestFileKEKConforms(t *testing.T) {
	keystest.TestKEK(t, func(t *testing.T) keys.KEK {
		s, _ := create(t)
		return s
	})
}

func TestReopenedStoreOpensItsKeys(t *testing.T) {
	s, dir := create(t)
	k := keystest.NewKeyset(t, s, s, name, keys.XAES256GCM)
	again, err := filestore.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	ring, err := keys.NewRing(t.Context(), again, again, keys.RingOptions{Keysets: []string{name}})
	if err != nil {
		t.Fatal(err)
	}
	defer ring.Close()
	if id, _, err := ring.Primary(name); err != nil || keys.ID(id) != k.Primary().ID {
		t.Errorf("Primary = %s, %v, want %s", keys.ID(id), err, k.Primary().ID)
	}
	other, _ := create(t)
	if _, err := keys.Unwrap(t.Context(), other, name, k.Keys[0].ID, k.Keys[0].Wrapped); err == nil {
		t.Error("the key-encryption key of another directory opens the key")
	}
}

func TestEverythingIsClosedToOtherUsers(t *testing.T) {
	s, dir := create(t)
	keystest.NewKeyset(t, s, s, "tenant/acme/eu", keys.XAES256GCM)
	var seen []string
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		want := fs.FileMode(0o600)
		if entry.IsDir() {
			want = 0o700
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s has mode %04o, want %04o", path, got, want)
		}
		inside, err := filepath.Rel(dir, path)
		seen = append(seen, filepath.ToSlash(inside))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{".", "kek.json", "keysets", "keysets/tenant", "keysets/tenant/acme", "keysets/tenant/acme/eu.json", "lock"}
	if !slices.Equal(seen, want) {
		t.Errorf("the directory holds %q, want %q", seen, want)
	}
}

func TestWhatOtherUsersMayReadIsRefused(t *testing.T) {
	for _, mode := range []fs.FileMode{0o040, 0o004, 0o010, 0o002} {
		s, dir := create(t)
		keystest.NewKeyset(t, s, s, name, keys.AES256GCM)
		chmod := func(path string, mode fs.FileMode) {
			t.Helper()
			if err := os.Chmod(path, mode); err != nil {
				t.Fatal(err)
			}
		}

		chmod(dir, 0o700|mode)
		_, err := filestore.Open(dir)
		wantError(t, err, "chmod 700 "+dir)
		_, err = filestore.OpenOrCreate(dir)
		wantError(t, err, "chmod 700 "+dir)
		_, err = s.Replace(t.Context(), &keys.Keyset{Format: 1, Name: "new", Type: keys.AES256GCM}, "")
		wantError(t, err, "chmod 700 "+dir)
		chmod(dir, 0o700)

		kek := filepath.Join(dir, "kek.json")
		chmod(kek, 0o600|mode)
		_, err = filestore.Open(dir)
		wantError(t, err, "chmod 600 "+kek)
		chmod(kek, 0o600)

		chmod(docPath(dir, name), 0o600|mode)
		_, _, err = s.Fetch(t.Context(), name)
		wantError(t, err, "chmod 600 "+docPath(dir, name))
		chmod(docPath(dir, name), 0o600)
		if _, _, err = s.Fetch(t.Context(), name); err != nil {
			t.Errorf("closed again, it is still refused: %v", err)
		}
	}
	open := filepath.Join(t.TempDir(), "open")
	if err := errors.Join(os.Mkdir(open, 0o700), os.Chmod(open, 0o755)); err != nil {
		t.Fatal(err)
	}
	_, err := filestore.Create(open)
	wantError(t, err, "chmod 700 "+open)
}

func TestOpenSaysWhatIsMissing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	_, err := filestore.Open(dir)
	wantError(t, err, dir, "does not exist")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	_, err = filestore.Open(dir)
	wantError(t, err, dir, "kek.json")
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = filestore.Open(file)
	wantError(t, err, "not a directory")
	_, err = filestore.Create(filepath.Join(dir, "no", "parent"))
	wantError(t, err, "no such file")
}

func TestCreateNeverReplacesAKeyEncryptionKey(t *testing.T) {
	s, dir := create(t)
	kek := filepath.Join(dir, "kek.json")
	before, err := os.ReadFile(kek)
	if err != nil {
		t.Fatal(err)
	}
	_, err = filestore.Create(dir)
	wantError(t, err, kek, "open it instead")
	if after, err := os.ReadFile(kek); err != nil || string(after) != string(before) {
		t.Errorf("a refused Create changed kek.json (%v)", err)
	}
	keystest.NewKeyset(t, s, s, name, keys.AES256GCM)
	if err := os.Remove(kek); err != nil {
		t.Fatal(err)
	}
	for _, make := range []func(string) (*filestore.Store, error){filestore.Create, filestore.OpenOrCreate} {
		_, err = make(dir)
		wantError(t, err, kek, "1 keysets", "restore")
	}
}

func TestInterruptedCreateMayBeRunAgain(t *testing.T) {
	_, dir := create(t)
	if err := os.Rename(filepath.Join(dir, "kek.json"), filepath.Join(dir, ".kek.json.tmp")); err != nil {
		t.Fatal(err)
	}
	s, err := filestore.Create(dir)
	if err != nil {
		t.Fatal(err)
	}
	keystest.NewKeyset(t, s, s, name, keys.AES256GCM)
}

func TestOpenOrCreateByManyMakesOneStore(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	var all sync.WaitGroup
	stores := make([]*filestore.Store, 8)
	for i := range stores {
		all.Go(func() {
			var err error
			if stores[i], err = filestore.OpenOrCreate(dir); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if t.Failed() {
		return
	}
	wrapped, err := stores[0].EncryptWithContext(t.Context(), []byte("secret"), []byte(name))
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range stores {
		if _, err := s.DecryptWithContext(t.Context(), wrapped, []byte(name)); err != nil {
			t.Errorf("store %d has another key-encryption key: %v", i, err)
		}
	}
}

func TestDamagedFilesAreNamed(t *testing.T) {
	s, dir := create(t)
	keystest.NewKeyset(t, s, s, name, keys.AES256GCM)
	path := docPath(dir, name)
	doc, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for size := range len(doc) - 2 { // the last two bytes are "}" and a newline
		if err := os.WriteFile(path, doc[:size], 0o600); err != nil {
			t.Fatal(err)
		}
		k, v, err := s.Fetch(t.Context(), name)
		if k != nil || v != "" || errors.Is(err, keys.ErrNotFound) {
			t.Fatalf("a document cut to %d bytes: %v, %q, %v", size, k, v, err)
		}
		wantError(t, err, path, name)
	}
	kek := filepath.Join(dir, "kek.json")
	if err := os.WriteFile(kek, []byte(`{"primaryKeyId":1`), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = filestore.Open(dir)
	wantError(t, err, kek, "restore")
}

func TestStoreThatWentAwayIsNoMissingKeyset(t *testing.T) {
	s, dir := create(t)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	_, _, err := s.Fetch(t.Context(), name)
	wantError(t, err, dir, "does not exist")
	if errors.Is(err, keys.ErrNotFound) {
		t.Errorf("error %q claims that the store is sure", err)
	}
}

func TestStrayFilesAreNoKeysets(t *testing.T) {
	s, dir := create(t)
	keystest.NewKeyset(t, s, s, name, keys.AES256GCM)
	for _, stray := range []string{".x.json.tmp", ".hidden.json", "README", "-x.json", "a b.json", "ns/.payments.json.tmp"} {
		if err := os.WriteFile(filepath.Join(dir, "keysets", stray), []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := s.List(t.Context()); err != nil || !slices.Equal(got, []string{name}) {
		t.Errorf("List = %q, %v, want only %s", got, err, name)
	}
	if _, err := rotate.Add(t.Context(), s, s, name); err != nil {
		t.Errorf("what a crash left behind stops a change: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "keysets", "ns", ".payments.json.tmp")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the change left the temporary file: %v", err)
	}
}

func TestProcessesNeverLoseEachOthersKeys(t *testing.T) {
	s, dir := create(t)
	first := keystest.NewKeyset(t, s, s, name, keys.AES256GCM).Primary().ID
	want := map[string]bool{first.String(): true}
	var mu sync.Mutex
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			out, err := otherProcessAdding(t, dir, 8).Output()
			if err != nil {
				t.Errorf("the other process: %v: %s", err, out)
			}
			mu.Lock()
			defer mu.Unlock()
			for id := range strings.FieldsSeq(string(out)) {
				want[id] = true
			}
		})
	}
	all.Wait()
	k, _, err := s.Fetch(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	if len(want) != 25 || len(k.Keys) != 25 {
		t.Errorf("%d keys were reported and %d are there, want 25", len(want), len(k.Keys))
	}
	for _, key := range k.Keys {
		if !want[key.ID.String()] {
			t.Errorf("key %s is there and nobody added it", key.ID)
		}
	}
}

func TestKilledProcessLeavesAWholeDocumentAndNoLock(t *testing.T) {
	s, dir := create(t)
	keystest.NewKeyset(t, s, s, name, keys.AES256GCM)
	for round := range 5 {
		cmd := otherProcessAdding(t, dir, 1_000_000)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		var reported []string
		for lines := bufio.NewScanner(out); len(reported) < 3+round && lines.Scan(); {
			reported = append(reported, lines.Text())
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // it was killed
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		added, err := rotate.Add(ctx, s, s, name)
		cancel()
		if err != nil {
			t.Fatalf("after a kill: %v", err)
		}
		k, _, err := s.Fetch(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range append(reported, added.String()) {
			var id keys.ID
			if err := id.UnmarshalText([]byte(text)); err != nil {
				t.Fatalf("the other process said %q", text)
			}
			if k.Key(id) == nil {
				t.Errorf("key %s was added and is gone", id)
			}
		}
	}
}

func TestForgettingRemovesWhatACrashLeftHalfWritten(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	s, err := filestore.Create(dir)
	if err != nil {
		t.Fatal(err)
	}
	keystest.NewKeyset(t, s, s, "ns/a", keys.XAES256GCM)
	left := filepath.Join(dir, "keysets", "ns", ".a.json.tmp")
	if err := os.WriteFile(left, []byte("the document with a key that is destroyed by now"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Forget(t.Context(), "ns/a"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(left); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it is still there: %v", err)
	}
	if _, _, err := s.Fetch(t.Context(), "ns/a"); err != nil {
		t.Error(err)
	}
}
