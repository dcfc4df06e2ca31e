package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"strings"
	"testing"
)

func sealedData(id uint32) []byte {
	data := make([]byte, minData)
	data[0], data[1], data[2], data[3], data[4] = 1, byte(id>>24), byte(id>>16), byte(id>>8), byte(id)
	return data
}

func TestAnOuterParsesBackToItself(t *testing.T) {
	for _, o := range []Outer{
		{Keyset: "ns/payments", KeyID: 0x0a1b2c3d, Scope: "payments"},
		{Keyset: "default", KeyID: 0xffffffff, Scope: "default", Workflow: "order-17"},
		{Keyset: "a.b-c/_d/E", KeyID: 1, Scope: "näm\"e\\ /<>&\u2028\x7f", Workflow: "\x00\x01\b\t\n\v\f\r\x1f"},
	} {
		h, err := o.Header()
		if err != nil {
			t.Fatalf("%+v: %v", o, err)
		}
		metadata := h.Metadata([]byte(Encoding))
		if got, err := Parse(metadata, sealedData(o.KeyID)); err != nil || got != o {
			t.Errorf("Parse = %+v, %v; want %+v", got, err, o)
		}
		var c struct {
			V      int
			NS, WF string
		}
		if err := json.Unmarshal(metadata[MetadataContext], &c); err != nil || c.V != 1 || c.NS != o.Scope || c.WF != o.Workflow {
			t.Errorf("%s is not the JSON it should be: %+v, %v", metadata[MetadataContext], c, err)
		}
	}
}

func TestAssociatedDataIsTheDocumentedBytes(t *testing.T) {
	h, err := Outer{Keyset: "ns/a", KeyID: 0x12ab, Scope: "a", Workflow: "w"}.Header()
	if err != nil {
		t.Fatal(err)
	}
	want := "signet/payload/v1\x00" + "\x00\x00\x00\x10binary/encrypted" + "\x00\x00\x00\x0dns/a/000012ab" + "\x00\x00\x00\x19" + `{"v":1,"ns":"a","wf":"w"}`
	if got := h.AppendAssociatedData(nil); string(got) != want {
		t.Errorf("associated data\n got %q\nwant %q", got, want)
	}
}

func TestMalformedOutsidesAreRefused(t *testing.T) {
	good := map[string][]byte{
		MetadataEncoding: []byte(Encoding),
		MetadataKeyID:    []byte("ns/a/000012ab"),
		MetadataContext:  []byte(`{"v":1,"ns":"a","wf":"w"}`),
	}
	data := sealedData(0x12ab)
	if _, err := Parse(good, data); err != nil {
		t.Fatal(err)
	}
	type edit struct{ key, value string }
	for name, tc := range map[string]struct {
		edit
		want error
	}{
		"other encoding":          {edit{MetadataEncoding, "json/plain"}, ErrMalformed},
		"upper-case key id":       {edit{MetadataKeyID, "ns/a/000012AB"}, ErrMalformed},
		"short key id":            {edit{MetadataKeyID, "ns/a/12ab"}, ErrMalformed},
		"signed key id":           {edit{MetadataKeyID, "ns/a/+00012ab"}, ErrMalformed},
		"no keyset":               {edit{MetadataKeyID, "/000012ab"}, ErrMalformed},
		"path in keyset":          {edit{MetadataKeyID, "../a/000012ab"}, ErrMalformed},
		"empty segment":           {edit{MetadataKeyID, "ns//a/000012ab"}, ErrMalformed},
		"key id of another key":   {edit{MetadataKeyID, "ns/a/000012ac"}, ErrMalformed},
		"extra metadata":          {edit{"messageType", "x"}, ErrMalformed},
		"empty context":           {edit{MetadataContext, ""}, ErrMalformed},
		"space in context":        {edit{MetadataContext, `{"v":1, "ns":"a"}`}, ErrMalformed},
		"two namespaces":          {edit{MetadataContext, `{"v":1,"ns":"a","ns":"b"}`}, ErrMalformed},
		"other order":             {edit{MetadataContext, `{"ns":"a","v":1}`}, ErrMalformed},
		"unknown member":          {edit{MetadataContext, `{"v":1,"ns":"a","x":1}`}, ErrMalformed},
		"empty namespace":         {edit{MetadataContext, `{"v":1,"ns":""}`}, ErrMalformed},
		"empty workflow":          {edit{MetadataContext, `{"v":1,"ns":"a","wf":""}`}, ErrMalformed},
		"needless escape":         {edit{MetadataContext, `{"v":1,"ns":"\u0061"}`}, ErrMalformed},
		"long form of an escape":  {edit{MetadataContext, `{"v":1,"ns":"\u000a"}`}, ErrMalformed},
		"upper-case escape":       {edit{MetadataContext, `{"v":1,"ns":"\u001F"}`}, ErrMalformed},
		"raw control character":   {edit{MetadataContext, "{\"v\":1,\"ns\":\"\n\"}"}, ErrMalformed},
		"invalid UTF-8":           {edit{MetadataContext, "{\"v\":1,\"ns\":\"\xff\"}"}, ErrMalformed},
		"trailing bytes":          {edit{MetadataContext, `{"v":1,"ns":"a"} `}, ErrMalformed},
		"version 2":               {edit{MetadataContext, `{"v":2,"ns":"a"}`}, ErrVersion},
		"version 2, other fields": {edit{MetadataContext, `{"v":2}`}, ErrVersion},
		"version 01":              {edit{MetadataContext, `{"v":01,"ns":"a"}`}, ErrMalformed},
		"version 1.0":             {edit{MetadataContext, `{"v":1.0,"ns":"a"}`}, ErrMalformed},
	} {
		m := maps.Clone(good)
		m[tc.key] = []byte(tc.value)
		if o, err := Parse(m, data); !errors.Is(err, tc.want) || o != (Outer{}) {
			t.Errorf("%s: Parse = %+v, %v; want %v", name, o, err, tc.want)
		}
	}
	for n := range len(data) {
		if _, err := Parse(good, data[:n]); !errors.Is(err, ErrMalformed) {
			t.Errorf("data of %d bytes: %v, want %v", n, err, ErrMalformed)
		}
	}
}

