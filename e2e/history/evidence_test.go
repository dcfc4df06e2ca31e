package history_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/api/proxy"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protopath"
	"google.golang.org/protobuf/reflect/protorange"
	"google.golang.org/protobuf/reflect/protoreflect"
	_ "modernc.org/sqlite"
)

// exhibit is something that Temporal gave out or stored.
type exhibit struct {
	where string
	bytes []byte
}

// evidence is what was collected about one namespace.
type evidence struct {
	mu       sync.Mutex // for keeping: several acts are played at once
	exhibits []exhibit
	payloads []found
}

// found is one payload and its place, such as "history of x: (…History).events[3].…".
type found struct {
	where    string
	inHeader bool
	payload  *commonpb.Payload
}

// addBytes keeps a message as it looks on the wire.
func (e *evidence) addBytes(t *testing.T, where string, m proto.Message) {
	t.Helper()
	data, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	e.keep(exhibit{where, data})
}

func (e *evidence) keep(x exhibit, payloads ...found) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.exhibits = append(e.exhibits, x)
	e.payloads = append(e.payloads, payloads...)
}

// add keeps an answer of the service, and every payload in it but search attributes.
func (e *evidence) add(t *testing.T, where string, m proto.Message) {
	t.Helper()
	data, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	var payloads []found
	if err := protorange.Range(m.ProtoReflect(), func(p protopath.Values) error {
		// Nothing is cut short: protorange takes "not deeper" for "no brothers" as well.
		payload, ok := messageAt(p, -1).(*commonpb.Payload)
		if !ok {
			return nil
		}
		inHeader := false
		for i := range p.Len() {
			switch messageAt(p, i).(type) {
			case *commonpb.SearchAttributes:
				return nil
			case *commonpb.Header:
				inHeader = true
			}
		}
		payloads = append(payloads, found{where + ": " + p.Path.String(), inHeader, payload})
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	// The SDK's own walk must not know of payloads that this one has missed.
	visited := 0
	if err := proxy.VisitPayloads(context.Background(), proto.Clone(m), proxy.VisitPayloadsOptions{SkipSearchAttributes: true,
		Visitor: func(_ *proxy.VisitPayloadsContext, ps []*commonpb.Payload) ([]*commonpb.Payload, error) {
			visited += len(ps)
			return ps, nil
		}}); err != nil {
		t.Fatal(err)
	}
	if here := len(payloads); here < visited {
		t.Fatalf("%s: %d payloads found, but the SDK knows of %d", where, here, visited)
	}
	e.keep(exhibit{where, data}, payloads...)
}

// messageAt returns the message at one step of a path, or nil.
func messageAt(p protopath.Values, i int) protoreflect.ProtoMessage {
	message, ok := p.Index(i).Value.Interface().(protoreflect.Message)
	if !ok {
		return nil
	}
	return message.Interface()
}

func (e *evidence) addText(where, text string) {
	e.keep(exhibit{where, []byte(text)})
}

// secrets returns the secrets of the scenario that are readable, and where, in clear or in base64.
func (e *evidence) secrets(s *scenario) map[string][]string {
	out := map[string][]string{}
	for _, x := range e.exhibits {
		texts := [][]byte{x.bytes}
		if !strings.HasPrefix(x.where, "file ") { // the tables have the same, and in one piece
			texts = append(texts, base64Runs(x.bytes)...)
		}
		for _, text := range texts {
			for _, place := range placesIn(text, s.mark) {
				if !slices.Contains(out[place], x.where) {
					out[place] = append(out[place], x.where)
				}
			}
		}
		if bytes.Contains(x.bytes, []byte("canaryStackFrame")) {
			out["panic-stack"] = append(out["panic-stack"], x.where)
		}
	}
	return out
}

// holding returns where a text is readable, sorted.
func (e *evidence) holding(text string) (where []string) {
	for _, x := range e.exhibits {
		for _, readable := range append(base64Runs(x.bytes), x.bytes) {
			if bytes.Contains(readable, []byte(text)) && !slices.Contains(where, x.where) {
				where = append(where, x.where)
			}
		}
	}
	slices.Sort(where)
	return where
}

func placesIn(text []byte, mark string) (places []string) {
	if !bytes.Contains(text, []byte(mark)) {
		return nil
	}
	for _, m := range regexp.MustCompile(mark+`-([a-z]+(?:-[a-z]+)*)0`).FindAllSubmatch(text, -1) {
		places = append(places, string(m[1]))
	}
	return places
}

var base64Text = regexp.MustCompile(`[A-Za-z0-9+/_-]{40,}`)

// base64Runs decodes everything that looks like base64, at every alignment.
func base64Runs(data []byte) (out [][]byte) {
	for _, run := range base64Text.FindAll(data, -1) {
		run = []byte(strings.NewReplacer("-", "+", "_", "/").Replace(string(run)))
		for skip := range 4 {
			cut := run[skip:]
			decoded, err := base64.RawStdEncoding.DecodeString(string(cut[:len(cut)/4*4]))
			if err == nil {
				out = append(out, decoded)
			}
		}
	}
	return out
}

// notSealed says why a payload is not one that signet sealed under the keyset for the scope, or returns "". The format is written out
// here and not taken from the code that makes it.
func notSealed(p *commonpb.Payload, keyset, scope string) string {
	m := p.GetMetadata()
	if len(m) != 3 {
		return fmt.Sprintf("it has the metadata %q", m)
	}
	if string(m["encoding"]) != "binary/encrypted" {
		return fmt.Sprintf("its encoding is %q", m["encoding"])
	}
	id := regexp.MustCompile(`^` + keyset + `/([0-9a-f]{8})$`).FindSubmatch(m["encryption-key-id"])
	if id == nil {
		return fmt.Sprintf("its encryption-key-id is %q", m["encryption-key-id"])
	}
	var about struct {
		V  int
		NS string
		WF string
	}
	if err := json.Unmarshal(m["encryption-context"], &about); err != nil || about.V != 1 || about.NS != scope {
		return fmt.Sprintf("its encryption-context is %q", m["encryption-context"])
	}
	const overhead = 5 + 12 + 24 + 16 // prefix, salt, nonce, tag of XAES-256-GCM as Tink writes it
	if len(p.GetData()) <= overhead {
		return fmt.Sprintf("its data has %d bytes", len(p.GetData()))
	}
	if prefix := fmt.Sprintf("%x", p.GetData()[:5]); prefix != "01"+string(id[1]) {
		return fmt.Sprintf("its data begins with %s", prefix)
	}
	return ""
}

// addFiles keeps the bytes of files as they lie on the disk.
func (e *evidence) addFiles(t *testing.T, files ...string) {
	t.Helper()
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		e.keep(exhibit{"file " + file[strings.LastIndexByte(file, '/')+1:], data})
	}
}

// addTables keeps every value of every table of a SQLite file: a file's bytes alone can have a value in pieces.
func (e *evidence) addTables(t *testing.T, file string) (rows int) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+file+"?mode=ro")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	tables := query(t, db, `SELECT name FROM sqlite_master WHERE type = 'table'`)
	for _, table := range tables {
		name := fmt.Sprint(table[0])
		for _, row := range query(t, db, `SELECT * FROM "`+name+`"`) {
			rows++
			for _, value := range row {
				switch value := value.(type) {
				case []byte:
					e.keep(exhibit{"table " + name, value})
				case string:
					e.addText("table "+name, value)
				}
			}
		}
	}
	return rows
}

func query(t *testing.T, db *sql.DB, text string) (all [][]any) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		row, into := make([]any, len(columns)), make([]any, len(columns))
		for i := range row {
			into[i] = &row[i]
		}
		if err := rows.Scan(into...); err != nil {
			t.Fatal(err)
		}
		all = append(all, row)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}
