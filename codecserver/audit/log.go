package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"
)

const (
	checkEvery = time.Second      // the least between two tries of Check to write again
	newsFor    = 10 * time.Second // how long a failed write says something about a writer that cannot be tried
)

// Log writes records. It is safe for concurrent use.
type Log struct {
	path string // "" when the writer is the caller's

	mu   sync.Mutex
	w    io.Writer
	file *os.File  // nil when the writer is the caller's
	torn bool      // the last line may be incomplete: begin a new one
	err  error     // why the last write failed
	lost int       // bytes of that write
	at   time.Time // when it, or the last try of Check, failed
}

// New writes to w, one Write per request and nothing else: for standard output, a pipe, a test. Whether a line is
// durable when Write returns is up to w. The caller keeps w and closes it after the last Write.
func New(w io.Writer) *Log { return &Log{w: w} }

// OpenFile appends to the file at path, which it makes with mode 0600 if there is none. Each write is followed by an
// fsync. When the file has been renamed or removed, as log rotation does, the next write makes a new one.
func OpenFile(path string) (*Log, error) {
	l := &Log{path: path}
	if err := l.open(); err != nil {
		return nil, err
	}
	return l, nil
}

// Write appends all records or reports an error. After an error the records may be there in part, never in full, and
// the next Write starts on a line of its own. No records is no write and no error.
func (l *Log) Write(_ context.Context, records ...Record) error {
	if len(records) == 0 {
		return nil
	}
	var lines bytes.Buffer
	enc := json.NewEncoder(&lines)
	enc.SetEscapeHTML(false)
	now := time.Now().UTC()
	for _, r := range records {
		r.Time = now
		if err := enc.Encode(r); err != nil {
			return fmt.Errorf("writing an audit record: %w", err)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	line := escape(lines.Bytes())
	if l.err = l.append(line); l.err != nil {
		l.lost, l.at = len(line), time.Now()
	}
	return l.err
}

// Check reports whether the log could be written: nil, or why the last Write failed, or what has become of the file.
// It writes no record.
//
// While the last Write of a file has failed, Check tries by itself whether the disk has healed, at most once a second:
// it ends the torn line with as many spaces as the lost records were long, and syncs. So nil says that as many bytes
// were made durable just now. After a Write that succeeded, nil says no more than that it did and that the file is in
// its place: a disk that has filled up since is found out by the next Write.
//
// Nothing can be tried on the writer of [New]. Its error is reported for 10 seconds; nil after that says that nothing
// is known, and the next Write decides.
func (l *Log) Check() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.err == nil:
		return l.followRotation()
	case l.file == nil && time.Since(l.at) >= newsFor:
		l.err = nil
	case l.file != nil && time.Since(l.at) >= checkEvery:
		l.err = l.try()
		l.at = time.Now()
	}
	return l.err
}

// try writes what is no record: the rest of the torn line. The sync before it keeps a disk that takes bytes and loses
// them from being fed.
func (l *Log) try() error {
	if err := l.followRotation(); err != nil {
		return err
	}
	if err := l.file.Sync(); err != nil {
		return fmt.Errorf("writing the audit log: %w", err)
	}
	return l.put(append(bytes.Repeat([]byte(" "), l.lost), '\n'))
}

// Close closes the file that [OpenFile] opened. Writes after it fail.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return nil
	}
	return l.file.Close()
}

func (l *Log) append(lines []byte) error {
	if err := l.followRotation(); err != nil {
		return err
	}
	if l.torn {
		lines = append([]byte("\n"), lines...)
	}
	return l.put(lines)
}

func (l *Log) put(lines []byte) error {
	n, err := l.w.Write(lines)
	if err == nil && n < len(lines) {
		err = io.ErrShortWrite
	}
	if err == nil && l.file != nil {
		err = l.file.Sync()
	}
	l.torn = err != nil
	if err != nil {
		return fmt.Errorf("writing the audit log: %w", err)
	}
	return nil
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
	old := l.file
	if err := l.open(); err != nil {
		return err
	}
	return old.Close()
}

func (l *Log) open() error {
	f, err := os.OpenFile(l.path, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("opening the audit log: %w", err)
	}
	torn, err := endsInsideALine(f)
	if err == nil {
		err = syncDir(filepath.Dir(l.path))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("opening the audit log %s: %w", l.path, err), f.Close())
	}
	l.file, l.w, l.torn = f, f, torn
	return nil
}

// endsInsideALine: a crash or a full disk has cut the last line short.
func endsInsideALine(f *os.File) (bool, error) {
	info, err := f.Stat()
	if err != nil || info.Size() == 0 || !info.Mode().IsRegular() {
		return false, err
	}
	last := make([]byte, 1)
	_, err = f.ReadAt(last, info.Size()-1)
	return last[0] != '\n', err
}

// syncDir makes the file's name durable, not only its content.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
