package forward

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/signet-temporal/signet/codecserver/audit"
)

func TestRecordsAreForwardedAcrossRestarts(t *testing.T) {
	t.Parallel()
	s := newScene(t, audit.FileOptions{})
	s.write(100)
	s.start()
	s.all(100)
	s.write(20)
	s.stop() // what is left goes out
	s.all(120)
	s.write(30) // nobody forwards
	s.mu0().Lock()
	s.slow = true
	s.mu0().Unlock()
	s.start()
	s.until("sent", func() bool { return s.count() == 150 })
	s.stop() // nothing of it counts yet but by the server's answer to the end
	s.all(150)
	if list := s.twice(); len(list) > 0 || s.says.text() != "" {
		t.Errorf("%v came twice: %s", list, s.says.text())
	}
	if got := s.Status(s.log.Head()); got.Lag != 0 || got.Troubles != 0 || got.Connected {
		t.Errorf("%+v", got)
	}
	const want = "<110>1 20"
	s.mu0().Lock()
	defer s.mu0().Unlock()
	if m := s.messages[0]; !strings.HasPrefix(m, want) || !strings.Contains(m, "Z codec-1 signet-server - decode - {\"seq\":1,") {
		t.Errorf("the first message is %s", m)
	}
}

func TestABrokenConnectionLosesNothing(t *testing.T) {
	t.Parallel()
	s := newScene(t, audit.FileOptions{})
	s.mu0().Lock()
	s.breakAt, s.slow = 40, true
	s.mu0().Unlock()
	s.write(300)
	s.start()
	s.until("broken", func() bool { return strings.Contains(s.says.text(), "audit log is not forwarded: trying again") })
	s.all(300)
	s.hangUp() // while nothing is under way
	s.write(10)
	s.all(310)
	// The server is away for a while: nobody waits for it, and it is seen.
	s.leave()
	s.write(50)
	s.until("lagging", func() bool { got := s.Status(s.log.Head()); return got.Lag > 0 && !got.Connected })
	s.listen(t, s.address)
	s.all(360)
}

// With a record on its way at every moment, everything that the log held a moment ago may still have been delivered.
func TestALogThatIsNeverQuietDoesNotLag(t *testing.T) {
	t.Parallel()
	s := newScene(t, audit.FileOptions{})
	begun := time.Now()
	s.start()
	s.until("less behind than it is old", func() bool {
		s.write(1)
		lag, old := s.Status(s.log.Head()).Lag, time.Since(begun)
		return old > time.Second && lag > 0 && lag < old/2
	})
}

func TestRotationIsFollowed(t *testing.T) {
	t.Parallel()
	s := newScene(t, audit.FileOptions{MaxSize: 4000})
	s.start()
	s.write(200)
	s.all(200)
	s.stop()
	s.write(200) // many files while nobody forwards
	s.start()
	s.all(400)
	for i := range 5 { // and by others, under names of theirs
		if err := os.Rename(s.path, filepath.Join(s.dir, "audit.jsonl."+string(rune('a'+i)))); err != nil {
			t.Fatal(err)
		}
		s.write(15)
	}
	s.all(475)
	if files, err := filepath.Glob(s.path + ".*"); err != nil || len(files) < 10 || s.says.text() != "" {
		t.Errorf("%d files, %v: %s", len(files), err, s.says.text())
	}
	if list := s.twice(); len(list) > 0 {
		t.Errorf("%v came twice", list)
	}
}

// The lesson: a cursor that is ahead of a log that was replaced must not wait until the new one has as many records.
func TestACursorThatTheLogDoesNotKnowStartsAnew(t *testing.T) {
	t.Parallel()
	for name, again := range map[string]int{"the new log is shorter": 30, "the new log is longer": 90} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, audit.FileOptions{})
			s.write(60)
			s.start()
			s.all(60)
			s.stop()
			_ = s.log.Close()
			if err := os.Remove(s.path); err != nil {
				t.Fatal(err)
			}
			s.reopen(audit.FileOptions{})
			s.write(again)
			s.mu0().Lock()
			clear(s.times)
			clear(s.texts)
			s.mu0().Unlock()
			s.start()
			s.all(again)
			if n := strings.Count(s.says.text(), "level=ERROR msg=\"the audit log does not hold the record that was forwarded last"); n != 1 || s.Status(s.log.Head()).Troubles != 1 {
				t.Errorf("it says %d times:\n%s", n, s.says.text())
			}
			// It is said once: the next start goes on.
			s.stop()
			s.write(5)
			s.start()
			s.all(again + 5)
			if list := s.twice(); len(list) > 0 {
				t.Errorf("%v came twice", list)
			}
		})
	}
}

