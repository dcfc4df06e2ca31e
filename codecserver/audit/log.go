package audit

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"runtime"
	"sync"
	"time"
)

const (
	checkEvery = time.Second      // the least between two tries of Check to write again
	newsFor    = 10 * time.Second // how long a failed write says something about a writer that cannot be tried
)

// keptText is how many bytes of memory a log keeps for the next write, of either kind: a thousand records and more.
const keptText = 1 << 20

// Log writes records. It is safe for concurrent use.
type Log struct {
	path    string // "" when the writer is the caller's
	options FileOptions

	joining sync.Mutex // guards open and spare
	open    *batch     // what the next write takes along; nil: nothing
	spare   bodies     // memory for the batch after it

	mu   sync.Mutex // held by who writes; guards the rest
	out  lines      // memory that one write after another uses
	w    io.Writer
	file *os.File // nil when the writer is the caller's
	size int64    // of the file
	head Head
	torn bool      // the last line may be incomplete: begin a new one
	cut  bool      // a line since the last record is cut short: the next record says so
	err  error     // why the last write failed
	lost int       // bytes of that write
	at   time.Time // when it, or the last try of Check, failed
}

// batch is the records that go out in one write.
type batch struct {
	bodies bodies
	done   bool
	err    error
}

// New writes to w, at most one Write per request and nothing else: for standard output, a pipe, a test. Whether a line
// is durable when Write returns is up to w. The caller keeps w and closes it after the last Write. The chain begins
// with record 1.
func New(w io.Writer) *Log { return &Log{w: w} }

// Write appends all records or reports an error. After an error the records may be there, in part or in full, and the
// next Write starts on a line of its own. No records is no write and no error.
//
// Requests that come while another one is being written wait and then go out together, in one write and one fsync.
func (l *Log) Write(_ context.Context, records ...Record) error {
	if len(records) == 0 {
		return nil
	}
	b := l.join(records)
	l.mu.Lock()
	defer l.mu.Unlock()
	if !b.done {
		runtime.Gosched() // who is about to join may: one sync less for each
		l.joining.Lock()
		l.open = nil
		l.joining.Unlock()
		b.err, b.done = l.append(&b.bodies), true
		l.recycle(b)
	}
	return b.err
}

// join adds records to what the next write takes along.
func (l *Log) join(records []Record) *batch {
	now := time.Now()
	l.joining.Lock()
	defer l.joining.Unlock()
	if l.open == nil {
		l.open = &batch{bodies: l.spare}
		l.spare = bodies{}
	}
	l.open.bodies.add(records, now)
	return l.open
}

// recycle gives the memory of a batch that was written to one that comes.
func (l *Log) recycle(b *batch) {
	used := b.bodies
	b.bodies = bodies{}
	if cap(used.text) > keptText {
		return
	}
	l.joining.Lock()
	defer l.joining.Unlock()
	l.spare = bodies{used.text[:0], used.ends[:0]}
}

// Head returns the last record that was written.
func (l *Log) Head() Head {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.head
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
	_, err := l.put(append(bytes.Repeat([]byte(" "), l.lost), '\n'))
	return err
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

func (l *Log) append(b *bodies) error {
	if l.err = l.write(b); l.err != nil {
		l.at, l.lost = time.Now(), len(b.text)+len(b.ends)*linkSize
	}
	return l.err
}

// write puts the records behind each other. Of a write that fails, those records count that have come out whole.
func (l *Log) write(b *bodies) error {
	if err := l.makeRoom(); err != nil {
		return err
	}
	out := &l.out
	out.reset(1 + len(b.text) + len(b.ends)*linkSize)
	if l.torn {
		out.text = append(out.text, '\n')
	}
	begin := len(out.text)
	out.link(l.head, b, l.cut)
	n, err := l.put(out.text)
	whole := 0
	for whole < len(out.ends) && out.ends[whole] <= n {
		begin = out.ends[whole] + 1
		whole++
	}
	if whole > 0 {
		l.head, l.cut = Head{l.head.Seq + uint64(whole), string(out.hash(whole - 1))}, false
	}
	if whole < len(out.ends) {
		l.cut = l.cut || l.torn && n > begin
	}
	return err
}

// put writes and makes durable. It returns how many bytes have gone out.
func (l *Log) put(lines []byte) (int, error) {
	n, err := l.w.Write(lines)
	n = max(0, min(n, len(lines)))
	if err == nil && n < len(lines) {
		err = io.ErrShortWrite
	}
	if err == nil && l.file != nil {
		err = l.file.Sync()
	}
	l.size += int64(n)
	if n > 0 {
		l.torn = lines[n-1] != '\n'
	}
	if err != nil {
		return n, fmt.Errorf("writing the audit log: %w", err)
	}
	return n, nil
}
