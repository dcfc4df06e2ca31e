package forward

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/signet-temporal/signet/codecserver/audit"
)

// receiver is a syslog server that counts octets, and keeps the text of each message by the number of its record.
type receiver struct {
	address  string
	mu       sync.Mutex // guards the rest
	listener net.Listener
	messages []string
	times    map[uint64]int // how often each record came
	texts    map[uint64]string
	conns    []net.Conn
	slow     bool // records count as late as they do outside of tests
	breakAt  int  // messages after which a connection is reset, once
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{times: map[uint64]int{}, texts: map[uint64]string{}}
	r.address = r.listen(t, "127.0.0.1:0")
	t.Cleanup(r.leave)
	return r
}

// listen takes connections at the address until leave is called, and returns the address.
func (r *receiver) listen(t *testing.T, address string) string {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	r.mu.Lock()
	r.listener = l
	r.mu.Unlock()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			r.mu.Lock()
			r.conns = append(r.conns, conn)
			r.mu.Unlock()
			go r.serve(conn)
		}
	}()
	return l.Addr().String()
}

// leave is what a server does that stops.
func (r *receiver) leave() {
	r.mu.Lock()
	_ = r.listener.Close()
	r.mu.Unlock()
	r.hangUp()
}

func (r *receiver) hangUp() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.conns {
		_ = c.Close()
	}
}

func (r *receiver) serve(conn net.Conn) {
	in := bufio.NewReader(conn)
	for n := 1; ; n++ {
		digits, err := in.ReadString(' ')
		if err != nil {
			return
		}
		size, err := strconv.Atoi(strings.TrimSpace(digits))
		if err != nil {
			panic("not counted: " + digits)
		}
		text := make([]byte, size)
		if _, err := io.ReadFull(in, text); err != nil {
			return
		}
		if r.take(string(text), n) {
			if tcp, ok := conn.(*net.TCPConn); ok {
				_ = tcp.SetLinger(0) // what is in its buffers is lost
			}
			_ = conn.Close()
			return
		}
	}
}

func (r *receiver) take(message string, n int) (breakOff bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if breakOff = r.breakAt > 0 && n > r.breakAt; breakOff {
		r.breakAt = 0 // this one is lost
		return true
	}
	_, line, _ := strings.Cut(message, " - {")
	line = "{" + line
	head, _, ok := audit.Parse([]byte(line))
	if !ok {
		panic("no record: " + message)
	}
	r.messages = append(r.messages, message)
	r.times[head.Seq]++
	r.texts[head.Seq] = line
	return false
}

// count is how many records have come, each counted once.
func (r *receiver) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.times)
}

// scene is a log with a forwarder.
type scene struct {
	t    *testing.T
	dir  string
	path string
	log  *audit.Log
	says *lockedText
	*receiver
	*Forwarder
	stop func()
}

type lockedText struct {
	mu sync.Mutex
	bytes.Buffer
}

func (l *lockedText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Buffer.Write(p)
}

func (l *lockedText) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.String()
}

func newScene(t *testing.T, o audit.FileOptions) *scene {
	t.Helper()
	s := &scene{t: t, dir: t.TempDir(), says: &lockedText{}, receiver: newReceiver(t)}
	s.path = filepath.Join(s.dir, "audit.jsonl")
	s.reopen(o)
	return s
}

func (s *scene) reopen(o audit.FileOptions) {
	s.t.Helper()
	l, err := audit.OpenFile(s.path, o)
	if err != nil {
		s.t.Fatal(err)
	}
	s.log = l
	s.t.Cleanup(func() { _ = l.Close() })
}

func (s *scene) cursor() string { return filepath.Join(s.dir, "audit.jsonl-syslog") }

// start begins to forward, as a process does that starts.
func (s *scene) start() {
	s.t.Helper()
	f, err := New(Options{File: s.path, Cursor: s.cursor(), Host: "codec-1", Logger: slog.New(slog.NewTextHandler(s.says, nil)),
		Dial: func(ctx context.Context) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", s.address)
		}})
	if err != nil {
		s.t.Fatal(err)
	}
	f.settle = 50 * time.Millisecond
	if s.mu0().Lock(); s.slow { // the receiver's breaking off has to come first
		f.settle = settled
	}
	s.mu0().Unlock()
	s.Forwarder = f
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); f.Run(ctx) }()
	var once sync.Once
	s.stop = func() { once.Do(func() { cancel(); <-done }) }
	s.t.Cleanup(s.stop)
}

func (s *scene) write(n int) {
	s.t.Helper()
	for range n {
		if err := s.log.Write(s.t.Context(), audit.Record{RequestID: "R", Action: "decode", Decision: audit.Allow, Subject: strings.Repeat("u", 50), Client: "c", Agent: "go"}); err != nil {
			s.t.Fatal(err)
		}
	}
}

func (s *scene) until(what string, is func() bool) {
	s.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !is(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatalf("not %s: %d records came, %+v, it says:\n%s", what, s.count(), s.Status(s.log.Head()), s.says.text())
		}
	}
}

// all waits until everything counts, and checks that it came, in order but for what came twice, and unchanged.
func (s *scene) all(n int) {
	s.t.Helper()
	s.until("all delivered", func() bool { return s.Status(s.log.Head()).Delivered == s.log.Head() && s.count() >= n })
	s.mu0().Lock()
	defer s.mu0().Unlock()
	for seq := uint64(1); seq <= uint64(n); seq++ {
		if s.times[seq] == 0 {
			s.t.Errorf("record %d did not come", seq)
		}
	}
	on, err := os.ReadFile(s.path)
	if err != nil {
		s.t.Fatal(err)
	}
	for line := range strings.Lines(string(on)) {
		if head, _, ok := audit.Parse([]byte(strings.TrimSuffix(line, "\n"))); ok && s.texts[head.Seq] != strings.TrimSuffix(line, "\n") {
			s.t.Errorf("record %d came as %s", head.Seq, s.texts[head.Seq])
		}
	}
	var at struct{ Seq uint64 }
	text, err := os.ReadFile(s.cursor())
	if err != nil || json.Unmarshal(text, &at) != nil || at.Seq != s.log.Head().Seq {
		s.t.Errorf("the cursor is %s, %v", text, err)
	}
}

func (s *scene) mu0() *sync.Mutex { return &s.receiver.mu }

func (s *scene) twice() (list []string) {
	s.mu0().Lock()
	defer s.mu0().Unlock()
	for seq, n := range s.times {
		if n > 1 {
			list = append(list, fmt.Sprint(seq))
		}
	}
	return list
}