func TestALogThatIsCutWhileItIsForwarded(t *testing.T) {
	t.Parallel()
	s := newScene(t, audit.FileOptions{})
	s.write(60)
	s.start()
	s.all(60)
	if err := os.Truncate(s.path, 0); err != nil { // as programs do that copy and truncate
		t.Fatal(err)
	}
	s.write(10)
	s.until("all delivered", func() bool { return s.count() == 70 && s.Status(s.log.Head()).Delivered == s.log.Head() })
	if list := s.twice(); len(list) > 0 || !strings.Contains(s.says.text(), "level=ERROR msg=\"the audit log was cut while it was forwarded\"") {
		t.Errorf("%v came twice: %s", list, s.says.text())
	}
}

func TestRecordsThatWereRemovedBeforeTheyWereForwarded(t *testing.T) {
	t.Parallel()
	s := newScene(t, audit.FileOptions{})
	s.write(20)
	s.start()
	s.all(20)
	s.stop()
	for _, name := range []string{"1", "2"} {
		s.write(20)
		if err := os.Rename(s.path, s.path+"."+name); err != nil {
			t.Fatal(err)
		}
	}
	s.write(20)
	if err := os.Remove(s.path + ".2"); err != nil { // 41 to 60
		t.Fatal(err)
	}
	s.start()
	s.until("the rest delivered", func() bool { return s.count() == 60 && s.Status(s.log.Head()).Delivered == s.log.Head() })
	if !strings.Contains(s.says.text(), "level=ERROR msg=\"records of the audit log were removed before they were forwarded\"") || !strings.Contains(s.says.text(), "lastSeq=40") {
		t.Errorf("it says:\n%s", s.says.text())
	}
	// All that is behind the cursor is gone.
	s.stop()
	s.write(20)
	for _, file := range []string{s.path, s.path + ".1"} {
		if err := os.Rename(file, filepath.Join(s.dir, "away")); err != nil {
			t.Fatal(err)
		}
	}
	s.write(5)
	s.start()
	s.until("the rest delivered", func() bool { return s.count() == 65 && s.Status(s.log.Head()).Delivered == s.log.Head() })
	if n := strings.Count(s.says.text(), "were removed before"); n != 2 {
		t.Errorf("it says:\n%s", s.says.text())
	}
}

// TestARecordThatWasChangedBeforeItWasForwarded: with its hash left as it was, the chain looks whole from record to record.
func TestARecordThatWasChangedBeforeItWasForwarded(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ from, to, want string }{
		"changed":               {`"subject":"uu`, `"subject":"ux`, `level=ERROR msg="a record of the audit log was changed before it was forwarded: verify the log"`},
		"made to be no record":  {`"subject":"uu`, `"subject:"uuu`, `level=ERROR msg="the chain of the audit log is broken between two records`},
		"given another's place": {`{"seq":25,`, `{"seq":26,`, `level=ERROR msg="the chain of the audit log is broken between two records`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, audit.FileOptions{})
			s.write(20)
			s.start()
			s.all(20)
			s.stop()
			s.write(20)
			text, err := os.ReadFile(s.path)
			if err != nil {
				t.Fatal(err)
			}
			lines := strings.SplitAfter(string(text), "\n")
			if lines[24] = strings.Replace(lines[24], c.from, c.to, 1); strings.Join(lines, "") == string(text) {
				t.Fatalf("the record holds no %s: %s", c.from, lines[24])
			}
			if err := os.WriteFile(s.path, []byte(strings.Join(lines, "")), 0o600); err != nil {
				t.Fatal(err)
			}
			s.start()
			s.until("delivered", func() bool { return s.Status(s.log.Head()).Delivered == s.log.Head() })
			if !strings.Contains(s.says.text(), c.want) || s.Status(s.log.Head()).Troubles == 0 {
				t.Errorf("it says:\n%s", s.says.text())
			}
		})
	}
}

func TestACursorThatCannotBeReadStopsTheStart(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "nonsense", "{}", `{"seq":3}`, `{"hash":"x"}`} {
		file := filepath.Join(t.TempDir(), "cursor")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := New(Options{Cursor: file}); err == nil || !strings.Contains(err.Error(), "does not say where forwarding stands") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestMessages(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		`{"time":"2026-11-26T02:55:32.5Z","action":"decode","decision":"allow"}`:             "<110>1 2026-11-26T02:55:32.500000Z h signet-server - decode - ",
		`{"time":"2026-11-26T02:55:32Z","action":"download","decision":"deny"}`:              "<109>1 2026-11-26T02:55:32.000000Z h signet-server - download - ",
		`{"action":"a b\n","decision":"allow","breakGlass":"INC-4711 stuck"}`:                "<108>1 - h signet-server - ab - ",
		`{"action":"` + strings.Repeat("x", 40) + `","decision":"unreadable","subject":"ä"}`: "<109>1 - h signet-server - " + strings.Repeat("x", 32) + " - ",
	} {
		got := string(frame(nil, "h", []byte(line)))
		count, rest, _ := strings.Cut(got, " ")
		if rest != want+line || count != strconv.Itoa(len(rest)) {
			t.Errorf("got %s", got)
		}
	}
}

