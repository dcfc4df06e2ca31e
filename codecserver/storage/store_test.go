package storage_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	commonpb "go.temporal.io/api/common/v1"
	"google.golang.org/protobuf/proto"

	"github.com/signet-temporal/signet/codecserver"
	"github.com/signet-temporal/signet/codecserver/storage"
)

const driver = "aws.s3driver"

// stored is a store over <dir>/bucket with one payload in it, and the claim for that; beside the folder lies secret.txt.
func stored(t *testing.T) (s *storage.Store, dir string, claim map[string]string) {
	t.Helper()
	dir = t.TempDir()
	data, err := proto.Marshal(&commonpb.Payload{Metadata: map[string][]byte{"encoding": []byte("binary/encrypted")}, Data: []byte("sealed")})
	if err != nil {
		t.Fatal(err)
	}
	hash := sha256.Sum256(data)
	claim = map[string]string{"bucket": "acme", "key": "v0/d/sha256/" + hex.EncodeToString(hash[:]), "hash_algorithm": "sha256", "hash_value": hex.EncodeToString(hash[:])}
	for name, data := range map[string][]byte{"bucket/" + claim["key"]: data, "secret.txt": data, "bucket/nonsense": []byte("\xff\xff\xff")} {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s, err = storage.New(storage.Folder{Driver: driver, Path: filepath.Join(dir, "bucket"), Match: map[string]string{"bucket": "acme"}})
	if err != nil {
		t.Fatal(err)
	}
	return s, dir, claim
}

func with(claim map[string]string, members ...string) map[string]string {
	changed := map[string]string{}
	for name, value := range claim {
		changed[name] = value
	}
	for i := 0; i < len(members); i += 2 {
		if members[i+1] == "" {
			delete(changed, members[i])
			continue
		}
		changed[members[i]] = members[i+1]
	}
	return changed
}

func reasonOf(err error) string {
	var r interface{ Reason() string }
	if errors.As(err, &r) {
		return r.Reason()
	}
	return ""
}

func TestWhatIsStoredIsFetched(t *testing.T) {
	s, _, claim := stored(t)
	for name, c := range map[string]map[string]string{"the claim of the S3 driver": claim, "without a hash": with(claim, "hash_algorithm", "", "hash_value", "")} {
		p, read, err := s.Fetch(t.Context(), codecserver.Reference{Driver: driver, Claim: c}, 1000)
		if err != nil || string(p.GetData()) != "sealed" || read == 0 {
			t.Errorf("%s: %v, %d bytes, %v", name, p, read, err)
		}
	}
}

func TestReferencesThatLeadElsewhereAreRefused(t *testing.T) {
	s, dir, claim := stored(t)
	bucket := filepath.Join(dir, "bucket")
	for link, to := range map[string]string{"out": "../secret.txt", "far": "/etc/passwd", "up": ".."} {
		if err := os.Symlink(to, filepath.Join(bucket, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(bucket, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	bare := with(claim, "hash_algorithm", "", "hash_value", "")
	for _, key := range []string{"../secret.txt", "v0/../../secret.txt", "/etc/passwd", filepath.Join(dir, "secret.txt"), "./" + claim["key"], "v0//d", "", ".", "..", "v0\\..\\..\\secret.txt",
		"out", "far", "up/secret.txt", "pipe", "v0", "nonsense", "a\x00b"} {
		p, _, err := s.Fetch(t.Context(), codecserver.Reference{Driver: driver, Claim: with(bare, "key", key)}, 1000)
		if p != nil || reasonOf(err) != "reference-refused" || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v, %v", key, p, err)
		}
	}
	for name, r := range map[string]codecserver.Reference{
		"another driver": {Driver: "other", Claim: claim},
		"another bucket": {Driver: driver, Claim: with(claim, "bucket", "other")},
		"no bucket":      {Driver: driver, Claim: with(claim, "bucket", "")},
		"another hash":   {Driver: driver, Claim: with(claim, "hash_value", strings.Repeat("0", 64))},
		"no hash":        {Driver: driver, Claim: with(claim, "hash_value", "")},
		"another kind":   {Driver: driver, Claim: with(claim, "hash_algorithm", "md5")},
		"no kind":        {Driver: driver, Claim: with(claim, "hash_algorithm", "")},
		"nothing":        {},
	} {
		if p, _, err := s.Fetch(t.Context(), r, 1000); p != nil || reasonOf(err) != "reference-refused" {
			t.Errorf("%s: %v, %v", name, p, err)
		}
	}
}

func TestWhatIsNotThereOrTooLarge(t *testing.T) {
	s, dir, claim := stored(t)
	if p, read, err := s.Fetch(t.Context(), codecserver.Reference{Driver: driver, Claim: claim}, 10); p != nil || read != 0 || reasonOf(err) != "too-large" {
		t.Errorf("%v, %d bytes, %v", p, read, err)
	}
	if _, _, err := s.Fetch(t.Context(), codecserver.Reference{Driver: driver, Claim: with(claim, "key", "v0/none")}, 1000); reasonOf(err) != "not-stored" {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := s.Fetch(ctx, codecserver.Reference{Driver: driver, Claim: claim}, 1000); !errors.Is(err, context.Canceled) || reasonOf(err) != "" {
		t.Error(err)
	}
	// The folder goes away, as a mount does, and comes back.
	if err := os.Rename(filepath.Join(dir, "bucket"), filepath.Join(dir, "gone")); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Fetch(t.Context(), codecserver.Reference{Driver: driver, Claim: claim}, 1000); err == nil || reasonOf(err) != "" {
		t.Error(err)
	}
	if err := os.Rename(filepath.Join(dir, "gone"), filepath.Join(dir, "bucket")); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Fetch(t.Context(), codecserver.Reference{Driver: driver, Claim: claim}, 1000); err != nil {
		t.Error(err)
	}
}

// TestAFileThatIsLargerThanItSays: as one that grows while it is read.
func TestAFileThatIsLargerThanItSays(t *testing.T) {
	if info, err := os.Stat("/proc/self/status"); err != nil || info.Size() > 0 || !info.Mode().IsRegular() {
		t.Skip("there is no file here that says it is empty and is not")
	}
	s, err := storage.New(storage.Folder{Driver: driver, Path: "/proc/self"})
	if err != nil {
		t.Fatal(err)
	}
	if _, read, err := s.Fetch(t.Context(), codecserver.Reference{Driver: driver, Claim: map[string]string{"key": "status"}}, 10); reasonOf(err) != "too-large" || read > 11 {
		t.Errorf("%d bytes, %v, want too-large", read, err)
	}
}

func TestFoldersAreChecked(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for want, folders := range map[string][]storage.Folder{
		"[0].driver: the name":   {{Path: dir}},
		"[0].folder: the folder": {{Driver: "a"}},
		"is no folder":           {{Driver: "a", Path: file}},
		"no such file":           {{Driver: "a", Path: file + "2"}},
		"[1].driver: \"a\" is":   {{Driver: "a", Path: dir}, {Driver: "a", Path: dir}},
	} {
		if _, err := storage.New(folders...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
