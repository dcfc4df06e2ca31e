package audit

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// maxLine bounds what [Verifier] holds of a file; a record is some hundred bytes.
const maxLine = 1 << 20

// Finding is something about a chain that its reader should know.
type Finding struct {
	File string
	Line int    // from 1
	Text string // one sentence
	Note bool   // does not speak against the chain: a cut line that the log itself tells of
}

// String returns "<file>:<line>: <text>".
func (f Finding) String() string { return fmt.Sprintf("%s:%d: %s", f.File, f.Line, f.Text) }

// Verifier follows one chain through its files. The zero value is ready. It holds what has no place in the chain as
// findings; what nobody can find from the files alone is that the last records are missing, or that somebody wrote the
// whole chain anew: for that, compare with a head that was noted elsewhere.
type Verifier struct {
	// Known are heads that were noted elsewhere. Each must be in the chain: see Finish.
	Known []Head

	Findings []Finding
	Records  int  // whole ones, in their place or not
	First    Head // where the files begin
	Head     Head // where they end

	at      Finding   // the current line
	last    Finding   // the line of Head
	pending []Finding // lines that are no records, and no record behind them yet
	found   map[Head]bool
}

// Read follows the chain through one file. Files are read in the order in which they were written. The error is one of
// reading.
func (v *Verifier) Read(name string, r io.Reader) error {
	lines := bufio.NewReader(r)
	for n := 1; ; n++ {
		line, err := readLine(lines)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s:%d: %w", name, n, err)
		}
		v.at = Finding{File: name, Line: n}
		v.line(line)
	}
}

func readLine(r *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case errors.Is(err, bufio.ErrBufferFull) && len(line) > maxLine:
			return nil, errors.New("the line is longer than 1 MiB: this is not an audit log")
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF) && len(line) > 0:
			return line, nil
		}
		return bytes.TrimSuffix(line, []byte("\n")), err
	}
}

func (v *Verifier) line(line []byte) {
	if len(bytes.Trim(line, " ")) == 0 {
		return
	}
	e, err := parse(line)
	if err != nil {
		if json.Valid(line) {
			v.find("this is not a record: it has no number and hash, or was changed")
			return
		}
		v.pending = append(v.pending, v.at)
		return
	}
	v.Records++
	v.settle(e)
	if e.changed {
		v.find("record %d was changed: its hash is that of another content", e.Seq)
	}
	v.place(e)
}

const noRecord = "the line is cut short or changed: it is no record"

// settle judges the lines before e that are no records.
func (v *Verifier) settle(e entry) {
	if e.cut && len(v.pending) == 0 && v.Records > 1 {
		v.find("a line that was cut short stood before record %d and is gone", e.Seq)
	}
	for _, p := range v.pending {
		if p.Note = e.cut; p.Note {
			p.Text = fmt.Sprintf("the line is cut short, by a crash or a full disk: record %d says so", e.Seq)
		} else {
			p.Text = noRecord
		}
		v.Findings = append(v.Findings, p)
	}
	v.pending = nil
}

// place compares e with the record before it.
func (v *Verifier) place(e entry) {
	if v.Records == 1 {
		v.First = e.Head
	}
	switch last := v.Head; {
	case e.Seq == 1 && e.prev != before:
		v.find("record 1 says that a record stood before it")
	case v.Records == 1 && e.Seq > 1:
		v.note("the files begin with record %d: those before it are not here", e.Seq)
	case v.Records == 1:
	case e.Seq == last.Seq+1 && e.prev != last.Hash:
		v.find("record %d was not written behind the record %d of %s:%d: one of the two was changed", e.Seq, last.Seq, v.last.File, v.last.Line)
	case e.Seq == last.Seq+1:
	case e.Seq == last.Seq+2:
		v.find("record %d is missing before record %d", last.Seq+1, e.Seq)
	case e.Seq > last.Seq:
		v.find("records %d to %d are missing before record %d", last.Seq+1, e.Seq-1, e.Seq)
	case e.Seq == 1:
		v.find("another chain begins here, behind record %d", last.Seq)
	default: // the head stays where it is, so that the records behind this one are judged by their own place
		v.find("record %d stands behind record %d: moved, or there twice", e.Seq, last.Seq)
		return
	}
	if v.found == nil {
		v.found = map[Head]bool{}
	}
	for _, k := range v.Known {
		v.found[k] = v.found[k] || k == e.Head
	}
	v.Head, v.last = e.Head, v.at
}

// Finish judges what is known only when all files were read, and reports whether the chain is whole: whether there is a
// finding that is more than a note.
func (v *Verifier) Finish() bool {
	for i, p := range v.pending {
		p.Text = noRecord
		if i == len(v.pending)-1 {
			p.Text = "the last line is cut short, or just being written"
		}
		v.Findings = append(v.Findings, p)
	}
	v.pending = nil
	for _, k := range v.Known {
		if !v.found[k] {
			v.at = v.last
			v.find("record %d with hash %s is not in the chain: records were removed or written anew", k.Seq, k.Hash)
		}
	}
	for _, f := range v.Findings {
		if !f.Note {
			return false
		}
	}
	return true
}

func (v *Verifier) find(format string, args ...any) {
	f := v.at
	f.Text = fmt.Sprintf(format, args...)
	v.Findings = append(v.Findings, f)
}

func (v *Verifier) note(format string, args ...any) {
	v.find(format, args...)
	v.Findings[len(v.Findings)-1].Note = true
}
