package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
)

// Head is where a chain ends: its last record. The zero Head is a chain without records. Who notes a head elsewhere can
// tell later that nothing up to it was removed or written anew.
type Head struct {
	Seq  uint64 // number of the record, from 1
	Hash string // hex SHA-256 of the record
}

const (
	hashMember = `,"hash":"`
	hashTail   = len(hashMember) + 2*sha256.Size + len(`"}`)
	linkSize   = 240 // more than the chain adds to a record
)

// before is what the first record of a chain has in place of the hash of a record before it.
var before = strings.Repeat("0", 2*sha256.Size)

// lines are records as they stand in the log, one behind the other in one piece of memory.
type lines struct {
	text []byte
	ends []int // of each, without the end of the line
}

// reset empties l and makes room for size bytes.
func (l *lines) reset(size int) {
	if cap(l.text) > keptText {
		l.text = nil
	}
	l.text, l.ends = slices.Grow(l.text[:0], size), l.ends[:0]
}

// link appends records as the next ones behind head. cut says that the lines since head are cut short.
func (l *lines) link(head Head, b *bodies, cut bool) {
	prev := []byte(head.Hash)
	if head.Seq == 0 {
		prev = []byte(before)
	}
	begin := 0
	for i, end := range b.ends {
		l.append(head.Seq+1+uint64(i), prev, b.text[begin:end], cut && i == 0)
		prev, begin = l.hash(i), end
	}
}

// append writes one record. body is a JSON object that is not empty.
func (l *lines) append(seq uint64, prev, body []byte, cut bool) {
	begin := len(l.text)
	line := append(l.text, `{"seq":`...)
	line = strconv.AppendUint(line, seq, 10)
	line = append(line, `,"prev":"`...)
	line = append(line, prev...)
	line = append(line, `",`...)
	if cut {
		line = append(line, `"cut":true,`...)
	}
	line = append(line, body[1:len(body)-1]...)
	sum := sha256.Sum256(line[begin:])
	line = append(line, hashMember...)
	line = hex.AppendEncode(line, sum[:])
	line = append(line, `"}`...)
	l.ends = append(l.ends, len(line))
	l.text = append(line, '\n')
}

// hash is that of the record i, as it stands there.
func (l *lines) hash(i int) []byte {
	end := l.ends[i] - len(`"}`)
	return l.text[end-2*sha256.Size : end]
}

// hashOf is the hash of a record, from its line up to the member "hash".
func hashOf(line []byte) string {
	sum := sha256.Sum256(line)
	return hex.EncodeToString(sum[:])
}

// entry is what a line says about its place in the chain.
type entry struct {
	Head
	prev    string
	cut     bool
	changed bool // the hash is not that of the line
}

var errNoRecord = errors.New("not a record")

// parse reads a line without its end. A line that is cut short is not a record.
func parse(line []byte) (entry, error) {
	at := len(line) - hashTail
	if at < 0 || !bytes.HasPrefix(line[at:], []byte(hashMember)) {
		return entry{}, errNoRecord
	}
	var says struct {
		Seq  uint64 `json:"seq"`
		Prev string `json:"prev"`
		Cut  bool   `json:"cut"`
		Hash string `json:"hash"`
	}
	if json.Unmarshal(line, &says) != nil || says.Seq == 0 {
		return entry{}, errNoRecord
	}
	return entry{Head{says.Seq, says.Hash}, says.Prev, says.Cut, says.Hash != hashOf(line[:at])}, nil
}

// Intact reports whether the hash in a record's line is that of the line.
func Intact(line []byte) bool {
	e, err := parse(line)
	return err == nil && !e.changed
}

// Parse says which record a line is, and the hash of the record before it. ok is false for a line that is none: one that
// was cut short, or is empty. Whether the hash is that of the line is for [Intact] or a [Verifier] to say.
func Parse(line []byte) (head Head, prev string, ok bool) {
	e, err := parse(line)
	return e.Head, e.prev, err == nil
}