func TestWhatHasNoContextIsForeign(t *testing.T) {
	for _, m := range []map[string][]byte{nil, {}, {MetadataEncoding: []byte(Encoding), MetadataKeyID: []byte("other")}} {
		if _, err := Parse(m, nil); !errors.Is(err, ErrForeign) {
			t.Errorf("%v: %v, want %v", m, err, ErrForeign)
		}
	}
}

func TestWhatCannotBeWrittenIsRefused(t *testing.T) {
	for _, o := range []Outer{
		{Keyset: "", Scope: "a"}, {Keyset: "a b", Scope: "a"}, {Keyset: ".a", Scope: "a"}, {Keyset: strings.Repeat("k", 201), Scope: "a"},
		{Keyset: "a", Scope: ""}, {Keyset: "a", Scope: "\xff"}, {Keyset: "a", Scope: "a", Workflow: "\xff"},
		{Keyset: "a", Scope: strings.Repeat("a", MaxContext)},
	} {
		if h, err := o.Header(); err == nil || h.keyID != nil {
			t.Errorf("Header of %.60v was written", o)
		}
	}
}

func TestSplitBody(t *testing.T) {
	if _, _, err := SplitBody(nil); !errors.Is(err, ErrMalformed) {
		t.Errorf("empty: %v", err)
	}
	if _, b, err := SplitBody([]byte{2, 3}); !errors.Is(err, ErrVersion) || b != nil {
		t.Errorf("flag 2: %v", err)
	}
	if f, b, err := SplitBody([]byte{1, 3}); err != nil || f != Zstd || !bytes.Equal(b, []byte{3}) {
		t.Errorf("flag 1: %v %v %v", f, b, err)
	}
}

func FuzzParseThenMarshalIsIdentity(f *testing.F) {
	f.Add([]byte(Encoding), []byte("ns/a/000012ab"), []byte(`{"v":1,"ns":"a","wf":"w"}`), sealedData(0x12ab))
	f.Add([]byte(Encoding), []byte("ns/a/000012ab"), []byte(`{"v":1,"ns":"\u0000\n\"\\"}`), sealedData(0x12ab))
	f.Add([]byte(Encoding), []byte("a/b/ffffffff"), []byte(`{"v":2,"ns":"a"}`), sealedData(1))
	f.Fuzz(func(t *testing.T, encoding, keyID, context, data []byte) {
		m := map[string][]byte{MetadataEncoding: encoding, MetadataKeyID: keyID, MetadataContext: context}
		o, err := Parse(m, data)
		if err != nil {
			if o != (Outer{}) {
				t.Fatalf("error %v came with %+v", err, o)
			}
			return
		}
		h, err := o.Header()
		if err != nil {
			t.Fatalf("what parsed cannot be written: %v", err)
		}
		if !maps.EqualFunc(h.Metadata([]byte(Encoding)), m, bytes.Equal) {
			t.Fatalf("parse then marshal\n got %q\nwant %q", h.Metadata([]byte(Encoding)), m)
		}
		if !bytes.Equal(h.AppendAssociatedData(nil), HeaderOf(m).AppendAssociatedData(nil)) {
			t.Fatal("associated data differs")
		}
	})
}
