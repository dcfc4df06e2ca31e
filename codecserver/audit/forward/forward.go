package forward

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"time"

	"github.com/signet-temporal/signet/codecserver/audit"
)

// Options of a [Forwarder]. File, Cursor, Dial and Logger are required.
type Options struct {
	File   string                                  // of the audit log
	Cursor string                                  // the file that says where forwarding stands; not beside File with its name and a dot
	Dial   func(context.Context) (net.Conn, error) // to the syslog server
	Host   string                                  // the name of this machine in messages; "": as it calls itself
	Logger *slog.Logger
}

// Status is how forwarding stands.
type Status struct {
	Delivered audit.Head    // the last record that counts
	Lag       time.Duration // since the log held nothing that is not delivered by now
	Connected bool
	Troubles  int // how often the log did not hold what it had to
}

// Forwarder sends records on.
type Forwarder struct {
	o       Options
	mu      sync.Mutex // guards what follows
	status  Status
	current time.Time // when the log last held nothing that is not delivered by now

	settle time.Duration // how long a connection has to live on behind a record
}

// New reads where forwarding stands.
func New(o Options) (*Forwarder, error) {
	at, err := loadCursor(o.Cursor)
	if err != nil {
		return nil, err
	}
	if o.Host == "" {
		o.Host, _ = os.Hostname() // a dash says that it is not known
	}
	o.Host = field(o.Host, 255)
	return &Forwarder{o: o, status: Status{Delivered: at}, current: time.Now(), settle: settled}, nil
}

// Status says how it stands, behind a log whose last record is head.
func (f *Forwarder) Status(head audit.Head) Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.status
	if s.Delivered != head {
		s.Lag = time.Since(f.current)
	}
	return s
}

const (
	look     = 100 * time.Millisecond // between two looks at the file, and for news of the connection
	settled  = 5 * time.Second        // how long a connection has to live on behind a record
	sendTime = 10 * time.Second       // how long a write may take
	lastTime = 5 * time.Second        // for what is left when it is to end
	maxPause = 30 * time.Second       // between two tries to connect
)

// Run forwards until ctx ends, and then for a few seconds what is left.
func (f *Forwarder) Run(ctx context.Context) {
	for pause := look; ; pause = min(2*pause, maxPause) {
		began := time.Now()
		err := f.connect(ctx)
		if ctx.Err() != nil {
			if err != nil {
				f.o.Logger.Warn("audit log not forwarded to its end: the next start goes on", "error", err)
			}
			return
		}
		f.o.Logger.Warn("audit log is not forwarded: trying again", "error", err)
		if time.Since(began) > maxPause {
			pause = look
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause/2 + rand.N(pause)): // #nosec G404 -- jitter
		}
	}
}

// connect makes a connection, and forwards over it until it breaks or ctx ends.
func (f *Forwarder) connect(ctx context.Context) error {
	dialing, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastTime) // also for what is left at the end
	defer cancel()
	conn, err := f.o.Dial(dialing)
	if err != nil {
		return err
	}
	defer conn.Close()
	f.set(func(s *Status) { s.Connected = true })
	defer f.set(func(s *Status) { s.Connected = false })
	c := &connection{Forwarder: f, conn: conn, closed: make(chan error, 1)}
	go c.listen()
	defer c.leave()
	c.last = f.Status(audit.Head{}).Delivered
	for {
		sent, err := c.forward()
		if err == nil {
			err = c.count()
		}
		if err == nil && ctx.Err() != nil {
			var over bool
			if over, err = c.over(sent); over {
				return err
			}
		}
		if err != nil {
			return err
		}
		if sent {
			continue
		}
		select {
		case err := <-c.closed:
			if c.ended && errors.Is(err, io.EOF) || ctx.Err() != nil && len(c.open) == 0 {
				return c.note(len(c.open)) // it has read to the end, and closed in its turn; or nothing is left
			}
			return fmt.Errorf("the syslog server closed the connection: %w", err)
		case <-time.After(look):
		}
	}
}

func (f *Forwarder) set(change func(*Status)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(&f.status)
}

func (f *Forwarder) say(t trouble, last audit.Head) {
	if t == "" {
		return
	}
	f.set(func(s *Status) { s.Troubles++ })
	f.o.Logger.Error(string(t), "file", f.o.File, "lastSeq", last.Seq, "lastHash", last.Hash)
}

// connection is one connection, and what was sent over it.
type connection struct {
	*Forwarder
	conn    net.Conn
	closed  chan error
	source  *source
	last    audit.Head // that was sent
	sent    int64      // bytes
	open    []sent     // records that do not count yet, in their order
	drained bool       // the log had nothing more
	ending  time.Time  // when ctx has ended
	ended   bool       // the other side was told that nothing more comes
}

