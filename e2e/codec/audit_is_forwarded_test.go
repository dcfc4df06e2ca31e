package codec_test

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/leodido/go-syslog/v4"
	"github.com/leodido/go-syslog/v4/octetcounting"
	"github.com/leodido/go-syslog/v4/rfc5424"

	"github.com/signet-temporal/signet/e2e/stack"
	"github.com/signet-temporal/signet/tools/parts"
)

// logServer takes syslog over TLS with another program's parser, and keeps the lines by their number.
type logServer struct {
	net.Listener
	mu    sync.Mutex
	lines map[uint64]string
	wrong error
	conns []net.Conn
}

func startLogServer(t *testing.T, cert parts.Cert, address string) *logServer {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(cert.CertFile, cert.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", address, &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12})
	if err != nil {
		t.Fatal(err)
	}
	s := &logServer{Listener: l, lines: map[uint64]string{}}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns = append(s.conns, conn)
			s.mu.Unlock()
			go func() {
				defer conn.Close()
				octetcounting.NewParser(syslog.WithListener(s.take)).Parse(conn)
			}()
		}
	}()
	t.Cleanup(s.stop)
	return s
}

func (s *logServer) stop() {
	_ = s.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		_ = c.Close()
	}
}

func (s *logServer) take(r *syslog.Result) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m, ok := r.Message.(*rfc5424.SyslogMessage)
	if r.Error != nil || !ok || m == nil || m.Message == nil {
		return // the end of a connection, wherever that was
	}
	var record struct {
		Seq      uint64
		Action   string
		Decision string
		Time     time.Time
	}
	severity := map[string]uint8{"allow": 6, "deny": 5, "unreadable": 5}
	if err := json.Unmarshal([]byte(*m.Message), &record); err != nil || *m.Facility != 13 || *m.Severity != severity[record.Decision] || *m.Appname != "signet-server" || *m.MsgID != record.Action ||
		m.Timestamp.Truncate(time.Microsecond) != record.Time.Truncate(time.Microsecond) {
		s.wrong = fmt.Errorf("%v: %+v", err, m)
		return
	}
	s.lines[record.Seq] = *m.Message
}

// logged are the lines of the audit log, all its files together.
func logged(t *testing.T, server *stack.Server) map[uint64]string {
	t.Helper()
	files, err := filepath.Glob(server.AuditFile + "*")
	if err != nil {
		t.Fatal(err)
	}
	lines := map[uint64]string{}
	for _, file := range files {
		if strings.HasSuffix(file, "-syslog") {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			var record struct{ Seq uint64 }
			if json.Unmarshal([]byte(line), &record) == nil && record.Seq > 0 {
				lines[record.Seq] = strings.TrimSuffix(line, "\n")
			}
		}
	}
	return lines
}

// awaitLogs waits until the log server has, together with what it had before, exactly the lines of the log.
func awaitLogs(t *testing.T, server *stack.Server, servers ...*logServer) {
	t.Helper()
	stack.Eventually(t, time.Minute, func() error {
		want := logged(t, server)
		for seq, line := range want {
			got := ""
			for _, s := range servers {
				s.mu.Lock()
				if s.lines[seq] != "" {
					got = s.lines[seq]
				}
				wrong := s.wrong
				s.mu.Unlock()
				if wrong != nil {
					t.Fatal(wrong)
				}
			}
			if got != line {
				return fmt.Errorf("record %d of %d came as %q", seq, len(want), got)
			}
		}
		return nil
	})
}

func TestTheAuditLogIsForwarded(t *testing.T) {
	t.Parallel() // it waits most of its time
	s := startStack(t)
	cert, err := parts.WriteCert(filepath.Join(s.Dir, "logs-cert"), "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	logs := startLogServer(t, cert, "127.0.0.1:0")
	address := logs.Addr().String()
	server := s.Server(t, stack.ServerOptions{MaxFileBytes: 20_000, Syslog: fmt.Sprintf("address: %q, caCert: %q", address, cert.CAFile)})
	alice, payload := s.Token(t, "alice"), sealed(t, s, "payments", "order-1", "x")
	ask := func(n int) {
		t.Helper()
		for i := range n {
			token, want := alice, http.StatusOK
			if i%7 == 6 {
				token, want = "", http.StatusUnauthorized
			}
			if got := server.Decode(t, token, "payments", payload); got.Status != want {
				t.Fatalf("status %d: %s", got.Status, got.Body)
			}
		}
	}
	ask(100)
	awaitLogs(t, server, logs)

	// The log server is away: people go on, and the server is ready.
	logs.stop()
	ask(60)
	stack.Eventually(t, time.Minute, func() error {
		if status, body := server.Get(t, "/readyz"); status != http.StatusOK || !strings.Contains(body, `"auditForwardLagSeconds":`) {
			return fmt.Errorf("/readyz is %d: %s", status, body)
		}
		return nil
	})
	// Meanwhile the server is killed, starts and rotates.
	server.Kill(t)
	server.Restart(t)
	ask(60)
	again := startLogServer(t, cert, address)
	awaitLogs(t, server, logs, again)

	// One that has another certificate gets nothing.
	again.stop()
	other, err := parts.WriteCert(filepath.Join(s.Dir, "other-cert"), "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	evil := startLogServer(t, other, address)
	ask(10)
	stack.Eventually(t, time.Minute, func() error {
		if !strings.Contains(server.Log(), "certificate signed by unknown authority") {
			return errors.New("the server does not say that the certificate is wrong")
		}
		return nil
	})
	evil.stop()
	if len(evil.lines) > 0 {
		t.Errorf("a server that is not trusted got %d records", len(evil.lines))
	}
	last := startLogServer(t, cert, address)
	awaitLogs(t, server, logs, again, last)

	// A log that was put in the place of another is noticed, and comes whole.
	server.Stop()
	files, err := filepath.Glob(server.AuditFile + "*")
	if err != nil || len(files) < 4 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, file := range files {
		if !strings.HasSuffix(file, "-syslog") {
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
		}
	}
	last.mu.Lock()
	clear(last.lines)
	last.mu.Unlock()
	server.Restart(t)
	ask(20)
	awaitLogs(t, server, last)
	if !strings.Contains(server.Log(), "level=ERROR msg=\"the audit log does not hold the record that was forwarded last") {
		t.Error("nobody is told that the log was replaced")
	}
}
