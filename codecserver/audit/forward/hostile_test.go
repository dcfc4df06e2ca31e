package forward

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/signet-temporal/signet/codecserver/audit"
)

// TestAServerThatLiesDown: it takes the connection and reads nothing, or floods it, or hangs up as soon as it has read. It
// costs nobody a record, nor more memory than one read of the file.
func TestAServerThatLiesDown(t *testing.T) {
	for name, serve := range map[string]func(net.Conn, *atomic.Bool){
		"reads nothing": func(net.Conn, *atomic.Bool) {},
		"reads nothing and writes without an end": func(c net.Conn, _ *atomic.Bool) {
			for {
				if _, err := c.Write(make([]byte, 1<<10)); err != nil {
					return
				}
				time.Sleep(time.Millisecond)
			}
		},
		"hangs up when it has read": func(c net.Conn, done *atomic.Bool) {
			if done.Load() {
				_, _ = io.Copy(io.Discard, c)
				return
			}
			_, _ = c.Read(make([]byte, 1<<20))
			_ = c.Close()
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "audit.jsonl")
			l, err := audit.OpenFile(path, audit.FileOptions{})
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			for range 10 {
				if err := l.Write(t.Context(), audit.Record{RequestID: "R", Decision: audit.Allow}); err != nil {
					t.Fatal(err)
				}
			}
			synctest.Test(t, func(t *testing.T) {
				says, done, dialed := &lockedText{}, &atomic.Bool{}, &atomic.Int64{}
				var ends []net.Conn
				f, err := New(Options{File: path, Cursor: filepath.Join(dir, "cursor"), Logger: slog.New(slog.NewTextHandler(says, nil)), Dial: func(context.Context) (net.Conn, error) {
					dialed.Add(1)
					here, there := net.Pipe()
					ends = append(ends, there)
					if done.Load() {
						go func() { _, _ = io.Copy(io.Discard, there) }()
					} else {
						go serve(there, done)
					}
					return here, nil
				}})
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithCancel(t.Context())
				over := make(chan struct{})
				go func() { defer close(over); f.Run(ctx) }()
				time.Sleep(2 * time.Minute)
				if s := f.Status(l.Head()); s.Delivered.Seq != 0 || s.Lag < time.Minute || dialed.Load() < 2 || !strings.Contains(says.text(), "audit log is not forwarded: trying again") {
					t.Errorf("%+v, dialed %d times, it says %s", s, dialed.Load(), says.text())
				}
				if _, err := os.Stat(filepath.Join(dir, "cursor")); !errors.Is(err, os.ErrNotExist) {
					t.Errorf("the cursor has moved: %v", err)
				}
				done.Store(true) // it has come to itself
				time.Sleep(2 * time.Minute)
				if s := f.Status(l.Head()); s.Delivered != l.Head() || s.Lag != 0 {
					t.Errorf("%+v", s)
				}
				cancel()
				<-over
				for _, c := range ends {
					_ = c.Close()
				}
			})
		})
	}
}
