package forward

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/signet-temporal/signet/codecserver/audit"
)

// source reads the lines of one file of the log.
type source struct {
	file *os.File
	at   int64 // what is before it was read
}

// chunk is how much is read at once. A line may be longer.
const chunk = 64 << 10

// next returns the whole lines that follow, without their ends; none at the end of the file. A file that has become
// shorter is read from its beginning, and says so.
func (s *source) next() (lines [][]byte, shrunk bool, err error) {
	info, err := s.file.Stat()
	if err != nil {
		return nil, false, err
	}
	if info.Size() < s.at {
		s.at, shrunk = 0, true
	}
	for size := int64(chunk); ; size *= 2 {
		text := make([]byte, min(size, info.Size()-s.at))
		n, err := s.file.ReadAt(text, s.at)
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, shrunk, err
		}
		end := bytes.LastIndexByte(text[:n], '\n') + 1
		if end > 0 {
			s.at += int64(end)
			return bytes.Split(text[:end-1], []byte("\n")), shrunk, nil
		}
		if int64(n) < size {
			return nil, shrunk, nil
		}
	}
}

// trouble is what is wrong with the log, for the people who run it. "" is nothing.
type trouble string

const (
	replaced trouble = "the audit log does not hold the record that was forwarded last: it was replaced or cut; forwarding all of it, from its oldest record on"
	removed  trouble = "records of the audit log were removed before they were forwarded"
	broken   trouble = "the chain of the audit log is broken between two records, which are forwarded: verify the log"
	changed  trouble = "a record of the audit log was changed before it was forwarded: verify the log"
	shrunken trouble = "the audit log was cut while it was forwarded"
)

// file is one file of the log.
type file struct {
	path  string
	first audit.Head
	prev  string
}

// open finds the file that goes on behind a record, and opens it there. Of the zero Head it is the oldest. No file that
// holds a record is no error and no source; nor is it when the files are rotated faster than they can be looked for.
//
// Rotation renames a file and makes another of its name, also while they are looked for: one may be missed so, or the next
// one opened in its place. What was found counts only where nothing has changed since.
func open(path string, last audit.Head) (*source, trouble, error) {
	before, err := list(path)
	for range 10 {
		if err != nil {
			return nil, "", err
		}
		s, t, failed := openOf(before, last)
		var after []file
		if after, err = list(path); slices.Equal(before, after) {
			return s, t, cmp.Or(failed, err)
		}
		if s != nil {
			_ = s.file.Close() // it was read
		}
		before = after
	}
	return nil, "", err
}

func openOf(files []file, last audit.Head) (*source, trouble, error) {
	if len(files) == 0 {
		return nil, "", nil
	}
	if last.Seq == 0 {
		return start(files[0].path, "")
	}
	i := -1
	for j, f := range files {
		if f.first.Seq <= last.Seq+1 {
			i = j
		}
	}
	if i < 0 {
		return start(files[0].path, removed)
	}
	if f := files[i]; f.first.Seq == last.Seq+1 {
		if f.prev != last.Hash {
			return start(files[0].path, replaced)
		}
		return start(f.path, "")
	}
	s, found, err := behind(files[i].path, last)
	if err != nil {
		return nil, "", err
	}
	ended := true
	if found == last.Hash && i+1 < len(files) {
		if ended, err = s.ended(); err != nil {
			return nil, "", errors.Join(err, s.file.Close())
		}
	}
	switch {
	case found == last.Hash && (i+1 == len(files) || !ended):
		return s, "", nil
	case (found == "" || found == last.Hash) && i+1 < len(files):
		_ = s.file.Close() // it was read
		return start(files[i+1].path, removed)
	}
	_ = s.file.Close() // it was read
	return start(files[0].path, replaced)
}

// ended reports whether no record follows. It reads ahead, and goes back.
func (s *source) ended() (bool, error) {
	defer func(at int64) { s.at = at }(s.at)
	for {
		lines, _, err := s.next()
		if err != nil || len(lines) == 0 {
			return true, err
		}
		for _, line := range lines {
			if _, _, ok := audit.Parse(line); ok {
				return false, nil
			}
		}
	}
}

func start(path string, t trouble) (*source, trouble, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, "", err
	}
	return &source{file: f}, t, nil
}

// behind opens a file behind the record of last's number, and returns that record's hash; "" where there is none.
func behind(path string, last audit.Head) (*source, string, error) {
	s, _, err := start(path, "")
	if err != nil {
		return nil, "", err
	}
	for {
		begin := s.at
		lines, _, err := s.next()
		if err != nil {
			return nil, "", errors.Join(err, s.file.Close())
		}
		if len(lines) == 0 {
			return s, "", nil
		}
		for _, line := range lines {
			begin += int64(len(line)) + 1
			if head, _, ok := audit.Parse(line); ok && head.Seq == last.Seq {
				s.at = begin
				return s, head.Hash, nil
			}
		}
	}
}

// list returns the files that hold records: the log's and those beside it that rotation has made, in their order.
func list(path string) ([]file, error) {
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return nil, fmt.Errorf("looking for the audit log: %w", err)
	}
	var files []file
	for _, e := range entries {
		name := filepath.Join(filepath.Dir(path), e.Name())
		if e.Name() != filepath.Base(path) && !strings.HasPrefix(e.Name(), filepath.Base(path)+".") {
			continue
		}
		if info, err := os.Stat(name); err != nil || !info.Mode().IsRegular() {
			continue // a link that leads nowhere, a directory; or it was rotated away just now, under a name that comes
		}
		head, prev, err := firstOf(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if head.Seq > 0 {
			files = append(files, file{name, head, prev})
		}
	}
	slices.SortFunc(files, func(a, b file) int { return cmp.Compare(a.first.Seq, b.first.Seq) })
	return files, nil
}

func firstOf(path string) (audit.Head, string, error) {
	s, _, err := start(path, "")
	if err != nil {
		return audit.Head{}, "", err
	}
	defer s.file.Close()
	for {
		lines, _, err := s.next()
		if err != nil || len(lines) == 0 {
			return audit.Head{}, "", err
		}
		for _, line := range lines {
			if head, prev, ok := audit.Parse(line); ok {
				return head, prev, nil
			}
		}
	}
}
