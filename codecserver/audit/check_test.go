package audit

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// disk is the writer of a file, with room for so many bytes more.
type disk struct {
	io.Writer
	room   int
	writes int
}

func (d *disk) Write(p []byte) (int, error) {
	d.writes++
	if len(p) <= d.room {
		d.room -= len(p)
		return d.Writer.Write(p)
	}
	n, err := d.Writer.Write(p[:d.room])
	d.room -= n
	return n, errors.Join(errors.New("no space left on device"), err)
}

func TestAHealedDiskBecomesReadyByItselfAndAFullOneDoesNot(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	synctest.Test(t, func(t *testing.T) {
		l, err := OpenFile(path, FileOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		d := &disk{Writer: l.w, room: 10}
		l.w = d
		if err := l.Write(t.Context(), Record{RequestID: "lost"}); err == nil {
			t.Fatal("Write = nil on a full disk")
		}
		d.room = 20 // room, and not enough for the record that failed
		for range 3 {
			time.Sleep(checkEvery)
			if err := l.Check(); err == nil || !strings.Contains(err.Error(), "no space left") {
				t.Fatalf("Check = %v while the disk is full", err)
			}
		}
		d.room = 1 << 20
		before := d.writes
		for range 100 { // strangers may ask for readiness: that must not work the disk
			if err := l.Check(); err == nil {
				t.Fatal("Check tried again at once")
			}
		}
		if d.writes != before {
			t.Errorf("%d writes by checks in the same second", d.writes-before)
		}
		time.Sleep(checkEvery)
		if err := l.Check(); err != nil {
			t.Errorf("Check = %v after the disk has healed", err)
		}
		before = d.writes
		time.Sleep(time.Hour)
		if err := l.Check(); err != nil || d.writes != before {
			t.Errorf("Check of a healthy log = %v, %d writes", err, d.writes-before)
		}
		if err := l.Write(t.Context(), Record{RequestID: "r2"}); err != nil {
			t.Fatal(err)
		}
	})
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var records int
	for line := range strings.Lines(string(data)) {
		var r Record
		if json.Unmarshal([]byte(line), &r) == nil {
			records++
			if r.RequestID != "r2" {
				t.Errorf("record %s", line)
			}
		}
	}
	if records != 1 {
		t.Errorf("%d records, want r2 alone: %q", records, data)
	}
}

func TestAFileThatComesBackIsOpenedByTheCheckItself(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		l, err := OpenFile(filepath.Join(dir, "audit.jsonl"), FileOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		if err := l.Write(t.Context(), Record{}); err == nil {
			t.Fatal("Write = nil without a directory")
		}
		time.Sleep(checkEvery)
		if err := l.Check(); err == nil {
			t.Error("Check = nil without a directory")
		}
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		time.Sleep(checkEvery)
		if err := l.Check(); err != nil {
			t.Errorf("Check = %v with the directory back", err)
		}
	})
}

func TestTheErrorOfAWriterIsNewsForTenSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &disk{Writer: io.Discard}
		l := New(d)
		if err := l.Write(t.Context(), Record{}); err == nil {
			t.Fatal("Write = nil")
		}
		time.Sleep(9 * time.Second)
		if err := l.Check(); err == nil {
			t.Error("Check = nil 9 s after a Write failed")
		}
		time.Sleep(time.Second)
		if err := l.Check(); err != nil || d.writes != 1 {
			t.Errorf("Check = %v 10 s after a Write failed, %d writes", err, d.writes)
		}
		if err := l.Write(t.Context(), Record{}); err == nil {
			t.Fatal("Write = nil")
		}
		if err := l.Check(); err == nil {
			t.Error("Check = nil after the next Write failed")
		}
	})
}
