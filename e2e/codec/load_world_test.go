package codec_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/signet-temporal/signet/e2e/stack"
)

const (
	connections = 4
	atOnce      = 16 // requests under way on each connection, when they are sent as fast as they are answered
)

// work is one payload, and who reads it.
type work struct {
	user    string
	payload *commonpb.Payload
	want    string

	body  []byte
	token atomic.Pointer[string]
}

// load asks one server over several HTTP/2 connections.
type load struct {
	stack    *stack.Stack
	server   *stack.Server
	clients  []*http.Client
	work     []*work
	next     atomic.Int64
	answered atomic.Int64 // decoded, and right
	failed   atomic.Pointer[string]

	mu   sync.Mutex
	took []time.Duration
}

func newLoad(t *testing.T, s *stack.Stack, server *stack.Server, all ...*work) *load {
	t.Helper()
	l := &load{stack: s, server: server, work: all}
	for _, w := range all {
		var err error
		if w.body, err = protojson.Marshal(&commonpb.Payloads{Payloads: []*commonpb.Payload{w.payload}}); err != nil {
			t.Fatal(err)
		}
	}
	for range connections {
		transport := server.HTTP.Transport.(*http.Transport).Clone()
		transport.TLSClientConfig.ClientSessionCache = tls.NewLRUClientSessionCache(1)
		client := &http.Client{Transport: transport, Timeout: time.Minute}
		t.Cleanup(client.CloseIdleConnections)
		l.clients = append(l.clients, client)
	}
	l.login(t)
	return l
}

// login gets everybody a new token.
func (l *load) login(t *testing.T) {
	t.Helper()
	for _, w := range l.work {
		token := l.stack.Token(t, w.user)
		w.token.Store(&token)
	}
}

// decode asks once, and measures from when the request was due.
func (l *load) decode(due time.Time) {
	n := int(l.next.Add(1))
	w := l.work[n%len(l.work)]
	text, err := l.ask(n, http.MethodPost, "/decode", *w.token.Load(), w.body)
	took := time.Since(due)
	var out commonpb.Payloads
	if err == nil && (protojson.Unmarshal(text, &out) != nil || len(out.Payloads) != 1 || string(out.Payloads[0].GetData()) != w.want) {
		err = fmt.Errorf("got %s", text)
	}
	if err != nil {
		line := fmt.Sprintf("%s: %v", w.user, err)
		l.failed.Store(&line)
		return
	}
	l.answered.Add(1)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.took = append(l.took, took)
}

func (l *load) ask(n int, method, path, token string, body []byte) ([]byte, error) {
	r, err := http.NewRequest(method, l.server.URL+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+token)
	res, err := l.clients[n/len(l.work)%connections].Do(r)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err == nil && (res.StatusCode != http.StatusOK || res.ProtoMajor != 2) {
		err = fmt.Errorf("%s %s", res.Proto, res.Status)
	}
	return text, err
}

// wrong is the last thing that was not as it should be, or "".
func (l *load) wrong() string {
	if line := l.failed.Load(); line != nil {
		return *line
	}
	return ""
}

// asFastAsPossible keeps as many requests under way as the connections have.
func (l *load) asFastAsPossible(until time.Time) {
	l.together(until, func() { l.decode(time.Now()) })
}