// chainOf returns the lines of a log with five records.
func chainOf(t *testing.T, who string) []string {
	t.Helper()
	var out bytes.Buffer
	l := audit.New(&out)
	for range 5 {
		if err := l.Write(t.Context(), audit.Record{Subject: who, Decision: audit.Allow}); err != nil {
			t.Fatal(err)
		}
	}
	return strings.SplitAfter(out.String(), "\n")
}

// TestABrokenChainIsForwardedAndSaid: whoever may write to the file has put records of theirs behind ours, with the number
// that is next.
func TestABrokenChainIsForwardedAndSaid(t *testing.T) {
	t.Parallel()
	s := newScene(t, audit.FileOptions{})
	s.write(3)
	s.start()
	s.all(3)
	f, err := os.OpenFile(s.path, os.O_WRONLY|os.O_APPEND, 0)
	if err == nil {
		_, err = f.WriteString(strings.Join(chainOf(t, "eve")[3:], ""))
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	s.until("the rest forwarded", func() bool { return s.count() == 5 })
	if n := strings.Count(s.says.text(), "the chain of the audit log is broken between two records"); n != 1 || !strings.Contains(s.says.text(), "lastSeq=3") {
		t.Errorf("it says %d times:\n%s", n, s.says.text())
	}
}

// TestAFileOfAnotherChainIsNotTakenForTheNext: it begins with the number that is next, and says that another record stood
// before it.
func TestAFileOfAnotherChainIsNotTakenForTheNext(t *testing.T) {
	t.Parallel()
	ours, theirs := chainOf(t, "ann"), chainOf(t, "eve")
	last, _, ok := audit.Parse([]byte(strings.TrimSpace(ours[1])))
	if !ok || last.Seq != 2 {
		t.Fatalf("%+v", last)
	}
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	for name, c := range map[string]struct {
		lines []string
		want  trouble
	}{"the next": {ours[2:], ""}, "another chain's": {theirs[2:], replaced}, "another chain": {theirs, replaced}, "what comes after the next": {ours[3:], removed}} {
		if err := os.WriteFile(path, []byte(strings.Join(c.lines, "")), 0o600); err != nil {
			t.Fatal(err)
		}
		s, got, err := open(path, last)
		if err != nil || s == nil || got != c.want {
			t.Errorf("%s: %q, %v, want %q", name, got, err, c.want)
			continue
		}
		_ = s.file.Close()
	}
}

// TestNothingIsMissedWhileFilesAreRotated: a file may be renamed, and another made in its place, while it is looked for.
func TestNothingIsMissedWhileFilesAreRotated(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	l, err := audit.OpenFile(path, audit.FileOptions{MaxSize: 1}) // a file for each record
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	const records = 60
	written := make(chan error, 1)
	go func() {
		var err error
		for i := 0; i < records && err == nil; i++ {
			err = l.Write(t.Context(), audit.Record{RequestID: "R", Decision: audit.Allow})
		}
		written <- err
	}()
	var last audit.Head
	for deadline := time.Now().Add(time.Minute); last.Seq < records; {
		s, got, err := open(path, last)
		if err != nil || got != "" || time.Now().After(deadline) {
			t.Fatalf("behind record %d: %q, %v", last.Seq, got, err)
		}
		if s == nil {
			continue
		}
		lines, _, err := s.next()
		if err != nil {
			t.Fatal(err)
		}
		_ = s.file.Close() // it was read
		for _, line := range lines {
			head, _, ok := audit.Parse(line)
			if !ok || head.Seq != last.Seq+1 {
				t.Fatalf("behind record %d came %d", last.Seq, head.Seq)
			}
			last = head
		}
	}
	if err := <-written; err != nil {
		t.Fatal(err)
	}
}

func TestWhatStandsInTheHeaderOfAMessage(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{"": "-", "host": "host", "a b\n<1>\x00": "ab<1>", "hö\u009b\u202est\x7f": "hst", "\U0001F600": "-", "abcdefghij": "abcdefgh"} {
		if got := field(in, 8); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}