type sent struct {
	head audit.Head
	end  int64 // of what was sent with it
	at   time.Time
	last time.Time // when the log had nothing behind it; zero: it was not seen so
}

// listen waits for the other side to close: it has nothing to say.
func (c *connection) listen() {
	_, err := io.Copy(io.Discard, c.conn)
	if err == nil {
		err = io.EOF
	}
	c.closed <- err
}

func (c *connection) leave() {
	if c.source != nil {
		_ = c.source.file.Close() // it was read
	}
}

// forward sends what is next in the log, and reports whether there was anything.
func (c *connection) forward() (bool, error) {
	from, now := c.source, time.Now()
	lines, err := c.read()
	c.drained = err == nil && len(lines) == 0 && from != nil && c.source == from
	if c.drained && len(c.open) > 0 {
		c.open[len(c.open)-1].last = now
	}
	if err != nil || len(lines) == 0 {
		return false, err
	}
	var out []byte
	for _, line := range lines {
		head, prev, ok := audit.Parse(line)
		if !ok {
			continue
		}
		if c.last.Seq > 0 && (head.Seq != c.last.Seq+1 || prev != c.last.Hash) {
			c.say(broken, c.last) // and sent all the same
		}
		if !audit.Intact(line) {
			c.say(changed, head)
		}
		out = frame(out, c.o.Host, line)
		c.last = head
		c.open = append(c.open, sent{head: head, end: c.sent + int64(len(out)), at: now})
	}
	if err := c.conn.SetWriteDeadline(now.Add(sendTime)); err != nil {
		return false, err
	}
	if _, err := c.conn.Write(out); err != nil {
		return false, fmt.Errorf("sending to the syslog server: %w", err)
	}
	c.sent += int64(len(out))
	return true, nil
}

// read returns the lines that are next, of the next file where one has ended.
func (c *connection) read() ([][]byte, error) {
	if c.source == nil {
		return nil, c.find()
	}
	lines, shrunk, err := c.source.next()
	if shrunk {
		c.say(shrunken, c.last)
		return nil, c.find()
	}
	if err != nil || len(lines) > 0 {
		return lines, err
	}
	is, err := c.source.file.Stat()
	if err != nil {
		return nil, err
	}
	named, err := os.Stat(c.o.File)
	if err != nil || os.SameFile(is, named) {
		return nil, nil // it is the last one; or was renamed, and nothing was written since
	}
	if head, _, err := firstOf(c.o.File); err != nil || head.Seq == 0 {
		return nil, nil // as long as the new one is empty, the old one may still be written to
	}
	if lines, _, err := c.source.next(); err != nil || len(lines) > 0 {
		return lines, err
	}
	return nil, c.find()
}

// find opens the log behind what was sent last.
func (c *connection) find() error {
	s, t, err := open(c.o.File, c.last)
	if err != nil {
		return err
	}
	c.leave()
	c.source = s
	c.say(t, c.last)
	if t != "" {
		c.last = audit.Head{}
	}
	return nil
}

// count moves the cursor behind the records that count by now.
func (c *connection) count() error {
	waiting, known := unacked(c.conn)
	n := 0
	for _, s := range c.open {
		if time.Since(s.at) < c.settle || known && s.end > c.sent-waiting {
			break
		}
		n++
	}
	select {
	case err := <-c.closed: // whatever was sent may be lost
		c.closed <- err
		n = 0
	default:
	}
	return c.note(n)
}

// note moves the cursor behind the first n records that do not count yet.
func (c *connection) note(n int) error {
	var current time.Time
	if n > 0 {
		for _, s := range c.open[:n] {
			if !s.last.IsZero() {
				current = s.last
			}
		}
		at := c.open[n-1].head
		c.open = c.open[n:]
		if err := saveCursor(c.o.Cursor, at); err != nil {
			return fmt.Errorf("noting where forwarding stands: %w", err)
		}
		c.set(func(s *Status) { s.Delivered = at })
	}
	if len(c.open) == 0 && c.drained {
		current = time.Now()
	}
	if !current.IsZero() {
		c.mu.Lock()
		c.current = current
		c.mu.Unlock()
	}
	return nil
}

// over: ctx has ended, and nothing is left or too much time has passed. Behind the last record it sends an end, which a
// server that has read everything answers by closing.
func (c *connection) over(sent bool) (bool, error) {
	if c.ending.IsZero() {
		c.ending = time.Now()
	}
	switch end, can := c.conn.(interface{ CloseWrite() error }); {
	case !sent && len(c.open) == 0:
		return true, nil
	case !sent && can && !c.ended:
		c.ended = true
		return false, end.CloseWrite()
	case time.Since(c.ending) > lastTime:
		return true, errors.New("the last records do not count as delivered yet")
	}
	return false, nil
}