func (l *load) healthAsFastAsPossible(until time.Time) {
	l.together(until, func() {
		n, began := int(l.next.Add(1)), time.Now()
		if _, err := l.ask(n, http.MethodGet, "/healthz", *l.work[n%len(l.work)].token.Load(), nil); err != nil {
			line := err.Error()
			l.failed.Store(&line)
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		l.took = append(l.took, time.Since(began))
	})
}

func (l *load) together(until time.Time, once func()) {
	var all sync.WaitGroup
	for range connections * atOnce {
		all.Go(func() {
			for time.Now().Before(until) && l.wrong() == "" {
				once()
			}
		})
	}
	all.Wait()
}

// steadily sends a request whenever one is due, whether or not those before it are answered: a server that is slow for a
// moment is not spared the requests of that moment. When more than the server works on at the same time are under way, they
// wait here, which counts as the server's time, too: it would answer 429.
func (l *load) steadily(until time.Time, perSecond int) {
	var all sync.WaitGroup
	defer all.Wait()
	underWay := make(chan struct{}, 200)
	every := time.Second / time.Duration(perSecond)
	for due := time.Now(); due.Before(until) && l.wrong() == ""; due = due.Add(every) {
		time.Sleep(time.Until(due))
		underWay <- struct{}{}
		all.Go(func() { l.decode(due); <-underWay })
	}
}

// cost is what a while of load took.
type cost struct {
	requests int
	wall     time.Duration
	cpu      time.Duration
}

func (c cost) perSecond() float64     { return float64(c.requests) / c.wall.Seconds() }
func (c cost) cpuEach() time.Duration { return c.cpu / time.Duration(max(1, c.requests)) }

// spend runs load for a while and logs what it cost, and each minute how large the server is. Tokens live for five minutes:
// each minute brings new ones.
func (l *load) spend(t *testing.T, what string, d time.Duration, run func(until time.Time)) cost {
	t.Helper()
	l.took = nil
	before, began := l.cpu(t), time.Now()
	done := make(chan struct{})
	go func() { defer close(done); run(began.Add(d)) }()
	for running := true; running; {
		select {
		case <-done:
			running = false
		case <-time.After(time.Minute):
			t.Logf("%s: after %v, resident %d MiB, %d answers", what, time.Since(began).Round(time.Second), l.rss(t)>>20, l.answered.Load())
			l.login(t)
		}
	}
	c := cost{len(l.took), time.Since(began), l.cpu(t) - before}
	if c.requests == 0 || c.cpu <= 0 {
		t.Fatalf("%s: nothing was answered, or nothing spent: %+v, %s", what, c, l.wrong())
	}
	slices.Sort(l.took)
	at := func(percent int) time.Duration {
		return l.took[(len(l.took)-1)*percent/100].Round(10 * time.Microsecond)
	}
	t.Logf("%s: %d requests, %.0f/s, %.0f for each second of processor time (%v each), p50 %v, p99 %v, resident %d MiB", what,
		c.requests, c.perSecond(), float64(c.requests)/c.cpu.Seconds(), c.cpuEach().Round(100*time.Nanosecond), at(50), at(99), l.rss(t)>>20)
	return c
}

// procTick is a clock tick of /proc on Linux, whatever the kernel's own is.
const procTick = time.Second / 100

// cpu is the processor time that the server has used, in user and kernel.
func (l *load) cpu(t *testing.T) time.Duration {
	t.Helper()
	stat := readFile(t, fmt.Sprintf("/proc/%d/stat", l.server.PID()))
	fields := strings.Fields(stat[strings.LastIndex(stat, ")")+1:]) // from field 3 on; the name before may hold anything
	user, err1 := strconv.Atoi(fields[11])
	system, err2 := strconv.Atoi(fields[12])
	if err1 != nil || err2 != nil {
		t.Fatalf("/proc: %q", stat)
	}
	return time.Duration(user+system) * procTick
}

// rss is the memory of the server that is resident, in bytes.
func (l *load) rss(t *testing.T) int {
	t.Helper()
	fields := strings.Fields(readFile(t, fmt.Sprintf("/proc/%d/statm", l.server.PID())))
	if len(fields) < 2 {
		t.Fatalf("/proc: %q", fields)
	}
	pages, err := strconv.Atoi(fields[1])
	if err != nil {
		t.Fatal(err)
	}
	return pages * os.Getpagesize()
}

// allowed counts the records of what was decoded, in all files of the server's log.
func allowed(t *testing.T, server *stack.Server) int64 {
	t.Helper()
	files, err := filepath.Glob(server.AuditFile + "*")
	if err != nil {
		t.Fatal(err)
	}
	var n int64
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(f)
		for lines.Scan() {
			if bytes.Contains(lines.Bytes(), []byte(`"decision":"allow"`)) {
				n++
			}
		}
		_ = f.Close()
		if lines.Err() != nil {
			t.Fatal(lines.Err())
		}
	}
	return n
}
