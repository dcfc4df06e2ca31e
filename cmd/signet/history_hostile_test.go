package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode"

	commonpb "go.temporal.io/api/common/v1"
	historypb "go.temporal.io/api/history/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/signet-temporal/signet/internal/codecclient"
)

// hostile steers a terminal in each of the ways that text can: an escape, a bell, a return, a tab, the C1 form, and text that
// turns other text around. An invisible character makes two names look alike.
const hostile = "\x1b]0;x\a\r\t\u009b2J\u202egnp\u200b\u2028\ue000"

// infest puts hostile text into every field of m that holds text, to a depth at which messages repeat.
func infest(m protoreflect.Message, depth int) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		field := fields.Get(i)
		if in := field.ContainingOneof(); in != nil && m.WhichOneof(in) != nil {
			continue
		}
		value := func() (protoreflect.Value, bool) {
			switch field.Kind() {
			case protoreflect.StringKind:
				return protoreflect.ValueOfString(hostile), true
			case protoreflect.BytesKind:
				return protoreflect.ValueOfBytes([]byte(hostile)), true
			}
			return protoreflect.Value{}, false
		}
		switch {
		case field.IsMap():
			v := m.Mutable(field).Map()
			key := protoreflect.ValueOfString(hostile).MapKey()
			if field.MapKey().Kind() != protoreflect.StringKind {
				continue
			}
			switch field.MapValue().Kind() {
			case protoreflect.StringKind:
				v.Set(key, protoreflect.ValueOfString(hostile))
			case protoreflect.BytesKind:
				v.Set(key, protoreflect.ValueOfBytes([]byte(hostile)))
				v.Set(protoreflect.ValueOfString("encoding").MapKey(), protoreflect.ValueOfBytes([]byte("binary/plain")))
			case protoreflect.MessageKind:
				if depth > 0 {
					infest(v.Mutable(key).Message(), depth-1)
				}
			}
		case field.IsList():
			list := m.Mutable(field).List()
			if v, ok := value(); ok {
				list.Append(v)
			} else if field.Message() != nil && depth > 0 {
				infest(list.AppendMutable().Message(), depth-1)
			}
		case field.Message() != nil:
			if depth > 0 {
				infest(m.Mutable(field).Message(), depth-1)
			}
		default:
			if v, ok := value(); ok {
				m.Set(field, v)
			}
		}
	}
}

// TestNoEventSteersATerminal, whatever stands in whatever field of it: every kind of event that Temporal's API has.
func TestNoEventSteersATerminal(t *testing.T) {
	var text bytes.Buffer
	h := &historyText{w: &text, workflow: hostile}
	if err := h.begin(hostile, hostile); err != nil {
		t.Fatal(err)
	}
	var exported bytes.Buffer
	j := &historyJSON{w: &exported}
	if err := j.begin(hostile, hostile); err != nil {
		t.Fatal(err)
	}
	kinds := (&historypb.HistoryEvent{}).ProtoReflect().Descriptor().Oneofs().ByName("attributes").Fields()
	for i := range kinds.Len() {
		e := &historypb.HistoryEvent{}
		infest(e.ProtoReflect().Mutable(kinds.Get(i)).Message(), 5)
		infest(e.ProtoReflect(), 3) // memo of the user, links
		if err := errors.Join(h.event(e, map[*commonpb.Payload]note{}), j.event(e, nil)); err != nil {
			t.Fatal(err)
		}
	}
	for _, encoding := range []string{hostile, "json/plain", "binary/plain", "binary/null"} {
		h.line("x", h.payload(&commonpb.Payload{Metadata: map[string][]byte{"encoding": []byte(encoding)}, Data: []byte(`"` + hostile + `"`)}))
		h.line("x", h.payload(&commonpb.Payload{Metadata: map[string][]byte{"encoding": []byte(encoding)}, Data: []byte("\"\u202e\"")}))
	}
	h.line("x", explanationIn(&commonpb.Payload{Data: []byte(`{"message":"a \u001b[2J \u202e","reason":"\u0007","requestId":"\u009b"}`)}))
	text.Write(h.lines.Bytes())
	if err := j.end(); err != nil || !json.Valid(exported.Bytes()) {
		t.Errorf("what is exported is no JSON, %v", err)
	}
	text.Write(exported.Bytes())
	for line := range strings.Lines(text.String()) {
		if strings.ContainsFunc(strings.TrimSuffix(line, "\n"), func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("a line that steers: %.300q", line)
		}
	}
	if n := strings.Count(text.String(), `gnp`); n < 100 {
		t.Errorf("the text came only %d times: the test tries nothing", n)
	}
}

// TestAPayloadThatDidNotOpenIsNeverTakenForData, whatever a codec server answers for it.
func TestAPayloadThatDidNotOpenIsNeverTakenForData(t *testing.T) {
	payload := func(encoding string, more ...string) *commonpb.Payload {
		p := &commonpb.Payload{Metadata: map[string][]byte{"encoding": []byte(encoding)}, Data: []byte(`{"message":"no"}`)}
		for _, m := range more {
			name, value, _ := strings.Cut(m, "=")
			p.Metadata[name] = []byte(value)
		}
		return p
	}
	sealed := payload("binary/encrypted")
	reference := payload("json/protobuf", "messageType=temporal.api.sdk.v1.ExternalStorageReference")
	for name, c := range map[string]struct {
		p, got  *commonpb.Payload
		refused int
		closed  bool
	}{
		"opened":                           {sealed, payload("json/plain"), 0, false},
		"refused":                          {sealed, sealed, 403, true},
		"as it was":                        {sealed, sealed, 0, true},
		"an explanation":                   {sealed, payload("json/plain", explanationMark+"=1"), 0, true},
		"a reference as it was":            {reference, reference, 0, true},
		"a reference in place of the data": {sealed, reference, 0, true},
		"another's, as it was":             {payload("x/other"), payload("x/other"), 0, false},
	} {
		r := &reader{}
		p := proto.Clone(c.p).(*commonpb.Payload)
		n := r.take(p, codecclient.Result{Payload: c.got, Refused: c.refused})
		if (n.closed != "") != c.closed || (r.result.Closed == 1) != c.closed || c.closed && (r.result.Decoded != 0 || !proto.Equal(p, c.p) || r.result.judge() == nil) {
			t.Errorf("%s: %+v, %+v", name, n, r.result)
		}
	}
}
