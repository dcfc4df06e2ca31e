package audit

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// FileOptions say how [OpenFile] keeps a file. The zero value never rotates it.
type FileOptions struct {
	// MaxSize in bytes, above which the file is renamed to <path>.<number of its last record> and another one begun.
	// One write is never divided, nothing is ever deleted, and a link is followed and not renamed. 0: the file grows.
	MaxSize int64
	// OnRotate is told of each file that was renamed for its size, and of its last record. It must return soon: requests
	// wait for it. May be nil.
	OnRotate func(file string, last Head)
}

// OpenFile appends to the file at path, which it makes with mode 0600 if there is none. Each write is followed by an
// fsync. When the file has been renamed or removed, as log rotation does, the next write makes a new one. A file has one
// writer: another process that opens it gets an error.
//
// The chain goes on where the file ends, or where the file is new or empty, behind the latest of the files beside it
// whose names begin with path and a dot.
func OpenFile(path string, o FileOptions) (*Log, error) {
	if o.MaxSize < 0 {
		return nil, errors.New("opening the audit log: FileOptions.MaxSize is negative")
	}
	l := &Log{path: path, options: o}
	f, err := openLocked(path)
	if err != nil {
		return nil, err
	}
	t, err := tailOf(f)
	if err == nil && t.size == 0 {
		t.head, err = latestBeside(path)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening the audit log %s: %w", path, err), f.Close())
	}
	l.use(f, t.size, t.torn)
	l.head, l.cut = t.head, t.cut
	return l, nil
}

func (l *Log) use(f *os.File, size int64, torn bool) { l.file, l.w, l.size, l.torn = f, f, size, torn }

// makeRoom follows a rotation by others and rotates what has grown too large.
func (l *Log) makeRoom() error {
	if err := l.followRotation(); err != nil {
		return err
	}
	if l.file == nil || l.options.MaxSize == 0 || l.size <= l.options.MaxSize {
		return nil
	}
	if info, err := os.Lstat(l.path); err != nil || info.Mode()&(os.ModeDevice|os.ModeNamedPipe|os.ModeSymlink) != 0 {
		return err // a device, a pipe or a link is nobody's to rename
	}
	// A crash between the two steps leaves no file at path, and the next start finds the head beside it.
	aside := fmt.Sprintf("%s.%013d", l.path, l.head.Seq)
	if _, err := os.Lstat(aside); !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("rotating the audit log: %s is there already: move it away", aside)
	}
	if err := os.Rename(l.path, aside); err != nil {
		return fmt.Errorf("rotating the audit log: %w", err)
	}
	if l.options.OnRotate != nil {
		l.options.OnRotate(aside, l.head)
	}
	return l.followRotation()
}

// followRotation opens the file anew when path no longer leads to the file that is open: writing on would put the
// records where nobody looks for them.
func (l *Log) followRotation() error {
	if l.file == nil {
		return nil
	}
	is, err := l.file.Stat()
	if err != nil {
		return fmt.Errorf("audit log %s: %w", l.path, err)
	}
	named, err := os.Stat(l.path)
	if err == nil && os.SameFile(is, named) {
		return nil
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("audit log %s: %w", l.path, err)
	}
	f, err := openLocked(l.path)
	if err != nil {
		return err
	}
	t, err := tailOf(f)
	if err != nil {
		return errors.Join(fmt.Errorf("opening the audit log %s: %w", l.path, err), f.Close())
	}
	old := l.file
	l.cut = l.cut || t.cut
	l.use(f, t.size, t.torn) // the chain goes on from memory, whatever stands in the file
	return old.Close()
}

func openLocked(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the audit log: %w", err)
	}
	err = lock(f)
	if err == nil {
		err = syncDir(filepath.Dir(path))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening the audit log %s: %w", path, err), f.Close())
	}
	return f, nil
}

// syncDir makes the file's name durable, not only its content.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// tail is how a file ends.
type tail struct {
	size int64
	head Head // of the last whole record; zero where there is none
	torn bool // the last line has no end
	cut  bool // something stands behind the last record that is none
}

// tailOf reads a file from its end, as far as the last whole record.
func tailOf(f *os.File) (tail, error) {
	info, err := f.Stat()
	if err != nil || info.Size() == 0 || !info.Mode().IsRegular() {
		return tail{}, err
	}
	t := tail{size: info.Size()}
	for length := int64(64 << 10); ; length *= 4 {
		start := max(0, t.size-length)
		text, err := io.ReadAll(io.NewSectionReader(f, start, t.size-start))
		if err != nil {
			return tail{}, err
		}
		t.torn, t.cut = !bytes.HasSuffix(text, []byte("\n")), false
		lines := bytes.Split(text, []byte("\n"))
		if start > 0 {
			lines = lines[1:] // the rest of a line
		}
		for i := len(lines) - 1; i >= 0; i-- {
			if e, err := parse(lines[i]); err == nil {
				t.head = e.Head
				return t, nil
			}
			t.cut = t.cut || len(bytes.TrimSpace(lines[i])) > 0
		}
		if start == 0 {
			return t, nil
		}
	}
}

// latestBeside finds the head of the chain in the files that rotation has made.
func latestBeside(path string) (Head, error) {
	dir := filepath.Dir(path)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return Head{}, err
	}
	var latest Head
	for _, e := range entries {
		name := filepath.Join(dir, e.Name())
		if !strings.HasPrefix(e.Name(), filepath.Base(path)+".") {
			continue
		}
		if info, err := os.Stat(name); err != nil || !info.Mode().IsRegular() { // a link that leads nowhere, a directory
			continue
		}
		f, err := os.Open(name)
		if err != nil {
			return Head{}, err
		}
		t, err := tailOf(f)
		if err := errors.Join(err, f.Close()); err != nil {
			return Head{}, err
		}
		if t.head.Seq > latest.Seq {
			latest = t.head
		}
	}
	return latest, nil
}
