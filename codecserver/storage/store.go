package storage

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	commonpb "go.temporal.io/api/common/v1"
	"google.golang.org/protobuf/proto"

	"github.com/signet-temporal/signet/codecserver"
)

// Folder is where one storage driver of the workers keeps payloads.
type Folder struct {
	Driver string            // its name in references, such as "aws.s3driver". Required
	Path   string            // the folder. Required
	Key    string            // member of the claim with the path of the file; "": "key"
	Match  map[string]string // other members of the claim, and what they have to be
}

// Store reads from folders. It is safe for concurrent use.
type Store struct{ folders map[string]Folder }

var _ codecserver.Storage = (*Store)(nil)

// New checks the folders. Names of drivers are unique.
func New(folders ...Folder) (*Store, error) {
	s := &Store{map[string]Folder{}}
	for i, f := range folders {
		if f.Key == "" {
			f.Key = "key"
		}
		_, twice := s.folders[f.Driver]
		switch info, err := os.Stat(f.Path); {
		case f.Driver == "":
			return nil, fmt.Errorf("[%d].driver: the name of the storage driver is required, as references have it", i)
		case twice:
			return nil, fmt.Errorf("[%d].driver: %q is given twice", i, f.Driver)
		case f.Path == "":
			return nil, fmt.Errorf("[%d].folder: the folder is required", i)
		case err != nil:
			return nil, fmt.Errorf("[%d].folder: %w", i, err)
		case !info.IsDir():
			return nil, fmt.Errorf("[%d].folder: %s is no folder", i, f.Path)
		}
		s.folders[f.Driver] = f
	}
	return s, nil
}

// failure is an error with a reason for the codec server. It quotes no claim.
type failure struct{ reason, text string }

func (f *failure) Error() string  { return f.text }
func (f *failure) Reason() string { return f.reason }

func refused(text string) error { return &failure{"reference-refused", text} }

// Fetch implements [codecserver.Storage].
func (s *Store) Fetch(ctx context.Context, r codecserver.Reference, maxBytes int64) (*commonpb.Payload, int64, error) {
	f, known := s.folders[r.Driver]
	if !known {
		return nil, 0, refused("no such driver is configured")
	}
	name := r.Claim[f.Key]
	if name == "." || !fs.ValidPath(name) || strings.ContainsAny(name, "\\\x00") {
		return nil, 0, refused("the claim names no file below the folder")
	}
	for member, want := range f.Match {
		if r.Claim[member] != want {
			return nil, 0, refused("another " + member + " than is configured")
		}
	}
	data, err := read(ctx, f.Path, name, maxBytes)
	n := int64(len(data))
	if err != nil {
		return nil, n, err
	}
	if err := checkHash(r.Claim, data); err != nil {
		return nil, n, err
	}
	var p commonpb.Payload
	if err := proto.Unmarshal(data, &p); err != nil {
		return nil, n, refused("what is stored there is no payload")
	}
	return &p, n, nil
}

// read opens the folder anew: a mount may come and go.
func read(ctx context.Context, folder, name string, maxBytes int64) ([]byte, error) {
	root, err := os.OpenRoot(folder)
	if err != nil {
		return nil, fmt.Errorf("the folder cannot be opened: %w", err)
	}
	defer root.Close()
	info, err := root.Stat(name) // opening a pipe would wait for its other end
	var f *os.File
	if err == nil && info.Mode().IsRegular() {
		f, err = root.Open(name)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, &failure{"not-stored", "there is no such file"}
	case err != nil && escapes(err):
		return nil, refused("the path leads out of the folder")
	case err != nil:
		return nil, fmt.Errorf("the file cannot be read: %w", withoutPath(err))
	case !info.Mode().IsRegular():
		return nil, refused("it is no regular file")
	}
	defer f.Close()
	if info.Size() > maxBytes {
		return nil, &failure{"too-large", "the file is larger than what may be fetched"}
	}
	data, err := io.ReadAll(io.LimitReader(&untilDone{ctx, f}, maxBytes+1))
	switch {
	case err != nil:
		return data, fmt.Errorf("the file cannot be read: %w", withoutPath(err))
	case int64(len(data)) > maxBytes:
		return data, &failure{"too-large", "the file is larger than what may be fetched"}
	}
	return data, nil
}

// escapes: package os has no name for its error. Everything else that it says is an errno.
func escapes(err error) bool {
	return strings.Contains(err.Error(), "path escapes from parent")
}

func withoutPath(err error) error {
	var at *fs.PathError
	if errors.As(err, &at) {
		return at.Err
	}
	return err
}

// untilDone reads until the context ends: a mounted bucket can take its time.
type untilDone struct {
	ctx context.Context
	io.Reader
}

func (u *untilDone) Read(p []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.Reader.Read(p)
}

func checkHash(claim map[string]string, data []byte) error {
	algorithm, named := claim["hash_algorithm"]
	if !named && claim["hash_value"] == "" {
		return nil
	}
	if algorithm != "sha256" {
		return refused("the claim has a hash of another kind than sha256")
	}
	hash := sha256.Sum256(data)
	if subtle.ConstantTimeCompare([]byte(hex.EncodeToString(hash[:])), []byte(claim["hash_value"])) != 1 {
		return refused("what is stored there has another hash than the reference says")
	}
	return nil
}
