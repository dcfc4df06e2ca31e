package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/signet-temporal/signet/internal/wire"
)

func TestTooMuchJSONIsRefused(t *testing.T) {
	in := `[` + strings.Repeat(`1,`, 100) + `1]`
	if _, err := findPayloads(strings.NewReader(in), int64(len(in))); err != nil {
		t.Errorf("%d bytes of %[1]d: %v", len(in), err)
	}
	if found, err := findPayloads(strings.NewReader(in), int64(len(in))-1); err == nil || found != nil {
		t.Errorf("one byte too many was read: %v, %v", found, err)
	}
}

func TestWhatIsNoPayloadIsNotTakenForOne(t *testing.T) {
	for _, in := range []string{
		`{}`, `[]`, `null`, `"metadata"`, `{"metadata":null}`, `{"metadata":{}}`, `{"metadata":{"name":"x"}}`, `{"data":"eA=="}`,
		`{"metadata":{"encoding":"anNvbi9wbGFpbg=="},"data":"eA==","kind":"Secret"}`, `{"metadata":{"encoding":1}}`, `{"metadata":["encoding"]}`,
	} {
		if found, err := findPayloads(strings.NewReader(in), 1000); err != nil || len(found) != 0 {
			t.Errorf("%s: found %v, %v", in, found, err)
		}
	}
	// A payload inside of what only looks like one is found.
	found, err := findPayloads(strings.NewReader(`{"metadata":{"inner":{"metadata":{"encoding":"anNvbi9wbGFpbg=="}}}}`), 1000)
	if err != nil || len(found) != 1 || found[0].path != "$.metadata.inner" {
		t.Errorf("inner payload: %v, %v", found, err)
	}
}

func TestPathsCanBeUsedAsJSONPath(t *testing.T) {
	payload := `{"metadata":{"encoding":"anNvbi9wbGFpbg=="}}`
	in := fmt.Sprintf(`{"a_1":[%s,{"b c":%s}],"":%s,"é":%s,"1":%s,"q\"":%s}`, payload, payload, payload, payload, payload, payload)
	found, err := findPayloads(strings.NewReader(in), 1000)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range found {
		got = append(got, f.path)
	}
	want := `$[""] $["1"] $.a_1[0] $.a_1[1]["b c"] $["q\""] $["é"]`
	if strings.Join(got, " ") != want {
		t.Errorf("paths\n got %s\nwant %s", strings.Join(got, " "), want)
	}
}

// Whatever a payload holds, nothing panics, no control character reaches the terminal, and well formed means that the
// format's own parser says so.
func FuzzInspectIsSafeToPrint(f *testing.F) {
	f.Add([]byte(wire.Encoding), []byte("ns/a/000012ab"), []byte(`{"v":1,"ns":"a","wf":"\u001b[2J"}`), append([]byte{1, 0, 0, 0x12, 0xab}, make([]byte, 40)...), true)
	f.Add([]byte("json/plain\x1b"), []byte("\x1b"), []byte("\x9b"), []byte("\x1b[2J"), false)
	f.Add([]byte(wire.Encoding), []byte("x"), []byte(nil), []byte("\x1b"), true)
	f.Fuzz(func(t *testing.T, encoding, keyID, context, data []byte, many bool) {
		b64 := base64.StdEncoding.EncodeToString
		doc, err := json.Marshal(map[string]any{"data": b64(data), "metadata": map[string]string{
			wire.MetadataEncoding: b64(encoding), wire.MetadataKeyID: b64(keyID), wire.MetadataContext: b64(context),
		}})
		if err != nil {
			t.Fatal(err)
		}
		found, err := findPayloads(bytes.NewReader(doc), maxInspect)
		if err != nil || len(found) != 1 {
			t.Fatalf("found %v, %v in %s", found, err, doc)
		}
		info := inspect(found[0])
		if _, err := wire.Parse(found[0].metadata, found[0].data); (err == nil) != info.WellFormed || (info.Problem == "") != info.WellFormed {
			t.Fatalf("%+v, and the parser says %v", info, err)
		}
		report := inspection{Payloads: []payloadInfo{info}, Sealed: 1}
		if many {
			report.Payloads = append(report.Payloads, info)
		}
		var text strings.Builder
		report.table(&text)
		for _, r := range text.String() {
			if r != '\n' && (r < ' ' || 0x7f <= r && r < 0xa0) {
				t.Fatalf("control character %q in %q", r, text.String())
			}
		}
	})
}
